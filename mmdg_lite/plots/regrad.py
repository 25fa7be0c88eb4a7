"""Figures of notebook 04: ReGrad's cases, how loud the other modalities are in a branch, and every rule's direction."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmdg_lite.explorers.regrad import Comparison, construction
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.style import COLOURS, LINES, NAMES, new_figure, styled

MARKERS = {"rgb": "o", "depth": "s", "infrared": "D"}


@styled
def cases(comparisons: Mapping[str, Comparison]) -> Figure:
    """ReGrad's construction for each situation, by its title, two beside each other."""
    rows = (len(comparisons) + 1) // 2
    tips = np.concatenate([[*c.situation.gradients, c.results["ReGrad"], [0, 0]] for c in comparisons.values()])
    low, high = tips.min(axis=0) - 0.2, tips.max(axis=0) + 0.2  # 2 each
    width, height = high - low
    figure = new_figure((7.6, rows * (3.2 * height / width + 0.5) + 0.9))
    panels = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    for axes, (title, comparison) in zip(panels.flat, comparisons.items(), strict=False):
        construction(axes, comparison, float(np.abs(tips).max()))
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, fontsize="medium")
        axes.label_outer()
        shown = axes.get_legend()
        assert shown is not None
        shown.remove()
    handles, labels = panels[0, 0].get_legend_handles_labels()
    present = [place for place, label in enumerate(labels) if not _is_absent(label, comparisons)]
    figure.legend(
        [handles[i] for i in present], [labels[i] for i in present], loc="outside lower center", ncols=3, fontsize=8
    )
    return figure


def _is_absent(label: str, comparisons: Mapping[str, Comparison]) -> bool:
    """Whether a label speaks of a modality that no situation has a gradient of."""
    absent = [m for m in MODALITIES if not any(c.situation.gradients[m.index].any() for c in comparisons.values())]
    return any(f"of {NAMES[m.value]}'s" in label for m in absent)


@styled
def others_beside_own(pairs: pd.DataFrame) -> Figure:
    """Over the steps, in each branch, the length of the other modalities' gradients relative to its own.

    `pairs`: rows of `regrad_study.pairs`.
    """
    figure = new_figure((9.0, 2.9))
    for axes, m in zip(figure.subplots(1, 3, sharey=True), MODALITIES, strict=True):
        for other in m.others:
            rows = pairs[(pairs["branch"] == m.value) & (pairs["other"] == other.value)]
            style = {"color": COLOURS[other.value], "label": f"{NAMES[other.value]}'s"}
            axes.semilogy(rows["step"], rows["ratio"].where(rows["ratio"] > 0), LINES[other.value], **style)
        axes.axhline(1, color="0.5", linestyle=":", linewidth=1)
        axes.set(xlabel="step", title=f"in the {NAMES[m.value]} branch")
        axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("length of the other's gradient\n/ length of its own")
    return figure


@styled
def directions(table: pd.DataFrame, *, title: str) -> Figure:
    """Every rule's direction: its length, its cosines with the three losses' gradients, its conflicts.

    `table`: a row per rule, as `regrad_study.by_rule` gives.
    """
    figure = new_figure((9.6, 1.1 + 0.33 * len(table)))
    long, cosine, against = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.7, 1))
    places = np.arange(len(table))[::-1]
    long.plot(table["length"], places, "k.", markersize=9)
    long.axvline(1, color="0.6", linewidth=1)
    long.set(xlim=(0, None), xlabel="length / plain sum's")
    for m in MODALITIES:
        values = table[f"cosine_{m.value}"]
        cosine.plot(values, places, MARKERS[m.value], color=COLOURS[m.value], label=NAMES[m.value], alpha=0.8)
    cosine.axvline(0, color="0.6", linewidth=1)
    cosine.set(xlabel="cosine with each loss's gradient")
    cosine.legend(fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    against.barh(places, 100 * table["against"], color="0.6", height=0.6)
    against.set(xlabel="pairs in conflict with it, %")
    long.set_yticks(places, list(table.index))
    figure.suptitle(title, x=0.01, ha="left")
    return figure
