"""Scores on disk: one gzipped CSV per test list, with sample ids, from which every table and figure is rebuilt.

Columns: id (text, unique), label (1 live, 0 spoof), species (text; "live" for live samples), score (P(live), in
0..1, nine significant digits, which hold a float32 exactly). Rows are sorted by id and the gzip header holds no
time, so that equal scores are equal files, byte for byte.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmdg_lite.configuration import write_bytes
from mmdg_lite.data.real.files import read_gzip
from mmdg_lite.metrics import Metrics, evaluate_scores
from mmdg_lite.modality import Modality

COLUMNS = ("id", "label", "species", "score")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one list, in its order: n ids, n labels (1 live, 0 spoof), n species, n scores P(live) in 0..1."""

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    species: tuple[str, ...]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    def metrics(self, *, threshold: float | None = None) -> Metrics:
        """Every metric of these scores, see `metrics.evaluate_scores`."""
        return evaluate_scores(self.scores, self.labels, threshold=threshold, species=self.species)

    @property
    def cross_entropy(self) -> float:
        """Mean of -log P(true class), in nats."""
        likelihood = np.where(self.labels == 1, self.scores, 1 - self.scores)
        return float(-np.log(np.clip(likelihood, 1e-12, None)).mean())

    def write(self, path: str | Path) -> None:
        """Write a score file, see `write_scores`."""
        write_scores(path, self.ids, self.labels, self.species, self.scores)

    def by_clip(self, clips: Sequence[str]) -> "Scores":
        """One score per clip, the mean over its frames; ids are the clips' names, in the order of their first frames.

        `clips`: n names, the clip that each sample is a frame of. Where every clip has one frame the scores are these.
        Raises ValueError for another number of names, or for a clip with frames of several labels or species.
        """
        if len(clips) != len(self):
            raise ValueError(f"{len(clips)} names of clips for {len(self)} scores")
        frames: dict[str, list[int]] = {}
        for number, clip in enumerate(clips):
            frames.setdefault(clip, []).append(number)
        for clip, numbers in frames.items():
            if len({(int(self.labels[n]), self.species[n]) for n in numbers}) > 1:
                raise ValueError(f"the frames of clip {clip!r} differ in label or species: they are not one clip")
        first = [numbers[0] for numbers in frames.values()]
        return Scores(
            ids=tuple(frames),
            labels=self.labels[first],
            species=tuple(self.species[n] for n in first),
            scores=np.array([self.scores[numbers].mean() for numbers in frames.values()], dtype=np.float64),
        )


def write_scores(
    path: str | Path, ids: Sequence[str], labels: ArrayLike, species: Sequence[str], scores: ArrayLike
) -> None:
    """Write `path` (ending in .csv.gz), whole or not at all.

    Raises ValueError for lists of unequal length, an id given twice, an id or species with a line break, a label
    other than 0 and 1, and a score outside 0..1 (NaN included).
    """
    path = Path(path)
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if not len(ids) == len(y) == len(species) == len(s):
        raise ValueError(f"{path}: {len(ids)} ids, {len(y)} labels, {len(species)} species and {len(s)} scores")
    rows = sorted(zip((str(i) for i in ids), (int(v) for v in y), map(str, species), s.tolist(), strict=True))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((name, label, kind, f"{score:.9g}") for name, label, kind, score in rows)
    _check_rows(path, rows)
    write_bytes(path, gzip.compress(text.getvalue().encode(), mtime=0))


def read_scores(path: str | Path) -> Scores:
    """Read what `write_scores` wrote.

    Raises FileNotFoundError where there is no such file, and ValueError, naming the file and the line, for anything
    that `write_scores` would not have written.
    """
    path = Path(path)
    try:
        text = read_gzip(path).decode()
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a whole gzipped text file ({error}); delete it and evaluate again") from error
    try:
        lines = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise ValueError(f"{path} is not a table ({error}); delete it and evaluate again") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise ValueError(f"{path}: first line must be {','.join(COLUMNS)}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            name, label, kind, score = line
            rows.append((name, int(label), kind, float(score)))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {line} ({error})") from error
    _check_rows(path, rows)
    ids, labels, species, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Scores(
        ids=ids, labels=np.array(labels, dtype=np.int64), species=species, scores=np.array(scores, dtype=np.float64)
    )


def _check_rows(path: Path, rows: Sequence[tuple[str, int, str, float]]) -> None:
    check_samples(path, ((name, label, kind) for name, label, kind, _ in rows))
    check_range(path, [name for name, *_ in rows], np.array([score for *_, score in rows], dtype=np.float64))


def check_samples(path: Path, samples: Iterable[tuple[str, int, str]]) -> None:
    """Raise ValueError, naming the file, unless ids, labels and species are those of a list: ids differ, ids and
    species are one line of text each, and live is label 1 and only that."""
    seen: set[str] = set()
    for name, label, kind in samples:
        if name in seen:
            raise ValueError(f"{path}: id {name!r} occurs twice")
        seen.add(name)
        if "\n" in name + kind or "\r" in name + kind or not name or not kind:
            raise ValueError(f"{path}: id {name!r} and species {kind!r} must be one line of text each")
        if label not in (0, 1):
            raise ValueError(f"{path}: id {name!r} has label {label}, must be 1 (live) or 0 (spoof)")
        if (label == 1) != (kind == "live"):
            raise ValueError(
                f"{path}: id {name!r} has label {label} and species {kind!r}; live is label 1 and only that"
            )


def check_range(path: Path, ids: Sequence[str], scores: NDArray[np.float64]) -> None:
    """Raise ValueError, naming the file and the first id, where one of n scores is outside 0..1 or no number."""
    outside = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if len(outside):
        first = int(outside[0])
        raise ValueError(f"{path}: id {ids[first]!r} has score {scores[first]}, must lie in 0..1")


Pattern = tuple[Modality, ...]
"""Modalities that are taken away from every sample of a test."""


VALIDATION = "validation"
"""Name of the list of the sources' validation samples, without ending."""
TEST = re.compile(
    r"test_(?P<target>[A-Za-z][A-Za-z0-9]*)"
    r"(?:_without_(?P<missing>[a-z_]+)|_(?P<deployment>d\d\d)|_(?P<faulty>[a-z]+)_fault(?P<severity>\d))?"
)
"""Names of test lists, without ending: of a target domain, of one without some modalities, of a deployment (protocol
P6), and of a target domain with a fault of one modality (P6)."""


def of_p6(match: re.Match[str]) -> bool:
    """True if a name that `TEST` matches is of one of the lists that protocol P6 adds."""
    return match["deployment"] is not None or match["faulty"] is not None


AT_RANDOM = "_at_random"
"""Ending of names of tests with modalities missing from some samples only."""


def score_file(letter: str | None, missing: Sequence[Modality] = (), *, at_random: bool = False) -> str:
    """Name of a score file: "validation.csv.gz", "test_W.csv.gz", "test_W_without_depth_infrared.csv.gz".

    `at_random`: of a test with modalities missing at random: "test_W_without_depth_at_random.csv.gz".
    """
    if letter is None:
        return f"{VALIDATION}.csv.gz"
    without = "_without_" + "_".join(modality.value for modality in missing) if missing else ""
    return f"test_{letter}{without}{AT_RANDOM if at_random else ''}.csv.gz"


def missing_words(missing: str) -> str:
    """What is missing in a test, in words: "depth and infrared" for "depth_infrared", "nothing" for ""."""
    every = missing.removesuffix(AT_RANDOM)
    return (every.replace("_", " and ") or "nothing") + (" at random" if every != missing else "")


def deployment_file(name: str) -> str:
    """Name of the score file of a deployment of protocol P6: "test_P6_d07.csv.gz"."""
    return f"test_P6_{name}.csv.gz"


def fault_file(letter: str, modality: Modality, severity: int) -> str:
    """Name of the score file of a point of a reliability curve: "test_W_depth_fault3.csv.gz"."""
    return f"test_{letter}_{modality.value}_fault{severity}.csv.gz"
