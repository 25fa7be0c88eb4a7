"""Finished run folders, read into one frame: a row per run, target and set of missing modalities, every metric
beside it.

Nothing is remembered between calls and no metric is taken from a file that a run computed: all of them are computed
here from the scores, at the threshold fixed on the same run's validation scores.
"""

import json
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from mmdg_lite.data.real.files import read_gzip, read_regular
from mmdg_lite.metrics import bootstrap_interval, threshold_at_eer
from mmdg_lite.runs.folder import finished_runs, read_run
from mmdg_lite.runs.packed import FILE, packed_names, read_packed, read_packed_list
from mmdg_lite.runs.scores import TEST, VALIDATION, Scores, of_p6, read_scores

KEYS = ["profile", "data", "protocol", "setting", "target", "missing", "method", "seed"]
ENDING = ".csv.gz"


def collect(root: str | Path, *, methods: Collection[str] | None = None, progress: bool = False) -> pd.DataFrame:
    """One row per (run, target, missing modalities), with the columns KEYS, run (the folder), steps, seconds and
    metrics. The lists that protocol P6 adds to runs are read by `results.deployments`.

    `root`: a folder of runs at any depth. `methods`: whose runs are read; None reads all. `data` is "synthetic" where
    the run's configuration names no data root, else "real". `missing` is "" or names such as "depth" and
    "depth_infrared". Metrics are fractions in 0..1; `hter`, `far`, `frr`, `apcer`, `bpcer` and `acer` are at the
    equal-error threshold of the run's own validation scores, `hter_low` and `hter_high` bound hter's 95 % bootstrap
    interval. Raises FileNotFoundError when there is no such finished run below `root`, and ValueError, naming the
    folder, for one that is incomplete, or for two runs with the same KEYS.
    """
    return collect_with_species(root, methods=methods, progress=progress)[0]


def collect_species(root: str | Path) -> pd.DataFrame:
    """APCER of every attack species: columns KEYS, species and apcer (a fraction, at the validation threshold).

    Raises as `collect` does.
    """
    return collect_with_species(root)[1]


def collect_with_species(
    root: str | Path, *, methods: Collection[str] | None = None, progress: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frames of `collect` and of `collect_species`, for which the scores are read once."""
    runs = [run for run in finished_runs(root) if methods is None or read_run(run)[0]["method"] in methods]
    if not runs:
        of = f" of {', '.join(methods)}" if methods else ""
        raise FileNotFoundError(f"no finished run{of} (a folder with result.json) in {Path(root).resolve()}")
    lists, rows, species = Lists(), [], []
    for run in tqdm(runs, desc="scores", disable=not progress):
        for keys, metrics in _measured(run, lists):
            per_species = metrics.pop("apcer_per_species")
            rows.append({**keys, **metrics})
            species += [{**keys, "species": name, "apcer": apcer} for name, apcer in per_species.items()]
    frame = pd.DataFrame(rows).sort_values(KEYS, kind="stable").reset_index(drop=True)
    twice = frame[frame.duplicated(KEYS, keep=False)]
    if len(twice):
        folders = ", ".join(sorted(set(twice["run"])))
        raise ValueError(f"runs with the same settings and seed: {folders}; keep one of them")
    return frame, pd.DataFrame(species, columns=[*KEYS, "run", "species", "apcer"])


def list_names(run: str | Path) -> list[str]:
    """Names of the lists that a run has scores of, such as "validation" and "test_W_without_depth", sorted.

    They are its own files scores/NAME.csv.gz, or, where it has none, those that an archive packed for it.
    """
    run = Path(run)
    own = sorted(path.name.removesuffix(ENDING) for path in (run / "scores").glob(f"*{ENDING}"))
    if own:
        return own
    packed = _packed(run)
    return packed_names(packed).get(run.relative_to(packed.parent).as_posix(), []) if packed else []


def read_list(run: str | Path, name: str) -> Scores:
    """Scores of a run on one list, see `list_names`.

    Raises FileNotFoundError where it has none, and ValueError, naming the file, where that is damaged.
    """
    run = Path(run)
    own = run / "scores" / f"{name}{ENDING}"
    packed = None if own.is_file() else _packed(run)
    return read_packed(packed, run.relative_to(packed.parent).as_posix(), name) if packed else read_scores(own)


class Lists:
    """Scores of many runs, as `list_names` and `read_list` give them: a packed list is read once for all runs.

    What is read of one packed file is forgotten when another is asked for.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._names: dict[str, list[str]] | None = None
        self._known: dict[str, dict[str, Scores]] = {}

    def names(self, run: str | Path) -> list[str]:
        """As `list_names`."""
        run = Path(run)
        packed = None if any((run / "scores").glob(f"*{ENDING}")) else _packed(run)
        if packed is None:
            return list_names(run)
        self._turn_to(packed)
        if self._names is None:
            self._names = packed_names(packed)
        return self._names.get(run.relative_to(packed.parent).as_posix(), [])

    def read(self, run: str | Path, name: str) -> Scores:
        """As `read_list`."""
        run = Path(run)
        packed = None if (run / "scores" / f"{name}{ENDING}").is_file() else _packed(run)
        if packed is None:
            return read_list(run, name)
        self._turn_to(packed)
        if name not in self._known:
            self._known[name] = read_packed_list(packed, name)
        of = run.relative_to(packed.parent).as_posix()
        return self._known[name][of] if of in self._known[name] else read_list(run, name)  # which says what is missing

    def _turn_to(self, packed: Path) -> None:
        if packed != self._path:
            self._path, self._names, self._known = packed, None, {}


def read_log(run: str | Path) -> str:
    """Text of a run's metrics.jsonl, or of metrics.jsonl.gz in an archive.

    Raises FileNotFoundError without either, ValueError, naming the file, for one that is damaged.
    """
    plain, packed = (Path(run) / name for name in ("metrics.jsonl", "metrics.jsonl.gz"))
    path = packed if packed.is_file() and not plain.is_file() else plain
    try:
        content = read_gzip(path) if path == packed else read_regular(path)
        return content.decode("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it") from error


def read_history(run: str | Path, *, event: str = "train") -> pd.DataFrame:
    """The lines of a run's metrics.jsonl of one event ("train" or "validation"), a row each, in order.

    A last line that was cut off (the run was killed while writing it) is left out; any other broken line is a
    ValueError.
    """
    lines = read_log(run).split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"a {type(row).__name__}, no object")
            rows.append(row)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise ValueError(f"{Path(run) / 'metrics.jsonl'}, line {number}: not JSON ({error})") from error
    return pd.DataFrame([row for row in rows if row.get("event") == event])


def _measured(run: Path, lists: "Lists") -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Keys and metrics of every test list of a run."""
    _, result = read_run(run)
    cost = {name: result.get(name) for name in ("steps", "seconds")}
    for keys, scores, threshold in _tests(run, lists):
        metrics = scores.metrics(threshold=threshold).to_dict()
        low, high = bootstrap_interval(scores.scores, scores.labels, metric="hter", threshold=threshold)
        yield keys, {**cost, **metrics, "hter_low": low, "hter_high": high}


def _tests(run: Path, lists: "Lists") -> Iterator[tuple[dict[str, Any], Scores, float]]:
    """Keys, scores and validation threshold of every test list of a run but those that protocol P6 adds."""
    config, _ = read_run(run)
    names = lists.names(run)
    tests = [name for name in names if name.startswith("test_")]
    if VALIDATION not in names or not tests:
        raise ValueError(f"{run} has a result.json but not its scores; delete the folder and run again")
    checked = lists.read(run, VALIDATION)
    threshold = threshold_at_eer(checked.scores, checked.labels)
    for name in tests:
        match = TEST.fullmatch(name)
        if match is None:
            raise ValueError(
                f"{run}: scores of {name!r} are not named test_<domain>[_without_<modalities>]{ENDING} (or as of P6, "
                f"test_P6_d<number>{ENDING} and test_<domain>_<modality>_fault<severity>{ENDING})"
            )
        if of_p6(match):
            continue
        keys = {
            "profile": config["profile"],
            "data": "real" if config["data"].get("root") else "synthetic",
            "protocol": config["protocol"],
            "setting": config["setting"],
            "target": match["target"],
            "missing": match["missing"] or "",
            "method": config["method"],
            "seed": config["seed"],
        }
        yield {**keys, "run": str(run)}, lists.read(run, name), threshold


def _packed(run: Path) -> Path | None:
    """The file of packed scores of a run's setting, two folders up or at the archive's root; None if there is none."""
    places = [place / FILE for place in list(run.parents)[:2]]
    return next((place for place in places if place.is_file()), None)
