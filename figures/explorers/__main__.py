"""Pictures of the explorers for readers without a kernel: `python figures/explorers` writes them beside this file.

Above, the controls where they stand; below, what the explorer draws from them.
"""

import io
from pathlib import Path
from textwrap import wrap
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import mmdg_lite
from mmdg_lite.configuration import REPOSITORY, write_bytes
from mmdg_lite.explorers.shell import DPI, WIDTH, Explorer, png
from mmdg_lite.plots.style import new_figure, styled
from mmdg_lite.studies import quickstart

HERE = Path(__file__).parent
ROW = 0.27  # inches
LETTERS = 165  # of an answer's line


@styled
def controls(explorer: Explorer, *, question: str = "") -> Figure:
    """The controls in rows: a slider as a line with its handle, a choice as a box, a switch as a tick.

    Below them stands `question`, of one of the presets, with its answer.
    """
    lines = explorer.rows
    chosen = next((name for name, preset in explorer.presets.items() if preset.question == question), "")
    answer = wrap(explorer.presets[chosen].answer, LETTERS) if chosen else []
    height = ROW * (len(lines) + 1 + bool(chosen) + 0.75 * len(answer))
    figure = new_figure((WIDTH / DPI, height + 0.1))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH / DPI), ylim=(-height, 0.1))
    axes.set_axis_off()
    for number, line in enumerate(lines):
        x, y = 0.1, -ROW * (number + 0.5)
        for item in line:
            width = float((item.layout.width or "100px").removesuffix("px")) / DPI
            _control(axes, item, x, y, width)
            x += width
    x, y = 0.1, -ROW * (len(lines) + 0.5)
    if chosen:
        axes.text(x, y, "try", fontsize=7.5, va="center")
        _box(axes, f"{chosen}  \u25be", x + 0.3, y, 3)
        x += 3.4
        axes.text(0.1, y - ROW, question, fontsize=8, va="center", weight="bold")
        for number, words in enumerate(answer):
            axes.text(0.1, y - ROW * (1.9 + 0.75 * number), words, fontsize=8, va="center")
    for name in ["look"] * bool(explorer.presets) + ["remember"] * explorer.memory + ["reset", "keep in file"]:
        _box(axes, name, x, y, 0.85)
        x += 0.95
    return figure


def _control(axes: Any, item: Any, x: float, y: float, width: float) -> None:
    label = getattr(item, "description", "")
    if hasattr(item, "min"):
        start = x + (0.16 + 0.062 * len(label) if label else 0.05)
        end = x + width - 0.55
        axes.text(x, y, label, fontsize=7.5, va="center")
        axes.plot([start, end], [y, y], color="0.7", linewidth=3, solid_capstyle="round")
        share = (item.value - item.min) / (item.max - item.min)
        axes.plot([start + share * (end - start)], [y], "o", color="#1976D2", markersize=7)
        axes.text(end + 0.1, y, f"{item.value:g}", fontsize=7.5, va="center")
    elif hasattr(item, "options"):
        axes.text(x, y, label, fontsize=7.5, va="center")
        _box(axes, f"{item.label}  \u25be", x + 0.12 + 0.062 * len(label), y, width - 0.2 - 0.062 * len(label))
    elif isinstance(item, ipywidgets.Button):
        _box(axes, label, x, y, width)
    elif isinstance(item.value, bool):
        tick = "\u2611" if item.value else "\u2610"
        axes.text(x, y, f"{tick} {label}", fontsize=7.5, va="center")
    elif isinstance(item.value, str):
        axes.text(x, y, item.value.split(">")[1].split("<")[0], fontsize=7, va="center", color="0.3")


def _box(axes: Any, words: str, x: float, y: float, width: float) -> None:
    frame = {"boxstyle": "square,pad=0.25", "facecolor": "0.96", "edgecolor": "0.7", "linewidth": 0.6}
    axes.text(x + 0.05, y, words, fontsize=7.5, va="center", bbox=frame)


def save(explorer: Explorer, name: str, *, question: str = "") -> None:
    """Controls above the picture, as a PNG of 256 colours."""
    parts = [Image.open(io.BytesIO(png(figure))).convert("RGB") for figure in _figures(explorer, question)]
    whole = Image.new("RGB", (max(p.width for p in parts), sum(p.height for p in parts)), "white")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    written = io.BytesIO()
    whole.quantize(256, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    write_bytes(HERE / f"{name}.png", written.getvalue())
    print(name, np.round(len(written.getvalue()) / 1024), "kB")


def _figures(explorer: Explorer, question: str) -> list[Figure]:
    return [controls(explorer, question=question), explorer.figure()]


def main() -> None:
    """All five."""
    regrad = mmdg_lite.explore_regrad()
    regrad.choose("89 degrees")
    regrad.reveal()
    regrad.remember()
    regrad.choose("91 degrees")
    regrad.reveal()
    save(regrad, "regrad", question=regrad.presets["91 degrees"].question)
    landscape = mmdg_lite.explore_landscape()
    landscape.choose("RGB dominates")
    landscape.reveal()
    save(landscape, "landscape", question=landscape.presets["RGB dominates"].question)
    lab = mmdg_lite.explore_imbalance()
    lab.choose("loud infrared, quiet RGB")
    lab.reveal()
    save(lab, "imbalance", question=lab.presets["loud infrared, quiet RGB"].question)
    balance = mmdg_lite.explore_balance(quickstart.load(device="cpu"))
    balance.choose("broken or switched off?")
    balance.reveal()
    save(balance, "balance", question=balance.presets["broken or switched off?"].question)
    viewer = mmdg_lite.view_training(REPOSITORY / "figures" / "scores")
    viewer.choose("does ReGrad close the gap?")
    viewer.reveal()
    save(viewer, "training", question=viewer.presets["does ReGrad close the gap?"].question)


if __name__ == "__main__":
    main()
