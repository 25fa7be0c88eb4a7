"""Lists of samples to decide about: a table of files, or a folder of pictures."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mmdg_lite.data.real.csv_table import read_csv_table
from mmdg_lite.data.real.lists import ListError
from mmdg_lite.modality import MODALITIES, Modality

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
NAMES = {
    "rgb": Modality.RGB,
    "color": Modality.RGB,
    "colour": Modality.RGB,
    "depth": Modality.DEPTH,
    "infrared": Modality.INFRARED,
    "ir": Modality.INFRARED,
    "nir": Modality.INFRARED,
}
"""What people call the modalities in names of columns, folders and files; small and capital letters are the same."""


@dataclass(frozen=True)
class Sample:
    """Files of one sample; at least one modality."""

    id: str
    paths: dict[Modality, Path]


def samples_of_table(path: str | Path) -> list[Sample]:
    """The samples of a CSV file with the columns rgb, depth and infrared (at least one of them), and perhaps id.

    Paths start from the table's folder. Other columns are left alone. See `data.real.csv_table` for delimiters and
    encodings. Raises `ListError` (a ValueError) naming the file and line of what is wrong, `FileNotFoundError` if there
    is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such table")
    table = read_csv_table(path)
    known = {name: NAMES[name] for name in table.columns if name in NAMES}
    if not known:
        raise ListError(path, table.line, f"no column rgb, depth or infrared; found {table.found}")
    if len(set(known.values())) < len(known):
        raise ListError(path, table.line, f"two columns hold one modality: {', '.join(known)}")
    found = []
    for line, row in table.records():
        paths = {modality: _path(path, line, row[name]) for name, modality in known.items() if row[name]}
        if not paths:
            raise ListError(path, line, "the sample has no picture")
        found.append(Sample(row.get("id") or str(next(iter(paths.values()))), paths))
    if not found:
        raise ListError(path, table.line, "the table has no sample")
    return found


def samples_of_folder(folder: str | Path) -> list[Sample]:
    """The samples of a folder, sorted by name.

    If it has folders named rgb, depth or infrared, files of one name in them are one sample. Otherwise files that end
    in -rgb, -depth or -infrared (or with _) and start alike are one; and every other picture is an RGB picture.
    Hidden files are left out. Raises `ValueError` if there is no picture, or two for one modality of a sample,
    `FileNotFoundError` if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    inner = [(path, NAMES[name]) for path in sorted(folder.iterdir()) if (name := path.name.casefold()) in NAMES]
    files = [(path.stem, m, path) for part, m in inner if part.is_dir() for path in pictures_of_folder(part)]
    if not files:
        files = [(*_split(path.stem), path) for path in pictures_of_folder(folder)]
    groups: dict[str, dict[Modality, Path]] = {}
    for name, modality, path in files:
        other = groups.setdefault(name, {}).setdefault(modality, path)
        if other != path:
            raise ValueError(f"{path}: {other.name} is the {modality.value} picture of {name!r} already; rename one")
    if not groups:
        raise ValueError(f"{folder}: no picture ({', '.join(PICTURES)}) here, nor in rgb/, depth/ or infrared/")
    return [Sample(name, {m: groups[name][m] for m in MODALITIES if m in groups[name]}) for name in sorted(groups)]


def pictures_of_folder(folder: Path) -> list[Path]:
    """PNG, JPEG and TIFF files by their endings, sorted by name; hidden ones are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.casefold() in PICTURES and not path.name.startswith(".") and path.is_file()
    )


def _path(table: Path, line: int, text: str) -> Path:
    """The file that a cell of a table means."""
    if os.name != "nt" and re.match(r"[A-Za-z]:[\\/]|\\\\", text):
        raise ListError(table, line, f"{text[:120]!r} is a path of another computer: write it as it follows the table")
    return table.parent / text.replace("\\", "/")


def _split(stem: str) -> tuple[str, Modality]:
    start, _, end = stem.replace("-", "_").rpartition("_")
    modality = NAMES.get(end.casefold()) if start else None
    return (stem, Modality.RGB) if modality is None else (stem[: len(start)], modality)
