"""Pre-training: its loss, its resumption, its record."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from mmdg_lite.models.clip import load_clip
from mmdg_lite.models.clip_weights import read_weights
from mmdg_lite.pretraining.record import card, write_record
from mmdg_lite.pretraining.report import class_features, image_features, linear_probe, report, retrieval, zero_shot
from mmdg_lite.pretraining.train import PretrainingConfig, contrastive_loss, pretrain_clip, read_state
from mmdg_lite.pretraining.vocabulary import Vocabulary

SMALL = PretrainingConfig(steps=8, faces=6, objects=4, warmup=2, learning_rate=1e-3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short pre-training in one go."""
    folder = tmp_path_factory.mktemp("pretraining")
    pretrain_clip(out=folder, config=SMALL, workers=0, save_every=5, measure=False)
    return folder


def test_with_one_match_each_the_loss_is_clips(generator):
    images, texts = (functional.normalize(torch.randn(5, 8, generator=generator), dim=-1) for _ in range(2))
    logits = 10 * images @ texts.T
    own = torch.arange(5)
    expected = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    loss = contrastive_loss(images, texts, torch.tensor(10.0), torch.eye(5, dtype=torch.bool))
    torch.testing.assert_close(loss, expected)


def test_shared_matches_spread_the_target(generator):
    images, texts = (functional.normalize(torch.randn(3, 8, generator=generator).double(), dim=-1) for _ in range(2))
    matches = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)
    scale = torch.tensor(7.0, dtype=torch.float64)
    logits = (scale * images @ texts.T).numpy()
    total = 0.0
    for table, allowed in ((logits, matches.numpy()), (logits.T, matches.numpy().T)):
        for row, right in zip(table, allowed, strict=True):
            logs = row - np.log(np.exp(row).sum())
            total -= logs[right].mean() / 6
    assert contrastive_loss(images, texts, scale, matches).item() == pytest.approx(total, rel=1e-12)


def test_some_steps_lower_the_loss(finished):
    history = read_state(finished / "state.pt")["history"]
    assert [entry["step"] for entry in history] == list(range(1, 9))
    assert np.mean([entry["loss"] for entry in history[-3:]]) < np.mean([entry["loss"] for entry in history[:3]]) - 0.05


def test_an_interrupted_training_ends_bit_for_bit_the_same(finished, tmp_path):
    pretrain_clip(out=tmp_path, config=SMALL, workers=0, save_every=100, stop_after=3, measure=False)
    assert read_state(tmp_path / "state.pt")["step"] == 3
    torch.rand(7)  # what else uses the global generator does not matter
    pretrain_clip(out=tmp_path, config=SMALL, workers=1, save_every=100, measure=False)
    one, other = (read_weights(folder / "tiny_clip.safetensors") for folder in (tmp_path, finished))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    histories = [read_state(folder / "state.pt")["history"] for folder in (tmp_path, finished)]
    losses = [[entry["loss"] for entry in history] for history in histories]
    assert losses[0] == losses[1]


def test_the_checkpoint_loads_and_its_temperature_is_bounded(finished):
    clip = load_clip("tiny", checkpoint=finished / "tiny_clip.safetensors")
    assert 1 <= clip.logit_scale.exp() <= 100.001
    assert not torch.equal(clip.visual.proj, load_clip("tiny", checkpoint="random").visual.proj)


def test_a_state_of_another_configuration_is_refused(finished):
    other = PretrainingConfig(steps=8, faces=6, objects=4, warmup=2, learning_rate=2e-3)
    with pytest.raises(ValueError, match=r"state\.pt was made with learning_rate = 0\.001, now it is 0\.002"):
        pretrain_clip(out=finished, config=other, workers=0, measure=False)


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"state\.pt is no usable state of pre-training .*delete it"):
        pretrain_clip(out=tmp_path, config=SMALL, workers=0, measure=False)


@pytest.mark.parametrize(
    "values, message",
    [({"seed": 1_000_003}, "held out"), ({"steps": 0}, "at least 1"), ({"patch_dropout": 1.0}, "patch_dropout")],
)
def test_senseless_configurations_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PretrainingConfig(**values)


def test_features_for_the_report_are_of_unit_length(finished, rng):
    clip = load_clip("tiny", checkpoint=finished / "tiny_clip.safetensors")
    pictures = image_features(clip, rng.integers(0, 256, (5, 1, 64, 64), dtype=np.uint8), block=2)
    whole = image_features(clip, rng.integers(0, 256, (1, 3, 64, 64), dtype=np.uint8))
    classes = class_features(clip, [["a face", "a human face"], ["a cup"]])
    for features, count in ((pictures, 5), (whole, 1), (classes, 2)):
        assert features.shape == (count, 128)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_the_shipped_clip_learned_from_pictures_what_the_report_says():
    """Small samples, wide margins: form, hue and the words on objects are far above chance, and words reach faces."""
    clip = load_clip("tiny")
    found = {
        (entry["kind"], entry["attribute"], entry["modality"]): (entry["accuracy"], entry["chance"])
        for entry in retrieval(clip, batches=4, faces=20, objects=20, seed=77)
    }
    for key in (
        ("face", "form", "depth"),
        ("face", "tone", "rgb"),
        ("object", "colour", "rgb"),
        ("object", "reality", "depth"),
        ("face", "range", "depth"),
    ):
        accuracy, chance = found[key]
        assert accuracy > chance + 0.15, key
    assert ("face", "reality", "rgb") not in found
    (across,) = [entry for entry in zero_shot(clip, ["S"], samples=150, seed=77) if entry["modality"] == "depth"]
    assert across["words"] > 0.7


def test_the_record_and_its_page_come_from_one_measurement(finished, tmp_path, monkeypatch):
    clip = load_clip("tiny", checkpoint=finished / "tiny_clip.safetensors")
    small = {"batches": 1, "faces": 6, "objects": 6, "domain_samples": 24, "probe_samples": 40, "domains": ["W", "C"]}
    monkeypatch.setattr("mmdg_lite.pretraining.record.report", lambda clip: report(clip, **small))
    history = read_state(finished / "state.pt")["history"]
    write_record(tmp_path, clip, config=SMALL, history=history, vocabulary=Vocabulary())
    record = json.loads((tmp_path / "tiny_clip_record.json").read_text())
    assert record["command"] == ("python -m mmdg_lite pretrain-clip --steps 8 --faces 6 --objects 4 --warmup 2")
    assert record["pairs"] == 8 * 10 * 3
    assert "within" in record["prompt_words_in_no_caption"]
    assert "real" not in record["prompt_words_in_no_caption"]
    assert [entry["domain"] for entry in record["report"]["linear_probe"]["trained"]] == ["W", "C"]
    page = (tmp_path / "TINY_CLIP.md").read_text()
    assert page == card(record)
    assert "| W | depth |" in page


def test_a_probe_of_one_domain_has_nothing_across():
    (entry,) = linear_probe(load_clip("tiny", checkpoint="random"), ["C"], samples=40, seed=5)
    assert set(entry) == {"domain", "inside_auc", "inside_eer"}
