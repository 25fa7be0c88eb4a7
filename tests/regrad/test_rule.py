"""The modulation of one parameter's gradients."""

import itertools

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.rule import EPSILON, RULES, Rule, regrad
from tests.support.plain import plain_regrad

R, D, I = MODALITIES  # noqa: E741
CERTAINTY = [0.5, 0.25, 0.75]
OWN, AGREE, CONFLICT = (torch.tensor(v) for v in ((2.0, 0.0), (3.0, 4.0), (-3.0, 4.0)))
every_rule = pytest.mark.parametrize("rule", RULES)


def modulated(
    gradients: list[Tensor | None], branch: Modality, fastest: Modality | None, *, rule: Rule = "regrad"
) -> Tensor:
    result = regrad(gradients, branch, fastest, CERTAINTY, rule=rule)
    assert result is not None
    return result


def test_slow_branch_and_agreeing_gradient() -> None:
    """(2, 0) + U_D (3, 0): the component along its own."""
    torch.testing.assert_close(modulated([OWN, AGREE, None], R, D), torch.tensor([2.75, 0.0]))


def test_slow_branch_and_conflicting_gradient() -> None:
    """(2, 0) + U_D (0, 4): the component across its own."""
    torch.testing.assert_close(modulated([OWN, CONFLICT, None], R, D), torch.tensor([2.0, 1.0]))


def test_fastest_branch_and_agreeing_gradient() -> None:
    """U_R * 6/25 (3, 4) + (3, 4)."""
    torch.testing.assert_close(modulated([OWN, AGREE, None], R, R), torch.tensor([3.36, 4.48]))


def test_fastest_branch_and_conflicting_gradient() -> None:
    """U_R [(2, 0) + 6/25 (-3, 4)] + (-3, 4)."""
    torch.testing.assert_close(modulated([OWN, CONFLICT, None], R, R), torch.tensor([-2.36, 4.48]))


def test_three_modalities() -> None:
    """Slow depth, own (0, 2): U_R across (2, 0) is (1, 0); U_I along (1, -1) conflicts: across (1, 0), 0.75 of it."""
    gradients = [OWN, torch.tensor([0.0, 2.0]), torch.tensor([1.0, -1.0])]
    torch.testing.assert_close(modulated(gradients, D, R), torch.tensor([0.5 * 2 + 0.75 * 1, 2.0]))
    # fastest depth: base (3, -1), dot -2, along -2/10 (3, -1), across (0.6, 1.8), a quarter of it
    torch.testing.assert_close(modulated(gradients, D, D), torch.tensor([3.15, -0.55]))


def test_orthogonal_rule_splits_the_fastest_gradient() -> None:
    """Half across each of the others; all of it across the one that is there."""
    own, first, second = torch.tensor([2.0, 4.0]), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 5.0])
    both = modulated([own, first, second], R, R, rule="orthogonal")
    torch.testing.assert_close(both, 0.5 * torch.tensor([1.0, 2.0]) + first + second)
    for missing in (None, torch.zeros(2)):
        one = modulated([own, first, missing], R, R, rule="orthogonal")
        torch.testing.assert_close(one, 0.5 * torch.tensor([0.0, 4.0]) + first)


def test_no_rule_is_the_plain_sum() -> None:
    for fastest in (R, D, None):
        result = modulated([OWN, AGREE, CONFLICT], R, fastest, rule="none")
        torch.testing.assert_close(result, OWN + AGREE + CONFLICT)


@every_rule
@pytest.mark.parametrize("nothing", [None, torch.zeros(2)], ids=["none", "zeros"])
def test_a_gradient_alone_is_not_modulated(rule: Rule, nothing: Tensor | None) -> None:
    """What a single loss reaches has nothing to be balanced against; one modality alone is plain training (D21)."""
    for alone, branch, fastest in itertools.product(MODALITIES, MODALITIES, (*MODALITIES, None)):
        gradients = [nothing, nothing, nothing]
        gradients[alone.index] = AGREE
        assert torch.equal(modulated(gradients, branch, fastest, rule=rule), AGREE)


def test_released_modulates_a_gradient_alone() -> None:
    result = regrad([OWN, None, None], R, R, CERTAINTY, released=True)
    assert result is not None
    torch.testing.assert_close(result, 0.5 * OWN)


@every_rule
def test_no_gradient_at_all(rule: Rule) -> None:
    assert regrad([None, None, None], R, D, CERTAINTY, rule=rule) is None
    zero = torch.zeros(2)
    assert torch.equal(modulated([zero, zero, zero], R, R, rule=rule), zero)


ENTRIES = st.floats(-4, 4, width=32)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Tensor | None], Modality, Modality | None, list[float]]:
    """Gradients (some missing, some zero), branch, fastest, certainties; no angle close to 90 degrees."""
    size = draw(st.integers(1, 6))
    gradients: list[Tensor | None] = [
        draw(
            st.none()
            | st.just(torch.zeros(size, dtype=torch.float64))
            | st.lists(ENTRIES, min_size=size, max_size=size).map(lambda v: torch.tensor(v, dtype=torch.float64))
        )
        for _ in MODALITIES
    ]
    given_ones = [g for g in gradients if g is not None and g.any()]
    assume(any(g is not None for g in gradients))
    assume(all(g.norm() > 1e-2 for g in given_ones))
    branch = draw(st.sampled_from(MODALITIES))
    fastest = draw(st.sampled_from([*MODALITIES, None]))
    own = gradients[branch.index]
    others = [g for i, g in enumerate(gradients) if i != branch.index and g is not None and g.any()]
    if own is not None and own.any():
        for base in (*others, sum(others, torch.zeros_like(own))):
            assume(not base.any() or abs(own @ base) > 1e-6 * own.norm() * base.norm() > 1e-12)
            assume(not base.any() or base.norm() > 1e-3)  # where the others cancel, little of their products is left
    certainty = draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))
    return gradients, branch, fastest, certainty


@every_rule
@pytest.mark.parametrize("released", [(), ("D15",), ("D21",), ("D15", "D21")], ids=["ours", "D15", "D21", "both"])
@given(situation=situations())
def test_rule_is_its_definition(rule: Rule, released: tuple[str, ...], situation: tuple) -> None:
    """With and without the released code's faults."""
    gradients, branch, fastest, certainty = situation
    actual = regrad(gradients, branch, fastest, certainty, rule=rule, released=released)
    expected = plain_regrad(
        gradients,
        branch.index,
        None if fastest is None else fastest.index,
        certainty,
        rule,
        epsilon=EPSILON if "D15" in released else 0.0,
        single="D21" in released,
    )
    torch.testing.assert_close(actual, expected)


def test_under_d21_the_orthogonal_rule_counts_zeros_as_there() -> None:
    """Half of the fastest gradient goes across the zeros, that is, it is left whole."""
    own, other = torch.tensor([2.0, 4.0]), torch.tensor([1.0, 0.0])
    with_zeros = regrad([own, other, torch.zeros(2)], R, R, CERTAINTY, rule="orthogonal", released=("D21",))
    torch.testing.assert_close(with_zeros, 0.5 * (torch.tensor([0.0, 2.0]) + torch.tensor([1.0, 2.0])) + other)
    without = regrad([own, other, None], R, R, CERTAINTY, rule="orthogonal", released=("D21",))
    torch.testing.assert_close(without, 0.5 * torch.tensor([0.0, 4.0]) + other)


@every_rule
@given(situation=situations(), exponent=st.floats(-30, 15))
def test_scale(rule: Rule, situation: tuple, exponent: float) -> None:
    """Scaled gradients give a scaled result, in float32 for norms from 1e-30 to 1e15."""
    gradients, *rest = situation
    scale = 10.0**exponent
    scaled = [None if g is None else (scale * g).float() for g in gradients]
    actual, expected = regrad(scaled, *rest, rule=rule), regrad(gradients, *rest, rule=rule)
    size = max(float(g.norm()) for g in gradients if g is not None)
    torch.testing.assert_close(actual.double() / scale, expected, atol=1e-5 * size, rtol=1e-4)


@every_rule
@given(situation=situations())
def test_missing_and_zero_gradients_are_the_same(rule: Rule, situation: tuple) -> None:
    gradients, *rest = situation
    shape = next(g for g in gradients if g is not None)
    as_zeros = [torch.zeros_like(shape) if g is None else g for g in gradients]
    as_none = [None if g is None or not g.any() else g for g in gradients]
    expected = regrad(as_zeros, *rest, rule=rule)
    torch.testing.assert_close(regrad(gradients, *rest, rule=rule), expected)
    if any(g is not None for g in as_none):
        torch.testing.assert_close(regrad(as_none, *rest, rule=rule), expected)


@every_rule
@given(situation=situations(), order=st.permutations(range(3)))
def test_modalities_are_treated_alike(rule: Rule, situation: tuple, order: list[int]) -> None:
    """Renaming the modalities changes nothing."""
    gradients, branch, fastest, certainty = situation
    renamed = regrad(
        [gradients[i] for i in order],
        order.index(branch.index),
        None if fastest is None else order.index(fastest.index),
        [certainty[i] for i in order],
        rule=rule,
    )
    torch.testing.assert_close(renamed, regrad(gradients, branch, fastest, certainty, rule=rule))


@every_rule
@given(situation=situations())
def test_inputs_are_left_alone_and_results_are_finite(rule: Rule, situation: tuple) -> None:
    gradients, *rest = situation
    before = [None if g is None else g.clone() for g in gradients]
    assert bool(regrad(gradients, *rest, rule=rule).isfinite().all())
    for old, new in zip(before, gradients, strict=True):
        assert old is new if old is None else torch.equal(old, new)


def test_certainty_weighs_the_others_of_a_slow_branch_and_the_fastest_itself() -> None:
    gradients = [OWN, AGREE, CONFLICT]
    slow = regrad(gradients, R, D, [0.3, 0.0, 0.0])
    fast = regrad(gradients, R, R, [0.0, 0.7, 0.9])
    assert slow is not None
    assert fast is not None
    assert torch.equal(slow, OWN)
    torch.testing.assert_close(fast, AGREE + CONFLICT)


def test_certainties_may_be_tensors_and_modalities_numbers() -> None:
    as_tensors = [torch.tensor(value) for value in CERTAINTY]
    actual = regrad([OWN, AGREE, CONFLICT], 0, 2, as_tensors)
    assert actual is not None
    torch.testing.assert_close(actual, modulated([OWN, AGREE, CONFLICT], R, I))


def test_faults() -> None:
    with pytest.raises(ValueError, match="one gradient and one certainty per modality, got 2 and 3"):
        regrad([OWN, AGREE], R, D, CERTAINTY)
    with pytest.raises(ValueError, match="unknown rule 'sum'"):
        regrad([OWN, AGREE, None], R, D, CERTAINTY, rule="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have one shape"):
        regrad([OWN, torch.ones(3), None], R, D, CERTAINTY)
