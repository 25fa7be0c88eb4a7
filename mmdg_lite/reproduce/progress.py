"""How far a grid is, as plain text: redrawn in its place in a terminal and a notebook, otherwise a line per run."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdg_lite.reproduce.execution import CURRENT, Outcome, PlannedRun
from mmdg_lite.reproduce.run_times import RunTimes, duration

MOST_SHOWN = 8  # running runs that are listed one by one
TAIL = 4096  # bytes of a log that hold its last whole line


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
            for outcome in fresh:
                print(f"{_line(outcome)}; {done} of {total} runs finished", flush=True)

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
    """A run with the number of its last logged step."""
    path = run.folder / "metrics.jsonl"
    step = 0
    if path.is_file():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            whole = file.read().split(b"\n")[:-1]  # without a line that is being written
        step = _logged_step(whole[-1]) if whole else 0
    return f"{run.config.name}: step {step} of {run.config.training.steps}" if step else run.config.name


def _logged_step(line: bytes) -> int:
    """The step of a log's line, 0 where it has none, or where only the end of a very long line was read."""
    try:
        return int(json.loads(line).get("step") or 0)
    except json.JSONDecodeError:
        return 0


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
