"""ReGrad's rule as weights: from the Gram matrix of a parameter's three gradients to the weights of their sum.

The same rule as `regrad.regrad`, which says it in vectors, for any number of parameters of a branch at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.regrad.rule import Rule, check_rule


def regrad_weights(
    gram: Tensor, branch: int, fastest: int | None, certainty: Sequence[Tensor | float], *, rule: Rule = "regrad"
) -> Tensor:
    """Weights w with `regrad(gradients, ...) = w_R g_R + w_D g_D + w_I g_I`, for T parameters of one branch.

    Args:
        gram: T x 3 x 3, entry (i, j) the dot product g_i . g_j, in float64; modalities in their usual order.
        branch: index of the parameters' modality m.
        fastest: index of the fastest modality, None on a tie.
        certainty: U_R, U_D, U_I, each in [0, 1].
        rule: projection rule, see `projection.project`.

    Returns:
        T x 3, finite. A zero gradient's weight means nothing.
    """
    check_rule(rule)
    if rule == "none":
        weights = torch.ones_like(gram[:, 0])  # T x 3
    elif branch != fastest:
        weights = _slow(gram, branch, certainty, rule)
    elif rule == "orthogonal":
        weights = _fastest_split(gram, branch, certainty[branch])
    else:
        weights = _fastest(gram, branch, certainty[branch], rule)
    return torch.where(is_shared(gram)[:, None], weights, torch.ones_like(weights))


def is_shared(gram: Tensor) -> Tensor:
    """Which parameters at least two losses reach, T bools; the others have nothing to be balanced against (D21)."""
    return (gram.diagonal(dim1=-2, dim2=-1) > 0).sum(dim=-1) > 1


def _slow(gram: Tensor, m: int, certainty: Sequence[Tensor | float], rule: Rule) -> Tensor:
    """g_m + sum over j != m of U_j T(g_j onto g_m)."""
    weights = torch.ones_like(gram[:, 0])  # T x 3
    for j in _others(m):
        kept, along = _projection(gram[:, j, m], gram[:, j, j], gram[:, m, m], rule)
        weights[:, j] = certainty[j] * kept
        weights[:, m] += certainty[j] * along
    return weights


def _fastest(gram: Tensor, m: int, certainty: Tensor | float, rule: Rule) -> Tensor:
    """U_m T(g_m onto s) + s with s the sum of the others."""
    weights = torch.ones_like(gram[:, 0])  # T x 3
    j, k = _others(m)
    dot = gram[:, m, j] + gram[:, m, k]
    base_square = (gram[:, j, j] + gram[:, k, k] + 2 * gram[:, j, k]).clamp(min=0)
    kept, along = _projection(dot, gram[:, m, m], base_square, rule)
    weights[:, m] = certainty * kept
    weights[:, [j, k]] += (certainty * along)[:, None]
    return weights


def _fastest_split(gram: Tensor, m: int, certainty: Tensor | float) -> Tensor:
    """U_m [T(g_m / 2 onto g_j) + T(g_m / 2 onto g_k)] + g_j + g_k, T the orthogonal part; all of g_m onto one alone."""
    weights = torch.ones_like(gram[:, 0])  # T x 3
    weights[:, m] *= certainty
    others = _others(m)
    number = (gram.diagonal(dim1=-2, dim2=-1)[:, others] > 0).sum(dim=-1).clamp(min=1)
    for j in others:
        weights[:, j] -= certainty * quotient(gram[:, m, j], gram[:, j, j]) / number
    return weights


def _projection(dot: Tensor, square: Tensor, base_square: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Weights a and b with T(g onto base) = a g + b base, from g . base, g . g and base . base, all of shape T."""
    ratio = quotient(dot, base_square)  # the parallel part is ratio * base
    one, zero = torch.ones_like(dot), torch.zeros_like(dot)
    if rule == "orthogonal":
        return one, -ratio
    if rule == "drop":
        return one, torch.where(dot >= 0, zero, -ratio)
    if rule == "keep":
        return zero, torch.where(dot > 0, ratio, zero)
    if rule == "smooth":
        cosine = quotient(dot, (square * base_square).sqrt()).clamp(min=0)
        return 1 - cosine, (2 * cosine - 1) * ratio
    return torch.where(dot > 0, zero, one), torch.where(dot > 0, ratio, -ratio)


def quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, zero where the denominator is."""
    there = denominator > 0
    return torch.where(there, numerator, 0) / torch.where(there, denominator, 1)


def _others(m: int) -> list[int]:
    return [i for i in range(len(MODALITIES)) if i != m]
