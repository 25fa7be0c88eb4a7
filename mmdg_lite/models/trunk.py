"""A vision transformer taken apart: patches in, one block at a time, class token out.

Between the blocks' halves the modalities exchange information, so a trunk is not called as a whole. A `Trunk` is a view
of a model made by open_clip: it has no parameters of its own, copies nothing and changes nothing.
"""

from abc import ABC, abstractmethod
from typing import Any

import open_clip
import torch
import torch._functorch.config
from einops import rearrange, repeat
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, cat, nn
from torch.nn import functional


class Trunk(ABC):
    """Pieces of a pre-norm vision transformer with a class token and learned positions.

    module: the model whose pieces these are. blocks: its blocks.
    class_token: C. positions: N x C, the class token's first. The values that modalities' own ones start from.
    width: C. layers: number of blocks. image_size: (height, width) in pixels.
    """

    module: Any  # an nn.Module; Any because of the names of its pieces
    blocks: Any
    class_token: Tensor
    positions: Tensor
    width: int
    layers: int
    image_size: tuple[int, int]

    @abstractmethod
    def patches(self, images: Tensor) -> Tensor:
        """B x 3 x H x W to patch embeddings B x P x C, without positions."""

    @abstractmethod
    def enter(self, x: Tensor) -> Tensor:
        """What is done to the tokens B x N x C before the first block."""

    @abstractmethod
    def attention_of(self, block: Any, x: Tensor) -> Tensor:
        """Attn(LN1(x)) of a block, B x N x C, to be added to x."""

    @abstractmethod
    def norm_of(self, block: Any, x: Tensor) -> Tensor:
        """LN2(x) of a block, B x N x C."""

    @abstractmethod
    def mlp_of(self, block: Any, h: Tensor) -> Tensor:
        """MLP of a block, from LN2's output, B x N x C, to be added to x."""

    def attention(self, layer: int, x: Tensor) -> Tensor:
        """`attention_of` the block of that number, from 0."""
        return self.attention_of(self.blocks[layer], x)

    def feed_forward(self, layer: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """(LN2(x), MLP(LN2(x))) of the block of that number, each B x N x C; the second is to be added to x."""
        return self.feed_forward_of(self.blocks[layer], x)

    def feed_forward_of(self, block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """(LN2(x), MLP(LN2(x))) of a block."""
        h = self.norm_of(block, x)
        return h, self.mlp_of(block, h)

    @abstractmethod
    def leave(self, x: Tensor) -> Tensor:
        """Final normalisation, any shape ... x C."""

    def embed(self, images: Tensor, class_tokens: Tensor, positions: Tensor) -> Tensor:
        """Tokens of M modalities that have class tokens and positions of their own.

        Args:
            images: M x B x 3 x H x W, normalised with `mean` and `std`.
            class_tokens: M x C.
            positions: M x N x C.

        Returns:
            (M B) x N x C, ready for the first block.

        Raises:
            ValueError: images of a size that this trunk does not take.
        """
        if tuple(images.shape[-2:]) != self.image_size:
            raise ValueError(f"this trunk takes {self.image_size} images, got {tuple(images.shape[-2:])}")
        batch = images.shape[1]
        patches = self.patches(rearrange(images, "m b c h w -> (m b) c h w"))  # (M B) x P x C
        tokens = cat([repeat(class_tokens, "m c -> (m b) 1 c", b=batch).to(patches.dtype), patches], dim=1)
        return self.enter(tokens + repeat(positions, "m n c -> (m b) n c", b=batch).to(tokens.dtype))


class OpenClipTrunk(Trunk):
    """View of the visual trunk of open_clip's CLIP. Its projection to the space of texts is left aside."""

    def __init__(self, visual: Any) -> None:
        blocks = visual.transformer.resblocks
        if visual.attn_pool is not None or not all(isinstance(block, ResidualAttentionBlock) for block in blocks):
            raise ValueError("this CLIP's trunk is not a plain vision transformer: choose one such as ViT-B-16")
        self.module, self.blocks = visual, blocks
        self.class_token, self.positions = visual.class_embedding.detach(), visual.positional_embedding.detach()
        self.width, self.layers = visual.conv1.out_channels, len(blocks)
        self.image_size = _pair(visual.image_size)

    def patches(self, images: Tensor) -> Tensor:
        return rearrange(self.module.conv1(images), "b c h w -> b (h w) c")

    def enter(self, x: Tensor) -> Tensor:
        return self.module.ln_pre(x)

    def attention_of(self, block: Any, x: Tensor) -> Tensor:
        # written out: nn.MultiheadAttention gives the same numbers, and takes half as long again to differentiate
        module = block.attn
        projected = functional.linear(block.ln_1(x), module.in_proj_weight, module.in_proj_bias)  # B x N x 3 C
        q, k, v = rearrange(projected, "b n (s h e) -> s b h n e", s=3, h=module.num_heads)
        attended = functional.scaled_dot_product_attention(q, k, v)  # B x heads x N x C/heads
        return block.ls_1(module.out_proj(rearrange(attended, "b h n e -> b n (h e)")))

    def norm_of(self, block: Any, x: Tensor) -> Tensor:
        return block.ln_2(x)

    def mlp_of(self, block: Any, h: Tensor) -> Tensor:
        return block.ls_2(block.mlp(h))

    def leave(self, x: Tensor) -> Tensor:
        return self.module.ln_post(x)


def take_apart(model: nn.Module | Trunk) -> Trunk:
    """The view of open_clip's CLIP, or of its visual trunk; a view is given back.

    Raises:
        ValueError: a model of another kind, or a trunk that is not a plain vision transformer.
    """
    if isinstance(model, Trunk):
        return model
    visual = model.visual if isinstance(model, open_clip.CLIP) else model
    if not isinstance(visual, open_clip.transformer.VisionTransformer):
        raise ValueError(f"{type(visual).__module__}.{type(visual).__name__} is not a vision transformer of open_clip")
    return OpenClipTrunk(visual)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


class CompiledTrunk(Trunk):
    """The same trunk, attention and MLP of its blocks compiled when they are first called.

    Args:
        trunk: the view to take after.
    """

    def __init__(self, trunk: Trunk) -> None:
        vars(self).update(vars(trunk))
        self.plain = trunk
        # a compiled graph must survive the first of ReGrad's four backward passes
        torch._functorch.config.donated_buffer = False
        self._attention = torch.compile(trunk.attention_of, fullgraph=True)
        self._feed_forward = torch.compile(trunk.feed_forward_of, fullgraph=True)

    def patches(self, images: Tensor) -> Tensor:
        return self.plain.patches(images)

    def enter(self, x: Tensor) -> Tensor:
        return self.plain.enter(x)

    def attention_of(self, block: Any, x: Tensor) -> Tensor:
        return self._attention(block, x)

    def norm_of(self, block: Any, x: Tensor) -> Tensor:
        return self.plain.norm_of(block, x)

    def mlp_of(self, block: Any, h: Tensor) -> Tensor:
        return self.plain.mlp_of(block, h)

    def feed_forward_of(self, block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._feed_forward(block, x)

    def leave(self, x: Tensor) -> Tensor:
        return self.plain.leave(x)


def check_compiler(device: torch.device) -> None:
    """Raise `RuntimeError` saying what is missing if nothing can be compiled for this device here."""
    try:
        torch.compile(torch.sin, fullgraph=True)(torch.ones(2, device=device))
    except Exception as error:
        need = "a C++ compiler such as g++" if device.type == "cpu" else "Triton and a C compiler"
        reason = str(error).strip().splitlines()[0]
        raise RuntimeError(
            f"training.compile needs what torch.compile needs on {device.type}, {need}: install it, or set "
            f"training.compile=false, which gives the same results ({type(error).__name__}: {reason})"
        ) from error
