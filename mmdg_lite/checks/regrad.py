"""Checks of assignment 4: projections, the four cases of two modalities, loss averages, and a whole modulation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mmdg_lite import projection, regrad
from mmdg_lite.checks.convolution import normal
from mmdg_lite.checks.task import Inputs, Task

Project = Callable[[Tensor, Tensor], Tensor]


def _pair(rng: np.random.Generator) -> Inputs:
    size = int(rng.integers(2, 7))
    base = normal(rng, size)
    gradient = normal(rng, size) + float(rng.choice([-1, 1])) * base  # both cases occur
    return {"gradient": gradient, "base": base}


def project(gradient: Tensor, base: Tensor) -> Tensor:
    """T(gradient onto base) by the package."""
    return projection.project(gradient, base)


def _parallel(gradient: Tensor, base: Tensor) -> Tensor:
    return (gradient @ base) / (base @ base) * base


def _not_squared(gradient: Tensor, base: Tensor) -> Tensor:
    dot = gradient @ base
    part = dot / base.norm() * base
    return part if dot > 0 else gradient - part


def _other_case(gradient: Tensor, base: Tensor) -> Tensor:
    part = _parallel(gradient, base)
    return gradient - part if gradient @ base > 0 else part


check_project = Task(
    name="project",
    reference=project,
    draw=_pair,
    mistakes={
        "you always keep the parallel part; where the two conflict (dot product < 0) the orthogonal part remains": (
            _parallel
        ),
        "you always keep the orthogonal part; where the two agree (positive dot product) the parallel part remains": (
            lambda gradient, base: gradient - _parallel(gradient, base)
        ),
        "the two cases are exchanged: agreement keeps the parallel part, conflict the orthogonal one": _other_case,
        "where they agree you leave the gradient as it is, which is PCGrad's rule; ReGrad keeps the parallel part": (
            lambda gradient, base: projection.project(gradient, base, rule="drop")
        ),
        "gradient and base are exchanged: the result lies along the base, or orthogonal to it": (
            lambda gradient, base: projection.project(base, gradient)
        ),
        "the dot product is divided by the base's norm; it takes the squared norm, base . base": _not_squared,
    },
)


def _four_cases(rng: np.random.Generator) -> Inputs:
    pair = _pair(rng)
    own_certainty, other_certainty = rng.uniform(0.2, 0.8, 2)
    return {
        "own": pair["gradient"],
        "other": pair["base"],
        "own_is_faster": bool(rng.integers(2)),
        "own_certainty": float(own_certainty),
        "other_certainty": float(other_certainty),
        "project": project,
    }


def modulate_pair(
    own: Tensor, other: Tensor, own_is_faster: bool, own_certainty: float, other_certainty: float, project: Project
) -> Tensor:
    """Slow base plus the fast modality's certainty times its projection (MMDG paper, eq. 5)."""
    if own_is_faster:
        return other + own_certainty * project(own, other)
    return own + other_certainty * project(other, own)


def _certainty_of_base(
    own: Tensor, other: Tensor, own_is_faster: bool, own_certainty: float, other_certainty: float, project: Project
) -> Tensor:
    return modulate_pair(own, other, own_is_faster, other_certainty, own_certainty, project)


def _without_base(own: Tensor, other: Tensor, own_is_faster: bool, **inputs: float | Project) -> Tensor:
    whole = modulate_pair(own, other, own_is_faster, **inputs)  # type: ignore[arg-type]
    return whole - (other if own_is_faster else own)


check_modulate_pair = Task(
    name="modulate_pair",
    reference=modulate_pair,
    draw=_four_cases,
    trials=24,
    mistakes={
        "the projected gradient is weighed by the other modality's certainty; it takes its own": _certainty_of_base,
        "the base itself is missing from the sum: the slow gradient stays whole": _without_base,
        "fast and slow are exchanged: the faster modality's gradient is the one that is projected": (
            lambda own_is_faster, **inputs: modulate_pair(own_is_faster=not own_is_faster, **inputs)
        ),
        "who is faster has no effect: your base is always the branch's own gradient": (
            lambda own_is_faster, **inputs: modulate_pair(own_is_faster=False, **inputs)
        ),
        "certainty has no effect: the projected gradient is multiplied by U": (
            lambda own_certainty, other_certainty, **inputs: modulate_pair(own_certainty=1, other_certainty=1, **inputs)
        ),
    },
)

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
    balancing = regrad.ReGrad(momentum=momentum)
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
    return regrad.regrad(gradients, branch, fastest, certainty)


def _single_scaled(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    return (
        regrad.regrad(gradients, branch, fastest, certainty, released=True)
        if not _reached(gradients, branch)
        else (regrad.regrad(gradients, branch, fastest, certainty))
    )


def _reached(gradients: list[Tensor], branch: int) -> bool:
    """Whether another modality's loss reaches this parameter."""
    return any(bool(g.any()) for i, g in enumerate(gradients) if i != branch)


def _one_by_one(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    """The fastest branch's gradient is projected onto each of the others instead of their sum."""
    if branch != fastest or not _reached(gradients, branch):
        return regrad.regrad(gradients, branch, fastest, certainty)
    others = [g for i, g in enumerate(gradients) if i != branch]
    parts = torch.stack([project(gradients[branch], other) for other in others])
    return certainty[branch] * parts.sum(dim=0) + others[0] + others[1]


def _own_certainty(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: list[float], project: Project
) -> Tensor | None:
    return regrad.regrad(gradients, branch, fastest, [certainty[branch]] * 3)


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
        "every branch is treated as if it were the fastest": (
            lambda branch, fastest, **inputs: modulate(branch=branch, fastest=branch, **inputs)
        ),
    },
)

TASKS = (check_project, check_modulate_pair, check_fastest, check_modulate)
