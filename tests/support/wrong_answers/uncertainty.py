"""Assignment 3."""

import torch

from tests.support.wrong_answers import wrong


@wrong("certainty", says="rises with variance")
def share_of_uncertainty(variance, rate):
    return 1 - torch.exp(-rate * variance)


@wrong("certainty", says="never reaches 0")
def straight_line(variance, rate):
    return torch.maximum(torch.zeros_like(variance), 1.0 - rate * variance)


@wrong("certainty", says="a variance of 0 is not 1")
def sigmoid_of_minus(variance, rate):
    return 1 / (1 + torch.exp(rate * variance))


@wrong("certainty", says="depends on the other tokens")
def softmax_over_tokens(variance, rate):
    scaled = torch.exp(-rate * variance)
    return scaled / scaled.max()


@wrong("certainty", says="not its root")
def of_the_deviation(variance, rate):
    deviation = variance**0.5
    return torch.e ** (-rate * deviation)


@wrong("moments_of_draws", says="divides by K")
def divides_by_k(mean, log_variance, noise):
    draws = mean + torch.exp(0.5 * log_variance) * noise
    average = draws.sum(0) / len(draws)
    return average, ((draws - average) ** 2).sum(0) / len(draws)


@wrong("moments_of_draws", says="about the draws' own mean")
def about_mu(mean, log_variance, noise):
    draws = torch.stack([mean + torch.exp(0.5 * log_variance) * z for z in noise])
    return draws.mean(0), ((draws - mean) ** 2).sum(0) / (draws.shape[0] - 1)


@wrong("moments_of_draws", says="its root, exp(log_variance / 2)")
def variance_as_deviation(mean, log_variance, noise):
    draws = torch.stack([mean + log_variance.exp() * z for z in noise])
    return torch.mean(draws, 0), torch.var(draws, 0)


@wrong("moments_of_draws", says="has no root")
def root_of_a_logarithm(mean, log_variance, noise):
    draws = mean.unsqueeze(0) + log_variance.sqrt().unsqueeze(0) * noise
    return draws.mean(0), draws.var(0)


@wrong("moments_of_draws", says="single numbers")
def forgets_the_dimension(mean, log_variance, noise):
    draws = mean + (log_variance / 2).exp() * noise
    return draws.mean(), draws.var()


@wrong("direct_moments", says="divide the chi-square by K")
def k_degrees(mean, log_variance, samples, z, chi_square):
    s = (0.5 * log_variance).exp()
    return mean + s * z / samples**0.5, s * s * chi_square / samples


@wrong("direct_moments", says="sqrt(K - 1)")
def mean_with_k_minus_one(mean, log_variance, samples, z, chi_square):
    variance = log_variance.exp()
    return mean + (variance / (samples - 1)) ** 0.5 * z, variance / (samples - 1) * chi_square


@wrong("direct_moments", says="s is its root")
def takes_the_variance_for_s(mean, log_variance, samples, z, chi_square):
    s = torch.exp(log_variance)
    return mean + s / samples**0.5 * z, s**2 * chi_square / (samples - 1)


@wrong("direct_moments", says="varies like a single draw")
def one_draw(mean, log_variance, samples, z, chi_square):
    s = torch.sqrt(torch.exp(log_variance))
    return mean + s * z, s**2 / (samples - 1) * chi_square


@wrong("direct_moments", says="the chi-square has no effect")
def expected_variance(mean, log_variance, samples, z, chi_square):
    variance = torch.exp(log_variance)
    return mean + torch.sqrt(variance / samples) * z, variance


@wrong("sender_probability", says="write it as a sigmoid")
def as_printed(sender, receiver, rate):
    mine, theirs = torch.exp(-rate * sender), torch.exp(-rate * receiver)
    return mine / (mine + theirs)


@wrong("sender_probability", says="is no cure")
def with_an_epsilon(sender, receiver, rate):
    mine, theirs = torch.exp(-rate * sender), torch.exp(-rate * receiver)
    return mine / (mine + theirs + 1e-8)


@wrong("sender_probability", says="the receiver's probability")
def softmax_of_the_wrong_side(sender, receiver, rate):
    both = torch.stack([-rate * receiver, -rate * sender])
    return both.softmax(dim=0)[0]


@wrong("sender_probability", says="the probability itself is asked for")
def draws_already(sender, receiver, rate):
    p = torch.sigmoid(rate * (receiver - sender))
    return (torch.rand(p.shape) < p).double()


@wrong("sender_probability", says="the rate is missing")
def forgets_the_rate(sender, receiver, rate):
    return 1 / (1 + torch.exp(sender - receiver))
