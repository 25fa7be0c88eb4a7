"""Figures of protocol P6: what two methods differ by on each deployment, and how error rates rise with faults."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from mmdg_lite.data.deployments import SEVERITIES
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.panels import colours
from mmdg_lite.plots.style import new_figure, save, styled
from mmdg_lite.results.cells import display_name, in_order
from mmdg_lite.results.deployments import REFERENCE, differences, estimates, per_deployment

INSIDE, OUTSIDE = "inside of pre-training's ranges", "outside of them"
FAULT_TITLES = {
    Modality.RGB: "RGB over-exposed and blurred",
    Modality.DEPTH: "depth with holes and noise",
    Modality.INFRARED: "infrared lamp weak, with noise",
}
MOST_METHODS = 5


@styled
def deployment_differences(frame: pd.DataFrame, method: str = "mmdg++", reference: str = REFERENCE) -> Figure:
    """HTER of `method` minus that of `reference` on every deployment: its mean, 95 % interval over runs, and each run.

    The band is the interval of the mean over all deployments. `frame`: rows of `deployments.collect_deployments` of one
    profile. Raises ValueError where the methods have fewer than two runs in common.
    """
    table = differences(frame, method, reference)
    if len(table) < 2:
        raise ValueError(f"{method} and {reference} have {len(table)} runs of P6 in common: two at least are needed")
    (whole,) = estimates({(method, reference, "hter"): table})
    shown = per_deployment(frame, method, reference).sort_values("difference")
    shown = shown.assign(sensors=np.where(shown["inside"], INSIDE, OUTSIDE))
    runs = table.melt(var_name="deployment", value_name="difference").merge(shown[["deployment", "sensors"]])
    figure = new_figure((6.4, 1.2 + 0.22 * len(shown)))
    axes = figure.subplots()
    axes.axvspan(100 * whole.low, 100 * whole.high, color="0.88", label="mean over all, 95 % interval")
    axes.axvline(0, color="0.4", linewidth=0.8)
    style = {"y": "deployment", "order": list(shown["deployment"]), "hue": "sensors", "hue_order": [INSIDE, OUTSIDE]}
    seaborn.stripplot(
        runs.assign(points=100 * runs["difference"]), x="points", size=2.5, alpha=0.5, jitter=False, legend=False,
        ax=axes, **style,
    )  # fmt: skip
    seaborn.stripplot(
        shown.assign(points=100 * shown["difference"]), x="points", size=6, jitter=False, ax=axes, **style
    )
    reach = 100 * (shown["high"] - shown["difference"])
    axes.errorbar(
        100 * shown["difference"], range(len(shown)), xerr=reach, fmt="none", ecolor="0.3", elinewidth=1, zorder=1
    )
    axes.set(
        title=f"HTER of {display_name(method)} minus that of {display_name(reference)}\non {len(shown)} deployments: "
        f"{100 * whole.difference:+.1f} points on average ({100 * whole.low:+.1f} to {100 * whole.high:+.1f})",
        xlabel="percentage points of HTER, lower is better",
        ylabel="deployment",
    )
    axes.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def p6_figures(frame: pd.DataFrame, out: str | Path) -> list[Path]:
    """Write the figures of protocol P6 of one profile as SVG, as far as its runs allow; returns the files written."""
    written = []
    methods = set(frame["method"])
    if {"mmdg++", REFERENCE} <= methods and len(differences(frame, "mmdg++")) > 1:
        written.append(save(deployment_differences(frame), Path(out) / "P6_differences.svg"))
    if (frame["faulty"] != "").any():
        written.append(save(reliability_curves(frame), Path(out) / "P6_reliability.svg"))
    return written


@styled
def reliability_curves(frame: pd.DataFrame, *, methods: Sequence[str] | None = None) -> Figure:
    """HTER over the severity of each modality's fault, a panel per modality; means over targets and seeds, with their
    standard errors over runs.

    `frame`: rows of `deployments.collect_deployments` of one profile. `methods`: at most five; None takes MMDG++, plain
    fusion and the first others. Raises ValueError for more, and for one that has no curves.
    """
    rows = frame[frame["faulty"] != ""]
    there = in_order(rows["method"])
    preferred = [name for name in ("mmdg++", REFERENCE) if name in there]
    chosen = list(methods) if methods else [*preferred, *(n for n in there if n not in preferred)][:MOST_METHODS]
    if len(chosen) > MOST_METHODS:
        raise ValueError(f"{len(chosen)} methods would hide each other in a panel: choose at most {MOST_METHODS}")
    if absent := [name for name in chosen if name not in there]:
        raise ValueError(f"{absent[0]} has no reliability curves; there are {', '.join(there) or 'none'}")
    rows = rows.assign(name=rows["method"].map(display_name), points=100 * rows["hter"])
    names = [display_name(name) for name in chosen]
    figure = new_figure((9.6, 3.2))
    panels = figure.subplots(1, len(MODALITIES), sharey=True)
    for modality, axes in zip(MODALITIES, panels, strict=True):
        seaborn.lineplot(
            rows[rows["faulty"] == modality.value], x="severity", y="points", errorbar="se", err_style="bars",
            hue="name", hue_order=names, palette=colours(names), style="name", style_order=names, markers=True, ax=axes,
        )  # fmt: skip
        axes.set(title=FAULT_TITLES[modality], xlabel="severity (0: no fault)", ylabel="HTER, %")
        axes.set_xticks([0, *SEVERITIES])
        axes.get_legend().remove()
    panels[0].set_ylim(0, None)
    handles, labels = panels[-1].get_legend_handles_labels()
    panels[-1].legend(handles, labels, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
