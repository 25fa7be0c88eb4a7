"""Finished runs side by side: whose they are, what is said about them, what is kept of them."""

import shutil

import pandas as pd
import pytest

from mmdg_lite.plots import committed as committed_module
from mmdg_lite.plots.components import decided_components
from mmdg_lite.results import comparison
from mmdg_lite.results.components import Effect, components_of
from mmdg_lite.results.paired_test import Comparison
from mmdg_lite.results.tables import table
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.methods import METHODS

SETTINGS = {"CPS->W": "W", "CPW->S": "S", "CSW->P": "P", "PSW->C": "C"}


@pytest.fixture
def grid(make_run, tmp_path):
    """A function that makes a P1 grid of made-up runs in a folder of its own."""

    def make(name, *, skills, seeds, profile="full"):
        for method, skill in skills.items():
            for setting, target in SETTINGS.items():
                for seed in seeds:
                    make_run(
                        method=method,
                        setting=setting,
                        targets=target,
                        seed=seed,
                        skill=skill,
                        profile=profile,
                        samples=120,
                    )
        shutil.move(tmp_path / "runs", tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def frame(grid, tmp_path):
    """Committed runs in which MMDG++ is far better, and one seed of the reader's own."""
    committed = grid("committed", skills={"mmdg++": 0.6, "fusion": 0.1, "linear_probe": 0.1}, seeds=(0, 1, 2))
    own = grid("own", skills={"mmdg++": 0.2, "linear_probe": 0.2}, seeds=(0,), profile="quick")
    return comparison.results(committed, own)


def test_the_readers_own_runs_come_first_and_apart(frame):
    assert comparison.profiles(frame) == ["quick (yours)", "full (committed)"]
    cost = comparison.cost(frame)
    assert list(cost["runs"]) == [4, 4, 12, 12, 12]
    assert set(cost["device"]) == {"CPU"}
    assert list(cost["method"][2:]) == ["Linear probe (converged)", "Plain fusion", "MMDG++"]
    assert set(comparison.means(frame, "auc")["quick (yours)"]) == {"linear_probe", "mmdg++"}


def test_without_any_runs_the_message_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="make reproduce"):
        comparison.results(tmp_path / "committed")


def test_sentences_follow_the_numbers(frame):
    committed = comparison.findings(frame[frame["profile"] == "full (committed)"])
    assert committed[0].startswith("full (committed): 3 seeds, 4 target domains, 120 test faces each")
    assert "Nothing here speaks of real faces" in committed[0]
    against = next(sentence for sentence in committed if "against Plain fusion" in sentence)
    assert "points lower" in against and against.endswith("it is better.")
    turned = frame.assign(method=frame["method"].replace({"mmdg++": "fusion", "fusion": "mmdg++"}))
    against = next(
        s for s in comparison.findings(turned[turned["profile"] == "full (committed)"]) if "Plain fusion" in s
    )
    assert "points higher" in against and against.endswith("it is worse.")
    own = comparison.findings(frame[frame["profile"] == "quick (yours)"])
    assert "decides nothing" in own[-1] and not any("Between seeds" in sentence for sentence in own)


def effects_of(**differences):
    """Effects on P1 by HTER, and on P2 by AUC: decided where the difference is not zero."""
    return [
        Effect(
            protocol=protocol,
            metric=metric,
            name=name,
            comparison=Comparison(
                method="with",
                reference="without",
                metric=metric,
                pairs=12,
                difference=d,
                low=d - 0.001,
                high=d + 0.001,
                p_value=0.01,
            ),
        )
        for protocol, metric in (("P1", "hter"), ("P2", "auc"))
        for name, d in differences.items()
    ]


def test_decided_effects_are_named_by_protocol():
    first, second = comparison.decided_effects(effects_of(U=0.02, ADP=0.0))
    assert "on P1 (all present)" in first and "1 of 2 decided" in first
    assert first.endswith("HTER at the validation threshold: U +2.0.")
    assert "on P2 (modalities missing)" in second and second.endswith("AUC: U +2.0.")
    nothing = comparison.decided_effects(effects_of(U=0.0))
    assert len(nothing) == 2 and all(sentence.endswith("none of 1 decided.") for sentence in nothing)
    assert comparison.decided_effects([]) == []


def test_components_with_a_decided_effect_are_named_in_the_figures_title():
    found = effects_of(U=0.02, ADP=0.0, ReGrad=-0.01) + effects_of(**{"U and ADP": 0.02})
    assert decided_components(found, "P1") == "U and ReGrad"  # interactions are no components
    assert decided_components(effects_of(U=0.0), "P2") == "none"


def test_effects_are_among_the_facts_where_all_combinations_were_run(grid):
    design = [name for name, method in METHODS.items() if method.adapters != "none" and components_of(method)]
    full = comparison.results(grid("design", skills=dict.fromkeys(design, 0.3), seeds=(0,)))
    assert any(sentence.startswith("Effects of U, ReGrad, ADP") for sentence in comparison.findings(full))
    part = full[full["method"] != "fusion"]
    assert not any(sentence.startswith("Effects") for sentence in comparison.findings(part))


def test_long_enough_names_who_was_and_who_was_not_tested(frame):
    config = configure("full")
    size = {
        "faces per source": config.data.train_samples,
        "batch": config.training.batch_size,
        "steps": config.training.steps,
    }
    rows = [
        {"method": "MMDG++", **size, "EER gained": 0.8, "cross-entropy gained, %": -2.0, "long enough": True},
        {"method": "Plain fusion", **size, "EER gained": -0.2, "cross-entropy gained, %": 5.9, "long enough": False},
        {"method": "MMDG", **size, "EER gained": 0.0, "cross-entropy gained, %": 0.0, "long enough": True},
    ]
    rows[2]["steps"] *= 2
    made = frame.assign(steps=(frame["method"] != "linear_probe").astype(int))
    first, *found = comparison.long_enough(pd.DataFrame(rows), made, config)
    assert f"{size['steps']} steps" in first
    assert found[0].startswith("MMDG++ was trained long enough") and "+0.80 points" in found[0]
    assert found[1].startswith("Plain fusion was not trained long enough") and "+5.9 %" in found[1]
    assert len(found) == 2
    (*_, unknown) = comparison.long_enough(pd.DataFrame(rows[:1]), made, config)
    assert unknown == "Not tested at this size: Plain fusion."


@pytest.mark.parametrize(
    "metric, difference, low, high, p, word",
    [
        ("hter", -0.05, -0.08, -0.02, 0.01, "better"),
        ("hter", 0.05, 0.02, 0.08, 0.01, "worse"),
        ("auc", 0.05, 0.02, 0.08, 0.01, "better"),
        ("auc", -0.05, -0.08, -0.02, 0.01, "worse"),
        ("hter", -0.05, -0.08, 0.01, 0.01, "undecided"),
        ("hter", -0.05, -0.08, -0.02, 0.06, "undecided"),
    ],
)
def test_a_reading_needs_interval_and_test(metric, difference, low, high, p, word):
    result = Comparison(
        method="a", reference="b", metric=metric, pairs=12, difference=difference, low=low, high=high, p_value=p
    )
    assert comparison.verdict_of(result) == word


def test_differences_are_paired(frame):
    committed = frame[frame["profile"] == "full (committed)"]
    rows = comparison.differences(committed)
    assert len(rows) == 6 and set(rows["pairs"]) == {12}
    means = committed.groupby("method")["hter"].mean()
    assert rows.iloc[0]["difference"] == pytest.approx(100 * (means["mmdg++"] - means["linear_probe"]), abs=0.01)


def test_text_holds_the_blocks_asked_for(frame):
    made = table(frame, "P1")
    ours, published = comparison.table_markdown(made, "ours"), comparison.table_markdown(made, "published")
    assert ours.count("**ours") == 6 and "published" not in ours.replace("(what papers report", "")
    assert published.startswith("**published, real data") and "ours" not in published
    assert comparison.table_markdown(made, "ours", metric="auc").count("**ours") == 2


def test_curves_and_runs_are_those_of_the_seed(frame):
    committed = frame[frame["profile"] == "full (committed)"]
    curves = comparison.curves(committed, "S", seed=2)
    row = committed.query("target == 'S' and method == 'fusion' and seed == 2").iloc[0]
    assert list(curves) == ["Linear probe (converged)", "Plain fusion", "MMDG++"]
    assert curves["Plain fusion"].metrics().auc == pytest.approx(row["auc"])
    assert list(comparison.curves(committed, "S", seed=9)) == list(curves)
    assert comparison.one_run(committed, "fusion", seed=2).name == "full-P1-CPS-to-W-fusion-2"
    with pytest.raises(ValueError, match="no run of head"):
        comparison.one_run(committed, "head")


def test_figures_are_written_and_repeat(frame, tmp_path):
    committed = frame[frame["profile"] == "full (committed)"]
    first = committed_module.figures(committed, tmp_path / "a")
    second = committed_module.figures(committed, tmp_path / "b")
    assert {path.name for path in first} >= {
        "P1_hter_by_target.svg",
        "P1_roc_W.svg",
        "P1_det_C.svg",
        "P1_risk_coverage_S.svg",
    }
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
