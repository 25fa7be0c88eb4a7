"""ReGrad: rebalance what the three modalities' losses ask of each parameter (MMDG paper, section on ReGrad).

A parameter belongs to one modality's branch, or to none. Through the cross-modal adapters all three losses can reach
it. The gradients of the other modalities are weighed by their certainty and projected so that they help where they
agree with the branch's own and do not disturb where they conflict; the fastest modality is the one to be held back.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.balancing import Moment, check_balancing_rule, needs_losses
from mmdg_lite.regrad.branches import Branches, PerModality, as_pairs, per_modality
from mmdg_lite.regrad.gradients import Gradients, LossGradients, gradients_by_loss
from mmdg_lite.regrad.modulation import modulate
from mmdg_lite.regrad.released_loop import LOOP_FAULTS, reached_by_the_loop
from mmdg_lite.regrad.rule import RULES
from mmdg_lite.released import Released, faults


@dataclass(frozen=True)
class Report:
    """What one ReGrad step saw, for logs and plots; modalities in the order RGB, depth, infrared.

    averages: moving averages of the losses, corrected for the number of updates; NaN before a modality's first.
    fastest: the fastest modality, None on a tie.
    conflict_rate: share of negative dot products among the non-zero ones of (branch parameter's own, other modality's)
        gradients; NaN where there is no such pair or gradients were not taken apart.
    gradient_norms: norm of the modality losses' modulated gradient over each branch, without the total loss's part.
    """

    averages: tuple[float, float, float]
    fastest: Modality | None
    conflict_rate: float
    gradient_norms: tuple[float, float, float]


Watch = Callable[[Report, Mapping[int, Tensor], Moment], None]
"""Looks on after a step: its report, each branch's Gram matrices (T x 3 x 3), and what else the rule was given."""


class ReGrad:
    """One training step's gradients, modulated, left in `.grad`.

    Args:
        momentum: of the moving averages of the losses, in [0, 1).
        rule: balancing rule, ReGrad's or another's (`balancing.BALANCING_RULES`, or one registered there); "none"
            leaves the plain sum of the four gradients and needs one backward pass only.
        released: reproduce the released code's faults, all or some: parameters after the first without any modality
            gradient are not modulated (D1), averages grow without bound (D3), absolute epsilon (D15), trainable
            parameters outside the branches raise (D17), the average of a missing modality decays and takes part in the
            comparison (D20), and gradients of a single loss are modulated (D21). All but D3 and D20 know the projection
            rules only.
        seed: of what a rule draws (OGM-GE's noise, PCGrad's order), with the number of steps made.
        watch: called at the end of every step, changes nothing but its cost: "none" then takes the gradients apart too.

    Raises:
        ValueError: an unknown rule, or momentum.
        ImportError: the rule's library is not installed.
    """

    def __init__(
        self,
        *,
        momentum: float = 0.5,
        rule: str = "regrad",
        released: Released = False,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> None:
        check_balancing_rule(rule)
        self.faults = faults(released)
        if self.faults & LOOP_FAULTS and rule not in RULES:
            raise ValueError(f"the released ReGrad has no rule {rule!r}; use released=False")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.rule = rule
        self.seed = seed
        self.watch = watch
        self.averages = [0.0, 0.0, 0.0]
        self.updates = [0, 0, 0]

    def state_dict(self) -> dict[str, list[float] | list[int]]:
        """The moving averages and their numbers of updates, for resuming."""
        return {"averages": list(self.averages), "updates": list(self.updates)}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Restore what `state_dict` gave. Raises `KeyError` on a missing entry, `ValueError` on another number of
        modalities, averages that are no finite numbers, and updates that are no counts."""
        averages, updates = state["averages"], state["updates"]
        if not len(averages) == len(updates) == len(MODALITIES):
            raise ValueError("regrad needs one average and one number of updates per modality")
        if any(type(value) not in (int, float) or not math.isfinite(value) for value in averages):
            raise ValueError(f"regrad's averages are {averages!r}, must be finite numbers")
        if any(type(value) is not int or value < 0 for value in updates):
            raise ValueError(f"regrad's numbers of updates are {updates!r}, must be counts")
        self.averages, self.updates = [float(value) for value in averages], [int(value) for value in updates]

    def update(self, losses: PerModality) -> Modality | None:
        """Update the moving averages by one step's losses and say which modality is the fastest.

        Averages start at 0; what is compared is average / (1 - momentum^updates), over the modalities whose loss is
        given (D20). The strictly lowest is the fastest; a tie gives None.
        """
        values = _numbers(per_modality(losses))
        for i, value in enumerate(values):
            decayed = self.momentum * self.averages[i]
            if value is not None:
                kept = self.averages[i] if "D3" in self.faults else 0.0  # the old average added once more
                self.averages[i] = kept + decayed + (1 - self.momentum) * value
                self.updates[i] += 1
            elif "D20" in self.faults:
                self.averages[i] = decayed
        if "D20" in self.faults:
            return _strictly_lowest(self.averages)
        corrected = self.corrected_averages()
        return _strictly_lowest([corrected[i] if value is not None else float("inf") for i, value in enumerate(values)])

    def corrected_averages(self) -> tuple[float, float, float]:
        """Moving averages corrected for their start at 0 (not under D3 or D20); NaN before the first update."""
        if self.faults & {"D3", "D20"}:
            return self.averages[0], self.averages[1], self.averages[2]
        r, d, i = (
            average / (1 - self.momentum**updates) if updates else float("nan")
            for average, updates in zip(self.averages, self.updates, strict=True)
        )
        return r, d, i

    def step(
        self,
        losses: PerModality,
        total: Tensor,
        branches: Branches,
        certainty: Sequence[Tensor | float] | Mapping[Modality, Tensor | float],
    ) -> Report:
        """Back-propagate, modulate, and leave `gradient of total + modulated gradient` in every parameter's `.grad`.

        Args:
            losses: L_R, L_D, L_I (a sequence in that order, or a mapping by `Modality`); None for a modality that no
                sample of the batch has.
            total: the loss of the joint head; its gradient is added unmodulated.
            branches: which modality each parameter belongs to: pairs (parameter, Modality or None) in the model's
                order; or three collections of parameters (R, D, I), a fourth for parameters of no branch; or a mapping
                {Modality or None: parameters}. Parameters of no branch get the plain sum of their gradients (D17);
                frozen ones are passed over.
            certainty: U_R, U_D, U_I in [0, 1], scalars.

        Returns:
            A `Report` for the log.
        """
        assignment, given = as_pairs(branches), per_modality(losses)
        gradients = gradients_by_loss(given, total, trainable(assignment), apart=self.takes_apart)
        return self.apply(gradients, given, assignment, certainty)

    @property
    def takes_apart(self) -> bool:
        """True if the rule needs the losses' gradients one by one."""
        return self.rule != "none" or self.watch is not None

    def apply(
        self,
        gradients: Sequence[LossGradients],
        losses: PerModality,
        branches: Branches,
        certainty: Sequence[Tensor | float] | Mapping[Modality, Tensor | float],
    ) -> Report:
        """`step` from gradients that are there already, such as sums over several parts of a batch.

        Args:
            gradients: of the total loss, L_R, L_D and L_I, each over `trainable(branches)`; if the rule does not take
                them apart, a single list of their sum.
            losses, branches, certainty: as in `step`; losses need no graph.
        """
        assignment = as_pairs(branches)
        given = per_modality(losses)
        fastest = self.update(given)
        weights = [0.0 if value is None else value for value in per_modality(certainty)]
        weights = [value.detach() if isinstance(value, Tensor) else value for value in weights]
        parameters = trainable(assignment)
        total_gradients, *by_loss = gradients
        if not self.takes_apart:
            for parameter, gradient in zip(parameters, total_gradients, strict=True):
                parameter.grad = gradient
            nothing = float("nan")
            return Report(self.corrected_averages(), fastest, nothing, (nothing, nothing, nothing))
        moment = Moment(
            losses=_numbers(given) if needs_losses(self.rule) or self.watch else [None] * len(MODALITIES),
            fastest=None if fastest is None else fastest.index,
            certainty=weights,
            seed=(self.seed << 32) + max(self.updates),
        )
        of_parameters: list[Gradients] = [list(of) for of in zip(*by_loss, strict=True)]  # each L_R's, L_D's, L_I's
        if self.faults & LOOP_FAULTS:
            of_parameters = reached_by_the_loop(of_parameters, assignment, [x is None for x in given], self.faults)
        own = [branch for parameter, branch in assignment if parameter.requires_grad]
        modulated = modulate(of_parameters, own, self.rule, moment, faults=self.faults)
        for parameter, of_total, of_modalities in zip(parameters, total_gradients, modulated.gradients, strict=True):
            parameter.grad = _add(of_total, of_modalities)
        report = Report(self.corrected_averages(), fastest, modulated.conflict_rate, modulated.norms)
        if self.watch is not None:
            self.watch(report, modulated.grams, moment)
        return report


def trainable(branches: Branches) -> list[nn.Parameter]:
    """The parameters of an assignment that are trained, in its order."""
    return [parameter for parameter, _ in as_pairs(branches) if parameter.requires_grad]


def _numbers(losses: Sequence[Tensor | None]) -> list[float | None]:
    """Losses as numbers, in one transfer from the device."""
    present = [loss.detach() for loss in losses if loss is not None]
    numbers = iter(torch.stack(present).tolist() if present else [])
    return [None if loss is None else next(numbers) for loss in losses]


def _add(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return first if second is None else second
    return first + second


def _strictly_lowest(values: Sequence[float]) -> Modality | None:
    lowest = min(values)
    holders = [modality for modality, value in zip(MODALITIES, values, strict=True) if value == lowest]
    return holders[0] if len(holders) == 1 and lowest < float("inf") else None
