"""Checks of assignment 3: certainty, K draws and their two moments, the moments drawn directly, and token selection."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mmdg_lite import uncertainty
from mmdg_lite.teaching.checks.convolution import normal
from mmdg_lite.teaching.checks.task import Inputs, Task


def _variances(rng: np.random.Generator) -> Inputs:
    shape = tuple(rng.integers(1, 5, size=int(rng.integers(1, 4))))
    return {"variance": torch.from_numpy(rng.uniform(0, 3, shape)), "rate": float(rng.uniform(0.5, 4))}


check_certainty = Task(
    name="certainty",
    reference=uncertainty.certainty,
    draw=_variances,
    mistakes={
        "the rate multiplies the variance; you divide by it": lambda variance, rate: torch.exp(-variance / rate),
        "the exponent holds the variance itself, not its root": lambda variance, rate: torch.exp(
            -rate * variance.sqrt()
        ),
        "the exponent holds the variance itself, not its square": (
            lambda variance, rate: torch.exp(-rate * variance.square())
        ),
        "1 - r u is only the beginning of the exponential's series, and negative for large u": (
            lambda variance, rate: 1 - rate * variance
        ),
        "1 / (1 + r u) falls from 1 to 0 too, but it is not exp(-r u)": (
            lambda variance, rate: 1 / (1 + rate * variance)
        ),
        "the rate has no effect": lambda variance, rate: torch.exp(-variance),
        "a straight line that is cut off at 0 is no exponential: exp(-r u) never reaches 0": (
            lambda variance, rate: (1 - rate * variance).clamp(min=0)
        ),
        "the base is e, not 2: exp(-r u)": lambda variance, rate: torch.exp2(-rate * variance),
    },
    symptoms={
        "your certainty rises with variance; it should fall": lambda answer: (
            float(answer(torch.tensor([1.0]).double(), 1.0)) > float(answer(torch.tensor([0.5]).double(), 1.0))
        ),
        "your certainty of a variance of 0 is not 1": lambda answer: (
            abs(float(answer(torch.tensor([0.0]).double(), 1.0)) - 1) > 1e-6
        ),
        "the certainty of a token depends on the other tokens; it is computed element by element": lambda answer: (
            float(answer(torch.tensor([0.9]).double(), 1.0)[0])
            != float(answer(torch.tensor([0.9, 0.1]).double(), 1.0)[0])
        ),
    },
)


def _draws(rng: np.random.Generator) -> Inputs:
    shape = (int(rng.integers(1, 4)), int(rng.integers(2, 5)))
    noise = normal(rng, int(rng.integers(3, 9)), *shape)
    return {"mean": normal(rng, *shape), "log_variance": normal(rng, *shape), "noise": noise}


def moments_of_draws(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of K draws mean + s noise."""
    return uncertainty.sample_moments(mean, log_variance, len(noise), method="monte_carlo", noise=noise)


def _with_deviation(deviation: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    def wrong(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        drawn = mean + deviation(log_variance) * noise
        return drawn.mean(dim=0), drawn.var(dim=0)

    return wrong


def _with_spread(spread: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    def wrong(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        drawn = mean + torch.exp(log_variance / 2) * noise
        return drawn.mean(dim=0), spread(drawn)

    return wrong


def _about_the_given_mean(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    drawn = mean + torch.exp(log_variance / 2) * noise
    return drawn.mean(dim=0), (drawn - mean).square().sum(dim=0) / (len(noise) - 1)


check_moments_of_draws = Task(
    name="moments_of_draws",
    reference=moments_of_draws,
    draw=_draws,
    mistakes={
        "exp(log_variance) is the variance; the noise is multiplied by its root, exp(log_variance / 2)": (
            _with_deviation(torch.exp)
        ),
        "log_variance is a logarithm: the noise is multiplied by exp(log_variance / 2), not by log_variance": (
            _with_deviation(lambda log_variance: log_variance)
        ),
        "your variance divides by K; the unbiased one divides by K - 1": (
            _with_spread(lambda drawn: drawn.var(dim=0, unbiased=False))
        ),
        "the spread is the standard deviation; the variance is asked for": _with_spread(lambda drawn: drawn.std(dim=0)),
        "log_variance has no effect: the noise is multiplied by the standard deviation, exp(log_variance / 2)": (
            _with_deviation(torch.ones_like)
        ),
        "log_variance can be negative and has no root; the standard deviation is exp(log_variance / 2)": (
            _with_deviation(torch.sqrt)
        ),
        "your variance is about mu; the sample variance is about the draws' own mean": _about_the_given_mean,
        "these are the expectations; the moments of the given draws are asked for": (
            lambda mean, log_variance, noise: (mean, log_variance.exp())
        ),
    },
    symptoms={
        "mean and variance run over the tokens; they run over the K draws, the first dimension of the noise": (
            lambda answer: answer(*(torch.zeros(2, 3).double(),) * 2, torch.zeros(5, 2, 3).double())[0].shape[0] == 5
        ),
        "your moments are single numbers; every token and channel has its own": lambda answer: (
            answer(*(torch.zeros(2, 3).double(),) * 2, torch.zeros(5, 2, 3).double())[0].ndim == 0
        ),
    },
)


def _direct(rng: np.random.Generator) -> Inputs:
    shape, samples = (int(rng.integers(1, 4)), int(rng.integers(2, 5))), int(rng.integers(3, 60))
    return {
        "mean": normal(rng, *shape),
        "log_variance": normal(rng, *shape),
        "samples": samples,
        "z": normal(rng, *shape),
        "chi_square": torch.from_numpy(rng.chisquare(samples - 1, shape)),
    }


def direct_moments(
    mean: Tensor, log_variance: Tensor, samples: int, z: Tensor, chi_square: Tensor
) -> tuple[Tensor, Tensor]:
    """Sample mean and variance from one standard normal and one chi-square draw with K - 1 degrees of freedom."""
    return _direct_moments(mean, log_variance, samples, z, chi_square)


def _direct_moments(
    mean: Tensor,
    log_variance: Tensor,
    samples: int,
    z: Tensor,
    chi_square: Tensor,
    *,
    mean_divisor: Callable[[int], float] = lambda samples: samples**0.5,
    degrees: Callable[[int], int] = lambda samples: samples - 1,
    power: int = 2,
) -> tuple[Tensor, Tensor]:
    deviation = torch.exp(log_variance / 2)
    return mean + deviation / mean_divisor(samples) * z, deviation**power * chi_square / degrees(samples)


check_direct_moments = Task(
    name="direct_moments",
    reference=direct_moments,
    draw=_direct,
    mistakes={
        "your mean varies like a single draw; the mean of K draws has a standard deviation of s / sqrt(K)": (
            lambda **inputs: _direct_moments(**inputs, mean_divisor=lambda samples: 1.0)
        ),
        "s / K is too small: the mean of K draws has variance s^2 / K, so its standard deviation is s / sqrt(K)": (
            lambda **inputs: _direct_moments(**inputs, mean_divisor=lambda samples: samples)
        ),
        "you divide the chi-square by K; it has K - 1 degrees of freedom, and expectation K - 1": (
            lambda **inputs: _direct_moments(**inputs, degrees=lambda samples: samples)
        ),
        "your variance is K - 1 times too large: (K - 1) variance / s^2 is what follows the chi-square": (
            lambda **inputs: _direct_moments(**inputs, degrees=lambda samples: 1)
        ),
        "your mean divides by sqrt(K - 1); the mean of K draws has a standard deviation of s / sqrt(K)": (
            lambda **inputs: _direct_moments(**inputs, mean_divisor=lambda samples: (samples - 1) ** 0.5)
        ),
        "z has no effect: the mean of K draws is random too, with a standard deviation of s / sqrt(K)": (
            lambda **inputs: _direct_moments(**inputs, mean_divisor=lambda samples: float("inf"))
        ),
        "the chi-square has no effect: your variance is its expectation": (
            lambda chi_square, samples, **inputs: _direct_moments(
                **inputs, samples=samples, chi_square=torch.full_like(chi_square, samples - 1)
            )
        ),
        "exp(log_variance) is s^2; s is its root, exp(log_variance / 2)": (
            lambda log_variance, **inputs: _direct_moments(**inputs, log_variance=2 * log_variance)
        ),
        "the chi-square is multiplied by s; a variance scales with s^2": (
            lambda **inputs: _direct_moments(**inputs, power=1)
        ),
    },
)


def _two_uncertainties(rng: np.random.Generator) -> Inputs:
    scale = float(rng.choice([0.5, 1000.0]))  # with the large ones both certainties are 0 in floating point
    sender, receiver = (torch.from_numpy(scale * rng.uniform(0, 1, (2, 5, 1))) for _ in range(2))
    return {"sender": sender, "receiver": receiver, "rate": float(rng.uniform(1, 3))}


def sender_probability(sender: Tensor, receiver: Tensor, rate: float) -> Tensor:
    """U_b / (U_b + U_a) as sigmoid(r (u_a - u_b))."""
    return torch.sigmoid(rate * (receiver - sender))


def _released(sender: Tensor, receiver: Tensor, rate: float) -> Tensor:
    ours, theirs = torch.exp(-rate * sender), torch.exp(-rate * receiver)
    return (ours + theirs) / ours


def _ratio(sender: Tensor, receiver: Tensor, rate: float) -> Tensor:
    ours, theirs = torch.exp(-rate * sender), torch.exp(-rate * receiver)
    return ours / (ours + theirs)


check_sender_probability = Task(
    name="sender_probability",
    reference=sender_probability,
    draw=_two_uncertainties,
    mistakes={
        "this is the receiver's probability: the more certain side is to be chosen more often": (
            lambda sender, receiver, rate: torch.sigmoid(rate * (sender - receiver))
        ),
        "the formula is right on paper, but 0 / 0 where both certainties underflow; write it as a sigmoid": _ratio,
        "your ratio is upside down (the released code's, D2): a probability is at most 1": _released,
        "you weigh by uncertainties; it is the certainties U = exp(-r u) that form the ratio": (
            lambda sender, receiver, rate: sender / (sender + receiver)
        ),
        "the rate is missing: the certainties are exp(-r u)": (
            lambda sender, receiver, rate: torch.sigmoid(receiver - sender)
        ),
        "0 or 1 is evaluation's choice; in training it is a probability": (
            lambda sender, receiver, rate: (sender < receiver).double()
        ),
        "the sigmoid takes the difference of the uncertainties, times r, not that of the certainties": (
            lambda sender, receiver, rate: torch.sigmoid(torch.exp(-rate * sender) - torch.exp(-rate * receiver))
        ),
    },
    symptoms={
        "a draw, 0 or 1, is what follows; the probability itself is asked for": lambda answer: (
            set(answer(torch.full((9,), 0.5).double(), torch.full((9,), 0.6).double(), 1.0).tolist()) <= {0.0, 1.0}
        ),
        "where both certainties are 0 in floating point, yours is not 1/2 for equal ones: a small number in the "
        "denominator is no cure, write it as a sigmoid": lambda answer: (
            float(answer(*torch.full((2, 1, 1, 1), 1000.0).double(), 2.0)) != 0.5
        ),
    },
)

TASKS = (check_certainty, check_moments_of_draws, check_direct_moments, check_sender_probability)
