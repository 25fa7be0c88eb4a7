"""Effects of the components over all their combinations: values by hand, and only where all combinations were run."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mmdg_lite.plots import components as factorial_figures
from mmdg_lite.results.cells import POINTS
from mmdg_lite.results.components import COMPONENTS, all_effects, as_text, complete_combinations, components_of, effect
from mmdg_lite.results.tables import EFFECTS, tables
from mmdg_lite.runs.methods import METHODS

DESIGN = {name: parts for name, method in METHODS.items() if name != "head" and (parts := components_of(method))}


def made_up(*, seeds: int = 2) -> pd.DataFrame:
    """HTER = target's own + 0.02 U - 0.01 ReGrad + 0.03 ADP + 0.04 U ReGrad, and a chance that all methods share."""
    rows = [
        {"profile": "full", "data": "synthetic", "protocol": "P1", "setting": f"->{target}", "target": target}
        | {"missing": "", "method": method, "seed": seed}
        | {"hter": own + 0.001 * seed + 0.02 * u - 0.01 * r + 0.03 * a + 0.04 * u * r, "hter_at_eer": own, "auc": 0.9}
        for target, own in (("W", 0.1), ("C", 0.3), ("P", 0.2))
        for seed in range(seeds)
        for method, (u, r, a) in DESIGN.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("involved", "difference"),
    [
        (("U",), 0.02 + 0.04 / 2),  # ReGrad is there in half of the pairs
        (("ReGrad",), -0.01 + 0.04 / 2),
        (("ADP",), 0.03),
        (("U", "ReGrad"), 0.04 / 2),
        (("U", "ADP"), 0.0),
        (("ReGrad", "ADP"), 0.0),
    ],
)
def test_effects_by_hand(involved: tuple[str, ...], difference: float) -> None:
    c = effect(complete_combinations(made_up()), involved)
    assert c.difference == pytest.approx(difference, abs=1e-12)
    assert (c.low, c.high) == pytest.approx((difference, difference), abs=1e-12)
    assert c.pairs == 6


def test_the_design_has_every_combination_once() -> None:
    assert len(DESIGN) == len(set(DESIGN.values())) == 2 ** len(COMPONENTS)
    assert set(complete_combinations(made_up())["method"]) == set(DESIGN)


def test_only_targets_and_seeds_with_all_combinations_count() -> None:
    frame = made_up()
    lacking = frame[~((frame["method"] == "fusion+prompts") & (frame["target"] == "C") & (frame["seed"] == 1))]
    head = frame.assign(method="head", hter=0.9)
    c = effect(complete_combinations(pd.concat([lacking, head])), ("ADP",))
    assert (c.pairs, c.difference) == (5, pytest.approx(0.03))
    assert not all_effects(frame[frame["method"] != "fusion"])


def test_a_method_of_ones_own_with_the_same_components_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "mine", replace(METHODS["mmdg++"], title="Mine"))
    frame = made_up()
    mine = frame[frame["method"] == "mmdg++"].assign(method="mine", hter=0.9)
    assert as_text(all_effects(pd.concat([frame, mine]))).equals(as_text(all_effects(frame)))


def test_a_row_per_effect_and_metric() -> None:
    table = as_text(all_effects(made_up()))
    assert list(table["protocol"].unique()) == ["P1"]
    assert list(table["metric"].unique()) == ["hter", "hter_at_eer", "auc"]
    names = ["U", "ReGrad", "ADP", "U and ReGrad", "U and ADP", "ReGrad and ADP"]
    assert list(table["effect"][:6]) == names
    assert list(table["difference"][:3]) == ["+4.00", "+1.00", "+3.00"]
    assert list(table["decided"][:3]) == ["x", "x", "x"]
    assert set(table["decided"][6:]) == {""}


def test_tables_hold_them_where_all_combinations_were_run(make_run, tmp_path: Path) -> None:
    for method in DESIGN:
        for setting, target in (("CPS->W", "W"), ("PSW->C", "C")):
            make_run(method=method, setting=setting, targets=target)
    tables(tmp_path / "runs", out=tmp_path / "tables")
    text = (tmp_path / "tables/effects.md").read_text()
    assert "| P1       | hter_at_eer | U and ADP" in text
    assert text.rstrip().endswith(EFFECTS)


def test_the_figure_has_a_point_per_effect_protocol_and_metric() -> None:
    p1 = made_up()
    missing = p1.assign(missing="depth", hter=p1["hter"] + 0.1)
    figure = factorial_figures.effects(pd.concat([p1, missing]))
    for axes, title in zip(figure.axes, POINTS.values(), strict=True):
        assert axes.get_title(loc="left") == title
        assert len(axes.containers) == 2 * 6
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:3] == ["U", "ReGrad", "ADP"]
    points = [container.lines[0].get_xdata()[0] for container in figure.axes[0].containers]
    assert points[:3] == pytest.approx([4, 1, 3])


def test_the_figure_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="no setting and seed has runs of all eight combinations"):
        factorial_figures.effects(made_up().query("method != 'fusion'"))
