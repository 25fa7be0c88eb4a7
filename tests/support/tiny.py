"""A CLIP and a batch of a size at which a whole model runs in milliseconds."""

from collections.abc import Sequence

import open_clip
import torch
from torch import Tensor, nn

from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.models.builder import MMDGPlusPlus
from mmdg_lite.models.outputs import Batch, Output

SIZE = 16
DOMAINS = ("C", "P", "S")


WORDS = 16
"""Size of the vocabulary of `tiny_sentences`."""


def tiny_clip(*, vocabulary: int = WORDS) -> open_clip.CLIP:
    """Random weights: 16 px, patch 8, width 16, 2 blocks; text width 16, 1 block; embedding 12; QuickGELU."""
    vision = {"image_size": SIZE, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8}
    text = {"context_length": 77, "vocab_size": vocabulary, "width": 16, "heads": 2, "layers": 1}
    return open_clip.CLIP(12, vision, text, quick_gelu=True).eval()


def tiny_sentences() -> dict[str, Tensor]:
    """Two sentences for each modality and class as token ids, and where two context vectors go in them."""
    start, end = WORDS - 2, WORDS - 1
    token_ids = torch.zeros(3, 2, 2, 8, dtype=torch.long)
    for number, sentence in enumerate(token_ids.view(-1, 8)):
        sentence[:6] = torch.tensor([start, 1 + number % 3, 4 + number // 3, 0, 0, end])
    return {"token_ids": token_ids, "positions": torch.tensor([3, 4]).expand(3, 2, 2, 2)}


def tiny_model(domains: Sequence[str] = DOMAINS, *, awake: bool = True, **options: object) -> MMDGPlusPlus:
    """An MMDG++ over `tiny_clip`, whose adapters act already (`awake`) or are zero as at the start of training."""
    model = MMDGPlusPlus(tiny_clip(), domains, **tiny_sentences(), context=2, **options)  # type: ignore[arg-type]
    if awake:
        awaken(model)
    return model


def awaken(module: nn.Module) -> None:
    """Give the zero-initialised projections of all adapters random weights."""
    for adapter in module.modules():
        if isinstance(adapter, CrossAdapter):
            nn.init.normal_(adapter.up.weight)
            nn.init.normal_(adapter.up.bias)


def batch(size: int = 4, *, present: Sequence[Sequence[bool]] | None = None, seed: int = 0) -> Batch:
    """Random images, labels 1 0 1 0 ... and domains 0 1 2 0 ..."""
    chance = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {
        name: torch.randn(size, 3, SIZE, SIZE, generator=chance) for name in ("rgb", "depth", "infrared")
    }
    made["label"] = (torch.arange(size) + 1) % 2
    made["domain"] = torch.arange(size) % len(DOMAINS)
    if present is not None:
        made["present"] = torch.tensor(present)
    return made


def evaluated(model: MMDGPlusPlus, given: Batch) -> Output:
    """What a model says in evaluation."""
    with torch.no_grad():
        return model.eval()(given)


def assert_same(first: Output, second: Output, *, samples: Tensor | slice = slice(None), **tolerances: float) -> None:
    """The same results for the first output and some samples of the second."""
    for name in ("logits", "modality_logits", "features", "certainty", "present"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name)[samples], **tolerances)
    for a, b in zip(first.token_certainty, second.token_certainty, strict=True):
        torch.testing.assert_close(a, b[samples], **tolerances)
