"""One sample's pictures, from files or arrays: uint8 H x W x C, of depth near bright and holes 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.real.decode import (
    Limits,
    Pixels,
    depth_grey,
    intensity_grey,
    read_colour,
    read_depth,
    read_infrared,
    resize,
)
from mmdg_lite.data.real.formats import PictureError
from mmdg_lite.modality import MODALITIES, Modality

__all__ = ["Decoding", "Pictures", "Source", "decode_pictures", "resized"]

Source = str | Path | NDArray[np.generic]
"""A PNG, JPEG or TIFF file; or an array H x W or H x W x C, colour as red, green, blue."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """What the numbers in files mean; needed where files have more than 8 bits (see `data.real.decode`)."""

    depth_range: Limits | None = None  # the nearest and the farthest distance, in the files' unit
    infrared_range: Limits | None = None  # the values that become black and white
    depth_holes: tuple[float, ...] = ()  # values beside 0 that mean "nothing measured"


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """One sample: uint8 H x W x C of every modality that is there, C 3 for RGB and else 1, and what was noticed."""

    images: Mapping[Modality, Pixels]
    notes: tuple[tuple[Modality, str], ...] = field(default=())


def decode_pictures(sources: Mapping[Modality, Source | None], *, decoding: Decoding | None = None) -> Pictures:
    """Read one sample's files or arrays.

    Raises:
        PictureError: (a ValueError) no picture at all; or a file or array that is no picture of its modality, or whose
            values have no one meaning: the message says what was found and what to do.
        FileNotFoundError: no such file.
    """
    given = {modality: sources[modality] for modality in MODALITIES if sources.get(modality) is not None}
    if not given:
        raise PictureError(f"at least one picture is needed: {', '.join(m.value for m in MODALITIES)}")
    images: dict[Modality, Pixels] = {}
    notes: list[tuple[Modality, str]] = []
    for modality, source in given.items():
        found: list[str] = []
        images[modality] = _read(source, modality, decoding or Decoding(), found)
        notes += [(modality, text) for text in found]
    return Pictures(images=images, notes=tuple(notes))


def resized(pixels: Pixels, modality: Modality, *, size: int) -> Pixels:
    """uint8 H x W x C to C x size x size, as training samples are resized; holes of depth stay holes."""
    return resize(pixels, size=size, holes=modality is Modality.DEPTH).transpose(2, 0, 1)


def _read(source: Source | None, modality: Modality, decoding: Decoding, notes: list[str]) -> Pixels:
    if isinstance(source, np.ndarray):
        return _from_array(source, modality, decoding)
    path = Path(str(source))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such {modality.value} picture")
    if modality is Modality.RGB:
        return read_colour(path, notes=notes)
    if modality is Modality.DEPTH:
        limits, holes = decoding.depth_range, decoding.depth_holes
        return read_depth(path, limits=limits, holes=holes, notes=notes).grey[..., None]
    return read_infrared(path, limits=decoding.infrared_range, notes=notes).grey[..., None]


def _from_array(array: NDArray[np.generic], modality: Modality, decoding: Decoding) -> Pixels:
    """An array as uint8 H x W x C. Raises `PictureError` naming its shape or type where it is no such picture."""
    values = array[..., None] if array.ndim == 2 else array
    channels: Sequence[int] = (3,) if modality is Modality.RGB else (1, 3)
    if values.ndim != 3 or values.shape[2] not in channels or 0 in values.shape:
        wanted = "H x W x 3" if modality is Modality.RGB else "H x W, or H x W x 3 with three equal channels"
        raise PictureError(f"the {modality.value} array has shape {array.shape}; give {wanted}")
    if modality is not Modality.RGB:
        if not (values == values[..., :1]).all():
            raise PictureError(f"the {modality.value} array has three channels that differ; give the one that is meant")
        values = values[..., :1]
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values.astype(np.uint8))
    limits = {Modality.DEPTH: decoding.depth_range, Modality.INFRARED: decoding.infrared_range}.get(modality)
    if limits is None:
        raise PictureError(
            f"the {modality.value} array is of {values.dtype}; give uint8 0..255"
            + ("" if modality is Modality.RGB else f", or say what its values mean by {modality.value}_range")
        )
    numbers = values.astype(np.float64)
    if modality is Modality.INFRARED:
        return intensity_grey(numbers, limits)
    hole = ~np.isfinite(numbers) | np.isin(numbers, list(decoding.depth_holes))
    return depth_grey(np.where(hole, 0, numbers), limits)
