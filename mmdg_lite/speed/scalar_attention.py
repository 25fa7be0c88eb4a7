"""Attention of heads that are one number wide, as the adapters have (d = 8, 8 heads), cheap to differentiate often.

With scalars for queries and keys, everything that a backward pass needs of the weights P = softmax(q k^T) is a few of
their sums. Those over keys are the same for every gradient and are taken once, in the forward pass; those over queries
are one thin matrix product. A ReGrad step goes backwards four times, and general kernels redo all of it each time.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def attention(query: Tensor, key: Tensor, value: Tensor, *, share: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(e)) v: for scalar heads on a CPU as described above, otherwise by PyTorch's own kernel.

    Args:
        query: B x heads x M x e.
        key, value: B x heads x N x e.
        share: B x N, factors above 0 of the keys' weights exp(q k^T / sqrt(e)), before these are made to sum to one;
            no gradient flows to them.

    Returns:
        B x heads x M x e. Differentiable once.
    """
    if query.shape[-1] > 1 or query.device.type != "cpu" or torch.compiler.is_compiling():
        bias = None if share is None else share.detach().log()[:, None, None].to(query.dtype)  # B x 1 x 1 x N
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    # the weights would inherit the heads' strides, in which products with them are slow
    scalars = (x[..., 0].contiguous() for x in (query, key, value))
    return _ScalarAttention.apply(*scalars, share)[..., None]


class _ScalarAttention(torch.autograd.Function):
    """Attention of scalar queries B x H x M over scalar keys and values B x H x N.

    With y_i = sum_j P_ij v_j and g the gradient of the loss with respect to y:
    dq_i = g_i cov_i(v, k), the covariance under row i of P; dv_j = sum_i P_ij g_i;
    dk_j = sum_i P_ij q_i g_i (v_j - y_i).
    Keys and values are centred first: the weights and the covariances do not change, and nothing cancels.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, share: Tensor | None) -> Tensor:
        centre = value.mean(dim=-1, keepdim=True)
        v, k = value - centre, key - key.mean(dim=-1, keepdim=True)
        # the largest logit of a row belongs to the largest or the smallest key
        largest = torch.maximum(query * k.amax(dim=-1, keepdim=True), query * k.amin(dim=-1, keepdim=True))
        weights = (query[..., :, None] * k[..., None, :]).sub_(largest[..., None]).exp_()  # B x H x M x N, unnormalised
        if share is not None:
            weights.mul_(share[:, None, None].to(weights.dtype))
        # a few long rows times the weights: several times faster than the weights times a few columns
        sums = torch.stack([torch.ones_like(v), v, k, v * k], dim=-2) @ weights.transpose(-1, -2)  # B x H x 4 x M
        total = sums[..., 0, :]
        mean_v, mean_k, mean_vk = (sums[..., 1:, :] / total[..., None, :]).unbind(-2)
        ctx.save_for_backward(query, v, weights, total, mean_v, mean_vk - mean_v * mean_k)
        return mean_v + centre

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, v, weights, total, mean_v, covariance = ctx.saved_tensors
        share = gradient / total
        scaled = share * query
        sums = torch.stack([share, scaled, scaled * mean_v], dim=-2) @ weights  # B x H x 3 x N
        of_share, of_scaled, of_result = sums.unbind(-2)
        return gradient * covariance, v * of_scaled - of_result, of_share, None
