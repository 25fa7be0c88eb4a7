"""Damaged and hostile versions of files of tensors."""

import io
import json
from typing import Any

import numpy as np
import torch
from safetensors.torch import load

from mmdg_lite.models.clip_weights import safetensors_bytes
from mmdg_lite.runs.checkpoints import CHECKSUM, FORMAT, _checksum
from tests.support.fuzz.mutations import mutated_bytes, mutated_json


def mutated_safetensors(rng: np.random.Generator, content: bytes) -> bytes:
    """Tensors changed, or the header; or some bytes changed."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return mutated_bytes(rng, content)
    if kind == 1:
        return _with_header(content, mutated_json(rng, _header(content)))
    tensors = _changed(rng, load(content))
    return safetensors_bytes(tensors, json.loads(_header(content)).get("__metadata__", {}))


def mutated_checkpoint(rng: np.random.Generator, content: bytes) -> bytes:
    """As `mutated_safetensors`; or tensors or values changed, with the checksum that belongs to them."""
    if rng.random() < 0.4:
        return mutated_safetensors(rng, content)
    tensors, text = load(content), json.loads(_header(content))["__metadata__"]["values"]
    if rng.random() < 0.5:
        tensors = _changed(rng, tensors)
    else:
        text = mutated_json(rng, text.encode()).decode("utf-8", errors="replace")
    metadata = {"format": FORMAT, "values": text, CHECKSUM: _checksum(tensors, text)}
    return safetensors_bytes(tensors, metadata)


def mutated_torch(rng: np.random.Generator, content: bytes) -> bytes:
    """Tensors of a PyTorch file changed, or what holds them; or some bytes changed."""
    if rng.random() < 0.5:
        return mutated_bytes(rng, content)
    loaded: Any = torch.load(io.BytesIO(content), weights_only=True)
    kind = rng.integers(0, 6)
    if kind <= 2 and "state_dict" in loaded:
        loaded["state_dict"] = _changed(rng, loaded["state_dict"])
    elif kind <= 2:
        loaded = _changed(rng, loaded)
    elif kind == 3:
        loaded[str(rng.choice(["x", "", "state_dict", "module.x"]))] = [None, 3, "x", {"x": torch.ones(2)}][
            int(rng.integers(0, 4))
        ]
    elif kind == 4:
        loaded = {rng.choice(["state_dict", "model", "x"]).item(): loaded}
    else:
        loaded = [loaded, list(loaded.values()), None, torch.ones(2), {3: torch.ones(2)}][int(rng.integers(0, 5))]
    out = io.BytesIO()
    torch.save(loaded, out)
    return out.getvalue()


def _changed(rng: np.random.Generator, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors, one of them renamed, removed, of other values, type or shape; or one more."""
    tensors = {name: value.clone() for name, value in tensors.items()}
    name = sorted(tensors)[int(rng.integers(0, len(tensors)))]
    value = tensors[name]
    kind = rng.integers(0, 8)
    if kind <= 1 and value.is_floating_point():
        value.view(-1)[int(rng.integers(0, value.numel()))] = float(rng.choice([np.nan, np.inf, -1e30, 0.0, 1e38]))
    elif kind <= 3:
        other = [torch.float16, torch.int64, torch.float64, torch.bool, torch.complex64, torch.uint8]
        tensors[name] = value.to(other[int(rng.integers(0, len(other)))])
    elif kind == 4:
        tensors[name] = value.reshape(-1)[: int(rng.integers(0, value.numel()))].clone()
    elif kind == 5:
        del tensors[name]
    elif kind == 6:
        tensors[name + str(rng.choice(["x", "/", ".0"]))] = tensors.pop(name)
    else:
        tensors[str(rng.choice(["x", "", "best/x", "optimiser/x/y", "optimiser/-1/step", "model/", "0"]))] = (
            value.clone()
        )
    return tensors


def _header(content: bytes) -> bytes:
    return content[8 : 8 + int.from_bytes(content[:8], "little")]


def _with_header(content: bytes, header: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + len(_header(content)) :]
