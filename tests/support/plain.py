"""ReGrad's rule in float64, as short as it can be written: what the package's own is compared with."""

from collections.abc import Sequence

import torch
from torch import Tensor


def plain_projection(gradient: Tensor, onto: Tensor) -> Tensor:
    """Along the base if they agree, across it if they conflict, all of it where there is no base."""
    dot = (gradient * onto).sum()
    along = dot / (onto * onto).sum() * onto if onto.any() else torch.zeros_like(onto)
    return along if dot > 0 else gradient - along


def plain_regrad(
    gradients: Sequence[Tensor | None], branch: int, fastest: int | None, certainty: Sequence[float]
) -> Tensor:
    """The modulated gradient of a parameter of `branch`; None and zero both mean that a loss does not reach it."""
    given = {i: g.double() for i, g in enumerate(gradients) if g is not None and g.any()}
    zero = next(torch.zeros_like(g, dtype=torch.float64) for g in gradients if g is not None)
    if len(given) <= 1:
        return sum(given.values(), zero)
    own = given.pop(branch, zero)
    if branch == fastest:
        base = sum(given.values(), zero)
        return certainty[branch] * plain_projection(own, base) + base
    return sum((certainty[j] * plain_projection(g, own) for j, g in given.items()), own)
