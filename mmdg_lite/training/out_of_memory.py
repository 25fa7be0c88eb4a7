"""What to say when a device has too little memory for a batch: which batch it has enough for."""

import gc
from collections.abc import Callable

import torch


class OutOfMemory(RuntimeError):
    """The device's memory does not hold a training step; the message says with which batch size it would."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up: an accelerator's, or the host's as PyTorch or Python reports it."""
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
