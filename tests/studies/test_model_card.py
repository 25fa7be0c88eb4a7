"""The model card's numbers: those of the committed scores and of the shipped models, and of nothing else."""

import json

import pytest

from mmdg_lite.configuration import REPOSITORY
from mmdg_lite.results.collect import read_list
from mmdg_lite.results.marked_text import measured_part
from mmdg_lite.studies.model_card import card_text, measure
from mmdg_lite.studies.quickstart import ASSETS, RECORD

RUN = REPOSITORY / "figures/scores/full/P1/CPS-to-W/mmdg++/seed0"


@pytest.fixture(scope="module")
def report():
    return json.loads((REPOSITORY / "figures" / "model_card.json").read_text(encoding="utf-8"))


def test_card_and_report_agree(report):
    assert measured_part(REPOSITORY / "MODEL_CARD.md") == card_text(report)


def test_the_report_is_what_the_committed_scores_give(report):
    assert measure(RUN) == report
    test = read_list(RUN, "test_W").metrics(threshold=report["threshold"])
    first = next(row for row in report["tests"] if row["missing"] == "")
    assert first["hter"] == pytest.approx(test.hter) and report["apcer_per_species"] == test.apcer_per_species


def test_the_report_is_of_the_shipped_model(report):
    record = json.loads((ASSETS / RECORD).read_text(encoding="utf-8"))
    assert (report["threshold"], report["kept_step"]) == (record["threshold"], record["kept_step"])


def test_another_run_is_refused(make_run):
    with pytest.raises(ValueError, match="not the run that the shipped model comes from"):
        measure(make_run(missing=("", "depth", "infrared", "depth_infrared"), profile="full"))
