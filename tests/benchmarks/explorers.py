"""How long a slider's move takes until the new picture is ready to be sent: `python -m tests.benchmarks.explorers`.

Measured in the kernel, from the change of the control's value to the PNG; what the browser adds is not in it. Writes
the table into tests/benchmarks/RESULTS.md.
"""

import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from mmdg_lite.explorers import all as widgets
from mmdg_lite.explorers.shell import Explorer
from mmdg_lite.plots import training as training_module
from mmdg_lite.studies import quickstart
from tests.benchmarks.measuring import processor
from tests.support.sections import write_section

RESULTS = Path(__file__).with_name("RESULTS.md")
RUNS = Path(__file__).parents[2] / "figures" / "scores"
TITLE = "Explorers: from slider to picture"
MOVES = 21


def milliseconds(explorer: Explorer, control: str, values: Iterable[float]) -> list[tuple[float, float]]:
    """Of every move of one control, after one to warm up: on the clock, and of the process's own time."""
    taken = []
    for value in values:
        start, own = time.perf_counter(), time.process_time()
        explorer.controls[control].value = value
        taken.append((1000 * (time.perf_counter() - start), 1000 * (time.process_time() - own)))
    return taken[1:]


def table() -> str:
    """Markdown: a row per explorer."""
    shipped = quickstart.load(device="cpu")
    runs = {name: run for name, run in training_module.find_runs(RUNS).items() if name.startswith("quick")}
    measured = {
        ("ReGrad", "angle", 300): milliseconds(widgets.explore_regrad(), "angle_rgb", range(30, 30 + MOVES + 1)),
        ("modality balance", "depth holes", 700): milliseconds(
            widgets.explore_balance(shipped), "depth_holes", [0.1 + 0.02 * move for move in range(MOVES + 1)]
        ),
        (f"training balance, {min(3, len(runs))} runs", "window", None): milliseconds(
            widgets.view_training(runs), "window", [1 + (move + 1) % 20 for move in range(MOVES + 1)]
        ),
    }
    rows = [
        "| explorer | slider | median ms on the clock | slowest ms | median ms of own time | wanted, median ms |",
        "|---|---|---|---|---|---|",
    ]
    for (name, control, wanted), taken in measured.items():
        limit = f"below {wanted}" if wanted else ""
        clock, own = zip(*taken, strict=True)
        middle = f"{statistics.median(clock):.0f} | {max(clock):.0f} | {statistics.median(own):.0f}"
        rows.append(f"| {name} | {control} | {middle} | {limit} |")
    return "\n".join(rows)


def main() -> None:
    """Measure and write the section."""
    torch.set_num_threads(2)
    before, rows = os.getloadavg()[0], table()
    conditions = (
        f"{MOVES} moves each, in the kernel from the control's new value to the picture, two threads, "
        f"{processor()}, PyTorch {torch.__version__.partition('+')[0]}. Load average {before:.1f} "
        f"before, {os.getloadavg()[0]:.1f} after. Own time is that of all threads. "
        "Written by `python -m tests.benchmarks.explorers`."
    )
    text = f"{conditions}\n\n{rows}"
    write_section(RESULTS, TITLE, text)
    print(text)


if __name__ == "__main__":
    main()
