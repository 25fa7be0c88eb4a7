"""Images of your own: PNG or JPEG files that a table lists, one line per sample (YOUR_DATA.md)."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_prep.sources import ModalityProblem, Pixels, Reading, below, read_image, refuse_constant
from mmdg_lite.data.dataset import LIVE
from mmdg_lite.data.lists import DOMAIN, LETTERS, SPLITS, ListError, ListRow
from mmdg_lite.modality import MODALITIES, Modality

COLUMNS = ("split", "species", "subject", *(modality.value for modality in MODALITIES))
WIDE = ("I;16", "I;16B", "I")  # Pillow's modes of 16-bit grey images

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Own:
    """The folder that the table's paths start from, and what grey values of 16-bit images mean.

    depth_range: values of the nearest and of the farthest distance to tell apart, in the files' unit: the first becomes
        255 and the last 1, what lies beyond is cut off, and 0 (nothing measured) stays 0. The first is the larger one
        where near is bright already.
    infrared_range: the values that become black and white.
    """

    source: Path
    domain: str
    depth_range: Range | None = None
    infrared_range: Range | None = None

    def read(self, row: ListRow) -> Reading:
        """The files that a row names; a modality without a path is missing on purpose."""
        reading = Reading()
        for modality, relative in zip(MODALITIES, row.paths, strict=True):
            if relative:
                try:
                    reading.images[modality] = self._image(below(self.source, relative), modality, reading.notes)
                except ModalityProblem as problem:
                    reading.problems[modality] = str(problem)
        refuse_constant(reading, f"{self.source / row.clip}")
        return reading

    def _image(self, path: Path, modality: Modality, notes: list[str]) -> Pixels:
        wide = None if modality is Modality.RGB else _wide_values(path)
        if wide is None:
            return read_image(path, modality, notes)
        limits = self.depth_range if modality is Modality.DEPTH else self.infrared_range
        if limits is None:
            meaning = "NEAR FAR" if modality is Modality.DEPTH else "DARK BRIGHT"
            cure = f"say what they mean by --{modality.value}-range {meaning}"
            raise ModalityProblem(f"{path}: 16-bit values from {wide.min()} to {wide.max()}; {cure}")
        grey = depth_grey(wide, limits) if modality is Modality.DEPTH else infrared_grey(wide, limits)
        return grey[..., None]  # H x W x 1


def depth_grey(values: NDArray[np.int64], limits: Range) -> Pixels:
    """Distances as grey values: near 255, far 1, cut off beyond; 0 stays 0."""
    near, far = limits
    share = np.clip((values - far) / (near - far), 0, 1)
    return np.where(values == 0, 0, np.rint(1 + 254 * share)).astype(np.uint8)


def infrared_grey(values: NDArray[np.int64], limits: Range) -> Pixels:
    """Intensities as grey values: dark 0, bright 255, cut off beyond."""
    dark, bright = limits
    return np.rint(255 * np.clip((values - dark) / (bright - dark), 0, 1)).astype(np.uint8)


def check_name(name: str) -> None:
    """Raise `ValueError` unless a name can be a domain's: letters and digits, and none of the benchmark's letters."""
    if not DOMAIN.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a domain: use letters and digits, a letter first")
    if name in LETTERS:
        raise ValueError(f"{name} is a data set of the benchmark; choose another name for yours")


def read_table(path: str | Path) -> dict[str, list[ListRow]]:
    """The rows of a table by their splits; its columns are COLUMNS, in any order.

    Raises `ListError` (file, line, reason) for other columns, an unknown split, a sample without images, one that
    stands there twice, or a subject in two splits; `FileNotFoundError` if there is no such file.
    """
    path = Path(path)
    rows: dict[str, list[ListRow]] = defaultdict(list)
    split_of: dict[str, str] = {}
    seen: set[tuple[str, ...]] = set()
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if set(reader.fieldnames or ()) != set(COLUMNS):
            raise ListError(path, 1, f"the columns must be {','.join(COLUMNS)}")
        for values in reader:
            line = reader.line_num
            if None in values or None in values.values():
                raise ListError(path, line, f"expected {len(COLUMNS)} fields")
            split, species, subject = values["split"], values["species"], values["subject"]
            rgb, depth, infrared = (values[modality.value] for modality in MODALITIES)
            paths = (rgb, depth, infrared)
            if split not in SPLITS:
                raise ListError(path, line, f"the split must be one of {', '.join(SPLITS)}, got {split!r}")
            if not any(paths):
                raise ListError(path, line, "the sample has no image")
            if not species:
                raise ListError(path, line, f"the species is empty: write {LIVE}, or the kind of attack")
            if paths in seen:
                raise ListError(path, line, f"{', '.join(filter(None, paths))}: listed for the second time")
            if subject and split_of.setdefault(subject, split) != split:
                other = split_of[subject]
                raise ListError(path, line, f"subject {subject!r} is in {other} and in {split}; keep people apart")
            seen.add(paths)
            first = next(filter(None, paths))
            rows[split].append(ListRow(line, paths, int(species == LIVE), species, subject, first, ("", "", "")))
    if missing := [split for split in SPLITS if split not in rows]:
        raise ListError(path, 1, f"there is no sample of split {', '.join(missing)}")
    return {split: rows[split] for split in SPLITS}


def _wide_values(path: Path) -> NDArray[np.int64] | None:
    """The values of a 16-bit grey image, H x W; None for any other file, which `read_image` judges."""
    try:
        with Image.open(path) as image:
            return np.asarray(image).astype(np.int64) if image.mode in WIDE else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
