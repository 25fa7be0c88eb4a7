"""Figures of numbers: error curves, HTER by target, training. Each function takes data and returns a matplotlib
Figure.

None of them shows or keeps the figure: a notebook displays what a function returns, `save` writes it reproducibly.
Pictures of faces are in `pictures`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import det_curve, roc_curve

from mmdg_lite.metrics import threshold_at_eer
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.style import COLOURS, LINES, new_figure, save, styled
from mmdg_lite.results.calibration import risk_coverage
from mmdg_lite.results.tables import AVERAGE, aggregate, display_name, in_order
from mmdg_lite.runs.scores import Scores

__all__ = ["det", "hter_by_target", "risk_coverage_curves", "roc", "save", "score_histogram", "training_balance"]

MARKERS = "osD^vP*X<>ph"
FEW = 5
"""Lines of a legend that fits inside the axes."""
LEGEND = 2.4
"""Width of a longer one beside them, in inches."""
DET_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@styled
def roc(curves: Mapping[str, Scores]) -> Figure:
    """ROC curves (FAR against 1 - FRR), one per named list of scores; dots mark equal-error points."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="chance")
    for (name, scores), dashes in zip(curves.items(), _dashes(), strict=False):
        far, accepted, _ = roc_curve(scores.labels, scores.scores)
        metrics = scores.metrics()
        (line,) = axes.plot(far, accepted, dashes, label=f"{name} (AUC {100 * metrics.auc:.1f} %)")
        axes.plot(metrics.eer, 1 - metrics.eer, "o", color=line.get_color())
    axes.set(xlabel="FAR: spoof accepted", ylabel="live accepted (1 - FRR)", xlim=(0, 1), ylim=(0, 1.01))
    _legend(axes, "lower right")
    return figure


@styled
def det(curves: Mapping[str, Scores]) -> Figure:
    """DET curves (FAR against FRR on normal-deviate axes, ISO/IEC 19795-1), one per named list of scores."""
    figure, axes = _square()
    low, high = norm.ppf([0.005, 0.9])
    axes.plot([low, high], [low, high], color="0.7", linewidth=1, label="FAR = FRR")
    for (name, scores), dashes in zip(curves.items(), _dashes(), strict=False):
        far, frr, _ = det_curve(scores.labels, scores.scores)
        clip = np.clip(np.stack([far, frr]), 1e-4, 1 - 1e-4)
        axes.plot(*norm.ppf(clip), dashes, label=f"{name} (EER {100 * scores.metrics().eer:.1f} %)")
    ticks = norm.ppf(DET_TICKS)
    axes.set_xticks(ticks, [f"{100 * t:g}" for t in DET_TICKS])
    axes.set_yticks(ticks, [f"{100 * t:g}" for t in DET_TICKS])
    axes.set(xlabel="FAR, %", ylabel="FRR, %", xlim=(low, high), ylim=(low, high))
    _legend(axes, "best")
    return figure


@styled
def risk_coverage_curves(curves: Mapping[str, Scores], *, thresholds: Mapping[str, float]) -> Figure:
    """Error rate among the most confident decisions against the share that is decided, one curve per named scores.

    `thresholds`: where each decides. Confidence is the distance of a score from it, on the logit scale.
    """
    figure, axes = _square()
    for (name, scores), dashes in zip(curves.items(), _dashes(), strict=False):
        accepted = scores.scores >= thresholds[name]
        clip = np.clip([scores.scores, np.full(len(scores), thresholds[name])], 1e-9, 1 - 1e-9)
        confidence = np.abs(logit(clip[0]) - logit(clip[1]))
        found = risk_coverage(accepted == (scores.labels == 1), confidence)
        axes.plot(100 * found.coverage, 100 * found.risk, dashes, label=f"{name} (area {100 * found.area:.1f} %)")
    axes.set(xlabel="coverage: decided, %", ylabel="risk: errors among the decided, %", xlim=(0, 100), ylim=(0, None))
    _legend(axes, "best")
    return figure


@styled
def score_histogram(scores: Scores, *, threshold: float | None = None) -> Figure:
    """Histogram of P(live) for live faces and each species, with the threshold (default: these scores' equal-error
    one)."""
    figure = new_figure((6.4, 3.2))
    axes = figure.subplots()
    edges = np.linspace(0, 1, 31)
    names = ["live", *sorted(set(scores.species) - {"live"})]
    kinds = np.asarray(scores.species)
    values = [scores.scores[kinds == name] for name in names]
    axes.hist(values, bins=list(edges), stacked=True, label=names)
    at = threshold_at_eer(scores.scores, scores.labels) if threshold is None else threshold
    axes.axvline(at, color="black", linewidth=1, label=f"threshold {at:.2f}")
    axes.set(xlabel="score, P(live)", ylabel="samples", xlim=(0, 1))
    axes.legend(ncols=2)
    return figure


@styled
def hter_by_target(frame: pd.DataFrame, *, protocol: str = "P1", metric: str = "hter") -> Figure:
    """A point per method and setting with its 95 % bootstrap interval (hter only), small dots for single seeds.

    `frame`: rows of `results.collect`, of one profile and one kind of data.
    """
    cells = aggregate(frame, protocol)
    cells = cells[cells["metric"] == metric]
    columns = [c for c in dict.fromkeys(cells["column"]) if c != AVERAGE] + [AVERAGE]
    methods = in_order(cells["method"])
    figure = new_figure((1.6 + max(1.4, 0.15 * len(methods)) * len(columns), 3.6))
    axes = figure.subplots()
    step = 0.8 / len(methods)
    for k, method in enumerate(methods):
        mine = cells[cells["method"] == method].set_index("column").reindex(columns)
        x = np.arange(len(columns)) + (k - (len(methods) - 1) / 2) * step
        mean = 100 * mine["mean"].to_numpy()
        bars = None
        if metric == "hter":
            bars = np.abs(np.stack([mean - 100 * mine["low"], 100 * mine["high"] - mean]))
        axes.errorbar(x, mean, yerr=bars, fmt=MARKERS[k % len(MARKERS)], capsize=2, label=display_name(method))
        seeds = frame[(frame["method"] == method) & (frame["protocol"] == protocol)]
        _seed_dots(axes, seeds, columns, x + 0.4 * step, metric)
    axes.set_xticks(range(len(columns)), columns)
    axes.set(ylabel=f"{metric.upper().replace('_AT_EER', ' at equal error')}, %", ylim=(0, None))
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def training_balance(history: pd.DataFrame, *, validation: pd.DataFrame | None = None) -> Figure:
    """How the modalities train beside each other: losses, which is fastest, certainty, gradient conflicts.

    `history`: train lines of a run (`results.read_history`). Panels whose columns a method does not log are left
    out. `validation`: its validation lines, whose hter (where logged) is added to a panel of its own.
    """
    panels: list[tuple[str, Callable[[Axes], None]]] = [("loss, nats", lambda a: _per_modality(a, history, "loss_"))]
    if _has(history, "certainty_"):
        panels.append(("mean certainty", lambda a: _per_modality(a, history, "certainty_")))
    if _has(history, "gradient_norm_"):
        panels.append(("gradient norm", lambda a: _per_modality(a, history, "gradient_norm_", log=True)))
    if _known(history, "fastest"):
        panels.append(("share of steps as the fastest", lambda a: _fastest(a, history)))
    if _known(history, "conflict_rate"):
        panels.append(("conflicting gradients, share", lambda a: _line(a, history, "conflict_rate")))
    if validation is not None and _known(validation, "eer"):
        panels.append(("validation EER", lambda a: _line(a, validation, "eer", smooth=1)))
    figure = new_figure((3.4 * min(3, len(panels)), 2.7 * -(-len(panels) // 3)))
    grid = figure.subplots(-(-len(panels) // 3), min(3, len(panels)), squeeze=False)
    for axes, (title, draw) in zip(grid.flat, panels, strict=False):
        draw(axes)
        axes.set(title=title, xlabel="step")
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


def _dashes() -> Iterator[str]:
    """Line styles for curve after curve: dashed while the style's colours are used for the second time."""
    colours = len(rcParams["axes.prop_cycle"])
    return cycle([*["-"] * colours, *["--"] * colours])


def _legend(axes: Axes, inside: Literal["lower right", "best"]) -> None:
    """A legend inside the axes, or beside them, in a wider figure, where its many lines would cover the curves."""
    if len(axes.get_legend_handles_labels()[0]) > FEW:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        figure = axes.get_figure(root=True)
        assert figure is not None
        width, height = figure.get_size_inches()
        figure.set_size_inches(width + LEGEND, height)
    else:
        axes.legend(loc=inside)


def _square() -> tuple[Figure, Axes]:
    figure = new_figure((4.6, 4.4))
    return figure, figure.subplots()


def _seed_dots(axes: Axes, rows: pd.DataFrame, columns: Sequence[str], x: np.ndarray, metric: str) -> None:
    for place, column in zip(x, columns, strict=True):
        values = 100 * rows[(rows["setting"] == column) & (rows["missing"] == "")][metric].to_numpy()
        axes.plot(np.full(len(values), place), values, ".", color="0.35", markersize=3)


def _known(history: pd.DataFrame, column: str) -> bool:
    return column in history and bool(history[column].notna().any())


def _has(history: pd.DataFrame, prefix: str) -> bool:
    return any(_known(history, f"{prefix}{m.value}") for m in MODALITIES)


def _per_modality(axes: Axes, history: pd.DataFrame, prefix: str, *, log: bool = False) -> None:
    for name in (m.value for m in MODALITIES):
        if _known(history, f"{prefix}{name}"):
            values = _smoothed(history[f"{prefix}{name}"])
            axes.plot(history["step"], values, LINES[name], color=COLOURS[name], label=Modality(name).title)
    if f"{prefix}total" in history:
        axes.plot(history["step"], _smoothed(history[f"{prefix}total"]), color="black", linewidth=1, label="head")
    if log:
        axes.set_yscale("log")


def _line(axes: Axes, history: pd.DataFrame, column: str, *, smooth: int | None = None) -> None:
    axes.plot(history["step"], _smoothed(history[column], smooth), color="black", marker="." if smooth == 1 else "")
    axes.set_ylim(0, 1.08 * history[column].max() or 1)


def _fastest(axes: Axes, history: pd.DataFrame) -> None:
    for name in (m.value for m in MODALITIES):
        share = (history["fastest"] == name).astype(float)
        axes.plot(history["step"], _smoothed(share), LINES[name], color=COLOURS[name], label=Modality(name).title)
    axes.set_ylim(-0.02, 1.02)


def _smoothed(values: pd.Series, window: int | None = None) -> pd.Series:
    """Running mean over a fortieth of the curve: single steps of a small batch hide the trend."""
    return values.rolling(window or max(1, len(values) // 40), min_periods=1).mean()
