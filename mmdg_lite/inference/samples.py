"""Lists of samples to decide about: a table of files, or a folder of pictures."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from mmdg_lite.modality import MODALITIES, Modality

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True)
class Sample:
    """Files of one sample; at least one modality."""

    id: str
    paths: dict[Modality, Path]


def samples_of_table(path: str | Path) -> list[Sample]:
    """The samples of a CSV file with the columns rgb, depth and infrared (at least one of them), and perhaps id.

    Paths start from the table's folder. Commas, semicolons and tabs separate; other columns are left alone.
    Raises `ValueError` naming the file and line of what is wrong, `FileNotFoundError` if there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8; save the table as CSV in UTF-8") from error
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    known = [modality for modality in MODALITIES if modality.value in (reader.fieldnames or ())]
    if not known:
        raise ValueError(f"{path}, line 1: no column rgb, depth or infrared; found {first.strip()[:80]!r}")
    found = []
    for row in reader:
        paths = {m: path.parent / name for m in known if (name := (row[m.value] or "").strip().replace("\\", "/"))}
        if not paths:
            raise ValueError(f"{path}, line {reader.line_num}: the sample has no picture")
        found.append(Sample((row.get("id") or "").strip() or str(next(iter(paths.values()))), paths))
    if not found:
        raise ValueError(f"{path}: the table has no sample")
    return found


def samples_of_folder(folder: str | Path) -> list[Sample]:
    """The samples of a folder, sorted by name.

    If it has folders named rgb, depth or infrared, files of one name in them are one sample. Otherwise files that end
    in -rgb, -depth or -infrared (or with _) and start alike are one; and every other picture is an RGB picture.
    Raises `ValueError` if there is no picture, `FileNotFoundError` if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    groups: dict[str, dict[Modality, Path]] = {}
    inner = [modality for modality in MODALITIES if (folder / modality.value).is_dir()]
    for modality in inner:
        for path in _pictures(folder / modality.value):
            groups.setdefault(path.stem, {})[modality] = path
    if not inner:
        for path in _pictures(folder):
            start, modality = _split(path.stem)
            groups.setdefault(start, {})[modality] = path
    if not groups:
        raise ValueError(f"{folder}: no picture ({', '.join(PICTURES)}) here, nor in rgb/, depth/ or infrared/")
    return [Sample(name, dict(groups[name])) for name in sorted(groups)]


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.casefold() in PICTURES and path.is_file())


def _split(stem: str) -> tuple[str, Modality]:
    for modality in MODALITIES:
        for mark in "-_":
            if stem.endswith(f"{mark}{modality.value}"):
                return stem.removesuffix(f"{mark}{modality.value}"), modality
    return stem, Modality.RGB
