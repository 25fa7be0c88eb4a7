"""Length, cosines and conflicts of a rule's direction, against the direction itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.regrad.balancing import BALANCING_RULES, Moment
from mmdg_lite.regrad.effects import TITLES, available, effect, is_raised
from mmdg_lite.regrad.gradients import Flattened, Gradients
from mmdg_lite.regrad.modulation import modulate
from tests.support.rules import rule_parameters

MOMENT = Moment(losses=[0.4, 1.1, 0.9], fastest=0, certainty=[0.5, 0.25, 0.75], seed=3)
WITHOUT_NOISE = tuple(rule for rule in BALANCING_RULES if rule != "ogm_ge")
BRANCHES = [MODALITIES[i % 3] for i in range(9)]


def drawn(seed: int) -> list[Gradients]:
    """Nine tensors of three entries, the last of them reached by one loss only."""
    chance = torch.Generator().manual_seed(seed)
    made: list[Gradients] = [[torch.randn(3, generator=chance).double() for _ in MODALITIES] for _ in BRANCHES]
    made[8] = [None, None, made[8][2]]
    return made


def grams(gradients: list[Gradients]) -> dict[int, Tensor]:
    return {m: Flattened(gradients[m::3]).gram() for m in range(3)}


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / a.norm() / b.norm())


@pytest.mark.parametrize("rule", rule_parameters(WITHOUT_NOISE))
@pytest.mark.parametrize("seed", range(3))
def test_effect_is_that_of_the_direction_itself(rule: str, seed: int) -> None:
    gradients = drawn(seed)
    made = modulate(gradients, BRANCHES, rule, MOMENT).gradients[:8]  # type: ignore[arg-type]
    direction = torch.cat([g for g in made if g is not None])
    of_loss = [torch.cat([of[m] for of in gradients[:8]]) for m in range(3)]  # type: ignore[misc]
    plain = sum(of_loss, torch.zeros(24).double())
    found = effect(grams(gradients), rule, MOMENT)  # type: ignore[arg-type]
    assert found.length == pytest.approx(float(direction.norm() / plain.norm()))
    assert found.to_plain == pytest.approx(cosine(direction, plain))
    np.testing.assert_allclose(found.cosines, [cosine(direction, g) for g in of_loss], atol=1e-9)
    negative = [float(d @ g) < -1e-9 for d, of in zip(made, gradients, strict=False) for g in of]  # type: ignore[operator]
    assert found.against == pytest.approx(sum(negative) / 24)
    assert found.raised.tolist() == [float(direction @ g) < 0 for g in of_loss]


def test_plain_sum_is_itself() -> None:
    found = effect(grams(drawn(0)), "none", MOMENT)
    assert (found.length, found.to_plain) == (pytest.approx(1), pytest.approx(1))


def test_scaled_gradients_have_the_same_effect() -> None:
    tiny: list[Gradients] = [[None if g is None else 1e-9 * g for g in of] for of in drawn(1)]
    for rule in available():
        one, other = effect(grams(drawn(1)), rule, MOMENT), effect(grams(tiny), rule, MOMENT)
        assert other.length == pytest.approx(one.length, rel=1e-4)
        np.testing.assert_allclose(other.cosines, one.cosines, atol=1e-4)


def test_no_gradient_has_no_direction() -> None:
    nothing: list[Gradients] = [[torch.zeros(2) for _ in MODALITIES] for _ in BRANCHES]
    for rule in available():
        found = effect(grams(nothing), rule, MOMENT)
        assert (found.length, found.to_plain, found.against) == (0, 0, 0)
        assert found.cosines.tolist() == [0, 0, 0] and not found.raised.any()


def test_a_missing_modality_is_not_raised() -> None:
    gone: list[Gradients] = [[of[0], None, of[2]] for of in drawn(2)]
    for rule in available():
        found = effect(grams(gone), rule, replace(MOMENT, losses=[0.4, None, 0.9]))
        assert found.cosines[1] == 0 and not found.raised[1]
        assert 0 <= found.against <= 1


def test_rounding_is_no_conflict() -> None:
    assert is_raised(np.array([-1e-3, -1e-9, 0.0, 0.5])).tolist() == [True, False, False, False]


def test_every_rule_has_a_title() -> None:
    assert set(TITLES) == set(BALANCING_RULES)
    assert set(WITHOUT_NOISE) & set(available()) >= {"regrad", "none", "keep", "drop", "orthogonal", "smooth"}
