"""The model card's numbers: those of the committed scores and of the shipped models, and of nothing else."""

import json

import pytest

from mmdg_lite.model_card import END, ROOT, START, card_text, measure, write_card
from mmdg_lite.quickstart import ASSETS, RECORD
from mmdg_lite.scores import read_scores

RUN = ROOT / "figures/scores/full/P1/CPS-to-W/mmdg++/seed0"


@pytest.fixture(scope="module")
def report():
    return json.loads((ROOT / "figures" / "model_card.json").read_text(encoding="utf-8"))


def test_card_and_report_agree(report):
    card = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.split(START)[1].split(END)[0].strip() == card_text(report)


def test_the_report_is_what_the_committed_scores_give(report):
    assert measure(RUN) == report
    test = read_scores(RUN / "scores" / "test_W.csv.gz").metrics(threshold=report["threshold"])
    first = next(row for row in report["tests"] if row["missing"] == "")
    assert first["hter"] == pytest.approx(test.hter) and report["apcer_per_species"] == test.apcer_per_species


def test_the_report_is_of_the_shipped_model(report):
    record = json.loads((ASSETS / RECORD).read_text(encoding="utf-8"))
    assert (report["threshold"], report["kept_step"]) == (record["threshold"], record["kept_step"])


def test_another_run_is_refused(make_run):
    with pytest.raises(ValueError, match="not the run that the shipped model comes from"):
        measure(make_run(missing=("", "depth", "infrared", "depth_infrared"), profile="full"))


def test_a_card_without_marks_is_refused(report, tmp_path):
    (tmp_path / "card.md").write_text("no marks")
    with pytest.raises(ValueError, match="lacks the marks"):
        write_card(report, tmp_path / "card.md")
