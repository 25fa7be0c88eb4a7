"""Figures: what is drawn are the numbers given, nothing is shown, and equal data give equal files."""

from dataclasses import dataclass

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from mmdg_lite.plots import curves as plots
from mmdg_lite.plots import faces as pictures
from mmdg_lite.plots.style import COLOURS
from mmdg_lite.results.collect import collect
from mmdg_lite.runs.methods import METHODS
from mmdg_lite.runs.scores import Scores, read_scores


@pytest.fixture(autouse=True)
def _nothing_shown(monkeypatch):
    """No function may show a figure, leave one open or change matplotlib's settings."""
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show was called"))
    before = dict(matplotlib.rcParams)
    yield
    assert not plt.get_fignums()
    assert dict(matplotlib.rcParams) == before


@dataclass(frozen=True)
class MadeUpFaces:
    rgb: np.ndarray
    depth: np.ndarray
    infrared: np.ndarray
    label: np.ndarray
    species: tuple[str, ...]

    def __len__(self):
        return len(self.label)

    def __getitem__(self, name):
        return getattr(self, name)


@pytest.fixture
def faces(rng):
    def image(channels):
        return rng.integers(0, 256, (3, channels, 16, 16), dtype=np.uint8)

    return MadeUpFaces(image(3), image(1), image(1), np.array([1, 0, 0]), ("live", "print", "rigid_mask"))


@pytest.fixture
def scores(make_run):
    return read_scores(make_run(samples=200) / "scores" / "test_W.csv.gz")


def test_roc_draws_the_curve_and_its_area(scores):
    figure = plots.roc({"fusion": scores})
    _, curve, dot = figure.axes[0].lines
    area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
    assert area == pytest.approx(scores.metrics().auc)
    assert f"AUC {100 * area:.1f} %" in curve.get_label()
    assert dot.get_xdata()[0] == pytest.approx(1 - dot.get_ydata()[0])


def test_det_axes_are_normal_deviates(scores):
    axes = plots.det({"fusion": scores}).axes[0]
    labels = dict(zip([t.get_text() for t in axes.get_xticklabels()], axes.get_xticks(), strict=True))
    assert labels["40"] == pytest.approx(-labels["60"])
    assert labels["2"] == pytest.approx(-2.0537, abs=1e-3)
    assert f"EER {100 * scores.metrics().eer:.1f} %" in axes.lines[1].get_label()


def test_risk_coverage_orders_decisions_by_their_distance_from_the_threshold():
    """At 0.5: the surest two are right, the third is wrong, the fourth right."""
    values = np.array([0.99, 0.05, 0.8, 0.45])
    made_up = Scores(ids=("a", "b", "c", "d"), labels=np.array([1, 0, 0, 0]), species=("live", *"ppp"), scores=values)
    axes = plots.risk_coverage_curves({"fusion": made_up}, thresholds={"fusion": 0.5}).axes[0]
    assert axes.lines[0].get_xdata() == pytest.approx([25, 50, 75, 100])
    assert axes.lines[0].get_ydata() == pytest.approx([0, 0, 100 / 3, 25])
    assert "area 14.6 %" in axes.lines[0].get_label()


def test_histogram_holds_every_sample_and_the_threshold(scores):
    axes = plots.score_histogram(scores, threshold=0.4).axes[0]
    tops = [max(p.get_y() + p.get_height() for p in column) for column in zip(*axes.containers, strict=True)]
    assert sum(tops) == len(scores)
    assert axes.lines[0].get_xdata()[0] == 0.4


def test_hter_by_target_draws_means_intervals_and_seeds(make_run, tmp_path):
    for seed in range(2):
        for setting, target in (("CPS->W", "W"), ("CPW->S", "S")):
            make_run(setting=setting, targets=target, seed=seed)
    frame = collect(tmp_path)
    axes = plots.hter_by_target(frame).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["CPS->W", "CPW->S", "Average"]
    points = axes.containers[0].lines[0].get_ydata()
    assert points[0] == pytest.approx(100 * frame[frame["target"] == "W"]["hter"].mean())
    dots = np.concatenate([np.asarray(c.get_offsets())[:, 1] for c in axes.collections if hasattr(c, "get_offsets")])
    assert set(np.round(100 * frame["hter"], 9)) <= set(np.round(dots.astype(float), 9))
    bars = axes.containers[0].lines[2][0].get_segments()
    assert all(bar[0][1] <= point <= bar[1][1] for bar, point in zip(bars, points, strict=True))
    assert axes.get_title(loc="left") == f"Plain fusion is lowest on average, {points[2]:.1f} %"


def test_more_than_five_methods_are_divided_among_panels(make_run, tmp_path):
    for method in ("linear_probe", "head", "fusion", "mmdg++", "mmdg", "fusion+regrad"):
        make_run(method=method)
    figure = plots.hter_by_target(collect(tmp_path))
    shown = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert shown[0] == ["Linear probe (converged)", "Frozen CLIP + head", "Plain fusion", "MMDG", "MMDG++"]
    assert shown[1] == ["Plain fusion", "Fusion + ReGrad", "MMDG++"]
    assert len(shown) == 2 and all(axes.get_visible() for axes in figure.axes)


def test_triplet_and_contact_sheet_show_the_given_pixels(faces):
    figure = pictures.triplet(faces, 1)
    assert figure.get_suptitle() == "spoof: print"
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert np.array_equal(shown[0], np.moveaxis(faces.rgb[1], 0, -1))
    assert np.array_equal(shown[2], faces.infrared[1, 0])
    with pytest.raises(IndexError, match="sample 3 of 3"):
        pictures.triplet(faces, 3)
    sheet = pictures.contact_sheet([("synthetic W", faces), ("synthetic S", faces)], columns=4)
    assert sum(len(axes.images) for axes in sheet.axes) == 2 * 3 * 3
    assert np.array_equal(sheet.axes[4].images[0].get_array(), faces.depth[0, 0])
    alone = pictures.contact_sheet([("", faces)], columns=2)
    assert alone.axes[0].texts[0].get_text() == "RGB"
    assert not any("_" in axes.get_title(loc="center") for axes in alone.axes)
    with pytest.raises(ValueError, match="at least one row"):
        pictures.contact_sheet([])


@pytest.mark.parametrize("class_token", [False, True])
def test_certainty_maps_lie_over_their_images(faces, class_token):
    values = np.linspace(0, 1, 16)
    tokens = np.stack([np.concatenate([[9.0], values]) if class_token else values] * 3)
    figure = pictures.certainty_maps([faces.rgb[0], faces.depth[0], faces.infrared[0]], tokens)
    overlay = figure.axes[3].images[1]
    assert np.array_equal(overlay.get_array(), values.reshape(4, 4))
    assert list(overlay.get_extent()) == [-0.5, 15.5, 15.5, -0.5]
    assert figure.axes[3].get_title(loc="left") == "mean 0.50"


def test_certainty_that_fits_no_square_is_refused(faces):
    with pytest.raises(ValueError, match="12 tokens"):
        pictures.token_map(np.zeros(12))
    with pytest.raises(ValueError, match="1 images and 2 certainty maps"):
        pictures.certainty_maps([faces.rgb[0]], np.zeros((2, 16)))


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_equal_data_give_equal_files(scores, tmp_path, ending):
    first = plots.save(plots.roc({"fusion": scores}), tmp_path / f"1.{ending}").read_bytes()
    assert first == plots.save(plots.roc({"fusion": scores}), tmp_path / f"2.{ending}").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("draw", [plots.roc, plots.det])
def test_every_curve_is_in_a_panel_of_at_most_five(draw, scores) -> None:
    names = [method.title for method in METHODS.values()]
    figure = draw(dict.fromkeys(names, scores))
    drawn = []
    for axes in figure.axes:
        mine = [line for line in axes.lines if "(" in line.get_label()]
        assert 1 < len(mine) <= 5
        assert len({line.get_color() for line in mine}) == len(mine)
        assert not {to_hex(line.get_color()).upper() for line in mine} & set(COLOURS.values())
        drawn += [line.get_label().rsplit(" (", 1)[0] for line in mine]
    assert set(drawn) == set(names)
