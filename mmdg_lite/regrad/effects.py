"""What each balancing rule makes of the very same gradients: how long its direction is, and where it points.

A rule's direction is a weighted sum of the gradients of L_R, L_D and L_I, parameter by parameter. So its length and its
products with these gradients follow from their Gram matrices and the weights; no direction has to be formed. OGM-GE is
compared without its noise, which has mean zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdg_lite.regrad.balancing import BALANCING_RULES, BalancingRule, Moment, balancing_weights
from mmdg_lite.regrad.rule import is_shared, quotient
from mmdg_lite.regrad.surgery import AGGREGATORS, check_installed

SPELLINGS = {"ogm_ge": "OGM-GE", "pcgrad": "PCGrad", "mgda": "MGDA", "cagrad": "CAGrad", "upgrad": "UPGrad"}

TITLES: dict[BalancingRule, str] = {"regrad": "ReGrad", "none": "plain sum"}
TITLES |= {rule: SPELLINGS.get(rule, rule) for rule in BALANCING_RULES if rule not in TITLES}
"""The rules as they are shown side by side: ReGrad, the projections that vary it, and rules of others."""

ZERO = 1e-6
"""Cosines above minus this are no conflict, but rounding."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One rule's direction over the parameters that at least two losses reach; the others are alike under every rule.

    length: of the direction, as a multiple of the plain sum's; 0 where there is no gradient.
    to_plain: cosine with the plain sum.
    cosines: with the gradients of L_R, L_D and L_I, 3; 0 for a loss without gradient.
    against: share of (parameter, loss) pairs with a gradient in which the direction has a negative product with it.
    """

    length: float
    to_plain: float
    cosines: NDArray[np.float64]
    against: float

    @property
    def raised(self) -> NDArray[np.bool_]:
        """Which losses a small step against the direction would raise, to first order: 3."""
        return is_raised(self.cosines)


def is_raised(cosines: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True if a small step against a direction raises a loss, from its cosines with the loss's gradients."""
    return cosines < -ZERO


def available() -> list[BalancingRule]:
    """The rules that can be computed here: those of TorchJD only where it is installed."""
    return [rule for rule in TITLES if rule not in AGGREGATORS or _is_installed(rule)]


def _is_installed(rule: str) -> bool:
    try:
        check_installed(rule)
    except ImportError:
        return False
    return True


def effect(grams: Mapping[int, Tensor], rule: BalancingRule, moment: Moment) -> Effect:
    """What a rule makes of one step's gradients.

    Args:
        grams: of each branch's T parameters, T x 3 x 3, see `gradients.Flattened.gram`.
        rule: whose direction.
        moment: what else the rule is given.
    """
    weights = balancing_weights(grams, rule, moment)
    shared = {m: is_shared(gram) for m, gram in grams.items()}
    gram = torch.cat([of[shared[m]] for m, of in grams.items()])  # T x 3 x 3, of all branches
    w = torch.cat([weights[m][shared[m]] for m in grams]).to(gram)  # T x 3
    products = torch.einsum("ti,tij->tj", w, gram)  # T x 3: direction times each gradient, parameter by parameter
    square, plain_square = (products * w).sum().clamp(min=0), gram.sum()
    lengths = gram.diagonal(dim1=-2, dim2=-1).sum(dim=0).sqrt()  # 3
    there = gram.diagonal(dim1=-2, dim2=-1) > 0  # T x 3
    own_lengths = (products * w).sum(dim=-1, keepdim=True).clamp(min=0).sqrt()  # T x 1
    scale = own_lengths * gram.diagonal(dim1=-2, dim2=-1).sqrt()  # T x 3
    return Effect(
        length=quotient(square.sqrt(), plain_square.clamp(min=0).sqrt()).item(),
        to_plain=quotient(products.sum(), (square * plain_square.clamp(min=0)).sqrt()).item(),
        cosines=quotient(products.sum(dim=0), square.sqrt() * lengths).cpu().numpy(),
        against=quotient((products < -ZERO * scale)[there].sum().double(), there.sum().double()).item(),
    )
