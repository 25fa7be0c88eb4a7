"""Every entry of the audit shows its fault, and what is said of uncertainty is measured."""

from typing import Any

from mmdg_lite.studies.audit.entries import ENTRIES


def check(found: dict[str, Any]) -> None:
    entries = found["entries"]
    assert set(entries) == set(ENTRIES)
    assert entries["D1"]["released: adapters"] == 0 < entries["D1"]["ours: adapters"] == 1
    assert entries["D2"]["released"] == 1 and abs(entries["D2"]["ours"] - 0.5) < 0.05
    assert entries["D3"]["released: after 100"] > 1e17 and abs(entries["D3"]["ours: after 100"] - 1) < 1e-6
    assert entries["D12"]["ours: score"] == 0 < entries["D12"]["released: score"]
    assert entries["D13"] == {"released": 0, "ours": 1}
    assert entries["D20"] == {"released": 0, "ours": 20}
    toy = found["toy"]
    assert list(toy) == ["D1", "D2", "D3", "D4", "D5", "D8", "D15", "D20"]
    assert toy["D1"]["right"] == 1 > 0.5 > toy["D1"]["faulty"] and found["offset"] == -1
    assert toy["D2"]["faulty"] == 1 and abs(toy["D2"]["right"] - 0.5) < 0.05
    assert toy["D3"]["faulty"] > 1e17 and abs(toy["D3"]["right"] - 1) < 1e-6
    assert toy["D5"]["faulty"] < toy["D5"]["right"]
    assert toy["D8"]["right"] == 0 and abs(toy["D8"]["faulty"] - 0.2) < 1e-6
    assert abs(toy["D15"]["faulty"] - 0.5) < 1e-6 and toy["D20"] == {"faulty": 0, "right": 20}
    of_noise = entries["D11"]
    assert of_noise["pure noise"] < of_noise["log-variance head"] < of_noise["mean head"]
    assert found["undecided"] == found["variants"] and found["certainty_wins"] == 0
    assert found["certainty_auc"]["highest"] < 0.8 < found["region_auc"]["unusual contrast"]
    whole = next(row for row in found["ablation"] if row["variant"] == "released")
    assert whole["seeds"] >= 2 and whole["hter_low"] <= whole["hter_difference"] <= whole["hter_high"]
    assert found["region_auc"]["distance to clean tokens"] > 0.6
    assert all(0 <= auc <= 1 for auc in found["region_auc"].values())
    shipped = found["aurc"]["shipped"]
    assert 0 < shipped["|p - 0.5|"] < shipped["random order"] < 50
