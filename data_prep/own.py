"""Images of your own: PNG or JPEG files that a table lists, one line per sample (YOUR_DATA.md)."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_prep.sources import ModalityProblem, Pixels, Reading, below, read_image, refuse_constant
from mmdg_lite.data.real.lists import DOMAIN, LETTERS, SPLITS, ListError, ListRow, list_text
from mmdg_lite.data.real.manifest import NAME_CHARACTERS, is_plain_name
from mmdg_lite.data.real.species import LIVE
from mmdg_lite.modality import MODALITIES, Modality

COLUMNS = ("split", "species", "subject", *(modality.value for modality in MODALITIES))
WIDE = ("I;16", "I;16B", "I")  # Pillow's modes of 16-bit grey images
MEANT_LIVE = ("live", "bonafide", "real", "genuine")  # in small letters, without spaces, _ and -
SAVE_AS_UTF8 = "save the table as CSV in UTF-8"

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Own:
    """The folder that the table's paths start from, and what grey values of 16-bit images mean.

    depth_range: values of the nearest and of the farthest distance to tell apart, in the files' unit: the first becomes
        255 and the last 1, what lies beyond is cut off, and 0 (nothing measured) stays 0. The first is the larger one
        where near is bright already.
    infrared_range: the values that become black and white. The first is the larger one where bright is dark so far.

    Raises `ValueError` for a range whose two values are equal.
    """

    source: Path
    domain: str
    depth_range: Range | None = None
    infrared_range: Range | None = None

    def __post_init__(self) -> None:
        for name, limits in (("depth", self.depth_range), ("infrared", self.infrared_range)):
            if limits is not None and limits[0] == limits[1]:
                raise ValueError(f"--{name}-range {limits[0]} {limits[1]}: name two values that differ")

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

    Raises `ListError` (file, line, reason) for what is not CSV in UTF-8, other columns, an unknown split, a sample
    without images, one that stands there twice, a species or subject that is not a plain name, another word for live,
    or a subject in two splits; `FileNotFoundError` if there is no such file.
    """
    path = Path(path)
    rows: dict[str, list[ListRow]] = defaultdict(list)
    split_of: dict[str, str] = {}
    seen: set[tuple[str, ...]] = set()
    for line, values in _records(path):
        if reason := _fault(values):
            raise ListError(path, line, reason)
        split, row = values["split"], _row(line, values)
        if row.paths in seen:
            raise ListError(path, line, f"{', '.join(filter(None, row.paths))}: listed for the second time")
        if row.subject and split_of.setdefault(row.subject, split) != split:
            other = split_of[row.subject]
            raise ListError(path, line, f"subject {row.subject!r} is in {other} and in {split}; keep people apart")
        seen.add(row.paths)
        rows[split].append(row)
    if missing := [split for split in SPLITS if split not in rows]:
        raise ListError(path, 1, f"there is no sample of split {', '.join(missing)}")
    return {split: rows[split] for split in SPLITS}


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and fields of every sample. Raises `ListError` for what is not CSV in UTF-8 with the columns COLUMNS."""
    text = list_text(path, cure=SAVE_AS_UTF8, encoding="utf-8-sig")  # spreadsheets write a byte order mark
    before, nul, _ = text.partition("\0")
    if nul:
        raise ListError(path, before.count("\n") + 1, f"a NUL character: this is not text in UTF-8; {SAVE_AS_UTF8}")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if sorted(reader.fieldnames or ()) != sorted(COLUMNS):
            raise ListError(path, 1, f"the columns must be {','.join(COLUMNS)}")
        for values in reader:
            if None in values or None in values.values():
                raise ListError(path, reader.line_num, f"expected {len(COLUMNS)} fields")
            yield reader.line_num, values
    except csv.Error as error:
        cure = "look for a quotation mark without its partner, here or in a line above"
        raise ListError(path, reader.reader.line_num, f"not CSV ({error}); {cure}") from error


def _fault(values: Mapping[str, str]) -> str | None:
    """Why a line cannot be used, whatever the others say; None if it can."""
    split, species, subject = values["split"], values["species"], values["subject"]
    if split not in SPLITS:
        return f"the split must be one of {', '.join(SPLITS)}, got {split!r}"
    if not any(values[modality.value] for modality in MODALITIES):
        return "the sample has no image"
    if not species:
        return f"the species is empty: write {LIVE}, or the kind of attack"
    if species != LIVE and re.sub(r"[\s_-]", "", species.casefold()) in MEANT_LIVE:
        return f"the species {species!r} would be an attack: write {LIVE}"
    for name, text in (("species", species), ("subject", subject)):
        if text and not is_plain_name(text):
            return f"the {name} {text[:60]!r} is not a plain name: write it with {NAME_CHARACTERS} only"
    return None


def _row(line: int, values: Mapping[str, str]) -> ListRow:
    """A line without fault as the row of a list."""
    rgb, depth, infrared = (values[modality.value] for modality in MODALITIES)
    species, first = values["species"], rgb or depth or infrared
    label = int(species == LIVE)
    return ListRow(line, (rgb, depth, infrared), label, species, values["subject"], first, ("", "", ""))


def _wide_values(path: Path) -> NDArray[np.int64] | None:
    """The values of a 16-bit grey image, H x W; None for any other file, which `read_image` judges."""
    try:
        with Image.open(path) as image:
            return np.asarray(image).astype(np.int64) if image.mode in WIDE else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
