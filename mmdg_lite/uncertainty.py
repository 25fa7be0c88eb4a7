"""How certain is a token? Gaussian queries (MMDG++) and Monte Carlo dropout (MMDG).

A query is treated as a Gaussian; its uncertainty u is the sample variance of K draws, its certainty
U = exp(-r u) lies in (0, 1]. Drawing K copies of every query is wasteful: for K independent draws of N(mu, s^2)

* the sample mean is distributed as N(mu, s^2 / K): a sum of independent Gaussians is Gaussian, its mean and
  variance are the sums of theirs, and dividing by K gives mu and K s^2 / K^2;
* (K - 1) / s^2 times the unbiased sample variance is chi-square with K - 1 degrees of freedom: rotate the K
  standardised draws so that the first axis points along (1, ..., 1); a rotation leaves independent standard
  Gaussians independent and standard, the first coordinate is sqrt(K) times the standardised sample mean, and the
  squares of the K - 1 others sum to (K - 1) / s^2 times the sample variance;
* the two are independent, since they are functions of different rotated coordinates (Cochran's theorem).

`sample_moments(method="moments")` draws both directly: the same distribution at a cost that does not depend on K.
"""

import math
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mmdg_lite.draws import chi_square, normal, uniform
from mmdg_lite.registry import Sampling

SAMPLING_METHODS: tuple[str, ...] = get_args(Sampling)


def certainty(variance: Tensor, rate: float) -> Tensor:
    """Certainty U = exp(-rate * variance), element by element (MMDG++, U-Adapter++; MMDG paper, section on UEM).

    Args:
        variance: any shape, values >= 0 (a variance, or another measure of spread).
        rate: r >= 0, how fast certainty falls; 2.5 in MMDG++, 2.25 in MMDG.

    Returns:
        Same shape, values in [0, 1]: 1 where the variance is zero, falling as it grows.
    """
    if rate < 0:
        raise ValueError(f"rate must not be negative, got {rate}: certainty would rise with variance")
    return torch.exp(-rate * variance)


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, s^2) || N(0, 1)) = (mean^2 + s^2 - log s^2 - 1) / 2 in nats, element by element, values >= 0 (D11).

    The mean is drawn to 0 as well as the variance to 1: a variance is large or small only beside a mean of a fixed
    scale, and a mean left free would outgrow any noise.
    """
    precise = torch.promote_types(mean.dtype, torch.float32)
    mean, log_variance = mean.to(precise), log_variance.to(precise)
    return (mean.square() + log_variance.exp() - log_variance - 1) / 2


def sample_moments(
    mean: Tensor,
    log_variance: Tensor,
    samples: int,
    *,
    method: Sampling,
    generator: torch.Generator | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample mean and unbiased sample variance of `samples` draws from N(mean, exp(log_variance)), element by element.

    Args:
        mean, log_variance: tensors of one shape, any number of dimensions.
        samples: K >= 2, the number of draws.
        method: "monte_carlo" draws all K; "moments" draws the two statistics from their exact distributions (see
            the module's docstring); "expected" returns their expectations (mean, variance) without drawing.
        generator: source of the random numbers; they are drawn on its device. A `draws.BatchGenerator` may serve a part
            of a batch, if the inputs are ... x B x N x d.
        noise: standard normal draws of shape K x mean.shape, for "monte_carlo" only.

    Returns:
        (sample mean, sample variance), both of the shape of `mean`. Gradients flow through the mean to both inputs.

    Raises:
        ValueError: unknown method, K < 2, or noise of the wrong shape or given to another method.
    """
    if method not in SAMPLING_METHODS:
        raise ValueError(f"unknown sampling method {method!r}; choose one of {', '.join(SAMPLING_METHODS)}")
    if samples < 2:
        raise ValueError(f"a sample variance needs at least 2 samples, got {samples}")
    if noise is not None and method != "monte_carlo":
        raise ValueError(f"given noise is used by method 'monte_carlo' only, not by {method!r}")
    if method == "expected":
        return mean, log_variance.exp()
    deviation = torch.exp(log_variance / 2)
    if method == "monte_carlo":
        if noise is None:
            noise = normal((samples, *mean.shape), like=mean, generator=generator)
        elif noise.shape != (samples, *mean.shape):
            raise ValueError(f"noise must have shape {(samples, *mean.shape)}, got {tuple(noise.shape)}")
        draws = mean + deviation * noise  # K x ...
        return draws.mean(dim=0), draws.var(dim=0, unbiased=True)
    sample_mean = mean + deviation / samples**0.5 * normal(mean.shape, like=mean, generator=generator)
    degrees = samples - 1
    return sample_mean, deviation.square() * chi_square(degrees, mean.shape, like=mean, generator=generator) / degrees


def monte_carlo_dropout(
    x: Tensor,
    p: float,
    draws: int,
    *,
    spread: Literal["variance", "std"] = "variance",
    masks: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Spread of `x` under `draws` dropout masks: MMDG's uncertainty estimation (MMDG paper, UEM). Carries no gradient.

    Each draw is x * mask / (1 - p) with mask ~ Bernoulli(1 - p), element by element.

    Args:
        x: any shape, for MMDG the attention output B x N x C.
        p: probability of dropping, 0 <= p < 1.
        draws: number of masks, at least 2.
        spread: "variance" (as the paper writes) or "std" (as the released code computes), both unbiased.
        masks: keep masks of shape draws x x.shape (bool or 0/1) instead of random ones.
        generator: source of the random masks; they are drawn on its device.

    Returns:
        Same shape as `x`, values >= 0.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout probability must be in [0, 1), got {p}")
    if draws < 2:
        raise ValueError(f"a spread needs at least 2 draws, got {draws}")
    if spread not in ("variance", "std"):
        raise ValueError(f"unknown spread {spread!r}; choose 'variance' or 'std'")
    with torch.no_grad():
        if masks is None:
            device = x.device if generator is None else generator.device
            masks = torch.rand((draws, *x.shape), generator=generator, device=device).to(x.device) >= p
        elif masks.shape != (draws, *x.shape):
            raise ValueError(f"masks must have shape {(draws, *x.shape)}, got {tuple(masks.shape)}")
        dropped = x * masks.to(x.dtype) / (1 - p)  # draws x ...
        return dropped.var(dim=0, unbiased=True) if spread == "variance" else dropped.std(dim=0, unbiased=True)


Spread = Literal["variance", "std"]


SPREADS: tuple[str, ...] = get_args(Spread)


def dropout_spread(
    x: Tensor,
    p: float,
    draws: int,
    *,
    method: Sampling,
    spread: Spread = "variance",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Spread of `x` under `draws` dropout masks, element by element (MMDG paper, UEM). Carries no gradient.

    Args:
        x: any shape.
        p: probability of dropping, 0 <= p < 1.
        draws: n, at least 2.
        method: "monte_carlo" draws all masks; "moments" draws the spread from its exact distribution; "expected" gives
            its expected value without drawing.
        spread: "variance" (as the paper writes) or "std" (as the released code computes), both unbiased variances.
        generator: source of the random numbers; they are drawn on its device.

    Returns:
        Same shape, values >= 0.

    Raises:
        ValueError: an unknown method or spread, p or draws out of range.
    """
    _check(p, draws, method, spread)
    x = x.detach()
    if method == "monte_carlo":
        return monte_carlo_dropout(x, p, draws, spread=spread, generator=generator)
    size = x.square() if spread == "variance" else x.abs()
    if method == "expected":
        return size * _expected_spread(p, draws, spread)
    chances, factors = _spread_of_kept(p, draws, spread)  # each n + 1
    device = x.device if generator is None else generator.device
    uniform = torch.rand(x.shape, generator=generator, device=device).to(x.device)
    below = chances.cumsum(dim=0)[:-1].float().to(x.device)  # probability of at most 0..n-1 kept
    kept = torch.bucketize(uniform, below, right=True)  # binomial, 0..n
    return size * factors.to(x.dtype).to(x.device)[kept]


class DropoutCertainty(nn.Module):
    """UEM of MMDG: certainty U = exp(-rate * spread) of every element, averaged over the channels.

    Args:
        p: probability of dropping.
        draws: n, number of dropout masks.
        rate: r >= 0, how fast certainty falls with spread.
        spread: see `dropout_spread`.
    """

    def __init__(self, *, p: float = 0.3, draws: int = 20, rate: float = 2.25, spread: Spread = "variance") -> None:
        super().__init__()
        _check(p, draws, "expected", spread)
        self.p, self.draws, self.rate = p, draws, rate
        self.spread: Spread = spread

    def forward(
        self, attended: Tensor, *, sampling: Sampling = "expected", generator: torch.Generator | None = None
    ) -> Tensor:
        """Attention outputs B x N x C to certainties B x N x 1 in [0, 1], in at least float32, without gradient.

        `sampling` and `generator`: see `dropout_spread`.
        """
        attended = attended.to(torch.promote_types(attended.dtype, torch.float32))
        spread = dropout_spread(attended, self.p, self.draws, method=sampling, spread=self.spread, generator=generator)
        return certainty(spread, self.rate).mean(dim=-1, keepdim=True)


class SeededDropout(nn.Dropout):
    """Dropout whose masks come from a generator that is handed in, so that a run can be repeated and resumed.

    Args:
        p: probability of dropping, in training.

    A `draws.BatchGenerator` may serve a part of a batch, if the input is ... x B x N x d; masks of B x d
    are drawn as they come, since a loss may take some samples only.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"dropout probability must be in [0, 1), got {p}")
        super().__init__(p)
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; in evaluation the identity."""
        if not self.training or self.p == 0:
            return x
        single = x.new_empty((), dtype=torch.float32)  # the same masks whatever the precision
        if x.ndim > 2:
            drawn = uniform(x.shape, like=single, generator=self.generator)
        else:
            device = x.device if self.generator is None else self.generator.device
            drawn = torch.rand(x.shape, generator=self.generator, device=device).to(x.device)
        kept = drawn >= self.p
        return x * kept.to(x.dtype) / (1 - self.p)


def _check(p: float, draws: int, method: str, spread: str) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"dropout probability must be in [0, 1), got {p}")
    if draws < 2:
        raise ValueError(f"a spread needs at least 2 draws, got {draws}")
    if method not in SAMPLING_METHODS:
        raise ValueError(f"unknown sampling method {method!r}; choose one of {', '.join(SAMPLING_METHODS)}")
    if spread not in SPREADS:
        raise ValueError(f"unknown spread {spread!r}; choose one of {', '.join(SPREADS)}")


@lru_cache
def _expected_spread(p: float, draws: int, spread: Spread) -> float:
    """The expected spread of the draws of x = 1."""
    chances, factors = _spread_of_kept(p, draws, spread)  # each n + 1
    return float(chances @ factors)


@lru_cache
def _spread_of_kept(p: float, draws: int, spread: Spread) -> tuple[Tensor, Tensor]:
    """For k = 0..n draws kept: the probability of k, and the spread of the draws of x = 1."""
    kept = range(draws + 1)
    chances = [math.comb(draws, k) * (1 - p) ** k * p ** (draws - k) for k in kept]
    variances = [k * (draws - k) / (draws * (draws - 1)) / (1 - p) ** 2 for k in kept]
    values = variances if spread == "variance" else [math.sqrt(variance) for variance in variances]
    return torch.tensor(chances, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)
