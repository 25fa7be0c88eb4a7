"""Small losses that several peers share: contrastive, triplet, and the reversed gradient of an adversary."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def supervised_contrastive(features: Tensor, classes: Tensor, *, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, arXiv 2004.11362, eq. 2).

    For an anchor i with unit feature z_i, P(i) the other samples of its class:

        L_i = - mean over p in P(i) of log( exp(z_i . z_p / tau) / sum over a != i of exp(z_i . z_a / tau) )

    averaged over the anchors that have a P(i).

    Args:
        features: n x D, of any length; made unit vectors here.
        classes: n integers.
        temperature: tau > 0.

    Returns:
        A scalar; 0 if no class has two samples.
    """
    unit = functional.normalize(precise(features), dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.mT / temperature).masked_fill(itself, -torch.inf)  # n x n
    likelihood = logits.log_softmax(dim=-1).masked_fill(itself, 0)
    positive = (classes[:, None] == classes) & ~itself  # n x n
    number = positive.sum(dim=-1)  # n
    each = -(likelihood * positive).sum(dim=-1) / number.clamp(min=1)
    return each.sum() / (number > 0).sum().clamp(min=1)


def simclr(first: Tensor, second: Tensor, *, temperature: float) -> Tensor:
    """SimCLR's loss of two views (NT-Xent; Chen et al., ICML 2020, arXiv 2002.05709, eq. 1), both n x D, a scalar.

    Each of the 2 n features has to recognise its other view among the 2 n - 1 others. That is the supervised
    contrastive loss in which every sample is a class of its own.
    """
    samples = torch.arange(len(first), device=first.device).repeat(2)
    return supervised_contrastive(torch.cat([first, second]), samples, temperature=temperature)


def triplet(features: Tensor, classes: Tensor, *, margin: float) -> Tensor:
    """Triplet loss over all triplets of a batch (Hermans et al., arXiv 1703.07737, "batch all").

    For an anchor a, another sample p of its class and a sample n of another class:

        l = max(0, |z_a - z_p| - |z_a - z_n| + margin)

    averaged over the triplets with l > 0, in Euclidean distances.

    Args:
        features: n x D.
        classes: n integers.
        margin: by which a sample of another class has to be further away.

    Returns:
        A scalar; 0 if no triplet has a positive loss.
    """
    features = precise(features)
    squared = (features[:, None] - features).square().sum(dim=-1)  # n x n
    apart = squared > 0  # the square root has no gradient at 0
    distance = torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)
    same = classes[:, None] == classes
    positive = same & ~torch.eye(len(classes), dtype=torch.bool, device=same.device)
    loss = distance[:, :, None] - distance[:, None, :] + margin  # anchor x positive x negative
    loss = torch.where(positive[:, :, None] & ~same[:, None, :], loss, 0).clamp(min=0)
    return loss.sum() / (loss > 0).sum().clamp(min=1)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself, whose gradient comes back times -factor (Ganin and Lempitsky, ICML 2015, arXiv 1409.7495)."""
    return _Reverse.apply(x, factor)


def reversal_factor(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1 at the share p of training that is done: from 0 to 1 (the same paper, section 4.1)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def precise(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
