"""ReGrad's rule: three losses' gradients of one parameter become one (MMDG paper, eq. 5).

The parameter belongs to the branch of one modality. The gradients of the other modalities' losses are weighed by their
certainty and projected, so that they help where they agree with the branch's own and do not disturb where they
conflict. The fastest modality is held back.

The result is a weighted sum of the three gradients, and its weights depend on nothing but their dot products, the Gram
matrix. So the rule is written once, as `regrad_weights`, for the Gram matrices of many parameters at a time. `project`
and `regrad` apply it to tensors. A new rule is one function and one entry in `RULES`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.gradients import Flattened
from mmdg_lite.released import Released, faults

Rule = str
"""The name of a projection in `RULES`."""

Projection = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From (r, c) to (v, w) with T(g onto b) = v g + w b, each of shape T.

r = g . b / b . b, so that r b is the part of g parallel to b; c is the cosine between the two. Both are 0 for a zero b.
"""

EPSILON = 1e-8
"""What the released code adds to b . b, so that it halves an identical gradient of norm 1e-4 (D15)."""


def regrad_projection(r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The parallel part if g and b agree, else the orthogonal part (the paper's rule; it jumps at 90 degrees, D14)."""
    agree = r > 0
    return torch.where(agree, 0.0, torch.ones_like(r)), torch.where(agree, r, -r)


def keep_projection(r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The parallel part if g and b agree, else nothing (the released code's version 2)."""
    return torch.zeros_like(r), r.clamp(min=0)


def drop_projection(r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """All of g unless it conflicts with b, else the orthogonal part (version 3; the rule of PCGrad)."""
    return torch.ones_like(r), torch.where(r >= 0, 0.0, -r)


def orthogonal_projection(r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Always the orthogonal part (version 1)."""
    return torch.ones_like(r), -r


def smooth_projection(r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """A blend of both parts by the cosine, where it is positive: ReGrad's rule without the jump. For study."""
    share = c.clamp(min=0)
    return 1 - share, (2 * share - 1) * r


def no_projection(r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """All of g. `regrad` with this rule is the plain sum: no certainty weighs anything."""
    return torch.ones_like(r), torch.zeros_like(r)


RULES: dict[Rule, Projection] = {
    "regrad": regrad_projection,
    "keep": keep_projection,
    "drop": drop_projection,
    "orthogonal": orthogonal_projection,
    "smooth": smooth_projection,
    "none": no_projection,
}


def check_rule(rule: Rule) -> None:
    """Raise `ValueError` naming the rules there are, unless `rule` is one of them."""
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; choose one of {', '.join(RULES)}")


def regrad_weights(
    gram: Tensor,
    branch: int,
    fastest: int | None,
    certainty: Sequence[Tensor | float],
    *,
    rule: Rule = "regrad",
    epsilon: float = 0.0,
    given: Tensor | None = None,
) -> Tensor:
    """Weights w with `regrad(gradients, ...) = w_R g_R + w_D g_D + w_I g_I`, for T parameters of one branch.

    Args:
        gram: T x 3 x 3, entry (i, j) the dot product g_i . g_j, in float64; modalities in their usual order.
        branch: index of the parameters' modality m.
        fastest: index of the fastest modality, None on a tie.
        certainty: U_R, U_D, U_I, each in [0, 1].
        rule: the projection T, a name in `RULES`.
        epsilon: added to every square that a projection divides by, `EPSILON` in the released code (D15).
        given: T x 3 bools, the gradients that are not None. With them the rule modulates a parameter that a single loss
            reaches too, and "orthogonal" counts a gradient of zeros as there, as in the released code (D21).

    Returns:
        T x 3, finite where the Gram matrices are. A zero gradient's weight means nothing.
    """
    check_rule(rule)
    ones = torch.ones_like(gram[:, 0])  # T x 3
    if rule == "none":
        return ones
    reached = _is_reached(gram) if given is None else given
    if branch != fastest:
        weights = _slow(gram, branch, certainty, rule, epsilon)
    elif rule == "orthogonal":
        weights = _fastest_split(gram, branch, certainty[branch], reached, epsilon)
    else:
        weights = _fastest(gram, branch, certainty[branch], rule, epsilon)
    return weights if given is not None else torch.where(is_shared(gram)[:, None], weights, ones)


def is_shared(gram: Tensor) -> Tensor:
    """Which parameters at least two losses reach, T bools; the others have nothing to be balanced against (D21)."""
    return _is_reached(gram).sum(dim=-1) > 1


def _is_reached(gram: Tensor) -> Tensor:
    """Which losses reach which parameter, T x 3 bools."""
    return gram.diagonal(dim1=-2, dim2=-1) > 0


def _slow(gram: Tensor, m: int, certainty: Sequence[Tensor | float], rule: Rule, epsilon: float) -> Tensor:
    """g_m + sum over j != m of U_j T(g_j onto g_m)."""
    weights = torch.ones_like(gram[:, 0])  # T x 3
    for j in _others(m):
        of_other, of_own = _projected(gram[:, j, m], gram[:, j, j], gram[:, m, m], rule, epsilon)
        weights[:, j] = certainty[j] * of_other
        weights[:, m] += certainty[j] * of_own
    return weights


def _fastest(gram: Tensor, m: int, certainty: Tensor | float, rule: Rule, epsilon: float) -> Tensor:
    """U_m T(g_m onto s) + s with s the sum of the others."""
    weights = torch.ones_like(gram[:, 0])  # T x 3
    j, k = _others(m)
    dot = gram[:, m, j] + gram[:, m, k]
    sum_square = (gram[:, j, j] + gram[:, k, k] + 2 * gram[:, j, k]).clamp(min=0)
    of_own, of_sum = _projected(dot, gram[:, m, m], sum_square, rule, epsilon)
    weights[:, m] = certainty * of_own
    weights[:, [j, k]] += (certainty * of_sum)[:, None]
    return weights


def _fastest_split(gram: Tensor, m: int, certainty: Tensor | float, reached: Tensor, epsilon: float) -> Tensor:
    """U_m [T(g_m / 2 onto g_j) + T(g_m / 2 onto g_k)] + g_j + g_k, T the orthogonal part; all of g_m onto one alone."""
    weights = torch.ones_like(gram[:, 0])  # T x 3
    weights[:, m] *= certainty
    others = _others(m)
    number = reached[:, others].sum(dim=-1).clamp(min=1)
    for j in others:
        weights[:, j] -= certainty * quotient(gram[:, m, j], gram[:, j, j] + epsilon) / number
    return weights


def _projected(dot: Tensor, square: Tensor, base_square: Tensor, rule: Rule, epsilon: float) -> tuple[Tensor, Tensor]:
    """Weights v and w with T(g onto b) = v g + w b, from g . b, g . g and b . b, all of shape T."""
    cosine = quotient(dot, (square * base_square).sqrt())
    return RULES[rule](quotient(dot, base_square + epsilon), cosine)


def quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, zero where the denominator is."""
    there = denominator > 0
    return torch.where(there, numerator, 0) / torch.where(there, denominator, 1)


def _others(m: int) -> list[int]:
    return [i for i in range(len(MODALITIES)) if i != m]


def project(gradient: Tensor, onto: Tensor, *, rule: Rule = "regrad", released: bool = False) -> Tensor:
    """T(gradient onto base): the part of `gradient` that a rule lets act beside the base `onto`.

    Tensors are flattened. `RULES` has the rules; "none" leaves the gradient as it is.

    Args:
        gradient, onto: tensors of one shape.
        rule: a name in `RULES`.
        released: divide by b . b + 1e-8 as the released code does (D15). Otherwise the projection is scale-free: exact
            for every norm of float32 tensors, and zero for a zero base.

    Returns:
        Same shape, finite whenever the inputs are.

    Raises:
        ValueError: an unknown rule, or tensors of different shapes.
    """
    check_rule(rule)
    if gradient.shape != onto.shape:
        raise ValueError(f"gradient {tuple(gradient.shape)} and base {tuple(onto.shape)} must have one shape")
    flat = Flattened([[gradient, onto, None]])
    ((square, dot, _), (_, base_square, _), _) = flat.gram()[0]
    weights = _projected(dot, square, base_square, rule, EPSILON if released else 0.0)
    return flat.split(flat.weighted_sum(torch.stack([*weights, torch.zeros_like(dot)])[None]))[0]


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
        rule: the projection T, a name in `RULES`; "none" is the plain sum.
        released: keep the released code's faults, or one: absolute epsilon (D15), single gradients modulated (D21).

    Returns:
        The modulated gradient, or None if all three are None.

    Raises:
        ValueError: an unknown rule, not three gradients and certainties, or gradients of different shapes.
    """
    check_rule(rule)
    kept = faults(released)
    if len(gradients) != len(MODALITIES) or len(certainty) != len(MODALITIES):
        raise ValueError(
            f"expected one gradient and one certainty per modality, got {len(gradients)} and {len(certainty)}"
        )
    shapes = [tuple(gradient.shape) for gradient in gradients if gradient is not None]
    if not shapes:
        return None
    if len(set(shapes)) > 1:
        raise ValueError(f"gradients must have one shape, got {', '.join(map(str, shapes))}")
    flat = Flattened([gradients])
    weights = regrad_weights(
        flat.gram(),
        _index(branch),
        None if fastest is None else _index(fastest),
        certainty,
        rule=rule,
        epsilon=EPSILON if "D15" in kept else 0.0,
        given=flat.given() if "D21" in kept else None,
    )
    return flat.split(flat.weighted_sum(weights))[0]


def _index(modality: Modality | int) -> int:
    return modality.index if isinstance(modality, Modality) else int(modality)
