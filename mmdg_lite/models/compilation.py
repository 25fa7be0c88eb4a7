"""torch.compile for the blocks of a frozen trunk, where most of a training step's time goes.

All blocks of a trunk are alike and share one compiled function for each of their halves. What lies between the halves
and after them, the adapters and their random numbers, stays as it is.
"""

from typing import Any

import torch
import torch._functorch.config
from torch import Tensor

from mmdg_lite.models.trunk import Trunk


class CompiledTrunk(Trunk):
    """The same trunk, attention and MLP of its blocks compiled when they are first called.

    Args:
        trunk: the view to take after.
    """

    def __init__(self, trunk: Trunk) -> None:
        vars(self).update(vars(trunk))
        self.plain = trunk
        # a compiled graph must survive the first of ReGrad's four backward passes
        torch._functorch.config.donated_buffer = False
        self._attention = torch.compile(trunk.attention_of, fullgraph=True)
        self._feed_forward = torch.compile(trunk.feed_forward_of, fullgraph=True)

    def patches(self, images: Tensor) -> Tensor:
        return self.plain.patches(images)

    def enter(self, x: Tensor) -> Tensor:
        return self.plain.enter(x)

    def attention_of(self, block: Any, x: Tensor) -> Tensor:
        return self._attention(block, x)

    def norm_of(self, block: Any, x: Tensor) -> Tensor:
        return self.plain.norm_of(block, x)

    def mlp_of(self, block: Any, h: Tensor) -> Tensor:
        return self.plain.mlp_of(block, h)

    def feed_forward_of(self, block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._feed_forward(block, x)

    def leave(self, x: Tensor) -> Tensor:
        return self.plain.leave(x)


def check_compiler(device: torch.device) -> None:
    """Raise `RuntimeError` saying what is missing if nothing can be compiled for this device here."""
    try:
        torch.compile(torch.sin, fullgraph=True)(torch.ones(2, device=device))
    except Exception as error:
        need = "a C++ compiler such as g++" if device.type == "cpu" else "Triton and a C compiler"
        reason = str(error).strip().splitlines()[0]
        raise RuntimeError(
            f"training.compile needs what torch.compile needs on {device.type}, {need}: install it, or set "
            f"training.compile=false, which gives the same results ({type(error).__name__}: {reason})"
        ) from error
