"""The common form on disk: one folder per domain with `manifest.csv` beside the images, everything checksummed.

Each row of the manifest carries a checksum of its own fields, so that an edited label is noticed as surely as a changed
image. Reading is strict: what does not fit is refused with file, line and reason.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdg_lite.configuration import write_text
from mmdg_lite.data.real.files import open_regular, read_regular
from mmdg_lite.data.real.lists import DOMAIN, SPLITS
from mmdg_lite.modality import MODALITIES, Modality

MANIFEST = "manifest.csv"
LARGEST_IMAGE = 2**29
"""Bytes of the largest image file that is compared with its checksum."""
NAME_CHARACTERS = "the letters A to Z and a to z, digits, and _ . + -"
_NAME = re.compile(r"[A-Za-z0-9_.+-]+")
_PATH = re.compile(r"[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*\.(png|jpg)")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ManifestError(ValueError):
    """A manifest, or an image that it names, is not as it was written. The message names file, line and reason."""

    def __init__(self, path: str | Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path, self.line, self.reason = Path(path), line, reason


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One sample. Paths are relative to the manifest's folder; both path and checksum of a missing modality are ""."""

    id: str  # unique in the manifest: <domain>-<split>-<line of the list>
    domain: str  # W, C, S, P, or a name of your own
    split: str  # train, val or test
    label: int  # 1 live, 0 spoof
    species: str  # "live" or the attack species
    subject: str  # "" where unknown
    rgb: str  # path of the colour image
    depth: str
    infrared: str
    rgb_sha256: str  # of the image file
    depth_sha256: str
    infrared_sha256: str
    list_line: int  # line of the source list, counted from 1; 0 if there was no list

    def path(self, modality: Modality) -> str:
        """Relative path of a modality's image, "" if it is missing."""
        return str(getattr(self, modality.value))

    def digest(self, modality: Modality) -> str:
        """SHA-256 of a modality's image file, "" if it is missing."""
        return str(getattr(self, f"{modality.value}_sha256"))

    @property
    def present(self) -> tuple[bool, bool, bool]:
        """Which modalities there are."""
        return bool(self.rgb), bool(self.depth), bool(self.infrared)

    def fields(self) -> list[str]:
        """The fields as text, in the order of the columns."""
        return [str(getattr(self, column)) for column in COLUMNS[:-1]]

    def checksum(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the fields."""
        return hashlib.sha256("\x1f".join(self.fields()).encode("utf-8")).hexdigest()[:16]


COLUMNS = (
    "id",
    "domain",
    "split",
    "label",
    "species",
    "subject",
    "rgb",
    "depth",
    "infrared",
    "rgb_sha256",
    "depth_sha256",
    "infrared_sha256",
    "list_line",
    "row_checksum",
)


def is_plain_name(text: str) -> bool:
    """True if a text can be an id, a species or a subject: not empty, and made of NAME_CHARACTERS alone."""
    return _NAME.fullmatch(text) is not None


def check_row(row: ManifestRow) -> None:
    """Raise `ValueError` with the reason if a row cannot stand in a manifest."""
    for name in ("id", "species"):
        if not is_plain_name(getattr(row, name)):
            raise ValueError(f"{name} {getattr(row, name)[:60]!r} is not a plain name")
    if row.subject and not is_plain_name(row.subject):
        raise ValueError(f"subject {row.subject[:60]!r} is not a plain name")
    if not DOMAIN.fullmatch(row.domain):
        raise ValueError(f"domain {row.domain[:20]!r} is not made of letters and digits")
    if row.split not in SPLITS:
        raise ValueError(f"split {row.split[:20]!r} is none of {', '.join(SPLITS)}")
    if row.label not in (0, 1):
        raise ValueError(f"the label must be 0 (spoof) or 1 (live), got {row.label}")
    if (row.species == "live") != (row.label == 1):
        raise ValueError(f"label {row.label} does not go with species {row.species!r}")
    if row.list_line < 0:
        raise ValueError(f"the list's line {row.list_line} is negative")
    if not any(row.present):
        raise ValueError("the sample has no modality at all")
    for modality in MODALITIES:
        path, digest = row.path(modality), row.digest(modality)
        if path and (not _PATH.fullmatch(path) or any(part in (".", "..") for part in path.split("/"))):
            raise ValueError(f"{modality.value} {path[:120]!r} is not a plain path of a png or jpg below the manifest")
        if bool(path) != bool(digest) or (digest and not _DIGEST.fullmatch(digest)):
            raise ValueError(f"the checksum of {modality.value} is not a SHA-256 of its image")


def write_manifest(path: str | Path, rows: Iterable[ManifestRow]) -> None:
    """Write a manifest, to a temporary name first. Raises `ValueError` for a row that the reader would refuse."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    seen: set[str] = set()
    for row in rows:
        check_row(row)
        if row.id in seen:
            raise ValueError(f"{path}: two samples have the id {row.id!r}")
        seen.add(row.id)
        writer.writerow([*row.fields(), row.checksum()])
    write_text(path, out.getvalue())


def read_manifest(path: str | Path) -> list[ManifestRow]:
    """Read a manifest (the file, or its folder), checking every row.

    Raises `ManifestError` for other columns, a row that was edited, ids that repeat, more than one domain, or none at
    all; `FileNotFoundError` with the cure if there is no manifest.
    """
    path = Path(path)
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no manifest here; `python -m data_prep` makes one (see data_prep/README.md)")
    try:
        text = read_regular(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError(path, 1, "not text in UTF-8: is this really a manifest?") from error
    lines = text.split("\n")
    if lines[0] != ",".join(COLUMNS):
        raise ManifestError(path, 1, f"the columns must be {','.join(COLUMNS)}; convert again with this version")
    if lines[-1] != "":
        raise ManifestError(
            path, len(lines), "the last line has no line end: the file was cut off; run the conversion again"
        )
    rows: list[ManifestRow] = []
    seen: set[str] = set()
    for number, line in enumerate(lines[1:-1], start=2):
        row = _parse(path, number, line)
        if row.id in seen:
            raise ManifestError(path, number, f"the id {row.id!r} stands here for the second time")
        seen.add(row.id)
        rows.append(row)
    if not rows:
        raise ManifestError(path, 1, "the manifest has no samples")
    if len(domains := {row.domain for row in rows}) > 1:
        raise ManifestError(path, 1, f"one manifest is for one domain, this one has {', '.join(sorted(domains))}")
    return rows


def describe(rows: Sequence[ManifestRow]) -> dict[str, Any]:
    """What a domain's manifest holds, as plain values: two people see by them whether they have the same data.

    `digest`: SHA-256 over the rows' checksums in the order of their ids; they cover labels and each picture's SHA-256.
    `splits`: for each split the numbers of live and spoof samples, of samples per species, of subjects that are named,
    and of samples without a modality.
    """
    digest = hashlib.sha256("\n".join(row.checksum() for row in sorted(rows, key=lambda row: row.id)).encode())
    splits = {split: [row for row in rows if row.split == split] for split in SPLITS}
    return {
        "domain": "+".join(sorted({row.domain for row in rows})),
        "digest": digest.hexdigest(),
        "splits": {
            split: {
                "live": sum(row.label for row in part),
                "spoof": sum(1 - row.label for row in part),
                "species": dict(sorted(Counter(row.species for row in part).items())),
                "subjects": len({row.subject for row in part} - {""}),
                "without": {m.value: sum(not row.path(m) for row in part) for m in MODALITIES},
            }
            for split, part in splits.items()
            if part
        },
    }


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open_regular(path, limit=LARGEST_IMAGE) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def image_problem(folder: str | Path, row: ManifestRow, modality: Modality) -> str | None:
    """What is wrong with a sample's image on disk, or None: not there, or not what its checksum says."""
    if not row.path(modality):
        return None
    path = Path(folder) / row.path(modality)
    if not path.is_file():
        return f"{path}: the image is not there; run the conversion again"
    if file_sha256(path) != row.digest(modality):
        return f"{path}: the image is not the one that was converted (SHA-256 differs); run the conversion again"
    return None


def _parse(path: Path, number: int, line: str) -> ManifestRow:
    """One line of a manifest. Fields are plain names, so no quoting occurs and a comma always separates."""
    fields = line.split(",")
    if len(fields) != len(COLUMNS):
        raise ManifestError(path, number, f"expected {len(COLUMNS)} fields, got {len(fields)}")
    values = dict(zip(COLUMNS, fields, strict=True))
    checksum = values.pop("row_checksum")
    for name in ("label", "list_line"):
        if not re.fullmatch(r"0|[1-9][0-9]{0,8}", values[name]):
            raise ManifestError(path, number, f"{name} must be a whole number, got {values[name][:40]!r}")
    label, list_line = int(values.pop("label")), int(values.pop("list_line"))
    row = ManifestRow(label=label, list_line=list_line, **values)
    try:
        check_row(row)
    except ValueError as error:
        raise ManifestError(path, number, str(error)) from error
    if row.checksum() != checksum:
        reason = "the row was changed after it was written (its checksum differs); run the conversion again"
        raise ManifestError(path, number, reason)
    return row
