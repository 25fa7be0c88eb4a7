"""How the modalities balanced in one run or several: losses, the fastest modality, conflicts, certainty, gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

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

    @property
    def name(self) -> str:
        """The label without its unit."""
        return self.label.split(",")[0].replace("\n", " ")


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
        panels: names of `PANELS`. A panel that no run has numbers for is left out. One that some runs lack is divided
            among the others, and a line below says who lacks it.
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
    shown = {PANELS[p]: [n for n, h in histories.items() if _recorded(h, PANELS[p].prefix)] for p in panels}
    shown = {panel: who for panel, who in shown.items() if who}
    if not shown:
        raise ValueError(f"these runs recorded nothing of {', '.join(panels)}; choose other panels")
    blocks = [(who, [panel for panel, _ in part]) for who, part in groupby(shown.items(), key=itemgetter(1))]
    lacking = _lacking(shown, list(histories))
    words = 0.24 * (2 * len(blocks) - 2 + bool(lacking))
    figure = new_figure((9.4, 1.06 + 0.94 * sum(p.height for p in shown) + words))
    figure.set_layout_engine("none")
    tall = figure.get_figheight()
    edges = {"left": 0.125, "right": 0.985, "top": 1 - 0.62 / tall, "bottom": (0.42 + 0.24 * bool(lacking)) / tall}
    tops = GridSpec(
        len(blocks), 1, figure, **edges, hspace=0.58 * len(blocks) / (0.8 * tall),
        height_ratios=[sum(p.height for p in part) for _, part in blocks],
    )  # fmt: skip
    last = max(float(history["step"].max()) for history in histories.values())
    for number, (who, part) in enumerate(blocks):
        heights = [p.height for p in part]
        spots = GridSpecFromSubplotSpec(
            len(part), len(who), tops[number], hspace=0.22, wspace=0.08, height_ratios=heights
        )
        grid = spots.subplots(squeeze=False, sharex=True, sharey="row")
        for (row, panel), (column, name) in product(enumerate(part), enumerate(who)):
            axes = grid[row, column]
            axes.tick_params(labelsize=7.5)
            axes.set_xlim(-0.05 * last, 1.05 * last)
            panel.draw(axes, histories[name], window)
            if column == 0:
                figure.text(0.012, axes.get_position().y1, panel.label, fontsize=8, va="top")
        for column, name in enumerate(who):
            grid[0, column].set_title(name, fontsize="small")
            grid[-1, column].tick_params(labelbottom=True)
    for axes in grid[-1]:
        axes.set_xlabel("step", fontsize=8, labelpad=1)
    looks: list[dict[str, Any]] = [{"linestyle": LINES[m.value], "color": COLOURS[m.value]} for m in MODALITIES]
    handles = [Line2D([], [], label=m.title, **look) for m, look in zip(MODALITIES, looks, strict=True)]
    if any(_recorded(h, "loss_total") for h in histories.values()) and "loss" in panels:
        handles.append(Line2D([], [], color="black", linewidth=1, label="head"))
    figure.legend(handles=handles, ncols=len(handles), loc="upper right", handlelength=1.8, fontsize="small")
    figure.text(0.012, 1 - 0.2 / tall, title, fontsize="small", weight="bold")
    figure.text(0.012, 0.1 / tall, lacking, fontsize="small", color="0.3")
    return figure


def _lacking(shown: Mapping[Panel, Sequence[str]], runs: Sequence[str]) -> str:
    """Which runs lack which of the panels that others have, as a sentence; "" where none does."""
    gone = {run: [panel.name for panel, who in shown.items() if run not in who] for run in runs}
    return "; ".join(f"{run} records no {' and no '.join(names)}" for run, names in gone.items() if names)


def learned(history: pd.DataFrame) -> str:
    """A run in a title: how the head's loss changed from the first to the last quarter of its logged steps, and which
    modality's loss is the highest on average; "" for a run that logs no loss of the head."""
    head, quarter = _column(history, "loss_total"), max(1, len(history) // 4)
    if head.isna().all():
        return ""
    change = head.tail(quarter).mean() / head.head(quarter).mean() - 1
    said = f"The head's loss {'falls' if change < 0 else 'rises'} by {100 * abs(change):.0f} %"
    means = {m.title: _column(history, f"loss_{m.value}").mean() for m in MODALITIES}
    known = {name: mean for name, mean in means.items() if pd.notna(mean)}
    return f"{said}; {max(known, key=known.__getitem__)} has the highest loss" if len(known) > 1 else said


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
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())  # labels of minor ticks would lie on each other
        else:
            axes.set_ylim(0, max(axes.get_ylim()[1], 1.05 * axes.dataLim.y1))  # a row shares its axis
            axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))

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
