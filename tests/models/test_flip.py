"""FLIP's formulas on numbers computed by hand."""

import math

import pytest
import torch
from torch.nn import functional

from mmdg_lite.modality import second_view
from mmdg_lite.models.clip import encode_text, load_clip, tokenize
from mmdg_lite.models.flip import FLIP, LIVE_PROMPTS, SPOOF_PROMPTS, similarity
from mmdg_lite.models.peer import joined
from mmdg_lite.models.peer_losses import simclr
from mmdg_lite.pretraining.vocabulary import Vocabulary
from tests.support.peers import peer, two_views
from tests.support.tiny import evaluated


def test_similarity_by_hand():
    """RGB along the first axis, infrared along the second, depth missing; texts along (1, 0) and (3, 3)."""
    unit = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]])
    texts, half = torch.tensor([[1.0, 0.0], [3.0, 3.0]]), math.sqrt(0.5)
    found = similarity(unit, unit.any(dim=-1), texts)
    torch.testing.assert_close(found, torch.tensor([[0.5, half], [0.0, half]]))


def test_logits_are_clip_s_scale_times_the_similarity_to_the_mean_prompt():
    model, given = peer("flip"), two_views(3, present=[[True, True, True], [True, False, True], [False, False, True]])
    output = evaluated(model, given)
    scale = model.clip.logit_scale.exp().item()
    for b in range(3):
        for y in (0, 1):
            text = model.prompts_encoded[y].mean(dim=0)
            cosines = [
                functional.cosine_similarity(output.features[b, m], text, dim=0).item()
                for m in range(3)
                if output.present[b, m]
            ]
            expected = scale * sum(cosines) / len(cosines)
            assert output.logits[b, y].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_prompts_are_six_of_each_in_words_that_the_tiny_clip_was_trained_on():
    assert len(set(LIVE_PROMPTS)) == len(set(SPOOF_PROMPTS)) == 6
    assert Vocabulary().unknown_words([*LIVE_PROMPTS, *SPOOF_PROMPTS]) == []


def test_the_shipped_clip_encodes_the_prompts():
    clip = load_clip("tiny")
    model = FLIP(clip, ("C", "P"))
    assert model.prompts_encoded.shape == (2, 6, 128)
    with torch.no_grad():
        second_live = encode_text(clip, tokenize(LIVE_PROMPTS[1]))[0]
    torch.testing.assert_close(model.prompts_encoded[1, 1], second_live, atol=1e-5, rtol=1e-5)


def test_only_tokens_positions_and_projections_are_trained():
    trained = {name.split(".")[0] for name, p in peer("flip").named_parameters() if p.requires_grad}
    assert trained == {"class_tokens", "positions", "projections"}
    trained = {name.split(".")[0] for name, p in peer("flip_mcl").named_parameters() if p.requires_grad}
    assert trained == {"class_tokens", "positions", "projections", "projector"}


def test_mcl_is_the_formula():
    """Two prompts per class: one for each view, in the order that the generator draws."""
    model, given = peer("flip_mcl"), two_views(6, present=[[True, False, True]] * 3 + [[True, True, True]] * 3)
    with torch.no_grad():
        output, other = model(given), model(second_view(given))
        found = model.extra_loss(output, given)
        first, last = torch.randperm(2, generator=torch.Generator().manual_seed(0)).tolist()
        contrast = simclr(
            model.projector(joined(output.features)), model.projector(joined(other.features)), temperature=0.1
        )
        squares = []
        for b, y in enumerate(given["label"].tolist()):
            means = []
            for view, prompt in ((output, first), (other, last)):
                there = [m for m in range(3) if view.present[b, m]]
                text = model.prompts_encoded[y, prompt]
                cosines = [functional.cosine_similarity(view.features[b, m], text, dim=0).item() for m in there]
                means.append(sum(cosines) / len(cosines))
            squares.append((means[0] - means[1]) ** 2)
    assert found.item() == pytest.approx(contrast.item() + sum(squares) / 6, rel=1e-4)


def test_equal_views_of_equal_prompts_leave_the_contrast_alone():
    model, given = peer("flip_mcl"), two_views(4)
    given |= {f"second_{name}": given[name] for name in ("rgb", "depth", "infrared")}
    model.prompts_encoded[:, 1] = model.prompts_encoded[:, 0]
    with torch.no_grad():
        output = model(given)
        z = model.projector(joined(output.features))
        torch.testing.assert_close(model.extra_loss(output, given), simclr(z, z, temperature=0.1))
