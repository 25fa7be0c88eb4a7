"""Files of CLIP weights: read with clear errors; and a compact form that stores the trained token embeddings alone.

CLIP's vocabulary has 49,408 tokens. A small CLIP trained on a few hundred words has learned nothing about the others;
the compact form leaves these out and fills them from a seed, bit for bit as they were before training.
"""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmdg_lite.configuration import ASSETS, write_bytes, write_text

TOKEN_TABLE = "token_embedding.weight"
ROW_IDS = "token_embedding.row_ids"
ROWS = "token_embedding.rows"
FORMAT = "mmdg_lite compact CLIP, version 1"

_TORCHSCRIPT_EXTRAS = ("input_resolution", "context_length", "vocab_size")


class CheckpointError(ValueError):
    """A file of CLIP weights cannot be read or is not of this model; the message names the file and the cure."""


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
    stored = {name: value.detach().cpu().contiguous() for name, value in state.items() if name != TOKEN_TABLE}
    stored |= {ROW_IDS: ids, ROWS: table[ids].contiguous()}
    notes = {"format": FORMAT, "vocabulary": str(len(table)), "token_seed": str(seed)}
    write_bytes(path, save(stored, metadata=notes))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The parameters in a file: safetensors (compact or full), a PyTorch state dict, or OpenAI's TorchScript archive.

    Nothing is unpickled beyond tensors. Raises FileNotFoundError, or `CheckpointError` with the reason.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no CLIP weights at {path}: check the path given as `checkpoint`")
    try:
        if path.suffix == ".safetensors":
            state, notes = _read_safetensors(path)
        else:
            state, notes = _read_torch(path), {}
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} cannot be read as CLIP weights ({reason}): copy or fetch it again") from error
    except Exception as error:  # torch's unpickler raises pickle.UnpicklingError for anything but tensors
        raise CheckpointError(
            f"{path} is not a file of weights (safetensors, or a PyTorch file of tensors alone): "
            f"{type(error).__name__} while reading it"
        ) from error
    if ROWS not in state:
        return state
    rows, ids = state.pop(ROWS), state.pop(ROW_IDS)
    try:
        table = untrained_rows(int(notes["vocabulary"]), rows.shape[1], int(notes["token_seed"]))
        table[ids] = rows
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{path} has a damaged token table ({error}): fetch or rebuild it") from error
    return state | {TOKEN_TABLE: table}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_torch(path: Path) -> dict[str, Tensor]:
    if zipfile.is_zipfile(path) and any("/code/" in name for name in zipfile.ZipFile(path).namelist()):
        state = dict(torch.jit.load(str(path), map_location="cpu").state_dict())  # OpenAI's own files are of this kind
        for name in _TORCHSCRIPT_EXTRAS:
            state.pop(name, None)
        return state
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("it holds no dictionary of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def record_weights(folder: Path = ASSETS) -> Path:
    """Write `SHA256SUMS` anew from the .safetensors in `folder`, after they were made again; returns its path."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))
    lines = [f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\n" for path in paths]
    write_text(folder / "SHA256SUMS", "".join(lines))
    return folder / "SHA256SUMS"
