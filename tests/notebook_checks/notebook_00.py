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
    for kind in ("print", "replay"):
        assert min(found["depth_auc"][kind].values()) > 95  # by both cameras
    for kind in ("rigid mask", "flexible mask", "glasses"):
        assert max(found["depth_auc"][kind].values()) < 60
    assert found["gain_low"] < 0 < found["gain_high"]
    assert 0 <= found["certainty_lowest"] < found["certainty_highest"] < 0.5
    assert all(of["noise"] > 0.95 * of["good"] for of in found["certainty"].values())
