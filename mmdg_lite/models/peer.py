"""The host of the peers: other papers' methods on MMDG++'s frozen trunk, so that a difference is the method's.

What every peer trains is what plain fusion trains: each modality's class token, positions and visual projection. In the
papers each method has a network of its own, all of it trained; see PEERS.md.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import Modality
from mmdg_lite.models.config import PeerConfig
from mmdg_lite.models.mmdgplusplus import MMDGPlusPlus
from mmdg_lite.registry import AdapterKind


class Peer(MMDGPlusPlus):
    """A frozen CLIP with each modality's own tokens, positions and projection, and no losses of single modalities.

    Args:
        clip: open_clip's CLIP; it is frozen here.
        source_domains: names of the S training domains, in the order of the batch's `domain` numbers.
        settings: weights, margins, temperatures.
        adapters: plain fusion's ("plain") by default, see `MMDGPlusPlus`.
        options: further ones of `MMDGPlusPlus`, but for its prompts.
    """

    def __init__(
        self,
        clip: CLIP,
        source_domains: Sequence[str],
        *,
        settings: PeerConfig | None = None,
        adapters: AdapterKind = "plain",
        **options: Any,
    ) -> None:
        super().__init__(clip, source_domains, adapters=adapters, prompts="none", **options)
        self.classifiers = None
        self.settings = settings or PeerConfig()
        self.embed_dim: int = clip.visual.proj.shape[1]  # D

    def branches(self) -> list[tuple[nn.Parameter, Modality | None]]:
        """Those of MMDG++, and what the peer adds, which belongs to no modality."""
        known = super().branches()
        listed = {id(parameter) for parameter, _ in known}
        return known + [(parameter, None) for parameter in self.parameters() if id(parameter) not in listed]


def joined(features: Tensor) -> Tensor:
    """z: the modalities' features B x 3 x D as unit vectors side by side, B x (3 D), zero where one is missing."""
    return rearrange(functional.normalize(features, dim=-1), "b m d -> b (m d)")


def mean_where(values: Tensor, members: Tensor) -> Tensor:
    """Mean of the values whose `members` is true, both B; 0 if there is none."""
    return torch.where(members, values, torch.zeros_like(values)).sum() / members.sum().clamp(min=1)
