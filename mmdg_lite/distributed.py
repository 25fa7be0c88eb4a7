"""Several processes (ranks) that train one model: R ranks take the step that one process takes with the R-fold batch.

ReGrad is not linear in the gradients, so averaging what it gives would be something else: each loss's gradients are
summed over the ranks before they are modulated. A loss averages over samples, of which ranks may hold unequal numbers,
and a modality's over those that have it: each rank's mean is weighed by its share of the samples.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mmdg_lite.outputs import Losses, Output

T = TypeVar("T")


@contextmanager
def ranks(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did; gives the device of this one.

    Args:
        device: what all of them compute on; of several CUDA devices each rank takes the one of its local number.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def count() -> int:
    """R, the number of ranks; 1 without any."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """This rank's number from 0; the first writes files and logs."""
    return dist.get_rank() if dist.is_initialized() else 0


def gathered(value: T) -> list[T]:
    """The values of all ranks, in their order."""
    if count() == 1:
        return [value]
    box: list[Any] = [None] * count()
    dist.all_gather_object(box, value)
    return box


def joint(losses: Losses, output: Output) -> tuple[Losses, list[Tensor]]:
    """Losses and mean certainties over the samples of all ranks.

    A loss's value is that over all ranks; its gradient is this rank's part of it, to be summed by `sum_gradients`. A
    modality that no rank's samples have stays None; one that others' have is a constant here.

    Returns:
        (losses, U_R, U_D, U_I).
    """
    if count() == 1:
        return losses, output.mean_certainty()
    own = [losses.total, *losses.modalities]
    members = output.present.sum(dim=0)  # 3
    sizes = torch.cat([members.new_tensor([len(output.present)]), members]).double()  # 4
    zero = torch.zeros((), dtype=torch.double, device=sizes.device)
    sums = torch.stack([zero if loss is None else loss.detach().double() for loss in own]) * sizes
    certainty = torch.stack(output.mean_certainty()).detach().double() * sizes[1:]
    everything = torch.cat([sizes, sums, certainty])
    dist.all_reduce(everything)
    all_sizes, all_sums, all_certainty = everything.split([4, 4, 3])
    parts: list[Tensor | None] = []
    for i, loss in enumerate(own):
        if not all_sizes[i]:
            parts.append(None)
            continue
        value = (all_sums[i] / all_sizes[i]).to(losses.total.dtype)
        if loss is None:
            parts.append(value)
        else:
            part = loss * (sizes[i] / all_sizes[i]).to(loss.dtype)
            parts.append(part + (value - part).detach())
    total, r, d, i_ = parts
    assert total is not None
    mean = all_certainty / all_sizes[1:].clamp(min=1)
    return Losses(total, (r, d, i_)), list(mean.to(output.certainty.dtype).unbind())


def sum_gradients(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """One loss's gradients summed over the ranks, in one exchange; None where no rank has one."""
    if count() == 1:
        return list(gradients)
    given = torch.tensor([gradient is not None for gradient in gradients], device=parameters[0].device)
    flat = torch.cat(
        [
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for gradient, parameter in zip(gradients, parameters, strict=True)
        ]
        + [given.to(parameters[0].dtype)]
    )
    dist.all_reduce(flat)
    *summed, given = flat.split([*(parameter.numel() for parameter in parameters), len(parameters)])
    return [
        gradient.view_as(parameter) if reached else None
        for gradient, parameter, reached in zip(summed, parameters, given.tolist(), strict=True)
    ]
