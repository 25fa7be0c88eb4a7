"""ReGrad's rule for one parameter, in vectors: what its own and the other modalities' losses may ask of it.

The gradients of the other modalities are weighed by their certainty and projected so that they help where they agree
with the branch's own and do not disturb where they conflict; the fastest modality is the one to be held back.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.released import Released, faults

Rule = Literal["regrad", "keep", "drop", "orthogonal", "smooth", "none"]


RULES: tuple[str, ...] = get_args(Rule)


def check_rule(rule: str) -> None:
    """Raise `ValueError` naming the rules there are, unless `rule` is one of them."""
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; choose one of {', '.join(RULES)}")


def project(gradient: Tensor, onto: Tensor, *, rule: Rule = "regrad", released: bool = False) -> Tensor:
    """T(gradient onto base): the part of `gradient` that a rule lets act beside the base `onto`.

    With the parallel part p = (g . b / b . b) b and the orthogonal part g - p, tensors being flattened:

    * "regrad" (MMDG paper, eq. 5): p if g . b > 0, else g - p. Discontinuous at 90 degrees (D14).
    * "keep": p if g . b > 0, else 0 (the released code's version 2).
    * "drop": g if g . b >= 0, else g - p (version 3; the rule of PCGrad).
    * "orthogonal": always g - p (version 1).
    * "smooth": c p + (1 - c) (g - p) with c = max(cos, 0), the cosine between the two: agrees with "regrad" for
      parallel and for conflicting gradients, and has no jump in between. For study.
    * "none": g, unchanged.

    Args:
        gradient, onto: tensors of one shape.
        rule: see above.
        released: divide by b . b + 1e-8 as the released code does, which halves an identical gradient of norm 1e-4
            (D15). Otherwise the projection is scale-free: exact for any norm, and zero for a zero base.

    Returns:
        Same shape, finite whenever the inputs are.
    """
    check_rule(rule)
    if gradient.shape != onto.shape:
        raise ValueError(f"gradient {tuple(gradient.shape)} and base {tuple(onto.shape)} must have one shape")
    if rule == "none":
        return gradient
    parallel, cosine = _parallel_released(gradient, onto) if released else _parallel(gradient, onto)
    if rule == "orthogonal":
        return gradient - parallel
    if rule == "drop":
        return torch.where(cosine >= 0, gradient, gradient - parallel)
    if rule == "keep":
        return torch.where(cosine > 0, parallel, torch.zeros_like(parallel))
    if rule == "smooth":
        weight = cosine.clamp(min=0)
        return weight * parallel + (1 - weight) * (gradient - parallel)
    return torch.where(cosine > 0, parallel, gradient - parallel)


def _parallel(gradient: Tensor, onto: Tensor) -> tuple[Tensor, Tensor]:
    """Parallel part and cosine, free of scale: both tensors are brought to a largest entry of 1 first."""
    g, g_scale = _normalised(gradient)
    b, _ = _normalised(onto)
    dot, g_square, b_square = (g * b).sum(), (g * g).sum(), (b * b).sum()
    one = torch.ones_like(b_square)
    parallel = dot / torch.where(b_square > 0, b_square, one) * g_scale * b
    norms = (g_square * b_square).sqrt()
    return parallel, dot / torch.where(norms > 0, norms, one)


def _parallel_released(gradient: Tensor, onto: Tensor) -> tuple[Tensor, Tensor]:
    """Parallel part with an absolute 1e-8 in its denominator, and a number with the sign of the cosine."""
    dot, b_square = (gradient * onto).sum(), (onto * onto).sum()
    norms = ((gradient * gradient).sum() * b_square).sqrt()
    return dot / (b_square + 1e-8) * onto, dot / torch.where(norms > 0, norms, torch.ones_like(norms))


def _normalised(x: Tensor) -> tuple[Tensor, Tensor]:
    """x divided by its largest absolute entry, and that entry (1 for a zero tensor)."""
    scale = x.abs().amax()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return x / scale, scale


def regrad(
    gradients: Sequence[Tensor | None],
    branch: Modality | int,
    fastest: Modality | int | None,
    certainty: Sequence[Tensor | float],
    *,
    rule: Rule = "regrad",
    released: Released = False,
) -> Tensor | None:
    """Modulated gradient of one parameter of branch m, from its gradients of L_R, L_D and L_I.

    If m is the fastest modality, g = U_m T(g_m onto s) + s with s the sum of the others; otherwise
    g = g_m + sum over j != m of U_j T(g_j onto g_m). "orthogonal" splits the fastest branch's gradient:
    g = U_m [T(g_m / 2 onto g_j) + T(g_m / 2 onto g_k)] + g_j + g_k, all of it against one if the other is missing.
    A parameter that a single loss reaches has nothing to be balanced against and keeps that gradient (D21).

    Args:
        gradients: three tensors of one shape, in the order RGB, depth, infrared; None counts as zero.
        branch: the parameter's modality m (or its index).
        fastest: the fastest modality (or its index), None on a tie.
        certainty: U_R, U_D, U_I, each in [0, 1].
        rule: projection rule, see `projection.project`; "none" is the plain sum.
        released: keep the released code's faults, or one: absolute epsilon (D15), single gradients modulated (D21).

    Returns:
        The modulated gradient, or None if all three are None.

    Raises:
        ValueError: an unknown rule, not three gradients and certainties, or gradients of different shapes.
    """
    check_rule(rule)
    kept = faults(released)
    absolute, single = "D15" in kept, "D21" in kept
    if len(gradients) != len(MODALITIES) or len(certainty) != len(MODALITIES):
        raise ValueError(
            f"expected one gradient and one certainty per modality, got {len(gradients)} and {len(certainty)}"
        )
    given = [gradient for gradient in gradients if gradient is not None]
    if not given:
        return None
    if any(gradient.shape != given[0].shape for gradient in given):
        raise ValueError(f"gradients must have one shape, got {', '.join(str(tuple(g.shape)) for g in given)}")
    zero = torch.zeros_like(given[0])
    m = _index(branch)
    own = gradients[m]
    own = zero if own is None else own
    others = {i: g for i, g in enumerate(gradients) if i != m and g is not None and (single or bool(g.any()))}
    total_of_others = sum(others.values(), zero)
    if rule == "none":
        return own + total_of_others
    if not single and len(others) + bool(own.any()) <= 1:
        return own + total_of_others
    if fastest is not None and m == _index(fastest):
        held_back = _hold_back(own, list(others.values()), total_of_others, rule, absolute)
        return certainty[m] * held_back + total_of_others
    result = own.clone()
    for j, gradient in others.items():
        result += certainty[j] * project(gradient, own, rule=rule, released=absolute)
    return result


def _hold_back(own: Tensor, others: list[Tensor], total: Tensor, rule: Rule, absolute: bool) -> Tensor:
    """What remains of the fastest modality's gradient beside those of the others."""
    if rule != "orthogonal":
        return project(own, total, rule=rule, released=absolute)
    parts = [project(own / len(others), other, rule=rule, released=absolute) for other in others]
    return sum(parts, torch.zeros_like(own)) if parts else own


def _index(modality: Modality | int) -> int:
    return modality.index if isinstance(modality, Modality) else int(modality)
