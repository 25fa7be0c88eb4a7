"""Readers of CLIP weights and of what the package ships: weights, records, deployments, published numbers, findings."""

import io
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdg_lite.configuration import ASSETS, ConfigurationError
from mmdg_lite.data.deployments import read_deployments
from mmdg_lite.models.clip import load_clip
from mmdg_lite.models.clip_weights import (
    TOKEN_TABLE,
    CheckpointError,
    read_clip,
    safetensors_bytes,
    untrained_rows,
    write_compact,
)
from mmdg_lite.pretraining.train import read_state
from mmdg_lite.reproduce.notebooks import read_findings, write_findings
from mmdg_lite.results.published import published_results
from mmdg_lite.runs.config import DataConfig
from mmdg_lite.runs.setting_data import load_domain
from mmdg_lite.runs.shipped import PICTURES, RECORD, WEIGHTS, load_shipped
from tests.support.fuzz.mutations import mutated_json, mutated_table
from tests.support.fuzz.reader import Case, Reader
from tests.support.fuzz.tensors import mutated_checkpoint, mutated_safetensors, mutated_torch
from tests.support.small_runs import CLIP, SIZE
from tests.support.tiny import tiny_clip


def weight_readers(folder: Path) -> dict[str, Reader]:
    """The readers of weights and of shipped files, with their files below a folder."""
    return _clip(folder / "clip") | _shipped(folder / "assets") | _others(folder / "others")


def _torch_bytes(values: Any) -> bytes:
    out = io.BytesIO()
    torch.save(values, out)
    return out.getvalue()


def _clip(folder: Path) -> dict[str, Reader]:
    """Weights of a CLIP: safetensors, whole and compact, and PyTorch's own files."""
    folder.mkdir()
    state = {name: value.detach().clone() for name, value in tiny_clip().state_dict().items()}
    safe, compact, pt = (folder / name for name in ("whole.safetensors", "compact.safetensors", "clip.pt"))
    whole = safetensors_bytes(state, {"quick_gelu": "true"})
    write_compact(compact, _untrained(state), [1, 2, 3], seed=0)
    pickled = _torch_bytes(state), _torch_bytes({"state_dict": {f"module.{name}": v for name, v in state.items()}})

    def weights(path: Path) -> Any:
        found = read_clip(path)
        assert found.activation in (None, "quick_gelu", "gelu")
        assert all(isinstance(value, Tensor) for value in found.state.values())
        return {name: value.numpy() for name, value in found.state.items()}

    loaded = folder / "loaded.safetensors"
    own = load_clip(CLIP, checkpoint="random").state_dict()

    def clip() -> Any:
        made = load_clip(CLIP, checkpoint=loaded)
        assert all(value.isfinite().all() for value in made.state_dict().values())
        return {name: value.numpy() for name, value in made.state_dict().items() if value.numel() < 10_000}

    return {
        "CLIP, safetensors": Reader(
            (Case(safe, whole, mutated_safetensors),), lambda: weights(safe), (CheckpointError,)
        ),
        "CLIP, compact": Reader(
            (Case(compact, compact.read_bytes(), mutated_safetensors),), lambda: weights(compact), (CheckpointError,)
        ),
        "CLIP, PyTorch": Reader(
            tuple(Case(pt, content, mutated_torch) for content in pickled), lambda: weights(pt), (CheckpointError,)
        ),
        "CLIP, loaded": Reader(
            (Case(loaded, safetensors_bytes(own, {"quick_gelu": "true"}), mutated_safetensors),),
            clip,
            (CheckpointError,),
            weight=0.3,
        ),
    }


def _untrained(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same parameters with a token table as before training, but for the rows that are stored."""
    rows = untrained_rows(*state[TOKEN_TABLE].shape, 0)
    rows[[1, 2, 3]] += 1
    return state | {TOKEN_TABLE: rows}


def _shipped(folder: Path) -> dict[str, Reader]:
    """The shipped model with its record, and the deployments."""
    folder.mkdir()
    for name in (WEIGHTS, RECORD, PICTURES, "deployments.json"):
        shutil.copy(ASSETS / name, folder / name)
    record, pictures, deployments = (folder / name for name in (RECORD, PICTURES, "deployments.json"))
    weights = folder / WEIGHTS

    def shipped() -> Any:
        made = load_shipped(folder=folder)
        state = made.model.trainable_state_dict()
        assert 0 <= made.record.threshold <= 1 and all(value.isfinite().all() for value in state.values())
        return {name: value.numpy() for name, value in state.items()}, made.record.threshold

    return {
        "shipped model": Reader(
            (
                Case(record, record.read_bytes(), mutated_json),
                Case(pictures, pictures.read_bytes(), mutated_json),
                Case(weights, weights.read_bytes(), mutated_checkpoint),
            ),
            shipped,
            (ConfigurationError, CheckpointError, ValueError),
            weight=0.2,
        ),
        "deployments": Reader(
            (Case(deployments, deployments.read_bytes(), mutated_json),),
            lambda: read_deployments(deployments),
            (ConfigurationError,),
            weight=0.6,
        ),
    }


def _others(folder: Path) -> dict[str, Reader]:
    """Published numbers, findings of notebooks, and the state of pre-training."""
    folder.mkdir()
    published, state = folder / "own.csv", folder / "state.pt"
    text = (ASSETS / "published_results.csv").read_bytes()
    cached = DataConfig(size=SIZE, test_samples=2, cache=str(folder / "cache"))
    load_domain(cached, "W", "test")  # renders and stores
    (rendered,) = (folder / "cache").iterdir()

    def faces() -> Any:
        found = load_domain(cached, "W", "test").read(range(2))
        return {f.name: getattr(found, f.name) for f in fields(found)}

    findings = write_findings(folder, "00", {"hter": 0.1, "names": ["a", "b"], "per": {"W": 0.2}})
    values = {
        "config": {"steps": 3, "seed": 0},
        "step": 2,
        "history": [0.5, 0.4],
        "clip": {"weight": torch.ones(2, 3)},
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }
    return {
        "published numbers": Reader(
            (Case(published, text, mutated_table(",")),),
            lambda: published_results(published).fillna(-1).to_dict("records"),
            (ValueError,),
        ),
        "rendered faces": Reader((Case(rendered, rendered.read_bytes()),), faces, (ValueError,)),
        "findings": Reader(
            (Case(findings, findings.read_bytes(), mutated_json),),
            lambda: read_findings(folder, "00"),
            (ValueError,),
            weight=0.6,
        ),
        "state of pre-training": Reader(
            (Case(state, _torch_bytes(values)),), lambda: repr(read_state(state)), (ValueError,), weight=0.6
        ),
    }
