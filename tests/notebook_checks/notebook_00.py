"""The shipped model on a domain it never saw: it accepts masks, is better without depth, and is certain of nothing."""

from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    assert found["faces"] == 200
    assert found["hter"] < 0.4 and found["auc"] > 0.7
    assert set(found["decided"].values()) == {"live", "spoof"}
    assert set(found["text_auc"]) == {"rgb", "depth", "infrared"}
    assert found["hter_without"]["all three"] == pytest.approx(found["hter"], abs=1e-3)
    assert len({round(value, 6) for value in found["hter_without"].values()}) > 1
    assert all(found["decided"][mask] == "live" for mask in ("paper_mask", "rigid_mask", "flexible_mask"))
    assert found["noise_score"] < found["threshold"] <= found["first_score"]
    assert found["auc_without"]["without depth"] > found["auc"] > found["auc_without"]["without infrared"]
    assert found["hter_without"]["without depth"] < found["hter"] < found["hter_noise"]["infrared"]
    flat, shaped = ("print", "replay"), ("rigid mask", "flexible mask", "glasses")
    for camera in found["depth_auc"].values():
        assert min(camera[kind] for kind in flat) > 95 > 60 > max(camera[kind] for kind in shaped)
    assert found["gain_low"] < 0 < found["gain_high"]
    assert 0 <= found["certainty_lowest"] < found["certainty_highest"] < 0.5
    assert all(of["noise"] > 0.95 * of["good"] for of in found["certainty"].values())
