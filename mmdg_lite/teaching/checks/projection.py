"""Checks of assignment 4: the projection, and the four cases of two modalities."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from mmdg_lite.regrad import rule as rule_module
from mmdg_lite.teaching.checks.convolution import normal
from mmdg_lite.teaching.checks.task import Inputs, Task

Project = Callable[[Tensor, Tensor], Tensor]


def draw_pair(rng: np.random.Generator) -> Inputs:
    """A gradient and a base that agree about as often as they conflict."""
    size = int(rng.integers(2, 7))
    base = normal(rng, size)
    gradient = normal(rng, size) + float(rng.choice([-1, 1])) * base
    return {"gradient": gradient, "base": base}


def project(gradient: Tensor, base: Tensor) -> Tensor:
    """T(gradient onto base) by the package."""
    return rule_module.project(gradient, base)


def _parallel(gradient: Tensor, base: Tensor) -> Tensor:
    return (gradient @ base) / (base @ base) * base


def _not_squared(gradient: Tensor, base: Tensor) -> Tensor:
    dot = gradient @ base
    part = dot / base.norm() * base
    return part if dot > 0 else gradient - part


def _with_cosine(gradient: Tensor, base: Tensor) -> Tensor:
    part = (gradient @ base) / (gradient.norm() * base.norm()) * base
    return part if gradient @ base > 0 else gradient - part


def _divided_by_itself(gradient: Tensor, base: Tensor) -> Tensor:
    part = (gradient @ base) / (gradient @ gradient) * base
    return part if gradient @ base > 0 else gradient - part


def _added(gradient: Tensor, base: Tensor) -> Tensor:
    part = _parallel(gradient, base)
    return part if gradient @ base > 0 else gradient + part


def _other_case(gradient: Tensor, base: Tensor) -> Tensor:
    part = _parallel(gradient, base)
    return gradient - part if gradient @ base > 0 else part


check_project = Task(
    name="project",
    reference=project,
    draw=draw_pair,
    mistakes={
        "you always keep the parallel part; where the two conflict (dot product < 0) the orthogonal part remains": (
            _parallel
        ),
        "you always keep the orthogonal part; where the two agree (positive dot product) the parallel part remains": (
            lambda gradient, base: gradient - _parallel(gradient, base)
        ),
        "the two cases are exchanged: agreement keeps the parallel part, conflict the orthogonal one": _other_case,
        "where they agree you leave the gradient as it is, which is PCGrad's rule; ReGrad keeps the parallel part": (
            lambda gradient, base: rule_module.project(gradient, base, rule="drop")
        ),
        "gradient and base are exchanged: the result lies along the base, or orthogonal to it": (
            lambda gradient, base: rule_module.project(base, gradient)
        ),
        "the dot product is divided by the base's norm; it takes the squared norm, base . base": _not_squared,
        "the cosine times the base is not the parallel part: (g . b) / (b . b) times the base is": _with_cosine,
        "you divide by gradient . gradient; the parallel part divides by base . base": _divided_by_itself,
        "where they conflict you keep nothing; the orthogonal part remains": (
            lambda gradient, base: rule_module.project(gradient, base, rule="keep")
        ),
        "in conflict the parallel part is subtracted from the gradient, not added": _added,
    },
)


def _four_cases(rng: np.random.Generator) -> Inputs:
    pair = draw_pair(rng)
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


def _all_weighed(own_is_faster: bool, own_certainty: float, other_certainty: float, **inputs: Any) -> Tensor:
    whole = modulate_pair(own_is_faster=own_is_faster, own_certainty=1, other_certainty=1, **inputs)
    return (own_certainty if own_is_faster else other_certainty) * whole


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
        "the base is multiplied by U too; the slow gradient stays whole": _all_weighed,
        "nothing is projected: the fast gradient is added as T(fast onto slow)": (
            lambda project, **inputs: modulate_pair(project=lambda gradient, base: gradient, **inputs)
        ),
        "the slow gradient is projected; the fast one is, onto the slow one": (
            lambda project, **inputs: modulate_pair(
                project=lambda gradient, base: rule_module.project(base, gradient), **inputs
            )
        ),
        "the weight is U, not 1 - U: the more certain the fast modality, the more it may say": (
            lambda own_certainty, other_certainty, **inputs: modulate_pair(
                own_certainty=1 - own_certainty, other_certainty=1 - other_certainty, **inputs
            )
        ),
        "certainty has no effect: the projected gradient is multiplied by U": (
            lambda own_certainty, other_certainty, **inputs: modulate_pair(own_certainty=1, other_certainty=1, **inputs)
        ),
    },
)

TASKS = (check_project, check_modulate_pair)
