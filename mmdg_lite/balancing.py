"""The balancing rules by name: ReGrad's projections, OGM-GE, and TorchJD's gradient surgery, all as weights.

Each rule sees the same: Gram matrices of the three modality losses' gradients, and what is known of the step. So on one
state and one batch they differ in nothing but the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from mmdg_lite import ogm_ge
from mmdg_lite.aggregators import AGGREGATORS, Aggregator, aggregator_weights, check_installed
from mmdg_lite.flattened import Flattened
from mmdg_lite.gram_weights import is_shared, regrad_weights
from mmdg_lite.projection import RULES, Rule

BalancingRule = Literal[Rule, "ogm_ge", Aggregator]
BALANCING_RULES: tuple[str, ...] = get_args(BalancingRule)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a rule knows of a step beside the gradients; modalities in their usual order.

    losses: L_R, L_D, L_I; None for a modality that the batch does not have.
    fastest: index of the fastest modality, None on a tie.
    certainty: U_R, U_D, U_I in [0, 1].
    seed: of what a rule draws in this step.
    """

    losses: Sequence[float | None]
    fastest: int | None
    certainty: Sequence[Tensor | float]
    seed: int = 0


def check_balancing_rule(rule: str) -> None:
    """Raise `ValueError` for an unknown rule, `ImportError` for one whose library is not installed."""
    if rule not in BALANCING_RULES:
        raise ValueError(f"unknown rule {rule!r}; choose one of {', '.join(BALANCING_RULES)}")
    check_installed(rule)


def balancing_weights(grams: Mapping[int, Tensor], rule: BalancingRule, moment: Moment) -> dict[int, Tensor]:
    """Weights (T x 3) of the gradients of each branch's T parameters, from their Gram matrices (T x 3 x 3)."""
    if rule in RULES:
        projection = cast(Rule, rule)
        return {
            m: regrad_weights(gram, m, moment.fastest, moment.certainty, rule=projection) for m, gram in grams.items()
        }
    if rule == "ogm_ge":
        factors = ogm_ge.coefficients(moment.losses)
        return {m: ogm_ge.branch_weights(gram, factors[m]) for m, gram in grams.items()}
    assert rule in AGGREGATORS
    return _of_all_branches(grams, cast(Aggregator, rule), moment.seed)


def balancing_noise(rule: BalancingRule, flat: Flattened, gram: Tensor, branch: int, moment: Moment) -> Tensor | None:
    """What a rule adds to a branch's n entries beside their weighted sum: OGM-GE's noise, nothing for the others."""
    if rule != "ogm_ge":
        return None
    generator = torch.Generator(flat.rows.device).manual_seed(4 * moment.seed + branch)
    return ogm_ge.noise(flat, gram, generator)


def _of_all_branches(grams: Mapping[int, Tensor], rule: Aggregator, seed: int) -> dict[int, Tensor]:
    """One Jacobian over the shared parameters of all branches; the others' gradients as they are."""
    if not grams:
        return {}
    whole = torch.stack([(gram * is_shared(gram)[:, None, None]).sum(dim=0) for gram in grams.values()]).sum(dim=0)
    weights = aggregator_weights(whole, rule, seed=seed)  # 3
    return {m: torch.where(is_shared(gram)[:, None], weights, torch.ones_like(weights)) for m, gram in grams.items()}
