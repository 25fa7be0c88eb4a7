"""How long runs took, and from that how long others will take."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mmdg_lite.reproduce.execution import PlannedRun
from mmdg_lite.results.collect import finished_runs, read_run
from mmdg_lite.runs.config import RunConfig


class RunTimes:
    """Recorded seconds of finished runs, by profile, method, number of steps asked for, and CUDA or not."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[object, ...], list[float]] = defaultdict(list)

    @classmethod
    def recorded(cls, *folders: str | Path) -> "RunTimes":
        """The times of every finished run below some folders; folders that do not exist hold none."""
        times = cls()
        for run in [run for folder in folders for run in finished_runs(folder)]:
            config, result = read_run(run)
            steps = config.get("training", {}).get("steps")
            times._record((config["profile"], config["method"], steps), result)
        return times

    def expected(self, run: PlannedRun) -> float | None:
        """Median seconds of the recorded runs like this one; None where there is none."""
        seconds = self._seconds.get((*_kind(run.config), _on_cuda(run.config.device)))
        return median(seconds) if seconds else None

    def add(self, run: PlannedRun) -> None:
        """Record a run that is finished now."""
        self._record(_kind(run.config), json.loads((run.folder / "result.json").read_text(encoding="utf-8")))

    def total(self, runs: Sequence[PlannedRun]) -> tuple[float, list[str]]:
        """Expected seconds of all runs one after another, and the methods of those whose time is unknown."""
        expected = [(run.config.method, self.expected(run)) for run in runs]
        unknown = dict.fromkeys(name for name, seconds in expected if seconds is None)
        return sum(seconds for _, seconds in expected if seconds is not None), list(unknown)

    def _record(self, kind: tuple[object, ...], result: Mapping[str, Any]) -> None:
        if isinstance(seconds := result.get("seconds"), int | float):
            self._seconds[(*kind, result.get("device_memory_mib") is not None)].append(float(seconds))


def _kind(config: RunConfig) -> tuple[object, ...]:
    return config.profile, config.method, config.training.steps


def _on_cuda(device: str) -> bool:
    """Whether a run with this device in its configuration would compute on CUDA, if it were made here."""
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def estimate(runs: Sequence[PlannedRun], *, workers: int, times: RunTimes) -> str:
    """One line: how many runs there are to make, and how long that takes by the recorded runs."""
    waiting = [run for run in runs if not run.finished]
    if not waiting:
        return f"{len(runs)} runs, all finished"
    seconds, unknown = times.total(waiting)
    counted = f"{len(runs)} runs, {len(runs) - len(waiting)} finished, {len(waiting)} to make"
    known = sum(times.expected(run) is not None for run in waiting)
    if not known:
        return f"{counted}; time unknown: no finished run of these methods, profile, steps and device is recorded"
    line = f"{counted}; about {duration(seconds / min(workers, known))} at {workers} at a time, by recorded runs"
    return f"{line}; not counted, their time is unknown: {', '.join(unknown)}" if unknown else line


def duration(seconds: float) -> str:
    """Words: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
