"""Gradients of several losses over one graph, which is freed with the last of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class _Visit(torch.autograd.Function):
    """The identity, except that no gradient comes back: a backward pass visits and frees what lies behind it."""

    @staticmethod
    def forward(ctx: object, loss: Tensor) -> Tensor:
        return loss.view_as(loss)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> None:
        return None


def gradients_of(
    loss: Tensor, parameters: Sequence[nn.Parameter], *, retain: bool, free: Sequence[Tensor | None] = ()
) -> list[Tensor | None]:
    """Gradients of `loss`; the graphs of `free` are freed with that of `loss`, without being differentiated (D19)."""
    if not loss.requires_grad:
        return [None] * len(parameters)
    visited = [_Visit.apply(other) for other in free if other is not None and other.requires_grad]
    return list(torch.autograd.grad([loss, *visited], parameters, retain_graph=retain, allow_unused=True))
