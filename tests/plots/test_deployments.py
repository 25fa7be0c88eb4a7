"""Figures of protocol P6 draw the numbers that the analysis gives."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from mmdg_lite.plots.deployments import deployment_differences, p6_figures, reliability_curves
from mmdg_lite.plots.style import save
from mmdg_lite.results.deployments import curves, differences, estimates
from tests.support.p6 import p6_frame


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    yield
    assert not plt.get_fignums()


def points(axes) -> dict[float, set[float]]:
    """Places of the dots in a strip plot, by the row they are in."""
    found: dict[float, set[float]] = {}
    for x, y in (xy for collection in axes.collections for xy in np.asarray(collection.get_offsets())):
        found.setdefault(round(float(y)), set()).add(round(float(x), 6))
    return found


def test_each_deployment_has_its_mean_and_its_runs() -> None:
    frame = p6_frame({"mmdg++": -0.02, "fusion": 0.0})
    figure = deployment_differences(frame)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    table = 100 * differences(frame, "mmdg++")
    assert labels == list(table.mean().sort_values().index)
    drawn = points(axes)
    for row, name in enumerate(labels):
        assert {round(value, 6) for value in [*table[name], table[name].mean()]} <= drawn[row]
    (e,) = estimates({("mmdg++", "fusion", "hter"): table / 100})
    assert f"{100 * e.difference:+.1f} points on average" in axes.get_title(loc="left")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "mean over all, 95 % interval",
        "inside of pre-training's ranges",
        "outside of them",
    ]


def test_curves_go_through_the_means() -> None:
    frame = p6_frame({"mmdg++": -0.02, "fusion": 0.0, "head": 0.03})
    figure = reliability_curves(frame, methods=["mmdg++", "head"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "RGB over-exposed and blurred",
        "depth with holes and noise",
        "infrared lamp weak, with noise",
    ]
    means = curves(frame).set_index(["method", "faulty", "severity"])["hter"]
    lines = [tuple(line.get_ydata()) for line in figure.axes[1].lines if len(line.get_xdata()) == 6]
    once = list(dict.fromkeys(lines))  # error bars have a line of their own through the same points
    np.testing.assert_allclose(once, [100 * means[name]["depth"].sort_index() for name in ("mmdg++", "head")])
    assert [text.get_text() for text in figure.axes[-1].get_legend().get_texts()] == ["MMDG++", "Frozen CLIP + head"]


def test_too_many_and_absent_methods_are_refused() -> None:
    frame = p6_frame({"fusion": 0.0})
    with pytest.raises(ValueError, match="at most 5"):
        reliability_curves(frame, methods=["fusion"] * 6)
    with pytest.raises(ValueError, match="mmdg has no reliability curves; there are fusion"):
        reliability_curves(frame, methods=["mmdg"])
    with pytest.raises(ValueError, match="0 runs of P6 in common"):
        deployment_differences(frame)


def test_what_can_be_drawn_is_written(tmp_path) -> None:
    names = [path.name for path in p6_figures(p6_frame({"mmdg++": -0.02, "fusion": 0.0}, seeds=1), tmp_path)]
    assert names == ["P6_differences.svg", "P6_reliability.svg"] == sorted(path.name for path in tmp_path.iterdir())
    assert [path.name for path in p6_figures(p6_frame({"fusion": 0.0}), tmp_path / "one")] == ["P6_reliability.svg"]
    assert p6_figures(p6_frame({}), tmp_path / "none") == []


def test_equal_data_give_equal_files(tmp_path) -> None:
    frame = p6_frame({"mmdg++": -0.02, "fusion": 0.0}, seeds=1)
    for draw in (deployment_differences, reliability_curves):
        first, second = (save(draw(frame), tmp_path / f"{draw.__name__}{k}.svg") for k in range(2))
        assert first.read_bytes() == second.read_bytes()
