"""Readers under test, and what becomes of mutated files.

- accepted and equal: the reader gives what it gives for the file as it was;
- accepted, other: it gives another content that is valid (a flipped pixel is no error to any decoder); the reader's
  `read` raises `AssertionError` for content that is not;
- refused by name: an exception of a type that the reader promises, whose message names the file;
- other: everything else, such as another exception, invalid content, or `SECONDS` of computing.
"""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.fuzz.mutations import Mutation, mutated_bytes

EQUAL, VALID, REFUSED, OTHER = "accepted and equal", "accepted, other", "refused by name", "other"
SECONDS = 10.0
"""Seconds of this process's computing that no case may take."""


@dataclass(frozen=True)
class Case:
    """A file with valid content, and how it is mutated."""

    path: Path
    content: bytes
    mutation: Mutation = mutated_bytes


@dataclass(frozen=True)
class Reader:
    """A reader of untrusted files.

    `cases`: files of which one is mutated at a time; the others, and it afterwards, are as they were. `read` gives
    what the reader gives, after checks of its own. `promised`: the exceptions that it documents. `names`: what a
    message may name instead of the mutated file, such as the folder. `weight`: its share of the cases.
    """

    cases: tuple[Case, ...]
    read: Callable[[], Any]
    promised: tuple[type[Exception], ...]
    names: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass
class Outcomes:
    """Numbers of outcomes, and examples of what no reader promises."""

    counts: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)
    seconds: float = 0.0


def fuzz(reader: Reader, cases: int, seed: int) -> Outcomes:
    """Outcomes of mutated files, drawn from a seed."""
    rng = np.random.default_rng(seed)
    found = Outcomes()
    if not cases:
        return found
    whole = {case.path: case.content for case in reversed(reader.cases)}
    originals = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in reader.cases:
            _put(case.path, case.content)
            try:
                originals.append(reader.read())
            except reader.promised:
                originals.append(None)
            _put(case.path, whole[case.path])
        assert any(value is not None for value in originals), "no file is readable as it is"
        started = time.process_time()
        for number in range(cases):
            which = int(rng.integers(0, len(reader.cases)))
            case = reader.cases[which]
            _put(case.path, case.mutation(rng, case.content))
            begun = time.process_time()
            outcome = _outcome(reader, case, originals[which])
            if time.process_time() - begun > SECONDS:
                outcome = f"{OTHER}: it took {time.process_time() - begun:.0f} s"
            found.counts[outcome.partition(":")[0]] += 1
            if outcome.startswith(OTHER):
                found.others.append(f"case {number} of seed {seed}, {case.path.name}: {outcome[:1_000]}")
            _put(case.path, whole[case.path])
        found.seconds = time.process_time() - started
    return found


def _outcome(reader: Reader, case: Case, original: Any) -> str:
    try:
        value = reader.read()
    except reader.promised as error:
        text = str(error)
        return REFUSED if any(name in text for name in (case.path.name, *reader.names)) else f"{OTHER}: {error!r}"
    except Exception as error:
        return f"{OTHER}: {error!r}"
    return EQUAL if original is not None and equal(value, original) else VALID


def _put(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # a new file: readers may remember the old one by its place on disk
    path.write_bytes(content)


def equal(first: Any, second: Any) -> bool:
    """Equal plain values, dataclasses, arrays, or lists and dictionaries of them; NaN equals NaN."""
    if isinstance(first, np.ndarray):
        return isinstance(second, np.ndarray) and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and first.keys() == second.keys()
            and all(equal(value, second[key]) for key, value in first.items())
        )
    return bool(first == second or (first != first and second != second))


def shares(readers: Mapping[str, Reader], cases: int) -> dict[str, int]:
    """How many cases each reader gets of so many in all."""
    total = sum(reader.weight for reader in readers.values())
    found = {name: int(cases * reader.weight / total) for name, reader in readers.items()}
    first = next(iter(found))
    found[first] += cases - sum(found.values())
    return found


def table(rows: Iterable[tuple[str, Outcomes]]) -> str:
    """A row per reader, and their sum."""
    columns = (EQUAL, VALID, REFUSED, OTHER)
    rows = list(rows)
    total = Outcomes(sum((made.counts for _, made in rows), Counter()), [], sum(made.seconds for _, made in rows))
    width = max(len(name) for name, _ in rows)
    lines = [f"{'reader':{width}}  {'cases':>6}  " + "  ".join(f"{column:>18}" for column in columns) + "  CPU s"]
    for name, made in [*rows, ("all", total)]:
        counts = "  ".join(f"{made.counts[column]:18}" for column in columns)
        lines.append(f"{name:{width}}  {sum(made.counts.values()):6}  {counts}  {made.seconds:5.1f}")
    return "\n".join(lines)
