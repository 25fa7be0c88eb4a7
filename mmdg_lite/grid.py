"""A grid of independent runs: planned, executed side by side by papermill on notebook 06, resumed where it stopped."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from mmdg_lite.data.protocols import PROTOCOLS
from mmdg_lite.methods import method as find_method
from mmdg_lite.notebooks import NotebookFailed, execute
from mmdg_lite.runs import RunConfig, RunFolder, configure

TRAINING_NOTEBOOK = "06_training.ipynb"


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run that has still to be made, or is finished already."""

    config: RunConfig
    folder: Path
    notebook: Path  # where its executed notebook goes

    @property
    def finished(self) -> bool:
        """Whether its result is there."""
        return RunFolder(self.folder).finished


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run: `error` is empty if it finished."""

    name: str
    seconds: float
    error: str = ""


def plan(
    profile: str,
    *,
    protocols: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    device: str = "auto",
    data_root: str | None = None,
) -> list[PlannedRun]:
    """Every run of the grid, in the order protocol, seed, setting, method.

    P1 and P2 share their runs: every run is tested with modalities missing too. P4 on synthetic data covers all
    domains, on real data those that have the species.

    Raises:
        ValueError: an unknown profile, protocol or method (naming those there are).
    """
    for name in methods:
        find_method(name)
    planned = []
    for protocol in dict.fromkeys("P1" if name == "P2" else name for name in protocols):
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
        settings = [s.name for s in PROTOCOLS[protocol].values() if data_root is None or not s.synthetic_only]
        for seed in seeds:
            for setting in settings:
                for name in methods:
                    config = configure(
                        profile, protocol=protocol, setting=setting, method=name, seed=seed, device=device,
                        data_root=data_root, data={"cache": str(out / "cache")} if data_root is None else None,
                    )  # fmt: skip
                    folder = out / "runs" / config.name
                    notebook = out / "notebooks" / config.name.replace("/", "_")
                    planned.append(
                        PlannedRun(config=config, folder=folder, notebook=notebook.with_name(f"{notebook.name}.ipynb"))
                    )
    return planned


def run_grid(planned: Sequence[PlannedRun], *, notebooks: Path, workers: int, progress: bool = True) -> list[Outcome]:
    """Execute the unfinished runs, `workers` at a time; one failure does not stop the others.

    Returns the outcome of every run that was executed now. Raises `RuntimeError` if a folder holds a run of another
    configuration (naming what differs).
    """
    for run in planned:
        RunFolder(run.folder).check(run.config)
    waiting = [run for run in planned if not run.finished]
    outcomes: list[Outcome] = []
    if not waiting:
        return outcomes
    bar = tqdm(total=len(planned), initial=len(planned) - len(waiting), desc="runs", unit="run", disable=not progress)
    with bar, ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool, _SharedCores(workers):
        futures = [pool.submit(execute_run, run, notebooks / TRAINING_NOTEBOOK) for run in waiting]
        for outcome in _completed(futures):
            outcomes.append(outcome)
            bar.update()
            state = "FAILED" if outcome.error else "done"
            bar.write(f"  {state} {outcome.name} ({outcome.seconds:.0f} s)")
    return outcomes


def execute_run(run: PlannedRun, notebook: Path) -> Outcome:
    """Execute one run by papermill; an error becomes part of the outcome."""
    started = time.perf_counter()
    config = run.config
    parameters = {
        "profile": config.profile,
        "seed": config.seed,
        "device": config.device,
        "data_root": config.data.root or "",
        "out_dir": str(run.folder.resolve()),
        "protocol": config.protocol,
        "setting": config.setting,
        "method": config.method,
        "cache": str(Path(config.data.cache).resolve()) if config.data.cache else "",
    }
    error = ""
    try:
        execute(notebook, parameters=parameters, out=run.notebook, progress=False)
    except NotebookFailed as failure:
        error = str(failure)
    except Exception as failure:  # such as a kernel that ran out of memory: the other runs go on
        error = f"{type(failure).__name__}: {failure}"
    if not error and not run.finished:
        error = f"the notebook came to its end, but {run.folder} has no result"
    return Outcome(name=config.name, seconds=time.perf_counter() - started, error=error)


def overview(planned: Sequence[PlannedRun]) -> pd.DataFrame:
    """How many runs of each method there are and how many are finished, per protocol."""
    rows = [
        {"protocol": run.config.protocol, "method": run.config.method, "runs": 1, "finished": int(run.finished)}
        for run in planned
    ]
    return pd.DataFrame(rows).groupby(["protocol", "method"], sort=False).sum().reset_index()


class _SharedCores:
    """Environment of worker processes: cores divided between them, freed memory kept instead of returned."""

    def __init__(self, workers: int) -> None:
        self.values = {
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers)),
            "MALLOC_MMAP_THRESHOLD_": str(2**30),
            "MALLOC_TRIM_THRESHOLD_": str(2**31),
        }
        self.before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.values}
        os.environ.update(self.values)

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _completed(futures: Sequence["Future[Outcome]"]) -> Iterator[Outcome]:
    """Outcomes as they come; on an interruption the runs that have not begun are given up."""
    try:
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        for future in futures:
            future.cancel()
        raise
