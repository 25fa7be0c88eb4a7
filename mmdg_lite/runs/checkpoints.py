"""Tensors and plain values in one safetensors file: written whole or not at all, read without unpickling anything."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmdg_lite.configuration import parse_json, write_bytes
from mmdg_lite.models.clip_weights import CheckpointError, foreign_content, safetensors_bytes

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "check_form",
    "load_optimiser_tensors",
    "optimiser_tensors",
    "read_checkpoint",
    "whole_number",
    "write_checkpoint",
]

FORMAT = "mmdg_lite"
CHECKSUM = "sha256"
"""Key of the header under which the checksum over tensors and values stands."""


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
    """Write tensors and values with a checksum over both; floats keep every bit, equal content gives equal bytes.

    An old file survives until the new one is whole.
    """
    text = json.dumps(dict(values))
    metadata = {"format": FORMAT, "values": text, CHECKSUM: _checksum(tensors, text)}
    write_bytes(path, safetensors_bytes(tensors, metadata))


def read_checkpoint(
    path: str | Path, *, device: str | torch.device = "cpu", checksum_required: bool = False
) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    `checksum_required`: refuse files without a checksum, which versions before 0.2 wrote; one that is there is always
    compared.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is truncated, damaged in any bit that counts, or not one of this package.
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
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint ({error}); delete it and start again") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint of mmdg_lite")
    if CHECKSUM not in metadata and checksum_required:
        raise CheckpointError(f"{path} has no checksum: an earlier version wrote it; delete it and start again")
    try:
        values = parse_json(metadata["values"])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has no readable values in its header ({error!r})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} has no readable values in its header (a {type(values).__name__}, not an object)")
    if CHECKSUM in metadata and metadata[CHECKSUM] != _checksum(tensors, metadata["values"]):
        raise CheckpointError(
            f"{path} is damaged: its content does not fit its checksum; restore it, or delete it and start again"
        )
    return Checkpoint(tensors, values)


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of values as text and of every tensor's name, type, shape and bytes, in the order of the names."""
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        found.update(f"\n{name}\n{plain.dtype}\n{tuple(plain.shape)}\n".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def check_form(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, what: str) -> None:
    """Raise `ValueError`, naming entries, unless tensors have the names, types and shapes of those expected."""
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is unexpected" for name in tensors if name not in expected]
    problems += [
        f"{name} is {_form(tensors[name])}, expected {_form(expected[name])}"
        for name in expected
        if name in tensors and _form(tensors[name]) != _form(expected[name])
    ]
    if problems:
        raise ValueError(f"{what}: {'; '.join(problems[:5])}")


def whole_number(values: Mapping[str, Any], name: str, *, most: int) -> int:
    """A named integer in 0..most. Raises `ValueError` naming it for anything else."""
    value = values[name]
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{name} is {value!r}, must be an integer in 0..{most}")
    return value


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors `<parameter number>/<entry>`; hyper-parameters are not state."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}/{entry}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, entries in state.items()
        for entry, value in entries.items()
    }


def load_optimiser_tensors(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], *, stepped: bool
) -> None:
    """Put back what `optimiser_tensors` gave.

    `optimiser`: Adam, AdamW, or SGD without momentum. `stepped`: it has made a step, so that Adam and AdamW have
    moments of the parameters that had a gradient. Raises `ValueError`, naming the entry, if the tensors belong to
    another set of parameters or to another kind of optimiser.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, entry = name.partition("/")
        state.setdefault(int(number), {})[entry] = value
    current = optimiser.state_dict()
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if state and not 0 <= min(state) <= max(state) < len(parameters):
        raise ValueError("this optimiser state has more parameters than the model")
    has_moments = not isinstance(optimiser, torch.optim.SGD)  # SGD without momentum keeps nothing
    if stepped and has_moments and not state:
        raise ValueError("the optimiser's state is missing")
    for place, entries in state.items():
        moment = parameters[place].detach()
        moments = {"exp_avg": moment, "exp_avg_sq": moment, "step": torch.tensor(0.0)}
        check_form(entries, moments if has_moments else {}, what=f"optimiser state of parameter {place}")
        if any((entries[name] < 0).any() for name in ("exp_avg_sq", "step") if name in entries):
            raise ValueError(f"optimiser state of parameter {place}: a square, or the number of steps, is negative")
    optimiser.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
