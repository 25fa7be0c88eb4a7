"""Archives: what tables and figures need of finished runs, in little space (command `archive`).

An archive has the folders of the runs, each with its configuration, environment, result and metrics over time; the
scores of all runs of a setting stand in one file beside them (`runs.packed`). Tables, figures and notebooks read it
like the runs. `--unpack` writes run folders from it, so that a grid that is started there goes on from the archived
runs. `compress_logs` (`--compress-logs`) compresses the logs of runs where they are.
"""

import gzip
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from mmdg_lite.configuration import write_bytes, write_json, write_text
from mmdg_lite.data.protocols import PROTOCOLS
from mmdg_lite.results.collect import ENDING, list_names, read_list, read_log
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.folder import RunFolder, finished_runs
from mmdg_lite.runs.packed import FILE, pack
from mmdg_lite.runs.scores import Scores, score_file, write_scores
from mmdg_lite.runs.setting_data import p6_files

WEIGHTS_OF_SEED = 0
"""The only seed whose weights an archive may hold."""


def archive(
    runs: str | Path,
    into: str | Path,
    *,
    bits: int | None = None,
    asked_for_only: bool = False,
    weights: Collection[str] = (),
) -> list[Path]:
    """Copy what tables and figures need of every finished run below `runs` to the same place below `into`.

    That is configuration (without this machine's paths), environment (device and versions) and description of the data
    where they were noted, result, metrics over time and scores; no state. Runs that `into` has besides stay. `bits`:
    round the scores in every file that is written, see `packed.pack`. `asked_for_only`: leave out tests that a run's
    protocol lacks (`protocol_tests`). `weights`: methods of whose seed 0 the weights are kept too. Returns the folders
    of the copies.

    Raises ValueError where runs of one setting scored different samples, for an archive into the runs' own folder, and
    for a number of bits out of range.
    """
    runs, into = Path(runs), Path(into)
    if runs.resolve() == into.resolve():
        raise ValueError(f"{runs}: archive into another folder than that of the runs")
    sources = {into / run.relative_to(runs): run for run in finished_runs(runs)}
    for place in sorted({_place(run, into) for run in sources}):
        old = {run: run for run in finished_runs(place) if _place(run, into) == place}
        new = {run: source for run, source in sources.items() if _place(run, into) == place}
        _pack_scores(place, old | new, bits, asked_for_only)
    for run, source in tqdm(sources.items(), desc="archiving"):
        _copy(RunFolder(source), RunFolder(run), weights)
    return sorted(sources)


def unpack(archived: str | Path, into: str | Path) -> list[Path]:
    """Write the folders of the archived runs below `into`, those that are there already left alone; returns all."""
    written = []
    for run in tqdm(finished_runs(archived), desc="unpacking"):
        source, target = RunFolder(run), RunFolder(Path(into) / run.relative_to(archived))
        written.append(target.path)
        if target.finished:
            continue
        for name in list_names(run):
            scores = read_list(run, name)
            write_scores(target.scores / f"{name}.csv.gz", scores.ids, scores.labels, scores.species, scores.scores)
        write_text(target.metrics, read_log(run))
        for name in ("environment", "data", "model"):
            if (kept := getattr(source, name)).is_file():
                write_bytes(getattr(target, name), kept.read_bytes())
        write_bytes(target.config, source.config.read_bytes())
        write_bytes(target.result, source.result.read_bytes())
    return written


def protocol_tests(config: RunConfig) -> set[str]:
    """Names of the lists that a run's protocol asks for: validation, and its tests.

    A run of P1 is one of P2 and P6 too, whether it has the lists of P6 or not.
    """
    settings = [config.domains]
    if config.protocol == "P1":
        settings += [PROTOCOLS[protocol][config.setting] for protocol in ("P2", "P6")]
    asked = [(target, missing) for of in settings for target in of.targets for missing in of.missing]
    tests = [score_file(*test) for test in asked]
    if config.data.random_missing:
        tests += [score_file(target, missing, at_random=True) for target, missing in asked if missing]
    if any(of.deployments for of in settings):
        tests += p6_files(config.domains.targets)
    return {name.removesuffix(ENDING) for name in [score_file(None), *tests]}


def _pack_scores(place: Path, runs: Mapping[Path, Path], bits: int | None, asked_for_only: bool) -> None:
    """The scores of runs, by their place in the archive, into one file; replaces files of single runs there."""
    lists: dict[str, dict[str, Scores]] = {}
    for run, source in runs.items():
        asked = protocol_tests(RunFolder(source).read_config()) if asked_for_only else None
        for name in list_names(source):
            if asked is None or name in asked:
                lists.setdefault(name, {})[run.relative_to(place).as_posix()] = read_list(source, name)
    pack(place / FILE, lists, bits=bits)
    for run in runs:
        shutil.rmtree(RunFolder(run).scores, ignore_errors=True)


def compress_logs(root: str | Path) -> list[Path]:
    """Compress every metrics.jsonl below a folder in its place, to what `collect.read_log` reads; returns the files."""
    written = []
    for plain in sorted(Path(root).rglob("metrics.jsonl")):
        packed = RunFolder(plain.parent).packed_metrics
        write_bytes(packed, gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
        written.append(packed)
    return written


def _copy(source: RunFolder, target: RunFolder, weights: Collection[str]) -> None:
    """Everything but the scores; the result last, since it marks a run as finished."""
    config = source.read_config()
    for name in ("environment", "data"):
        if (kept := getattr(source, name)).is_file():
            write_bytes(getattr(target, name), kept.read_bytes())
    if config.method in weights and config.seed == WEIGHTS_OF_SEED and source.model.is_file():
        write_bytes(target.model, source.model.read_bytes())
    write_json(target.config, replace(config, data=replace(config.data, cache=None)))
    write_bytes(target.packed_metrics, gzip.compress(read_log(source.path).encode(), mtime=0))
    write_bytes(target.result, source.result.read_bytes())


def _place(run: Path, root: Path) -> Path:
    """The folder whose file of packed scores holds a run's: that of its setting, two levels up, at most `root`."""
    return root.joinpath(*run.relative_to(root).parts[:-2])
