"""Text features from cached beginnings against the whole sentences through open_clip's own transformer."""

import open_clip
import pytest
import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.clip import load_clip
from mmdg_lite.prompts import AsymmetricDomainPrompts, encode_embedded, tokenize_sentences
from mmdg_lite.released import released_positions
from mmdg_lite.speed.quick_gelu import replace_quick_gelu
from tests.support.tiny import DOMAINS

LENGTHS = ([[3, 4], [3, 4], [1, 5]], [[2, 3], [5, 2], [0, 1]])
"""Positions of two context vectors in three sentences each: at one place, at different ones, apart, at the start."""


def sentences_of_one_length() -> Tensor:
    """Own sentences, 3 x 2 x 3 x 77, of at least seven tokens."""
    texts = ["a live face of a person", "a face", "the photo of one more person here"]
    ids = SimpleTokenizer()([f"{text} so it is x x" for text in texts])
    return ids.expand(len(MODALITIES), 2, -1, -1)


def prompts_of(case: str, clip: CLIP) -> AsymmetricDomainPrompts:
    if case == "own":
        positions = torch.tensor(LENGTHS).expand(3, -1, -1, -1)
        return AsymmetricDomainPrompts(
            clip, DOMAINS, context=2, token_ids=sentences_of_one_length(), positions=positions
        )
    if case == "none":
        return AsymmetricDomainPrompts(clip, DOMAINS, context=0)
    ids = tokenize_sentences(5)
    positions = released_positions(ids, 5) if case == "released" else None
    return AsymmetricDomainPrompts(clip, DOMAINS, token_ids=ids, positions=positions)


def both_ways(prompts: AsymmetricDomainPrompts, clip: CLIP, m: int) -> tuple[Tensor, Tensor]:
    """Features of one modality's sentences: by the tail alone, and by the whole sentences."""
    ids = prompts._of_classes(prompts.token_ids[m])
    fast = prompts._texts[m].encode(prompts.embedded(m))
    return fast, encode_embedded(clip, prompts.embedded(m), ids.argmax(dim=-1))


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=str)
def clip(request: pytest.FixtureRequest) -> CLIP:
    return replace_quick_gelu(load_clip("tiny")).to(request.param)


@pytest.mark.parametrize("case", ["placeholders", "released", "own", "none"])
def test_tails_give_what_whole_sentences_give(clip: CLIP, case: str) -> None:
    """Values and the gradients of the contexts."""
    dtype = clip.text_projection.dtype
    bounds = {"atol": 1e-11, "rtol": 1e-10} if dtype == torch.float64 else {"atol": 2e-5, "rtol": 1e-4}
    torch.manual_seed(3)
    prompts = prompts_of(case, clip).to(dtype)
    for m, modality in enumerate(MODALITIES):
        fast, plain = both_ways(prompts, clip, m)
        torch.testing.assert_close(fast, plain, **bounds)
        if case == "none":
            continue
        weights = torch.randn(fast.shape, dtype=dtype)
        context = prompts.contexts[modality.value]
        (quick,), (slow,) = (torch.autograd.grad((y * weights).sum(), context) for y in (fast, plain))
        scale = float(slow.abs().max())
        assert scale > 0
        torch.testing.assert_close(quick / scale, slow / scale, **bounds)


def test_the_text_side_of_vit_b_16() -> None:
    """Twelve blocks of eight heads, with random weights."""
    sizes = open_clip.get_model_config("ViT-B-16")
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    clip = open_clip.CLIP(sizes["embed_dim"], vision, sizes["text_cfg"], quick_gelu=True).requires_grad_(False)
    assert len(clip.transformer.resblocks) == 12
    prompts = AsymmetricDomainPrompts(replace_quick_gelu(clip), ("C",))
    with torch.no_grad():
        fast, plain = both_ways(prompts, clip, 1)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


def test_under_autocast() -> None:
    """As close to the exact features as the whole sentences are under the same autocast."""
    clip = replace_quick_gelu(load_clip("tiny"))
    prompts = prompts_of("placeholders", clip)
    with torch.no_grad():
        exact, _ = both_ways(prompts, clip, 0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fast, plain = both_ways(prompts, clip, 0)
        again, _ = both_ways(prompts, clip, 0)
    errors = [float((y.to(exact.dtype) - exact).norm() / exact.norm()) for y in (fast, plain)]
    assert 0 < errors[0] < max(2 * errors[1], 0.02)
    torch.testing.assert_close(again, exact)


def test_cached_beginnings_follow_the_weights() -> None:
    clip = open_clip.CLIP(
        12,
        {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
        {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    ).requires_grad_(False)
    prompts = AsymmetricDomainPrompts(clip, DOMAINS)
    before, _ = both_ways(prompts, clip, 0)
    kept = prompts._texts[0]._kept
    both_ways(prompts, clip, 0)
    assert prompts._texts[0]._kept is kept
    with torch.no_grad():
        clip.transformer.resblocks[0].attn.in_proj_weight.mul_(3)
    fast, plain = both_ways(prompts, clip, 0)
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-4)
    assert (fast - before).abs().max() > 1e-3


def test_beginnings_first_read_for_inference_serve_training(clip: CLIP) -> None:
    prompts = prompts_of("placeholders", clip).to(clip.text_projection.dtype)
    with torch.inference_mode():
        prompts()
    prompts.by_modality()[1].sum().backward()
    assert bool(prompts.contexts["depth"].grad.any())
    assert prompts.contexts["rgb"].grad is None


def test_no_gradient_at_all_for_other_modalities_prompts(clip: CLIP) -> None:
    """Not even zeros: these would have gone through the text transformer."""
    prompts = prompts_of("placeholders", clip).to(clip.text_projection.dtype)
    contexts = [prompts.contexts[modality.value] for modality in MODALITIES]
    for m, features in enumerate(prompts.by_modality()):
        gradients = torch.autograd.grad(features.sum(), contexts, allow_unused=True)
        assert [gradient is not None for gradient in gradients] == [m == i for i in range(3)]


def test_other_text_sides_are_refused() -> None:
    clip = load_clip("tiny")
    clip.transformer.resblocks[0] = torch.nn.Identity()
    with pytest.raises(ValueError, match="not a plain transformer"):
        AsymmetricDomainPrompts(clip, DOMAINS)


def test_a_clip_made_under_inference_mode_answers_too():
    def made():
        torch.manual_seed(0)
        return prompts_of("usual", load_clip("tiny"))()

    with torch.inference_mode():
        inside = made()
    torch.testing.assert_close(inside, made())
