"""Shapley values add up, as numbers and by hand; a modality that is taken apart loses; every explorer was drawn."""

from collections import defaultdict
from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    assert found["toy"] == pytest.approx({"R": 0.1, "D": 0.15, "I": 0.15})
    assert found["toy_difference"] < 1e-12
    assert found["face"]["shapley_sum"] == pytest.approx(found["face"]["score"] - 0.5, abs=1e-6)
    assert found["explorers"] == [True, True, True]
    assert len(found["runs"]) >= 1

    totals: dict[str, float] = defaultdict(float)
    for row in found["domains"]:
        totals[row["domain"]] += row["value"]
        assert row["low"] <= row["high"]
    aucs = {row["domain"]: row["auc"] for row in found["domains"]}
    assert set(aucs) == {"W", "C", "P", "S"}
    assert totals == pytest.approx({domain: auc - 0.5 for domain, auc in aucs.items()})
    assert aucs["W"] > 0.7 and min(aucs[domain] for domain in "CPS") > 0.7
    assert all(row["auc_low"] <= row["auc"] <= row["auc_high"] for row in found["domains"])
    assert found["faces"] >= 100 and set(found["strongest"]) == set(aucs)

    assert {row["sensor"] for row in found["curves"]} == {"rgb", "depth", "infrared"}
    own = {row["modality"]: row["value"] for row in found["domains"] if row["domain"] == "W"}
    start = {row["modality"]: row["value"] for row in found["curves"] if row["severity"] == 0}
    assert start == pytest.approx(own)
    assert min(found["moves"][sensor][sensor] for sensor in found["moves"]) < -5  # percentage points
