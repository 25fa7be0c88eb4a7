"""Seeded random fields and small filters for the renderer: numpy alone, float32, vectorised over a batch of images."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.floating[Any]]

REFERENCE_SIZE = 64
"""Lengths in pixels are those of a 64 x 64 image anywhere in the renderer; they are scaled to the size rendered."""


def column(values: object) -> Float:
    """Turns n numbers, one per image, into an n x 1 x 1 float32 array that broadcasts over n x H x W."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


def uniform(rng: np.random.Generator, n: int, low: ArrayLike, high: ArrayLike) -> Float:
    """n uniform numbers as n x 1 x 1; `low` and `high` are numbers or arrays of n."""
    lowest = np.broadcast_to(np.asarray(low, float), n)
    return column(lowest + (np.broadcast_to(np.asarray(high, float), n) - lowest) * rng.random(n))


def smoothstep(values: Float, low: float | Float, high: float | Float) -> Float:
    """Hermite step: 0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=64)
def interpolation_matrix(size: int, cells: int) -> Float:
    """size x cells matrix whose rows interpolate `cells` equally spaced values smoothly (cosine weights)."""
    position = np.linspace(0, cells - 1, size)
    left = np.clip(np.floor(position).astype(int), 0, cells - 2)
    weight = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    matrix = np.zeros((size, cells), np.float32)
    matrix[np.arange(size), left] = 1 - weight
    matrix[np.arange(size), left + 1] = weight
    return matrix


def smooth_noise(rng: np.random.Generator, n: int, size: int, cells: int | tuple[int, int]) -> Float:
    """n low-frequency noise images, n x size x size, roughly standard normal at the grid's knots.

    A coarse field of `cells` rows and columns (one number or a pair) sandwiched between two interpolation
    matrices; the same numbers are drawn at every size, so that a scene looks the same at 64 and at 224 pixels.
    """
    rows, columns = (cells, cells) if isinstance(cells, int) else cells
    coarse = rng.standard_normal((n, rows, columns), dtype=np.float32)
    return interpolation_matrix(size, rows) @ coarse @ interpolation_matrix(size, columns).T  # n x size x size


def _shift_mean(images: Float, axis: int, step: int) -> Float:
    """Binomial (1, 2, 1)/4 along one axis with neighbours `step` pixels away; borders repeat the edge."""
    moved = np.moveaxis(images, axis, -1)
    padded = np.concatenate([moved[..., :1].repeat(step, -1), moved, moved[..., -1:].repeat(step, -1)], -1)
    length = moved.shape[-1]
    mean = padded[..., :length] + padded[..., 2 * step :]
    mean += 2 * moved
    mean *= 0.25
    return np.moveaxis(mean, -1, axis)


def binomial(images: Float, step: int = 1) -> Float:
    """Separable binomial blur of ... x H x W images (standard deviation 0.7 `step` pixels).

    Steps above one first average over finer steps, so that no pixel is skipped.
    """
    for fine in range(1, step + 1):
        images = _shift_mean(_shift_mean(images, -1, fine), -2, fine)
    return images


def blur(images: Float, amount: float | Float) -> Float:
    """Blurs images n x H x W or n x C x H x W by `amount` (a number or n of them) binomial passes at 64 pixels.

    Fractions blend the last pass in; 0 leaves an image alone. Larger images are blurred with longer steps.
    """
    n, size = images.shape[0], images.shape[-1]
    amounts = np.broadcast_to(np.asarray(amount, np.float32).reshape(-1), n)
    step = max(1, round(size / REFERENCE_SIZE))
    for level in range(int(np.ceil(amounts.max(initial=0)))):
        chosen = np.flatnonzero(amounts > level)
        weight = np.clip(amounts[chosen] - level, 0, 1).reshape((-1,) + (1,) * (images.ndim - 1))
        part = images[chosen]
        part += weight * (binomial(part, step) - part)
        if len(chosen) == n:
            images = part
        else:
            images = images.copy()
            images[chosen] = part
    return images


def gradient(images: Float, pixel: Float) -> tuple[Float, Float]:
    """Central differences of n x H x W along x (to the right) and y (upward), in the unit of `pixel` (n x 1 x 1)."""
    across, upward = np.zeros_like(images), np.zeros_like(images)
    across[..., 1:-1] = images[..., 2:] - images[..., :-2]
    across[..., 0] = 2 * (images[..., 1] - images[..., 0])
    across[..., -1] = 2 * (images[..., -1] - images[..., -2])
    upward[..., 1:-1, :] = images[..., :-2, :] - images[..., 2:, :]
    upward[..., 0, :] = 2 * (images[..., 0, :] - images[..., 1, :])
    upward[..., -1, :] = 2 * (images[..., -2, :] - images[..., -1, :])
    scale = 0.5 / pixel
    across *= scale
    upward *= scale
    return across, upward
