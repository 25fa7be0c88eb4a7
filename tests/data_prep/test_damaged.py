"""One damaged file costs one sample: whatever its reader raises is that sample's problem, with the file's name."""

import json
import re
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.casia_surf import CasiaSurf
from data_prep.miniatures import miniature
from data_prep.padisi import Padisi
from data_prep.sources import SampleProblem
from data_prep.verify import domain_folders
from data_prep.wmca import TREES
from mmdg_lite.data.real.lists import list_path, read_list
from mmdg_lite.data.real.manifest import read_manifest

NAMES = {"W": "wmca", "C": "cefa", "S": "casia-surf", "P": "padisi"}


def header(text, version=(1, 0)):
    """The beginning of an npy file with any text where its header belongs."""
    size = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + text.encode()


def shape(text):
    return header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {text}, }}\n")


def packed(path, content, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("data.npy", content)


def encrypted(path):
    packed(path, shape("(1, 5, 4, 4)") + bytes(320), zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for sign, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(sign) + place] |= 1
    path.write_bytes(content)


NPZ = {
    "text that is no Python": lambda p: packed(p, header("{'descr': '<f4', 'shape': ((((\n")),
    "deep nesting": lambda p: packed(p, header("(" * 5_000 + "\n")),
    "sizes that wrap to zero": lambda p: packed(p, shape("(1, 4294967296, 4294967296, 1)") + bytes(2_000)),
    "sizes that wrap below zero": lambda p: packed(p, shape("(1, 5, 3037000500, 3037000500)") + bytes(400_000)),
    "sizes of 5,000 digits": lambda p: packed(p, shape(f"(1, 5, {'9' * 5_000}, 4)")),
    "negative sizes": lambda p: packed(p, shape("(1, 5, -4, -4)") + bytes(9_000)),
    "sizes that are no numbers": lambda p: packed(p, shape("(1, 5, 4.0, True)") + bytes(9_000)),
    "a type of numbers that is none": lambda p: packed(p, shape("(1, 5, 4, 4)").replace(b"<f4", b"<q9")),
    "a version that is none": lambda p: packed(p, header("{}\n", (9, 9))),
    "encrypted": encrypted,
    "another method": lambda p: packed(p, shape("(1, 5, 4, 4)") + bytes(320), zipfile.ZIP_LZMA),
    "a large file in little": lambda p: packed(p, shape("(1, 5, 40000, 40000)") + bytes(30_000_000)),
    "nothing": lambda p: p.write_bytes(b""),
}


def converted(letter, source, lists, out, *more):
    paths = ["--source", str(source), "--lists", str(lists), "--out", str(out)]
    status = main([NAMES[letter], *paths, "--workers", "0", "--size", "16", *more])
    return status, json.loads((out / letter / "report.json").read_text())


@pytest.mark.parametrize("name", NPZ)
def test_a_damaged_npz_costs_its_sample(tmp_path, name):
    source, lists = miniature("P", tmp_path / "copy", live=2, spoof=2)
    row = read_list(list_path(lists, "P", "train"), "P")[2]
    (source / row.paths[0]).unlink()
    NPZ[name](source / row.paths[0])
    tracemalloc.start()
    status, report = converted("P", source, lists, tmp_path / "data")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 1 and len(read_manifest(tmp_path / "data" / "P")) == 11 and peak < 30e6
    assert len(report["failures"]) == 1
    assert report["failures"][0].startswith(f"train, line 3: {source / row.paths[0]}: ")


@pytest.mark.parametrize("form", [(1, 32, 30, 22), (1, 32, 32, 5), (1, 60, 60, 6)])
def test_channels_that_come_last_are_named(tmp_path, form):
    np.savez(tmp_path / "a.npz", data=np.random.default_rng(0).random(form))
    (tmp_path / "P-train.txt").write_text("a.npz\t1\n")
    with pytest.raises(SampleProblem, match=rf"a\.npz: .*found {re.escape(str(form))}: are the channels last"):
        Padisi.open(tmp_path).read(read_list(tmp_path / "P-train.txt", "P")[0])


@pytest.mark.parametrize("name", ["Frame_²", "Frame_" + "9" * 5_000, "Frame_", "Frame_-1", "Frame_1_2", "Frame_１２"])
def test_hdf5_groups_that_are_no_frames_are_passed_over(tmp_path, name):
    source, lists = miniature("W", tmp_path / "copy", live=2, spoof=2)
    for tree in TREES:
        for path in (source / tree).rglob("*.hdf5"):
            with h5py.File(path, "r+") as file:
                file.create_group(name)
    status, report = converted("W", source, lists, tmp_path / "data")
    assert status == 0 and report["failures"] == []


def test_an_hdf5_that_raises_anything_costs_its_sample(tmp_path, monkeypatch):
    source, lists = miniature("W", tmp_path / "copy", live=2, spoof=2)
    row = read_list(list_path(lists, "W", "train"), "W")[1]
    bad, whole = row.clip.rsplit("/", 1)[-1], h5py.File
    for error in (KeyError("Frame_12"), RuntimeError("addr overflow"), TypeError(), ValueError("no"), MemoryError()):

        def broken(path, mode, error=error):
            if bad in str(path):
                raise error
            return whole(path, mode)

        monkeypatch.setattr(h5py, "File", broken)
        status, report = converted("W", source, lists, tmp_path / f"data_{type(error).__name__}")
        assert status == 1 and len(report["failures"]) == 1
        assert (
            report["failures"][0].startswith("train, line 2: ") and f"{bad}.hdf5: not readable" in report["failures"][0]
        )


def test_parts_larger_than_the_frame_are_not_unpacked(tmp_path):
    source, lists = miniature("W", tmp_path / "copy", live=2, spoof=2)
    row = read_list(list_path(lists, "W", "train"), "W")[0]
    (path,) = (source / TREES[0]).rglob(f"{row.clip.rsplit('/', 1)[-1]}.hdf5")
    with h5py.File(path, "r+") as file:
        del file["Frame_12/array"]
        more = {"maxshape": (3, None, None), "chunks": (3, 30_000, 30_000), "compression": "gzip"}
        file["Frame_12"].create_dataset("array", (3, 9, 9), np.uint8, **more)
    status, report = converted("W", source, lists, tmp_path / "data")
    assert status == 1 and "stored in parts of (3, 30000, 30000)" in report["failures"][0]


def test_whatever_a_reader_raises_names_the_sample_s_files(tmp_path, monkeypatch):
    source, lists = miniature("S", tmp_path / "copy", live=2, spoof=2)
    rows = read_list(list_path(lists, "S", "val"), "S")
    read = CasiaSurf.read

    def broken(self, row):
        if row.paths == rows[3].paths:
            raise ZeroDivisionError("by a reader")
        return read(self, row)

    monkeypatch.setattr(CasiaSurf, "read", broken)
    status, report = converted("S", source, lists, tmp_path / "data")
    assert status == 1 and len(report["failures"]) == 1
    assert rows[3].paths[0] in report["failures"][0] and "ZeroDivisionError: by a reader" in report["failures"][0]


def test_files_of_the_finder_are_in_nobody_s_way(tmp_path):
    for letter in NAMES:
        source, lists = miniature(letter, tmp_path / letter, live=2, spoof=2)
        for folder in [source, lists, *(path for path in source.rglob("*") if path.is_dir())]:
            (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        for path in [path for path in source.rglob("*.*") if path.is_file() and path.name[0] != "."]:
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (source / "__MACOSX").mkdir()
        status, report = converted(letter, source, lists, tmp_path / "data")
        assert status == 0 and report["failures"] == []
    (tmp_path / "data" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "data" / "W" / "images" / ".DS_Store").write_bytes(b"\0")
    for letter in NAMES:
        lists = tmp_path / letter / "lists"
        assert main(["verify", str(tmp_path / "data" / letter), "--lists", str(lists)]) == 0
    assert [folder.name for folder in domain_folders(tmp_path / "data")] == sorted(NAMES)


def test_lists_in_the_other_convention_are_refused(tmp_path, capsys):
    for letter in "WCS":
        _, lists = miniature(letter, tmp_path / letter, live=2, spoof=2)
        path = list_path(lists, letter, "train")
        lines = path.read_text().splitlines()
        turned = [line[:-1] + str(1 - int(line[-1])) for line in lines]
        path.write_text("\r\n".join(turned), newline="")
        paths = ["--source", str(tmp_path / letter / "source"), "--lists", str(lists), "--out", str(tmp_path / "data")]
        assert main([NAMES[letter], *paths, "--workers", "0"]) == 1
        assert "write 1 for live and 0 for attacks" in capsys.readouterr().err and not (tmp_path / "data").exists()
