"""The components' effects over all their combinations, as a figure: what helps, by how much, and what is undecided."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmdg_lite.plots.style import new_figure, styled
from mmdg_lite.results.cells import POINTS, PROTOCOL_NAMES
from mmdg_lite.results.components import COMPONENTS, Effect, all_effects

PROTOCOL_COLOURS = {"P1": "black", "P2": "#CC79A7", "P3": "#E69F00"}  # none of a modality's


@styled
def effects(frame: pd.DataFrame) -> Figure:
    """A panel per metric, a line per component and interaction, a point per protocol with its interval over targets.

    Points are filled where the 95 % interval and the sign-flip test agree that there is an effect; the title names the
    components that have one. `frame`: rows of `results.collect`, of one profile and kind of data. Raises ValueError
    where no setting and seed has runs of all eight combinations.
    """
    found = all_effects(frame)
    if not found:
        raise ValueError("no setting and seed has runs of all eight combinations of uncertainty, ReGrad and ADPs")
    names, protocols = (list(dict.fromkeys(getattr(e, of) for e in found)) for of in ("name", "protocol"))
    figure = new_figure((10.5, 0.9 + 0.42 * len(names)))
    panels = dict(zip(POINTS, figure.subplots(1, len(POINTS), sharey=True), strict=True))
    for metric, axes in panels.items():
        axes.axvline(0, color="0.5", linewidth=0.8)
        better = "higher" if metric == "auc" else "lower"
        axes.set(title=POINTS[metric], xlabel=f"points, {better} is better")
        axes.set_yticks(range(len(names)), names)
    for e in found:
        c, colour = e.comparison, PROTOCOL_COLOURS[e.protocol]
        place = names.index(e.name) + (protocols.index(e.protocol) - (len(protocols) - 1) / 2) * 0.24
        axes, value = panels[e.metric], 100 * c.difference
        bounds = 100 * np.array([[c.difference - c.low], [c.high - c.difference]])
        filled = colour if c.decided else "white"
        axes.errorbar(value, place, xerr=bounds, fmt="o", color=colour, markerfacecolor=filled, capsize=2)
    panels["hter"].invert_yaxis()
    handles = [
        Line2D([], [], color=PROTOCOL_COLOURS[p], marker="o", markerfacecolor="white", label=PROTOCOL_NAMES[p])
        for p in protocols
    ]
    handles.append(Line2D([], [], color="0.3", marker="o", linestyle="", label="filled: decided"))
    panels["auc"].legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1))
    said = "; ".join(f"{p}: {decided_components(found, p)}" for p in protocols)
    figure.suptitle(f"Components with a decided effect by any of the metrics. {said}", x=0.01, ha="left", fontsize=10)
    return figure


def decided_components(found: Iterable[Effect], protocol: str) -> str:
    """The components that have a decided effect on a protocol by any metric, such as "U and ADP"; else "none"."""
    decided = [e.name for e in found if e.protocol == protocol and e.comparison.decided and e.name in COMPONENTS]
    return " and ".join(dict.fromkeys(decided)) or "none"
