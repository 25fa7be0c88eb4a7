"""CLIP's text side for sentences of which only the end changes.

The text transformer is causal and frozen: what stands before the first token that changes is the same at every step,
and so are its keys and values in every block. They are computed once; afterwards only the tail of each sentence, from
the first changing token to the end of the text, goes through the blocks and attends to them. Same values, less work.
"""

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from open_clip import CLIP
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class _Prefix:
    """What the constant beginnings are to the tails: n sentences, H heads, P tokens of the longest beginning."""

    made_with: tuple[Any, ...]  # of what the rest holds
    keys: list[Tensor]  # per block n x H x P x width of a head
    values: list[Tensor]
    places: Tensor  # n x T, positions of the tail's tokens
    end: Tensor  # n, index of the end of the text in the tail
    hidden: Tensor  # n x 1 x T x (P + T) bools: what a token of the tail may not see


class CausalText:
    """Text features of n sentences whose first tokens never change.

    Args:
        clip: open_clip's CLIP with a frozen, causal text transformer of plain blocks.
        start: index of the first token of each sentence that may change, n.
        end: index of the end-of-text token of each sentence, n.

    Raises:
        ValueError: a text transformer of other blocks.
    """

    def __init__(self, clip: CLIP, start: Tensor, end: Tensor) -> None:
        if not all(isinstance(block, ResidualAttentionBlock) for block in clip.transformer.resblocks):
            raise ValueError("this CLIP's text side is not a plain transformer: choose one such as ViT-B-16")
        self.clip = clip
        self.start, self.end = torch.minimum(start, end).cpu(), end.cpu()
        self.tail = int((self.end - self.start).max()) + 1  # T
        self.longest = int(self.start.max())  # P
        self._kept: _Prefix | None = None

    def encode(self, embedded: Tensor) -> Tensor:
        """The same as `prompts.encode_embedded`, n x D, not normalised; no gradient reaches the first tokens.

        Args:
            embedded: token embeddings, n x length x width, without positional embedding.
        """
        positional = self.clip.positional_embedding[: embedded.shape[1]].to(embedded.dtype)
        x = embedded + positional  # n x length x width
        prefix = self._prefix(x)
        x = x.gather(1, prefix.places[..., None].expand(-1, -1, x.shape[-1]))  # n x T x width
        for block, keys, values in zip(self.clip.transformer.resblocks, prefix.keys, prefix.values, strict=True):
            q, k, v = _query_key_value(block, x)  # each n x H x T x d
            logits = torch.cat([q @ keys.mT, q @ k.mT], dim=-1) * q.shape[-1] ** -0.5  # n x H x T x (P + T)
            weights = logits.masked_fill(prefix.hidden, float("-inf")).softmax(dim=-1)
            attended = weights[..., : self.longest] @ values + weights[..., self.longest :] @ v
            x = _rest_of_block(block, x, attended)
        last = x.gather(1, prefix.end[:, None, None].expand(-1, 1, x.shape[-1])).squeeze(1)  # n x width
        last = self.clip.ln_final(last)
        return last @ self.clip.text_projection.to(last.dtype)

    def _prefix(self, x: Tensor) -> _Prefix:
        """What is constant, made anew when weights, device or precision are no longer those it was made with."""
        device = x.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        weights = [
            self.clip.token_embedding.weight,
            self.clip.positional_embedding,
            *self.clip.transformer.parameters(),
        ]
        made_with = (x.device, x.dtype, precision, *(_version(weight) for weight in weights))
        if self._kept is None or self._kept.made_with != made_with:
            with torch.inference_mode(False), torch.no_grad():  # usable in training, wherever it was made
                self._kept = self._read(x.detach().clone(), made_with)
        return self._kept

    def _read(self, x: Tensor, made_with: tuple[Any, ...]) -> _Prefix:
        """Run the longest beginning, n x P x width, through the blocks."""
        start, end = self.start.to(x.device), self.end.to(x.device)
        keys, values = [], []
        length = x.shape[1]
        x = x[:, : self.longest]
        for block in self.clip.transformer.resblocks:
            q, k, v = _query_key_value(block, x)  # each n x H x P x d
            keys.append(k)
            values.append(v)
            x = _rest_of_block(block, x, functional.scaled_dot_product_attention(q, k, v, is_causal=True))
        order = torch.arange(self.tail, device=x.device)
        after = torch.arange(self.longest, device=x.device) >= start[:, None]  # n x P: no part of this beginning
        later = order > order[:, None]  # T x T: what comes after a token of the tail
        hidden = torch.cat([after[:, None].expand(-1, self.tail, -1), later.expand(len(start), -1, -1)], dim=-1)
        places = (start[:, None] + order).clamp(max=length - 1)  # what is beyond the end cannot be seen from it
        return _Prefix(made_with, keys, values, places, end - start, hidden[:, None])


def _query_key_value(block: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """n x tokens x width to queries, keys and values, each n x H x tokens x width of a head."""
    attention = block.attn
    joint = functional.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = rearrange(joint, "n t (three h d) -> three n h t d", three=3, h=attention.num_heads)
    return q, k, v


def _rest_of_block(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """What a block does after attending; `attended` is n x H x tokens x width of a head."""
    x = x + block.ls_1(block.attn.out_proj(rearrange(attended, "n h t d -> n t (h d)")))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _version(weight: Tensor) -> tuple[int, int | None]:
    """What changes when a weight is replaced, or changed in place (which those of inference mode do not count)."""
    return id(weight), None if weight.is_inference() else weight._version
