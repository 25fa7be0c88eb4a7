"""The shipped model tells live from spoof on a domain it never saw; no modality's absence goes unnoticed."""

from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    assert found["faces"] == 200
    assert found["hter"] < 0.4 and found["auc"] > 0.7
    assert set(found["decided"].values()) == {"live", "spoof"}
    assert set(found["text_auc"]) == {"rgb", "depth", "infrared"}
    assert found["hter_without"]["all three"] == pytest.approx(found["hter"], abs=1e-3)
    assert len({round(value, 6) for value in found["hter_without"].values()}) > 1
    assert 0 <= found["certainty_lowest"] < found["certainty_highest"] <= 1
