"""OGM-GE: slow the modality that is ahead, and make up for the lost noise (Peng et al., CVPR 2022, arXiv 2203.15332).

"Balanced Multimodal Learning via On-the-fly Gradient Modulation": with s_m the probability that modality m alone gives
to the true class, rho_m compares it with the others'; the gradients of the encoder of a modality that is ahead
(rho_m > 1) are multiplied by k_m = 1 - tanh(alpha rho_m), the others' by 1 (eq. 9 and 10). Generalisation Enhancement
adds Gaussian noise of mean zero with the spread of the gradients themselves.

Adapted here, since that paper has two modalities with one loss and this project three with a loss each:

* s_m = exp(-L_m), the geometric mean over the batch of the true class's probability, from the modality's own loss;
* rho_m = s_m / mean of the others' s_j, over the modalities that the batch has; one alone is not modulated;
* the encoder of m is its branch: k_m multiplies the plain sum of the gradients of L_R, L_D and L_I there. The gradient
  of L_total is added unmodulated and parameters that a single loss reaches are left alone, as with every other rule;
* noise per parameter tensor, normal, with the standard deviation of the entries of the sum before it is multiplied;
  none for a tensor of one entry, which has no spread.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmdg_lite.regrad.gradients import Flattened
from mmdg_lite.regrad.rule import is_shared

ALPHA = 0.5
"""Strength of the modulation, positive. The paper chooses it per data set; this value is our choice."""


def coefficients(losses: Sequence[float | None], *, alpha: float = ALPHA) -> list[float]:
    """k_R, k_D, k_I in [0, 1], from the modality losses (None: a modality that the batch does not have).

    Raises `ValueError` unless alpha is positive.
    """
    if alpha <= 0:
        raise ValueError(f"alpha must be positive, got {alpha}")
    found = []
    for m, loss in enumerate(losses):
        others = [other for i, other in enumerate(losses) if i != m and other is not None]
        ahead = _log_ratio(loss, others) if loss is not None and others else 0.0
        rho = math.exp(min(ahead, 20.0))  # where the cut is, tanh has long been 1
        found.append(1 - math.tanh(alpha * rho) if ahead > 0 else 1.0)
    return found


def _log_ratio(loss: float, others: Sequence[float]) -> float:
    """log of s / mean of the others' s, for losses of any size."""
    least = min(others)
    mean = sum(math.exp(least - other) for other in others) / len(others)
    return least - loss - math.log(mean)


def branch_weights(gram: Tensor, coefficient: float) -> Tensor:
    """Weights T x 3 of a branch's gradients: the coefficient, 1 for parameters that a single loss reaches."""
    factor = torch.where(is_shared(gram), coefficient, 1.0).to(gram)  # T
    return factor[:, None].expand(-1, gram.shape[-1])


def noise(flat: Flattened, gram: Tensor, generator: torch.Generator) -> Tensor:
    """Noise for a branch's n entries: normal, with each shared tensor's own standard deviation, 0 for the others."""
    plain = flat.rows.sum(dim=0)  # n
    mean = flat.sums(plain) / flat.lengths  # T
    square = flat.sums((plain - flat.spread(mean)).square())
    deviation = (square / (flat.lengths - 1).clamp(min=1)).sqrt() * is_shared(gram)
    drawn = torch.randn(plain.shape, generator=generator, dtype=plain.dtype, device=plain.device)
    return flat.spread(deviation) * drawn
