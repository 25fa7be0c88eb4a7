"""How long a slider's move takes until the new picture is painted: `python -m tests.benchmarks.explorers`.

Measured in a Chromium that shows JupyterLab: from the key's press on the slider's handle to the first frame after the
new picture is decoded. Writes a table into tests/benchmarks/RESULTS.md; with `--busy 2`, while two other processes
compute, a table of its own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import sync_playwright

from tests.benchmarks.measuring import processor
from tests.support.lab import executed_page, explorer_cell, handle, jupyter_lab
from tests.support.sections import write_section

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = "Explorers: from slider to painted picture"
BUSY_TITLE = "Explorers on a busy machine"
BUSY_WANTED = 1000
"""Milliseconds, for every explorer."""
MOVES = 15
CELLS = (
    "import mmdg_lite\nfrom mmdg_lite.configuration import REPOSITORY\nfrom mmdg_lite.studies import quickstart",
    "mmdg_lite.explore_regrad()",
    "mmdg_lite.explore_landscape()",
    "mmdg_lite.explore_balance(quickstart.load(device='cpu'))",
    "mmdg_lite.explore_imbalance()",
    "mmdg_lite.view_training(REPOSITORY / 'figures' / 'scores')",
)
EXPLORERS = {  # words in the picture's alternative text, name of the slider, wanted median in milliseconds
    "ReGrad": ("Gradients of a parameter", "RGB angle, degrees", 300),
    "landscape": ("A parameter of the", "RGB steepness", 300),
    "attack lab": ("A face (", "depth holes, share of area", 400),
    "imbalance lab": ("Training of three branches", "RGB size of features, times", 400),
    "training viewer": ("fastest in", "mean over, logged steps", 300),
}
WAIT = """words => {
  const box = document.querySelector(`.widget-html img[alt*='${words}']`).closest('.widget-html-content');
  const before = box.querySelector('img').src;
  let pressed = null;
  document.addEventListener('keydown', () => { pressed = performance.now(); }, {capture: true, once: true});
  window.painted = new Promise(done => {
    const watch = new MutationObserver(async () => {
      const image = box.querySelector('img');
      if (!image || image.src === before || pressed === null) return;
      watch.disconnect();
      await image.decode();
      requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - pressed)));
    });
    watch.observe(box, {childList: true, subtree: true, attributes: true});
  });
}"""


def milliseconds(page: Any, words: str, label: str) -> list[float]:
    """Of every move of one slider, after one to warm up."""
    knob, taken = handle(explorer_cell(page, words), label), []
    knob.focus()
    for move in range(MOVES + 1):
        page.evaluate(WAIT, words)
        knob.press("ArrowLeft" if move % 2 else "ArrowRight")
        taken.append(float(page.evaluate("() => window.painted")))
    return taken[1:]


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """While it lasts, so many other processes compute."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()


def table(*, most: int | None = None) -> str:
    """Markdown: a row per explorer. `most`: wanted of every explorer, in place of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    rows = ["| explorer | slider | median ms | nine in ten below | slowest | wanted |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        home = Path(folder)
        with (
            jupyter_lab(book, home / "server") as address,
            executed_page(driver, address, home / "profile") as page,
        ):
            for name, (words, label, wanted) in EXPLORERS.items():
                taken = sorted(milliseconds(page, words, label))
                numbers = (statistics.median(taken), taken[int(0.9 * (len(taken) - 1))], taken[-1])
                shown = " | ".join(f"{number:.0f}" for number in numbers)
                rows.append(f"| {name} | {label} | {shown} | below {most or wanted} |")
    return "\n".join(rows)


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description="from a slider's move to the painted picture, in a browser")
    parser.add_argument("--busy", type=int, default=0, help="other processes that compute meanwhile")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with busy(options.busy):
        rows = table(most=BUSY_WANTED if options.busy else None)
    beside = f" Beside it {options.busy} processes computed." if options.busy else ""
    conditions = (
        f"{MOVES} moves each by an arrow key, in Chromium with JupyterLab, from the key to the painted picture, "
        f"{processor()}, {os.cpu_count()} processors.{beside} Load average {before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after. Written by `python -m tests.benchmarks.explorers"
        f"{f' --busy {options.busy}' if options.busy else ''}`."
    )
    text = f"{conditions}\n\n{rows}"
    write_section(RESULTS, BUSY_TITLE if options.busy else TITLE, text)
    print(text)


if __name__ == "__main__":
    main()
