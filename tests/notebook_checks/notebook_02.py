"""Dropout's spread is the square, moments have the exact laws, gradients and certainty are as told."""

from math import exp
from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    logits = [0, 4 / 2**0.5, 2 / 2**0.5, 0]
    assert found["primer"]["eye"] == pytest.approx(exp(logits[1]) / sum(map(exp, logits)))
    assert 0.25 < found["primer"]["doubtful"] < found["primer"]["eye"]
    assert found["dropout"]["exact"] == pytest.approx(9 * 0.3 / 0.7)
    assert found["dropout"]["explained"] > 0.9 and found["dropout"]["ratio"] == pytest.approx(1, abs=0.1)
    for method in ("monte_carlo", "moments"):
        assert min(found["p_values"][method].values()) > 1e-3
        assert abs(found["correlations"][method]) < 4 / 4000**0.5

    gradient, expected, spread = found["gradient"], 1 / 50, (1 / 50 + 2 / 50**2) ** 0.5
    assert gradient["mean"] == pytest.approx(expected, abs=4 * spread / gradient["number"] ** 0.5)
    assert gradient["spread"] == pytest.approx(spread, rel=0.05)
    for draws, row in gradient["by_draws"].items():
        assert row["mean"] == pytest.approx(1 / int(draws), abs=4 * row["spread"] / gradient["number"] ** 0.5)
    clear = [row["mean"] / row["spread"] for row in gradient["by_draws"].values()]
    assert clear[0] > clear[1] > clear[2]  # more draws drown the signal
    assert found["speed"]["100"] > found["speed"]["2"] and found["speed"]["50"] > 2
    values = [0.3, -1.2, 0.8, 1.9, -0.4, 0.1]
    mean = sum(values) / 6
    assert found["rotation"]["mean"] == pytest.approx(mean)
    assert found["rotation"]["variance"] == pytest.approx(sum((value - mean) ** 2 for value in values) / 5)

    assert exp(-2.5 * found["u"]["mean"]) == pytest.approx(exp(-2.5), abs=0.05)
    untrained, trained = found["clean"]["untrained"], found["clean"]["trained"]
    assert untrained["mean u"] == pytest.approx(1, abs=0.2)
    assert untrained["deviation of u"] < trained["deviation of u"] == pytest.approx(found["u"]["deviation"])
    assert all(0 <= found["by_hand"][when] <= 1 for when in ("before", "after"))
    rows = found["corruption"]
    kinds = [(modality, kind) for modality in ("RGB", "depth", "infrared") for kind in ("noise", "blank", "blur")]
    assert [(row["modality"], row["kind"]) for row in rows] == kinds
    assert all(row["auc_untouched"] == pytest.approx(0.5, abs=0.15) and row["margin"] > 0 for row in rows)
    for row in rows:  # which way certainty moves is the model's affair; the words must say what the numbers do
        apart = row["auc"] - row["auc_untouched"]
        told = "falls" if apart > row["margin"] else "rises" if apart < -row["margin"] else "unclear"
        assert row["certainty there"] == told
    told = [row["certainty there"] for row in rows]
    assert found["verdicts"] == {word: told.count(word) for word in ("falls", "rises", "unclear")}
    assert found["best"]["after"] - found["best"]["before"] == max(row["auc"] - row["auc_untouched"] for row in rows)
    assert found["worst"]["after"] - found["worst"]["before"] == min(row["auc"] - row["auc_untouched"] for row in rows)
