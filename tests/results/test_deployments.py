"""Protocol P6 analysed: hand-computed differences and spreads, coverage on made-up data, and what cannot change."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from mmdg_lite.data.deployments import deployments
from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.results import deployments as p6
from mmdg_lite.results.deployment_claims import (
    UNRELIABLE,
    WHOLE,
    contrasts_table,
    deployment_contrasts,
    deployment_facts,
    deployment_findings,
    verdict,
    verdicts_table,
)
from mmdg_lite.runs.methods import METHODS
from mmdg_lite.runs.scores import Scores, read_scores, write_scores
from tests.support.p6 import SETTINGS, p6_frame, p6_lists_of

TABLE = np.array([[0.01, 0.03, 0.02], [-0.01, 0.00, 0.04]])  # 2 runs x 3 deployments


# --- reading ---------------------------------------------------------------------------------------------------------


def test_rates_are_those_of_the_metrics(rng) -> None:
    labels = rng.integers(0, 2, 60)
    scores = Scores(
        ids=tuple(map(str, range(60))),
        labels=labels,
        species=tuple(np.where(labels == 1, "live", "print").tolist()),
        scores=np.round(rng.random(60), 1),  # many ties
    )
    found, full = p6.hter_and_auc(scores, 0.5), evaluate_scores(scores.scores, labels, threshold=0.5)
    assert found == pytest.approx({"hter": full.hter, "auc": full.auc})


@pytest.mark.parametrize("label, named", [(1, "3 samples are live"), (0, "3 samples are spoof")])
def test_one_class_has_no_rates(label, named) -> None:
    species = ("live" if label else "print",) * 3
    scores = Scores(ids=("a", "b", "c"), labels=np.full(3, label), species=species, scores=np.array([0.1, 0.2, 0.3]))
    with pytest.raises(ValueError, match=named):
        p6.hter_and_auc(scores, 0.5)


def test_every_list_of_p6_is_read_and_severity_0_is_the_test_list_on_the_same_faces(make_run) -> None:
    run = p6_lists_of(make_run(samples=60), faces=20)
    make_run(method="head")  # was not tested on P6
    frame = p6.collect_deployments(run.parent)
    assert list(frame.columns) == p6.COLUMNS and set(frame["method"]) == {"fusion"}
    on = p6.on_deployments(frame)
    assert list(on["deployment"]) == [deployment.name for deployment in deployments()]
    assert list(on["inside"]) == [deployment.inside for deployment in deployments()]
    points = frame[frame["faulty"] != ""]
    assert len(points) == 3 * 6 and set(points["severity"]) == {0, 1, 2, 3, 4, 5}
    threshold = float(evaluate_scores(*_of(run, "validation")).threshold)
    scores, labels = _of(run, "test_W")
    expected = evaluate_scores(scores[:20], labels[:20], threshold=threshold).hter
    assert points.query("severity == 0")["hter"].tolist() == pytest.approx([expected] * 3)


def _of(run: Path, name: str):
    read = read_scores(run / "scores" / f"{name}.csv.gz")
    return read.scores, read.labels


def test_runs_without_p6_give_no_rows_and_unknown_deployments_are_named(make_run) -> None:
    run = make_run()
    assert p6.collect_deployments(run.parent).empty
    scores = read_scores(run / "scores" / "test_W.csv.gz")
    write_scores(run / "scores" / "test_P6_d99.csv.gz", scores.ids, scores.labels, scores.species, scores.scores)
    with pytest.raises(ValueError, match="test_P6_d99 is of no frozen deployment"):
        p6.collect_deployments(run.parent)


# --- differences -----------------------------------------------------------------------------------------------------


def rows(method: str, values: dict[tuple[str, int], list[float]], **more: object) -> list[dict[str, object]]:
    plain = {"profile": "full", "inside": True, "target": "P6", "faulty": "", "severity": 0, "auc": 0.5}
    return [
        plain | {"method": method, "setting": setting, "seed": seed, "deployment": f"d{k:02d}", "hter": value} | more
        for (setting, seed), of_run in values.items()
        for k, value in enumerate(of_run)
    ]


def test_runs_are_paired_by_setting_and_seed() -> None:
    frame = pd.DataFrame(
        rows("mmdg++", {("a", 0): [0.2, 0.3], ("a", 1): [0.1, 0.1], ("b", 0): [0.5, 0.5]})
        + rows("fusion", {("a", 1): [0.3, 0.2], ("a", 0): [0.25, 0.25], ("c", 0): [0.1, 0.1]})
    )
    table = p6.differences(frame, "mmdg++")
    assert list(table.index) == [("a", 0), ("a", 1)] and list(table.columns) == ["d00", "d01"]
    np.testing.assert_allclose(table, [[-0.05, 0.05], [-0.2, -0.1]])
    assert p6.differences(frame, "mmdg++", "head").empty
    both = pd.concat([frame, frame.assign(profile="quick")])
    with pytest.raises(ValueError, match="one profile at a time"):
        p6.differences(both, "mmdg++")


def test_a_missing_list_is_named() -> None:
    frame = pd.DataFrame(rows("mmdg++", {("a", 0): [0.2, 0.3]}) + rows("fusion", {("a", 0): [0.2]}))
    with pytest.raises(ValueError, match=r"a, seed 0: mmdg\+\+ and fusion were not tested on the same lists"):
        p6.differences(frame, "mmdg++")


def test_a_rise_is_the_error_with_a_fault_minus_that_without() -> None:
    def curve(method: str, values: list[float]) -> list[dict[str, object]]:
        return [
            row
            for severity, value in enumerate(values)
            for row in rows(method, {("a", 0): [value]}, deployment="", faulty="depth", severity=severity, target="W")
        ]

    frame = pd.DataFrame(curve("mmdg++", [0.1, 0.2, 0.4]) + curve("fusion", [0.2, 0.2, 0.3]))
    np.testing.assert_allclose(p6.rises(frame, "mmdg++"), [[0.1 - 0.0, 0.3 - 0.1]])
    means = p6.curves(frame).set_index(["method", "faulty", "severity"])["hter"]
    assert means["mmdg++", "depth", 2] == pytest.approx(0.4)


# --- spread and half-width -------------------------------------------------------------------------------------------


def test_the_spread_is_that_of_two_way_analysis_by_hand() -> None:
    # means of rows 0.02 and 0.01, of columns 0, 0.015, 0.03, of all 0.015;
    # residuals: row 1: 0.005, 0.01, -0.015; row 2: the same with the other sign
    rest = 2 * (0.005**2 + 0.01**2 + 0.015**2) / (1 * 2)  # 3.5e-4
    of_runs = 2 * 0.005**2 - rest / 3  # 5e-5 - 1.17e-4: below zero, hence zero
    of_units = (0.015**2 + 0 + 0.015**2) / 2 - rest / 2  # 2.25e-4 - 1.75e-4
    found = p6.spread(TABLE)
    assert of_runs < 0 and found.runs == 0
    assert found.rest == pytest.approx(rest**0.5) and found.units == pytest.approx(of_units**0.5)
    assert found.error(2, 3) == pytest.approx((of_units / 3 + rest / 6) ** 0.5)


def test_the_half_width_by_hand() -> None:
    rest, of_units = 3.5e-4, 5e-5
    parts = np.array([rest / 3 / 2, (of_units + rest / 2) / 3])
    freedom = parts.sum() ** 2 / (parts[0] ** 2 / 1 + parts[1] ** 2 / 2)
    expected = (of_units / 3 + rest / 6) ** 0.5 * t.ppf(0.975, freedom)
    assert p6.half_width(TABLE) == pytest.approx(expected)


@given(shift=st.floats(-1, 1), seed=st.integers(0, 50))
def test_no_effect_can_be_read_from_the_half_width(shift, seed) -> None:
    table = np.random.default_rng(seed).normal(0, 0.02, (6, 8))
    assert p6.half_width(table + shift) == pytest.approx(p6.half_width(table), rel=1e-6)
    assert p6.seeds_needed(table + shift, settings=2) == p6.seeds_needed(table, settings=2)


def test_more_runs_narrow_what_is_chance_of_runs_and_more_contrasts_widen() -> None:
    table = np.random.default_rng(1).normal(0, 0.025, (12, 1)) + np.random.default_rng(2).normal(0, 0.005, (12, 24))
    widths = [p6.half_width(table, runs=4 * seeds) for seeds in range(1, 9)]
    assert widths == sorted(widths, reverse=True) and widths[0] > 2 * widths[-1]
    assert p6.half_width(table) == widths[2] < p6.half_width(table, contrasts=10)
    needed = p6.seeds_needed(table, settings=4, goal=widths[4])
    assert needed == 5 and p6.seeds_needed(table, settings=4, goal=widths[-1] / 2) is None


def test_one_run_or_one_deployment_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least 2 runs x 2 deployments, got 1 x 3"):
        p6.spread(TABLE[:1])


# --- intervals -------------------------------------------------------------------------------------------------------


def made_up(rng: np.random.Generator, effect: float, *, of_runs: float, of_units: float, rest: float, shape=(12, 24)):
    runs, units = rng.normal(0, of_runs, (shape[0], 1)), rng.normal(0, of_units, shape[1])
    return effect + runs + units + rng.normal(0, rest, shape)


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    rows, columns = (rng.multinomial(n - 1, np.full(n, 1 / n), size=50) for n in TABLE.shape)
    means = []
    for mine, theirs in zip(rows, columns, strict=True):
        drawn = [TABLE[i, k] for i in np.repeat([0, 1], mine) for k in np.repeat([0, 1, 2], theirs)]
        means.append(np.mean(drawn))
    assert p6.bootstrap_error(TABLE, samples=50, seed=0) == pytest.approx(np.std(means, ddof=1))


def test_where_runs_alone_differ_the_bootstrap_gives_the_standard_error_of_their_means() -> None:
    of_runs = np.random.default_rng(3).normal(0, 0.02, (10, 1))
    expected = of_runs.std(ddof=1) / np.sqrt(10)
    assert p6.bootstrap_error(np.tile(of_runs, 24), samples=20_000) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("of_runs, of_units, rest", [(0.025, 0.01, 0.03), (0.005, 0.02, 0.03), (0.02, 0.0, 0.01)])
def test_intervals_cover_the_truth_as_often_as_they_say(of_runs, of_units, rest) -> None:
    rng, effect, times = np.random.default_rng(11), 0.01, 400
    covered = 0
    for number in range(times):
        table = pd.DataFrame(made_up(rng, effect, of_runs=of_runs, of_units=of_units, rest=rest))
        (e,) = p6.estimates({("a", "b", "hter"): table}, samples=500, seed=number)
        covered += e.low <= effect <= e.high
    assert 0.92 <= covered / times <= 0.985


def test_holms_rule_by_hand() -> None:
    assert p6.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert p6.holm([0.6, 0.7]) == [1, 1] and p6.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_raises_every_p_and_keeps_their_order(p_values) -> None:
    adjusted = p6.holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True)) and max(adjusted) <= 1
    assert [adjusted[i] for i in np.argsort(p_values, kind="stable")] == sorted(adjusted)
    assert min(adjusted) == pytest.approx(min(1, min(p_values) * len(p_values)))


def test_an_interval_leaves_out_zero_exactly_where_holm_decides() -> None:
    rng = np.random.default_rng(5)
    tables = {
        ("m", str(effect), "hter"): pd.DataFrame(made_up(rng, effect, of_runs=0.01, of_units=0.01, rest=0.02))
        for effect in (0.0, 0.002, 0.02, 0.03, -0.03)
    }
    found = p6.estimates(tables)
    decided = [e.low > 0 or e.high < 0 for e in found]
    assert decided == [e.decided for e in found] == [False, False, True, True, True]
    assert all(e.difference == pytest.approx((e.low + e.high) / 2) for e in found)
    assert p6.estimates({("a", "b", "hter"): pd.DataFrame(TABLE[:1])}) == []


def test_the_same_seed_gives_the_same_interval() -> None:
    tables = {("a", "b", "hter"): pd.DataFrame(TABLE)}
    assert p6.estimates(tables, seed=3) == p6.estimates(tables, seed=3) != p6.estimates(tables, seed=4)


def test_equal_methods_differ_by_nothing() -> None:
    (e,) = p6.estimates({("a", "b", "hter"): pd.DataFrame(np.zeros((4, 5)))})
    assert (e.difference, e.p_value, e.decided) == (0, 1, False)


def test_the_mean_of_each_deployment_has_students_interval() -> None:
    frame = p6_frame({"mmdg++": -0.03, "fusion": 0.0})
    shown = p6.per_deployment(frame, "mmdg++").set_index("deployment")
    column = p6.differences(frame, "mmdg++")["d05"]
    reach = column.std(ddof=1) / len(column) ** 0.5 * t.ppf(0.975, len(column) - 1)
    assert shown.loc["d05", "high"] - shown.loc["d05", "low"] == pytest.approx(2 * reach)
    assert shown["inside"].sum() == 12 and len(shown) == 24


# --- sentences and verdicts ------------------------------------------------------------------------------------------


def test_the_design_is_described_without_its_outcome() -> None:
    told = [p6.design(p6_frame({"mmdg++": effect, "fusion": 0.0})) for effect in (-0.05, 0.0, 0.05)]
    assert told[0] == told[1] == told[2]
    assert f"{len(SETTINGS) * 3} pairs of runs on 24 deployments" in told[0] and "points" in told[0]
    assert "0 pairs of runs; two at least" in p6.design(p6_frame({"fusion": 0.0}))


def test_outsiders_have_no_part_of_the_method() -> None:
    names = p6.outsiders(METHODS)
    assert {"linear_probe", "head", "fusion", "mmdg"} <= set(names)
    assert not {name for name in names if name.startswith(("mmdg++", "fusion+")) or "spoilt" in name}


@pytest.mark.parametrize("effect, expected", [(-0.05, "borne out"), (0.05, "refuted"), (0.0, "undecided")])
def test_verdicts_follow_from_the_differences(effect, expected) -> None:
    found = deployment_findings(p6_frame({"mmdg++": effect, "fusion": 0.0, "head": 0.0}))
    whole = [finding for finding in found if finding.claim == WHOLE]
    assert verdict(whole) == expected and {f.contrast.reference for f in whole} == {"fusion", "head"}
    table = verdicts_table(found).set_index("claim")
    assert table.loc[WHOLE, "verdict"] == expected and table.loc["ReGrad", "verdict"] == "not tested"
    assert (table.loc[WHOLE, "still possible"] == "") == (expected == "borne out")
    if expected == "undecided":
        possible = float(table.loc[WHOLE, "still possible"])
        assert possible == pytest.approx(100 * max(-f.estimate.low for f in whole), abs=0.005) and possible > 0
    if expected == "refuted":
        assert table.loc[WHOLE, "still possible"] == "0.00"
    told = deployment_facts(found)
    assert told[0].startswith(f"{WHOLE}: {expected}.") and any("no contrast was run" in line for line in told)


def test_all_contrasts_are_adjusted_together_and_listed() -> None:
    frame = p6_frame({"mmdg++": -0.05, "fusion": 0.0, "head": 0.01})
    found = deployment_findings(frame)
    table = contrasts_table(found)
    assert len(table) == len(found) == len(deployment_contrasts(["fusion", "head"]))
    run = table[table["runs"] != "0"]
    assert set(run["claim"]) == {WHOLE, "Uncertainty in the adapters", UNRELIABLE}
    assert set(table.loc[table["runs"] == "0", "finding"]) == {"not tested"}
    alone = p6.estimates({("mmdg++", "fusion", "hter"): p6.differences(frame, "mmdg++")})[0]
    together = next(f.estimate for f in found if f.contrast.reference == "fusion" and f.contrast.quantity == "hter")
    assert together.p_value >= alone.p_value and together.difference == alone.difference
