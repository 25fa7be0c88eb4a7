"""The three modality losses' gradients of many parameters as one matrix: one product instead of one per parameter.

Every balancing rule makes of a parameter's three gradients a weighted sum, and its weights depend on nothing but the
3 x 3 products of these gradients with each other, their Gram matrix. So the gradients are laid side by side, all Gram
matrices are computed at once, a rule turns them into weights, and one weighted sum gives all results. That the weights
follow from the Gram matrix alone is an idea of TorchJD (Quinton and Rey, "Jacobian Descent for Multi-Objective
Optimization", arXiv 2406.16232).
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from mmdg_lite.modality import MODALITIES

PAIRS = [(i, j) for i in range(len(MODALITIES)) for j in range(i, len(MODALITIES))]


Gradients = Sequence[Tensor | None]
"""Of L_R, L_D and L_I with respect to one parameter; None where a loss does not reach it."""


class Flattened:
    """Gradients of L_R, L_D and L_I with respect to T tensors of n entries in all.

    Everything is computed in float64, in which the square of every float32 number is an ordinary number: no scale of
    the gradients is too small or too large (D15). It stays on the gradients' device, except where that has no float64.

    Args:
        gradients: for each of the T tensors its three gradients, of one shape, not all of them None; None is zero.
    """

    def __init__(self, gradients: Sequence[Gradients]) -> None:
        self.gradients = gradients
        self.like = [next(g for g in of_tensor if g is not None) for of_tensor in gradients]
        self.sizes = [g.numel() for g in self.like]
        self.device = self.like[0].device
        home = torch.device("cpu") if self.device.type == "mps" else self.device
        zeros = self.like[0].new_zeros(max(self.sizes))
        rows = [
            torch.cat([zeros[:size] if g is None else g.flatten() for g, size in zip(column, self.sizes, strict=True)])
            for column in zip(*gradients, strict=True)
        ]
        self.rows = torch.stack(rows).to(home, torch.float64)  # 3 x n
        self.lengths = torch.tensor(self.sizes).to(home)  # T

    def given(self) -> Tensor:
        """Which gradients are not None, T x 3 bools."""
        return torch.tensor([[g is not None for g in of_tensor] for of_tensor in self.gradients]).to(self.rows.device)

    def gram(self) -> Tensor:
        """Products of each tensor's gradients with each other: T x 3 x 3, float64, symmetric."""
        gram = self.rows.new_empty(len(self.sizes), len(MODALITIES), len(MODALITIES))
        for i, j in PAIRS:
            gram[:, i, j] = gram[:, j, i] = self.sums(self.rows[i] * self.rows[j])
        return gram

    def sums(self, entries: Tensor) -> Tensor:
        """Sum over each tensor's entries: n to T."""
        return torch.segment_reduce(entries, "sum", lengths=self.lengths, unsafe=True)

    def spread(self, values: Tensor) -> Tensor:
        """One value per tensor for each of its entries: T to n, or 3 x T to 3 x n."""
        return torch.repeat_interleave(values, self.lengths, dim=-1, output_size=self.rows.shape[1])

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Sum of the three gradients by each tensor's own weights (T x 3): n entries, float64."""
        return (self.spread(rearrange(weights, "t m -> m t")) * self.rows).sum(dim=0)

    def split(self, entries: Tensor) -> list[Tensor]:
        """n entries as T tensors of the gradients' shapes, types and device."""
        dtype = max((g.dtype for g in self.like), key=lambda dtype: dtype.itemsize)
        pieces = entries.to(self.device, dtype).split(self.sizes)
        return [piece.view(g.shape).to(g.dtype) for piece, g in zip(pieces, self.like, strict=True)]


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
