"""Exported models give the model's own scores, for every batch and every set of present modalities."""

import copy
import itertools
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from einops import rearrange

from mmdg_lite.inference.export import INPUTS, Exportable, export
from mmdg_lite.inference.judge import Judge, open_judge
from mmdg_lite.models.builder import ARCHITECTURES, Architecture, ModelConfig, build
from mmdg_lite.models.clip import normalise
from mmdg_lite.models.peer import Peer
from tests.support.small_runs import CLIP
from tests.support.tiny import awaken

P_LIVE, MODALITY_SCORES = 1e-5, 1e-4
PRESENT = [kept for kept in itertools.product([True, False], repeat=3) if any(kept)]


def small_judge(size=16, **options) -> Judge:
    """A model of random weights in the shipped model's place."""
    open_clip.add_model_config(Path(__file__).parents[1] / "support" / f"{CLIP}.json")
    shipped = open_judge()
    made = ModelConfig(**{"source_domains": ("C", "P", "S"), "clip": CLIP, "clip_checkpoint": "random"} | options)
    model = build(made)
    awaken(model)
    config = shipped.config
    data = type(config.data)(**{**vars(config.data), "size": size})
    config = copy.copy(config)
    object.__setattr__(config, "data", data)
    return Judge(**{**vars(shipped), "model": model.eval(), "config": config})


def batch(count: int, size: int) -> tuple[torch.Tensor, ...]:
    chance = torch.Generator().manual_seed(count)
    images = [torch.randint(0, 256, (count, c, size, size), generator=chance).float() for c in (3, 1, 1)]
    return (*images, torch.tensor((PRESENT * count)[:count]))


def own(judge: Judge, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of the model itself."""
    images = dict(zip(INPUTS, map(normalise, given[:3]), strict=False))
    with torch.inference_mode():
        output = judge.model({**images, "present": given[3]})
    return output.score(), output.modality_scores()


def assert_parity(run, judge: Judge, counts=(1, 2, 7)) -> None:
    for count in counts:
        given = batch(count, judge.size)
        p_live, scores = run(*given)
        wanted, wanted_scores = own(judge, given)
        np.testing.assert_allclose(p_live, wanted, atol=P_LIVE, rtol=0)
        np.testing.assert_allclose(scores, wanted_scores, atol=MODALITY_SCORES, rtol=0, equal_nan=True)


KINDS = [
    {},
    {"adapters": "plain", "prompts": "shared"},
    {"adapters": "none", "prompts": "none"},
    {"suppression": "key"},
    {"normalisation": "centred"},
    {"architecture": "mmdg++_supervised"},
    {"architecture": "mmdg", "descriptors": False},
]
PEERS = [{"architecture": name} for name in ("flip", "flip_mcl", "ssdg", "sa_fas", "ama", "cmfl", "flex_modal")]
QUICK = [KINDS[0], PEERS[-1]]
SLOW = [*KINDS[1:], *PEERS[:-1]]


@pytest.mark.parametrize("options", [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)], ids=str)
def test_a_program_of_torch_scores_as_the_model(options, tmp_path):
    judge = small_judge(**options)
    path = export(judge, tmp_path / "model.pt2", format="torch")
    assert_parity(torch.export.load(path).module(), judge)
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt2"]
    assert not judge.model.static


class LateFusion(Peer):
    """A user's own model: the mean of the present modalities' features decides."""

    def decide(self, unit, tokens, present):
        features = rearrange(tokens[:, 0], "(m b) c -> b m c", m=3)
        weights = present[..., None].to(features.dtype)
        return self.linear((features * weights).sum(dim=1) / weights.sum(dim=1))


def late_fusion(clip, config):
    model = LateFusion(clip, config.source_domains)
    model.linear = torch.nn.Linear(clip.visual.conv1.out_channels, 2)
    return model


@pytest.mark.slow
def test_a_registered_model_scores_as_itself(tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "late_fusion", Architecture(late_fusion))
    judge = small_judge(architecture="late_fusion")
    path = export(judge, tmp_path / "model.pt2", format="torch")
    assert_parity(torch.export.load(path).module(), judge)


def onnx_session(path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session, lambda *given: session.run(None, {n: x.numpy() for n, x in zip(INPUTS, given, strict=True)})


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, KINDS[-1]], ids=str)
def test_onnx_scores_as_the_model_and_carries_its_threshold(options, tmp_path):
    pytest.importorskip("onnxscript")
    judge = small_judge(**options)
    session, run = onnx_session(export(judge, tmp_path / "model.onnx"))
    assert_parity(run, judge)
    assert float(session.get_modelmeta().custom_metadata_map["threshold"]) == judge.threshold


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_vit_b_16_of_random_weights(tmp_path):
    pytest.importorskip("onnxscript")
    judge = small_judge(size=224, clip="ViT-B-16")
    _, run = onnx_session(export(judge, tmp_path / "model.onnx"))
    assert_parity(run, judge, counts=(1, 7))


def test_the_copy_leaves_the_model_as_it_was():
    judge = small_judge()
    before = {name: value.clone() for name, value in judge.model.state_dict().items()}
    made = Exportable(judge.model)
    assert made.model is not judge.model and made.model.static and not judge.model.static
    after = judge.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


class LooksAtItsBatch(torch.nn.Module):
    """What no exporter can follow."""

    def forward(self, given):
        return given["rgb"] if given["rgb"].sum() > 0 else None


def test_what_cannot_be_exported_is_said(tmp_path):
    judge = small_judge()
    broken = copy.copy(judge)
    object.__setattr__(broken, "model", LooksAtItsBatch())
    with pytest.raises(RuntimeError, match="LooksAtItsBatch cannot be exported"):
        export(broken, tmp_path / "model.pt2", format="torch")
    assert not list(tmp_path.iterdir())
