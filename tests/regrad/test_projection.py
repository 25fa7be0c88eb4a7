"""The projection rules: pinned by hand, and what holds for any gradients at any scale."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from mmdg_lite.regrad.rule import EPSILON, RULES, Rule, project
from tests.support.plain import plain_projection

BASE = (2.0, 0.0)
AGREE, CONFLICT, ACROSS, ZERO = (3.0, 4.0), (-3.0, 4.0), (0.0, 4.0), (0.0, 0.0)
PINNED: dict[Rule, dict[tuple[float, float], tuple[float, float]]] = {
    "regrad": {AGREE: (3.0, 0.0), CONFLICT: (0.0, 4.0), ACROSS: (0.0, 4.0)},
    "keep": {AGREE: (3.0, 0.0), CONFLICT: (0.0, 0.0), ACROSS: (0.0, 0.0)},
    "drop": {AGREE: (3.0, 4.0), CONFLICT: (0.0, 4.0), ACROSS: (0.0, 4.0)},
    "orthogonal": {AGREE: (0.0, 4.0), CONFLICT: (0.0, 4.0), ACROSS: (0.0, 4.0)},
    "smooth": {AGREE: (1.8, 1.6), CONFLICT: (0.0, 4.0), ACROSS: (0.0, 4.0)},  # cosine 0.6: 0.6 (3, 0) + 0.4 (0, 4)
    "none": {AGREE: AGREE, CONFLICT: CONFLICT, ACROSS: ACROSS},
}
every_rule = pytest.mark.parametrize("rule", RULES)
PROJECTING: tuple[Rule, ...] = ("regrad", "keep", "drop", "orthogonal", "smooth")


@every_rule
def test_by_hand(rule: Rule) -> None:
    for gradient, expected in PINNED[rule].items():
        actual = project(torch.tensor(gradient), torch.tensor(BASE), rule=rule)
        torch.testing.assert_close(actual, torch.tensor(expected))


@every_rule
def test_zero_base_and_zero_gradient(rule: Rule) -> None:
    gradient, zero = torch.tensor(AGREE), torch.tensor(ZERO)
    expected = zero if rule == "keep" else gradient
    for released in (False, True):
        assert torch.equal(project(gradient, zero, rule=rule, released=released), expected)
        assert torch.equal(project(zero, gradient, rule=rule, released=released), zero)
        assert torch.equal(project(zero, zero, rule=rule, released=released), zero)


VALUES = st.floats(-10, 10, width=32)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Two gradients of one to twelve entries in float64, neither of them negligible."""
    size = draw(st.integers(1, 12))
    first, second = (
        torch.tensor(draw(st.lists(VALUES, min_size=size, max_size=size)), dtype=torch.float64) for _ in "ab"
    )
    assume(first.norm() > 1e-2 and second.norm() > 1e-2)
    return first, second


def well_apart_from_a_right_angle(gradient: Tensor, onto: Tensor) -> bool:
    """Away from 90 degrees, where rounding decides on which side of its jump a rule falls."""
    return bool((gradient @ onto).abs() > 1e-6 * gradient.norm() * onto.norm())


@every_rule
@given(pair=pairs(), exponents=st.tuples(st.floats(-30, 15), st.floats(-30, 15)))
def test_scale(rule: Rule, pair: tuple[Tensor, Tensor], exponents: tuple[float, float]) -> None:
    """T(a g onto c b) = a T(g onto b) for norms from 1e-30 to 1e15, in float32 (D15)."""
    gradient, onto = pair
    assume(well_apart_from_a_right_angle(gradient, onto))
    a, c = (10.0**exponent for exponent in exponents)
    expected = project(gradient, onto, rule=rule)
    scaled = project((a * gradient).float(), (c * onto).float(), rule=rule)
    torch.testing.assert_close(scaled.double() / a, expected, atol=1e-5 * float(gradient.norm()), rtol=1e-4)


@every_rule
@given(pair=pairs(), seed=st.integers(0, 1000))
def test_order_and_shape_of_the_entries_do_not_matter(rule: Rule, pair: tuple[Tensor, Tensor], seed: int) -> None:
    gradient, onto = pair
    assume(well_apart_from_a_right_angle(gradient, onto))
    order = torch.randperm(len(gradient), generator=torch.Generator().manual_seed(seed))
    flat = project(gradient, onto, rule=rule)
    torch.testing.assert_close(project(gradient[order], onto[order], rule=rule), flat[order])
    square = project(gradient[None, :, None], onto[None, :, None], rule=rule)
    torch.testing.assert_close(square[0, :, 0], flat)


@pytest.mark.parametrize("rule", PROJECTING)
@given(pair=pairs())
def test_what_is_left_never_conflicts_and_never_grows(rule: Rule, pair: tuple[Tensor, Tensor]) -> None:
    gradient, onto = pair
    left = project(gradient, onto, rule=rule)
    tolerance = 1e-12 * float(gradient.norm() * onto.norm())
    assert float(left @ onto) >= -tolerance
    assert float(left.norm()) <= float(gradient.norm()) * (1 + 1e-12)


@given(pair=pairs())
def test_orthogonal_is_orthogonal(pair: tuple[Tensor, Tensor]) -> None:
    gradient, onto = pair
    left = project(gradient, onto, rule="orthogonal")
    assert abs(float(left @ onto)) <= 1e-12 * float(gradient.norm() * onto.norm())


@every_rule
@given(pair=pairs())
def test_rule_is_its_definition(rule: Rule, pair: tuple[Tensor, Tensor]) -> None:
    gradient, onto = pair
    assume(well_apart_from_a_right_angle(gradient, onto))
    for released in (False, True):
        expected = plain_projection(gradient, onto, rule, epsilon=EPSILON if released else 0.0)
        torch.testing.assert_close(project(gradient, onto, rule=rule, released=released), expected)


ANY = st.floats(-(2.0**50), 2.0**50, width=32) | st.sampled_from([0.0, 1e-30, -1e-30, 1e-45])


@every_rule
@given(data=st.data())
def test_finite_in_finite_out(rule: Rule, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 6))
    gradient, onto = (torch.tensor(data.draw(st.lists(ANY, min_size=size, max_size=size))) for _ in "ab")
    assert bool(project(gradient, onto, rule=rule).isfinite().all())


def at(degrees: float) -> Tensor:
    return torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=torch.float64)


def test_the_paper_s_rule_jumps_at_a_right_angle_and_the_smooth_one_does_not() -> None:
    """From almost nothing to almost all within a fifth of a degree (D14)."""
    base = at(0)
    norms = {rule: [float(project(at(d), base, rule=rule).norm()) for d in (89.9, 90.1)] for rule in RULES}
    assert norms["regrad"] == pytest.approx([0.0017453, 0.9999985], abs=1e-6)
    for rule in ("drop", "orthogonal", "smooth", "none"):
        below, above = norms[rule]
        assert abs(above - below) < 0.005
    angles = torch.linspace(0, 180, 721)
    smooth = torch.stack([project(at(float(d)), base, rule="smooth") for d in angles])
    assert smooth.diff(dim=0).norm(dim=1).max() < 0.02
    for degrees in (0.0, 91.0, 135.0, 180.0):
        torch.testing.assert_close(project(at(degrees), base, rule="smooth"), project(at(degrees), base))


@pytest.mark.parametrize("norm, kept", [(1.0, 1.0), (1e-3, 0.9900990), (1e-4, 0.5), (1e-5, 0.00990099), (1e-6, 1e-4)])
def test_released_projection_loses_small_gradients(norm: float, kept: float) -> None:
    """An identical gradient should be kept whole, whatever its norm (D15)."""
    gradient = norm * torch.tensor([0.6, 0.8], dtype=torch.float64)
    released = project(gradient, gradient, released=True)
    assert float(released.norm()) / norm == pytest.approx(kept, rel=1e-3)
    torch.testing.assert_close(project(gradient, gradient), gradient, atol=0, rtol=1e-12)


def test_inputs_are_left_alone() -> None:
    gradient, onto = torch.tensor(CONFLICT), torch.tensor(BASE)
    for rule in RULES:
        project(gradient, onto, rule=rule)
    assert torch.equal(gradient, torch.tensor(CONFLICT))
    assert torch.equal(onto, torch.tensor(BASE))


def test_faults() -> None:
    with pytest.raises(ValueError, match="unknown rule 'pcgrad'; choose one of regrad, keep"):
        project(torch.ones(2), torch.ones(2), rule="pcgrad")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have one shape"):
        project(torch.ones(2), torch.ones(3))
