"""Figures of notebook 09: the ablation of faults, and maps of one spoilt face."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmdg_lite.data.synthetic import Faces
from mmdg_lite.modality import Modality
from mmdg_lite.plots.faces import token_map
from mmdg_lite.plots.style import new_figure, styled
from mmdg_lite.studies.regions import Detector, Spoilt


@styled
def ablation_plot(table: pd.DataFrame) -> Figure:
    """Difference of HTER and AUC from the default, a row per variant of `audit_runs.ablation`, with its interval."""
    figure = new_figure((8.4, 1.3 + 0.4 * len(table)))
    axes = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(table))[::-1]
    for part, metric in zip(axes, ("hter", "auc"), strict=True):
        middle = table[f"{metric}_difference"].to_numpy()
        bars = np.stack([middle - table[f"{metric}_low"], table[f"{metric}_high"] - middle])
        part.errorbar(middle, places, xerr=bars, fmt="o", capsize=3)
        part.axvline(0, color="0.6", linewidth=1)
        part.set(xlabel=f"{metric.upper()} - default's, points")
    axes[0].set_yticks(places, list(table["what"]))
    return figure


@styled
def doubt_maps(clean: Faces, spoilt: Spoilt, modality: Modality, detectors: list[Detector], index: int = 0) -> Figure:
    """One face before and after it was spoilt, and each detector's doubt per patch, each on its own scale."""
    doubts = {name: values for detector in detectors for name, values in detector(spoilt.faces, modality).items()}
    columns = math.ceil((2 + len(doubts)) / 2)
    figure = new_figure((2.5 * columns, 4.6))
    axes = figure.subplots(2, columns).flatten()
    pictures = {"clean": clean, "spoilt": spoilt.faces}
    for part, (title, faces) in zip(axes, pictures.items(), strict=False):
        image = faces[modality.value][index]
        part.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
        part.set_title(f"{modality.title}, {title}")
    for part, (name, values) in zip(axes[2:], doubts.items(), strict=False):
        drawn = part.imshow(token_map(values[index]))
        share = token_map(spoilt.share[index])
        part.contour(share, levels=[0.5], colors="white", linewidths=1.5)
        part.set_title(name if " " in name else f"1 - certainty, {name}")
        figure.colorbar(drawn, ax=part, shrink=0.7)
    for part in axes:
        part.set_axis_off()
    return figure
