"""Recorded tensors for parity tests: what the code released by the authors computes at small sizes.

A part of them is carried in tests/recordings (see the README there). All of them are used where the environment
variable MMDG_LITE_SHARED names a folder with `golden` in it, or such a folder `shared` lies beside the repository.
"""

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmdg_lite.modality import Modality
from mmdg_lite.models.builder import Stream

ROOT = Path(__file__).parents[2]
CARRIED = ROOT / "tests" / "recordings"
FULL = Path(os.environ.get("MMDG_LITE_SHARED", ROOT.parent / "shared")) / "golden"

full_only = pytest.mark.skipif(
    not FULL.is_dir(), reason=f"the full recordings are not at {FULL} (set MMDG_LITE_SHARED to the folder above them)"
)
carried_and_full = pytest.mark.parametrize(
    "folder", [pytest.param(CARRIED, id="carried"), pytest.param(FULL, id="full", marks=full_only)]
)

ATOL = 1e-5
RTOL = 1e-5


@dataclass(frozen=True)
class Recording:
    """Tensors by name, and the facts that belong to them."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix`, which is cut off."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}


@functools.cache
def load(folder: Path, name: str) -> Recording:
    """One recording: NAME.safetensors where there are tensors, and NAME.json."""
    tensors = folder / f"{name}.safetensors"
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Recording(load_file(tensors) if tensors.exists() else {}, facts)


def assert_matches(
    actual: Tensor, recorded: Tensor, *, part: bool = False, atol: float = ATOL, rtol: float = RTOL
) -> None:
    """Equal within the tolerances. With `part`, the recording may hold the leading part of each dimension only."""
    if part:
        assert actual.ndim == recorded.ndim
        actual = actual[tuple(slice(size) for size in recorded.shape)]
    torch.testing.assert_close(actual, recorded, atol=atol, rtol=rtol)


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers of numpy's legacy generator, in float32: how noise and inputs were made."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def attention_noise(folder: Path, batch: int) -> tuple[Tensor, Tensor]:
    """The draws of the attention's and the adapter's recordings, sender's and receiver's, for the first samples."""
    recording = load(folder, "A_eps")
    if recording.tensors:
        sender, receiver = recording["eps_1"], recording["eps_2"]
    else:
        sender, receiver = (normal(seed, *recording.facts["shape"]) for seed in recording.facts["random_states"])
    return sender[:, :batch], receiver[:, :batch]


@functools.cache
def model_noise(layer: int, receiver: Modality, sender: Modality, stream: Stream, *, samples: int) -> Tensor:
    """The draws of the whole model's recording, samples x 2 x 197 x 8."""
    seed = 100_000 + 1000 * layer + 100 * (receiver.index + 1) + 10 * (sender.index + 1) + stream
    return normal(seed, samples, 2, 197, 8)


@functools.cache
def model_images(folder: Path) -> dict[str, Tensor]:
    """The three images of the whole model's recording, 2 x 3 x 224 x 224 each, checked against their recorded hash."""
    facts = load(folder, "B_mmdgpp_tiny_io").facts["images"]
    mean, std = (np.array(facts[name])[None, :, None, None] for name in ("mean", "std"))
    images = {}
    for modality in Modality:
        chance = np.random.RandomState(901 + modality.index)
        blocks = chance.random_sample((2, 3, 14, 14)).repeat(16, 2).repeat(16, 3)
        fine = chance.random_sample((2, 3, 224, 224))
        levels = np.floor(255.999 * (0.7 * blocks + 0.3 * fine))
        image = ((levels / 255 - mean) / std).astype("<f4")
        assert hashlib.sha256(image.tobytes()).hexdigest() == facts["check"][f"x_{modality.index + 1}"]["sha256_f32le"]
        images[modality.value] = torch.from_numpy(image)
    return images


@functools.cache
def model_weights(folder: Path) -> dict[str, Tensor]:
    """The whole model's weights under their released names; drawn anew from their seeds where only these are carried.

    Token embeddings are zero but for the tokens used, which only the full recordings hold.
    """
    recording = load(folder, "B_mmdgpp_tiny_weights")
    vocabulary, width = (recording.facts["model"][name] for name in ("vocab", "text_width"))
    rows = torch.zeros(vocabulary, width)
    weights = dict(recording.tensors)
    if weights:
        rows[weights.pop("token_ids_used").long()] = weights.pop("token_rows_used")
    else:
        weights = _drawn_weights(recording.facts["shapes"])
    return {**weights, "model.token_embedding.weight": rows}


def _drawn_weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Seed 7100 + i for the i-th name in alphabetical order, the token embedding counted in; scale by kind of name."""
    weights = {}
    for i, name in enumerate(sorted([*shapes, "model.token_embedding.weight"])):
        if name not in shapes:
            continue
        if name == "model.logit_scale":
            weights[name] = torch.tensor(np.log(1 / 0.07), dtype=torch.float32)
            continue
        drawn = np.random.RandomState(7100 + i).standard_normal(shapes[name])
        scale, offset = _scale(name, shapes[name])
        weights[name] = torch.from_numpy((offset + scale * drawn).astype(np.float32))
    return weights


def _scale(name: str, shape: list[int]) -> tuple[float, float]:
    """Standard deviation and mean of a weight of the whole model's recording."""
    parts = name.split(".")
    norms = ("ln_pre", "ln_post", "ln_1", "ln_2", "ln_final", "ln_k_v", "ln_q")
    if parts[-1] == "weight" and parts[-2] in norms:
        return 0.1, 1.0
    if parts[-1] in ("bias", "in_proj_bias"):
        return 0.1, 0.0
    if name.startswith(("class_token", "prompts")):
        return 0.5, 0.0
    if name.startswith("pos") or name.endswith("positional_embedding"):
        return 0.3, 0.0
    if name.startswith("visual_proj") or name in ("model.visual.proj", "model.text_projection"):
        return shape[0] ** -0.5, 0.0
    if "cross_attention" in name:
        return (0.12 if "std_mlp" in name else 0.4), 0.0
    return float(np.prod(shape[1:])) ** -0.5, 0.0
