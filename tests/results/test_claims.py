"""The paper's claims put to made-up runs whose answer is known."""

import json
import re

import pytest

from mmdg_lite.results import claims, report
from mmdg_lite.results.cells import POINTS
from mmdg_lite.results.claims import CLAIMS, findings, verdict
from mmdg_lite.results.collect import collect, read_history
from mmdg_lite.results.deployments import collect_deployments
from mmdg_lite.results.dynamics import dynamics, imbalance
from mmdg_lite.results.marked_text import measured_part
from mmdg_lite.runs.methods import METHODS
from tests.support.p6 import p6_frame

SETTINGS = {"CPS->W": "W", "CPW->S": "S", "CSW->P": "P", "PSW->C": "C"}
LOOKS = [{"event": "validation", "step": step, "eer": 0.1, "loss": 1 / step} for step in (4, 8)]
PROMPTS = "Asymmetric domain prompts"


@pytest.fixture
def runs(make_run, tmp_path):
    """A function that makes P1 runs of methods with given skills and returns their rows."""

    def make(skills, *, missing=("",)):
        for method, skill in skills.items():
            for setting, target in SETTINGS.items():
                for seed in (0, 1):
                    run = make_run(
                        method=method, setting=setting, targets=target, seed=seed, skill=skill, missing=missing,
                        profile="full", samples=200,
                    )  # fmt: skip
                    with (run / "metrics.jsonl").open("a") as log:
                        log.writelines(json.dumps(look) + "\n" for look in LOOKS)
        return collect(tmp_path / "runs")

    return make


def of(found, claim):
    return found[found["claim"] == claim]


def test_every_contrast_names_methods_that_differ_in_what_the_claim_is_about():
    for claim in CLAIMS:
        for contrast in claim.contrasts:
            assert {contrast.method, contrast.reference} <= set(METHODS)
    for name, attribute in ((PROMPTS, "prompts"), ("ReGrad", "rule")):
        for contrast in next(claim for claim in CLAIMS if claim.name == name).contrasts:
            one, other = METHODS[contrast.method], METHODS[contrast.reference]
            differing = [
                f for f in ("adapters", "prompts", "rule", "architecture") if getattr(one, f) != getattr(other, f)
            ]
            assert differing == [attribute]


def test_a_claim_holds_where_every_contrast_is_decided_its_way(runs):
    better = {"mmdg++": 0.6, "mmdg++_without_prompts": 0.15, "fusion+prompts": 0.6, "fusion": 0.15}
    found = of(findings(runs(better)), PROMPTS)
    assert list(found["finding"]) == ["as claimed", "as claimed"] and verdict(found) == "holds"
    assert all(text.startswith("-") for text in found["difference"]) and set(found["pairs"]) == {"8"}


def test_one_contrast_the_other_way_is_enough_against_a_claim(runs):
    mixed = {"mmdg++": 0.6, "mmdg++_without_prompts": 0.15, "fusion+prompts": 0.15, "fusion": 0.6}
    found = of(findings(runs(mixed)), PROMPTS)
    assert list(found["finding"]) == ["as claimed", "the opposite"] and verdict(found) == "does not hold"


def test_an_error_that_a_claim_expects_to_be_higher_is_as_claimed_when_it_is(runs):
    found = of(findings(runs({"fusion": 0.15, "head": 0.6})), "Uncertainty in the adapters")
    assert list(found["finding"]) == ["as claimed", "not run", "not run"] and verdict(found) == "undecided"


def test_equal_methods_are_undecided_and_absent_ones_not_tested(runs):
    found = findings(runs({"mmdg++": 0.3, "mmdg++_without_prompts": 0.3, "fusion": 0.3, "fusion+prompts": 0.3}))
    assert verdict(of(found, PROMPTS)) == "undecided"
    assert verdict(of(found, "ReGrad")) == "not tested"
    assert set(of(found, "ReGrad")["pairs"]) == {"0"}


def test_the_rise_is_that_of_the_same_run(runs):
    frame = runs({"mmdg++": 0.3}, missing=("", "depth", "infrared"))
    rows = claims.quantities(frame)["rise"]
    assert len(rows) == 2 * 8
    first = rows.iloc[0]
    complete = frame[(frame["run"] == first["run"]) & (frame["missing"] == "")]["hter"].item()
    assert first["rise"] == pytest.approx(first["hter"] - complete)


def test_imbalance_by_hand(make_run):
    run = make_run()
    # losses 0.9, 0.8, 0.7 of a step number each: standard deviation sqrt(2 / 3) / 10, mean 0.8
    assert imbalance(read_history(run)) == pytest.approx((2 / 3) ** 0.5 / 8)
    (run / "metrics.jsonl").write_text(json.dumps({"event": "train", "step": 1, "loss_rgb": 1.0}) + "\n")
    assert imbalance(read_history(run)) != imbalance(read_history(run))  # NaN


def test_dynamics_by_hand(runs):
    table = dynamics(runs({"mmdg++": 0.3, "fusion": 0.3})).set_index("method")
    assert list(table.index) == ["Plain fusion", "MMDG++"] and set(table["runs"]) == {8}
    row = table.loc["MMDG++"]
    assert (row["fastest rgb"], row["fastest depth"], row["conflict rate"]) == (1, 0, 0.25)
    assert row["certainty, end"] == pytest.approx(0.7)
    # of eight steps the last tenth is the last one
    assert [row[f"loss {name}, end"] for name in ("rgb", "depth", "infrared")] == pytest.approx([0.9 / 8, 0.1, 0.7 / 8])


def test_the_report_of_some_runs(runs):
    frame = runs({"mmdg++": 0.6, "fusion": 0.15, "linear_probe": 0.15}, missing=("", "depth"))
    text = f"{report.verdict_part(frame)}\n\n{report.measured(frame)}"
    assert "24 runs of profile full on synthetic data" in text
    assert all(f"### {claim.name}" in text for claim in CLAIMS)
    row = next(line for line in text.splitlines() if line.startswith("| MMDG ") and "not run" in line)
    assert row.count("not run") == 6
    assert "### What other settings give on the sources' validation lists" in text


def test_deployments_have_a_part_where_they_were_run(runs):
    frame = runs({"mmdg++": 0.6, "fusion": 0.15})
    heading = "### Deployments and faults (protocol P6)"
    assert heading not in report.measured(frame, deployments=p6_frame({}))
    text = report.measured(frame, deployments=p6_frame({"mmdg++": -0.05, "fusion": 0.0}))
    assert heading in text and "- The method as a whole: borne out. MMDG++ against Plain fusion, HTER: " in text
    assert "pairs of runs on 24 deployments give intervals of" in text
    first = report.verdict_part(frame, deployments=p6_frame({"mmdg++": -0.05, "fusion": 0.0}))
    assert re.search(r"^\| The method as a whole +\| borne out", first, flags=re.MULTILINE)


def test_verdicts_name_what_is_decided(runs):
    text = report.verdict_part(runs({"mmdg++": 0.9, "linear_probe": 0.15, "fusion": 0.9, "mmdg": 0.9}))
    line = next(line for line in text.splitlines() if line.startswith("| The method as a whole"))
    assert "HTER of MMDG++ minus Linear probe (converged): -" in line and "(as claimed)" in line


def test_parts_are_told_apart_where_modalities_are_missing(runs):
    skills = {"fusion": 0.15, "fusion+uncertainty": 0.9, "head": 0.9, "linear_probe": 0.9, "mmdg": 0.9}
    frame = runs(skills, missing=("", "depth"))
    table = report.missing_by_part(frame)
    assert list(table["method"]) == ["Fusion + uncertainty"] * 3
    assert list(table["quantity"]) == list(POINTS.values()) and set(table["pairs"]) == {"8"}
    assert list(table["difference"].str[0]) == ["-", "-", "+"]
    assert "### Modalities missing, part by part" in report.measured(frame)
    assert report.missing_by_part(frame[frame["method"] != "fusion"]).empty


def test_profiles_are_not_mixed(runs):
    frame = runs({"mmdg++": 0.3})
    with pytest.raises(ValueError, match="one profile at a time"):
        report.measured(frame.assign(profile=["quick"] + ["full"] * (len(frame) - 1)))


def test_the_committed_report_is_what_the_committed_scores_give():
    frame = collect(report.SCORES)
    p6 = collect_deployments(report.SCORES)
    frame, p6 = frame[frame["profile"] == "full"], p6[p6["profile"] == "full"]
    assert measured_part(report.PAGE, report.VERDICTS) == report.verdict_part(frame, deployments=p6)
    assert measured_part(report.PAGE) == report.measured(frame, deployments=p6)
