"""Figures of the audit: maps with the outline of what was spoilt, and intervals in no modality's colour."""

import matplotlib.colors
import numpy as np
import pandas as pd

from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import Modality
from mmdg_lite.plots.style import COLOURS
from mmdg_lite.studies.audit import figures
from mmdg_lite.studies.regions import spoil

FACES = render("W", 1, 0)
SPOILT = spoil(FACES, Modality.DEPTH, "noise", patch=8, seed=0)


def perfect(faces, modality):
    return {"of the region": SPOILT.share, "none": np.zeros_like(SPOILT.share)}


def test_the_share_of_a_patch_is_that_of_the_region():
    blocks = SPOILT.region[0].reshape(8, 8, 8, 8).mean(axis=(1, 3))
    np.testing.assert_allclose(SPOILT.share[0], blocks.flatten())


def test_maps_have_their_aucs_and_the_outline_of_the_region():
    assert figures.auc_of_doubts(SPOILT, Modality.DEPTH, [perfect]) == {"of the region": 1, "none": 0.5}
    figure = figures.doubt_maps(FACES, SPOILT, Modality.DEPTH, [perfect])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "of the region: 1.00" in titles and "1 - certainty, none: 0.50" in titles
    [axes] = [axes for axes in figure.axes if axes.get_title(loc="left") == "of the region: 1.00"]
    [outline] = axes.collections
    rows, columns = np.nonzero(SPOILT.region[0])
    (left, top), (right, bottom) = (
        outline.get_paths()[0].vertices.min(axis=0),
        outline.get_paths()[0].vertices.max(axis=0),
    )
    np.testing.assert_allclose([left, right, top, bottom], [columns[0], columns[-1], rows[0], rows[-1]], atol=1)


def test_intervals_are_drawn_in_no_modalitys_colour():
    row = {f"{metric}_{part}": value for metric in ("hter", "auc") for part, value in
           (("difference", 1.0), ("low", -1.0), ("high", 3.0))}  # fmt: skip
    figure = figures.ablation_plot(pd.DataFrame([{"what": "D1 alone"} | row, {"what": "D2 alone"} | row]))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["D1 alone", "D2 alone"]
    assert matplotlib.colors.to_rgb(figures.COLOUR) not in {matplotlib.colors.to_rgb(c) for c in COLOURS.values()}
