"""Checks of assignment 2: central differences, tokens as an image, attention under certainty, the adapter."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from mmdg_lite.activation import quick_gelu
from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.checks.task import Inputs, Task
from mmdg_lite.convolution import CentralDifferenceConv2d


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    """Standard normal draws in float64."""
    return torch.from_numpy(rng.standard_normal(shape))


def _image(rng: np.random.Generator) -> Inputs:
    channels_in, channels_out = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    return {
        "x": normal(rng, 2, channels_in, int(rng.integers(3, 7)), int(rng.integers(3, 7))),
        "weight": normal(rng, channels_out, channels_in, 3, 3),
        "theta": float(rng.uniform(0.2, 0.9)),
    }


def central_difference(x: Tensor, weight: Tensor, theta: float) -> Tensor:
    """The package's convolution with a given kernel C_out x C_in x 3 x 3."""
    layer = CentralDifferenceConv2d(weight.shape[1], weight.shape[0], theta=theta).to(weight.dtype)
    layer.load_state_dict({"conv.weight": weight})
    with torch.no_grad():
        return layer(x)


def _two_convolutions(share: Callable[[float], float], centre: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """share(theta) conv3x3 - theta conv1x1, with the 1x1 kernel that `centre` makes."""

    def wrong(x: Tensor, weight: Tensor, theta: float) -> Tensor:
        return share(theta) * functional.conv2d(x, weight, padding=1) - theta * functional.conv2d(x, centre(weight))

    return wrong


def _sum(weight: Tensor) -> Tensor:
    return weight.sum(dim=(2, 3), keepdim=True)


check_central_difference = Task(
    name="central_difference",
    reference=central_difference,
    draw=_image,
    mistakes={
        "you subtract the kernel's centre weight only; the 1x1 kernel is the sum over all nine": (
            _two_convolutions(lambda theta: 1, lambda weight: weight[:, :, 1:2, 1:2])
        ),
        "the 1x1 kernel is the sum over space, not the mean": (
            _two_convolutions(lambda theta: 1, lambda weight: weight.mean(dim=(2, 3), keepdim=True))
        ),
        "the central part is added; it is subtracted, so that a constant image gives less": (
            _two_convolutions(lambda theta: 1, lambda weight: -_sum(weight))
        ),
        "the ordinary convolution keeps its full weight: do not multiply it by 1 - theta": (
            _two_convolutions(lambda theta: 1 - theta, _sum)
        ),
        "theta has no effect: this is the ordinary convolution": (
            lambda x, weight, theta: functional.conv2d(x, weight, padding=1)
        ),
    },
    symptoms={
        "the image has become smaller: zero padding of 1 keeps its size": lambda answer: (
            answer(torch.ones(1, 1, 5, 5).double(), torch.ones(1, 1, 3, 3).double(), 0.5).shape[-1] < 5
        ),
    },
)


def _tokens(rng: np.random.Generator) -> Inputs:
    channels, grid = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    weight = normal(rng, channels, channels, 3, 3)
    return {
        "tokens": normal(rng, 2, 1 + grid**2, channels),
        "convolve": lambda image: functional.conv2d(image, weight, padding=1),
    }


def convolve_tokens(tokens: Tensor, convolve: Callable[[Tensor], Tensor]) -> Tensor:
    """Patches as a square image row by row, the class token (first) as an image of one pixel."""
    return _over_image(tokens, convolve, "b (h w) c -> b c h w", class_token=convolve)


def _over_image(
    tokens: Tensor,
    convolve: Callable[[Tensor], Tensor],
    pattern: str,
    *,
    class_token: Callable[[Tensor], Tensor],
) -> Tensor:
    grid = math.isqrt(tokens.shape[1] - 1)
    image = rearrange(tokens[:, 1:], pattern, h=grid, w=grid)
    left, right = pattern.split(" -> ")
    first = rearrange(class_token(rearrange(tokens[:, :1], "b 1 c -> b c 1 1")), "b c 1 1 -> b 1 c")
    return torch.cat([first, rearrange(convolve(image), f"{right} -> {left}")], dim=1)


def _class_token_last(tokens: Tensor, convolve: Callable[[Tensor], Tensor]) -> Tensor:
    return convolve_tokens(tokens.roll(1, dims=1), convolve).roll(-1, dims=1)


def _scrambled(tokens: Tensor, convolve: Callable[[Tensor], Tensor]) -> Tensor:
    """reshape in the place of a transposition: channels and places are mixed up."""
    batch, count, channels = tokens.shape
    grid = math.isqrt(count - 1)
    image = convolve(tokens[:, 1:].reshape(batch, channels, grid, grid))
    first = rearrange(convolve(rearrange(tokens[:, :1], "b 1 c -> b c 1 1")), "b c 1 1 -> b 1 c")
    return torch.cat([first, image.reshape(batch, count - 1, channels)], dim=1)


check_convolve_tokens = Task(
    name="convolve_tokens",
    reference=convolve_tokens,
    draw=_tokens,
    mistakes={
        "the class token passes unchanged; it is convolved too, as an image of one pixel": (
            lambda tokens, convolve: _over_image(
                tokens, convolve, "b (h w) c -> b c h w", class_token=lambda pixel: pixel
            )
        ),
        "the class token is the first one, not the last": _class_token_last,
        "rows and columns of the image are exchanged: patches are stored row by row": (
            lambda tokens, convolve: _over_image(tokens, convolve, "b (w h) c -> b c h w", class_token=convolve)
        ),
        "reshape alone mixes channels with places: the channels have to be moved in front of the grid first": (
            _scrambled
        ),
    },
    symptoms={
        "the class token is missing from the result": lambda answer: (
            answer(torch.zeros(1, 5, 1).double(), lambda image: image).shape[1] == 4
        ),
    },
)


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
) -> Tensor:
    """The steps of `CrossAdapter.forward`, each of which can be left out."""
    a = layers.norm_receiver(quick_gelu(layers.down_receiver(receiver)))  # B x N x d
    b = getattr(layers, sender_norm)(quick_gelu(layers.down_sender(sender)))  # B x N x d
    attended = layers.attention(b, a)[0]
    y = a + attended if residual else attended
    y = y + layers.mlp(layers.norm_sender(y) if second_norm else y)
    y = layers.convolution.forward_tokens(y)
    return layers.up(quick_gelu(y) if last_activation else y)  # B x N x C


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
    },
)

TASKS = (check_central_difference, check_convolve_tokens, check_certain_attention, check_adapter_update)
