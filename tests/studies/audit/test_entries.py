"""Every entry of the audit shows what it says: the fault in the released behaviour, its absence in ours."""

import math

import pandas as pd
import pytest

from mmdg_lite.released import FAULTS, faults
from mmdg_lite.results.collect import collect
from mmdg_lite.studies.audit import forward, step
from mmdg_lite.studies.audit.entries import ENTRIES, Audit
from mmdg_lite.studies.audit.runs import DEFAULT, VARIANTS, ablation, configuration, student_half_width


def test_entries_are_numbered_without_gaps_and_cover_every_fault() -> None:
    assert list(ENTRIES) == [f"D{number}" for number in range(1, len(ENTRIES) + 1)]
    assert set(FAULTS) <= set(ENTRIES)


def test_what_the_released_loop_reaches() -> None:
    found = step.modulated_share()
    assert found["released: adapters"] == 0 < found["released: all"] < 0.1
    assert found["ours: all"] == found["ours: adapters"] == 1


def test_who_is_chosen() -> None:
    found = forward.sender_share()
    assert found["released"] == 1
    assert found["ours"] == pytest.approx(0.5, abs=0.05)


def test_growth_is_geometric() -> None:
    """a_n = 1.5 a_(n-1) + 0.5 from 0 is 1.5^n - 1."""
    found = step.averages_after()
    assert found["released: after 10"] == pytest.approx(1.5**10 - 1)
    assert found["released: after 100"] == pytest.approx(1.5**100 - 1)
    assert found["ours: after 100"] == pytest.approx(1)
    assert found["released: infinite at step"] == 1 + math.floor(math.log(1.7976931348623157e308) / math.log(1.5))


def test_gradients_of_the_log_variance_are_noise_but_for_the_divergence() -> None:
    found = forward.log_variance_signal(9)
    assert found["pure noise"] == pytest.approx(1 / 3)
    assert found["log-variance head"] < 0.6 < 0.7 < found["mean head"]
    assert found["log-variance head by the divergence"] > 0.95


def test_evaluations() -> None:
    found = forward.two_evaluations()
    assert found["ours: score"] == found["ours: certainty"] == 0
    assert found["released: certainty"] > 0.05
    assert forward.junk_in_a_missing_modality() == {"released": 0, "ours": 1}


def test_certainty_without_a_sender() -> None:
    found = forward.missing_sender_counts()
    assert found["ours"] == pytest.approx(found["call with depth"], rel=1e-5)
    both = (found["call with depth"] + found["call without infrared"]) / 2
    assert found["released"] == pytest.approx(both, rel=1e-5)


def test_standard_deviation_says_less_certain_than_variance() -> None:
    """Of values below 1 the standard deviation is the larger one, and in the same order."""
    found = forward.spread_of_dropout()
    assert found["released: mean certainty"] < 0.9 * found["ours: mean certainty"] < 0.9
    assert 0.8 < found["rank correlation"] < 1


def test_length_of_text() -> None:
    """Nine sentences of five classes in three modalities; the longest sentence has 31 tokens."""
    found = forward.text_length()
    assert found == {"released: tokens": 135 * 77, "ours, at most: tokens": 135 * 31}


def test_whose_certainty_it_is_in_training_and_in_evaluation() -> None:
    """Both sides' variances are drawn alike: in half of the tokens the sender's is the smaller one."""
    found = forward.certainty_in_both_modes()
    assert found["released: training"] == 1
    assert found["released: evaluation"] == found["ours: evaluation"] == pytest.approx(0.5, abs=0.05)
    assert found["ours: training"] == pytest.approx(0.5, abs=0.05)


def test_thresholds_are_of_runs_of_p1(make_run, tmp_path) -> None:
    for seed in range(2):
        make_run(seed=seed, missing=("", "depth"))
    make_run(protocol="P3", setting="WC->PS", targets="PS", skill=0.9)
    found = step.thresholds(tmp_path / "runs")
    rows = collect(tmp_path / "runs").query("protocol == 'P1' and missing == ''")
    assert found["runs"] == 2
    assert found["sources' validation lists"] == pytest.approx(100 * rows["hter"].mean())
    assert found["target's own equal-error point"] == pytest.approx(100 * rows["hter_at_eer"].mean())


def test_projection() -> None:
    jump = step.jump_at_a_right_angle()
    assert jump["regrad 90.1"] - jump["regrad 89.9"] > 0.99
    assert abs(jump["smooth 90.1"] - jump["smooth 89.9"]) < 0.01
    kept = step.kept_of_an_identical_gradient()
    assert kept["released: norm 0.0001"] == pytest.approx(0.5)
    assert kept["ours: norm 1e-06"] == pytest.approx(1)


def test_small_entries() -> None:
    assert step.shared_parameter() == {"released: raises": 1, "ours: raises": 0}
    assert step.graph_after_step() == {"ours": 0}
    assert step.fastest_with_a_modality_missing() == {"released": 0, "ours": 20}
    assert step.undisputed_gradient(0.25) == {"released": 0.25, "ours": 1}
    assert forward.convolution_bias() == {"ours": 1}
    decay = step.coupled_weight_decay()
    assert decay["Adam"] < 0.05 < 0.5 < decay["AdamW"]


def test_model_entries() -> None:
    assert forward.clip_token_change()["released"] > forward.clip_token_change()["ours"] == 0
    classes = forward.unused_classes()
    assert (classes["released: classes"], classes["ours: classes"]) == (5, 4)
    assert classes["released: probability of unused ones"] > 0.05
    place = forward.placement()
    assert place["released: sentences missed"] > place["ours: sentences missed"] == 0
    assert place["released: sentences of the authors"] == 54  # 3 modalities, live and spoof, nine each
    assert place["released: sentences of the authors missed"] == 42
    assert forward.batch_of_one()["ours: total loss"] > 0
    assert step.mmdg_step()["ours: gradient norm"] > 0


def test_numbers_are_kept_and_tabulated(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name, entry in ENTRIES.items():
        made = type(entry)(entry.subject, lambda name=name: calls.append(name) or {"ours": 1.0})
        monkeypatch.setitem(ENTRIES, name, made)
    audit = Audit()
    audit.show("D3")
    table = audit.table()
    assert list(table.index) == list(ENTRIES)
    assert calls.count("D3") == 1
    assert table.loc["D3", "numbers"] == "ours 1"


def test_variants_are_configurations() -> None:
    for name in VARIANTS:
        config = configuration(name, 0)
        assert faults(config.model.released) is not None
        assert (config.model.released == ()) or config.profile == "quick"
    assert configuration("D2", 1).model.released == ("D2",)
    assert configuration("kl", 0).training.uncertainty_kl > 0


def test_ablation_by_hand() -> None:
    """Differences of 2, 4 and 6 points: mean 4, Student interval 4 +- 4.303 * 2 / sqrt(3)."""
    rows = [
        {"profile": "quick", "data": "synthetic", "protocol": "P1", "setting": "CPS->W", "target": "W", "missing": ""}
        | {"method": method, "seed": seed, "hter": 0.3 + extra / 100, "auc": 0.8}
        for seed in range(3)
        for method, extra in ((DEFAULT, 0), ("released", 2 * seed + 2))
    ]
    (row,) = ablation(pd.DataFrame(rows)).to_dict("records")
    assert row["hter_difference"] == pytest.approx(4)
    assert row["hter_high"] == pytest.approx(4 + 4.303 * 2 / 3**0.5, abs=0.06)
    assert row["auc_difference"] == 0
    assert row["seeds"] == 3
    assert math.isnan(student_half_width(pd.Series([1.0])))
