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

_MODALITY = f"(?P<modality>{'|'.join(NAMES)})"
BEHIND = re.compile(rf"((?P<sample>.+)[-_. ])?{_MODALITY}", re.IGNORECASE)
IN_FRONT = re.compile(rf"{_MODALITY}([-_. ]|(?=[0-9]))(?P<sample>.+)", re.IGNORECASE)
"""Names of files that say the modality: `a_rgb`, or `rgb` alone; `rgb_a`, `rgb1`."""
OTHER_PICTURES = (".bmp", ".gif", ".webp", ".heic", ".heif", ".avif")
"""Endings of pictures that are not read."""


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


def samples_of_folder(folder: str | Path, *, left_out: list[str] | None = None) -> list[Sample]:
    """The samples of a folder, sorted by name.

    If it has folders named rgb, depth or infrared, files of one name in them are one sample. Otherwise files are one
    sample if their names are alike but for the modality behind (`a-rgb.png`, `a-depth.png`; also with _, a point or a
    space) or in front (`rgb_a.png`, `depth1.png`); `rgb.png` and `depth.png` are one sample named as the folder; and
    every other picture is an RGB picture. Hidden files are left out.

    Args:
        folder: of the pictures.
        left_out: what else is there and was not taken is appended to it, a sentence each.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there is no picture in it, or two for one modality of a sample.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    parts = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    inner = [(path, NAMES[name]) for path in parts if (name := path.name.casefold()) in NAMES]
    files = [(path.stem, m, path) for part, m in inner for path in pictures_of_folder(part)]
    beside = pictures_of_folder(folder)
    if files and beside and left_out is not None:
        left_out.append(_counted(beside, f"beside the {_listed([path for path, _ in inner])}"))
    if not files:
        whole = folder.resolve().name
        files = [(name or whole, m, path) for path in beside for name, m in [_split(path.stem)]]
    groups: dict[str, dict[Modality, Path]] = {}
    for name, modality, path in files:
        other = groups.setdefault(name, {}).setdefault(modality, path)
        if other != path:
            raise ValueError(f"{path}: {other.name} is the {modality.value} picture of {name!r} already; rename one")
    if left_out is not None:
        taken = {path.parent for _, _, path in files}
        known = {path for path, _ in inner}
        for path in parts:
            if path not in taken:
                why = "in which there is no picture" if path in known else "which names no modality"
                left_out.append(f"the folder {path.name}, {why}")
        for place in sorted(taken):
            others = [path for path in place.iterdir() if path.suffix.casefold() in OTHER_PICTURES]
            if others:
                left_out.append(_counted(sorted(others), f"of other formats than {', '.join(PICTURES)}"))
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
    """The sample's name, empty for a modality's name alone, and the modality: behind, in front, or else RGB."""
    for pattern in (BEHIND, IN_FRONT):
        if match := pattern.fullmatch(stem):
            return match["sample"] or "", NAMES[match["modality"].casefold()]
    return stem, Modality.RGB


def _counted(paths: list[Path], where: str) -> str:
    count = "1 picture" if len(paths) == 1 else f"{len(paths)} pictures"
    return f"{count} {where}, such as {paths[0].name}"


def _listed(folders: list[Path]) -> str:
    return ("folder " if len(folders) == 1 else "folders ") + ", ".join(path.name for path in folders)
