"""A sender inserts no content; choices follow the theory; training starts at CLIP; what adapters are worth."""

from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    inside = found["inside"]
    assert inside["sender asks (MMDG++)"] == inside["sender asks, a million times larger"] == 1
    assert inside["sender answers"] < 0.5
    assert found["scaling_difference"] < 1e-12
    assert found["selection_error"] < 4 * 0.5 / 4000**0.5  # four standard errors of a frequency
    assert found["released_takes_sender"] == 1
    assert found["constant_inside"] < 1e-6
    assert 0 < found["half"]["10"] < found["half"]["3"] < found["half"]["1"] < 1

    assert found["differences"].pop("features") < 1e-3
    assert len(found["differences"]) == 4 and max(found["differences"].values()) < 1e-4
    assert found["parameters"]["one U-Adapter++"] < found["parameters"]["one block of the tiny CLIP"] / 10

    assert found["difference_from_clip"]["start"] < 1e-4 < 1 < found["difference_from_clip"]["trained"]
    assert found["exchange_difference"] < 1e-4
    assert found["nan_difference"] == 0
    assert found["alone_difference"] < 1e-5
    assert found["nan_released"] == 5

    assert 0 < found["certainty_mean"] < found["certainty_highest"] < 1
    assert 1 / 65 < found["map"]["actual"] < found["map"]["certain"] and 0 < found["map"]["U"] < 1
    entropy = found["entropy"]
    assert 0 < entropy["certain"] < entropy["mean"] < entropy["highest"]
    assert 0 < found["pointing_left"] < 1
    assert set(found["worth"]) == {"as trained"} | set(found["auc_change"])
    for row in found["worth"].values():
        for metric in ("AUC", "HTER"):
            assert 0 <= row[f"{metric} low"] < row[metric] < row[f"{metric} high"] <= 100
    assert found["worth"]["as trained"]["AUC"] > 70
    for name, (change, low, high) in found["auc_change"].items():
        assert low <= change <= high
        assert abs(change - (found["worth"][name]["AUC"] - found["worth"]["as trained"]["AUC"])) < 1e-6
    for name, (change, low, high) in found["hter_change"].items():
        assert low <= change <= high
        assert change == pytest.approx(found["worth"][name]["HTER"] - found["worth"]["as trained"]["HTER"], abs=1e-6)
    assert found["auc_change"]["no updates"][0] != 0  # the trained adapters do change scores
