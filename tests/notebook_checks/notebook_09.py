"""Every entry of the audit shows its fault, and what is said of uncertainty is measured."""

from typing import Any

from mmdg_lite.studies.audit.entries import ENTRIES


def check(found: dict[str, Any]) -> None:
    entries = found["entries"]
    assert list(entries) == list(ENTRIES)
    assert entries["D1"]["released: adapters"] == 0 < entries["D1"]["ours: adapters"] == 1
    assert entries["D2"]["released"] == 1 and abs(entries["D2"]["ours"] - 0.5) < 0.05
    assert entries["D3"]["released: after 100"] > 1e17 and abs(entries["D3"]["ours: after 100"] - 1) < 1e-6
    assert entries["D12"]["ours: score"] == 0 < entries["D12"]["released: score"]
    assert entries["D13"] == {"released": 0, "ours": 1}
    assert entries["D20"] == {"released": 0, "ours": 20}
    whole = next(row for row in found["ablation"] if row["variant"] == "released")
    assert whole["seeds"] >= 2 and whole["hter_low"] <= whole["hter_difference"] <= whole["hter_high"]
    assert found["region_auc"]["distance to clean tokens"] > 0.6
    assert all(0 <= auc <= 1 for auc in found["region_auc"].values())
    shipped = found["aurc"]["shipped"]
    assert 0 < shipped["|p - 0.5|"] < shipped["random order"] < 50
