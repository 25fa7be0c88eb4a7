"""The visible loop learns and makes the steps of `train`; a quick run of MMDG++ learns something that holds on the
target."""

from typing import Any

import pytest

from mmdg_lite.runs.config import configure

# endings of a run's tests: with everything, and with modalities missing
TEST_SUFFIXES = ("", "_without_depth", "_without_infrared", "_without_depth_infrared")


def check(found: dict[str, Any]) -> None:
    assert (found["method"], found["setting"], found["seed"]) == ("mmdg++", "CPS->W", 0)
    assert 0 < found["kept_step"] <= found["steps"] == configure("quick").training.steps
    assert found["validation_eer"] < 0.4 and found["auc"] > 0.6
    assert found["hter"] == pytest.approx((found["far"] + found["frr"]) / 2)
    assert set(found["hter_per_test"]) == {f"test_W{gone}" for gone in TEST_SUFFIXES}
    assert found["learning"]["head"]["last"] < found["learning"]["head"]["first"]
    assert found["quick"]["mmdg++"]["low"] < found["quick"]["fusion"]["high"]  # the two intervals overlap
    lesson = found["lesson"]
    assert lesson["after"]["loss total"] < lesson["before"]["loss total"]
    assert lesson["apart"] < 1e-9 < 1e-3 < lesson["moved"]
