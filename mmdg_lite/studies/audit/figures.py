"""Figures of notebook 09: the ablation of faults, and maps of one spoilt face."""

import math

import pandas as pd
import seaborn.objects as so
from matplotlib.figure import Figure

from mmdg_lite.data.synthetic import Faces
from mmdg_lite.modality import Modality
from mmdg_lite.plots.faces import token_map
from mmdg_lite.plots.style import new_figure, styled
from mmdg_lite.studies.regions import Detector, Spoilt, auc_of_region

COLOUR = "0.3"
"""Of faults: no modality's."""


@styled
def ablation_plot(table: pd.DataFrame) -> Figure:
    """Difference of HTER and AUC from the default, a row per variant of `audit_runs.ablation`, with its interval."""
    figure = new_figure((8.4, 1.3 + 0.4 * len(table)))
    for part, metric in zip(figure.subplots(1, 2, sharey=True), ("hter", "auc"), strict=True):
        plot = so.Plot(table, x=f"{metric}_difference", y="what", xmin=f"{metric}_low", xmax=f"{metric}_high").on(part)
        plot.add(so.Dot(color=COLOUR)).add(so.Range(color=COLOUR), orient="y").plot()
        part.axvline(0, color="0.6", linewidth=1)
        part.set(xlabel=f"{metric.upper()} - default's, points", ylabel="")
        part.tick_params(labelleft=metric == "hter")
    return figure


def auc_of_doubts(spoilt: Spoilt, modality: Modality, detectors: list[Detector], index: int = 0) -> dict[str, float]:
    """How well each detector's doubt finds the spoilt patches of one face: AUC by its name, 0.5 is chance."""
    doubts = {name: values for detector in detectors for name, values in detector(spoilt.faces, modality).items()}
    return {name: auc_of_region(values[index], spoilt.share[index]) for name, values in doubts.items()}


@styled
def doubt_maps(clean: Faces, spoilt: Spoilt, modality: Modality, detectors: list[Detector], index: int = 0) -> Figure:
    """One face before and after it was spoilt, and each detector's doubt per patch, each on its own scale, with its
    AUC."""
    doubts = {name: values for detector in detectors for name, values in detector(spoilt.faces, modality).items()}
    columns = math.ceil((2 + len(doubts)) / 2)
    figure = new_figure((2.5 * columns, 4.9))
    axes = figure.subplots(2, columns).flatten()
    pictures = {"clean": clean, "spoilt": spoilt.faces}
    height, width = spoilt.region[index].shape
    for part, (title, faces) in zip(axes, pictures.items(), strict=False):
        image = faces[modality.value][index]
        part.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
        part.set_title(f"{modality.title}, {title}", fontsize="small")
    for part, (name, values) in zip(axes[2:], doubts.items(), strict=False):
        drawn = part.imshow(token_map(values[index]), extent=(0, width, height, 0))
        part.contour(spoilt.region[index], levels=[0.5], colors="white", linewidths=1.5)
        auc = auc_of_region(values[index], spoilt.share[index])
        part.set_title(f"{name if ' ' in name else f'1 - certainty, {name}'}: {auc:.2f}", fontsize="small")
        figure.colorbar(drawn, ax=part, shrink=0.7)
    for part in axes:
        part.set_axis_off()
    figure.suptitle("Which doubt finds the noise inside the line? (AUC; 0.5 is chance)", x=0.01, ha="left")
    return figure
