"""Tensors and plain values in one safetensors file: written whole or not at all, read without unpickling anything."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmdg_lite.configuration import write_bytes
from mmdg_lite.models.clip_weights import CheckpointError, foreign_content

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "load_optimiser_tensors",
    "optimiser_tensors",
    "read_checkpoint",
    "write_checkpoint",
]

FORMAT = "mmdg_lite"


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and JSON-ready values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below `prefix/`, without the prefix."""
        start = f"{prefix}/"
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}


def write_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write tensors and values; floats keep every bit. An old file survives until the new one is whole."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={"format": FORMAT, "values": json.dumps(dict(values))}))


def read_checkpoint(path: str | Path, *, device: str | torch.device = "cpu") -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is truncated, damaged, or not one of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if what := foreign_content(path):
        raise CheckpointError(f"{path} is not a readable checkpoint: it is {what}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint ({error}); delete it and start again") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint of mmdg_lite")
    try:
        values = json.loads(metadata["values"])
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} has no readable values in its header ({error!r})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} has no readable values in its header (a {type(values).__name__}, not an object)")
    return Checkpoint(tensors, values)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors `<parameter number>/<entry>`; hyper-parameters are not state."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}/{entry}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, entries in state.items()
        for entry, value in entries.items()
    }


def load_optimiser_tensors(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` gave. Raises `ValueError` if they belong to another set of parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, entry = name.partition("/")
        state.setdefault(int(number), {})[entry] = value
    current = optimiser.state_dict()
    if state and max(state) >= sum(len(group["params"]) for group in current["param_groups"]):
        raise ValueError("this optimiser state has more parameters than the model")
    optimiser.load_state_dict({"state": state, "param_groups": current["param_groups"]})
