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
from dataclasses import replace
from math import prod
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from mmdg_lite.configuration import write_bytes
from mmdg_lite.data.real.files import open_regular
from mmdg_lite.runs.scores import TEST, VALIDATION, Scores, check_range, check_samples

FILE = "scores.h5"
FLOAT32 = 24
"""Significant bits of a float32."""
CHUNK = 2**14
"""Scores that are compressed together, in whole rows: short lists take several runs."""
LARGEST = 2**30
"""Bytes of the largest file, and of the largest dataset once decompressed, that is read."""
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
        for name in sorted(file.names()):
            for run in file.texts(name, "runs"):
                found.setdefault(run, []).append(name)
    return found


def read_packed(path: str | Path, run: str, name: str) -> Scores:
    """Scores of one run on one list, exactly those that were packed.

    Raises FileNotFoundError where there is no such file, ValueError, naming it, where it is damaged, lacks that run
    or list, or holds what `scores.read_scores` would refuse.
    """
    with _Opened(path) as file:
        runs = file.texts(name, "runs") if name in file.names() else []
        if run not in runs:
            raise ValueError(f"{path} holds no scores of run {run!r} on {name!r}")
        return _with_scores(path, file.samples(name), file.scores(name, runs.index(run)))


def read_packed_list(path: str | Path, name: str) -> dict[str, Scores]:
    """Scores of every run on one list, by the run's name: what `read_packed` gives for each, in the time of one.

    Raises FileNotFoundError and ValueError as `read_packed` does.
    """
    with _Opened(path) as file:
        if name not in file.names():
            raise ValueError(f"{path} holds no scores on {name!r}")
        samples, scores = file.samples(name), file.scores(name)
        return {
            run: _with_scores(path, samples, scores[row]) for row, run in enumerate(file.texts(name, "runs"))
        }


def _with_scores(path: str | Path, samples: Scores, scores: NDArray[np.float64]) -> Scores:
    check_range(Path(path), samples.ids, scores)
    return replace(samples, scores=scores)


class _Opened:
    """A file open for reading, whose damage is a ValueError that names it and the cure.

    Only what lies in the file itself is read: links and external data could show any other file of this machine.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> "_Opened":
        try:
            open_regular(self.path, limit=LARGEST).close()
            self.file = h5py.File(self.path, "r")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"there is no {self.path}") from error
        except Exception as error:
            raise self._damaged(error) from error
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self.file.close()
        told = isinstance(error, ValueError) and str(self.path) in str(error)
        if isinstance(error, Exception) and not told:  # damaged files raise anything
            raise self._damaged(error) from error

    def names(self) -> list[str]:
        """Names of the lists. Raises ValueError for one that cannot be the name of a score file."""
        names = list(self.file)
        if wrong := [name for name in names if name != VALIDATION and not TEST.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r} is no name of a list")
        return names

    def texts(self, name: str, what: str) -> list[str]:
        """A dataset of texts of a list."""
        return np.char.decode(self._dataset(name, what, "S")[()], "utf-8").tolist()

    def samples(self, name: str) -> Scores:
        """The samples of a list, checked; their scores are NaN."""
        ids, kinds = self.texts(name, "ids"), np.array(self.texts(name, "species_names"))
        labels = self._dataset(name, "labels", "iu", (len(ids),))[()].astype(np.int64)
        species = kinds[self._dataset(name, "species", "u", (len(ids),))[()]].tolist()
        check_samples(self.path, zip(ids, labels.tolist(), species, strict=True))
        return Scores(ids=tuple(ids), labels=labels, species=tuple(species), scores=np.full(len(ids), np.nan))

    def scores(self, name: str, row: int | None = None) -> NDArray[np.float64]:
        """Scores of all runs on a list, runs x n, or of one, n."""
        shape = len(self.texts(name, "runs")), len(self.texts(name, "ids"))
        return _as_read(self._dataset(name, "scores", "f", shape)[() if row is None else row])

    def _dataset(self, name: str, what: str, kinds: str, shape: tuple[int, ...] | None = None) -> h5py.Dataset:
        group = self.file
        for part in (name, what):
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                raise ValueError(f"{name}/{what} is missing, or a link to elsewhere")
            group = group[part]
        if not isinstance(group, h5py.Dataset) or group.external or group.is_virtual:
            raise ValueError(f"{name}/{what} is no dataset of this file")
        wrong_shape = group.ndim != 1 if shape is None else group.shape != shape
        if group.dtype.kind not in kinds or wrong_shape or group.nbytes > LARGEST:
            raise ValueError(f"{name}/{what} holds {group.dtype} of shape {group.shape}")
        if group.chunks is not None and prod(group.chunks) * group.dtype.itemsize > LARGEST:
            raise ValueError(f"{name}/{what} is stored in parts of {group.chunks}")
        return group

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


def _as_read(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The numbers that reading the nine digits of score files gives: those nearest to float32 in decimal notation."""
    if values.dtype == np.float64:
        return values.astype(np.float64)
    texts = np.array([f"{value:.9g}" for value in values.ravel().tolist()])
    return texts.astype(np.float64).reshape(values.shape)
