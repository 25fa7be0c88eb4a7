"""Random numbers of a batch's samples for a process that holds some of them only.

It draws what the whole batch needs and keeps its own samples' share: however a batch is divided, among ranks or in
time, every sample gets the numbers that it would have got undivided, and the generator ends in the same state.
"""

from collections.abc import Iterator
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


def normal(shape: Shape, *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal numbers of a shape, of the type and on the device of `like`.

    They are drawn on the generator's device (None: PyTorch's global generator of like's). If a `BatchGenerator` is
    asked for some samples of a batch only, the shape is ... x B x N x d, and each sample gets what it would get in the
    whole batch.

    Raises:
        ValueError: B is not the number of samples that the generator is asked for.
    """
    device = like.device if generator is None else generator.device
    return _own(
        torch.randn(_whole(shape, generator), generator=generator, device=device, dtype=like.dtype), like, generator
    )


def uniform(shape: Shape, *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Numbers of [0, 1) of a shape; `like`, `generator` and errors as in `normal`."""
    device = like.device if generator is None else generator.device
    return _own(
        torch.rand(_whole(shape, generator), generator=generator, device=device, dtype=like.dtype), like, generator
    )


def chi_square(degrees: int, shape: Shape, *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Chi-square numbers with so many degrees of freedom; `like`, `generator` and errors as in `normal`."""
    device = like.device if generator is None else generator.device
    if device.type == "mps":  # the gamma sampler exists for CPU and CUDA
        device = torch.device("cpu")
    half = torch.full(_whole(shape, generator), degrees / 2, device=device, dtype=like.dtype)
    return 2 * _own(torch._standard_gamma(half, generator=generator), like, generator)


def _whole(shape: Shape, generator: torch.Generator | None) -> Shape:
    """The shape to draw: that of the whole batch where a part of it is asked for."""
    if not isinstance(generator, BatchGenerator) or generator.places is None:
        return shape
    if shape[-3] != len(generator.places):
        raise ValueError(f"{shape[-3]} samples draw where {len(generator.places)} of a batch are expected")
    return (*shape[:-3], generator.size, *shape[-2:])


def _own(whole: Tensor, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Of what was drawn, the part that is asked for, on the device of `like`."""
    if isinstance(generator, BatchGenerator) and generator.places is not None:
        whole = whole.index_select(-3, generator.places.to(whole.device))
    return whole.to(like.device)
