"""Figures of notebook 09: the ablation of faults, who finds spoilt regions, and maps of one spoilt face."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmdg_lite.data.synthetic import Faces
from mmdg_lite.modality import MODALITIES, Modality
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
def region_plot(frame: pd.DataFrame, order: dict[str, str]) -> Figure:
    """AUC for spoilt patches, a column per kind of corruption and a dot per modality.

    `frame`: rows of `uncertainty_study.regions`. `order`: (model, detector) joined by "/" to the name to print.
    """
    kinds = list(dict.fromkeys(frame["corruption"]))
    figure = new_figure((9.2, 0.9 + 0.42 * len(order)))
    axes = figure.subplots(1, len(kinds), sharey=True)
    names = frame["model"] + "/" + frame["detector"]
    for part, kind in zip(axes, kinds, strict=True):
        part.axvline(0.5, color="0.6", linewidth=1)
        for modality, marker, colour in zip(MODALITIES, "osD", ("#D55E00", "#0072B2", "#009E73"), strict=True):
            chosen = (frame["corruption"] == kind) & (frame["modality"] == modality.value)
            values = frame[chosen].set_index(names[chosen])["auc"].reindex(list(order))
            part.plot(values, np.arange(len(order))[::-1], marker, color=colour, label=modality.title)
        part.set(title=kind, xlim=(0, 1.03), xticks=(0, 0.5, 1))
    axes[0].set_yticks(np.arange(len(order))[::-1], list(order.values()))
    axes[len(kinds) // 2].set_xlabel("AUC, spoilt patches against untouched ones (0.5: chance)")
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def doubt_maps(clean: Faces, spoilt: Spoilt, modality: Modality, detectors: list[Detector], index: int = 0) -> Figure:
    """One face before and after it was spoilt, and each detector's doubt per patch, each on its own scale."""
    doubts = {name: values for detector in detectors for name, values in detector(spoilt.faces, modality).items()}
    figure = new_figure((2.1 * (2 + len(doubts)), 2.4))
    axes = figure.subplots(1, 2 + len(doubts))
    pictures = {"clean": clean, "spoilt": spoilt.faces}
    for part, (title, faces) in zip(axes, pictures.items(), strict=False):
        image = faces[modality.value][index]
        part.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
        part.set_title(f"{modality.title}, {title}")
    for part, (name, values) in zip(axes[2:], doubts.items(), strict=True):
        drawn = part.imshow(token_map(values[index]))
        share = token_map(spoilt.share[index])
        part.contour(share, levels=[0.5], colors="white", linewidths=1.5)
        part.set_title(name if " " in name else f"1 - certainty, {name}", fontsize="small")
        figure.colorbar(drawn, ax=part, shrink=0.7)
    for part in axes:
        part.set_axis_off()
    return figure
