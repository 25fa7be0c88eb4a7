"""Gradient surgery and its relatives, from TorchJD: PCGrad, MGDA, CAGrad and UPGrad in ReGrad's place.

* "pcgrad": Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, arXiv 2001.06782.
* "mgda": Désidéri, Comptes Rendus Mathématique 350, 2012; Sener and Koltun, NeurIPS 2018, arXiv 1810.04650.
* "cagrad": Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021, arXiv 2110.14048.
* "upgrad": Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", arXiv 2406.16232.

Their objectives are the three modality losses, and their Jacobian has one row per loss and a column per entry of all
shared parameters of all branches, those that at least two losses reach: so their papers define them. One Jacobian per
branch would not do: there two of the three rows are cross-modal gradients, close to zero at the start, and a method
that looks for the shortest combination (MGDA) would choose these and stop the branch's own loss. Parameters that a
single loss reaches play the part of task-specific heads and are not modulated; nor is the gradient of the total loss.

MGDA, CAGrad and UPGrad average over the losses where PCGrad and ReGrad add up; they are multiplied by the number of
losses, so that gradients of equal norm at right angles give the plain sum with PCGrad, MGDA and UPGrad. CAGrad goes
beyond it, by at most c times its norm.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

Aggregator = Literal["pcgrad", "mgda", "cagrad", "upgrad"]
AGGREGATORS: tuple[str, ...] = get_args(Aggregator)

RADIUS = 0.5
"""CAGrad's c, the radius around the average gradient as a share of its norm; in [0, 1). Our choice."""


def aggregator_weights(gram: Tensor, rule: Aggregator, *, seed: int = 0) -> Tensor:
    """Weights of the three losses' gradients, from the Gram matrix of their Jacobian.

    Args:
        gram: 3 x 3, symmetric. Rows of zero gradients, and of missing modalities, are left out.
        rule: whose weights.
        seed: of the random order in which PCGrad looks at the other losses; the others draw nothing.

    Returns:
        3 weights of the Gram matrix's type, on its device; all 1 if fewer than two losses have a gradient or one
        is not finite.

    Raises:
        ImportError: TorchJD, or the solver that a rule needs, is not installed.
        ValueError: an unknown rule.
    """
    weighting = _weighting(rule)
    plain = gram.to("cpu", torch.float64)
    weights = torch.ones(len(plain), dtype=torch.float64)
    there = plain.diagonal() > 0
    number = int(there.sum())
    if number > 1 and bool(plain.isfinite().all()):  # the trainer reports what is not finite
        part = plain[there][:, there]
        part = part / part.diagonal().mean()  # the solvers have absolute tolerances
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            found = weighting(part)
        weights[there] = found if rule == "pcgrad" else number * found
    return weights.to(gram)


def check_installed(rule: str) -> None:
    """Raise `ImportError` saying what to install, if `rule` is one of TorchJD's and cannot be used here."""
    if rule in AGGREGATORS:
        _weighting(rule)


def _weighting(rule: str) -> Any:
    if rule not in AGGREGATORS:
        raise ValueError(f"unknown aggregator {rule!r}; choose one of {', '.join(AGGREGATORS)}")
    try:
        from torchjd import aggregation  # not needed by the other rules, and an optional dependency

        if rule == "pcgrad":
            return aggregation.PCGradWeighting()
        if rule == "mgda":
            return aggregation.MGDAWeighting()
        if rule == "cagrad":
            return aggregation.CAGradWeighting(c=RADIUS)
        return aggregation.UPGradWeighting()
    except ImportError as error:
        raise ImportError(
            f"rule {rule!r} is TorchJD's and it, or the solver that it needs, is not installed ({error}): "
            'pip install "torchjd[cagrad,quadprog_projector]==0.18.0"'
        ) from error
