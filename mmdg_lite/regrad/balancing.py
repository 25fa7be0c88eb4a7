"""The balancing rules by name: ReGrad's projections, OGM-GE, and TorchJD's gradient surgery, all as weights.

Each rule sees the same: Gram matrices of the three modality losses' gradients, and what is known of the step. So on one
state and one batch they differ in nothing but the weights. `register_rule` adds a rule of your own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from mmdg_lite.registry import WEIGHINGS, add, find
from mmdg_lite.regrad import ogm_ge
from mmdg_lite.regrad.gradients import Flattened
from mmdg_lite.regrad.rule import RULES, is_shared, regrad_weights
from mmdg_lite.regrad.surgery import AGGREGATORS, Aggregator, aggregator_weights, check_installed

BalancingRule = str
"""The name of a rule, of those in `BALANCING_RULES` or registered."""


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


Weighing = Callable[[Mapping[int, Tensor], Moment], Mapping[int, Tensor]]
"""A rule: from each branch's Gram matrices (T x 3 x 3, by the branch's index) and the moment to weights (T x 3)."""


def register_rule(name: str, rule: Weighing) -> None:
    """Add a rule under a name that `training.rule` and `Method.rule` can then give.

    Args:
        name: not one of the names there are.
        rule: gets {branch: Gram matrices}, entry (i, j) of a parameter's 3 x 3 matrix being the product of the
            gradients of losses i and j with respect to it, in float64; and the moment. Gives {branch: weights T x 3}
            of the same parameters. It must draw from `moment.seed` alone, and give 1 where a single loss reaches a
            parameter.

    Raises:
        ValueError: the name is taken, or no name for a folder.
    """
    add(WEIGHINGS, name, rule, what="rule")


register = register_rule  # its name until version 0.2, which plugins use


def check_balancing_rule(rule: str) -> None:
    """Raise `ValueError` for an unknown rule, `ImportError` for one whose library is not installed."""
    find(WEIGHINGS, rule, what="rule")
    check_installed(rule)


def balancing_weights(grams: Mapping[int, Tensor], rule: str, moment: Moment) -> dict[int, Tensor]:
    """Weights (T x 3) of the gradients of each branch's T parameters, from their Gram matrices (T x 3 x 3).

    Raises `ValueError` for an unknown rule, and naming the rule that gives weights of another form.
    """
    weights = dict(find(WEIGHINGS, rule, what="rule")(grams, moment))
    wanted = {m: gram.shape[:2] for m, gram in grams.items()}
    if (given := {m: of_branch.shape for m, of_branch in weights.items()}) != wanted:
        raise ValueError(f"rule {rule!r} gave weights of shapes {given}, by branch; expected {wanted}")
    return weights


def needs_losses(rule: str) -> bool:
    """True if a rule looks at `Moment.losses`; fetching them from the device costs time, and most rules do not."""
    return rule not in RULES and rule not in AGGREGATORS


def balancing_noise(rule: str, flat: Flattened, gram: Tensor, branch: int, moment: Moment) -> Tensor | None:
    """What a rule adds to a branch's n entries beside their weighted sum: OGM-GE's noise, nothing for the others."""
    if rule != "ogm_ge":
        return None
    generator = torch.Generator(flat.rows.device).manual_seed(4 * moment.seed + branch)
    return ogm_ge.noise(flat, gram, generator)


def _projections(grams: Mapping[int, Tensor], moment: Moment, *, rule: str) -> dict[int, Tensor]:
    """ReGrad's rule and its ablations, branch by branch."""
    return {m: regrad_weights(gram, m, moment.fastest, moment.certainty, rule=rule) for m, gram in grams.items()}


def _ogm_ge(grams: Mapping[int, Tensor], moment: Moment) -> dict[int, Tensor]:
    """One factor per branch, from the losses."""
    factors = ogm_ge.coefficients(moment.losses)
    return {m: ogm_ge.branch_weights(gram, factors[m]) for m, gram in grams.items()}


def _of_all_branches(grams: Mapping[int, Tensor], moment: Moment, *, rule: Aggregator) -> dict[int, Tensor]:
    """One Jacobian over the shared parameters of all branches; the others' gradients as they are."""
    if not grams:
        return {}
    whole = torch.stack([(gram * is_shared(gram)[:, None, None]).sum(dim=0) for gram in grams.values()]).sum(dim=0)
    weights = aggregator_weights(whole, rule, seed=moment.seed)  # 3
    return {m: torch.where(is_shared(gram)[:, None], weights, torch.ones_like(weights)) for m, gram in grams.items()}


WEIGHINGS.update(
    {
        **{rule: partial(_projections, rule=rule) for rule in RULES},
        "ogm_ge": _ogm_ge,
        **{rule: partial(_of_all_branches, rule=rule) for rule in get_args(Aggregator)},
    }
)

BALANCING_RULES: tuple[str, ...] = tuple(WEIGHINGS)
"""The package's own rules, ReGrad first."""
