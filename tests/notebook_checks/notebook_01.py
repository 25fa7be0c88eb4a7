"""Samples repeat, conversions are complete, every kind of damage that it shows was noticed."""

from typing import Any


def check(found: dict[str, Any]) -> None:
    assert found["repeatable"] and found["subjects_shared"] == 0 and found["stream_resumes"]
    assert found["converted"] == dict.fromkeys("WCSP", 18) and found["problems"] == 0
    assert found["mismatch_refused"] and found["mismatch_paired"] and found["edit_noticed"] == 4
    assert found["cropped"] == [[104, 120], [80, 80]]
    assert all(0 < found["holes"][letter] < 0.8 for letter in "WCPS")
    assert found["holes_auc"]["S"] > found["holes_auc"]["P"]
    assert found["holes_auc"]["S"] > 0.9 and abs(found["holes_auc"]["P"] - 0.5) < 0.1
    told = found["told"]  # species -> camera -> AUC in %
    assert told["print"]["depth"] > 95 > 60 > max(told[kind]["depth"] for kind in ("fake_head", "flexible_mask"))
    assert told["flexible_mask"]["infrared"] > told["flexible_mask"]["rgb+depth+infrared"]
    assert min(found["flat"][letter] for letter in "CS") > 70 > 50 > max(found["flat"][letter] for letter in "WP")
    assert found["grey"] == [0, 255, 255, 128, 1, 1]
    assert found["counts"]["S"]["test"] == [1800, 10764]
