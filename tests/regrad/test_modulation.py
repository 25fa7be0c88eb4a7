"""All parameters at once: Gram matrices, weights and weighted sums, against the rule in vectors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.balancing import Moment
from mmdg_lite.regrad.branches import Branch
from mmdg_lite.regrad.gradients import Flattened, Gradients
from mmdg_lite.regrad.modulation import Modulated, modulate
from mmdg_lite.regrad.rule import RULES, Rule, is_shared, regrad_weights
from tests.support.plain import plain_regrad

R, D, I = MODALITIES  # noqa: E741
SHAPES = [(), (1,), (7,), (3, 4), (2, 3, 5), (40, 50)]
every_rule = pytest.mark.parametrize("rule", RULES)
fastest_ones = pytest.mark.parametrize("fastest", [R, D, I, None], ids=["rgb", "depth", "infrared", "none"])


def at_once(
    gradients: list[Gradients], branches: list[Branch], fastest: Modality | None, certainty: list[float], rule: Rule
) -> Modulated:
    lead = None if fastest is None else fastest.index
    moment = Moment(losses=[1.0, 1.0, 1.0], fastest=lead, certainty=certainty)
    return modulate(gradients, branches, rule, moment)


def one_by_one(
    gradients: list[Gradients], branches: list[Branch], fastest: Modality | None, certainty: list[float], rule: Rule
) -> list[Tensor | None]:
    """The rule in vectors, parameter by parameter."""
    lead, found = None if fastest is None else fastest.index, []
    for of, branch in zip(gradients, branches, strict=True):
        there = [g for g in of if g is not None]
        if not there:
            found.append(None)
        elif branch is None:
            found.append(sum(there[1:], there[0]))
        else:
            found.append(plain_regrad(of, branch.index, lead, certainty, rule).to(there[0].dtype))
    return found


def drawn(seed: int, *, missing: Modality | None = None, dtype: torch.dtype = torch.float32) -> list[Gradients]:
    """Gradients of all shapes: of scales from 1e-25 to 1e15, parallel and opposed ones, zero and missing ones."""
    chance = torch.Generator().manual_seed(seed)

    def pick(number: int) -> int:
        return int(torch.randint(number, (), generator=chance))

    found: list[Gradients] = []
    for _ in range(8):
        for shape in SHAPES:
            common = torch.randn(shape, generator=chance, dtype=torch.float64)
            base = pick(36) - 23
            of: list[Tensor | None] = []
            for m in MODALITIES:
                raw = torch.randn(shape, generator=chance, dtype=torch.float64) + (pick(5) - 2) * common
                scale = 10.0 ** (base + pick(3) - 1)
                case = pick(10)
                gone = case == 0 or m is missing
                of.append(None if gone else (raw * (0.0 if case == 1 else scale)).to(dtype))
            found.append(of)
    return found


def assert_equal_by_scale(
    actual: list[Tensor | None], expected: list[Tensor | None], gradients: list[Gradients]
) -> None:
    """Within float32's accuracy of the largest of the three gradients."""
    for one, other, of in zip(actual, expected, gradients, strict=True):
        if all(g is None for g in of):
            assert one is None
            continue
        assert one is not None
        assert other is not None
        size = max(float(g.double().norm()) for g in of if g is not None)
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        torch.testing.assert_close(one.double(), other.double(), rtol=2e-5, atol=2e-6 * size)


@every_rule
@fastest_ones
@pytest.mark.parametrize("missing", [None, D], ids=["all", "without depth"])
def test_equal_to_the_rule_in_vectors(rule: Rule, fastest: Modality | None, missing: Modality | None) -> None:
    gradients = drawn(len(rule), missing=missing)
    branches: list[Branch] = [MODALITIES[i % 3] for i in range(len(gradients))]
    certainty = [0.3, 0.9, 0.6]
    actual = at_once(gradients, branches, fastest, certainty, rule)
    assert sum(g is not None for g in actual.gradients) > 40
    assert_equal_by_scale(actual.gradients, one_by_one(gradients, branches, fastest, certainty, rule), gradients)


@every_rule
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), fastest=st.sampled_from([R, D, I, None]), branch=st.sampled_from(MODALITIES))
def test_equal_in_float64_to_its_accuracy(rule: Rule, seed: int, fastest: Modality | None, branch: Modality) -> None:
    gradients = drawn(seed, dtype=torch.float64)
    branches: list[Branch] = [branch] * len(gradients)
    certainty = [0.2, 0.5, 1.0]
    actual = at_once(gradients, branches, fastest, certainty, rule).gradients
    for one, other in zip(actual, one_by_one(gradients, branches, fastest, certainty, rule), strict=True):
        if one is None or other is None:
            assert one is other
        else:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * max(1e-300, float(other.abs().max())))


@every_rule
@pytest.mark.parametrize("alone", MODALITIES)
@pytest.mark.parametrize("nothing", [None, torch.zeros(3)], ids=["none", "zeros"])
def test_a_gradient_alone_is_kept_exactly(rule: Rule, alone: Modality, nothing: Tensor | None) -> None:
    """What a single loss reaches has nothing to be balanced against (D21)."""
    own = torch.tensor([1e-20, -3.0, 1e10])
    of: list[Tensor | None] = [nothing, nothing, nothing]
    of[alone.index] = own
    for branch in MODALITIES:
        for fastest in (*MODALITIES, None):
            (result,) = at_once([of], [branch], fastest, [0.5, 0.5, 0.5], rule).gradients
            assert result is not None
            assert torch.equal(result, own)


def test_opposed_others_of_the_fastest_leave_its_own() -> None:
    """Their sum is zero, and nothing is projected onto nothing: own by its certainty."""
    own, other = torch.tensor([1.0, 2.0]), torch.tensor([0.3, -0.7])
    (result,) = at_once([[own, other, -other]], [R], R, [0.5, 1.0, 1.0], "regrad").gradients
    assert result is not None
    torch.testing.assert_close(result, 0.5 * own, rtol=0, atol=1e-7)


def test_parameters_of_no_branch_get_the_plain_sum_and_unreached_ones_nothing() -> None:
    of = [torch.ones(2), None, 2 * torch.ones(2)]
    modulated = at_once(
        [of, [None, None, None], [None, None, None], of], [None, None, R, R], I, [0.0, 0.0, 0.0], "drop"
    )
    first, second, third, fourth = modulated.gradients
    assert first is not None
    assert torch.equal(first, torch.full((2,), 3.0))
    assert second is None
    assert third is None
    assert fourth is not None
    assert torch.equal(fourth, torch.ones(2))


def test_nothing_at_all() -> None:
    modulated = at_once([[None, None, None]], [R], None, [1.0, 1.0, 1.0], "regrad")
    assert modulated.gradients == [None]
    assert math.isnan(modulated.conflict_rate)
    assert modulated.norms == (0.0, 0.0, 0.0)


def test_types_are_kept() -> None:
    """Also where tensors of several types are laid side by side."""
    gradients: list[Gradients] = [
        [torch.ones(3, dtype=kind), torch.ones(3, dtype=kind), None]
        for kind in (torch.float32, torch.bfloat16, torch.float64)
    ]
    results = at_once(gradients, [R, R, R], None, [0.5, 0.5, 0.5], "regrad").gradients
    for of, result in zip(gradients, results, strict=True):
        assert result is not None
        assert result.dtype == of[0].dtype  # type: ignore[union-attr]
        assert torch.equal(result, torch.full_like(result, 1.5))


def test_gram_matrices_by_hand() -> None:
    flat = Flattened([[torch.tensor([2.0, 0.0]), torch.tensor([3.0, 4.0]), None], [None, torch.tensor(5.0), None]])
    expected = torch.tensor([[[4, 6, 0], [6, 25, 0], [0, 0, 0]], [[0, 0, 0], [0, 25, 0], [0, 0, 0]]])
    assert torch.equal(flat.gram(), expected.double())
    assert is_shared(flat.gram()).tolist() == [True, False]
    summed = flat.split(flat.weighted_sum(torch.tensor([[1, 0.5, 9], [9, 2, 9]], dtype=torch.float64)))
    assert torch.equal(summed[0], torch.tensor([3.5, 2.0]))
    assert torch.equal(summed[1], torch.tensor(10.0))


def test_weights_by_hand() -> None:
    """Own (2, 0), depth (3, 4), infrared (-3, 4): Gram 4, 6, -6; 25, 7; 25."""
    gram = torch.tensor([[[4.0, 6, -6], [6, 25, 7], [-6, 7, 25]]], dtype=torch.float64)
    certainty = [0.5, 0.25, 0.75]
    by_rule: dict[Rule, list[float]] = {
        "regrad": [1 + 0.25 * 1.5 + 0.75 * 1.5, 0, 0.75],
        "keep": [1 + 0.25 * 1.5, 0, 0],
        "drop": [1 + 0.75 * 1.5, 0.25, 0.75],
        "orthogonal": [1 - 0.25 * 1.5 + 0.75 * 1.5, 0.25, 0.75],
        "none": [1, 1, 1],
    }
    for rule, expected in by_rule.items():
        actual = regrad_weights(gram, 0, 1, certainty, rule=rule)
        torch.testing.assert_close(actual, torch.tensor([expected], dtype=torch.float64))
    # the fastest: base (0, 8), own product 0, which is no agreement: all of own by its certainty
    torch.testing.assert_close(regrad_weights(gram, 0, 0, certainty), torch.tensor([[0.5, 1, 1]], dtype=torch.float64))
