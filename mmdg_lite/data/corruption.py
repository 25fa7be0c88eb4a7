"""Corruption of a known region of one modality: ground truth for studies of local uncertainty."""

from dataclasses import replace
from typing import Any

import numpy as np
from einops import rearrange, reduce
from numpy.typing import NDArray

from mmdg_lite.data.renderer.noise import blur
from mmdg_lite.data.synthetic import Faces
from mmdg_lite.modality import Modality

Picture = NDArray[np.uint8]

CORRUPTIONS = ("noise", "blank", "blur", "shuffle", "saturate")
"""The kinds that studies of finished models use."""
TRAINED = ("noise", "blank", "blur", "saturate", "holes")
"""The kinds by which training samples are spoilt (`spoiling`)."""
HELD_OUT = ("shuffle", "stripes", "foreign")
"""The kinds that no training uses: whether certainty notices them too is what it was not taught."""
KINDS = tuple(dict.fromkeys((*CORRUPTIONS, *TRAINED, *HELD_OUT)))


def corrupt(
    faces: Faces, modality: Modality, region: NDArray[np.bool_], kind: str, rng: np.random.Generator
) -> tuple[Faces, NDArray[np.bool_]]:
    """Spoils one modality inside a region and leaves everything else as it is.

    Args:
        faces: n samples of H x W pixels.
        modality: the one to spoil.
        region: H x W or n x H x W, true where to spoil.
        kind: see `corrupt_image`. The foreign sample of each is the one before it.
        rng: source of the random kinds.

    Returns:
        The spoilt samples and the region as n x H x W booleans.

    Raises:
        ValueError: unknown kind, or a region of another shape or type.
    """
    images = faces[modality.value]
    n, _, height, width = images.shape
    if region.dtype != bool or region.shape not in ((height, width), (n, height, width)):
        expected = f"{height} x {width} or {n} x {height} x {width} booleans"
        raise ValueError(f"region is {region.dtype} of shape {region.shape}: it must be {expected}")
    mask = np.broadcast_to(region, (n, height, width))
    before = np.roll(images, 1, axis=0)
    pairs = zip(images, mask, before, strict=True)
    result = np.stack([corrupt_image(image, part, kind, rng, foreign=other) for image, part, other in pairs])
    changed: dict[str, Any] = {modality.value: result}
    return replace(faces, **changed), mask.copy()


def corrupt_image(
    image: Picture, region: NDArray[np.bool_], kind: str, rng: np.random.Generator, *, foreign: Picture | None = None
) -> Picture:
    """Spoils one image inside a region and leaves everything else as it is.

    Args:
        image: channels x H x W.
        region: H x W, true where to spoil.
        kind: "noise" (uniform random pixels), "blank" (0), "blur" (strong defocus), "saturate" (255), "holes" (half of
            the pixels 0), "shuffle" (the region's own pixels in random order), "stripes" (two rows of four 0) or
            "foreign" (the same place of another sample's image).
        rng: source of the random kinds.
        foreign: the other sample's image, channels x H x W; needed for "foreign" alone.

    Returns:
        The spoilt image, channels x H x W.

    Raises:
        ValueError: unknown kind, or "foreign" without another image.
    """
    if kind == "noise":
        spoilt = rng.integers(0, 256, image.shape, dtype=np.uint8)
    elif kind == "blank":
        spoilt = np.zeros_like(image)
    elif kind == "blur":
        spoilt = (blur(image.astype(np.float32), 12) + 0.5).astype(np.uint8)
    elif kind == "saturate":
        spoilt = np.full_like(image, 255)
    elif kind == "holes":
        spoilt = np.where(rng.random(region.shape) < 0.5, np.uint8(0), image)
    elif kind == "shuffle":
        spoilt = image.copy()
        rows, columns = np.nonzero(region)
        order = rng.permutation(len(rows))
        spoilt[:, rows, columns] = image[:, rows[order], columns[order]]
    elif kind == "stripes":
        black = np.arange(region.shape[0])[:, None] % 4 < 2  # H x 1
        spoilt = np.where(black, np.uint8(0), image)
    elif kind == "foreign":
        if foreign is None:
            raise ValueError('corruption "foreign" needs another sample\'s image')
        spoilt = foreign
    else:
        raise ValueError(f"unknown corruption {kind!r}: valid names are {', '.join(KINDS)}")
    return np.where(region, spoilt, image)


def random_rectangles(
    n: int, size: int, rng: np.random.Generator, *, low: float = 0.25, high: float = 0.5
) -> NDArray[np.bool_]:
    """n regions, n x size x size: rectangles whose sides are `low` to `high` of the image's, wholly inside it."""
    sides = np.maximum(1, np.round(size * rng.uniform(low, high, (2, n, 1)))).astype(int)
    corners = np.floor(rng.random((2, n, 1)) * (size - sides + 1)).astype(int)
    at = np.arange(size)
    rows, columns = (at >= corners) & (at < corners + sides)  # n x size each
    return rearrange(rows, "n h -> n h 1") & rearrange(columns, "n w -> n 1 w")


def patch_share(region: NDArray[np.bool_], patch: int) -> NDArray[np.float64]:
    """Share of each patch that lies in the region: n x H x W to n x (H/patch)(W/patch), in the order of ViT's tokens.

    Raises ValueError if the image is not a whole number of patches.
    """
    if region.shape[-1] % patch or region.shape[-2] % patch:
        raise ValueError(
            f"images of {region.shape[-2]} x {region.shape[-1]} do not divide into patches of {patch} pixels"
        )
    share: NDArray[np.float64] = reduce(region.astype(np.float64), "n (h p) (w q) -> n (h w)", "mean", p=patch, q=patch)
    return share
