"""QuickGELU, the activation of OpenAI's CLIP, made cheap to differentiate several times.

A ReGrad step goes backwards through the frozen trunk four times. Written as x * sigmoid(1.702 x), every pass recomputes
the derivative with five reads and writes of the widest tensors there are; here the derivative is computed once, in the
forward pass, and every backward pass is one multiplication.
"""

from typing import Any, TypeVar

import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SLOPE = 1.702
Model = TypeVar("Model", bound=nn.Module)


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        gate = torch.sigmoid(SLOPE * x)
        y = x * gate
        ctx.set_materialize_grads(False)
        # d/dx x s(ax) = s + a x s (1 - s) = s + a y (1 - s)
        ctx.save_for_backward(torch.addcmul(gate, y, 1 - gate, value=SLOPE) if ctx.needs_input_grad[0] else None)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None) -> Tensor | None:
        (derivative,) = ctx.saved_tensors
        return None if gradient is None else gradient * derivative


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), any shape. Differentiable once."""
    if torch.compiler.is_compiling():  # a compiler sees for itself what to keep
        return x * torch.sigmoid(SLOPE * x)
    return _QuickGELU.apply(x)


class CheapQuickGELU(nn.Module):
    """`quick_gelu` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return quick_gelu(x)


def replace_quick_gelu(model: Model) -> Model:
    """Put `CheapQuickGELU`, which has no parameters, in the place of every QuickGELU of a model. Returns the model."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, QuickGELU):
                setattr(module, name, CheapQuickGELU())
    return model
