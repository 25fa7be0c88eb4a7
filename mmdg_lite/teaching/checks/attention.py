"""Checks of assignment 2: attention under certainty, and the adapter around it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.speed.quick_gelu import quick_gelu
from mmdg_lite.teaching.checks.convolution import normal
from mmdg_lite.teaching.checks.task import Inputs, Task


def _attention(rng: np.random.Generator) -> Inputs:
    heads, head_width, count = int(rng.integers(2, 4)), int(rng.integers(2, 4)), int(rng.integers(2, 6))
    q, k, v = normal(rng, 3, 2, heads, count, head_width)
    return {"q": q, "k": k, "v": v, "certainty": torch.from_numpy(rng.uniform(0.1, 0.9, (2, count, 1)))}


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    certainty: Tensor,
    *,
    scale: Callable[[int, int], float] = lambda heads, width: width**0.5,
    per: str = "b i 1 -> b 1 i 1",
    dim: int = -1,
    weigh_after: bool = False,
) -> Tensor:
    """softmax over `dim` of U q k^T / scale, times v; every part can be got wrong."""
    weight = rearrange(certainty, per)
    logits = q @ rearrange(k, "b h j e -> b h e j") / scale(q.shape[1], q.shape[3])  # B x H x N x N
    if weigh_after:
        return (weight * logits.softmax(dim=dim)) @ v
    return (weight * logits).softmax(dim=dim) @ v


def certain_attention(q: Tensor, k: Tensor, v: Tensor, certainty: Tensor) -> Tensor:
    """softmax(U_i q_i k_j / sqrt(e)) v, tensors B x H x N x e, U of B x N x 1."""
    return _attend(q, k, v, certainty)


def _two_heads() -> Inputs:
    """As many images as heads, so that certainty can meet the wrong ones without an error."""
    rng = np.random.default_rng(0)
    q, k, v = normal(rng, 3, 2, 2, 3, 4)
    return {"q": q, "k": k, "v": v, "certainty": torch.from_numpy(rng.uniform(0.1, 0.9, (2, 3, 1)))}


check_certain_attention = Task(
    name="certain_attention",
    reference=certain_attention,
    draw=_attention,
    mistakes={
        "the logits are divided by the root of the whole width; it is the width of one head, q's last dimension": (
            lambda **inputs: _attend(**inputs, scale=lambda heads, width: (heads * width) ** 0.5)
        ),
        "the logits are not divided by the root of the head's width": (
            lambda **inputs: _attend(**inputs, scale=lambda heads, width: 1.0)
        ),
        "your certainty belongs to the keys; row i of the logits, the query's, is multiplied by U_i": (
            lambda **inputs: _attend(**inputs, per="b j 1 -> b 1 1 j")
        ),
        "the softmax runs over the queries; the weights of one query over all keys sum to 1": (
            lambda **inputs: _attend(**inputs, dim=-2)
        ),
        "certainty multiplies the weights after the softmax, which then no longer sum to 1; it multiplies the logits": (
            lambda **inputs: _attend(**inputs, weigh_after=True)
        ),
        "certainty has no effect: this is plain attention": (
            lambda q, k, v, certainty: _attend(q, k, v, torch.ones_like(certainty))
        ),
        "certainty multiplies the values; it multiplies row i of the logits, the query's": (
            lambda q, k, v, certainty: _attend(q, k, certainty[:, None] * v, torch.ones_like(certainty))
        ),
        "you divide by certainty, which makes doubtful queries point more sharply; multiply": (
            lambda q, k, v, certainty: _attend(q, k, v, 1 / certainty)
        ),
        "queries and keys are exchanged: row i of the logits is q_i with every key": (
            lambda q, k, v, certainty: _attend(k, q, v, certainty)
        ),
        "the logits are divided by the root of the number of tokens; it is the width of one head, q's last dimension": (
            lambda q, k, v, certainty: _attend(q * (q.shape[3] / q.shape[2]) ** 0.5, k, v, certainty)
        ),
    },
    symptoms={
        "your certainty meets the heads: B x N x 1 needs a dimension for them before it can multiply B x H x N x N": (
            lambda answer: torch.allclose(answer(**_two_heads()), _attend(**_two_heads(), per="h i 1 -> 1 h i 1"))
        ),
        "the weights of a query do not sum to 1: with values of one, the result should be one": (
            lambda answer: (
                not torch.allclose(
                    answer(**_two_heads() | {"v": torch.ones(2, 2, 3, 4).double()}), torch.ones(1).double()
                )
            )
        ),
    },
)


def _adapter(rng: np.random.Generator) -> Inputs:
    width, grid = int(rng.integers(5, 9)), int(rng.integers(2, 4))
    layers = CrossAdapter(width, dim=4, heads=2).double()
    layers.load_state_dict({name: normal(rng, *value.shape) for name, value in layers.state_dict().items()})
    receiver, sender = normal(rng, 2, 2, 1 + grid**2, width)
    return {"receiver": receiver, "sender": sender, "layers": layers.requires_grad_(False)}


def _adapt(
    receiver: Tensor,
    sender: Tensor,
    layers: CrossAdapter,
    *,
    residual: bool = True,
    second_norm: bool = True,
    last_activation: bool = True,
    sender_norm: str = "norm_sender",
    activation: Callable[[Tensor], Tensor] = quick_gelu,
    norm_first: bool = False,
    receiver_asks: bool = False,
    mlp_residual: bool = True,
    convolve: bool = True,
) -> Tensor:
    """The steps of `CrossAdapter.forward`, each of which can be left out or got wrong."""

    def inner(down: nn.Linear, norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
        return activation(norm(down(tokens))) if norm_first else norm(activation(down(tokens)))

    a = inner(layers.down_receiver, layers.norm_receiver, receiver)  # B x N x d
    b = inner(layers.down_sender, getattr(layers, sender_norm), sender)  # B x N x d
    attended = layers.attention(a, b)[0] if receiver_asks else layers.attention(b, a)[0]
    y = a + attended if residual else attended
    y = layers.mlp(layers.norm_sender(y) if second_norm else y) + (y if mlp_residual else 0)
    y = layers.convolution.forward_tokens(y) if convolve else y
    return layers.up(activation(y) if last_activation else y)  # B x N x C


def adapter_update(receiver: Tensor, sender: Tensor, layers: CrossAdapter) -> Tensor:
    """The package's adapter."""
    return layers(receiver, sender)[0]


def _with(**changes: Any) -> Callable[..., Tensor]:
    return lambda **inputs: _adapt(**inputs, **changes)


check_adapter_update = Task(
    name="adapter_update",
    reference=adapter_update,
    draw=_adapter,
    mistakes={
        "receiver and sender are exchanged: the receiver's tokens become a, the sender's b": (
            lambda receiver, sender, layers: layers(sender, receiver)[0]
        ),
        "the attention replaces a; it is added to it: y = a + attention(b, a)": _with(residual=False),
        "the sender's norm is missing before W_mlp, where it serves a second time": _with(second_norm=False),
        "the second QuickGELU, after the convolution, is missing": _with(last_activation=False),
        "b has a norm of its own, norm_sender": _with(sender_norm="norm_receiver"),
        "this is the exact GELU; CLIP's QuickGELU is x sigmoid(1.702 x)": _with(activation=functional.gelu),
        "the norm comes after the QuickGELU, not before it": _with(norm_first=True),
        "the sender asks, the receiver answers: attention(b, a), not attention(a, b)": _with(receiver_asks=True),
        "W_mlp's result is added to y, it does not replace it": _with(mlp_residual=False),
        "the convolution over the tokens is missing": _with(convolve=False),
        "the receiver itself is in your result; the update alone is asked for, the block adds it": (
            lambda receiver, sender, layers: receiver + layers(receiver, sender)[0]
        ),
    },
)

TASKS = (check_certain_attention, check_adapter_update)
