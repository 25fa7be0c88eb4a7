"""How the three modalities exchange information in one block: six adapter calls, one by one or in a single batch.

There are three receivers with an adapter each, and two senders for each of them. `one_by_one` says what is meant.
`all_at_once` computes the same from stacked parameters: what a receiver needs of itself (its own tokens, keys, values
and queries) is computed once for its two senders, the frozen trunk's wide tokens are read once, and the two senders'
results are added up before they are projected back to the trunk's width.
"""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.attention import FULL_TRUST, CertaintyAttention, Noise, Trust, multi_head
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.speed.quick_gelu import quick_gelu

PairNoise = Callable[[Modality, Modality], Noise]
"""(receiver, sender) to draws for the sender's and the receiver's queries, each K x B x N x d."""

SENDERS = tuple(tuple(sender.index for sender in receiver.others) for receiver in MODALITIES)
"""Indices of each receiver's two senders."""


def of_senders(present: Tensor) -> Tensor:
    """Each receiver's two senders' columns of B x 3 x ... values, B x 3 x 2 x ..."""
    columns = present.unbind(dim=1)
    return torch.stack([torch.stack([columns[sender] for sender in two], dim=1) for two in SENDERS], dim=1)


def one_by_one(
    adapters: Sequence[CrossAdapter],
    tokens: Tensor,
    present: Tensor,
    *,
    noise: PairNoise | None = None,
    selection: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Every receiver updated by both of its senders.

    Args:
        adapters: the three receivers' adapters of one block.
        tokens: layer-normalised trunk tokens, 3 x B x N x C.
        present: B x 3 bools.
        noise: draws for the adapters' queries instead of random ones.
        selection: uniforms in [0, 1) for the choice of queries in training, 3 x 2 x B x N x 1 (receivers x senders).
        generator: source of whatever random numbers are not given.

    Returns:
        (update 3 x B x N x C, summed over senders; certainty 3 x 2 x B x N, receivers x senders).
    """
    updates, certainties = [], []
    for receiver in MODALITIES:
        there, calls = present[:, receiver.index], []
        for place, sender in enumerate(receiver.others):
            calls.append(
                adapters[receiver.index](
                    tokens[receiver.index],
                    tokens[sender.index],
                    receiver_present=there,
                    sender_present=present[:, sender.index],
                    noise=None if noise is None else noise(receiver, sender),
                    selection=None if selection is None else selection[receiver.index, place],
                    generator=generator,
                )
            )
        updates.append(calls[0][0] + calls[1][0])
        certainties.append(torch.stack([certainty[..., 0] for _, certainty in calls]))
    return torch.stack(updates), torch.stack(certainties)


def all_at_once(
    adapters: Sequence[CrossAdapter],
    tokens: Tensor,
    present: Tensor,
    *,
    noise: PairNoise | None = None,
    selection: Tensor | None = None,
    generator: torch.Generator | None = None,
    complete: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """The same as `one_by_one`, in one batch; random numbers are drawn in another order. D13 and suppression
    of keys are not known here.

    Arguments and results as there; `complete` says that every modality is present in every sample, or that some may be
    missing. None: find out, for which the device has to be waited for.
    """
    batch, everything = tokens.shape[1], bool(present.all()) if complete is None else complete
    there = rearrange(present, "b m -> m b 1 1")
    if not everything:
        tokens = torch.where(there, tokens, torch.zeros_like(tokens))
    own, sent = _project_down(adapters, rearrange(tokens, "m b n c -> m (b n) c"))  # 3 x (B N) x d, 3 x 2 x (B N) x d
    a = _normalise([adapter.norm_receiver for adapter in adapters], quick_gelu(own))  # 3 x (B N) x d
    b = _normalise([adapter.norm_sender for adapter in adapters], quick_gelu(sent))  # 3 x 2 x (B N) x d
    if not everything:
        per_token = repeat(of_senders(present), "b m s -> m s (b n) 1", n=tokens.shape[2])
        b = torch.where(per_token, b, a[:, None])
    attended, certainty = _attend(adapters, a, b, batch, noise, selection, generator)
    y = a[:, None] + attended
    y = y + _linear([adapter.mlp for adapter in adapters], _normalise([x.norm_sender for x in adapters], y))
    y = quick_gelu(_convolve(adapters, rearrange(y, "m s (b n) d -> m s b n d", b=batch)))
    together = reduce(y, "m s b n d -> m (b n) d", "sum")  # both senders share the projection up
    update = _linear([adapter.up for adapter in adapters], together, times_bias=y.shape[1])  # 3 x (B N) x C
    update = rearrange(update, "m (b n) c -> m b n c", b=batch)
    if not everything:
        update = torch.where(there, update, torch.zeros_like(update))
        certainty = torch.where(there[:, None, ..., 0], certainty, torch.zeros_like(certainty))
    return update, certainty


def _project_down(adapters: Sequence[CrossAdapter], x: Tensor) -> tuple[Tensor, Tensor]:
    """Each modality's tokens projected as receiver, 3 x (B N) x d, and for its senders, 3 x 2 x (B N) x d.

    A modality's tokens are needed three times, by its own adapter and by those of the two that it sends to: the three
    projections of one modality are one matrix product.
    """
    readers = [
        [adapters[m].down_receiver, *(adapters[j].down_sender for j in SENDERS[m])] for m in range(len(adapters))
    ]
    weight = torch.stack([torch.cat([linear.weight for linear in three]) for three in readers])  # 3 x (3 d) x C
    bias = torch.stack([torch.cat([linear.bias for linear in three]) for three in readers])  # 3 x (3 d)
    down = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))  # 3 x (B N) x (3 d)
    down = rearrange(down, "m t (r d) -> (m r) t d", r=3)  # row 3 m: m as receiver; 3 m + 1, 3 m + 2: as sender
    rows = down.unbind()
    own = torch.stack(rows[0::3])
    # receiver m reads sender j in the row in which j serves m
    sent = [rows[3 * j + 1 + SENDERS[j].index(m)] for m in range(len(adapters)) for j in SENDERS[m]]
    return own, rearrange(torch.stack(sent), "(m s) t d -> m s t d", s=2)


def _attend(
    adapters: Sequence[CrossAdapter],
    a: Tensor,
    b: Tensor,
    batch: int,
    noise: PairNoise | None,
    selection: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Cross-attention of all pairs: attended tokens 3 x 2 x (B N) x d, certainty 3 x 2 x B x N."""
    parts = [adapter.attention for adapter in adapters]
    query_b = _linear([part.query_sender for part in parts], b)
    uncertain = [part for part in parts if isinstance(part, CertaintyAttention)]
    trust = FULL_TRUST
    if uncertain:
        query, certainty, trust = _choose(uncertain, a, query_b, batch, noise, selection, generator)
    else:
        query = rearrange(query_b, "m s (b n) d -> m s b n d", b=batch)
        certainty = torch.ones_like(query[..., :1])
    keys, values = (
        rearrange(_linear(linears, a), "m (b n) d -> (m b) n d", b=batch)
        for linears in ([part.key for part in parts], [part.value for part in parts])
    )
    # both senders' queries look at the same keys: side by side they are one attention of 2 N queries
    queries = rearrange(query, "m s b n d -> (m b) (s n) d")
    # a receiver's tokens are as certain beside one sender as beside the other
    share = None if trust.keys is None else rearrange(trust.keys[:, 0], "m b n -> (m b) n")
    attended = multi_head(queries, keys, values, parts[0].heads, share=share)
    attended = rearrange(attended, "(m b) (s n) d -> m s (b n) d", b=batch, s=2)
    attended = _linear([part.out for part in parts], attended)
    if trust.message is not None:
        each = repeat(trust.message, "m s b 1 1 -> m s (b n) 1", n=certainty.shape[-2])
        attended = each.to(attended.dtype) * attended
    return attended, certainty[..., 0]


def _choose(
    parts: Sequence[CertaintyAttention],
    a: Tensor,
    query_b: Tensor,
    batch: int,
    noise: PairNoise | None,
    selection: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor, Trust]:
    """The queries that are taken, scaled by their certainty, 3 x 2 x B x N x d; the certainty, ... x 1; the trust."""
    query_a = _linear([part.query_receiver for part in parts], a)

    def of_sender(linears: Sequence[nn.Linear]) -> Tensor:
        return rearrange(_linear(linears, query_b), "m s (b n) d -> m s b n d", b=batch)

    def of_receiver(linears: Sequence[nn.Linear]) -> Tensor:  # the same for both senders; drawn anew beside each
        return repeat(_linear(linears, query_a), "m (b n) d -> m s b n d", b=batch, s=2)

    log_variances = (
        of_sender([part.log_variance_sender for part in parts]),
        of_receiver([part.log_variance_receiver for part in parts]),
    )
    query, certainty = parts[0].choose(
        (of_sender([part.mean_sender for part in parts]), log_variances[0]),
        (of_receiver([part.mean_receiver for part in parts]), log_variances[1]),
        noise=None if noise is None else _all_pairs(noise),
        selection=selection,
        generator=generator,
    )
    return query, certainty, parts[0].trust(*log_variances)


def _all_pairs(noise: PairNoise) -> Noise:
    """The draws of all pairs, the senders' and the receivers' queries, each K x 3 x 2 x B x N x d."""
    pairs = [[noise(receiver, sender) for sender in receiver.others] for receiver in MODALITIES]
    of_sender, of_receiver = (
        torch.stack([torch.stack([pair[side] for pair in two], dim=1) for two in pairs], dim=1) for side in (0, 1)
    )
    return of_sender, of_receiver


def _linear(linears: Sequence[nn.Linear], x: Tensor, *, times_bias: int = 1) -> Tensor:
    """Each receiver's own linear map of 3 x ... x d_in, to 3 x ... x d_out; its bias counted so many times."""
    weight = torch.stack([linear.weight for linear in linears])  # 3 x d_out x d_in
    flat = x.flatten(1, -2)  # 3 x tokens x d_in
    biases: list[Tensor] = [linear.bias for linear in linears if linear.bias is not None]
    if not biases:
        y = torch.bmm(flat, weight.transpose(1, 2))
    else:
        # baddbmm's own factor of the bias would scale every token's gradient in each backward pass
        bias = torch.stack(biases) if times_bias == 1 else times_bias * torch.stack(biases)  # 3 x d_out
        y = torch.baddbmm(bias[:, None], flat, weight.transpose(1, 2))
    return y.unflatten(1, x.shape[1:-1])


def _normalise(norms: Sequence[nn.LayerNorm], x: Tensor) -> Tensor:
    """Each receiver's own layer normalisation of 3 x ... x d."""
    shape = (len(norms), *(1,) * (x.ndim - 2), x.shape[-1])
    weight, bias = (torch.stack(parts).view(shape) for parts in zip(*((n.weight, n.bias) for n in norms), strict=True))
    return torch.addcmul(bias, functional.layer_norm(x, x.shape[-1:], eps=norms[0].eps), weight)


def _convolve(adapters: Sequence[CrossAdapter], y: Tensor) -> Tensor:
    """Each receiver's own central difference convolution of the patches and of the class token, 3 x 2 x B x N x d."""
    receivers, senders, _, tokens, _ = y.shape
    grid = round((tokens - 1) ** 0.5)
    kernel = torch.stack([adapter.convolution.kernel() for adapter in adapters])  # 3 x d x d x 3 x 3
    image = rearrange(y[..., 1:, :], "m s b (h w) d -> (s b) (m d) h w", h=grid)
    image = functional.conv2d(image, rearrange(kernel, "m o i h w -> (m o) i h w"), padding=1, groups=receivers)
    patches = rearrange(image, "(s b) (m d) h w -> m s b (h w) d", s=senders, m=receivers)
    class_token = rearrange(y[..., 0, :], "m s b d -> m (s b) d")
    class_token = torch.bmm(class_token, kernel[..., 1, 1].transpose(1, 2))  # of a 1 x 1 image only the centre counts
    return torch.cat([rearrange(class_token, "m (s b) d -> m s b 1 d", s=senders), patches], dim=-2)
