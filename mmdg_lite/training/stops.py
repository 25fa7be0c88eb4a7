"""What is not finite in a training step, in words: training stops at it or passes over it, never goes on with it."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.outputs import Losses


class NonFiniteLoss(RuntimeError):
    """A loss, a gradient or a score is NaN or infinite; the message says which, at which step and for which samples."""


def loss_fault(losses: Losses) -> str | None:
    """The first loss that is NaN or infinite, such as "the depth loss is nan"; None if all are finite."""
    names = ("total", *(modality.value for modality in MODALITIES))
    for name, loss in zip(names, (losses.total, *losses.modalities), strict=True):
        if loss is not None and not math.isfinite(float(loss.detach())):
            return f"the {name} loss is {float(loss.detach())}"
    return None


def gradient_fault(branches: Sequence[tuple[nn.Parameter, Modality | None]]) -> str | None:
    """The first branch with a gradient that is NaN or infinite; None if all are finite."""
    given = [(parameter.grad, branch) for parameter, branch in branches if parameter.grad is not None]
    if bool(torch.nn.utils.get_total_norm([gradient for gradient, _ in given]).isfinite()):
        return None
    for gradient, branch in given:
        if not bool(gradient.isfinite().all()):
            return f"a gradient of {'the head' if branch is None else f'the {branch.value} branch'} is not finite"
    return None


def explain(fault: str, *, step: int, ids: Sequence[str]) -> str:
    """A fault with the step (from 1) and the samples at which it happened, and what to do."""
    samples = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return (
        f"{fault} at step {step} for samples {samples}; look at these samples or lower the learning rate "
        "(training.learning_rate), or pass over such batches (training.non_finite='skip')"
    )
