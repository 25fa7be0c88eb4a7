"""The picture of one decision: what the model saw, how certain it was where, and what it decided."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from mmdg_lite.inference.predict import Prediction
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.faces import show_image, token_map
from mmdg_lite.plots.style import new_figure, styled

COLUMNS = 96  # characters in a line of notes


@styled
def decision(prediction: Prediction) -> Figure:
    """The triplet as the model saw it above its certainty maps, with score, decision and notes; gaps where a modality
    is missing."""
    lines = [text for note in prediction.notes for text in _wrapped(note.text)]
    maps = prediction.certainty_maps
    rows = 1 if maps is None else 2
    below = 0.17 * len(lines) + 0.1
    figure = new_figure((7.2, 2.6 * rows + 0.7 + below))
    pictures, words = np.asarray(figure.subfigures(2, 1, height_ratios=[2.6 * rows + 0.7, below])).tolist()
    grid = pictures.subplots(rows, 3, squeeze=False)
    drawn = None
    for modality in MODALITIES:
        column = grid[:, modality.index]
        image = prediction.images.get(modality)
        score, certainty = prediction.modality_scores[modality.value], prediction.certainty[modality.value]
        for axes in column:
            axes.set_axis_off()
        if image is None or score is None or certainty is None:
            text = f"{modality.title}: missing"
            column[0].text(0.5, 0.5, text, ha="center", fontsize="small", transform=column[0].transAxes)
            continue
        show_image(column[0], image)
        column[0].set_title(f"{modality.title}: own score {score:.2f}", fontsize="small")
        if maps is None:
            continue
        show_image(column[1], image)
        height, width = image.shape[-2:]
        values = token_map(maps[modality.index])
        drawn = column[1].imshow(values, extent=(-0.5, width - 0.5, height - 0.5, -0.5), alpha=0.65, vmin=0, vmax=1)
        column[1].set_title(f"class token {certainty:.2f}, patches {values.mean():.2f}", fontsize="small")
    if drawn is not None:
        pictures.colorbar(drawn, ax=list(grid[1]), label="certainty", shrink=0.8)
    sign = "≥" if prediction.decision == "live" else "<"
    title = f"{prediction.decision}: score {prediction.score:.3f} {sign} threshold {prediction.threshold:.3f}"
    pictures.suptitle(title, x=0.02, ha="left")
    words.text(0.02, 1.0, "\n".join(lines), va="top", fontsize="x-small")
    return figure


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent="- ", subsequent_indent="  ")
