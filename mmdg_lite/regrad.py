"""ReGrad: rebalance what the three modalities' losses ask of each parameter (MMDG paper, section on ReGrad).

A parameter belongs to one modality's branch, or to none. Through the cross-modal adapters all three losses can reach
it. The gradients of the other modalities are weighed by their certainty and projected so that they help where they
agree with the branch's own and do not disturb where they conflict; the fastest modality is the one to be held back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdg_lite.assignment import Assignment, Branch, Branches, PerModality, as_pairs, per_modality
from mmdg_lite.backward import gradients_of
from mmdg_lite.gram_weights import regrad_weights
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.modulation import Gradients, Modulated, modulate
from mmdg_lite.projection import Rule, check_rule, project

Exchange = Callable[[Sequence[Tensor | None], Sequence[Tensor]], list[Tensor | None]]
"""From one loss's gradients and their parameters to the gradients that are modulated."""


def regrad(
    gradients: Sequence[Tensor | None],
    branch: Modality | int,
    fastest: Modality | int | None,
    certainty: Sequence[Tensor | float],
    *,
    rule: Rule = "regrad",
    released: bool = False,
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
        released: keep the released code's faults: absolute epsilon (D15), single gradients modulated (D21).

    Returns:
        The modulated gradient, or None if all three are None.

    Raises:
        ValueError: an unknown rule, not three gradients and certainties, or gradients of different shapes.
    """
    check_rule(rule)
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
    others = {i: g for i, g in enumerate(gradients) if i != m and g is not None and (released or bool(g.any()))}
    total_of_others = sum(others.values(), zero)
    if rule == "none":
        return own + total_of_others
    if not released and len(others) + bool(own.any()) <= 1:
        return own + total_of_others
    if fastest is not None and m == _index(fastest):
        held_back = _hold_back(own, list(others.values()), total_of_others, rule, released)
        return certainty[m] * held_back + total_of_others
    result = own.clone()
    for j, gradient in others.items():
        result += certainty[j] * project(gradient, own, rule=rule, released=released)
    return result


def _hold_back(own: Tensor, others: list[Tensor], total: Tensor, rule: Rule, released: bool) -> Tensor:
    """What remains of the fastest modality's gradient beside those of the others."""
    if rule != "orthogonal":
        return project(own, total, rule=rule, released=released)
    parts = [project(own / len(others), other, rule=rule, released=released) for other in others]
    return sum(parts, torch.zeros_like(own)) if parts else own


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


class ReGrad:
    """One training step's gradients, modulated, left in `.grad`.

    Args:
        momentum: of the moving averages of the losses, in [0, 1).
        rule: projection rule; "none" leaves the plain sum of the four gradients and needs one backward pass only.
        released: reproduce the released code's loop: parameters after the first without any modality gradient are not
            modulated (D1), averages grow without bound (D3), absolute epsilon (D15), trainable parameters outside the
            branches raise (D17), the average of a missing modality decays and takes part in the comparison (D20), and
            gradients of a single loss are modulated (D21).
        exchange: applied to each loss's gradients (and the parameters) before they are modulated: where several
            processes train one model, their sum over these, see `distributed.sum_gradients`.
    """

    def __init__(
        self,
        *,
        momentum: float = 0.5,
        rule: Rule = "regrad",
        released: bool = False,
        exchange: Exchange = lambda gradients, parameters: list(gradients),
    ) -> None:
        check_rule(rule)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.rule: Rule = rule
        self.released = released
        self.exchange = exchange
        self.averages = [0.0, 0.0, 0.0]
        self.updates = [0, 0, 0]

    def state_dict(self) -> dict[str, list[float] | list[int]]:
        """The moving averages and their numbers of updates, for resuming."""
        return {"averages": list(self.averages), "updates": list(self.updates)}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Restore what `state_dict` gave. Raises `KeyError` on a missing entry."""
        self.averages = [float(value) for value in state["averages"]]
        self.updates = [int(value) for value in state["updates"]]

    def update(self, losses: PerModality) -> Modality | None:
        """Update the moving averages by one step's losses and say which modality is the fastest.

        Averages start at 0; what is compared is average / (1 - momentum^updates), over the modalities whose loss is
        given (D20). The strictly lowest is the fastest; a tie gives None.
        """
        given = per_modality(losses)
        present = [loss.detach() for loss in given if loss is not None]
        numbers = iter(torch.stack(present).tolist() if present else [])  # one transfer from the device
        values = [None if loss is None else next(numbers) for loss in given]
        if self.released:
            return self._update_released(values)
        for i, value in enumerate(values):
            if value is not None:
                self.averages[i] = self.momentum * self.averages[i] + (1 - self.momentum) * value
                self.updates[i] += 1
        corrected = self.corrected_averages()
        return _strictly_lowest([corrected[i] if value is not None else float("inf") for i, value in enumerate(values)])

    def _update_released(self, values: Sequence[float | None]) -> Modality | None:
        """The released averages: old + (momentum old + (1 - momentum) loss) (D3), momentum old if missing (D20)."""
        for i, value in enumerate(values):
            decayed = self.momentum * self.averages[i]
            self.averages[i] = decayed if value is None else self.averages[i] + decayed + (1 - self.momentum) * value
        return _strictly_lowest(self.averages)

    def corrected_averages(self) -> tuple[float, float, float]:
        """Moving averages corrected for their start at 0 (as they are, if `released`); NaN before the first update."""
        if self.released:
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
        assignment = as_pairs(branches)
        given = per_modality(losses)
        fastest = self.update(given)
        weights = [0.0 if value is None else value for value in per_modality(certainty)]
        weights = [value.detach() if isinstance(value, Tensor) else value for value in weights]
        trainable = [(p, branch) for p, branch in assignment if p.requires_grad]
        parameters = [parameter for parameter, _ in trainable]
        if self.rule == "none":
            everything = sum((loss for loss in given if loss is not None), total)
            summed = self.exchange(gradients_of(everything, parameters, retain=False), parameters)
            for parameter, gradient in zip(parameters, summed, strict=True):
                parameter.grad = gradient
            nothing = float("nan")
            return Report(self.corrected_averages(), fastest, nothing, (nothing, nothing, nothing))
        by_loss = [
            None if loss is None else self.exchange(gradients_of(loss, parameters, retain=True), parameters)
            for loss in given
        ]
        total_gradients = self.exchange(gradients_of(total, parameters, retain=False, free=given), parameters)
        gradients = [[None if of is None else of[position] for of in by_loss] for position in range(len(parameters))]
        if self.released:
            until = self._first_without_gradient(assignment, by_loss)
            modulated = self._modulate_released(gradients, until, assignment, fastest, weights)
        else:
            modulated = self._modulate(gradients, [branch for _, branch in trainable], fastest, weights)
        for parameter, of_total, of_modalities in zip(parameters, total_gradients, modulated.gradients, strict=True):
            parameter.grad = _add(of_total, of_modalities)
        return Report(self.corrected_averages(), fastest, modulated.conflict_rate, modulated.norms)

    def _modulate(
        self,
        gradients: Sequence[Gradients],
        branches: Sequence[Branch],
        fastest: Modality | None,
        certainty: Sequence[Tensor | float],
    ) -> Modulated:
        """All parameters of a branch at once; equal to `regrad` for each of them."""
        lead = None if fastest is None else fastest.index

        def weights(grams: Mapping[int, Tensor]) -> dict[int, Tensor]:
            return {m: regrad_weights(gram, m, lead, certainty, rule=self.rule) for m, gram in grams.items()}

        return modulate(gradients, branches, weights)

    def _modulate_released(
        self,
        gradients: Sequence[Gradients],
        until: int,
        assignment: Assignment,
        fastest: Modality | None,
        certainty: Sequence[Tensor | float],
    ) -> Modulated:
        """The released loop, parameter by parameter, as far as it comes (D1)."""
        conflicts, squares = _Conflicts(), [0.0, 0.0, 0.0]
        modulated: list[Tensor | None] = [None] * len(gradients)
        for position in range(until):
            branch, given = assignment[position][1], gradients[position]
            if branch is None:
                raise RuntimeError(
                    "a trainable parameter outside the branches has modality gradients: the released ReGrad cannot "
                    "take this step (D17); use released=False, or give the parameter to a branch"
                )
            result = regrad(given, branch, fastest, certainty, rule=self.rule, released=True)
            assert result is not None
            conflicts.count(given, branch.index)
            squares[branch.index] += float(result.square().sum())
            modulated[position] = result
        norms = (squares[0] ** 0.5, squares[1] ** 0.5, squares[2] ** 0.5)
        return Modulated(modulated, conflicts.rate(), norms)

    @staticmethod
    def _first_without_gradient(assignment: Assignment, by_loss: Sequence[Gradients | None]) -> int:
        """Number of leading trainable parameters that the released loop reaches before its index sticks (D1).

        In the branch of a missing modality zeros count as no gradient: they come from computing all modalities in one
        batch, where the released code leaves the missing one out.
        """
        position = 0
        for parameter, branch in assignment:
            if not parameter.requires_grad:
                return position
            given = [of_loss[position] for of_loss in by_loss if of_loss is not None]
            missing = branch is not None and by_loss[branch.index] is None
            if not any(g is not None and (not missing or bool(g.any())) for g in given):
                return position
            position += 1
        return position


class _Conflicts:
    """Counts how often another modality's gradient points against the branch's own."""

    def __init__(self) -> None:
        self.pairs = 0
        self.negative = 0

    def count(self, gradients: Sequence[Tensor | None], branch: int) -> None:
        own = gradients[branch]
        if own is None:
            return
        for i, other in enumerate(gradients):
            if i == branch or other is None:
                continue
            dot = float((own * other).sum())
            self.pairs += dot != 0
            self.negative += dot < 0

    def rate(self) -> float:
        return self.negative / self.pairs if self.pairs else float("nan")


def _add(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return first if second is None else second
    return first + second


def _index(modality: Modality | int) -> int:
    return modality.index if isinstance(modality, Modality) else int(modality)


def _strictly_lowest(values: Sequence[float]) -> Modality | None:
    lowest = min(values)
    holders = [modality for modality, value in zip(MODALITIES, values, strict=True) if value == lowest]
    return holders[0] if len(holders) == 1 and lowest < float("inf") else None
