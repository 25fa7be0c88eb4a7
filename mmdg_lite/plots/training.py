"""How the modalities balanced in one run or several: losses, the fastest modality, conflicts, certainty, gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.style import COLOURS, LINES, new_figure, styled
from mmdg_lite.results.collect import read_history

Draw = Callable[[Axes, pd.DataFrame, int], None]
"""Draws a training's lines, smoothed over a window of so many of them."""
MOST = 3
"""Runs that can be read side by side."""


@dataclass(frozen=True)
class Panel:
    """A row of the figure: what its columns' names begin with, its label, its height in rows, and how it is drawn."""

    prefix: str
    label: str
    height: float
    draw: Draw


def histories(runs: Mapping[str, str | Path]) -> dict[str, pd.DataFrame]:
    """The training lines of run folders by the name to show them under.

    Raises ValueError for a run without training lines (a linear probe is fitted, not trained), FileNotFoundError for
    a folder without metrics.jsonl.
    """
    read = {name: read_history(run) for name, run in runs.items()}
    if empty := [name for name, history in read.items() if history.empty]:
        raise ValueError(f"{empty[0]} has no training steps in its metrics.jsonl; choose a run that was trained")
    return read


def find_runs(root: str | Path) -> dict[str, Path]:
    """Trained runs at or below a folder, by their path in it; none where the folder does not exist."""
    return {name: run for name, run in run_folders(root).items() if len(read_history(run))}


def run_folders(root: str | Path) -> dict[str, Path]:
    """Folders with metrics at or below a folder, by their path in it, without reading them."""
    found = sorted({path.parent for name in ("metrics.jsonl", "metrics.jsonl.gz") for path in Path(root).rglob(name)})
    return {run.relative_to(root).as_posix(): run for run in found}


@styled
def picture(
    histories: Mapping[str, pd.DataFrame],
    *,
    window: int = 1,
    panels: Sequence[str] = ("average", "fastest", "conflicts", "gradients"),
    title: str = "",
) -> Figure:
    """A column per run, a row per panel, over the steps of training.

    Args:
        histories: training lines of runs (`histories`) by the name to show them under.
        window: logged steps that a running mean covers.
        panels: names of `PANELS`. A panel that no run has numbers for is left out.
        title: what the figure shows.

    Raises:
        ValueError: no run, more than three, a window below 1, or panels that no run has numbers for.
    """
    if not histories:
        raise ValueError("choose at least one run")
    if len(histories) > MOST:
        raise ValueError(f"{len(histories)} runs side by side cannot be read; choose at most {MOST}")
    if window < 1:
        raise ValueError(f"the window is {window}: choose 1 logged step or more")
    shown = [PANELS[name] for name in panels if any(_recorded(h, PANELS[name].prefix) for h in histories.values())]
    if not shown:
        raise ValueError(f"these runs recorded nothing of {', '.join(panels)}; choose other panels")
    heights = [panel.height for panel in shown]
    figure = new_figure((9.4, 1.1 + 0.95 * sum(heights)))
    figure.set_layout_engine("none")
    tall = figure.get_figheight()
    edges = {"left": 0.115, "right": 0.985, "top": 1 - 0.62 / tall, "bottom": 0.42 / tall}
    spaces = edges | {"hspace": 0.22, "wspace": 0.08, "height_ratios": heights}
    shape = (len(shown), len(histories))
    grid = figure.subplots(*shape, squeeze=False, sharex="col", sharey="row", gridspec_kw=spaces)
    for column, (name, history) in enumerate(histories.items()):
        for row, panel in enumerate(shown):
            axes = grid[row, column]
            axes.tick_params(labelsize=7.5)
            if _recorded(history, panel.prefix):
                panel.draw(axes, history, window)
            else:
                _not_recorded(axes)
            if column == 0:
                figure.text(0.012, axes.get_position().y1, panel.label, fontsize=8, va="top")
        grid[0, column].set_title(name, fontsize="small")
        grid[-1, column].set_xlabel("step", fontsize=8, labelpad=1)
        grid[-1, column].tick_params(labelbottom=True)
    looks: list[dict[str, Any]] = [{"linestyle": LINES[m.value], "color": COLOURS[m.value]} for m in MODALITIES]
    handles = [Line2D([], [], label=m.title, **look) for m, look in zip(MODALITIES, looks, strict=True)]
    if any(_recorded(h, "loss_total") for h in histories.values()) and "loss" in panels:
        handles.append(Line2D([], [], color="black", linewidth=1, label="head"))
    figure.legend(handles=handles, ncols=len(handles), loc="upper right", handlelength=1.8, fontsize="small")
    figure.text(0.012, 1 - 0.2 / tall, title, fontsize="small", weight="bold")
    return figure


def summary(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per run: share of logged steps as the fastest by modality, mean conflict rate, last loss averages."""
    rows = {}
    for name, history in histories.items():
        row = {f"fastest {m.title}": (history["fastest"] == m.value).mean() for m in MODALITIES}
        row["conflict rate"] = _column(history, "conflict_rate").mean()
        row |= {f"last average {m.title}": _column(history, f"average_{m.value}").iloc[-1] for m in MODALITIES}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def description(histories: Mapping[str, pd.DataFrame]) -> str:
    """The picture in a sentence per run."""
    texts = []
    for name, row in summary(histories).iterrows():
        if all(pd.isna(row[f"last average {m.title}"]) for m in MODALITIES):
            texts.append(f"{name}: this method has no losses of single modalities, and so no fastest one.")
            continue
        shares = ", ".join(
            f"{m.title} {100 * share:.0f} %" for m in MODALITIES if (share := row[f"fastest {m.title}"]) > 0
        )
        rate = row["conflict rate"]
        conflicts = "conflicts not recorded" if pd.isna(rate) else f"mean conflict rate {rate:.2f}"
        who = f"fastest in {shares} of the logged steps" if shares else "no modality is ever the single fastest"
        texts.append(f"{name}: {who}; {conflicts}.")
    return " ".join(texts)


def _column(history: pd.DataFrame, name: str) -> pd.Series:
    """A column as numbers; all unknown where a method does not log it."""
    values = history[name] if name in history else pd.Series(index=history.index, dtype=float)
    return pd.to_numeric(values)


def _recorded(history: pd.DataFrame, prefix: str) -> bool:
    """True if any column that begins so has a value."""
    return bool(history.filter(regex=f"^{prefix}").notna().any(axis=None))


def _smoothed(values: pd.Series, window: int) -> pd.Series:
    return values.rolling(window, min_periods=1).mean()


def _lines(prefix: str, *, log: bool = False) -> Draw:
    def draw(axes: Axes, history: pd.DataFrame, window: int) -> None:
        for m in MODALITIES:
            values = _smoothed(_column(history, f"{prefix}{m.value}"), window)
            axes.plot(history["step"], values, LINES[m.value], color=COLOURS[m.value], linewidth=1.2)
        if (head := _column(history, f"{prefix}total")).notna().any():
            axes.plot(history["step"], _smoothed(head, window), color="black", linewidth=1)
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())  # labels of minor ticks would lie on each other
        else:
            axes.set_ylim(bottom=0)

    return draw


def _fastest(axes: Axes, history: pd.DataFrame, window: int) -> None:
    for place, m in enumerate(reversed(MODALITIES)):
        steps = history["step"][history["fastest"] == m.value]
        axes.plot(steps, [place] * len(steps), "|", color=COLOURS[m.value], markersize=8, markeredgewidth=1.4)
    axes.set_yticks(range(3), [m.title for m in reversed(MODALITIES)])
    axes.set_ylim(-0.6, 2.6)


def _conflicts(axes: Axes, history: pd.DataFrame, window: int) -> None:
    axes.plot(history["step"], _smoothed(_column(history, "conflict_rate"), window), color="black", linewidth=1.2)
    axes.set_ylim(0, 1)


def _not_recorded(axes: Axes) -> None:
    """One small line, and no frame."""
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", left=False, labelleft=False, bottom=False)
    axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", fontsize=8, color="0.5")


PANELS: dict[str, Panel] = {
    "loss": Panel("loss_", "loss,\nnats", 1.4, _lines("loss_")),
    "average": Panel("average_", "loss average,\nnats", 1.4, _lines("average_")),
    "fastest": Panel("fastest", "fastest", 0.8, _fastest),
    "certainty": Panel("certainty_", "mean\ncertainty", 1.0, _lines("certainty_")),
    "conflicts": Panel("conflict_rate", "conflicts,\nshare of pairs", 0.7, _conflicts),
    "gradients": Panel("gradient_norm_", "gradient norm,\nno unit", 0.7, _lines("gradient_norm_", log=True)),
}
OF_ONE_RUN = ("loss", "fastest", "certainty", "conflicts", "gradients")
"""Panels that show one run; the averages differ little from the losses."""
