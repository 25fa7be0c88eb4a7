"""The benchmark's lists as their authors publish them: which frames form a split, with their labels.

C, S and W: `rgb depth infrared label`, one space between, CRLF at line ends, none after the last line.
P: `name.npz<TAB>label`, LF. What cannot be parsed is refused with file, line and reason. The lists themselves are not
part of this project: they carry no licence, and are read from wherever the user has put them.
"""

import codecs
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdg_lite.data.real.files import read_regular
from mmdg_lite.data.real.species import cefa_species, surf_species, wmca_species
from mmdg_lite.registry import DEVICES

LETTERS = ("W", "C", "S", "P")
DATASETS = {"W": "WMCA", "C": "CASIA-SURF CeFA", "S": "CASIA-SURF", "P": "PADISI-Face"}
SPLITS = ("train", "val", "test")
DOMAIN = re.compile(rf"(?!{DEVICES}\Z)[A-Za-z][A-Za-z0-9]*")
"""What a domain's name looks like: one of the letters above, or a name of the user's own. It becomes a folder, so it is
none of the names that Windows keeps for devices."""

# (live, spoof) rows of the published lists
PUBLISHED_COUNTS: dict[str, dict[str, tuple[int, int]]] = {
    "W": {"train": (372, 1323), "val": (324, 1347), "test": (345, 1326)},
    "C": {"train": (1200, 3600), "val": (601, 1800), "test": (1200, 5539)},
    "S": {"train": (900, 5397), "val": (300, 1800), "test": (1800, 10764)},
    "P": {"train": (597, 493), "val": (145, 127), "test": (363, 304)},
}

# the folders that tell the modalities apart, in the order RGB, depth, infrared
MODALITY_FOLDERS = {"W": ("color", "depth", "ir"), "C": ("profile", "depth", "ir"), "S": ("color", "depth", "ir")}
_TOP = {"W": "WMCA-Image", "C": "CeFA", "S": "CASIA-SURF-CROP"}
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:]")


class ListError(ValueError):
    """A list cannot be parsed. The message names the file, the line (counted from 1) and the reason."""

    def __init__(self, path: str | Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path, self.line, self.reason = Path(path), line, reason


@dataclass(frozen=True)
class ListRow:
    """One sample of a list."""

    line: int  # line of the list, counted from 1
    paths: tuple[str, str, str]  # RGB, depth, infrared, as the list writes them; for P the same file three times
    label: int  # 1 live, 0 spoof
    species: str  # "live", or the attack species as far as the path tells, else "unknown" or "other"
    subject: str  # the person or mask shown, "" where the path does not tell
    clip: str  # video, clip or file that the frames come from
    frames: tuple[str, str, str]  # name of the frame per modality, without its suffix; "0" for P

    @property
    def key(self) -> str:
        """The frame that a sample shows, the same for repeated rows."""
        return f"{self.clip}/{self.frames[0]}" if self.clip != self.paths[0] else self.clip


def dataset_name(domain: str) -> str:
    """The name of a domain's data set."""
    return DATASETS.get(domain, "own data")


def list_path(folder: str | Path, domain: str, split: str) -> Path:
    """Where a folder of lists keeps that of a domain's split."""
    return Path(folder) / f"{domain}-{split}.txt"


def read_list(path: str | Path, domain: str) -> list[ListRow]:
    """Read one published list of domain W, C, S or P; repeated rows are kept.

    Raises `ListError` (file, line, reason) for an empty list, a row that does not have the form of its domain, a label
    other than 0 or 1, or a path that could leave the data set's folder; `FileNotFoundError` if there is no such file.
    """
    if domain not in LETTERS:
        raise ValueError(f"unknown domain {domain!r}; the domains are {', '.join(LETTERS)}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list; name the folder that holds {domain}-train.txt and its like")
    text = list_text(path, cure="is this really a list?")
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":  # a line end after the last line is fine, and so is none
        lines.pop()
    if not lines:
        raise ListError(path, 1, "the list is empty")
    return [_parse(path, number, line, domain) for number, line in enumerate(lines, start=1)]


def list_text(path: Path, *, cure: str) -> str:
    """A file's text, its line ends as they are: UTF-8, or what its byte order mark says (spreadsheets write UTF-16).

    Raises `ListError` with the line of what is neither, and the cure; `OSError` if the file cannot be read.
    """
    content = read_regular(path)
    if content.startswith(b"PK\3\4"):
        raise ListError(path, 1, "a workbook or another packed file, not text: save its table as CSV in UTF-8")
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ListError(path, line, f"not text in UTF-8: {cure}") from error


def read_lists(folder: str | Path, domain: str) -> dict[str, list[ListRow]]:
    """All three splits of a domain from a folder with `<domain>-<split>.txt`."""
    return {split: read_list(list_path(folder, domain, split), domain) for split in SPLITS}


def distinct(rows: Sequence[ListRow]) -> list[ListRow]:
    """The rows without repetitions, each as it first stood."""
    seen: dict[tuple[tuple[str, str, str], int], ListRow] = {}
    for row in rows:
        seen.setdefault((row.paths, row.label), row)
    return list(seen.values())


@dataclass(frozen=True)
class SplitCheck:
    """What is wrong between and within the splits of a domain; empty where nothing is."""

    shared_subjects: dict[tuple[str, str], tuple[str, ...]]  # subjects that two splits share
    shared_samples: dict[tuple[str, str], tuple[tuple[int, int], ...]]  # lines of the same frame in two splits
    repeated_rows: dict[str, int]  # rows that a split holds beyond the distinct ones
    contradictions: tuple[str, ...]  # frames listed both as live and as spoof

    def lines(self) -> list[str]:
        """The findings as sentences; none if the splits are clean."""
        found = [f"{split}: {count} rows repeat an earlier one" for split, count in self.repeated_rows.items()]
        for (first, second), names in self.shared_subjects.items():
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            found.append(f"{first} and {second} share {len(names)} subject{'s' * (len(names) > 1)}: {shown}")
        for (first, second), pairs in self.shared_samples.items():
            shown = ", ".join(f"line {a} of {first} is line {b} of {second}" for a, b in pairs[:3])
            found.append(f"{first} and {second} share {len(pairs)} sample{'s' * (len(pairs) > 1)}: {shown}")
        return found + [f"{name}: listed both as live and as spoof" for name in self.contradictions]


def check_splits(rows: Mapping[str, Sequence[ListRow]]) -> SplitCheck:
    """Look for subjects and samples in two splits, repeated rows, and contradicting labels."""
    subjects = {split: {row.subject for row in part} - {""} for split, part in rows.items()}
    first_line = {split: {row.paths: row.line for row in reversed(part)} for split, part in rows.items()}
    pairs = [(a, b) for i, a in enumerate(rows) for b in list(rows)[i + 1 :]]
    shared = {pair: tuple(sorted(subjects[pair[0]] & subjects[pair[1]])) for pair in pairs}
    same = {
        (a, b): tuple((first_line[a][paths], first_line[b][paths]) for paths in first_line[a] if paths in first_line[b])
        for a, b in pairs
    }
    repeated = {split: len(part) - len(distinct(part)) for split, part in rows.items()}
    labels = Counter(key for key, _ in {(row.key, row.label) for part in rows.values() for row in part})
    return SplitCheck(
        shared_subjects={pair: names for pair, names in shared.items() if names},
        shared_samples={pair: lines for pair, lines in same.items() if lines},
        repeated_rows={split: count for split, count in repeated.items() if count},
        contradictions=tuple(sorted(key for key, count in labels.items() if count > 1)),
    )


def _parse(path: Path, number: int, line: str, domain: str) -> ListRow:
    """One line of a list; every refusal goes through `ListError`."""
    separator, columns = ("\t", 2) if domain == "P" else (" ", 4)
    parts = line.split(separator)
    if len(parts) != columns or "" in parts:
        form = "`name.npz<TAB>label`" if domain == "P" else "`rgb depth infrared label` with one space between"
        raise ListError(path, number, f"expected {form}, got {line[:120]!r}")
    if parts[-1] not in ("0", "1"):
        raise ListError(path, number, f"the label must be 0 (spoof) or 1 (live), got {parts[-1][:40]!r}")
    for name in parts[:-1]:
        if _UNSAFE.search(name) or name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
            raise ListError(path, number, f"{name[:120]!r} is not a plain path below the data set's folder")
    label = int(parts[-1])
    if domain == "P":
        name = parts[0]
        if "/" in name or not name.endswith(".npz"):
            raise ListError(path, number, f"expected the name of an npz file, got {name[:120]!r}")
        species = "live" if label else "unknown"
        return ListRow(number, (name, name, name), label, species, "", name, ("0", "0", "0"))
    return _parse_triplet(path, number, (parts[0], parts[1], parts[2]), label, domain)


def _parse_triplet(path: Path, number: int, paths: tuple[str, str, str], label: int, domain: str) -> ListRow:
    """A row of W, C or S: three paths `<clip>/<modality>/<frame>.jpg` of one clip."""
    split = [name.rsplit("/", 2) for name in paths]
    for name, parts, folder in zip(paths, split, MODALITY_FOLDERS[domain], strict=True):
        if len(parts) != 3 or parts[1] != folder or not parts[2].endswith(".jpg") or parts[2] == ".jpg":
            raise ListError(path, number, f"{name[:120]!r} is not of the form <clip>/{folder}/<frame>.jpg")
    clip = split[0][0]
    if any(parts[0] != clip for parts in split):
        raise ListError(path, number, "the three paths are of different clips")
    if not clip.startswith(_TOP[domain] + "/"):
        raise ListError(path, number, f"paths of {DATASETS[domain]} start with {_TOP[domain]}/, got {clip[:120]!r}")
    try:
        species, subject = {"W": wmca_species, "C": cefa_species, "S": surf_species}[domain](clip, label)
    except ValueError as error:
        raise ListError(path, number, str(error)) from error
    frames = (split[0][2][:-4], split[1][2][:-4], split[2][2][:-4])
    return ListRow(number, paths, label, species, subject, clip, frames)
