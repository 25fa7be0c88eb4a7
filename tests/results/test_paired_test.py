"""The interval of a paired comparison, on differences whose resampled means can be counted."""

import pandas as pd
import pytest

from mmdg_lite.results.paired_test import compare

CELL = {"profile": "quick", "data": "synthetic", "protocol": "P1", "missing": ""}


def rows(differences):
    """Rows of two methods that differ on each target by the numbers given, one for each seed."""
    return pd.DataFrame(
        [
            CELL | {"setting": f"->{target}", "target": target, "seed": seed, "method": method, "hter": hter}
            for target, by_seed in differences.items()
            for seed, difference in enumerate(by_seed)
            for method, hter in (("fusion", 0.2), ("mmdg++", 0.2 + difference))
        ]
    )


def test_targets_are_resampled_as_a_whole():
    """Of two targets a quarter of the draws holds the first alone, though it has one pair of four."""
    found = compare(rows({"W": [-0.1], "S": [0.03, 0.04, 0.05]}), "mmdg++")
    assert (found.low, found.high) == pytest.approx((-0.1, 0.04))
    assert (found.pairs, found.difference) == (4, pytest.approx(0.02 / 4))


@pytest.mark.parametrize(
    "differences, low, high",
    [
        ([0.0, 0.01, 0.02], 0.0, 0.02),  # the least of three targets three times: 1/27, more than 2.5 %
        ([0.0, 0.01, 0.02, 0.03], 0.005, 0.025),  # sums of 0 and 1: 5/256, less than 2.5 %; up to 2: 15/256, more
    ],
)
def test_the_interval_holds_95_percent_of_the_draws(differences, low, high):
    made = rows(dict(zip("WSPC", ([difference] for difference in differences), strict=False)))
    found = compare(made, "mmdg++", samples=20_000)
    assert (found.low, found.high) == pytest.approx((low, high))
