"""The scores of many runs on the same samples in one HDF5 file: without loss a third of the space of a file per run.

A group per list ("validation", "test_W", "test_W_without_depth", ...) holds the samples once (`ids`, `labels`, and
`species` as places in `species_names`), the names of the runs (`runs`) and their `scores`, a row per run. Scores that
are float32, as those of all methods here, are kept as such; others as float64. Equal scores make equal files. Scores
may be rounded to save more: their last bits are noise, which nothing compresses. Short lists, such as those of protocol
P6, would take more space for HDF5's own notes than for scores: the newest format keeps fewer notes, and the scores of
several runs are compressed together.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from mmdg_lite.configuration import write_bytes
from mmdg_lite.runs.scores import Scores

FILE = "scores.h5"
FLOAT32 = 24
"""Significant bits of a float32."""
CHUNK = 2**14
"""Scores that are compressed together, in whole rows: short lists take several runs."""
SQUEEZED = {"shuffle": True, "compression": "gzip", "compression_opts": 9}


def pack(path: str | Path, lists: Mapping[str, Mapping[str, Scores]], *, bits: int | None = None) -> None:
    """Write the scores of each list, by the name of the run, whole or not at all.

    `bits`: significant bits that scores are rounded to, at most the 24 of float32, so that none is off by more than its
    2^-bits; None keeps them as they are. Raises ValueError, naming the runs, where two scored different samples under
    one list's name, for a list without samples, and for a number of bits out of range.
    """
    if bits is not None and not 1 <= bits <= FLOAT32:
        raise ValueError(f"scores can be rounded to 1 to {FLOAT32} significant bits, not {bits}")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest") as file:
        for name, scored in sorted(lists.items()):
            _check(path, name, scored)
            _write_list(file.create_group(name), scored, bits)
    write_bytes(path, buffer.getvalue())


def packed_names(path: str | Path) -> dict[str, list[str]]:
    """Names of the lists of each run in a file, by the name of the run. Raises ValueError for a damaged file."""
    found: dict[str, list[str]] = {}
    with _Opened(path) as file:
        for name in sorted(file):
            for run in _texts(file[f"{name}/runs"]):
                found.setdefault(run, []).append(name)
    return found


def read_packed(path: str | Path, run: str, name: str) -> Scores:
    """Scores of one run on one list, exactly those that were packed.

    Raises FileNotFoundError where there is no such file, ValueError, naming it, where it is damaged or lacks that run
    or list.
    """
    with _Opened(path) as file:
        runs = _texts(file[f"{name}/runs"]) if name in file else []
        if run not in runs:
            raise ValueError(f"{path} holds no scores of run {run!r} on {name!r}")
        group = file[name]
        kinds = np.array(_texts(group["species_names"]))
        return Scores(
            ids=tuple(_texts(group["ids"])),
            labels=group["labels"][()].astype(np.int64),
            species=tuple(kinds[group["species"][()]].tolist()),
            scores=_as_read(group["scores"][runs.index(run)]),
        )


def read_packed_list(path: str | Path, name: str) -> dict[str, Scores]:
    """Scores of every run on one list, by the run's name: what `read_packed` gives for each, in the time of one.

    Raises FileNotFoundError and ValueError as `read_packed` does.
    """
    with _Opened(path) as file:
        if name not in file:
            raise ValueError(f"{path} holds no scores on {name!r}")
        group = file[name]
        kinds = np.array(_texts(group["species_names"]))
        ids, labels = tuple(_texts(group["ids"])), group["labels"][()].astype(np.int64)
        species = tuple(kinds[group["species"][()]].tolist())
        scores = _as_read(group["scores"][()])
        return {
            run: Scores(ids=ids, labels=labels, species=species, scores=scores[row])
            for row, run in enumerate(_texts(group["runs"]))
        }


class _Opened:
    """A file open for reading, whose damage is a ValueError that names it and the cure."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> h5py.File:
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no {self.path}")
        try:
            self.file = h5py.File(self.path, "r")
        except OSError as error:
            raise self._damaged(error) from error
        return self.file

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self.file.close()
        if isinstance(error, (OSError, KeyError)):
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> ValueError:
        return ValueError(f"{self.path} is not a whole file of packed scores ({error}); restore it, or pack it again")


def _check(path: str | Path, name: str, scored: Mapping[str, Scores]) -> None:
    first, reference = next(iter(scored.items()))
    if not len(reference):
        raise ValueError(f"{path}: {first} has no samples in {name}")
    for run, scores in scored.items():
        same = scores.ids == reference.ids and scores.species == reference.species
        if not (same and np.array_equal(scores.labels, reference.labels)):
            raise ValueError(
                f"{path}: {run} and {first} scored different samples in {name}; keep them in different folders"
            )


def rounded(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Values rounded to their first `bits` significant binary digits, halves to even; once rounded, they stay."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)


def _write_list(group: h5py.Group, scored: Mapping[str, Scores], bits: int | None) -> None:
    runs = sorted(scored)
    first = scored[runs[0]]
    kinds = sorted(set(first.species))
    exact = np.stack([scored[run].scores for run in runs]).astype(np.float64)  # runs x n
    if bits is not None:
        exact = rounded(exact, bits)
    short = exact.astype(np.float32)
    kept = short if np.array_equal(_as_read(short), exact) else exact
    group["runs"], group["species_names"] = _bytes(runs), _bytes(kinds)
    samples = {
        "ids": _bytes(first.ids),
        "labels": first.labels.astype(np.int8),
        "species": np.searchsorted(kinds, first.species).astype(np.min_scalar_type(len(kinds))),
    }
    for key, values in samples.items():
        group.create_dataset(key, data=values, chunks=values.shape, **SQUEEZED)
    together = min(len(runs), max(1, CHUNK // len(first)))
    group.create_dataset("scores", data=kept, chunks=(together, len(first)), **SQUEEZED)


def _bytes(texts: Sequence[str]) -> NDArray[np.bytes_]:
    return np.char.encode(np.array(texts), "utf-8")


def _texts(dataset: h5py.Dataset) -> list[str]:
    return np.char.decode(dataset[()], "utf-8").tolist()


def _as_read(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The numbers that reading the nine digits of score files gives: those nearest to float32 in decimal notation."""
    if values.dtype == np.float64:
        return values.astype(np.float64)
    texts = np.array([f"{value:.9g}" for value in values.ravel().tolist()])
    return texts.astype(np.float64).reshape(values.shape)
