"""One step's modality gradients, weighed by a balancing rule: all parameters of a branch at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.regrad.balancing import Moment, balancing_noise, balancing_weights
from mmdg_lite.regrad.branches import Branch
from mmdg_lite.regrad.gradients import Flattened, Gradients
from mmdg_lite.regrad.released_loop import LOOP_FAULTS, released_weights


@dataclass(frozen=True)
class Modulated:
    """Modulated modality gradients, one per parameter (None where no loss reaches it), and what there is to log.

    `grams`: of each branch, by its index, the products of its T parameters' gradients, T x 3 x 3, float64.
    """

    gradients: list[Tensor | None]
    conflict_rate: float
    norms: tuple[float, float, float]
    grams: Mapping[int, Tensor]


def modulate(
    gradients: Sequence[Gradients],
    branches: Sequence[Branch],
    rule: str,
    moment: Moment,
    *,
    faults: frozenset[str] = frozenset(),
) -> Modulated:
    """Weigh each parameter's three gradients by a rule, and add them up.

    A parameter of no branch gets their plain sum (D17). What is logged is fetched from the device at once, at the end.

    Args:
        gradients: per parameter.
        branches: the parameters' branches.
        rule: gives the weights.
        moment: what else the rule needs.
        faults: of the released code, for a rule in `rule.RULES`; D15 and D21 change the weights.
    """
    modulated: list[Tensor | None] = [None] * len(gradients)
    places: dict[int, list[int]] = {}
    for position, (given, branch) in enumerate(zip(gradients, branches, strict=True)):
        reached = [gradient for gradient in given if gradient is not None]
        if reached and branch is None:
            modulated[position] = sum(reached[1:], reached[0])
        elif reached and branch is not None:
            places.setdefault(branch.index, []).append(position)
    flat = {m: Flattened([gradients[position] for position in found]) for m, found in places.items()}
    grams = {m: of_branch.gram() for m, of_branch in flat.items()}
    if faults & LOOP_FAULTS:
        weights = released_weights(flat, grams, moment.fastest, moment.certainty, rule=rule, faults=faults)
    else:
        weights = balancing_weights(grams, rule, moment)
    squares = [torch.zeros((), dtype=torch.float64) for _ in MODALITIES]
    for m, of_branch in flat.items():
        combined = of_branch.weighted_sum(weights[m])
        noise = balancing_noise(rule, of_branch, grams[m], m, moment)
        combined = combined if noise is None else combined + noise
        squares[m] = combined.square().sum()
        for position, result in zip(places[m], of_branch.split(combined), strict=True):
            modulated[position] = result
    conflict_rate, *norms = _fetch([_conflict_rate(grams), *(square.sqrt() for square in squares)])
    return Modulated(modulated, conflict_rate, (norms[0], norms[1], norms[2]), grams)


def _conflict_rate(grams: Mapping[int, Tensor]) -> Tensor:
    """Share of negative products among the non-zero ones of own and other gradients; NaN where there is none."""
    products = [gram[:, m, [i for i in range(len(MODALITIES)) if i != m]].flatten() for m, gram in grams.items()]
    every = torch.cat(products) if products else torch.zeros(0)
    return (every < 0).sum() / (every != 0).sum()


def _fetch(values: Sequence[Tensor]) -> list[float]:
    """Scalars as numbers, in one transfer."""
    device = values[0].device
    return torch.stack([value.to(device, torch.float64) for value in values]).tolist()
