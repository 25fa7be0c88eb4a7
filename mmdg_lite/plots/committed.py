"""Figures of the committed results: what notebook 07 shows and figures/ holds."""

from pathlib import Path

import pandas as pd
import seaborn
from matplotlib.figure import Figure

from mmdg_lite.plots.components import effects
from mmdg_lite.plots.curves import det, hter_by_target, risk_coverage_curves, roc, save
from mmdg_lite.plots.deployments import p6_figures
from mmdg_lite.plots.panels import colours
from mmdg_lite.plots.run import learning
from mmdg_lite.plots.style import new_figure, styled
from mmdg_lite.results.collect import collect
from mmdg_lite.results.comparison import curves, one_run, p1_rows, thresholds_by_method
from mmdg_lite.results.components import complete_combinations
from mmdg_lite.results.convergence import trainings
from mmdg_lite.results.deployments import collect_deployments

BY_STEPS = {"EER": "validation EER, %", "cross-entropy": "validation cross-entropy, nats"}


@styled
def by_steps(folder: str | Path, *, faces: int) -> Figure:
    """Lowest validation EER and cross-entropy over the number of steps of trainings on `faces` faces per source.

    A thin line per setting and seed, a thick one for the mean of those that were made with every number of steps.
    """
    table = trainings(folder).query("`faces per source` == @faces")
    table = table.assign(run=table["setting"] + table["seed"].astype(str))
    every, by_method = sorted(set(table["steps"])), table.groupby("method")["steps"].transform("nunique")
    whole = table[table.groupby(["method", "run"])["steps"].transform("nunique") == by_method]
    hues = colours(sorted(set(table["method"])))
    figure = new_figure((7.2, 3.0))
    for axes, (column, label) in zip(figure.subplots(1, 2), BY_STEPS.items(), strict=True):
        look = {"x": "steps", "y": column, "hue": "method", "palette": hues, "ax": axes, "legend": False}
        seaborn.lineplot(table, units="run", estimator=None, linewidth=0.8, alpha=0.5, **look)
        seaborn.lineplot(whole, errorbar=None, marker="o", linewidth=2, **look | {"legend": axes is figure.axes[1]})
        lowest = whole.groupby(["method", "steps"])[column].mean().groupby("method").idxmin()
        axes.set(xlabel="steps", ylabel=label, xscale="log", ylim=(0, None))
        axes.set_title("lowest after " + ", ".join(f"{n} ({m})" for m, n in lowest) + " steps", fontsize="small")
        axes.set_xticks(every, [str(steps) for steps in every])
        axes.minorticks_off()
    axes.legend()
    return figure


def figures(frame: pd.DataFrame, out: str | Path, *, seed: int | None = None, method: str = "mmdg++") -> list[Path]:
    """Write every figure of one profile as SVG: HTER by target on P1; ROC, DET and risk-coverage curves per target;
    training of `method`; effects of the components where all their combinations were run.

    Returns the files written. Equal scores give equal files.
    """
    rows, out = p1_rows(frame), Path(out)
    written = [save(hter_by_target(rows), out / "P1_hter_by_target.svg")]
    written.append(save(hter_by_target(rows, metric="hter_at_eer"), out / "P1_hter_at_eer_by_target.svg"))
    for target in sorted(set(rows["target"])):
        scores = curves(rows, target, seed=seed)
        written.append(save(roc(scores), out / f"P1_roc_{target}.svg"))
        written.append(save(det(scores), out / f"P1_det_{target}.svg"))
        decided = thresholds_by_method(rows, target, seed=seed)
        written.append(save(risk_coverage_curves(scores, thresholds=decided), out / f"P1_risk_coverage_{target}.svg"))
    if method in set(rows["method"]):
        chosen = one_run(rows, method, seed=seed)
        written.append(save(learning(chosen), out / f"P1_training_{method.replace('+', 'p')}.svg"))
    if len(complete_combinations(rows)):
        written.append(save(effects(frame), out / "effects.svg"))
    return written


def every_figure(runs: str | Path, out: str | Path) -> list[Path]:
    """The figures of every profile and kind of data that has runs of P1 below `runs`, a folder each below `out`.

    Those of protocol P6 stand beside the synthetic ones of the same profile.
    """
    written = [
        path
        for (profile, data), rows in collect(runs).groupby(["profile", "data"])
        if len(p1_rows(rows))
        for path in figures(rows, Path(out) / f"{profile}_{data}")
    ]
    return written + [
        path
        for profile, rows in collect_deployments(runs).groupby("profile")
        for path in p6_figures(rows, Path(out) / f"{profile}_synthetic")
    ]
