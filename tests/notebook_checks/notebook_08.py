"""Shapley values add up, as numbers and by hand; a modality that is taken apart loses; every explorer was drawn."""

from collections import defaultdict
from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    assert found["toy"] == pytest.approx({"R": 0.1, "D": 0.15, "I": 0.15})
    assert found["toy_difference"] < 1e-12
    assert found["face"]["shapley_sum"] == pytest.approx(found["face"]["score"] - 0.5, abs=1e-6)
    assert found["explorers"] == [True] * 4
    assert list(found["training"]) == ["MMDG++", "MMDG++ without ReGrad"]
    assert found["rgb_gap"]["MMDG++"] > found["rgb_gap"]["MMDG++ without ReGrad"]  # ReGrad does not close it

    totals: dict[str, float] = defaultdict(float)
    for row in found["domains"]:
        totals[row["domain"]] += row["value"]
        assert row["low"] <= row["high"]
    aucs = {row["domain"]: row["auc"] for row in found["domains"]}
    assert set(aucs) == {"W", "C", "P", "S"}
    assert totals == pytest.approx({domain: auc - 0.5 for domain, auc in aucs.items()})
    assert aucs["W"] > 0.7 and min(aucs[domain] for domain in "CPS") > 0.7
    assert all(row["auc_low"] <= row["auc"] <= row["auc_high"] for row in found["domains"])
    assert found["faces"] >= 64 and 0.5 < found["large_test"] < aucs["W"]

    assert {row["sensor"] for row in found["curves"]} == {"rgb", "depth", "infrared"}
    assert sorted({row["severity"] for row in found["curves"]}) == [0, 0.25, 0.5, 0.75, 1]
    starts: dict[str, list[float]] = defaultdict(list)
    for row in found["curves"]:
        if row["severity"] == 0:
            starts[row["modality"]].append(row["value"])
    assert all(max(values) == min(values) for values in starts.values())
    assert min(found["moves"][sensor][sensor] for sensor in found["moves"]) < -5  # percentage points

    depth = found["wrecked"]["depth"]
    assert depth["wrecked"] > depth["own"]  # what the text says of certainty: it does not fall
    gaps = found["gaps"]
    assert gaps["loud infrared"]["plain sum"] > 1.1 * gaps["as it stands"]["plain sum"]
    assert gaps["loud infrared"]["ReGrad"] < gaps["loud infrared"]["plain sum"]
    assert gaps["RGB mixed up"]["ReGrad"] > 0.9 * gaps["RGB mixed up"]["plain sum"]
    assert found["plane"]["length"]["yours"] > found["plane"]["length"]["ReGrad"]
