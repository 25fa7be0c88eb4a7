"""Gradients of several losses over one graph, which is freed with the last of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

LossGradients = list[Tensor | None]
"""One loss's gradient of each parameter, None where it does not reach."""


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
) -> LossGradients:
    """Gradients of `loss`; the graphs of `free` are freed with that of `loss`, without being differentiated (D19)."""
    if not loss.requires_grad:
        return [None] * len(parameters)
    visited = [_Visit.apply(other) for other in free if other is not None and other.requires_grad]
    return list(torch.autograd.grad([loss, *visited], parameters, retain_graph=retain, allow_unused=True))


def gradients_by_loss(
    modalities: Sequence[Tensor | None], total: Tensor, parameters: Sequence[nn.Parameter], *, apart: bool = True
) -> list[LossGradients]:
    """LossGradients of the total loss, then of L_R, L_D and L_I (None for no samples); the graph is freed.

    `apart=False` gives one list instead of four, the gradients of their sum, for one backward pass instead of four.
    """
    if not apart:
        everything = sum((loss for loss in modalities if loss is not None), total)
        return [gradients_of(everything, parameters, retain=False)]
    nothing: LossGradients = [None] * len(parameters)
    own = [nothing if loss is None else gradients_of(loss, parameters, retain=True) for loss in modalities]
    return [gradients_of(total, parameters, retain=False, free=modalities), *own]
