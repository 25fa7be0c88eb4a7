"""Faults of a training step: losses and gradients that are not finite, and too little memory."""

import gc
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.outputs import Losses


class NonFiniteLoss(RuntimeError):
    """A loss, a gradient or a score is NaN or infinite; the message says which, at which step and for which samples."""


class Fault(Exception):
    """A loss or a gradient of one step is NaN or infinite; the message says which."""


def check_losses(losses: Losses) -> None:
    """Raise `Fault` naming the first loss that is NaN or infinite, such as "the depth loss is nan"."""
    names = ("total", *(modality.value for modality in MODALITIES))
    for name, loss in zip(names, (losses.total, *losses.modalities), strict=True):
        if loss is not None and not math.isfinite(float(loss.detach())):
            raise Fault(f"the {name} loss is {float(loss.detach())}")


def check_gradients(branches: Sequence[tuple[nn.Parameter, Modality | None]]) -> None:
    """Raise `Fault` naming the first branch with a gradient that is NaN or infinite."""
    given = [(parameter.grad, branch) for parameter, branch in branches if parameter.grad is not None]
    if bool(torch.nn.utils.get_total_norm([gradient for gradient, _ in given]).isfinite()):
        return
    for gradient, branch in given:
        if not bool(gradient.isfinite().all()):
            raise Fault(f"a gradient of {'the head' if branch is None else f'the {branch.value} branch'} is not finite")


def explain(fault: str, *, step: int, ids: Sequence[str]) -> str:
    """A fault with the step (from 1) and the samples at which it happened, and what to do."""
    samples = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return (
        f"{fault} at step {step} for samples {samples}; look at these samples or lower the learning rate "
        "(training.learning_rate), or pass over such batches (training.non_finite='skip')"
    )


class OutOfMemory(RuntimeError):
    """The device's memory does not hold a training step; the message says with which batch size it would."""


def memory_shortage(error: Exception) -> str:
    """The first line of an error that says that memory is used up; an error of another kind is raised again."""
    if not is_out_of_memory(error):
        raise error
    return str(error).splitlines()[0] if str(error) else "no memory left"


def is_out_of_memory(error: BaseException) -> bool:
    """True for an error that says that memory is used up: an accelerator's, or the host's by PyTorch or Python."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)


def largest_that_fits(attempt: Callable[[int], None], batch_size: int) -> int | None:
    """The largest of batch_size / 2, / 4, ... with which a step can be made.

    Args:
        attempt: makes a step with so many samples and throws its results away.
        batch_size: what did not fit.

    Returns:
        The number of samples, or None if not even one fits. Errors of another kind are raised.
    """
    while batch_size > 1:
        batch_size //= 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if _fits(attempt, batch_size):
            return batch_size
    return None


def _fits(attempt: Callable[[int], None], size: int) -> bool:
    try:
        attempt(size)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
