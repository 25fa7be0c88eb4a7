"""Flex-Modal (Yu et al., "Flexible-Modal Face Anti-Spoofing: A Benchmark", CVPR workshops 2023, arXiv 2202.08192).

RGB is looked at through the channels of depth and infrared, of which training drops some, so that tests may lack them.
Ours is a peer of MMDG++ on its frozen trunk (see PEERS.md), not one of the paper's networks.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.multimodal import stacked
from mmdg_lite.models.peer import Peer


class FlexModal(Peer):
    """A frozen CLIP with channel cross-attention between the modalities' patch maps at its end.

        F = R + softmax(D R^T) R + softmax(I R^T) R,   logits = Linear(GAP(ReLU(BN(Conv3x3(F)))))

    R, D and I: the projected patch tokens as unit vectors, channels x patches; the softmax is over R's channels. The
    term of a missing modality is left out. Without RGB, which the papers always have, the first modality that is there
    takes its place. In training, depth and infrared
    are each left out of some samples. Options: see `Peer`.
    """

    def __init__(self, clip: CLIP, source_domains: Sequence[str], **options: Any) -> None:
        super().__init__(clip, source_domains, adapters="none", **options)
        width = self.embed_dim
        self.head = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 2),
        )

    def decide(self, unit: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Logits B x 2 from the patches of the trunk's last tokens (3 B) x N x C."""
        patches = rearrange(self.trunk_view.leave(tokens[:, 1:]), "(m b) p c -> m b p c", m=len(MODALITIES))
        projected = patches @ stacked(self.projections)[:, None].to(patches.dtype)  # 3 x B x P x D
        maps = rearrange(functional.normalize(projected, dim=-1), "m b p d -> b m d p")
        fused = cross_attended(maps, self.kept(present) if self.training else present)  # B x D x P
        return self.head(rearrange(fused, "b d (h w) -> b d h w", h=round(fused.shape[-1] ** 0.5)))

    def kept(self, present: Tensor) -> Tensor:
        """What a training step sees of B x 3 bools: the first modality, and the others unless they are dropped."""
        device = present.device if self.generator is None else self.generator.device
        chance = torch.rand(present.shape, generator=self.generator, device=device).to(present.device)
        return present & ((chance >= self.settings.modality_dropout) | (first_of(present) == _places(present)))


def cross_attended(maps: Tensor, present: Tensor) -> Tensor:
    """F of maps B x 3 x D x P and presence B x 3: B x D x P."""
    first = first_of(present)  # B x 1
    leading = first == _places(present)  # B x 3
    base = torch.where(leading[..., None, None], maps, 0).sum(dim=1)  # B x D x P
    looked = (maps @ base[:, None].mT).softmax(dim=-1) @ base[:, None]  # B x 3 x D x P
    others = present & ~leading  # B x 3
    return base + torch.where(others[..., None, None], looked, 0).sum(dim=1)


def first_of(present: Tensor) -> Tensor:
    """Index of the first modality that is there, B x 3 bools to B x 1."""
    return present.int().argmax(dim=1, keepdim=True)


def _places(present: Tensor) -> Tensor:
    return torch.arange(present.shape[1], device=present.device)
