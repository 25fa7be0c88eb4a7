"""Where U-Adapter++ looks: the attention that each token of a receiving modality gets in the last block."""

from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor

from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.modality import MODALITIES, Batch, Modality
from mmdg_lite.models.builder import MMDGPlusPlus
from mmdg_lite.models.outputs import Output
from mmdg_lite.speed.quick_gelu import quick_gelu


def with_attention(model: MMDGPlusPlus, batch: Batch) -> tuple[Output, Tensor]:
    """A forward pass in evaluation, and the attention that its last block's adapters pay to each token.

    Returns:
        The output, and B x 3 receivers x 2 senders x N: for each token of the receiver the mean over queries and heads
        of the attention weights on it, so that the N numbers add up to 1. Senders that are missing, and receivers,
        have no meaningful entry.

    Raises:
        ValueError: the model has no U-Adapter++.
    """
    last = [cast(Any, model.adapters[m.value])[-1:] for m in MODALITIES]
    if not all(len(of) and isinstance(of[0].attention, CertaintyAttention) for of in last):
        raise ValueError("attention maps need a model with U-Adapter++ in its blocks")
    seen: list[Tensor] = []
    blocks: Any = model.clip.visual.transformer.resblocks
    watch = blocks[-1].ln_2.register_forward_hook(lambda _module, _given, h: seen.append(h))
    try:
        output = model(batch)
    finally:
        watch.remove()
    tokens = dict(zip(MODALITIES, rearrange(seen[-1], "(m b) n c -> m b n c", m=len(MODALITIES)), strict=True))
    received = [
        torch.stack([_received(of[0], tokens[receiver], tokens[sender]) for sender in receiver.others], dim=1)
        for receiver, of in zip(MODALITIES, last, strict=True)
    ]
    return output, torch.stack(received, dim=1)


def _received(adapter: CrossAdapter, receiver: Tensor, sender: Tensor) -> Tensor:
    """Attention on each of the receiver's tokens, B x N, from both sides' layer-normalised tokens B x N x C."""
    a = adapter.norm_receiver(quick_gelu(adapter.down_receiver(receiver)))  # B x N x d
    b = adapter.norm_sender(quick_gelu(adapter.down_sender(sender)))  # B x N x d
    return attention_on_tokens(cast(CertaintyAttention, adapter.attention), b, a)


def attention_on_tokens(attention: CertaintyAttention, sender: Tensor, receiver: Tensor) -> Tensor:
    """Mean over queries and heads of the attention weights on each of the receiver's tokens, B x N.

    `sender`, `receiver`: B x N x d, what the attention's `forward` takes.
    """
    query_b, query_a = attention.query_sender(sender), attention.query_receiver(receiver)
    query, _ = attention.choose(
        (attention.mean_sender(query_b), attention.log_variance_sender(query_b)),
        (attention.mean_receiver(query_a), attention.log_variance_receiver(query_a)),
    )
    heads = attention.heads
    q, k = (rearrange(x, "b n (heads e) -> b heads n e", heads=heads) for x in (query, attention.key(receiver)))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)  # B x heads x N x N
    return weights.mean(dim=(1, 2))


def receivers_mean(values: Tensor, receiver: Modality, present: tuple[Modality, ...]) -> Tensor | None:
    """Mean over the present senders of what a receiver has per token, N from 3 x 2 x N; None where nothing is sent."""
    senders = [place for place, sender in enumerate(receiver.others) if sender in present]
    if receiver not in present or not senders:
        return None
    return values[receiver.index, senders].mean(dim=0)
