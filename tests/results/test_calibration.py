"""Calibration error and risk-coverage by hand, by simulation and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.results.calibration import expected_calibration_error, risk_coverage


def test_calibration_error_by_hand():
    # bins 0..0.5 and 0.5..1: (|0.1+0.3 - 1| + |0.9+0.7 - 1|) / 4
    assert expected_calibration_error([0.1, 0.3, 0.9, 0.7], [0, 1, 1, 0], bins=2) == pytest.approx(0.3)
    assert expected_calibration_error([0.0, 1.0], [0, 1]) == 0
    assert expected_calibration_error([1.0, 0.0], [0, 1]) == 1


def test_calibrated_scores_have_little_error_and_sharpened_ones_much(rng):
    scores = rng.random(20_000)
    labels = rng.random(20_000) < scores
    assert expected_calibration_error(scores, labels) < 0.02
    sharpened = scores**3 / (scores**3 + (1 - scores) ** 3)
    assert expected_calibration_error(sharpened, labels) > 0.1


def test_risk_coverage_by_hand():
    curve = risk_coverage([True, False, True, True], [0.9, 0.4, 0.8, 0.2])
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert curve.area == pytest.approx((1 / 3 + 1 / 4) / 4)
    assert curve.excess == pytest.approx((1 / 3 + 1 / 4) / 4 - 1 / 16)


def test_ties_do_not_depend_on_the_order_of_samples():
    a = risk_coverage([True, False, True], [0.5, 0.5, 0.5])
    assert a.risk == pytest.approx([1 / 3] * 3)
    assert risk_coverage([False, True, True], [0.5, 0.5, 0.5]).area == pytest.approx(a.area)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30), st.randoms())
def test_risk_coverage_properties(pairs, shuffle):
    curve = risk_coverage([c for c, _ in pairs], [k for _, k in pairs])
    assert curve.risk[-1] == pytest.approx(np.mean([not c for c, _ in pairs]))
    assert curve.excess >= -1e-12
    assert 0 <= curve.area <= 1
    mixed = list(pairs)
    shuffle.shuffle(mixed)
    assert risk_coverage([c for c, _ in mixed], [k for _, k in mixed]).area == pytest.approx(curve.area)
    assert risk_coverage([c for c, _ in pairs], [c for c, _ in pairs]).excess <= curve.excess + 1e-12


@pytest.mark.parametrize("scores, labels", [([], []), ([0.5], [0, 1]), ([1.5], [1]), ([float("nan")], [1])])
def test_bad_scores_are_refused(scores, labels):
    with pytest.raises(ValueError, match="scores"):
        expected_calibration_error(scores, labels)


def test_bad_confidence_is_refused():
    with pytest.raises(ValueError, match="equally long"):
        risk_coverage([True], [])
    with pytest.raises(ValueError, match="not numbers"):
        risk_coverage([True], [float("nan")])
