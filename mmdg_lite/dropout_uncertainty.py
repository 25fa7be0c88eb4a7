"""Monte Carlo dropout as a measure of uncertainty: the uncertainty estimation module (UEM) of MMDG.

The module drops elements of a feature x at random, n times, and takes the spread of what is left for its uncertainty.
A draw is either 0 or x / (1 - p), so the draws of one element are fully described by k, the number of times it was
kept, which is Binomial(n, 1 - p). Their unbiased variance is

    x^2 / (1 - p)^2 * k (n - k) / (n (n - 1)),   expected value x^2 p / (1 - p).

Two things follow. One binomial number per element replaces n masks, with the same distribution, at a cost that does not
depend on n ("moments"). And the uncertainty that the module estimates is, up to noise, a fixed multiple of the squared
feature: with dropout on a single tensor and nothing after it, "uncertain" means "large".
"""

import math
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mmdg_lite.uncertainty import SAMPLING_METHODS, Sampling, certainty, monte_carlo_dropout

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
    chances, factors = _spread_of_kept(p, draws, spread)  # each n + 1
    if method == "expected":
        return size * float(chances @ factors)
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
        device = x.device if self.generator is None else self.generator.device
        kept = torch.rand(x.shape, generator=self.generator, device=device).to(x.device) >= self.p
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
def _spread_of_kept(p: float, draws: int, spread: Spread) -> tuple[Tensor, Tensor]:
    """For k = 0..n draws kept: the probability of k, and the spread of the draws of x = 1."""
    kept = range(draws + 1)
    chances = [math.comb(draws, k) * (1 - p) ** k * p ** (draws - k) for k in kept]
    variances = [k * (draws - k) / (draws * (draws - 1)) / (1 - p) ** 2 for k in kept]
    values = variances if spread == "variance" else [math.sqrt(variance) for variance in variances]
    return torch.tensor(chances, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)
