"""Activation checkpointing: a block's intermediate results are computed again in each backward pass, not kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174. What a block draws has to be the same
again: its generator, which has moved on by then, is set back for the repetition and forward afterwards.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


def recomputed(block: Callable[[Tensor], T], x: Tensor, *, generator: torch.Generator | None) -> T:
    """block(x), for whose backward passes, of any number, no more than `x` is kept.

    Args:
        block: a function of `x` and of nothing else that changes; it may draw from `generator`.
        x: any tensor.
        generator: None for PyTorch's global ones.
    """
    if generator is None:
        return checkpoint(block, x, use_reentrant=False)
    contexts = nullcontext(), _Rewound(generator)
    return checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=lambda: contexts)


class _Rewound:
    """While it lasts, a generator is in the state in which it was when this was made; may be entered repeatedly."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.state = generator.get_state()

    def __enter__(self) -> None:
        self.now = self.generator.get_state()
        self.generator.set_state(self.state)

    def __exit__(self, *_: object) -> None:
        self.generator.set_state(self.now)
