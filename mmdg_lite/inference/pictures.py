"""One sample's pictures, from files or arrays: uint8 H x W x C, of depth near bright and holes 0."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmdg_lite.data.real.decode import (
    Limits,
    Pixels,
    read_colour,
    read_depth,
    read_infrared,
    resize,
)
from mmdg_lite.data.real.formats import PictureError, Stored
from mmdg_lite.modality import MODALITIES, Modality

__all__ = ["Decoding", "Pictures", "Source", "decode_pictures", "resized"]

Source = str | os.PathLike[str] | NDArray[np.generic] | Image.Image
"""A PNG, JPEG or TIFF file; or an array H x W or H x W x C, colour as red, green, blue; or a picture of Pillow."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """What the numbers in files mean; needed where files have more than 8 bits (see `data.real.decode`)."""

    rgb_range: Limits | None = None  # the values that become black and white
    depth_range: Limits | None = None  # the nearest and the farthest distance, in the files' unit
    infrared_range: Limits | None = None  # the values that become black and white
    depth_holes: tuple[float, ...] = ()  # values beside 0 that mean "nothing measured"

    def __post_init__(self) -> None:
        for name in ("rgb_range", "depth_range", "infrared_range"):
            limits = getattr(self, name)
            if limits is not None and not _is_range(limits):
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{name} ({option}) must be two finite numbers that differ, got {limits!r}")
        holes = self.depth_holes
        if not isinstance(holes, tuple | list) or not all(map(_is_number, holes)):
            raise ValueError(f"depth_holes must be a tuple of numbers such as (65535,), got {holes!r}")


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
        TypeError: what was given is neither a file's name nor an array nor a picture of Pillow.
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


def _read(source: object, modality: Modality, decoding: Decoding, notes: list[str]) -> Pixels:
    if isinstance(source, Image.Image):
        source = _array(source)
    if isinstance(source, np.ndarray):
        path, stored = Path(f"the {modality.value} array"), _stored_array(source, modality)
    elif isinstance(source, str | os.PathLike):
        path, stored = Path(source), None
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such {modality.value} picture")
        if not path.is_file():
            what = "a folder" if path.is_dir() else "a pipe or device"
            raise PictureError(f"{path} is {what}, not a regular file: give a PNG, JPEG or TIFF file")
    else:
        raise TypeError(
            f"{modality.value}: give a file's name, a NumPy array or a picture of Pillow, not "
            f"{type(source).__module__}.{type(source).__qualname__}"
        )
    if modality is Modality.RGB:
        return read_colour(path, stored=stored, limits=decoding.rgb_range, notes=notes)
    if modality is Modality.DEPTH:
        limits, holes = decoding.depth_range, decoding.depth_holes
        return read_depth(path, stored=stored, limits=limits, holes=holes, notes=notes).grey[..., None]
    return read_infrared(path, stored=stored, limits=decoding.infrared_range, notes=notes).grey[..., None]


def _stored_array(array: NDArray[np.generic], modality: Modality) -> Stored:
    """An array as a decoded file. Raises `PictureError` naming its shape where it is no such picture."""
    values = array[..., None] if array.ndim == 2 else array
    channels = (3, 4) if modality is Modality.RGB else (1, 3)
    if values.ndim != 3 or values.shape[2] not in channels or 0 in values.shape:
        wanted = "H x W x 3" if modality is Modality.RGB else "H x W, or H x W x 3 with three equal channels"
        raise PictureError(f"the {modality.value} array has shape {array.shape}; give {wanted}")
    return Stored(np.ascontiguousarray(values), f"array of {values.dtype} and shape {array.shape}")


def _array(image: Image.Image) -> NDArray[np.generic]:
    """What a picture of Pillow holds, upright; a palette becomes its colours."""
    upright = ImageOps.exif_transpose(image)
    return np.asarray(upright.convert("RGB") if upright.mode in ("P", "PA") else upright)


def _is_range(limits: object) -> bool:
    return (
        isinstance(limits, tuple | list)
        and len(limits) == 2
        and all(_is_number(value) and math.isfinite(value) for value in limits)
        and limits[0] != limits[1]
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
