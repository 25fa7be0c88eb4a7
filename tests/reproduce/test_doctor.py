"""The doctor: passes here, and finds each fault it is for."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import open_clip
import pytest
import torch
import torchvision

from mmdg_lite.models import clip_weights
from mmdg_lite.reproduce import doctor


def test_every_check_passes_here(capsys, tmp_path):
    assert doctor.doctor(out_dir=tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("[OK] ") for line in lines)
    assert {"python", "torch", "papermill", "device", "shipped weights", "jupyter kernel", "disk"} <= {
        line.removeprefix("[OK] ").split(":")[0] for line in lines
    }


@pytest.mark.parametrize(
    "found, ok", [((3, 10), False), ((3, 11), True), ((3, 14), True), ((3, 15), False), ((2, 12), False)]
)
def test_python_versions(found, ok):
    check = doctor.python_version(found)
    assert check.ok is ok
    assert ("make setup" in str(check)) is not ok


def test_missing_and_old_packages_are_named_with_the_cure():
    lines = [str(c) for c in doctor.packages(["numpy>=999", "no_such_package_at_all>=1", 'other_absent; extra == "x"'])]
    assert len(lines) == 2
    assert lines[0].startswith("[FAIL] numpy")
    assert "wanted >=999" in lines[0]
    assert "missing, wanted >=1" in lines[1]
    assert all("requirements.lock" in line for line in lines)


def test_changed_missing_and_right_weights_are_told_apart(tmp_path):
    content = b"weights"
    assert "SHA256SUMS is missing" in doctor.shipped_weights(tmp_path).found
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  tiny.safetensors\n")
    assert "missing" in doctor.shipped_weights(tmp_path).found
    (tmp_path / "tiny.safetensors").write_bytes(b"other")
    assert "differs from its checksum" in doctor.shipped_weights(tmp_path).found
    (tmp_path / "tiny.safetensors").write_bytes(content)
    assert doctor.shipped_weights(tmp_path).ok


def test_recorded_weights_are_the_ones_that_are_there(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.safetensors").write_bytes(b"a")
    (tmp_path / "folder" / "b.safetensors").write_bytes(b"b")
    clip_weights.record_weights(tmp_path)
    assert doctor.shipped_weights(tmp_path).found == "2 files as recorded"
    (tmp_path / "folder" / "b.safetensors").write_bytes(b"c")
    assert not doctor.shipped_weights(tmp_path).ok


def test_every_shipped_weight_file_is_in_the_list_of_checksums():
    listed = {line.split()[1] for line in (doctor.ASSETS / "SHA256SUMS").read_text().splitlines()}
    assert listed == {p.relative_to(doctor.ASSETS).as_posix() for p in doctor.ASSETS.rglob("*.safetensors")}


def test_a_full_disk_is_a_failure(monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check = doctor.disk_space(tmp_path / "not" / "yet")
    assert not check.ok
    assert "1.0 GB free" in str(check)


def test_an_output_folder_under_a_file_is_a_failure(tmp_path):
    (tmp_path / "file").write_text("")
    check = doctor.writable(tmp_path / "file" / "runs")
    assert not check.ok
    assert "--out" in str(check)


def test_a_check_that_breaks_is_a_failure_and_the_next_ones_are_made(monkeypatch, capsys, tmp_path):
    def broken():
        raise RuntimeError("libcudart.so is missing")

    monkeypatch.setattr(doctor, "torchvision_matches_torch", broken)
    assert not doctor.doctor(out_dir=tmp_path)
    text = capsys.readouterr().out
    assert "[FAIL] torch and torchvision: RuntimeError: libcudart.so is missing" in text
    assert "[OK] output folder" in text


def test_a_foreign_kernel_of_the_same_name_is_not_taken(monkeypatch, tmp_path):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["/elsewhere/python"], "display_name": "other", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    check = doctor.jupyter_kernel()
    assert check.ok
    assert Path(sys.executable).name in check.found


def test_a_kernel_of_another_interpreter_is_a_failure(monkeypatch):
    found = SimpleNamespace(argv=["/elsewhere/python"])
    monkeypatch.setattr("jupyter_client.kernelspec.KernelSpecManager.get_kernel_spec", lambda *_: found)
    check = doctor.jupyter_kernel()
    assert not check.ok
    assert "python3 runs /elsewhere/python" in str(check) and "ipykernel install" in str(check)


def missing_operator(*_):
    raise RuntimeError("operator torchvision::nms does not exist")


@pytest.mark.parametrize("nms", [missing_operator, lambda *_: torch.tensor([])], ids=["missing", "wrong"])
def test_torchvision_of_another_release_is_a_failure(nms, monkeypatch):
    monkeypatch.setattr(torchvision.ops, "nms", nms)
    check = doctor.torchvision_matches_torch()
    assert not check.ok
    assert torch.__version__ in check.found and "of one release" in str(check)


def test_a_device_that_computes_nonsense_is_a_failure(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "mm", lambda one, _: one)
    check = doctor.compute_device()
    assert not check.ok
    assert "device=cpu always works" in str(check)


def test_another_vocabulary_is_a_failure(monkeypatch):
    monkeypatch.setattr(open_clip, "tokenize", lambda _: torch.tensor([[49406, 7, 49407, 0]]))
    check = doctor.clip_vocabulary()
    assert not check.ok
    assert "3 tokens, wanted 5" in str(check)
