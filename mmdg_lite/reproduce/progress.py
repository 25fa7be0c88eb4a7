"""How far a grid is, as plain text: redrawn in its place in a terminal and a notebook, otherwise a line per run."""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmdg_lite.configuration import read_values
from mmdg_lite.reproduce.execution import CURRENT, Outcome, PlannedRun
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.folder import finished_runs, read_run
from mmdg_lite.runs.methods import METHODS


class RunTimes:
    """Recorded seconds of finished runs, by profile, method, number of steps asked for, and CUDA or not.

    What the lists of protocol P6 took is recorded apart, by profile and CUDA or not: it is much the same for every
    method, and the runs that were made without them still tell what the rest takes.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[object, ...], list[float]] = defaultdict(list)
        self._p6_seconds: dict[tuple[object, ...], list[float]] = defaultdict(list)

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
        """Least seconds of the recorded runs like this one; None where there is none.

        Whatever else a machine did meanwhile can only have added to them.
        A run that is tested on protocol P6 takes as long as one that is not, and what P6 took in any run of the
        profile; without such a run, P6 counts as nothing, and `knows_p6` says so.
        """
        on_cuda = _on_cuda(run.config.device)
        seconds = self._seconds.get((*_kind(run.config), on_cuda))
        if not seconds:
            return None
        p6 = self._p6_seconds.get((run.config.profile, on_cuda), []) if run.config.deployments else []
        return min(seconds) + min(p6, default=0.0)

    def knows_p6(self, run: PlannedRun) -> bool:
        """True if it is known how long the lists of protocol P6 take that this run is tested on, if it is."""
        return not run.config.deployments or (run.config.profile, _on_cuda(run.config.device)) in self._p6_seconds

    def add(self, run: PlannedRun) -> None:
        """Record a run that is finished now."""
        self._record(_kind(run.config), read_values(run.folder / "result.json"))

    def total(self, runs: Sequence[PlannedRun]) -> tuple[float, list[str]]:
        """Expected seconds of all runs one after another, and the methods of those whose time is unknown."""
        expected = [(run.config.method, self.expected(run)) for run in runs]
        unknown = dict.fromkeys(name for name, seconds in expected if seconds is None)
        return sum(seconds for _, seconds in expected if seconds is not None), list(unknown)

    def _record(self, kind: tuple[object, ...], result: Mapping[str, Any]) -> None:
        on_cuda = result.get("device_memory_mib") is not None
        if isinstance(seconds := result.get("seconds"), int | float):
            self._seconds[(*kind, on_cuda)].append(float(seconds) - (result.get("p6_seconds") or 0.0))
        if result.get("p6_seconds") is not None:
            self._p6_seconds[kind[0], on_cuda].append(float(result["p6_seconds"]))


MOST_SHOWN = 8  # running runs that are listed one by one
MOST_ERRORS = 12  # validations of a run, the last ones


class ProgressTable:
    """The progress of a grid, read from its run folders.

    Args:
        planned: all runs, finished ones too.
        workers: runs at a time.
        times: of earlier runs; grows with those that finish.
        enabled: False shows nothing.
    """

    def __init__(self, planned: Sequence[PlannedRun], *, workers: int, times: RunTimes, enabled: bool = True) -> None:
        self.planned, self.workers, self.times, self.enabled = planned, workers, times, enabled
        self.started = time.time()
        self._told = 0  # outcomes that have been printed as lines
        self._drawn = 0  # lines of the table on the terminal
        self._validations: dict[str, int] = {}  # how many of each run have been printed as lines
        self._display: Any = _notebook_display() if enabled else None

    def show(self, outcomes: Sequence[Outcome]) -> None:
        """Show the table as it is now; `outcomes` of the runs that this call of the grid has executed so far."""
        fresh = outcomes[self._told :]
        for run in [run for run in self.planned if run.config.name in {o.name for o in fresh if not o.error}]:
            self.times.add(run)
        self._told = len(outcomes)
        if not self.enabled:
            return
        if self._display is not None:
            self._display.update({"text/plain": "\n".join(self.lines(outcomes))}, raw=True)
        elif sys.stdout.isatty():
            self._erase()
            print(*(_line(outcome) for outcome in fresh), sep="\n", end="\n" if fresh else "")
            lines = self.lines(outcomes)
            print("\n".join(lines), flush=True)
            self._drawn = len(lines)
        else:
            total = len(self.planned)
            done = sum(run.finished for run in self.planned)
            if total <= MOST_SHOWN:
                self._tell_validations()
            for outcome in fresh:
                print(f"{_line(outcome)}; {done} of {total} runs finished", flush=True)

    def _tell_validations(self) -> None:
        """A line per validation since the last look: the learning curves, where no table can be redrawn."""
        for run in self.planned:
            if self._state(run, set()) != "running":
                continue
            found = _validations(_log(run))
            for step, error in found[self._validations.get(run.config.name, 0) :]:
                print(f"{_at(run, step)}, validation EER {100 * error:.1f} %", flush=True)
            self._validations[run.config.name] = len(found)

    def close(self, outcomes: Sequence[Outcome]) -> None:
        """The table for good."""
        if self.enabled and self._display is None and not sys.stdout.isatty():
            print("\n".join(self.lines(outcomes)), flush=True)

    def lines(self, outcomes: Sequence[Outcome]) -> list[str]:
        """The table: a row per protocol and method, then the runs that are being made, then times."""
        failed = {outcome.name for outcome in outcomes if outcome.error}
        rows: dict[tuple[str, str], list[int]] = {}
        running = []
        for run in self.planned:
            state = self._state(run, failed)
            counts = rows.setdefault((run.config.protocol, run.config.method), [0, 0, 0, 0])
            counts[("waiting", "running", "finished", "failed").index(state)] += 1
            running += [run] if state == "running" else []
        width = max(len("method"), *(len(method) for _, method in rows))
        lines = [f"{'':10}{'method':{width}}  waiting  running  finished  failed"]
        lines += [f"{p:10}{m:{width}}  {a:7}  {b:7}  {c:8}  {d:6}" for (p, m), (a, b, c, d) in rows.items()]
        lines += [f"  {_step(run)}" for run in running[:MOST_SHOWN]]
        return [*lines, self._clock(failed)]

    def _state(self, run: PlannedRun, failed: set[str]) -> str:
        if run.finished:
            return "finished"
        if run.config.name in failed:
            return "failed"
        current = _json(run.folder / CURRENT)
        return "running" if current.get("started", 0.0) >= self.started else "waiting"

    def _clock(self, failed: set[str]) -> str:
        left = [run for run in self.planned if not run.finished and run.config.name not in failed]
        seconds, unknown = self.times.total(left)
        elapsed = f"{duration(time.time() - self.started)} since the start"
        if not left:
            return elapsed
        rest = "unknown time" if unknown else f"at most about {duration(seconds / min(self.workers, len(left)))}"
        return f"{elapsed}, {rest} left"

    def _erase(self) -> None:
        if self._drawn:
            print(f"\x1b[{self._drawn}A\x1b[J", end="")


def _line(outcome: Outcome) -> str:
    return f"{'FAILED' if outcome.error else 'done'} {outcome.name} ({duration(outcome.seconds)})"


def _step(run: PlannedRun) -> str:
    """A run with the number of its last logged step, and its errors on the sources' validation lists so far."""
    lines = _log(run)
    step = next((int(row["step"]) for line in reversed(lines) if (row := _row(line)).get("step")), 0)
    if not step:
        return run.config.name
    curve = " ".join(f"{100 * error:.1f}" for _, error in _validations(lines)[-MOST_ERRORS:])
    text = _at(run, step)
    return f"{text}, validation EER in %: {curve}" if curve else text


def _at(run: PlannedRun, step: int) -> str:
    """Where a run is; the solver of a linear probe stops by itself, not after a number of steps."""
    trained = METHODS[run.config.method].kind == "trained"
    return f"{run.config.name}: step {step}" + (f" of {run.config.training.steps}" if trained else "")


def _log(run: PlannedRun) -> list[bytes]:
    """The whole lines of a run's log; none where there is no log yet."""
    path = run.folder / "metrics.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # without a line that is being written


def _row(line: bytes) -> dict[str, Any]:
    """What a line of a log holds; nothing where it is damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _validations(lines: Sequence[bytes]) -> list[tuple[int, float]]:
    """Step and equal-error rate, a fraction, of each validation in a log; of long logs, no other line is parsed."""
    rows = [_row(line) for line in lines if b'"validation"' in line]
    return [(row["step"], row["eer"]) for row in rows if row.get("event") == "validation"]


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _notebook_display() -> Any:
    """A place in the output of a notebook's cell that can be written again; None elsewhere."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return display({"text/plain": ""}, raw=True, display_id=True)


def _kind(config: RunConfig) -> tuple[object, ...]:
    return config.profile, config.method, config.training.steps


def _on_cuda(device: str) -> bool:
    """True if a run with this device in its configuration computes on CUDA on this machine."""
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def estimate(runs: Sequence[PlannedRun], *, workers: int, times: RunTimes) -> str:
    """One line: how many runs there are to make, what they cost and how long that takes by the recorded runs.

    Recorded runs had one core each, so that their seconds one after another are the seconds of a core. Methods whose
    time is unknown are estimated as well, each by the longest that is known.
    """
    waiting = [run for run in runs if not run.finished]
    if not waiting:
        return f"{len(runs)} runs, all finished"
    seconds, unknown = times.total(waiting)
    counted = f"{len(runs)} runs, {len(runs) - len(waiting)} finished, {len(waiting)} to make"
    known = sum(times.expected(run) is not None for run in waiting)
    if not known:
        return f"{counted}; time unknown: no finished run of these methods, profile, steps and device is recorded"
    hours = "GPU-hours" if _on_cuda(waiting[0].config.device) else "core-hours"
    line = (
        f"{counted}; about {seconds / 3600:.1f} {hours}, "
        f"{duration(seconds / min(workers, known))} at {workers} at a time, by recorded runs"
    )
    if unknown:
        longest = max(time for run in waiting if (time := times.expected(run)) is not None)
        more = (seconds + longest * (len(waiting) - known)) / 3600
        line += (
            f"; not counted, their time is unknown: {', '.join(unknown)} (about {more:.1f} {hours} in all if each of "
            "their runs takes as long as the longest known one)"
        )
    without = [run for run in waiting if not times.knows_p6(run)]
    return (
        f"{line}; not counted, their time is unknown: the lists of protocol P6 in {len(without)} runs"
        if without
        else line
    )


def duration(seconds: float) -> str:
    """Words: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
