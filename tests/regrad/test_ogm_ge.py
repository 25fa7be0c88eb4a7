"""OGM-GE: coefficients by hand, where they act, and the noise."""

import math

import pytest
import torch

from mmdg_lite.regrad import ogm_ge
from mmdg_lite.regrad.gradients import Flattened

HALF, FIFTH, TENTH = (-math.log(p) for p in (0.5, 0.2, 0.1))  # losses of a true class of that probability


def test_coefficients_by_hand() -> None:
    """rho_R = 0.5 / 0.15; depth 0.2 / 0.3 and infrared 0.1 / 0.35 are behind."""
    expected = [1 - math.tanh(0.5 * 0.5 / 0.15), 1.0, 1.0]
    assert ogm_ge.coefficients([HALF, FIFTH, TENTH]) == pytest.approx(expected)
    assert ogm_ge.coefficients([HALF, FIFTH, TENTH], alpha=0.1)[0] == pytest.approx(1 - math.tanh(0.1 / 0.3))


def test_two_modalities_are_those_of_the_paper() -> None:
    """rho = 0.5 / 0.2, and its inverse."""
    assert ogm_ge.coefficients([None, HALF, FIFTH]) == pytest.approx([1.0, 1 - math.tanh(0.5 * 2.5), 1.0])


def test_two_of_three_can_be_ahead() -> None:
    first, second, third = ogm_ge.coefficients([HALF, HALF, TENTH])
    assert first == pytest.approx(1 - math.tanh(0.5 * 0.5 / 0.3))
    assert second == first
    assert third == 1


@pytest.mark.parametrize("losses", [[1.0, 1.0, 1.0], [0.3, None, None], [None, None, None]])
def test_no_modality_ahead_and_one_alone(losses: list[float | None]) -> None:
    assert ogm_ge.coefficients(losses) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("size", [0.0, 1e-6, 50.0, 1e4, 1e15])
def test_losses_of_any_size(size: float) -> None:
    for losses in ([0.0, size, size], [size, 0.0, 2 * size], [size, size, 3 * size]):
        found = ogm_ge.coefficients(losses)
        assert all(0 <= k <= 1 for k in found)


def test_weights_leave_what_a_single_loss_reaches() -> None:
    gram = torch.diag_embed(torch.tensor([[4.0, 9.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64))
    expected = torch.tensor([[0.3, 0.3, 0.3], [1.0, 1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(ogm_ge.branch_weights(gram, 0.3), expected)


def test_noise_has_the_spread_of_each_tensor_s_own_gradient() -> None:
    chance = torch.Generator().manual_seed(0)
    wide, narrow = (scale * torch.randn(40_000, generator=chance) + 3 for scale in (10.0, 1e-3))
    alone, single = torch.randn(50, generator=chance), torch.tensor([2.0])
    gradients = [[wide, wide, None], [None, narrow, -3 * narrow], [alone, None, None], [single, single, single]]
    flat = Flattened(gradients)
    noise = ogm_ge.noise(flat, flat.gram(), torch.Generator().manual_seed(1))
    of_wide, of_narrow, of_alone, of_single = flat.split(noise)
    for drawn, plain in ((of_wide, 2 * wide), (of_narrow, 2 * narrow)):
        assert float(drawn.std() / plain.std()) == pytest.approx(1, abs=0.02)
        assert abs(float(drawn.mean() / plain.std())) < 0.02
    assert not of_alone.any()
    assert not of_single.any()
    again = ogm_ge.noise(flat, flat.gram(), torch.Generator().manual_seed(1))
    assert torch.equal(noise, again)
    assert not torch.equal(noise, ogm_ge.noise(flat, flat.gram(), torch.Generator().manual_seed(2)))


def test_faults() -> None:
    with pytest.raises(ValueError, match="alpha must be positive"):
        ogm_ge.coefficients([1.0, 2.0, 3.0], alpha=0.0)
