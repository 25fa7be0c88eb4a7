"""Asymmetric domain prompts: where the context vectors go, what the text encoder makes of them, what is trained."""

import pytest
import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.prompts import (
    PLACEHOLDER,
    AsymmetricDomainPrompts,
    all_sentences,
    placeholder_positions,
    sentences,
    tokenize_sentences,
)
from mmdg_lite.released import released_positions
from tests.support.tiny import DOMAINS, tiny_clip

CONTEXT = 5


@pytest.fixture(scope="module")
def clip() -> CLIP:
    torch.manual_seed(1)
    return tiny_clip(vocabulary=49408).requires_grad_(False)


def prompts_of(clip: CLIP, **options: object) -> AsymmetricDomainPrompts:
    return AsymmetricDomainPrompts(clip, DOMAINS, **options)  # type: ignore[arg-type]


# --- sentences ---


def test_nine_different_sentences_for_each_modality_and_class() -> None:
    for modality in MODALITIES:
        live, spoof = (sentences(modality, live=is_live) for is_live in (True, False))
        assert len(set(live)) == len(set(spoof)) == 9
        assert not set(live) & set(spoof)
        name = "RGB" if modality is Modality.RGB else modality.value
        assert all(name in sentence for sentence in live + spoof)
        assert not any(f" a {word}" in sentence for sentence in live + spoof for word in ("RGB", "infrared"))


def test_suffix_holds_the_placeholders() -> None:
    for sentence in sentences(Modality.DEPTH, live=True, context=3):
        assert sentence.endswith(f"within the deployment environment of {' '.join([PLACEHOLDER] * 3)}")


# --- where context vectors go ---


@pytest.mark.parametrize("context", [1, 3, 5])
def test_context_vectors_stand_on_the_placeholder_tokens(context: int) -> None:
    """By counting tokens, not words, of which some split: the released placement is too early there (D4)."""
    ids = tokenize_sentences(context)
    assert ids.shape == (3, 2, 9, 77)
    (placeholder,) = SimpleTokenizer().encode(PLACEHOLDER)
    positions = placeholder_positions(ids, context)
    assert torch.equal(ids.gather(-1, positions), torch.full_like(positions, placeholder))
    assert torch.equal(positions[..., -1] + 1, ids.argmax(dim=-1))  # the end of the text follows
    assert bool((positions.diff(dim=-1) == 1).all())
    early = positions - released_positions(ids, context)
    assert bool((early >= 0).all())
    assert bool((early > 0).any())


def test_placement_in_a_sentence_whose_words_split() -> None:
    """CLIP's tokenizer makes three tokens of "bonafide" and two of "modality"."""
    tokenizer = SimpleTokenizer()
    assert len(tokenizer.encode("bonafide")) == 3
    assert len(tokenizer.encode("modality")) == 2
    ids = tokenizer(["bonafide modality of x x"])
    assert placeholder_positions(ids, 2).tolist() == [[7, 8]]
    assert released_positions(ids, 2).tolist() == [[4, 5]]


def test_too_few_placeholders() -> None:
    ids = SimpleTokenizer()(["a face of x x", "a face of x"])
    with pytest.raises(ValueError, match=r"1 placeholder tokens .* 2 are needed"):
        placeholder_positions(ids, 2)


# --- features ---


def slow_features(prompts: AsymmetricDomainPrompts, clip: CLIP, ids: Tensor, positions: Tensor) -> Tensor:
    """One sentence at a time through all 77 tokens of CLIP's text side, modalities x (1 + S) x D, not normalised."""
    features = torch.zeros(3, prompts.classes, clip.text_projection.shape[1])
    for m, modality in enumerate(MODALITIES):
        for c in range(prompts.classes):
            kind = 0 if c == 0 else 1
            for sentence, where in zip(ids[m, kind], positions[m, kind], strict=True):
                embedded = clip.token_embedding(sentence).clone()  # 77 x width
                embedded[where] = prompts.contexts[modality.value][c]
                x = clip.transformer((embedded + clip.positional_embedding)[None], attn_mask=clip.attn_mask)
                end = sentence.tolist().index(49407)
                features[m, c] += clip.ln_final(x)[0, end] @ clip.text_projection / len(ids[m, kind])
    return features


def test_features_are_their_definition(clip: CLIP) -> None:
    """Also: cutting the sentences at the longest one changes nothing (D10)."""
    prompts = prompts_of(clip)
    ids = tokenize_sentences(CONTEXT)
    with torch.no_grad():
        expected = slow_features(prompts, clip, ids, placeholder_positions(ids, CONTEXT))
        assert prompts.token_ids.shape[-1] < 45
        torch.testing.assert_close(prompts.mean_features(), expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(prompts(), functional.normalize(expected, dim=-1), atol=1e-6, rtol=1e-5)


def test_own_sentences_and_positions(clip: CLIP) -> None:
    tokenizer = SimpleTokenizer()
    ids = torch.stack(
        [torch.stack([tokenizer([f"{kind} {m.value} x x"]) for kind in ("live", "fake")]) for m in MODALITIES]
    )
    positions = torch.tensor([1, 2]).expand(3, 2, 1, 2)
    placed, moved = (prompts_of(clip, context=2, token_ids=ids, positions=p) for p in (None, positions))
    moved.load_state_dict(placed.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(
            placed.mean_features(),
            slow_features(placed, clip, ids, placeholder_positions(ids, 2)),
            atol=1e-6,
            rtol=1e-5,
        )
        torch.testing.assert_close(
            moved.mean_features(), slow_features(moved, clip, ids, positions), atol=1e-6, rtol=1e-5
        )
        assert (placed() - moved()).abs().max() > 1e-3


def test_without_context_these_are_clip_s_own_text_features(clip: CLIP) -> None:
    """Class 0 is live; all spoof classes are alike without anything learned."""
    prompts = prompts_of(clip, context=0)
    with torch.no_grad():
        features = prompts.mean_features()
        for m in range(3):
            live, spoof = (clip.encode_text(SimpleTokenizer()(group)).mean(dim=0) for group in all_sentences(0)[m])
            torch.testing.assert_close(features[m, 0], live, atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(features[m, 1:], spoof.expand(len(DOMAINS), -1), atol=1e-6, rtol=1e-5)


def test_contexts_start_as_wide_as_asked(clip: CLIP) -> None:
    starts = []
    for std in (1.0, 0.02):
        torch.manual_seed(0)
        prompts = AsymmetricDomainPrompts(clip, ("A", "B"), context_std=std)
        starts.append(torch.stack(list(prompts.contexts.values())))
    assert float(starts[0].std().detach()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(starts[1], 0.02 * starts[0])


def test_classes_are_live_then_spoof_by_domain(clip: CLIP) -> None:
    prompts = prompts_of(clip)
    with torch.no_grad():
        features = prompts()
        assert features.shape == (3, 1 + len(DOMAINS), 12)
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(3, 4))
        for c in range(prompts.classes):
            prompts.contexts["depth"][c] *= -1
            changed = (prompts() - features).abs().amax(dim=-1) > 1e-5
            assert changed.nonzero().tolist() == [[Modality.DEPTH.index, c]]
            prompts.contexts["depth"][c] *= -1


def test_gradients_reach_the_modality_s_own_contexts_only(clip: CLIP) -> None:
    prompts = prompts_of(clip)
    for modality in MODALITIES:
        prompts.zero_grad()
        weights = torch.randn(prompts.classes, 12, generator=torch.Generator().manual_seed(2))
        (prompts()[modality.index] * weights).sum().backward()
        for other in MODALITIES:
            gradient = prompts.contexts[other.value].grad
            if other is modality:
                assert bool((gradient.abs().amax(dim=-1) > 0).all())  # every vector of every class
            else:
                assert gradient is None or not gradient.any()
    assert all(p.grad is None for p in clip.parameters())


def test_clip_is_used_and_not_owned(clip: CLIP) -> None:
    prompts = prompts_of(clip)
    assert {name for name, _ in prompts.named_parameters()} == {f"contexts.{m.value}" for m in MODALITIES}
    assert set(prompts.state_dict()) == {f"contexts.{m.value}" for m in MODALITIES}


@pytest.mark.parametrize("through_data", [False, True])
def test_kept_features_follow_every_change(clip: CLIP, through_data: bool) -> None:
    """Without gradients features are computed once, until a context vector changes, however that happens."""
    prompts = prompts_of(clip)
    with torch.no_grad():
        first = prompts()
        assert prompts() is first
        context = prompts.contexts["rgb"]
        (context.data if through_data else context).mul_(0.5)
        torch.testing.assert_close(prompts(), functional.normalize(prompts.mean_features(), dim=-1))
        assert (prompts() - first).abs().max() > 1e-4
    assert prompts().requires_grad


@pytest.mark.parametrize(
    "options, message",
    [
        ({"source_domains": ()}, "distinct and at least one"),
        ({"source_domains": ("C", "C")}, "distinct and at least one"),
        ({"token_ids": torch.zeros(3, 9, 77)}, "modalities x 2 x sentences x length"),
        ({"token_ids": torch.zeros(2, 2, 9, 77)}, "modalities x 2 x sentences x length"),
        ({"positions": torch.zeros(3, 2, 9, 4)}, r"positions must have shape \(3, 2, 9, 5\)"),
        ({"token_ids": torch.ones(3, 2, 1, 77)}, "0 placeholder tokens"),
    ],
)
def test_faults(clip: CLIP, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AsymmetricDomainPrompts(clip, **{"source_domains": DOMAINS, **options})


def test_kept_features_are_of_the_precision_that_is_asked_for(clip: CLIP) -> None:
    prompts = prompts_of(clip)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            rough = prompts()
        torch.testing.assert_close(prompts(), functional.normalize(prompts.mean_features(), dim=-1))
        assert (prompts() - rough).abs().max() > 1e-4
