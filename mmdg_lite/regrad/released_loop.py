"""The loop of the released ReGrad, with its faults (D1, D15, D17, D21): parameter by parameter, until it sticks."""

from collections.abc import Sequence

from torch import Tensor

from mmdg_lite.modality import Modality
from mmdg_lite.regrad.branches import Assignment
from mmdg_lite.regrad.modulation import Gradients, Modulated
from mmdg_lite.regrad.rule import Rule, regrad
from mmdg_lite.released import Released, faults

LOOP_FAULTS = frozenset({"D1", "D15", "D17", "D21"})
"""Faults for which gradients are modulated here."""


def modulate_released(
    by_loss: Sequence[Gradients | None],
    assignment: Assignment,
    fastest: Modality | None,
    certainty: Sequence[Tensor | float],
    *,
    rule: Rule,
    released: Released = True,
) -> Modulated:
    """Modulate parameter by parameter, as far as the released loop comes (D1) or, without that fault, all of them.

    Args:
        by_loss: for L_R, L_D and L_I the gradients of all trainable parameters; None for a missing modality.
        assignment: all parameters in the model's order, frozen ones too, with their branches.
        fastest: the fastest modality, None on a tie.
        certainty: U_R, U_D, U_I in [0, 1].
        rule: projection rule.
        released: which of the faults are kept.

    Raises:
        RuntimeError: a parameter outside the branches has modality gradients (D17).
    """
    kept, conflicts, squares = faults(released), _Conflicts(), [0.0, 0.0, 0.0]
    owners = [branch for parameter, branch in assignment if parameter.requires_grad]
    modulated: list[Tensor | None] = [None] * len(owners)
    until = _first_without_gradient(assignment, by_loss) if "D1" in kept else len(owners)
    for position, branch in enumerate(owners[:until]):
        given = [None if of_loss is None else of_loss[position] for of_loss in by_loss]
        if branch is None and "D17" in kept and any(gradient is not None for gradient in given):
            raise RuntimeError(
                "a trainable parameter outside the branches has modality gradients: the released ReGrad cannot "
                "take this step (D17); use released=False, or give the parameter to a branch"
            )
        if branch is None:
            modulated[position] = regrad(given, 0, None, certainty, rule="none")  # the plain sum
            continue
        modulated[position] = result = regrad(given, branch, fastest, certainty, rule=rule, released=kept)
        if result is not None:
            conflicts.count(given, branch.index)
            squares[branch.index] += float(result.square().sum())
    norms = (squares[0] ** 0.5, squares[1] ** 0.5, squares[2] ** 0.5)
    return Modulated(modulated, conflicts.rate(), norms, grams={})


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
