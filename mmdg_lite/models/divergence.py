"""A term that ties the adapters' Gaussian queries to N(0, 1), for study (D11).

Uncertainty is detached from the graph, so that no loss trains it: log-variances are moved by sampling noise alone. The
term KL(N(mu, s^2) || N(0, 1)) gives them a place to go. Its gradient is part of the total loss's: no modality asks for
it, so there is nothing for ReGrad to balance.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmdg_lite.attention import CertaintyAttention


class Divergences(list[Tensor]):
    """What a forward pass adds. Once closed it takes nothing more: not what backward passes compute again."""

    closed = False

    def append(self, values: Tensor) -> None:
        """One more adapter call's, unless closed."""
        if not self.closed:
            super().append(values)


@contextmanager
def watched_divergence(model: nn.Module, *, wanted: bool = True) -> Iterator[Divergences]:
    """While it lasts, every adapter call adds its queries' divergences to the list; none if they are not `wanted`."""
    collected = Divergences()
    parts = [module for module in model.modules() if isinstance(module, CertaintyAttention)] if wanted else []
    for part in parts:
        part.divergences = collected
    try:
        yield collected
    finally:
        for part in parts:
            part.divergences = None


def mean_divergence(collected: Sequence[Tensor]) -> Tensor:
    """Mean over calls, samples, tokens and channels, of the sum of both sides' divergences; a scalar, in nats.

    Tokens of a missing receiver count too. Raises `ValueError` if there is none: no adapter has uncertainty.
    """
    if not collected:
        raise ValueError("training.uncertainty_kl needs adapters with uncertainty; set it to 0 for this method")
    return torch.cat([values.flatten() for values in collected]).mean()
