"""What the four converters share: what a reading is, which problems there are, and how files are reached safely."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.modality import MODALITIES, Modality

Pixels = NDArray[np.uint8]

LARGEST_SIDE = 8192
"""Pixels; anything larger is not one of these data sets' frames, and decoding it could exhaust the memory."""

COLOURED = 8
"""Mean difference between an image's channels, in grey values, from which it is not grey: JPEG alone makes less."""


class SampleProblem(Exception):
    """A sample cannot be converted, whatever may be missing from it. The message names the file and the cure."""


class ModalityProblem(Exception):
    """One modality of a sample cannot be read; the sample can be kept without it if the user asks for that."""


class SourceError(Exception):
    """The source folder is not what the converter expects: nothing can be converted."""


@dataclass
class Reading:
    """A sample as it was found."""

    images: dict[Modality, Pixels] = field(default_factory=dict)  # H x W x C, C = 3 for RGB and 1 otherwise
    problems: dict[Modality, str] = field(default_factory=dict)  # why a modality is not among the images
    notes: list[str] = field(default_factory=list)  # what was done that the user should know


class Source(Protocol):
    """A data set on the user's disk. Instances travel to worker processes, so they hold plain values only."""

    @property
    def domain(self) -> str:
        """The benchmark's letter."""

    def read(self, row: ListRow) -> Reading:
        """The frame that a row of the list names. Raises `SampleProblem` where nothing of it can be used."""


def below(root: Path, relative: str) -> Path:
    """`root / relative`, links followed. Raises `SampleProblem` if that is outside of root."""
    path, real_root = Path(os.path.realpath(root / relative)), Path(os.path.realpath(root))
    if not path.is_relative_to(real_root):
        cure = "copy the file into it, or name the real folder as --source"
        raise SampleProblem(f"{root / relative}: leaves the source folder ({path}); {cure}")
    return path


def top_folder(source: Path, name: str) -> Path:
    """The folder that holds `name`, given either that folder or `name` itself. Raises `SourceError` if neither is."""
    if not source.is_dir():
        raise SourceError(f"{source}: no such folder; --source names the folder with your copy of the data set")
    if (source / name).is_dir():
        return source
    if source.name == name:
        return source.parent
    raise SourceError(f"{source}: there is no folder {name} in it; --source names the folder that holds {name}")


def find_files(root: Path, suffix: str) -> Iterator[Path]:
    """All files below root with this suffix, in a fixed order; linked folders are not followed."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(suffix))


def read_image(path: Path, modality: Modality, notes: list[str]) -> Pixels:
    """Decode a JPEG or PNG to uint8 H x W x C. Raises `ModalityProblem` if it is missing, unreadable or cut off.

    Colour frames must have three channels. Depth and infrared may have three, too: their luminance is taken, and
    noted if they are not grey.
    """
    cure = "restore it from your copy of the data set"
    if not path.is_file():
        raise ModalityProblem(f"{path}: the {modality.value} file is missing; {cure}")
    try:
        with Image.open(path) as image:
            if max(image.size) > LARGEST_SIDE:
                raise ModalityProblem(f"{path}: {image.size} pixels is not a frame of this data set; {cure}")
            if image.mode not in ("RGB", "L"):
                raise ModalityProblem(f"{path}: expected 8-bit RGB or grey values, found mode {image.mode}; {cure}")
            pixels = np.asarray(image)
            grey = np.asarray(image.convert("L"))[..., None]  # H x W x 1
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ModalityProblem(f"{path}: the image is unreadable or cut off ({error}); {cure}") from error
    if modality is Modality.RGB:
        if pixels.ndim == 2:
            raise ModalityProblem(f"{path}: a colour frame must have three channels, found one; {cure}")
        return pixels
    if pixels.ndim == 3 and np.ptp(pixels.astype(np.int16), axis=2).mean() > COLOURED:
        notes.append(f"{path}: {modality.value} is a coloured image; its luminance was taken")
    return grey


def refuse_constant(reading: Reading, where: str) -> None:
    """Turn modalities whose image is one single value into problems: a sensor that saw nothing."""
    for modality in MODALITIES:
        image = reading.images.get(modality)
        if image is not None and image.min() == image.max():
            del reading.images[modality]
            reading.problems[modality] = (
                f"{where}: the {modality.value} image is {int(image.flat[0])} everywhere: the sensor saw nothing; "
                "restore the frame from your copy of the data set"
            )
