"""The table of one's own pictures: a CSV file with a line per sample, as people and spreadsheets write it."""

import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from unicodedata import normalize

from mmdg_lite.data.real.csv_table import read_csv_table
from mmdg_lite.data.real.lists import SPLITS, ListError, ListRow
from mmdg_lite.data.real.manifest import NAME_CHARACTERS, is_plain_name
from mmdg_lite.data.real.species import LIVE
from mmdg_lite.modality import MODALITIES

COLUMNS = ("split", "species", "subject", *(modality.value for modality in MODALITIES))

LIVE_WORDS = {"live", "living", "alive", "liveness", "bonafide", "bona", "real", "genuine", "authentic", "legitimate"}
"""Words, in small letters: a species that holds one of them is never counted as an attack."""
LIVE_NAMES = {"true", "yes", "positive", "person", "human", "face", "client", "echt", "liv", "vivo", "vivant"}
"""Words that are live as a whole name, and may be part of an attack's (print_person1)."""
NO_ATTACKS = {"none", "no", "na", "nan", "null", "nil", "normal", "negative", "neg", "ok", "okay", "false", "clean"}
"""Words that name no kind of attack, and often mean that there is none."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_DENIED_ATTACK = re.compile(r"(no|non|not|anti|un|without|never)(an?)?(attack|spoof|fake|pa(i|d|s)?$)")
_LIVE_BEGINS = ("live", "bonafide", "genuine", "lebend")


def read_table(path: str | Path, *, source: str | Path | None = None) -> dict[str, list[ListRow]]:
    """The rows of a table by their splits; its columns are COLUMNS, in any order.

    Columns are divided by commas, semicolons or tabs. The text is UTF-8, or UTF-16 with a byte order mark. Paths may be
    written in Windows' way. A split may be empty: a test list alone tests a finished model.

    Args:
        path: the table.
        source: the folder that its paths start from; with it, two names of one file are known to be one.

    Raises:
        ListError: (file, line, reason) for what is no such table, an unknown split, a sample without images, one that
            stands there twice, a species or subject that is not a plain name, another word for live, or a subject or a
            file in two splits.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such table; --table names a CSV file with the columns {','.join(COLUMNS)}")
    rows: dict[str, list[ListRow]] = defaultdict(list)
    split_of: dict[str, str] = {}
    first_use: dict[str, tuple[str, int, str]] = {}  # name of a file -> split, line and path of its first use
    seen: set[tuple[tuple[str, int, str] | None, ...]] = set()
    for line, values in _records(path):
        if reason := _fault(values):
            raise ListError(path, line, reason)
        split, row = values["split"], _row(line, values)
        files = []
        for relative in row.paths:
            names = _names(source, relative)
            first = next((first_use[name] for name in names if name in first_use), (split, line, relative))
            first_use.update(dict.fromkeys(names, first))
            if names and first[0] != split:
                raise ListError(path, line, f"{relative!r} is in {split}, and by line {first[1]} in {first[0]}, too")
            files.append(first if names else None)
        if tuple(files) in seen:
            raise ListError(path, line, f"{', '.join(filter(None, row.paths))}: listed for the second time")
        if row.subject and split_of.setdefault(row.subject, split) != split:
            other = split_of[row.subject]
            raise ListError(path, line, f"subject {row.subject!r} is in {other} and in {split}; keep people apart")
        seen.add(tuple(files))
        rows[split].append(row)
    if not rows:
        raise ListError(path, 1, "the table has no samples")
    return {split: rows[split] for split in SPLITS}


def _names(source: str | Path | None, relative: str) -> tuple[str, ...]:
    """Names of the file that a path leads to: the same for every way to write it; none for an empty path."""
    if not relative:
        return ()
    place = os.path.normpath(relative) if source is None else os.path.realpath(Path(source) / relative)
    names = [normalize("NFC", place)]
    if source is not None:
        with suppress(OSError, ValueError):  # no such file: the conversion will say so
            status = os.stat(place)
            names.append(f"{status.st_dev}:{status.st_ino}")  # links, and names in other letters
    return tuple(names)


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and fields of every sample. Raises `ListError` for what is no CSV with the columns COLUMNS."""
    table = read_csv_table(path)
    if sorted(table.columns) != sorted(COLUMNS):
        raise ListError(path, table.line, f"the columns must be {','.join(COLUMNS)}; found {table.found}")
    yield from table.records()


def _fault(values: Mapping[str, str]) -> str | None:
    """Why a line cannot be used, whatever the others say; None if it can."""
    split, species, subject = values["split"], values["species"], values["subject"]
    if split not in SPLITS:
        return f"the split must be one of {', '.join(SPLITS)}, got {split!r}"
    if not any(values[modality.value] for modality in MODALITIES):
        return "the sample has no image"
    for modality in MODALITIES:
        if os.name != "nt" and re.match(r"[A-Za-z]:[\\/]|\\\\", values[modality.value]):
            return f"{values[modality.value][:120]!r} is a path of another computer: write it as it follows --source"
    if not species:
        return f"the species is empty: write {LIVE}, or the kind of attack"
    if species != LIVE and says_live(species):
        return f"the species {species!r} would be an attack: write {LIVE}, or name the attack without that word"
    if _is_number(species):
        return f"the species {species!r} is a number: write {LIVE}, or the kind of attack"
    if names_no_attack(species):
        return (
            f"the species {species!r} names no kind of attack, and would be one: write {LIVE} for a live (bona fide) "
            "face, or the attack's species, such as print or replay"
        )
    for name, text in (("species", species), ("subject", subject)):
        if text and not is_plain_name(text):
            return f"the {name} {text[:60]!r} is not a plain name: write it with {NAME_CHARACTERS} only"
    return None


def says_live(species: str) -> bool:
    """A species that is, holds or begins with a word for live."""
    words = {word.casefold() for word in _WORD.findall(species)}
    together = _letters(species)
    return together.startswith(_LIVE_BEGINS) or bool(words & LIVE_WORDS) or together in LIVE_WORDS | LIVE_NAMES


def names_no_attack(species: str) -> bool:
    """A species that denies an attack, or is a single letter: nobody can tell what it means."""
    together, signs = _letters(species), re.sub(r"[\W_]", "", species)
    return len(signs) <= 1 or together in NO_ATTACKS or _DENIED_ATTACK.match(together) is not None


def _letters(species: str) -> str:
    """The letters alone, in small ones."""
    return re.sub(r"[\W_\d]", "", species.casefold())


def _is_number(species: str) -> bool:
    """True for what reads as a number, such as -1, 1.0 or 1e3; nan is a word here."""
    with suppress(ValueError):
        return not math.isnan(float(species))
    return False


def _row(line: int, values: Mapping[str, str]) -> ListRow:
    """A line without fault as the row of a list; paths are written with / between folders."""
    rgb, depth, infrared = (values[modality.value].replace("\\", "/") for modality in MODALITIES)
    species, first = values["species"], rgb or depth or infrared
    label = int(species == LIVE)
    return ListRow(line, (rgb, depth, infrared), label, species, values["subject"], first, ("", "", ""))
