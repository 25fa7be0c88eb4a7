"""Files of CLIP weights: read with clear errors; and a compact form that stores the trained token embeddings alone.

CLIP's vocabulary has 49,408 tokens. A small CLIP trained on a few hundred words has learned nothing about the others;
the compact form leaves these out and fills them from a seed, bit for bit as they were before training.
"""

import hashlib
import json
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmdg_lite.configuration import ASSETS, ConfigurationError, read_values, stand_in, write_bytes, write_text
from mmdg_lite.registry import Activation
from mmdg_lite.released import parameters, unwrapped

TOKEN_TABLE = "token_embedding.weight"
ROW_IDS = "token_embedding.row_ids"
ROWS = "token_embedding.rows"
FORMAT = "mmdg_lite compact CLIP, version 1"
LARGEST_VOCABULARY = 2**20
"""Tokens; CLIP's own has 49,408."""

OWN_PARTS = ("visual", "transformer", "token_embedding")
"""First parts of names by which the parameters of a CLIP are known."""

_TORCHSCRIPT_EXTRAS = ("input_resolution", "context_length", "vocab_size")

_MAGIC = (
    (b"\x89HDF", "an HDF5 file (Keras or Matlab); weights of a PyTorch model are needed"),
    (b"GGUF", "a GGUF file (llama.cpp); weights of a PyTorch model are needed"),
    (b"\x93NUMPY", "a NumPy array; weights of a PyTorch model are needed"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
)


class CheckpointError(ValueError):
    """A file of CLIP weights cannot be read or is not of this model; the message names the file and the cure."""


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of tensors and notes, the same bytes for the same content: the library's own order of notes
    changes from call to call."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    written = save(plain, metadata=dict(metadata))
    size = int.from_bytes(written[:8], "little")
    header = json.loads(written[8 : 8 + size])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + written[8 + size :]


def untrained_rows(vocabulary: int, width: int, seed: int) -> Tensor:
    """The token table before training, vocabulary x width: N(0, 0.02^2) from the seed (CLIP's initialisation)."""
    values = np.random.default_rng(seed).standard_normal((vocabulary, width), dtype=np.float32)
    return torch.from_numpy(0.02 * values)


def write_compact(path: str | Path, state: Mapping[str, Tensor], row_ids: Sequence[int], *, seed: int) -> None:
    """Writes a CLIP's parameters with only these rows of its token table, to a temporary name first.

    Args:
        path: the safetensors file.
        state: `clip.state_dict()`.
        row_ids: token ids of the rows to store.
        seed: of `untrained_rows`, from which all other rows are restored.

    Raises:
        ValueError: a row outside of `row_ids` differs from its untrained value and would be lost.
    """
    table = state[TOKEN_TABLE].detach().cpu()
    ids = torch.tensor(sorted(set(row_ids)), dtype=torch.int64)
    vocabulary, width = table.shape
    restored = untrained_rows(vocabulary, width, seed)
    restored[ids] = table[ids]
    lost = (restored != table).any(dim=1).nonzero().flatten().tolist()
    if lost:
        raise ValueError(f"{len(lost)} trained rows of the token table would not be stored, such as {lost[0]}")
    stored = {name: value for name, value in state.items() if name != TOKEN_TABLE}
    stored |= {ROW_IDS: ids, ROWS: table[ids]}
    notes = {"format": FORMAT, "vocabulary": str(len(table)), "token_seed": str(seed)}
    write_bytes(path, safetensors_bytes(stored, notes))


@dataclass(frozen=True)
class Weights:
    """The parameters in a file, and the activation that the file or its neighbours say they were trained with."""

    state: dict[str, Tensor]
    activation: Activation | None  # None: nothing says


def foreign_content(path: str | Path) -> str | None:
    """What a file is, with the cure, if its first bytes show that it cannot hold a PyTorch model's weights."""
    with open(path, "rb") as file:
        head = file.read(64)
    return stand_in(head) or next((what for magic, what in _MAGIC if head.startswith(magic)), None)


def _other_content(path: Path) -> str | None:
    """What an archive or a text is, with the cure, if it is of a kind that people take for a file of weights."""
    with open(path, "rb") as file:
        text = file.read(2**16)
    if text.lstrip()[:1] == b"{" and b"\0" not in text:
        if b'"weight_map"' in text:
            return "an index of weights in several files, not the weights: save the model as one file"
        return "a text of JSON, not weights: name the file of weights beside it"
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return None  # torch says what is wrong with it
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays (npz); weights of a PyTorch model are needed: save model.state_dict()"
    if any(name.endswith(("/models/model.json", "serialized_exported_program.json")) for name in names):
        return "an exported program (torch.export), not weights: name the file that it was exported from"
    return None


def _unpickling(error: Exception) -> str:
    """Why torch reads no file that holds more than tensors, with the cure."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if not found:
        return f"{type(error).__name__} while reading it"
    kind = "NumPy values" if found[1].startswith("numpy.") else "Python objects"
    return f"it holds {kind} ({found[1]}), which are not read, as they could run code; save model.state_dict()"


def is_safetensors(path: str | Path) -> bool:
    """True if a file starts as safetensors files do, whatever it is called: eight bytes of length, then JSON."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The parameters in a file, see `read_clip`."""
    return read_clip(path).state


def read_clip(path: str | Path) -> Weights:
    """The weights in a file: safetensors (compact or full), or a PyTorch state dict.

    The content decides, not the file's name. Prefixes of wrappers are removed (`unwrapped`). Nothing is unpickled
    beyond tensors, and nothing is executed: TorchScript archives such as OpenAI's own files are refused, see
    `convert_torchscript`. Raises FileNotFoundError, or `CheckpointError` with the reason.
    """
    path = Path(path)
    if not path.is_file():
        cure = "a folder: name the file in it" if path.is_dir() else "no such file: check the path"
        raise FileNotFoundError(f"no CLIP weights at {path}, given as `checkpoint`: {cure}")
    if what := foreign_content(path):
        raise CheckpointError(f"{path} is {what}")
    if _is_torchscript(path):
        raise CheckpointError(
            f"{path} is a TorchScript archive, as OpenAI's own files are: reading it runs code that it holds. If you "
            f"trust where it comes from, convert it once: python -m mmdg_lite convert-clip {path} clip.safetensors, "
            "and name the new file instead"
        )
    if what := _other_content(path):
        raise CheckpointError(f"{path} is {what}")
    activation: Activation | None = None
    try:
        if is_safetensors(path):
            state, notes = _read_safetensors(path)
            activation = _named_activation(notes)
        else:
            state, notes = _read_torch(path), {}
        state = unwrapped(state, own=OWN_PARTS)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        if isinstance(error, KeyError) or not reason:  # what an unpickler says of text
            reason = "neither safetensors nor a PyTorch file"
        raise CheckpointError(f"{path} cannot be read as CLIP weights ({reason}): copy or fetch it again") from error
    except Exception as error:  # torch's unpickler raises pickle.UnpicklingError for anything but tensors
        raise CheckpointError(
            f"{path} is not a file of weights (safetensors, or a PyTorch file of tensors alone): {_unpickling(error)}"
        ) from error
    for name, value in state.items():
        if value.is_meta or value.is_quantized or value.layout is not torch.strided:
            what = "without values (on the device meta)" if value.is_meta else f"as {value.layout}, {value.dtype}"
            raise CheckpointError(f"{path} holds {name} {what}: save it as a dense tensor with its values")
    activation = activation or _activation_beside(path)
    if ROWS not in state:
        return Weights(state, activation)
    try:
        rows, ids, vocabulary = state.pop(ROWS), state.pop(ROW_IDS), int(notes["vocabulary"])
        if vocabulary > LARGEST_VOCABULARY:
            raise ValueError(f"a vocabulary of {vocabulary} tokens")
        table = untrained_rows(vocabulary, rows.shape[1], int(notes["token_seed"]))
        table[ids] = rows
    except (KeyError, ValueError, IndexError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{path} has a damaged token table ({error}): fetch or rebuild it") from error
    return Weights(state | {TOKEN_TABLE: table}, activation)


def _named_activation(values: Mapping[str, Any]) -> Activation | None:
    """The activation that a header or a configuration file names, in open_clip's words or in Hugging Face's."""
    for part in (values, *(value for value in values.values() if isinstance(value, Mapping))):
        if (flag := part.get("quick_gelu")) is not None:
            return "quick_gelu" if str(flag).casefold() == "true" else "gelu"
        if (named := part.get("activation", part.get("hidden_act"))) in ("quick_gelu", "gelu"):
            return "quick_gelu" if named == "quick_gelu" else "gelu"
    return None


def _activation_beside(path: Path) -> Activation | None:
    """The activation that `open_clip_config.json` or `config.json`, as model hubs write them, name beside the file."""
    for name in ("open_clip_config.json", "config.json"):
        try:
            values = read_values(path.parent / name)
        except ConfigurationError:
            continue
        if activation := _named_activation(values):
            return activation
        if name == "open_clip_config.json" and "model_cfg" in values:
            return "gelu"  # open_clip writes `quick_gelu` only where it is on
    return None


def convert_torchscript(path: str | Path, out: str | Path) -> Path:
    """Write the weights of a TorchScript archive, as OpenAI published its CLIPs, as safetensors; returns `out`.

    **This runs code that the archive holds**: call it only for a file that you trust. Raises FileNotFoundError, or
    `CheckpointError` if the file is no such archive.
    """
    path, out = Path(path), Path(out)
    if not path.is_file():
        raise FileNotFoundError(f"no CLIP weights at {path}")
    if not _is_torchscript(path):
        raise CheckpointError(f"{path} is no TorchScript archive: give it as `checkpoint` as it is")
    try:
        state = dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{path} cannot be read as TorchScript ({reason}): fetch it again") from error
    kept = {name: value for name, value in state.items() if name not in _TORCHSCRIPT_EXTRAS}
    write_bytes(out, safetensors_bytes(kept, {"quick_gelu": "true"}))  # what OpenAI trained with
    return out


def _is_torchscript(path: Path) -> bool:
    """True for an archive of TorchScript code, such as OpenAI's own files."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return False  # torch says what is wrong with it


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_torch(path: Path) -> dict[str, Tensor]:
    with open(path, "rb") as file, warnings.catch_warnings():  # given a name, torch would go by its ending
        warnings.simplefilter("ignore")  # torch about sparse tensors, which are refused
        content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError("it holds no dictionary of tensors")
    return parameters(content)


def record_weights(folder: Path = ASSETS) -> Path:
    """Write `SHA256SUMS` anew from the .safetensors in `folder`, after they were made again; returns its path."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))
    lines = [f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\n" for path in paths]
    write_text(folder / "SHA256SUMS", "".join(lines))
    return folder / "SHA256SUMS"
