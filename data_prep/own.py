"""Pictures of your own: PNG, JPEG or TIFF files that a table lists, one line per sample (YOUR_DATA.md)."""

from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np

from data_prep.sources import ModalityProblem, Pixels, Reading, SourceError, below, refuse_constant
from mmdg_lite.data.real.decode import Limits, read_colour, read_depth, read_infrared
from mmdg_lite.data.real.formats import PictureError
from mmdg_lite.data.real.lists import DOMAIN, LETTERS, ListRow
from mmdg_lite.modality import MODALITIES, Modality


@dataclass(frozen=True, kw_only=True)
class Own:
    """The folder that the table's paths start from, and what the files' values mean.

    depth_range: values of the nearest and of the farthest distance to tell apart, in the files' unit: the first becomes
        255 and the last 1, what lies beyond is cut off, and 0 (nothing measured) stays 0. The first is the larger one
        where near is bright already.
    infrared_range, rgb_range: the values that become black and white. The first is the larger one where bright is dark
        so far.
    depth_holes: values of depth that mean that nothing was measured, beside 0 and NaN.

    Raises `ValueError` for a range whose two values are equal or not finite, `SourceError` if there is no such folder.
    """

    source: Path
    domain: str
    rgb_range: Limits | None = None
    depth_range: Limits | None = None
    infrared_range: Limits | None = None
    depth_holes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for modality in MODALITIES:
            limits = self.limits(modality)
            if limits is not None and (limits[0] == limits[1] or not np.isfinite(limits).all()):
                option = f"--{modality.value}-range {limits[0]:g} {limits[1]:g}"
                raise ValueError(f"{option}: name two values that differ")
        if not self.source.is_dir():
            raise SourceError(f"{self.source}: no such folder; --source names the one that the table's paths start in")

    def limits(self, modality: Modality) -> Limits | None:
        """The range that was given for a modality."""
        limits: Limits | None = getattr(self, f"{modality.value}_range")
        return limits

    def read(self, row: ListRow) -> Reading:
        """The files that a row names; a modality without a path is missing on purpose."""
        reading = Reading()
        for modality, relative in zip(MODALITIES, row.paths, strict=True):
            if relative:
                try:
                    path = reading.files[modality] = self._file(relative, modality)
                    reading.images[modality] = self._image(path, modality, reading)
                except (ModalityProblem, PictureError) as problem:
                    reading.problems[modality] = str(problem)
        limits = {m: given for m in MODALITIES if (given := self.limits(m)) is not None}
        refuse_constant(reading, f"{self.source / row.clip}", limits=limits)
        return reading

    def _file(self, relative: str, modality: Modality) -> Path:
        """The file that the table means: accents are written in two ways, and systems differ in which they store."""
        for name in (relative, normalize("NFC", relative), normalize("NFD", relative)):
            path = below(self.source, name)
            if path.exists():
                return path
        cure = "correct the table, or leave the field empty where the picture was never taken"
        raise ModalityProblem(f"{below(self.source, relative)}: the {modality.value} file is missing; {cure}")

    def _image(self, path: Path, modality: Modality, reading: Reading) -> Pixels:
        """uint8 H x W x C of one modality."""
        limits = self.limits(modality)
        if modality is Modality.RGB:
            return read_colour(path, limits=limits, notes=reading.notes)
        picture = (
            read_depth(path, limits=limits, holes=self.depth_holes, notes=reading.notes)
            if modality is Modality.DEPTH
            else read_infrared(path, limits=limits, notes=reading.notes)
        )
        if picture.shares is not None:
            reading.shares[modality] = picture.shares
        return picture.grey[..., None]  # H x W x 1


def check_name(name: str) -> None:
    """Raise `ValueError` unless a name can be a domain's: letters and digits, and none of the benchmark's letters."""
    if not DOMAIN.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a domain: use letters and digits, a letter first, and no name of a device (con, nul)"
        )
    if name in LETTERS:
        raise ValueError(f"{name} is a data set of the benchmark; choose another name for yours")
