"""Every method of P1 has its numbers, in tables, figures and sentences."""

from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    (profile,) = found["profiles"]
    assert profile == "full (committed)"
    for metric in ("hter", "hter_at_eer", "auc"):
        assert {"linear_probe", "fusion", "mmdg++"} <= set(found[metric][profile])
    assert 0.5 < found["auc"][profile]["mmdg++"] <= 1
    measured = found["hter"][profile]["mmdg++"] - found["hter"][profile]["linear_probe"]
    assert found["mmdg++_minus_linear_probe"] == pytest.approx(measured)
    assert found["hardest_target"] in "WCPS"
    assert any("Nothing here speaks of real faces" in sentence for sentence in found["sentences"][profile])
    assert any(sentence.startswith("Effects of U, ReGrad, ADP") for sentence in found["sentences"][profile])
    assert {"P1.md", "P1.tex", "runs.csv", "P1_hter_by_target.svg", "P1_roc_W.svg"} <= set(found["files"])
    assert set(found["minus"]) == set(found["hter"][profile]) - {"mmdg++"}
    assert found["minus"]["linear_probe"] == found["mmdg++_minus_linear_probe"]
    assert found["decided_on"]["P1"] == 0 < found["decided_on"]["P2"]  # as the text says in words
    assert found["effects"]["P2"]["U"]["auc"] > 0 > found["effects"]["P2"]["U"]["hter_at_eer"]
    assert found["p2"]["missing D"]["eight"]["highest"] < found["p2"]["missing D"]["others"]["lowest"]
    assert found["by_hand"]["low"] < found["by_hand"]["mean"] < found["by_hand"]["high"]
    assert found["by_hand"]["p"] > 0.05 and found["p_value"] < 0.05  # neither difference is decided, as the text says
    assert 100 * found["minus"]["fusion"] == pytest.approx(found["by_hand"]["mean"])
    assert found["parts"]["head"]["p"] < 0.05 and found["parts"]["head"]["low"] < 0
    assert set(found["parts"]["decided"]) == {"fusion+uncertainty", "mmdg++_without_regrad"}  # the two that are named
    assert min(found["parts"]["decided"].values()) > 0
    p6 = found["p6"]
    assert p6["mmdg++"]["low"] < 0 < p6["mmdg++"]["high"] and p6["head"]["low"] > 0 and p6["linear_probe"]["low"] > 0
    assert p6["worst"]["fusion"]["depth"] - p6["none"]["fusion"] > p6["worst"]["mmdg++"]["depth"] - p6["none"]["mmdg++"]
    certainties = [found["training"][f"certainty_{m}"] for m in ("rgb", "infrared")]
    assert certainties[0] < certainties[1] / 2
    assert found["once_more"]["faces"] > 1000 and found["once_more"]["difference"] < 1e-3
