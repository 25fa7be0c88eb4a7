"""Random numbers of a batch's samples for a process that holds some of them only.

It draws what the whole batch needs and keeps its own samples' share: however a batch is divided, among ranks or in
time, every sample gets the numbers that it would have got undivided, and the generator ends in the same state.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Shape = tuple[int, ...] | torch.Size


class BatchGenerator(torch.Generator):
    """A generator that knows which of a batch's samples are asked for; all of them, unless told otherwise."""

    places: Tensor | None = None
    size: int = 0

    @contextmanager
    def only(self, places: Tensor, size: int) -> Iterator[None]:
        """While it lasts, what is drawn is for the samples at these places (B integers) of a batch of `size`."""
        self.places, self.size = places, size
        try:
            yield
        finally:
            self.places = None


def drawn(draw: Callable[[Shape], Tensor], shape: Shape, generator: torch.Generator | None) -> Tensor:
    """What `draw` gives for a shape ... x B x N x d: for the samples that its generator is asked for.

    Raises:
        ValueError: B is not the number of samples that the generator is asked for.
    """
    if not isinstance(generator, BatchGenerator) or generator.places is None:
        return draw(shape)
    if shape[-3] != len(generator.places):
        raise ValueError(f"{shape[-3]} samples draw where {len(generator.places)} of a batch are expected")
    whole = draw((*shape[:-3], generator.size, *shape[-2:]))
    return whole.index_select(-3, generator.places.to(whole.device))
