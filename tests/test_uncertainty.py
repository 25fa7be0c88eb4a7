"""Certainty, the three ways to obtain sample moments, and Monte Carlo dropout."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from mmdg_lite.uncertainty import SAMPLING_METHODS, Sampling, certainty, monte_carlo_dropout, sample_moments

DRAWN: tuple[Sampling, ...] = ("monte_carlo", "moments")
drawn = pytest.mark.parametrize("method", DRAWN)
LEVEL = 1e-3
"""Significance level: about twenty statistics are tested here, each with fixed seeds."""


@given(
    rate=st.floats(0, 100),
    variances=st.lists(st.floats(0, 1e6), min_size=2, max_size=20).map(sorted),
)
def test_certainty_falls_from_one_with_variance(rate: float, variances: list[float]) -> None:
    values = certainty(torch.tensor([0.0, *variances], dtype=torch.float64), rate)
    assert values[0] == 1
    assert bool((values >= 0).all())
    assert bool((values.diff() <= 0).all())


def test_certainty_is_the_exponential() -> None:
    variance = torch.tensor([[0.1, 0.4], [1.0, 2.0]], dtype=torch.float64)
    expected = [[math.exp(-0.25), math.exp(-1.0)], [math.exp(-2.5), math.exp(-5.0)]]
    torch.testing.assert_close(certainty(variance, 2.5), torch.tensor(expected, dtype=torch.float64))


def test_negative_rate() -> None:
    with pytest.raises(ValueError, match="rate must not be negative"):
        certainty(torch.ones(3), -0.1)


def gaussians(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means and log-variances of n different Gaussians."""
    mean = 3 * torch.randn(n, generator=generator, dtype=torch.float64)
    return mean, 2 * torch.randn(n, generator=generator, dtype=torch.float64) - 1


def standardised(method: Sampling, samples: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """sqrt(K) (sample mean - mu) / s and (K - 1) sample variance / s^2 of n Gaussians."""
    mean, log_variance = gaussians(n, generator)
    sample_mean, variance = sample_moments(mean, log_variance, samples, method=method, generator=generator)
    deviation = torch.exp(log_variance / 2)
    return samples**0.5 * (sample_mean - mean) / deviation, (samples - 1) * variance / deviation.square()


@drawn
@pytest.mark.parametrize("samples", [2, 5, 50])
def test_sample_moments_have_their_exact_distributions(
    method: Sampling, samples: int, generator: torch.Generator
) -> None:
    """Kolmogorov-Smirnov; the last line shows that a wrong number of degrees of freedom would be seen."""
    z, chi_square = standardised(method, samples, 20_000, generator)
    assert stats.kstest(z.numpy(), "norm").pvalue > LEVEL
    assert stats.kstest(chi_square.numpy(), "chi2", args=(samples - 1,)).pvalue > LEVEL
    assert stats.kstest(chi_square.numpy(), "chi2", args=(samples,)).pvalue < 1e-6


@drawn
def test_sample_mean_and_variance_are_independent(method: Sampling, generator: torch.Generator) -> None:
    z, chi_square = standardised(method, 50, 20_000, generator)
    below = chi_square < chi_square.median()
    assert stats.ks_2samp(z[below].numpy(), z[~below].numpy()).pvalue > LEVEL
    assert stats.spearmanr(z.numpy(), chi_square.numpy()).pvalue > LEVEL
    assert stats.spearmanr(z.abs().numpy(), chi_square.numpy()).pvalue > LEVEL


def test_elements_are_drawn_independently(generator: torch.Generator) -> None:
    z, chi_square = standardised("moments", 50, 20_000, generator)
    for statistic in (z, chi_square):
        assert stats.spearmanr(statistic[:-1].numpy(), statistic[1:].numpy()).pvalue > LEVEL


def test_expected_is_what_the_draws_average_to(generator: torch.Generator) -> None:
    mean, log_variance = torch.tensor([0.5, -2.0]), torch.tensor([-1.0, 0.7])
    expected_mean, expected_variance = sample_moments(mean, log_variance, 50, method="expected")
    assert torch.equal(expected_mean, mean)
    torch.testing.assert_close(expected_variance, log_variance.exp())
    for method in DRAWN:
        many = (mean.expand(20_000, 2), log_variance.expand(20_000, 2))
        sample_mean, variance = sample_moments(*many, 10, method=method, generator=generator)
        torch.testing.assert_close(sample_mean.mean(dim=0), expected_mean, atol=0.02, rtol=0)
        torch.testing.assert_close(variance.mean(dim=0), expected_variance, atol=0, rtol=0.02)


def test_monte_carlo_with_given_noise_by_hand() -> None:
    """N(1, 4) with draws -1, 0, 1, 2 of the noise: samples -1, 1, 3, 5; mean 2, unbiased variance 20 / 3."""
    noise = torch.tensor([-1.0, 0.0, 1.0, 2.0])[:, None]
    mean, variance = sample_moments(
        torch.tensor([1.0]), torch.tensor([math.log(4.0)]), 4, method="monte_carlo", noise=noise
    )
    torch.testing.assert_close(mean, torch.tensor([2.0]))
    torch.testing.assert_close(variance, torch.tensor([20 / 3]))


def reseeded(method: Sampling, *, which: int) -> Callable[[Tensor, Tensor], Tensor]:
    """One of the sample moments as a deterministic function of mean and log-variance."""

    def moment(mean: Tensor, log_variance: Tensor) -> Tensor:
        chance = torch.Generator().manual_seed(3)
        return sample_moments(mean, log_variance, 6, method=method, generator=chance)[which]

    return moment


@pytest.mark.parametrize("method", SAMPLING_METHODS)
@pytest.mark.parametrize("which", [0, 1], ids=["mean", "variance"])
def test_gradients(method: Sampling, which: int) -> None:
    chance = torch.Generator().manual_seed(4)
    mean, log_variance = (torch.randn(2, 3, generator=chance, dtype=torch.float64, requires_grad=True) for _ in "ab")
    assert torch.autograd.gradcheck(reseeded(method, which=which), (mean, log_variance))


@drawn
def test_log_variance_is_trained_by_the_sampling_noise_of_the_mean_only(method: Sampling) -> None:
    """The derivative of the sample mean by the log-variance is half its deviation from the mean (D11)."""
    mean, log_variance = torch.zeros(100, dtype=torch.float64), torch.zeros(100, dtype=torch.float64).requires_grad_()
    sample_mean = reseeded(method, which=0)(mean, log_variance)
    (gradient,) = torch.autograd.grad(sample_mean.sum(), log_variance)
    torch.testing.assert_close(gradient, sample_mean.detach() / 2)


@drawn
def test_generator_decides_everything(method: Sampling) -> None:
    mean, log_variance = torch.zeros(4, 5), torch.zeros(4, 5)

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        chance = torch.Generator().manual_seed(seed)
        return sample_moments(mean, log_variance, 50, method=method, generator=chance)

    state = torch.get_rng_state()
    first, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@drawn
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_type_are_kept(method: Sampling, dtype: torch.dtype) -> None:
    mean = torch.zeros(2, 1, 3, dtype=dtype)
    for moment in sample_moments(mean, mean, 3, method=method):
        assert moment.shape == mean.shape
        assert moment.dtype == dtype


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "bootstrap"}, "unknown sampling method 'bootstrap'"),
        ({"samples": 1}, "at least 2 samples, got 1"),
        ({"noise": torch.zeros(4, 3)}, r"noise must have shape \(5, 3\), got \(4, 3\)"),
        ({"method": "moments", "noise": torch.zeros(5, 3)}, "'monte_carlo' only, not by 'moments'"),
        ({"method": "expected", "noise": torch.zeros(5, 3)}, "'monte_carlo' only, not by 'expected'"),
    ],
)
def test_faults_of_sampling(options: dict, message: str) -> None:
    arguments = {"samples": 5, "method": "monte_carlo", **options}
    with pytest.raises(ValueError, match=message):
        sample_moments(torch.zeros(3), torch.zeros(3), **arguments)


@pytest.mark.parametrize("spread, expected", [("variance", 16 / 3), ("std", math.sqrt(16 / 3))])
def test_dropout_by_hand(spread: str, expected: float) -> None:
    """x = 2, p = 1/2, masks 1 0 1 0 (draws 4 0 4 0): unbiased variance 16 / 3."""
    masks = torch.tensor([1, 0, 1, 0])[:, None]
    value = monte_carlo_dropout(torch.tensor([2.0]), 0.5, 4, spread=spread, masks=masks)
    torch.testing.assert_close(value, torch.tensor([expected]))


def test_dropout_spread_is_that_of_bernoulli_masks(generator: torch.Generator) -> None:
    """The variance of x * mask / (1 - p) is x^2 p / (1 - p)."""
    x = torch.tensor([0.5, -1.0, 3.0]).expand(20_000, 3)
    values = monte_carlo_dropout(x, 0.3, 20, generator=generator)
    torch.testing.assert_close(values.mean(dim=0), x[0].square() * 0.3 / 0.7, atol=0, rtol=0.02)


def test_dropout_carries_no_gradient_and_vanishes_without_dropping() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    assert not monte_carlo_dropout(x, 0.3, 5).requires_grad
    assert not monte_carlo_dropout(x, 0.0, 5).any()


def test_dropout_generator_decides_everything() -> None:
    x = torch.ones(8, 8)
    first, again, other = (
        monte_carlo_dropout(x, 0.3, 5, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"p": 1.0}, r"must be in \[0, 1\), got 1.0"),
        ({"draws": 1}, "at least 2 draws, got 1"),
        ({"spread": "range"}, "unknown spread 'range'"),
        ({"masks": torch.ones(3, 2)}, r"masks must have shape \(4, 2\), got \(3, 2\)"),
    ],
)
def test_faults_of_dropout(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        monte_carlo_dropout(torch.ones(2), **{"p": 0.3, "draws": 4, **options})
