"""Checkpoints: every bit comes back, nothing half-written is taken for whole, nothing foreign is read."""

import errno
import math
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmdg_lite.runs.checkpoints import (
    CheckpointError,
    load_optimiser_tensors,
    optimiser_tensors,
    read_checkpoint,
    write_checkpoint,
)


def trained(optimiser_class, *, steps=3):
    """A small model and its optimiser after some steps, one parameter never having had a gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[1].bias.requires_grad_(False)
    optimiser = optimiser_class([p for p in model.parameters() if p.requires_grad], lr=0.1)
    take(model, optimiser, steps)
    return model, optimiser


def take(model, optimiser, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        model(torch.randn(5, 3)).square().sum().backward()
        optimiser.step()


def same_bits(first, second):
    return first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes()


def test_every_bit_of_tensors_and_values_comes_back(tmp_path):
    tensors = {
        "a/weights": torch.randn(3, 4).T,  # not contiguous
        "a/special": torch.tensor([math.nan, math.inf, -0.0, 1e-45]),
        "b/double": torch.randn(2, dtype=torch.float64),
        "b/scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "generator": torch.Generator().manual_seed(5).get_state(),
    }
    values = {"step": 3, "third": 1 / 3, "tiny": 5e-324, "nothing": None, "list": [0.1, 2], "text": "ü"}
    write_checkpoint(tmp_path / "state.safetensors", tensors, values)
    back = read_checkpoint(tmp_path / "state.safetensors")
    assert back.values == values
    assert set(back.tensors) == set(tensors)
    assert all(same_bits(back.tensors[name], value.contiguous()) for name, value in tensors.items())
    assert set(back.part("a")) == {"weights", "special"}


def test_a_generator_goes_on_where_it_stood(tmp_path):
    generator = torch.Generator().manual_seed(11)
    torch.randn(7, generator=generator)
    write_checkpoint(tmp_path / "s", {"generator": generator.get_state()}, {})
    expected = torch.randn(9, generator=generator)
    other = torch.Generator()
    other.set_state(read_checkpoint(tmp_path / "s").tensors["generator"])
    assert torch.equal(torch.randn(9, generator=other), expected)


@pytest.mark.parametrize("optimiser_class", [torch.optim.Adam, torch.optim.AdamW])
def test_an_optimiser_goes_on_where_it_stood(optimiser_class, tmp_path):
    model, optimiser = trained(optimiser_class)
    write_checkpoint(tmp_path / "s", optimiser_tensors(optimiser), {})
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    take(model, optimiser, 2)
    again, other = trained(optimiser_class, steps=0)
    again.load_state_dict(weights)
    load_optimiser_tensors(other, read_checkpoint(tmp_path / "s").tensors)
    torch.manual_seed(1)
    take(again, other, 2)
    assert all(same_bits(value, model.state_dict()[name]) for name, value in again.state_dict().items())


def test_the_state_of_a_larger_model_is_refused():
    _, optimiser = trained(torch.optim.Adam)
    other = torch.optim.Adam([nn.Parameter(torch.zeros(3))])
    with pytest.raises(ValueError, match="more parameters than the model"):
        load_optimiser_tensors(other, optimiser_tensors(optimiser))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors: no such checkpoint"):
        read_checkpoint(tmp_path / "absent.safetensors")


def whole(path, size=1000):
    write_checkpoint(path, {"a": torch.arange(size)}, {"step": 1})
    return path.read_bytes()


@pytest.mark.parametrize("keep", [0, 4, 8, 60, 4000, -1])
def test_a_truncated_file_is_refused_by_name(keep, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(whole(path)[:keep])
    with pytest.raises(CheckpointError, match="not a readable checkpoint") as refusal:
        read_checkpoint(path)
    assert str(path) in str(refusal.value)


class Trap:
    """Unpickling one of these would be noticed."""

    def __reduce__(self):
        return (os.mkdir, ("trap-was-sprung",))


@pytest.mark.parametrize("content", [pickle.dumps(Trap()), b"not a checkpoint at all", b"\xff" * 64])
def test_files_of_another_format_are_refused_and_never_unpickled(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable checkpoint") as refusal:
        read_checkpoint(path)
    assert str(path) in str(refusal.value)
    assert not (tmp_path / "trap-was-sprung").exists()


@pytest.mark.parametrize(
    "metadata, reason",
    [
        (None, "not a checkpoint of mmdg_lite"),
        ({"format": "pt"}, "not a checkpoint of mmdg_lite"),
        ({"format": "mmdg_lite"}, "no readable values"),
        ({"format": "mmdg_lite", "values": "{"}, "no readable values"),
        ({"format": "mmdg_lite", "values": "[1]"}, "no readable values"),
    ],
)
def test_safetensors_of_others_are_refused(metadata, reason, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match=f"other.safetensors.*{reason}"):
        read_checkpoint(tmp_path / "other.safetensors")


class FullDisk(OSError):
    """What writing to a full disk raises."""

    def __init__(self):
        super().__init__(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_old_file_survives_a_disk_that_is_full(call, tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    before = whole(path)

    def full(*_):
        raise FullDisk

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match=r"No space left.*before is kept.*state\.safetensors"):
            whole(path, size=2000)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]  # and nothing half-written stays behind
    whole(path, size=2000)
    assert len(read_checkpoint(path).tensors["a"]) == 2000


def test_what_a_killed_process_left_half_written_has_another_name(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    before = whole(path)

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            whole(path, size=2000)
    assert path.read_bytes() == before
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 and len(list(tmp_path.iterdir())) == 2
