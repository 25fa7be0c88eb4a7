"""What each modality adds to the AUC of the shipped model: per synthetic domain, and while one sensor is degraded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.renderer.domains import domain_named
from mmdg_lite.data.synthetic import render
from mmdg_lite.metrics import bootstrap_interval
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.style import COLOURS, LINES, new_figure, styled
from mmdg_lite.studies.quickstart import Quickstart
from mmdg_lite.studies.shapley import (
    COALITIONS,
    Coalition,
    auc_shapley,
    auc_values,
    bootstrap,
    coalition_scores,
)
from mmdg_lite.training.evaluation import model_scorer

WORST: dict[Modality, dict[str, float]] = {
    Modality.RGB: {"rgb_exposure": 0.3, "rgb_blur": 8.0},
    Modality.DEPTH: {"depth_holes": 0.7, "depth_noise": 3.0},
    Modality.INFRARED: {"infrared_exposure": 0.25, "infrared_noise": 0.3},
}
"""A sensor that is nearly useless, by the names of its knobs: close to the ends of the sliders."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Scores of n faces by every coalition."""

    scores: dict[Coalition, NDArray[np.float64]]  # n each
    labels: NDArray[np.int64]  # n

    def shapley(self, *, rounds: int, rng: np.random.Generator) -> pd.DataFrame:
        """A row per modality: its Shapley value for the AUC, with a 95 % bootstrap interval over faces; fractions.

        Columns: modality, value, low and high; `auc` of all three modalities, the same in every row, with its own
        interval, `auc_low` and `auc_high`.
        """
        values = auc_shapley(self.scores, self.labels)
        low, high = bootstrap(auc_shapley, self.scores, self.labels, rounds=rounds, rng=rng)
        names = [m.value for m in MODALITIES]
        frame = pd.DataFrame({"modality": names, "value": values, "low": low, "high": high})
        whole = self.scores[frozenset(MODALITIES)]
        auc_low, auc_high = bootstrap_interval(whole, self.labels, metric="auc")
        auc = auc_values(self.scores, self.labels)[frozenset(MODALITIES)]
        return frame.assign(auc=auc, auc_low=auc_low, auc_high=auc_high)


def measure(
    shipped: Quickstart,
    domain: str,
    n: int,
    seed: int,
    *,
    knobs: Mapping[str, float] | None = None,
    coalitions: Sequence[Coalition] = COALITIONS,
) -> Measured:
    """n faces of free subjects of a domain, its sensors turned, scored by coalitions of modalities, by default all."""
    faces = render(domain, n, seed, knobs=knobs)
    samples = ArrayDataset.from_faces(faces, domain=domain, split="free").read(np.arange(n))
    scores = coalition_scores(
        model_scorer(shipped.model, shipped.device), samples, coalitions=coalitions, progress=False
    )
    return Measured(scores=scores, labels=faces.label)


def degraded(domain: str, sensor: Modality, severity: float) -> dict[str, float]:
    """Knobs of one sensor between the domain's own settings (severity 0) and `WORST` (1)."""
    own = domain_named(domain).sensors
    return {knob: (1 - severity) * getattr(own, knob) + severity * worst for knob, worst in WORST[sensor].items()}


def per_domain(measured: Mapping[str, Measured], *, rounds: int, seed: int) -> pd.DataFrame:
    """Shapley values of every measured domain: a column domain, and those of `Measured.shapley`."""
    parts = [
        m.shapley(rounds=rounds, rng=np.random.default_rng([seed, number])).assign(domain=letter)
        for number, (letter, m) in enumerate(measured.items())
    ]
    return pd.concat(parts, ignore_index=True)


def under_degradation(
    shipped: Quickstart,
    domain: str,
    own: Measured,
    *,
    seed: int,
    severities: Sequence[float],
    rounds: int,
) -> pd.DataFrame:
    """Shapley values while one sensor at a time is degraded: columns sensor, severity, and those of `Measured.shapley`.

    `own`: what `measure` gives for the domain's own sensors and the same seed; it is severity 0 of every curve.
    """
    parts = []
    for sensor in MODALITIES:
        for severity in severities:
            knobs = degraded(domain, sensor, severity)
            found = own
            if severity > 0:  # a coalition without the sensor does not see its faults
                seen = [coalition for coalition in COALITIONS if sensor in coalition]
                part = measure(shipped, domain, len(own.labels), seed, knobs=knobs, coalitions=seen)
                found = Measured(scores={**own.scores, **part.scores}, labels=own.labels)
            values = found.shapley(rounds=rounds, rng=np.random.default_rng([seed, 99]))
            parts.append(values.assign(sensor=sensor.value, severity=severity))
    return pd.concat(parts, ignore_index=True)


def owed_most(frame: pd.DataFrame, by: str) -> dict[str, str]:
    """The modality with the highest Shapley value, by its printed name, for every value of a column of `frame`."""
    tops = frame.loc[frame.groupby(by, sort=False)["value"].idxmax()]
    return {str(of): Modality(m).title for of, m in zip(tops[by], tops["modality"], strict=True)}


@styled
def domain_bars(frame: pd.DataFrame, *, unseen: str) -> Figure:
    """Shapley values for the AUC per domain (what `per_domain` gives), with intervals; titled by who is owed most."""
    letters = list(dict.fromkeys(frame["domain"]))
    shown = frame.assign(percent=100 * frame["value"], who=frame["modality"].map(lambda m: Modality(m).title))
    figure = new_figure((7.2, 3.0))
    axes = figure.subplots()
    palette = {m.title: COLOURS[m.value] for m in MODALITIES}
    seaborn.barplot(shown, x="domain", y="percent", hue="who", order=letters, palette=palette, saturation=1, ax=axes)
    for m, bars, hatch in zip(MODALITIES, axes.containers, ("", "//", ".."), strict=True):
        rows = frame[frame["modality"] == m.value].set_index("domain").loc[letters]
        for bar, low, high in zip(bars, rows["low"], rows["high"], strict=True):
            bar.set(hatch=hatch, edgecolor="white")
            axes.vlines(bar.get_x() + bar.get_width() / 2, 100 * low, 100 * high, color="black", linewidth=1)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(letters)), [f"{c}, unseen" if c == unseen else f"{c}, a source" for c in letters])
    axes.set(xlabel="domain", ylabel="Shapley value for AUC,\npercentage points")
    most = owed_most(frame, "domain")
    same = len(set(most.values())) == 1
    said = f"{most[letters[0]]} on every domain" if same else ", ".join(f"{who} on {d}" for d, who in most.items())
    axes.set_title(f"Who is owed most: {said}")
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def degradation_curves(frame: pd.DataFrame) -> Figure:
    """Shapley values for the AUC over the severity of one sensor's faults (what `under_degradation` gives).

    Each panel's title says who is owed most at the least and at the greatest severity.
    """
    sensors = list(dict.fromkeys(frame["sensor"]))
    figure = new_figure((3.1 * len(sensors) + 1, 3.0))
    grid = figure.subplots(1, len(sensors), sharey=True, squeeze=False)[0]
    for axes, sensor in zip(grid, sensors, strict=True):
        shown = frame[frame["sensor"] == sensor]
        for m in MODALITIES:
            rows = shown[shown["modality"] == m.value]
            x, middle, low, high = (rows[c].to_numpy() for c in ("severity", "value", "low", "high"))
            axes.fill_between(x, 100 * low, 100 * high, color=COLOURS[m.value], alpha=0.15, linewidth=0)
            axes.plot(x, 100 * middle, LINES[m.value], marker=".", color=COLOURS[m.value], label=m.title)
        most = owed_most(shown, "severity")
        first, *_, last = most.values()
        said = f"{first} stays owed most" if first == last else f"owed most: {first}, then {last}"
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_title(f"{Modality(sensor).title} degraded:\n{said}")
        axes.set_xlabel("severity (0: the domain's own sensor, 1: worst)", fontsize="small")
    grid[0].set_ylabel("Shapley value for AUC,\npercentage points")
    grid[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
