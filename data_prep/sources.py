"""What the four converters share: what a reading is, which problems there are, and how files are reached safely."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mmdg_lite.data.real.decode import Limits, Pixels, Shares, read_colour, read_depth, read_infrared
from mmdg_lite.data.real.formats import PictureError
from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.modality import MODALITIES, Modality

RESTORE = "restore it from your copy of the data set"


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
    shares: dict[Modality, Shares] = field(default_factory=dict)  # where values lie beside the range that was given
    files: dict[Modality, Path] = field(default_factory=dict)  # what each image was read from, where each has its own


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
    """All files below root with this suffix, in a fixed order; linked folders are not followed.

    Hidden files and folders are left out: macOS writes files such as `._a.npz` beside `a.npz`.
    """
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(suffix) and name[0] != ".")


def read_image(path: Path, modality: Modality, notes: list[str]) -> Pixels:
    """Decode a picture of a published data set to uint8 H x W x C. Raises `ModalityProblem` if it is missing,
    unreadable or cut off.

    Colour frames must have three channels. Depth and infrared may have three, too: their luminance is taken, and
    noted if they are not grey.
    """
    if not path.is_file():
        raise ModalityProblem(f"{path}: the {modality.value} file is missing; {RESTORE}")
    try:
        if modality is Modality.RGB:
            return read_colour(path, notes=notes)
        if modality is Modality.DEPTH:
            return read_depth(path, luminance=True, notes=notes).grey[..., None]  # H x W x 1
        return read_infrared(path, notes=notes).grey[..., None]
    except PictureError as error:
        raise ModalityProblem(str(error)) from error


def refuse_constant(reading: Reading, where: str, *, limits: Mapping[Modality, Limits] | None = None) -> None:
    """Turn modalities whose image is one single value into problems: a sensor that saw nothing, or a wrong range.

    Args:
        reading: what was read.
        where: the file and frame, for modalities without a file of their own.
        limits: the ranges that were given, by modality.
    """
    for modality in MODALITIES:
        image = reading.images.get(modality)
        if image is None or image.min() != image.max():
            continue
        del reading.images[modality]
        file, value = reading.files.get(modality, where), int(image.flat[0])
        found = f"{file}: the {modality.value} image is {value} everywhere"
        given, shares = (limits or {}).get(modality), reading.shares.get(modality)
        blank = "the sensor saw nothing; restore the frame, or leave this modality out"
        if given is not None and (shares is None or not shares.inside):
            option = f"--{modality.value}-range {given[0]:g} {given[1]:g}"
            if shares is not None:
                blank = (
                    f"all its values lie outside, most of them from {shares.low:.6g} to {shares.high:.6g}; correct it"
                )
            else:
                blank = f"do all values of the file lie outside of it? Correct it; if not, {blank}"
            found += f" with {option}"
        reading.problems[modality] = f"{found}: {blank}"
