"""The landscape explorer's picture: two rules' paths through three bowls, their losses, and who is the fastest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.style import COLOURS, new_figure, styled

Array = NDArray[np.float64]
RULE_LINES: tuple[Any, Any] = ("-", (0, (4, 2)))  # the first rule's and the second's
RULE_GREYS = ("black", "0.55")


@styled
def descents(
    *,
    minima: Array,
    paths: Mapping[str, Array],
    losses: Mapping[str, Array],
    fastest: Mapping[str, Sequence[Modality | None]],
    before: Mapping[str, Array] | None = None,
    reveal: bool = True,
) -> Figure:
    """Paths in a plane with fixed axes on the left; excess losses and the fastest modality over the steps on the right.

    Args:
        minima: of the three losses, 3 x 2.
        paths: points (steps + 1) x 2 by rule, one or two rules. losses: (steps + 1) x 3 above their floors by rule.
        fastest: of every step by rule.
        before: earlier paths, drawn faintly.
        reveal: False shows the start and the minima alone, for a prediction.
    """
    figure = new_figure((9.4, 4.1))
    figure.set_layout_engine("none")
    plane = figure.add_axes((0.045, 0.08, 0.37, 0.37 * 9.4 / 4.1))
    for m in MODALITIES:
        x, y = minima[m.index]
        for radius in (0.5, 1.0, 1.5):
            turn = np.linspace(0, 2 * np.pi, 60)
            plane.plot(x + radius * np.cos(turn), y + radius * np.sin(turn), color=COLOURS[m.value], lw=0.6, alpha=0.4)
        plane.plot([x], [y], "*", color=COLOURS[m.value], markersize=12)
    for path in (before or {}).values() if reveal else ():
        plane.plot(path[:, 0], path[:, 1], color="0.8", linewidth=1.2)
    for (name, path), line, grey in zip(paths.items(), RULE_LINES, RULE_GREYS, strict=False):
        if reveal:
            plane.plot(path[:, 0], path[:, 1], linestyle=line, color=grey, linewidth=1.6, label=name)
            plane.plot(*path[-1], "o", color=grey, markersize=5)
        plane.plot(*path[0], "s", color="black", markersize=6)
    plane.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal")
    plane.tick_params(labelsize=8)
    plane.set_title("stars: lowest points of the losses; square: start", fontsize="small")
    if not reveal:
        figure.text(0.72, 0.5, "Which way will each rule go, and where does it settle?", ha="center", fontsize="medium")
        return figure
    plane.legend(loc="lower left", fontsize=8)
    curves = figure.add_axes((0.49, 0.40, 0.36, 0.52))
    _curves(curves, losses)
    for place, (name, holders) in enumerate(fastest.items()):
        below = figure.add_axes((0.49, 0.22 - 0.12 * place, 0.36, 0.055))
        strip(below, holders)
        below.set_title(f"fastest under {name}", fontsize=8, pad=2)
        below.tick_params(labelbottom=place == len(fastest) - 1, labelsize=8)
    handles = [Line2D([], [], color=COLOURS[m.value], label=m.title) for m in MODALITIES]
    handles += [
        Line2D([], [], color="black", linestyle=line, label=n) for n, line in zip(losses, RULE_LINES, strict=False)
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.855, 0.95), fontsize=8)
    spread = "\n".join(f"{name}:\n{np.ptp(of[-1]):.2f}" for name, of in losses.items())
    figure.text(0.865, 0.56, f"spread of the\nlast losses\n{spread}", fontsize=8, va="top", linespacing=1.4)
    return figure


def _curves(axes: Axes, losses: Mapping[str, Array]) -> None:
    for (_, of), line in zip(losses.items(), RULE_LINES, strict=False):
        for m in MODALITIES:
            axes.plot(of[:, m.index], linestyle=line, color=COLOURS[m.value], linewidth=1.4)
    axes.set_ylim(0, 3)
    axes.tick_params(labelsize=8)
    axes.set_title("loss above its floor, nats, by step", fontsize="small")


def strip(axes: Axes, holders: Sequence[Modality | None]) -> None:
    """A coloured cell per step, white on a tie."""
    for m in MODALITIES:
        steps = [step for step, holder in enumerate(holders) if holder is m]
        axes.bar(steps, 1, width=1.0, color=COLOURS[m.value], linewidth=0)
    axes.set(ylim=(0, 1), yticks=[], xlim=(0, len(holders)))
    axes.grid(visible=False)
