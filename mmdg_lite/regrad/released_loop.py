"""What the released ReGrad does otherwise with a step's gradients: four faults, off by default (D1, D15, D17, D21)."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmdg_lite.regrad.branches import Assignment
from mmdg_lite.regrad.gradients import Flattened, Gradients
from mmdg_lite.regrad.rule import EPSILON, regrad_weights

LOOP_FAULTS = frozenset({"D1", "D15", "D17", "D21"})
"""The faults that are reproduced here."""


def reached_by_the_loop(
    gradients: Sequence[Gradients], assignment: Assignment, missing: Sequence[bool], faults: frozenset[str]
) -> list[Gradients]:
    """The gradients that the released loop takes up: those of all parameters, or of the first ones (D1).

    Its index stands still from the first parameter without a modality gradient on, so that later ones get none. In the
    branch of a missing modality zeros count as no gradient: they come from computing all modalities in one batch, where
    the released code leaves the missing one out.

    Args:
        gradients: per trainable parameter.
        assignment: all parameters in the model's order, frozen ones too, with their branches.
        missing: which modalities no sample has.
        faults: D1 and D17, or one of them, or neither.

    Returns:
        Per trainable parameter; three times None for those that the loop does not reach.

    Raises:
        RuntimeError: a parameter outside the branches has modality gradients (D17).
    """
    remaining = iter(gradients)
    reached: list[Gradients] = []
    for parameter, branch in assignment:
        if not parameter.requires_grad:
            if "D1" in faults:
                break
            continue
        given = [None if gone else g for g, gone in zip(next(remaining), missing, strict=True)]
        own_missing = branch is not None and missing[branch.index]
        if "D1" in faults and not any(g is not None and (not own_missing or bool(g.any())) for g in given):
            break
        if "D17" in faults and branch is None and any(g is not None for g in given):
            raise RuntimeError(
                "a trainable parameter outside the branches has modality gradients: the released ReGrad cannot "
                "take this step (D17); use released=False, or give the parameter to a branch"
            )
        reached.append(given)
    return reached + [[None] * len(missing)] * (len(gradients) - len(reached))


def released_weights(
    flat: Mapping[int, Flattened],
    grams: Mapping[int, Tensor],
    fastest: int | None,
    certainty: Sequence[Tensor | float],
    *,
    rule: str,
    faults: frozenset[str],
) -> dict[int, Tensor]:
    """ReGrad's weights (T x 3) by branch with the released epsilon (D15) and single gradients modulated (D21)."""
    return {
        m: regrad_weights(
            gram,
            m,
            fastest,
            certainty,
            rule=rule,
            epsilon=EPSILON if "D15" in faults else 0.0,
            given=flat[m].given() if "D21" in faults else None,
        )
        for m, gram in grams.items()
    }
