"""Checks of assignment 4: who is fastest, and the modulation of three gradients."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmdg_lite.regrad import ReGrad, regrad
from mmdg_lite.teaching.checks.convolution import normal
from mmdg_lite.teaching.checks.projection import Project, project
from mmdg_lite.teaching.checks.task import Inputs, Task

History = Sequence[Sequence[float | None]]


def _history(rng: np.random.Generator) -> Inputs:
    """Some steps of three losses, sometimes with a tie, sometimes with modalities missing from a step."""
    steps = int(rng.integers(2, 7))
    losses = rng.uniform(0.5, 1.5, (steps, 3)).tolist()
    kind = int(rng.integers(3))
    if kind == 0:
        for row in losses:
            row[1] = row[0] = 0.25  # two of them tie at the lowest
    if kind == 1:
        for row in losses[:-1]:
            row[int(rng.integers(3))] = None
        losses[-1][int(rng.integers(3))] = None
    return {"losses": losses, "momentum": float(rng.choice([0.5, 0.75, 0.875]))}


def fastest(losses: History, momentum: float) -> int | None:
    """Index of the fastest modality after these steps, by the package."""
    balancing = ReGrad(momentum=momentum)
    found = None
    for row in losses:
        found = balancing.update([None if value is None else torch.tensor(value).double() for value in row])
    return None if found is None else found.index


def _averages(losses: History, momentum: float, *, corrected: bool = True, grows: bool = False) -> list[float]:
    averages, updates = [0.0] * 3, [0] * 3
    for row in losses:
        for i, value in enumerate(row):
            if value is not None:
                averages[i] = momentum * averages[i] + (1 - momentum) * value + (averages[i] if grows else 0.0)
                updates[i] += 1
    bias = [1 - momentum**count if corrected else 1.0 for count in updates]
    return [a / b if b else float("inf") for a, b in zip(averages, bias, strict=True)]


def _started_at_first(losses: History, momentum: float) -> list[float]:
    averages: list[float | None] = [None] * 3
    for row in losses:
        for i, value in enumerate(row):
            if value is not None:
                old = averages[i]
                averages[i] = value if old is None else momentum * old + (1 - momentum) * value
    return [float("inf") if average is None else average for average in averages]


def _mean_of_given(values: Sequence[float | None]) -> float:
    given = [value for value in values if value is not None]
    return float(np.mean(given)) if given else float("inf")


def _lowest(values: Sequence[float], present: Sequence[float | None], *, first_of_ties: bool = False) -> int | None:
    candidates = [i for i, given in enumerate(present) if given is not None]
    low = min(values[i] for i in candidates)
    holders = [i for i in candidates if values[i] == low]
    return holders[0] if len(holders) == 1 or first_of_ties else None


check_fastest = Task(
    name="fastest",
    reference=fastest,
    draw=_history,
    trials=60,
    judge=lambda output, inputs: -1 if output is None else output,
    mistakes={
        "this is the slowest modality: the fastest has the lowest average loss": (
            lambda losses, momentum: _lowest([-a for a in _averages(losses, momentum)], losses[-1])
        ),
        "averages start at 0: divide by 1 - momentum^updates, or a modality seen less often looks faster": (
            lambda losses, momentum: _lowest(_averages(losses, momentum, corrected=False), losses[-1])
        ),
        "a tie has no fastest modality: return None": (
            lambda losses, momentum: _lowest(_averages(losses, momentum), losses[-1], first_of_ties=True)
        ),
        "a modality that is missing from the last step cannot be the fastest": (
            lambda losses, momentum: _lowest(_averages(losses, momentum), [0.0] * 3)
        ),
        "you compare the last losses; it is their moving averages that are compared": (
            lambda losses, momentum: _lowest([np.inf if v is None else v for v in losses[-1]], losses[-1])
        ),
        "your average adds to the old one (the released code's +=, D3): it grows without bound": (
            lambda losses, momentum: _lowest(_averages(losses, momentum, grows=True), losses[-1])
        ),
        "momentum weighs the old average, 1 - momentum the new loss; yours are exchanged": (
            lambda losses, momentum: _lowest(_averages(losses, 1 - momentum), losses[-1])
        ),
        "your averages start at the first loss; they start at 0 and are divided by 1 - momentum^updates": (
            lambda losses, momentum: _lowest(_started_at_first(losses, momentum), losses[-1])
        ),
        "this is the mean of all losses; recent ones count more in a moving average": (
            lambda losses, momentum: _lowest([_mean_of_given(row) for row in zip(*losses, strict=True)], losses[-1])
        ),
        "a missing loss is no loss of 0: a modality that is missing from a step is not updated": (
            lambda losses, momentum: _lowest(
                _averages([[0.0 if v is None else v for v in row] for row in losses], momentum), losses[-1]
            )
        ),
        "indices count from 0: RGB is 0, depth 1, infrared 2": (
            lambda losses, momentum: None if (found := fastest(losses, momentum)) is None else found + 1
        ),
    },
    symptoms={
        "what you return is no index: RGB is 0, depth 1, infrared 2, and None is a tie": lambda answer: (
            answer([[0.3, 0.6, 0.9]], 0.5) not in (0, 1, 2, None)
        ),
    },
)


def _three(rng: np.random.Generator) -> Inputs:
    size = int(rng.integers(2, 6))
    gradients = list(normal(rng, 3, size))
    branch = int(rng.integers(3))
    if rng.integers(4) == 0:  # only its own loss reaches this parameter
        gradients = [g if i == branch else torch.zeros_like(g) for i, g in enumerate(gradients)]
    return {
        "gradients": gradients,
        "branch": branch,
        "fastest": [None, 0, 1, 2, branch][int(rng.integers(5))],
        "certainty": rng.uniform(0.2, 0.8, 3).tolist(),
        "project": project,
    }


def modulate(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    """A branch's modulated gradient by the package."""
    return regrad(gradients, branch, fastest, certainty)


def _single_scaled(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    return (
        regrad(gradients, branch, fastest, certainty, released=True)
        if not _reached(gradients, branch)
        else (regrad(gradients, branch, fastest, certainty))
    )


def _reached(gradients: list[Tensor], branch: int) -> bool:
    """True if another modality's loss reaches this parameter."""
    return any(bool(g.any()) for i, g in enumerate(gradients) if i != branch)


def _one_by_one(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    """The fastest branch's gradient is projected onto each of the others instead of their sum."""
    if branch != fastest or not _reached(gradients, branch):
        return regrad(gradients, branch, fastest, certainty)
    others = [g for i, g in enumerate(gradients) if i != branch]
    parts = torch.stack([project(gradients[branch], other) for other in others])
    return certainty[branch] * parts.sum(dim=0) + others[0] + others[1]


def _own_certainty(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    return regrad(gradients, branch, fastest, [certainty[branch]] * 3)


def _without_the_others(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    whole = regrad(gradients, branch, fastest, certainty)
    if whole is None or branch != fastest or not _reached(gradients, branch):
        return whole
    return whole - sum(g for i, g in enumerate(gradients) if i != branch)


def _unprojected(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    if branch == fastest:
        return regrad(gradients, branch, fastest, certainty)
    return gradients[branch] + sum(certainty[i] * g for i, g in enumerate(gradients) if i != branch)


def _sum_projected(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    if branch == fastest or not _reached(gradients, branch):
        return regrad(gradients, branch, fastest, certainty)
    weighed = torch.stack([certainty[i] * g for i, g in enumerate(gradients) if i != branch])
    return gradients[branch] + project(weighed.sum(dim=0), gradients[branch])


def _own_twice(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    whole = regrad(gradients, branch, fastest, certainty)
    if whole is None or branch == fastest or not _reached(gradients, branch):
        return whole
    return whole + certainty[branch] * gradients[branch]


check_modulate = Task(
    name="modulate",
    reference=modulate,
    draw=_three,
    trials=60,
    mistakes={
        "this is the plain sum of the three gradients": (
            lambda gradients, branch, fastest, certainty, project: gradients[0] + gradients[1] + gradients[2]
        ),
        "who is fastest has no effect: the fastest branch's own gradient is the one to be projected": (
            lambda fastest, **inputs: modulate(fastest=None, **inputs)
        ),
        "the fastest branch's gradient is projected onto the sum of the others, not onto each of them": _one_by_one,
        "every projected gradient is weighed by the branch's certainty; gradient j takes U_j": _own_certainty,
        "a parameter that one loss alone reaches keeps its gradient unscaled (D21)": _single_scaled,
        "beside the projected gradient of the fastest branch, the sum of the others is missing": _without_the_others,
        "certainty has no effect: every projected gradient is multiplied by a U": (
            lambda certainty, **inputs: modulate(certainty=[1.0, 1.0, 1.0], **inputs)
        ),
        "the other gradients are added unprojected; gradient j enters as T(g_j onto g_m)": _unprojected,
        "the sum of the others is projected at once; each of them is projected by itself, since T is not linear": (
            _sum_projected
        ),
        "the branch's own gradient is counted twice: the sum runs over the other modalities": _own_twice,
        "None is no index 0: on a tie, no modality is the fastest": (
            lambda fastest, **inputs: modulate(fastest=fastest or 0, **inputs)
        ),
        "every branch is treated as if it were the fastest": (
            lambda branch, fastest, **inputs: modulate(branch=branch, fastest=branch, **inputs)
        ),
    },
)

TASKS = (check_fastest, check_modulate)
