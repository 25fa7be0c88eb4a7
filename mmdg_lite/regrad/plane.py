"""Three modalities' gradients of a parameter with two entries, so that every rule can be drawn in a plane."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.balancing import BalancingRule, Moment, balancing_weights
from mmdg_lite.regrad.effects import TITLES, available, is_raised
from mmdg_lite.regrad.rule import project

Vector = NDArray[np.float64]
OWN = "yours"
"""Title of a reader's own rule."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One parameter of a branch with two entries, so that its gradients can be drawn."""

    branch: Modality  # whose parameter it is
    gradients: NDArray[np.float64]  # 3 x 2, of the losses of RGB, depth, infrared
    losses: tuple[float, float, float]  # moving averages, nats
    certainty: tuple[float, float, float]  # U_R, U_D, U_I in 0..1

    @property
    def fastest(self) -> Modality | None:
        """The modality with the strictly lowest loss."""
        lowest = min(self.losses)
        holders = [m for m in MODALITIES if self.losses[m.index] == lowest]
        return holders[0] if len(holders) == 1 else None

    def tensors(self) -> list[Tensor]:
        """The three gradients as the rules take them."""
        return list(torch.from_numpy(self.gradients).unbind())


@dataclass(frozen=True, kw_only=True)
class Part:
    """What T keeps of one gradient beside its base, before the certainty weighs it."""

    of: Modality
    onto: str
    whole: Vector  # 2
    kept: Vector  # 2
    weight: float  # certainty

    @property
    def dropped(self) -> Vector:
        """The rest."""
        return self.whole - self.kept


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A situation, the parts of ReGrad's sum, and what every rule makes of the gradients, by the rule's title.

    weights: of the gradients of RGB, depth and infrared in a rule's sum; NaN for a rule of one's own, which gives none.
    """

    situation: Situation
    parts: tuple[Part, ...]
    results: dict[str, Vector]  # each 2
    weights: dict[str, Vector]  # each 3

    def against(self, name: str) -> list[Modality]:
        """Modalities whose loss a small step against this result would raise."""
        result, gradients = self.results[name], self.situation.gradients
        lengths = np.linalg.norm(gradients, axis=1) * np.linalg.norm(result)
        raised = is_raised(gradients @ result / np.where(lengths > 0, lengths, 1))
        return [m for m in MODALITIES if raised[m.index]]


def weights(given: Situation, rule: BalancingRule) -> Vector:
    """What a rule multiplies the three gradients with, 3 weights; OGM-GE without its noise, which has mean zero.

    The rules of TorchJD look at all shared parameters at once; here there is this one. A zero gradient has weight 0.
    """
    rows = torch.from_numpy(given.gradients)  # 3 x 2
    fastest = None if given.fastest is None else given.fastest.index
    moment = Moment(losses=given.losses, fastest=fastest, certainty=given.certainty)
    (of_rule,) = balancing_weights({given.branch.index: (rows @ rows.T)[None]}, rule, moment).values()  # 1 x 3
    found: Vector = of_rule[0].double().numpy()
    return np.where(given.gradients.any(axis=1), found, 0.0)


def balanced(given: Situation, rule: BalancingRule) -> Vector:
    """What a rule makes of the three gradients, 2 entries."""
    found: Vector = weights(given, rule) @ given.gradients
    return found


Project = Callable[[Tensor, Tensor], Tensor]
"""T(gradient onto base): two vectors of one length, and one of that length."""
Modulate = Callable[[list[Tensor], int, int | None, Sequence[float], Project], Tensor]
"""From three gradients, the branch's index, the fastest modality's or None, the certainties, and T: one gradient."""


def with_projection(
    gradients: list[Tensor], branch: int, fastest: int | None, certainty: Sequence[float], project: Project
) -> Tensor:
    """ReGrad's rule with another projection in T's place; a single gradient stays as it is."""
    if sum(bool(g.any()) for g in gradients) <= 1:
        return torch.stack(gradients).sum(dim=0)
    others = [j for j in range(len(gradients)) if j != branch]
    if branch == fastest:
        rest = torch.stack([gradients[j] for j in others]).sum(dim=0)
        return rest + certainty[branch] * _onto(gradients[branch], rest, project)
    own = gradients[branch]
    return own + torch.stack([certainty[j] * _onto(gradients[j], own, project) for j in others]).sum(dim=0)


def _onto(gradient: Tensor, base: Tensor, project: Project) -> Tensor:
    """T, and the whole gradient where there is no base to be left in peace."""
    return project(gradient, base) if bool(base.any()) else gradient


def situation(
    *,
    branch: str | Modality,
    angle: Sequence[float],
    length: Sequence[float],
    loss: Sequence[float],
    certainty: Sequence[float],
) -> Situation:
    """Three gradients by their angles (degrees, anticlockwise from the right) and lengths, each RGB, depth, infrared.

    Raises ValueError for a negative length, a certainty outside of 0..1, or not three of each.
    """
    for name, values in {"angle": angle, "length": length, "loss": loss, "certainty": certainty}.items():
        if len(values) != len(MODALITIES):
            raise ValueError(f"{name} needs three values, RGB, depth and infrared; got {len(values)}")
    if min(length) < 0:
        raise ValueError(f"lengths must be 0 or more, got {min(length):g}")
    if not 0 <= min(certainty) <= max(certainty) <= 1:
        raise ValueError(f"certainties are numbers from 0 to 1, got {tuple(certainty)}")
    radians = np.radians(np.asarray(angle, dtype=np.float64))
    gradients = np.asarray(length, dtype=np.float64)[:, None] * np.stack([np.cos(radians), np.sin(radians)], axis=1)
    r, d, i = (float(value) for value in loss)
    u_r, u_d, u_i = (float(value) for value in certainty)
    return Situation(branch=Modality(branch), gradients=gradients, losses=(r, d, i), certainty=(u_r, u_d, u_i))


def compare(
    given: Situation, *, own_project: Project | None = None, own_modulate: Modulate | None = None
) -> Comparison:
    """What ReGrad takes from each gradient, and what every rule makes of the three.

    With a projection or a rule of one's own, the results have one more, "yours".
    """
    gradients, branch = given.tensors(), given.branch
    if branch is given.fastest:
        base = sum(gradients[m.index] for m in branch.others)
        pairs = [(branch, base, "sum of the others")]
    else:
        pairs = [(other, gradients[branch.index], branch.title) for other in branch.others]
    parts = tuple(
        Part(
            of=of,
            onto=onto,
            whole=gradients[of.index].numpy(),
            kept=project(gradients[of.index], torch.as_tensor(base)).numpy(),
            weight=given.certainty[of.index],
        )
        for of, base, onto in pairs
    )
    by_rule = {TITLES[rule]: weights(given, rule) for rule in available()}
    results: dict[str, Vector] = {title: w @ given.gradients for title, w in by_rule.items()}
    if own_project or own_modulate:
        fastest = None if given.fastest is None else given.fastest.index
        rule = own_modulate or with_projection
        found = rule(gradients, branch.index, fastest, given.certainty, own_project or project)
        results[OWN] = torch.as_tensor(found).double().numpy()
        if results[OWN].shape != (2,):
            raise ValueError(f"your rule gave something of shape {results[OWN].shape}; a gradient here has 2 entries")
        by_rule[OWN] = np.full(3, np.nan)
    return Comparison(situation=given, parts=parts, results=results, weights=by_rule)
