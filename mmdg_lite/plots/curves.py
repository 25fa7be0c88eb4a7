"""Figures of numbers: error curves and HTER by target. Each function takes data and returns a matplotlib Figure.

None of them shows or keeps the figure: a notebook displays what a function returns, `save` writes it reproducibly.
More than five methods are divided among several panels (`panels.panels`). Pictures of faces are in `faces`.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import det_curve, roc_curve

from mmdg_lite.metrics import threshold_at_eer
from mmdg_lite.plots.panels import MARKERS, colours, panel_grid, panels
from mmdg_lite.plots.style import new_figure, save, styled
from mmdg_lite.results.calibration import risk_coverage
from mmdg_lite.results.cells import select
from mmdg_lite.results.tables import AVERAGE, aggregate, display_name, in_order
from mmdg_lite.runs.scores import Scores

__all__ = ["det", "hter_by_target", "risk_coverage_curves", "roc", "save", "score_histogram"]

DET_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)

DrawCurve = Callable[[Axes, str, str], None]
"""Draws the curve of a name in a colour."""


@styled
def roc(curves: Mapping[str, Scores]) -> Figure:
    """ROC curves (FAR against 1 - FRR), one per named list of scores; dots mark equal-error points."""

    def draw(axes: Axes, name: str, colour: str) -> None:
        far, accepted, _ = roc_curve(curves[name].labels, curves[name].scores)
        metrics = curves[name].metrics()
        axes.plot(far, accepted, color=colour, label=f"{name} (AUC {100 * metrics.auc:.1f} %)")
        axes.plot(metrics.eer, 1 - metrics.eer, "o", color=colour)

    chance = ([0.0, 1.0], [0.0, 1.0], "chance")
    auc = {name: 100 * scores.metrics().auc for name, scores in curves.items()}
    figure, grid = _curves(draw, chance, "largest AUC", {name: -value for name, value in auc.items()})
    for axes in grid:
        axes.set(xlabel="FAR: spoof accepted", ylabel="live accepted (1 - FRR)", xlim=(0, 1), ylim=(0, 1.01))
        axes.legend(loc="lower right")
    return figure


@styled
def det(curves: Mapping[str, Scores]) -> Figure:
    """DET curves (FAR against FRR on normal-deviate axes, ISO/IEC 19795-1), one per named list of scores."""
    eer = {name: 100 * scores.metrics().eer for name, scores in curves.items()}

    def draw(axes: Axes, name: str, colour: str) -> None:
        far, frr, _ = det_curve(curves[name].labels, curves[name].scores)
        clip = np.clip(np.stack([far, frr]), 1e-4, 1 - 1e-4)
        axes.plot(*norm.ppf(clip), color=colour, label=f"{name} (EER {eer[name]:.1f} %)")

    low, high = norm.ppf([0.005, 0.9])
    figure, grid = _curves(draw, ([low, high], [low, high], "FAR = FRR"), "lowest EER", eer)
    ticks, labels = norm.ppf(DET_TICKS), [f"{100 * t:g}" for t in DET_TICKS]
    for axes in grid:
        axes.set_xticks(ticks, labels)
        axes.set_yticks(ticks, labels)
        axes.set(xlabel="FAR, %", ylabel="FRR, %", xlim=(low, high), ylim=(low, high))
        axes.legend(loc="best")
    return figure


@styled
def risk_coverage_curves(curves: Mapping[str, Scores], *, thresholds: Mapping[str, float]) -> Figure:
    """Error rate among the most confident decisions against the share that is decided, one curve per named scores.

    `thresholds`: where each decides. Confidence is the distance of a score from it, on the logit scale.
    """
    found = {}
    for name, scores in curves.items():
        accepted = scores.scores >= thresholds[name]
        clip = np.clip([scores.scores, np.full(len(scores), thresholds[name])], 1e-9, 1 - 1e-9)
        confidence = np.abs(logit(clip[0]) - logit(clip[1]))
        found[name] = risk_coverage(accepted == (scores.labels == 1), confidence)

    def draw(axes: Axes, name: str, colour: str) -> None:
        label = f"{name} (area {100 * found[name].area:.1f} %)"
        axes.plot(100 * found[name].coverage, 100 * found[name].risk, color=colour, label=label)

    figure, grid = _curves(draw, None, "smallest area", {name: one.area for name, one in found.items()})
    for axes in grid:
        axes.set(xlabel="coverage: decided, %", ylabel="risk: errors among the decided, %")
        axes.set(xlim=(0, 100), ylim=(0, None))
        axes.legend(loc="best")
    return figure


@styled
def score_histogram(scores: Scores, *, threshold: float | None = None) -> Figure:
    """Histogram of P(live), live faces in black and each species of attack on top, with the threshold.

    The title says how many are accepted there. Without a threshold it is these scores' equal-error one.
    """
    figure = new_figure((6.4, 3.2))
    axes = figure.subplots()
    edges = np.linspace(0, 1, 31)
    names = ["live", *sorted(set(scores.species) - {"live"})]
    kinds = np.asarray(scores.species)
    values = [scores.scores[kinds == name] for name in names]
    shades = ["0.25", *seaborn.color_palette("flare", len(names) - 1)]
    axes.hist(values, bins=list(edges), stacked=True, color=shades, label=[name.replace("_", " ") for name in names])
    at = threshold_at_eer(scores.scores, scores.labels) if threshold is None else threshold
    axes.axvline(at, color="black", linestyle="--", linewidth=1.2, label=f"threshold {at:.2f}")
    live, attacks = (100 * np.mean(scores.scores[scores.labels == label] >= at) for label in (1, 0))
    axes.set(title=f"at the threshold {live:.0f} % of live faces and {attacks:.0f} % of attacks are accepted")
    axes.set(xlabel="score, P(live)", ylabel="faces", xlim=(0, 1))
    axes.legend(ncols=2)
    return figure


@styled
def hter_by_target(frame: pd.DataFrame, *, protocol: str = "P1", metric: str = "hter") -> Figure:
    """A point per method and setting with its 95 % bootstrap interval (hter only), small dots for single seeds.

    `frame`: rows of `results.collect`, of one profile and one kind of data.
    """
    cells = aggregate(frame, protocol)
    cells = cells[cells["metric"] == metric].assign(name=cells["method"].map(display_name))
    columns = [c for c in dict.fromkeys(cells["column"]) if c != AVERAGE] + [AVERAGE]
    seeds = select(frame, protocol)
    seeds = seeds.assign(name=seeds["method"].map(display_name), points=100 * seeds[metric])
    averages = cells[cells["column"] == AVERAGE]
    average = dict(zip(averages["name"], 100 * averages["mean"], strict=True))
    divided = panels([display_name(method) for method in in_order(cells["method"])])
    figure, grid = panel_grid(len(divided), (8.6, 3.2 if len(divided) == 1 else 2.5), columns=1)
    better = "highest" if metric == "auc" else "lowest"
    for axes, (title, names) in zip(grid, divided, strict=True):
        palette, step = colours(names), 0.8 / len(names)
        shown = seeds[seeds["name"].isin(names)]
        seaborn.stripplot(
            shown, x="column", y="points", hue="name", order=columns, hue_order=names, palette=palette, dodge=True,
            jitter=False, size=3, alpha=0.6, legend=False, ax=axes,
        )  # fmt: skip
        for k, name in enumerate(names):
            mine = cells[cells["name"] == name].set_index("column").reindex(columns)
            x = np.arange(len(columns)) + (k - (len(names) - 1) / 2 + 0.28) * step
            mean = 100 * mine["mean"].to_numpy()
            bars = None
            if metric == "hter":
                bars = np.abs(np.stack([mean - 100 * mine["low"], 100 * mine["high"] - mean]))
            marker = "P" if palette[name] == "black" else MARKERS[k % len(MARKERS)]
            axes.errorbar(x, mean, yerr=bars, fmt=marker, color=palette[name], capsize=2, label=name)
        known = sorted((name for name in names if name in average), key=average.__getitem__)
        best = known[-1 if metric == "auc" else 0] if known else ""
        said = f"{best} is {better} on average, {average[best]:.1f} %" if best else ""
        axes.set(title=": ".join(part for part in (title, said) if part), xlabel="", ylim=(0, None))
        axes.set_ylabel(f"{metric.upper().replace('_AT_EER', ' at equal error')}, %")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _curves(
    draw: DrawCurve, diagonal: tuple[list[float], list[float], str] | None, best: str, order: Mapping[str, float]
) -> tuple[Figure, list[Axes]]:
    """Square panels with a curve for each name of `order`; a panel's title names the one whose value is the lowest."""
    divided = panels(order)
    size = 4.6 if len(divided) == 1 else 3.9
    figure, grid = panel_grid(len(divided), (size, size), columns=3)
    for axes, (title, names) in zip(grid, divided, strict=True):
        if diagonal is not None:
            axes.plot(*diagonal[:2], color="0.7", linewidth=1, label=diagonal[2])
        palette = colours(names)
        for name in names:
            draw(axes, name, palette[name])
        said = f"{min(names, key=order.__getitem__)} has the {best}" if len(names) > 1 else ""
        axes.set_title(
            "\n".join(part for part in (title, said) if part), fontsize="medium" if len(grid) == 1 else "small"
        )
    return figure, grid
