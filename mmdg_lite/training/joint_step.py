"""One training step made of several parts: micro-batches one after the other, ranks side by side, or both.

ReGrad is not linear in the gradients, so averaging what it gives would be something else: each loss's gradients are
summed over the parts before they are modulated. A loss averages over samples, of which parts may hold unequal numbers,
and a modality's over those that have it: each part's mean is weighed by its share of the samples. So any division of a
batch takes the step that the undivided batch takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmdg_lite.models.outputs import Losses, Output
from mmdg_lite.regrad.gradients import LossGradients, gradients_by_loss
from mmdg_lite.runs.ranks import sum_in_place, world_size


@dataclass(frozen=True)
class Joint:
    """Losses and mean certainties U_R, U_D, U_I over the samples of all parts, and gradients by loss (`backward`)."""

    losses: Losses
    certainty: list[Tensor]
    gradients: list[LossGradients]


class JointStep:
    """Collects the parts of one step.

    Args:
        present: B x 3 bools, of all samples of this step that this process holds.
        parameters: what is differentiated.
        weight: of each modality's loss beside the total loss, in the gradients.
        apart: take the four losses' gradients apart, see `gradients_by_loss`.
    """

    def __init__(
        self,
        present: Tensor,
        parameters: Sequence[nn.Parameter],
        *,
        weight: float = 1.0,
        apart: bool = True,
    ) -> None:
        self.parameters, self.weight, self.apart = parameters, weight, apart
        self.sizes = sum_in_place(_sizes(present))  # 4
        self._sums = torch.zeros(7, dtype=self.sizes.dtype, device=self.sizes.device)
        self._gradients: list[LossGradients] = []
        self._precision = torch.float32
        self._of_modalities = False  # whether the method has modality losses

    @property
    def size(self) -> int:
        """Samples of the step, over all ranks."""
        return int(self.sizes[0])

    def add(self, losses: Losses, output: Output) -> None:
        """Take in a part's losses and certainties, and differentiate; the part's graph is freed."""
        own = _sizes(output.present)  # 4
        shares = own / self.sizes.clamp(min=1)
        values = [losses.total, *losses.modalities]
        parts = [
            None if loss is None else loss * share.to(loss.dtype) for loss, share in zip(values, shares, strict=True)
        ]
        zero = self._sums.new_zeros(())
        means = torch.stack([zero if loss is None else loss.detach().to(zero) for loss in values])  # 4
        certainty = torch.stack(output.mean_certainty()).detach().to(zero)  # 3
        self._sums += torch.cat([means * own, certainty * own[1:]])
        self._precision = losses.total.dtype
        self._of_modalities |= any(loss is not None for loss in losses.modalities)
        total, r, d, i = parts
        assert total is not None
        weighted = Losses(total, (r, d, i)).weighted(self.weight)
        made = gradients_by_loss(weighted, total, self.parameters, apart=self.apart)
        self._gradients = [_add(*pair) for pair in zip(self._gradients, made, strict=True)] if self._gradients else made

    def together(self) -> Joint:
        """The step as a whole, the same on every rank. A loss that no part has is None."""
        means = sum_in_place(self._sums) / torch.cat([self.sizes, self.sizes[1:]]).clamp(min=1)  # 7
        samples, *with_modality = self.sizes.tolist()
        there = [samples, *(size if self._of_modalities else 0 for size in with_modality)]
        total, r, d, i = (
            mean.to(self._precision) if size else None for mean, size in zip(means[:4], there, strict=True)
        )
        assert total is not None
        gradients, self._gradients = self._summed(), []
        return Joint(Losses(total, (r, d, i)), list(means[4:].to(self._precision).unbind()), gradients)

    def _summed(self) -> list[LossGradients]:
        """The gradients summed over the ranks, in one exchange; None where no rank has one."""
        if world_size() == 1:
            return self._gradients
        gradients = [gradient for of_loss in self._gradients for gradient in of_loss]
        parameters = [*self.parameters] * len(self._gradients)
        given = torch.tensor([gradient is not None for gradient in gradients], device=parameters[0].device)
        flat = torch.cat(
            [
                (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
                for gradient, parameter in zip(gradients, parameters, strict=True)
            ]
            + [given.to(parameters[0].dtype)]
        )
        *pieces, given = sum_in_place(flat).split([*(parameter.numel() for parameter in parameters), len(parameters)])
        summed = [
            piece.view_as(parameter) if reached else None
            for piece, parameter, reached in zip(pieces, parameters, given.tolist(), strict=True)
        ]
        own = len(self.parameters)
        return [summed[start : start + own] for start in range(0, len(summed), own)]


def _sizes(present: Tensor) -> Tensor:
    """How many samples there are, and how many have each modality: B x 3 to 4, in the best precision of the device."""
    sizes = torch.cat([present.new_tensor([len(present)], dtype=torch.long), present.sum(dim=0)])
    return sizes.to(torch.float32 if present.device.type == "mps" else torch.float64)


def _add(first: LossGradients, second: LossGradients) -> LossGradients:
    return [b if a is None else a if b is None else a + b for a, b in zip(first, second, strict=True)]
