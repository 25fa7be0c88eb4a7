"""The imbalance lab's picture: losses of two trainings, the gap between slowest and fastest, who is the fastest."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.descent import RULE_LINES, strip
from mmdg_lite.plots.style import COLOURS, new_figure, rule_colour, styled

Array = NDArray[np.float64]


class Training(Protocol):
    """See `studies.imbalance.Trained`."""

    @property
    def losses(self) -> Array: ...
    @property
    def fastest(self) -> Sequence[Modality | None]: ...
    @property
    def accuracy(self) -> Array: ...
    @property
    def gap(self) -> float: ...


@styled
def trainings(
    found: Mapping[str, Training], *, before: Mapping[str, Training] | None = None, reveal: bool = True
) -> Figure:
    """One or two trainings by rule, on fixed axes, so that pictures can be compared; the first steps may leave them.

    before: earlier ones, whose gaps are drawn faintly. reveal: False shows the first training alone, for a prediction.
    """
    figure = new_figure((9.4, 4.0))
    figure.set_layout_engine("none")
    for place, (name, training) in enumerate(found.items()):
        axes = figure.add_axes((0.06 + 0.33 * place, 0.42, 0.26, 0.48))
        axes.set_title(f"training losses under {name}, nats", fontsize="small")
        axes.set(ylim=(0, 1), xlim=(0, len(training.losses)))
        axes.tick_params(labelsize=8)
        below = figure.add_axes((0.06 + 0.33 * place, 0.20, 0.26, 0.07))
        if place and not reveal:
            axes.text(0.5, 0.5, "?", transform=axes.transAxes, ha="center", va="center", fontsize=30, color="0.6")
            below.set_axis_off()
            continue
        _losses(axes, training)
        strip(below, training.fastest)
        below.set_title(f"fastest modality by step; gap on average {training.gap:.3f}", fontsize=8, pad=2)
        below.tick_params(labelsize=8)
        shares = ", ".join(f"{m.title} {100 * training.accuracy[m.index]:.0f} %" for m in MODALITIES)
        figure.text(0.06 + 0.33 * place, 0.05, f"accuracy on domain W:\n{shares}", fontsize=8)
    gaps = figure.add_axes((0.74, 0.20, 0.25, 0.70))
    for training in (before or {}).values() if reveal else ():
        gaps.plot(np.ptp(training.losses, axis=1), color="0.85", linewidth=2)
    shown = list(found.items()) if reveal else list(found.items())[:1]
    for (name, training), line in zip(shown, RULE_LINES, strict=False):
        gaps.plot(np.ptp(training.losses, axis=1), linestyle=line, color=rule_colour(name), label=name)
    gaps.set(ylim=(0, 0.4))
    gaps.tick_params(labelsize=8)
    gaps.set_title("slowest minus fastest loss, nats", fontsize="small")
    gaps.legend(fontsize=8)
    return figure


def _losses(axes: Axes, training: Training) -> None:
    for m in MODALITIES:
        axes.plot(training.losses[:, m.index], color=COLOURS[m.value], label=m.title)
    axes.legend(fontsize=8)
