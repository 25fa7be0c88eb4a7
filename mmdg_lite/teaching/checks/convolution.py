"""Checks of assignment 2: central differences, and tokens as an image."""

import math
from collections.abc import Callable

import numpy as np
import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional

from mmdg_lite.adapters import CentralDifferenceConv2d
from mmdg_lite.teaching.checks.task import Inputs, Task


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


def _inside_only(x: Tensor, weight: Tensor, theta: float) -> Tensor:
    """Differences from the centre of those neighbours only that lie in the image."""
    ones = torch.ones_like(x[:1, :1])
    each = rearrange(weight, "o i h w -> (o i) 1 h w")
    there = rearrange(functional.conv2d(ones, each, padding=1)[0], "(o i) h w -> o i h w", i=x.shape[1])
    return functional.conv2d(x, weight, padding=1) - theta * einsum(x, there, "b i h w, o i h w -> b o h w")


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
        "theta and 1 - theta are exchanged: theta is the share of the differences": (
            lambda x, weight, theta: central_difference(x, weight, 1 - theta)
        ),
        "the kernel is turned round: networks' convolutions, such as conv2d, do not flip it": (
            lambda x, weight, theta: central_difference(x, weight.flip(2, 3), theta)
        ),
        "right inside, wrong at the border: zeros outside of the image are neighbours too, all nine weights count": (
            _inside_only
        ),
    },
    symptoms={
        "outside of the image are zeros; you continue the image": lambda answer: (
            float(answer(torch.ones(1, 1, 3, 3).double(), torch.ones(1, 1, 3, 3).double(), 0.0)[0, 0, 0, 0]) == 9
        ),
        "you subtract theta x; x is also multiplied by the kernel's sum": lambda answer: (
            float(answer(torch.ones(1, 1, 5, 5).double(), torch.ones(1, 1, 3, 3).double(), 0.5)[0, 0, 2, 2]) == 8.5
        ),
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


def _scrambled_back(tokens: Tensor, convolve: Callable[[Tensor], Tensor]) -> Tensor:
    """Right on the way to the image, mixed up on the way back."""
    right = convolve_tokens(tokens, convolve)
    image = rearrange(right[:, 1:], "b n c -> b c n")
    return torch.cat([right[:, :1], image.reshape(right[:, 1:].shape)], dim=1)


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
        "on the way back, reshape alone mixes channels with places: the channels have to be moved behind the grid": (
            _scrambled_back
        ),
        "your class token is zero; it is convolved like the others, as an image of one pixel": (
            lambda tokens, convolve: _over_image(tokens, convolve, "b (h w) c -> b c h w", class_token=torch.zeros_like)
        ),
        "the class token comes first in the result too": (
            lambda tokens, convolve: convolve_tokens(tokens, convolve).roll(-1, dims=1)
        ),
    },
    symptoms={
        "the class token is missing from the result": lambda answer: (
            answer(torch.zeros(1, 5, 1).double(), lambda image: image).shape[1] == 4
        ),
    },
)


TASKS = (check_central_difference, check_convolve_tokens)
