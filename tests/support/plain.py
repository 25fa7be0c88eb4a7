"""ReGrad's rule in vectors, tensor by tensor, as plain as it can be written: the package's own must equal it."""

from collections.abc import Sequence

import torch
from torch import Tensor


def plain_projection(gradient: Tensor, onto: Tensor, rule: str = "regrad", *, epsilon: float = 0.0) -> Tensor:
    """T(gradient onto base). The released code has an epsilon of 1e-8 (D15)."""
    dot, square = (gradient * onto).sum(), (onto * onto).sum() + epsilon
    along = dot / square * onto if square > 0 else torch.zeros_like(onto)
    across = gradient - along
    if rule == "regrad":
        return along if dot > 0 else across
    if rule == "keep":
        return along if dot > 0 else torch.zeros_like(onto)
    if rule == "drop":
        return gradient if dot >= 0 else across
    if rule == "orthogonal":
        return across
    if rule == "smooth":
        share = max(float(dot / gradient.norm() / onto.norm()), 0.0) if dot != 0 else 0.0
        return share * along + (1 - share) * across
    assert rule == "none"
    return gradient


def plain_regrad(
    gradients: Sequence[Tensor | None],
    branch: int,
    fastest: int | None,
    certainty: Sequence[float],
    rule: str = "regrad",
    *,
    epsilon: float = 0.0,
    single: bool = False,
) -> Tensor:
    """The modulated gradient of a parameter of `branch`; None and zero both mean that a loss does not reach it.

    The released code looks at zeros too, and modulates the gradient of a single loss (`single`, D21).
    """
    given = {i: g.double() for i, g in enumerate(gradients) if g is not None and (single or bool(g.any()))}
    zero = next(torch.zeros_like(g, dtype=torch.float64) for g in gradients if g is not None)
    if rule == "none" or (len(given) <= 1 and not single):
        return sum(given.values(), zero)
    own = given.pop(branch, zero)
    if branch != fastest:
        return sum((certainty[j] * plain_projection(g, own, rule, epsilon=epsilon) for j, g in given.items()), own)
    total = sum(given.values(), zero)
    if rule == "orthogonal" and given:
        share = own / len(given)
        parts = (plain_projection(share, g, rule, epsilon=epsilon) for g in given.values())
        return certainty[branch] * sum(parts, zero) + total
    return certainty[branch] * plain_projection(own, total, rule, epsilon=epsilon) + total
