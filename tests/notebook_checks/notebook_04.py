"""The rule by hand is the package's; both runs start alike and learn; the plain sum is the measure of every rule."""

from typing import Any

import pytest

from mmdg_lite.regrad.effects import TITLES, available
from mmdg_lite.studies.regrad import CERTAIN

MODALITIES = ("rgb", "depth", "infrared")


def check(found: dict[str, Any]) -> None:
    assert found["difference"] < 1e-12 and found["gram_difference"] < 1e-9
    assert found["jump"] > 0.9
    assert len(found["cases"]) == 4
    x, y = found["cases"]["depth is faster, they conflict"]  # RGB's gradient along x, depth's kept at a right angle
    assert x == pytest.approx(1) and y == pytest.approx(0.8 * 1.2 * (1 - 0.6427876**2) ** 0.5)
    names = [TITLES[rule] for rule in available()]
    assert list(found["toy_raised"]) == names
    for name in {"MGDA", "UPGrad"} & set(names):
        assert found["toy_raised"][name] == "none"

    assert found["steps"] == 24
    assert set(found["first_losses"]) == {"plain sum", "ReGrad"}
    assert found["first_losses"]["plain sum"] == pytest.approx(found["first_losses"]["ReGrad"], rel=1e-4)
    assert max(abs(value) for value in found["last_losses"]["difference"].values()) > 1e-3
    assert all(0 < rate < 1 for rate in found["conflict_rate"].values())
    assert set(found["rules"]) == {"short run", "shipped model"}
    assert all(ratio > 0 for ratio in found["ratio"].values())
    assert all(0 < share < 1 for share in (*found["conflicts"].values(), *found["shared"].values()))
    assert all(0 < value < 1 for value in found["certainty"].values())
    for left in found["left"].values():
        assert 0 < left["fastest"] < 0.9 < left["others"]  # who is ahead is held back, in its own branch only
    for rules in found["rules"].values():
        assert list(rules) == [*names, CERTAIN]
        assert rules["plain sum"]["length"] == pytest.approx(1)
        assert rules["plain sum"]["to_plain"] == pytest.approx(1)
        for row in rules.values():
            assert row["length"] > 0 and -1 <= row["to_plain"] <= 1 + 1e-9
            assert row["raised"] == pytest.approx(sum(row[f"raises_{m}"] for m in MODALITIES))
        for name in {"MGDA", "UPGrad"} & set(names):
            assert rules[name]["raised"] == 0  # what their papers promise
        assert rules["ReGrad"]["to_plain"] < 0.999
    assert 1 <= found["committed"]["rules"] <= len(TITLES)
