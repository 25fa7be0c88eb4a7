"""The rule by hand is the package's; landscapes and rules behave as the notebook says; the committed runs are pairs."""

from typing import Any

import pytest

from mmdg_lite.regrad.effects import TITLES, available
from mmdg_lite.studies.regrad import CERTAIN

MODALITIES = ("rgb", "depth", "infrared")
FOLLOWED = ("none", "pcgrad", "regrad")


def check(found: dict[str, Any]) -> None:
    assert found["difference"] < 1e-12 and found["fastest_agree"] == 200
    assert found["at_91"] - found["at_89"] > 0.9
    sizes = [found["branches"][m]["parameters"] for m in ("RGB", "depth", "infrared")]
    assert len(set(sizes)) == 1 and sizes[0] > found["branches"]["no branch (head)"]["parameters"] > 0
    assert len(found["cases"]) == 4
    x, y = found["cases"]["depth is faster, they conflict"]  # RGB's gradient along x, depth's kept at a right angle
    assert x == pytest.approx(1) and y == pytest.approx(0.8 * 1.2 * (1 - 0.6427876**2) ** 0.5)
    names = [TITLES[rule] for rule in available()]
    assert list(found["toy_raised"]) == names
    for name in {"MGDA", "UPGrad"} & set(names):
        assert found["toy_raised"][name] == "none"

    for name in ("RGB dominates", "RGB is easier"):
        of = found["landscape"][name]
        assert set(of) == set(FOLLOWED)
        for row in of.values():
            assert row["worst"] == max(row[m] for m in MODALITIES)
            assert row["sum"] == pytest.approx(sum(row[m] for m in MODALITIES))
            assert row["sum"] > of["none"]["sum"] - 1e-6  # nothing beats the plain sum at the sum
        assert of["regrad"]["imbalance"] < of["none"]["imbalance"] / 2
    dominates, easier = found["landscape"]["RGB dominates"], found["landscape"]["RGB is easier"]
    assert dominates["regrad"]["worst"] < 0.9 * dominates["none"]["worst"]
    assert easier["regrad"]["worst"] > 2 * easier["none"]["worst"]
    assert found["landscape"]["by_branch"]["rgb"] == pytest.approx(dominates["regrad"]["worst"])
    assert found["sweep"]["steepness"]["ReGrad"][3] == pytest.approx(dominates["regrad"]["worst"])
    assert found["sweep"]["floor"]["plain sum"] == pytest.approx([0.5] * 5, abs=1e-6)

    assert found["ratio"] > 0 and 0 < found["conflicts"] < 1 and 0 < found["certainty"] < 1
    assert 0 < found["left"]["fastest"] < 0.9 < found["left"]["others"]  # who is ahead is held back in its branch only
    rules = found["rules"]
    assert list(rules) == [*names, CERTAIN]
    assert rules["plain sum"]["length"] == pytest.approx(1) and rules["plain sum"]["to_plain"] == pytest.approx(1)
    for row in rules.values():
        assert row["length"] > 0 and -1 <= row["to_plain"] <= 1 + 1e-9
        assert row["raised"] == pytest.approx(sum(row[f"raises_{m}"] for m in MODALITIES))
    for name in {"MGDA", "UPGrad"} & set(names):
        assert rules[name]["raised"] == 0  # what their papers promise
    assert rules["ReGrad"]["to_plain"] < 0.999

    committed = found["committed"]
    assert committed["pairs"] == 12 and 0 < committed["p"] <= 1
    assert committed["low"] <= committed["difference"] <= committed["high"]
    assert set(committed["balance"]) == {"plain sum", "ReGrad"}
