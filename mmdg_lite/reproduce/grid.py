"""A grid of independent runs: planned, executed side by side, resumed where it stopped."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mmdg_lite.data.protocols import PROTOCOLS
from mmdg_lite.reproduce.dask import on_dask
from mmdg_lite.reproduce.execution import Outcome, PlannedRun, execute_run
from mmdg_lite.reproduce.notebooks import temporary_environment
from mmdg_lite.reproduce.progress import ProgressTable, RunTimes
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.methods import expand_methods
from mmdg_lite.runs.plugins import load_plugin

TRAINING_NOTEBOOK = "06_training.ipynb"


def plan(
    profile: str,
    *,
    protocols: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    settings: Sequence[str] | None = None,
    device: str = "auto",
    data_root: str | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    plugins: Sequence[str | Path] = (),
) -> list[PlannedRun]:
    """Every run of the grid, in the order protocol, seed, setting, method.

    P1, P2 and P6 share their runs: every run is tested with modalities missing too, and with P6 asked for, or in the
    full profile on synthetic data, on P6's deployments and reliability curves. P4 on synthetic data covers all
    domains, on real data those that have the species. `methods`: names of methods, or of groups of them
    (`methods.GROUPS`). `settings`: names such as "CPS->W"; None plans every setting of the protocols. `changes`: fields
    of the profile to change in every run, by part ("data", "model", "training") and name. `plugins`: files of the
    user's own that are loaded first.

    Raises:
        ValueError: an unknown profile, protocol, method or setting of a protocol (naming those there are), an unknown
            field in `changes`, P6 on real data, or nothing to run.
        plugins.PluginError: a plugin that cannot be loaded.
    """
    if not (protocols and methods and seeds):
        raise ValueError("a grid needs at least one protocol, one method and one seed")
    for path in plugins:
        load_plugin(path)
    names = expand_methods(methods)
    parts: dict[str, Any] = {part: dict(values) for part, values in (changes or {}).items()}
    cache: dict[str, Any] = {"cache": str(out / "cache")} if data_root is None else {}
    if "P6" in protocols and data_root is not None:
        raise ValueError("protocol P6 has synthetic faces only: leave it out, or leave out the data root")
    on_deployments = "P6" in protocols or (profile == "full" and data_root is None)
    planned: list[PlannedRun] = []
    known: list[str] = []
    for protocol in dict.fromkeys("P1" if name in ("P2", "P6") else name for name in protocols):
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
        changed = parts
        if protocol == "P1" and on_deployments:
            changed = parts | {"data": {"deployments": True} | parts.get("data", {})}
        there = [s.name for s in PROTOCOLS[protocol].values() if data_root is None or not s.synthetic_only]
        known += there
        for seed in seeds:
            for setting in [name for name in there if settings is None or name in settings]:
                for name in names:
                    config = configure(
                        profile, protocol=protocol, setting=setting, method=name, seed=seed, device=device,
                        data_root=data_root, **(changed | {"data": cache | changed.get("data", {})}),
                    )  # fmt: skip
                    notebook = out / "notebooks" / f"{config.name.replace('/', '_')}.ipynb"
                    planned.append(
                        PlannedRun(config=config, folder=out / "runs" / config.name, notebook=notebook, changes=changed)
                    )
    if unknown := [name for name in settings or () if name not in known]:
        raise ValueError(f"protocol {', '.join(protocols)} has no setting {unknown[0]!r}; choose of {', '.join(known)}")
    return planned


def run_grid(
    planned: Sequence[PlannedRun],
    *,
    notebooks: Path,
    workers: int,
    scheduler: str | None = None,
    times: RunTimes | None = None,
    progress: bool = True,
) -> list[Outcome]:
    """Execute the unfinished runs; one failure does not stop the others.

    Args:
        planned: from `plan`.
        notebooks: folder of the numbered notebooks, of which 06 is executed.
        workers: runs at a time on this machine; one runs in this very process.
        scheduler: address of a running Dask scheduler, whose workers take the place of those of this machine.
        times: of earlier runs, for the time that is left.
        progress: show the progress table.

    Returns:
        The outcome of every run that was executed now.

    Raises:
        RuntimeError: a folder holds a run of another configuration (naming what differs).
        ConnectionError: there is no such scheduler, or it has no worker.
    """
    for run in planned:
        RunFolder(run.folder).check(run.config)
    waiting = [run for run in planned if not run.finished]
    outcomes: list[Outcome] = []
    if not waiting:
        return outcomes
    notebook = notebooks / TRAINING_NOTEBOOK
    table = ProgressTable(planned, workers=workers, times=times or RunTimes(), enabled=progress)
    reports: Iterator[Outcome | None]
    if scheduler is None and workers == 1:
        reports = _one_by_one(waiting, notebook)
    else:
        environment = worker_environment(workers)
        reports = on_dask(waiting, notebook, workers=workers, scheduler=scheduler, environment=environment)
    table.show(outcomes)
    for outcome in reports:
        outcomes += [outcome] if outcome else []
        table.show(outcomes)
    table.close(outcomes)
    return outcomes


def overview(planned: Sequence[PlannedRun]) -> pd.DataFrame:
    """How many runs of each method there are and how many are finished, per protocol."""
    rows = [
        {"protocol": run.config.protocol, "method": run.config.method, "runs": 1, "finished": int(run.finished)}
        for run in planned
    ]
    return pd.DataFrame(rows).groupby(["protocol", "method"], sort=False).sum().reset_index()


def worker_environment(workers: int) -> dict[str, str]:
    """Environment of worker processes: cores divided between them, freed memory kept instead of returned."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    memory = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}
    return dict.fromkeys(names, threads) | memory


def _one_by_one(runs: Sequence[PlannedRun], notebook: Path) -> Iterator[Outcome]:
    with temporary_environment(worker_environment(1)):
        for run in runs:
            yield execute_run(run, notebook)
