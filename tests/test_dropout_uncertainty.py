"""Monte Carlo dropout: the shortcuts have the distribution, and the expectation, of the masks."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mmdg_lite.uncertainty import DropoutCertainty, SeededDropout, dropout_spread, monte_carlo_dropout

P, DRAWS = 0.3, 20


def kept_counts(spread):
    """k (n - k) from the variance of the draws of x = 1, as whole numbers."""
    values = spread.double() * (1 - P) ** 2 * DRAWS * (DRAWS - 1)
    torch.testing.assert_close(values, values.round(), atol=1e-3, rtol=0)
    return values.round().long().numpy()


@pytest.mark.parametrize("method", ["monte_carlo", "moments"])
def test_spread_has_the_binomial_distribution(generator, method):
    spread = dropout_spread(torch.ones(20_000), P, DRAWS, method=method, generator=generator)
    possible, observed = np.unique(kept_counts(spread), return_counts=True)
    chances = dict.fromkeys(possible, 0.0)
    for k in range(DRAWS + 1):
        if k * (DRAWS - k) in chances:
            chances[k * (DRAWS - k)] += stats.binom.pmf(k, DRAWS, 1 - P)
    expected = len(spread) * np.array(list(chances.values()))
    common = expected >= 5
    statistic = ((observed - expected)[common] ** 2 / expected[common]).sum()
    assert stats.chi2.sf(statistic, common.sum()) > 0.01
    assert abs(sum(chances.values()) - 1) < 1e-3


@pytest.mark.parametrize("spread", ["variance", "std"])
@pytest.mark.parametrize("method", ["monte_carlo", "moments"])
def test_expected_is_the_mean_of_the_draws(generator, method, spread):
    x = torch.tensor([-2.0, -0.3, 0.0, 0.7, 1.5])
    draws = dropout_spread(x.repeat(8000, 1), P, DRAWS, method=method, spread=spread, generator=generator)  # 8000 x 5
    expected = dropout_spread(x, P, DRAWS, method="expected", spread=spread)
    error = draws.std(dim=0) / math.sqrt(len(draws))
    assert ((draws.mean(dim=0) - expected).abs() <= 4 * error + 1e-7).all()


def test_expected_variance_is_a_multiple_of_the_square(generator):
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    for draws in (2, 20, 51):
        torch.testing.assert_close(dropout_spread(x, P, draws, method="expected"), x**2 * P / (1 - P))
    assert not dropout_spread(x, 0.0, 5, method="expected").any()
    assert not dropout_spread(x, 0.0, 5, method="moments", generator=generator).any()


def test_moments_scale_with_the_feature_as_the_masks_do():
    """The same binomial numbers: x^2 times the variance for x = 1, |x| times the deviation."""
    x = torch.randn(50, generator=torch.Generator().manual_seed(1))
    one, other, deviation = (
        dropout_spread(values, P, DRAWS, method="moments", spread=spread, generator=torch.Generator().manual_seed(2))
        for values, spread in ((torch.ones(50), "variance"), (x, "variance"), (x, "std"))
    )
    torch.testing.assert_close(other, x**2 * one)
    torch.testing.assert_close(deviation, other.sqrt())


@pytest.mark.parametrize("spread", ["variance", "std"])
def test_monte_carlo_is_the_plain_function(spread):
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    ours, plain = (
        function(torch.Generator().manual_seed(3))
        for function in (
            lambda g: dropout_spread(x, P, DRAWS, method="monte_carlo", spread=spread, generator=g),
            lambda g: monte_carlo_dropout(x, P, DRAWS, spread=spread, generator=g),
        )
    )
    torch.testing.assert_close(ours, plain)


def test_certainty_is_taken_per_element_then_averaged_over_channels(generator):
    attended = torch.randn(2, 5, 4, generator=generator).requires_grad_()
    estimate = DropoutCertainty(p=P, draws=DRAWS, rate=2.25)
    expected = torch.stack([torch.exp(-2.25 * attended[..., c] ** 2 * P / (1 - P)) for c in range(4)]).mean(dim=0)
    result = estimate(attended)
    torch.testing.assert_close(result[..., 0], expected.detach())
    assert not result.requires_grad and result.shape == (2, 5, 1)
    assert estimate(attended.bfloat16()).dtype == torch.float32
    deviation = DropoutCertainty(p=P, draws=DRAWS, rate=2.25, spread="std")(attended)
    assert (deviation < result).any()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"p": 1.0}, "dropout probability must be in"),
        ({"draws": 1}, "at least 2 draws"),
        ({"method": "exact"}, "unknown sampling method 'exact'"),
        ({"spread": "range"}, "unknown spread 'range'"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    settings = {"p": P, "draws": DRAWS, "method": "moments"} | options
    with pytest.raises(ValueError, match=message):
        dropout_spread(torch.ones(2), **settings)


def test_seeded_dropout_is_dropout_from_its_own_generator():
    drop, x = SeededDropout(0.4), torch.ones(10_000)
    before = torch.random.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        drop.generator = torch.Generator().manual_seed(seed)
        results.append(drop(x))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    torch.testing.assert_close(results[0].unique(), torch.tensor([0.0, 1 / 0.6]))
    assert (results[0] == 0).float().mean().item() == pytest.approx(0.4, abs=0.02)
    assert drop.eval()(x) is x
    with pytest.raises(ValueError, match="probability"):
        SeededDropout(1.0)
