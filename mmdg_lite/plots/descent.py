"""The landscape explorer's picture: two rules' paths through three bowls, their losses, and what is left to learn."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.style import COLOURS, new_figure, rule_colour, styled

Array = NDArray[np.float64]
RULE_LINES: tuple[Any, Any] = ("-", (0, (4, 2)))  # the first rule's and the second's
RINGS = (0.25, 0.5, 1.0)
"""Losses above their floors, in nats, whose level lines are drawn."""
REACH = 2.2
"""Of the plane's axes, to both sides of the origin."""
MOST = 3.0
"""Nats, upper end of the axes of losses."""
FIRST = 80
"""Steps whose losses are drawn."""


class Path(Protocol):
    """One rule's way: points (steps + 1) x 2; excess, losses above their floors, (steps + 1) x 3; left, excess at the
    end, 3; fastest, a modality or None per step."""

    @property
    def points(self) -> Array: ...
    @property
    def excess(self) -> Array: ...
    @property
    def left(self) -> Array: ...
    @property
    def fastest(self) -> Sequence[Modality | None]: ...


@styled
def descents(
    paths: Mapping[str, Path],
    *,
    minima: Array,
    steepness: Sequence[float],
    before: Mapping[str, Path] | None = None,
    reveal: bool = True,
) -> Figure:
    """The plane with both paths on the left; beside it, per rule, losses, the fastest modality and what is left.

    All axes are fixed, so that pictures can be compared.

    Args:
        paths: one or two, by rule.
        minima: of the three losses, 3 x 2. steepness: of their bowls, 3; steep bowls have narrow rings.
        before: earlier paths, drawn faintly.
        reveal: False shows the bowls and the start alone, for a prediction.
    """
    figure = new_figure((9.8, 4.1))
    figure.set_layout_engine("none")
    plane = figure.add_axes((0.04, 0.075, 0.36, 0.36 * 9.8 / 4.1))
    _bowls(plane, minima, steepness)
    for way in (before or {}).values() if reveal else ():
        plane.plot(*way.points.T, color="0.8", linewidth=1.2)
    for (name, way), line in zip(paths.items(), RULE_LINES, strict=False):
        colour = rule_colour(name)
        plane.plot(*way.points[0], "s", color="black", markersize=6)
        if reveal:
            plane.plot(*way.points.T, linestyle=line, color=colour, linewidth=1.6, label=name)
            plane.plot(*way.points[-1], "o", color=colour, markersize=6, markeredgecolor="white")
    if not reveal:
        words = "Which way will each rule go?\nWhere does it settle?\nWhich loss stays highest?"
        figure.text(0.7, 0.5, words, ha="center", fontsize="medium", linespacing=1.8)
        return figure
    plane.legend(loc="lower left", fontsize=8, frameon=True, framealpha=1, edgecolor="white")
    for place, (name, way) in enumerate(paths.items()):
        left = 0.465 + 0.285 * place
        _curves(figure.add_axes((left, 0.50, 0.235, 0.42)), name, way, legend=not place)
        below = figure.add_axes((left, 0.335, 0.235, 0.045))
        strip(below, way.fastest)
        below.set(xlim=(0, FIRST), xticks=range(0, FIRST + 1, 20))
        below.set_title("fastest modality, by step", fontsize=8, pad=2)
        below.tick_params(labelsize=8)
        _left(figure.add_axes((left, 0.035, 0.235, 0.16)), way, names=not place)
    return figure


def _bowls(axes: Axes, minima: Array, steepness: Sequence[float]) -> None:
    turn = np.linspace(0, 2 * np.pi, 90)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for m in MODALITIES:
        for excess in RINGS:
            ring = minima[m.index] + (2 * excess / steepness[m.index]) ** 0.5 * circle
            axes.plot(*ring.T, color=COLOURS[m.value], linewidth=0.7, alpha=0.5)
        axes.plot(*minima[m.index], "*", color=COLOURS[m.value], markersize=12)
        axes.annotate(m.title, minima[m.index], xytext=(6, -11), textcoords="offset points", fontsize=8)
    ticks = range(-2, 3)
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xticks=ticks, yticks=ticks)
    axes.tick_params(labelsize=8)
    axes.set_title(f"rings: {', '.join(map(str, RINGS))} above the floor; square: start", fontsize=8.5)


def _curves(axes: Axes, name: str, way: Path, *, legend: bool) -> None:
    for m in MODALITIES:
        axes.plot(way.excess[: FIRST + 1, m.index], color=COLOURS[m.value], linewidth=1.3, label=m.title)
    axes.set(ylim=(0, MOST), yticks=range(4), xlim=(0, FIRST), xticks=range(0, FIRST + 1, 20))
    axes.tick_params(labelsize=8, labelbottom=False)
    axes.set_title(f"{name}: losses above their floors", fontsize=8.5)
    if legend:
        axes.legend(fontsize=8)


def _left(axes: Axes, way: Path, *, names: bool) -> None:
    worst = [f"{left:.2f}" == f"{np.max(way.left):.2f}" for left in way.left]
    for m in MODALITIES:
        axes.barh(m.index, min(way.left[m.index], MOST), color=COLOURS[m.value])
        told = f" {way.left[m.index]:.2f}" + (", worst-off" if worst[m.index] else "")
        weight = "bold" if worst[m.index] else "normal"
        inside = way.left[m.index] > 0.55 * MOST
        place, colour = (0.0, "white") if inside else (way.left[m.index], "black")
        axes.text(place, m.index, told, va="center", fontsize=8, weight=weight, color=colour)
    axes.set(xlim=(0, MOST), xticks=[])
    axes.set_yticks(range(3), [m.title for m in MODALITIES] if names else [""] * 3, fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_title("left to learn, mean of the last 50 steps", fontsize=8, pad=2)


def strip(axes: Axes, holders: Sequence[Modality | None]) -> None:
    """A coloured cell per step, white on a tie."""
    runs: dict[Modality | None, list[tuple[float, float]]] = {m: [] for m in (None, *MODALITIES)}
    step = 0
    for holder, same in groupby(holders):
        length = len(list(same))
        runs[holder].append((step - 0.5, length))
        step += length
    for m in MODALITIES:
        axes.broken_barh(runs[m], (0, 1), color=COLOURS[m.value], linewidth=0)
    axes.set(ylim=(0, 1), yticks=[], xlim=(0, len(holders)))
    axes.grid(visible=False)
