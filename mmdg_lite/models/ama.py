"""AMA (Yu et al., "Rethinking Vision Transformer and Masked Autoencoder in Multimodal Face Anti-Spoofing", IJCV 2024,
arXiv 2302.05744): adapters that the modalities share.

Ours is a peer of MMDG++ on its frozen trunk (see PEERS.md); the paper's has an ImageNet or masked-autoencoder trunk.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from einops import rearrange, reduce
from open_clip import CLIP
from torch import Tensor, nn

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.mmdgplusplus import NoiseSource
from mmdg_lite.models.peer import Peer
from mmdg_lite.speed.quick_gelu import quick_gelu
from mmdg_lite.uncertainty import SeededDropout


class AdaptiveMultimodalAdapter(nn.Module):
    """One bottleneck that three modalities share; a convolution fuses them, and a gate says who takes how much.

        h_m = QuickGELU(W_down x_m),  f = Conv3x3([h_R; h_D; h_I]),  a = sigmoid(Conv1x1(GAP([h_R; h_D; h_I])))
        update of x_m = W_up(Dropout(QuickGELU(a_m f)))

    Patch tokens are a square map; the class token passes the same convolution as a 1 x 1 image, with the patches' gate.
    W_up starts at zero.

    Args:
        width: C, the trunk's width.
        dim: d, the bottleneck's width.
        dropout: probability of dropping in the bottleneck, in training.
    """

    def __init__(self, width: int, *, dim: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        self.down = nn.Linear(width, dim)
        self.convolution = nn.Conv2d(len(MODALITIES) * dim, dim, kernel_size=3, padding=1)
        self.gate = nn.Conv2d(len(MODALITIES) * dim, len(MODALITIES), kernel_size=1)
        self.dropout = SeededDropout(dropout)
        self.up = nn.Linear(dim, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Updates 3 x B x N x C of layer-normalised tokens 3 x B x N x C; `present` B x 3 bools.

        A missing modality counts as zeros in f and in the gate; its own update is zero.
        """
        there = rearrange(present, "b m -> m b 1 1")
        h = torch.where(there, quick_gelu(self.down(x)), 0)  # 3 x B x N x d
        grid = round((x.shape[2] - 1) ** 0.5)
        maps = rearrange(h[:, :, 1:], "m b (h w) d -> b (m d) h w", h=grid)
        patches = rearrange(self.convolution(maps), "b d h w -> b (h w) d")
        class_token = self.convolution(rearrange(h[:, :, 0], "m b d -> b (m d) 1 1"))  # B x d x 1 x 1
        f = torch.cat([rearrange(class_token, "b d 1 1 -> b 1 d"), patches], dim=1)  # B x N x d
        gate = self.gate(reduce(maps, "b c h w -> b c 1 1", "mean")).sigmoid()  # B x 3 x 1 x 1
        update = self.up(self.dropout(quick_gelu(rearrange(gate, "b m 1 1 -> m b 1 1") * f)))  # 3 x B x N x C
        return torch.where(there, update, 0)


class AMA(Peer):
    """A frozen CLIP with AMA's adapters beside attention and beside MLP of every block, and plain fusion's head.

        x = x + Attn(LN1(x)) + AMA(LN1(x)),   x = x + MLP(LN2(x)) + AMA'(LN2(x)),   L = CE(head(z), y)

    Options: see `Peer`; `dim` is the bottleneck's width.
    """

    def __init__(self, clip: CLIP, source_domains: Sequence[str], *, dim: int = 8, **options: Any) -> None:
        super().__init__(clip, source_domains, adapters="none", **options)
        dropout = self.settings.bottleneck_dropout

        def beside() -> nn.ModuleList:
            view = self._view
            made = (AdaptiveMultimodalAdapter(view.width, dim=dim, dropout=dropout) for _ in range(view.layers))
            return nn.ModuleList(made)

        self.beside_attention, self.beside_mlp = beside(), beside()

    def _block(
        self, layer: int, present: Tensor, complete: bool, noise: NoiseSource | None, x: Tensor
    ) -> tuple[Tensor, None]:
        trunk = self.trunk_view
        adapted = self._adapted(self.beside_attention[layer], trunk.blocks[layer].ln_1(x), present)
        x = x + trunk.attention(layer, x) + adapted
        h, fed = trunk.feed_forward(layer, x)
        return x + fed + self._adapted(self.beside_mlp[layer], h, present), None

    def _adapted(self, adapter: nn.Module, h: Tensor, present: Tensor) -> Tensor:
        """The update (3 B) x N x C of tokens (3 B) x N x C."""
        cast(AdaptiveMultimodalAdapter, adapter).dropout.generator = self.generator
        update = adapter(rearrange(h, "(m b) n c -> m b n c", m=len(MODALITIES)), present)
        return rearrange(update, "m b n c -> (m b) n c")
