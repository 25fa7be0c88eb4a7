"""ReGrad's moving averages of the losses, and the fastest modality."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.regrad.step import ReGrad

R, D, I = MODALITIES  # noqa: E741


def tensors(*values: float | None) -> list[Tensor | None]:
    return [None if value is None else torch.tensor(value) for value in values]


def test_averages_by_hand() -> None:
    balance = ReGrad(momentum=0.5)
    assert all(math.isnan(value) for value in balance.corrected_averages())
    assert balance.update(tensors(1.0, 2.0, 4.0)) is R
    assert balance.averages == [0.5, 1.0, 2.0]
    assert balance.corrected_averages() == (1.0, 2.0, 4.0)
    assert balance.update(tensors(7.0, 2.0, 0.5)) is I
    assert balance.averages == [3.75, 1.5, 1.25]
    assert balance.corrected_averages() == (5.0, 2.0, 1.25 / 0.75)


def test_a_tie_gives_no_fastest_modality() -> None:
    assert ReGrad().update(tensors(1.0, 1.0, 2.0)) is None
    assert ReGrad().update(tensors(1.0, 1.0, 1.0)) is None
    assert ReGrad().update(tensors(2.0, 2.0, 1.0)) is I


def test_missing_modalities_keep_their_average_and_do_not_compete() -> None:
    """In the released code a missing modality's average decays, and then no present one is the fastest (D20)."""
    losses = tensors(1.0, None, 2.0)
    balance = ReGrad()
    balance.update(tensors(3.0, 0.1, 3.0))
    assert balance.update(losses) is R
    assert balance.averages[D.index] == pytest.approx(0.05)
    assert balance.corrected_averages()[D.index] == pytest.approx(0.1)
    released = ReGrad(released=True)
    released.update(tensors(3.0, 0.1, 3.0))
    assert released.update(losses) is D
    assert released.averages[D.index] == pytest.approx(0.025)


def test_averages_are_corrected_for_their_number_of_updates() -> None:
    """A modality seen once is compared at its loss, not at half of it."""
    balance = ReGrad()
    balance.update(tensors(1.0, None, 1.0))
    assert balance.update(tensors(1.0, 1.2, 1.1)) is R
    assert balance.corrected_averages() == pytest.approx((1.0, 1.2, (0.5 * 0.5 + 0.55) / 0.75))


def test_one_present_modality_is_the_fastest_and_none_is_no_fault() -> None:
    assert ReGrad().update(tensors(None, 2.0, None)) is D
    assert ReGrad().update(tensors(None, None, None)) is None


LOSSES = st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=1, max_size=30)


@given(sequence=LOSSES, momentum=st.floats(0, 0.95))
def test_corrected_averages_stay_within_the_losses(sequence: list[list[float]], momentum: float) -> None:
    """The released ones grow without bound (D3)."""
    balance = ReGrad(momentum=momentum)
    for losses in sequence:
        balance.update([torch.tensor(value, dtype=torch.float64) for value in losses])
    for i, average in enumerate(balance.corrected_averages()):
        of_modality = [losses[i] for losses in sequence]
        assert min(of_modality) - 1e-9 <= average <= max(of_modality) + 1e-9


def test_a_change_of_speed_is_seen_after_two_steps_where_the_released_averages_never_see_it() -> None:
    ours, released = ReGrad(), ReGrad(released=True)
    for _ in range(10):
        for balance in (ours, released):
            balance.update(tensors(1.0, 0.9, 0.8))
    seen = [ours.update(tensors(0.1, 0.9, 0.8)) for _ in range(3)]
    assert seen[1:] == [R, R]
    assert all(released.update(tensors(0.1, 0.9, 0.8)) is not R for _ in range(400))
    assert released.averages[R.index] > 1e50


def test_state_there_and_back() -> None:
    balance = ReGrad()
    balance.update(tensors(1.0, 2.0, None))
    resumed = ReGrad()
    resumed.load_state_dict(balance.state_dict())
    for losses in (tensors(2.0, 1.0, 3.0), tensors(None, 1.0, 0.5)):
        assert balance.update(losses) is resumed.update(losses)
        assert balance.state_dict() == resumed.state_dict()
    with pytest.raises(KeyError, match="updates"):
        resumed.load_state_dict({"averages": [0.0, 0.0, 0.0]})
