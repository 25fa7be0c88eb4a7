"""Adapters as they are defined, number by number, over lists in float64: slow, and as plain as can be."""

import math

import torch
from torch import Tensor, nn

from mmdg_lite.adapters import CertaintyAttention, CrossAdapter, CrossAttention, UAdapter

Rows = list[list[float]]


def times(weight: Tensor, row: list[float], bias: Tensor | None = None) -> list[float]:
    """W x + b."""
    y = [math.fsum(w * x for w, x in zip(line, row, strict=True)) for line in weight.tolist()]
    return y if bias is None else [a + b for a, b in zip(y, bias.tolist(), strict=True)]


def gelu(row: list[float]) -> list[float]:
    return [x / (1 + math.exp(-1.702 * x)) for x in row]


def norm(layer: nn.LayerNorm, row: list[float]) -> list[float]:
    mean = math.fsum(row) / len(row)
    variance = math.fsum((x - mean) ** 2 for x in row) / len(row)
    unit = [(x - mean) / math.sqrt(variance + layer.eps) for x in row]
    return [w * u + b for w, u, b in zip(layer.weight.tolist(), unit, layer.bias.tolist(), strict=True)]


def plus(first: list[float], second: list[float], factor: float = 1.0) -> list[float]:
    return [a + factor * b for a, b in zip(first, second, strict=True)]


def gaussian_query(
    tokens: Rows, query: nn.Linear, mean: nn.Linear, log_variance: nn.Linear, noise: Tensor | None
) -> tuple[Rows, list[float]]:
    """Mean of each token's drawn queries, and their variance averaged over channels; without noise, expectations."""
    queries, uncertainties = [], []
    for n, token in enumerate(tokens):
        q = times(query.weight, token)
        mu, s2 = times(mean.weight, q), [math.exp(v) for v in times(log_variance.weight, q)]
        if noise is None:
            queries.append(mu)
            uncertainties.append(math.fsum(s2) / len(s2))
            continue
        draws = [[m + math.sqrt(v) * e for m, v, e in zip(mu, s2, eps, strict=True)] for eps in noise[:, n].tolist()]
        means = [math.fsum(column) / len(draws) for column in zip(*draws, strict=True)]
        squares = [
            math.fsum((x - m) ** 2 for x in column) / (len(draws) - 1)
            for column, m in zip(zip(*draws, strict=True), means, strict=True)
        ]
        queries.append(means)
        uncertainties.append(math.fsum(squares) / len(squares))
    return queries, uncertainties


def attend(attention: CrossAttention, queries: Rows, certainty: list[float], receiver: Rows) -> Rows:
    """softmax over keys of U_i q_i . k_j / sqrt(d / H), head by head; U multiplies row i of the logits."""
    keys = [times(attention.key.weight, a) for a in receiver]
    values = [times(attention.value.weight, a) for a in receiver]
    width = len(keys[0]) // attention.heads
    rows = []
    for q, u in zip(queries, certainty, strict=True):
        out = []
        for head in range(attention.heads):
            part = slice(head * width, (head + 1) * width)
            logits = [
                u * math.fsum(x * y for x, y in zip(q[part], k[part], strict=True)) / math.sqrt(width) for k in keys
            ]
            weights = [math.exp(logit - max(logits)) for logit in logits]
            total = math.fsum(weights)
            out += [
                math.fsum(w * v[channel] for w, v in zip(weights, values, strict=True)) / total
                for channel in range(part.start, part.stop)
            ]
        rows.append(times(attention.out.weight, out, attention.out.bias))
    return rows


def difference_convolution(weight: Tensor, theta: float, tokens: Rows) -> Rows:
    """Class token as a 1 x 1 image, patches as a square one."""
    kernels = [[weight[:, :, i, j] for j in range(3)] for i in range(3)]
    total = weight.sum(dim=(2, 3))
    grid = math.isqrt(len(tokens) - 1)
    rows = [plus(times(kernels[1][1], tokens[0]), times(total, tokens[0]), -theta)]
    for r in range(grid):
        for c in range(grid):
            here = tokens[1 + r * grid + c]
            row = [-theta * x for x in times(total, here)]
            for i in range(3):
                for j in range(3):
                    y, x = r + i - 1, c + j - 1
                    if 0 <= y < grid and 0 <= x < grid:
                        row = plus(row, times(kernels[i][j], tokens[1 + y * grid + x]))
            rows.append(row)
    return rows


def slow_adapter(
    adapter: CrossAdapter,
    receiver: Tensor,
    sender: Tensor,
    *,
    noise: tuple[Tensor, Tensor] | None = None,
    selection: Tensor | None = None,
    sender_present: bool = True,
    receiver_present: bool = True,
) -> tuple[Tensor, Tensor]:
    """Update N x C and certainty N x 1 of one sample. With `selection` the choice is that of training."""
    if not receiver_present:
        return torch.zeros_like(receiver), torch.zeros(len(receiver), 1, dtype=receiver.dtype)
    down, up = (adapter.down_receiver, adapter.norm_receiver), (adapter.down_sender, adapter.norm_sender)
    a, b = (
        [norm(layer_norm, gelu(times(linear.weight, token, linear.bias))) for token in tokens.tolist()]
        for (linear, layer_norm), tokens in ((down, receiver), (up, sender))
    )
    if not sender_present:
        b = a
    attention = adapter.attention
    if isinstance(attention, CertaintyAttention):
        noise_b, noise_a = noise if noise is not None else (None, None)
        queries_b, u_b = gaussian_query(
            b, attention.query_sender, attention.mean_sender, attention.log_variance_sender, noise_b
        )
        queries_a, u_a = gaussian_query(
            a, attention.query_receiver, attention.mean_receiver, attention.log_variance_receiver, noise_a
        )
        queries, certainty = [], []
        for n in range(len(a)):
            trust_a, trust_b = math.exp(-attention.rate * u_a[n]), math.exp(-attention.rate * u_b[n])
            if selection is None:
                take_b = trust_b > trust_a
            else:
                take_b = selection[n].item() < trust_b / (trust_a + trust_b)
            queries.append(queries_b[n] if take_b else queries_a[n])
            certainty.append(trust_b if take_b else trust_a)
    else:
        queries, certainty = [times(attention.query_sender.weight, token) for token in b], [1.0] * len(b)
    y = [plus(token, out) for token, out in zip(a, attend(attention, queries, certainty, a), strict=True)]
    y = [plus(row, times(adapter.mlp.weight, norm(adapter.norm_sender, row), adapter.mlp.bias)) for row in y]
    y = difference_convolution(adapter.convolution.conv.weight, adapter.convolution.theta, y)
    y = [times(adapter.up.weight, gelu(row), adapter.up.bias) for row in y]
    return torch.tensor(y, dtype=receiver.dtype), torch.tensor(certainty, dtype=receiver.dtype)[:, None]


def slow_mmdg_adapter(adapter: UAdapter, receiver: Tensor, sender: Tensor, certainty: Tensor) -> Tensor:
    """The update of one sample in evaluation, N x C."""
    r = [gelu(times(adapter.down_receiver.weight, token, adapter.down_receiver.bias)) for token in receiver.tolist()]
    s = [gelu(times(adapter.down_sender.weight, token, adapter.down_sender.bias)) for token in sender.tolist()]
    queries = [times(adapter.attention.query_sender.weight, token) for token in s]
    trust = [math.fsum(row) / len(row) for row in certainty.tolist()]
    out = attend(adapter.attention, queries, trust, r)
    y = [norm(adapter.norm, plus(token, row)) for token, row in zip(r, out, strict=True)]
    y = difference_convolution(adapter.convolution.conv.weight, adapter.convolution.theta, y)
    return torch.tensor([times(adapter.up.weight, gelu(row), adapter.up.bias) for row in y], dtype=receiver.dtype)


def randomised(module: nn.Module) -> nn.Module:
    """The module in float64 with every parameter random, also those that start as zeros or ones."""
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=0.4)
    return module.double()
