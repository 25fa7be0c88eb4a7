"""How much of one gradient may act along another: the projection rules of ReGrad and its ablations."""

from typing import Literal, get_args

import torch
from torch import Tensor

Rule = Literal["regrad", "keep", "drop", "orthogonal", "smooth", "none"]
RULES: tuple[str, ...] = get_args(Rule)


def check_rule(rule: str) -> None:
    """Raise `ValueError` naming the rules there are, unless `rule` is one of them."""
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; choose one of {', '.join(RULES)}")


def project(gradient: Tensor, onto: Tensor, *, rule: Rule = "regrad", released: bool = False) -> Tensor:
    """T(gradient onto base): the part of `gradient` that a rule lets act beside the base `onto`.

    With the parallel part p = (g . b / b . b) b and the orthogonal part g - p, tensors being flattened:

    * "regrad" (MMDG paper, eq. 5): p if g . b > 0, else g - p. Discontinuous at 90 degrees (D14).
    * "keep": p if g . b > 0, else 0 (the released code's version 2).
    * "drop": g if g . b >= 0, else g - p (version 3; the rule of PCGrad).
    * "orthogonal": always g - p (version 1).
    * "smooth": c p + (1 - c) (g - p) with c = max(cos, 0), the cosine between the two: agrees with "regrad" for
      parallel and for conflicting gradients, and has no jump in between. For study.
    * "none": g, unchanged.

    Args:
        gradient, onto: tensors of one shape.
        rule: see above.
        released: divide by b . b + 1e-8 as the released code does, which halves an identical gradient of norm 1e-4
            (D15). Otherwise the projection is scale-free: exact for any norm, and zero for a zero base.

    Returns:
        Same shape, finite whenever the inputs are.
    """
    check_rule(rule)
    if gradient.shape != onto.shape:
        raise ValueError(f"gradient {tuple(gradient.shape)} and base {tuple(onto.shape)} must have one shape")
    if rule == "none":
        return gradient
    parallel, cosine = _parallel_released(gradient, onto) if released else _parallel(gradient, onto)
    if rule == "orthogonal":
        return gradient - parallel
    if rule == "drop":
        return torch.where(cosine >= 0, gradient, gradient - parallel)
    if rule == "keep":
        return torch.where(cosine > 0, parallel, torch.zeros_like(parallel))
    if rule == "smooth":
        weight = cosine.clamp(min=0)
        return weight * parallel + (1 - weight) * (gradient - parallel)
    return torch.where(cosine > 0, parallel, gradient - parallel)


def _parallel(gradient: Tensor, onto: Tensor) -> tuple[Tensor, Tensor]:
    """Parallel part and cosine, free of scale: both tensors are brought to a largest entry of 1 first."""
    g, g_scale = _normalised(gradient)
    b, _ = _normalised(onto)
    dot, g_square, b_square = (g * b).sum(), (g * g).sum(), (b * b).sum()
    one = torch.ones_like(b_square)
    parallel = dot / torch.where(b_square > 0, b_square, one) * g_scale * b
    norms = (g_square * b_square).sqrt()
    return parallel, dot / torch.where(norms > 0, norms, one)


def _parallel_released(gradient: Tensor, onto: Tensor) -> tuple[Tensor, Tensor]:
    """Parallel part with an absolute 1e-8 in its denominator, and a number with the sign of the cosine."""
    dot, b_square = (gradient * onto).sum(), (onto * onto).sum()
    norms = ((gradient * gradient).sum() * b_square).sqrt()
    return dot / (b_square + 1e-8) * onto, dot / torch.where(norms > 0, norms, torch.ones_like(norms))


def _normalised(x: Tensor) -> tuple[Tensor, Tensor]:
    """x divided by its largest absolute entry, and that entry (1 for a zero tensor)."""
    scale = x.abs().amax()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return x / scale, scale
