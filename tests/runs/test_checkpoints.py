"""Checkpoints: every bit comes back, nothing half-written is taken for whole, nothing foreign is read."""

import errno
import math
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
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
    load_optimiser_tensors(other, read_checkpoint(tmp_path / "s").tensors, stepped=True)
    torch.manual_seed(1)
    take(again, other, 2)
    assert all(same_bits(value, model.state_dict()[name]) for name, value in again.state_dict().items())


def test_the_state_of_a_larger_model_is_refused():
    _, optimiser = trained(torch.optim.Adam)
    other = torch.optim.Adam([nn.Parameter(torch.zeros(3))])
    with pytest.raises(ValueError, match="more parameters than the model"):
        load_optimiser_tensors(other, optimiser_tensors(optimiser), stepped=True)


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


def test_any_flipped_bit_of_tensors_or_values_is_noticed(tmp_path, rng):
    path = tmp_path / "state.safetensors"
    write_checkpoint(path, {"a": torch.arange(40), "b": torch.ones(3)}, {"step": 17, "note": "x" * 200})
    before = path.read_bytes()
    start = len(before) - 40 * 8 - 3 * 4
    values = before.index(b"xxx")
    places = [*rng.integers(start, len(before), 40).tolist(), values + 5, before.index(b"17")]
    for place in places:
        bit = int(rng.integers(3))  # of a letter or digit, so that the header stays readable
        path.write_bytes(before[:place] + bytes([before[place] ^ 1 << bit]) + before[place + 1 :])
        with pytest.raises(CheckpointError, match=r"state\.safetensors is damaged: .* does not fit its checksum"):
            read_checkpoint(path)


def test_files_of_earlier_versions_have_no_checksum_and_may_be_read_but_not_gone_on_from(tmp_path):
    path = tmp_path / "old.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "mmdg_lite", "values": '{"step": 3}'})
    assert read_checkpoint(path).values == {"step": 3}
    with pytest.raises(CheckpointError, match=r"old\.safetensors has no checksum"):
        read_checkpoint(path, checksum_required=True)


def test_equal_content_gives_equal_bytes_in_the_library_s_own_format(tmp_path):
    tensors = {name: torch.randn(3, 2) for name in "dacb"}
    for number in range(8):  # the library's own order of two notes changes from call to call
        write_checkpoint(tmp_path / f"{number}", dict(sorted(tensors.items(), reverse=number % 2 > 0)), {"step": 1})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert all(torch.equal(value, tensors[name]) for name, value in load_file(tmp_path / "0").items())


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda tensors: tensors.clear(), "the optimiser's state is missing"),
        (lambda tensors: tensors.pop("0/exp_avg"), "parameter 0: exp_avg is missing"),
        (lambda tensors: tensors.update({"0/more": torch.zeros(1)}), "parameter 0: more is unexpected"),
        (
            lambda tensors: tensors.update({"1/exp_avg": torch.zeros(5)}),
            r"exp_avg is float32 of shape \(5,\), expected",
        ),
        (lambda tensors: tensors.update({"1/step": torch.tensor(3)}), "step is int64 of shape"),
        (lambda tensors: tensors.update({"0/exp_avg": tensors["0/exp_avg"].half()}), "exp_avg is float16"),
        (lambda tensors: tensors.update({"-1/step": torch.tensor(3.0)}), "more parameters than the model"),
    ],
)
def test_an_optimiser_state_of_another_form_is_refused(change, reason):
    _, optimiser = trained(torch.optim.AdamW)
    tensors = optimiser_tensors(optimiser)
    change(tensors)
    with pytest.raises(ValueError, match=reason):
        load_optimiser_tensors(trained(torch.optim.AdamW, steps=0)[1], tensors, stepped=True)


def test_sgd_keeps_no_state_and_takes_none():
    _, optimiser = trained(torch.optim.SGD)
    assert optimiser_tensors(optimiser) == {}
    load_optimiser_tensors(optimiser, {}, stepped=True)
    with pytest.raises(ValueError, match="step is unexpected"):
        load_optimiser_tensors(optimiser, {"0/step": torch.tensor(1.0)}, stepped=True)
