"""Bad input: every kind is named with its file and cure, and nothing that was converted before is lost."""

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from data_prep import worker
from data_prep.__main__ import main
from data_prep.conversion import locked
from data_prep.miniatures import miniature
from data_prep.wmca import TREES
from mmdg_lite.data.real.lists import list_path, read_list
from mmdg_lite.data.real.manifest import read_manifest

ROOT = Path(__file__).parents[2]
NAMES = {"W": "wmca", "C": "cefa", "S": "casia-surf", "P": "padisi"}


class Copy:
    """A miniature of one data set, with what a test does to it and converts from it."""

    def __init__(self, letter, folder):
        self.letter, self.out = letter, folder / "data"
        self.source, self.lists = miniature(letter, folder / "copy", live=2, spoof=2)
        self.rows = read_list(list_path(self.lists, letter, "train"), letter)

    def path(self, row, modality):
        """The file of a row in C, S or P."""
        return self.source / self.rows[row].paths[("rgb", "depth", "infrared").index(modality)]

    def hdf5(self, row, tree):
        (path,) = (self.source / TREES[tree]).rglob(f"{self.rows[row].clip.rsplit('/', 1)[-1]}.hdf5")
        return path

    def convert(self, *more):
        options = ["--source", str(self.source), "--lists", str(self.lists), "--out", str(self.out), "--workers", "0"]
        return main([NAMES[self.letter], *options, "--size", "32", *more])

    def report(self):
        return json.loads((self.out / self.letter / "report.json").read_text())

    def converted(self):
        return read_manifest(self.out / self.letter)


@pytest.fixture
def copy(tmp_path):
    return lambda letter: Copy(letter, tmp_path)


def check_skipped_then_kept(copy, capsys, row, reason, missing):
    """One sample is skipped with this reason; --keep-missing keeps it without these modalities."""
    assert copy.convert() == 1
    capsys.readouterr()
    (failure,) = copy.report()["failures"]
    assert failure.startswith(f"train, line {row + 1}: ") and reason in failure
    assert "--keep-missing" in failure and str(copy.source) in failure
    assert len(copy.converted()) == 11
    assert copy.convert("--keep-missing") == 0
    assert reason in capsys.readouterr().out
    sample = copy.converted()[row]
    assert len(copy.converted()) == 12 and copy.report()["missing"]
    assert {m for m, there in zip(("rgb", "depth", "infrared"), sample.present, strict=True) if not there} == missing
    assert copy.report()["kept"] == 11


def check_skipped(copy, row, reason, count=1):
    """A sample is skipped with this reason, whatever may be missing; all others are converted."""
    for more in ((), ("--keep-missing",)):
        assert copy.convert(*more) == 1
        failures = copy.report()["failures"]
        assert len(failures) == count and failures[0].startswith(f"train, line {row + 1}: ")
        assert all(reason in failure for failure in failures)
        assert len(copy.converted()) == 12 - count


def test_missing_image(copy, capsys):
    surf = copy("S")
    surf.path(1, "depth").unlink()
    check_skipped_then_kept(surf, capsys, 1, "the depth file is missing; restore it", {"depth"})


def test_truncated_image_and_repair(copy, capsys):
    surf = copy("S")
    path = surf.path(2, "infrared")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    check_skipped_then_kept(surf, capsys, 2, "unreadable or cut off", {"infrared"})
    path.write_bytes(whole)
    assert surf.convert() == 0
    assert surf.converted()[2].present == (True, True, True)


def test_not_an_image(copy, capsys):
    cefa = copy("C")
    cefa.path(0, "rgb").write_bytes(b"GIF? no")
    check_skipped_then_kept(cefa, capsys, 0, "neither PNG, JPEG nor TIFF (the file begins with b'GIF? no')", {"rgb"})


def test_grey_colour_frame(copy, capsys):
    surf = copy("S")
    Image.open(surf.path(0, "rgb")).convert("L").save(surf.path(0, "rgb"))
    check_skipped_then_kept(surf, capsys, 0, "must have three channels, found one", {"rgb"})


def test_other_pixel_formats(copy, capsys):
    surf = copy("S")
    Image.open(surf.path(3, "rgb")).convert("CMYK").save(surf.path(3, "rgb"))
    check_skipped_then_kept(surf, capsys, 3, "found mode CMYK", {"rgb"})


def test_constant_depth(copy, capsys):
    surf = copy("S")
    Image.new("L", (72, 72), 0).save(surf.path(1, "depth"))
    check_skipped_then_kept(surf, capsys, 1, "depth image is 0 everywhere", {"depth"})


def test_hdf5_without_the_frame(copy, capsys):
    wmca = copy("W")
    with h5py.File(wmca.hdf5(1, 1), "r+") as file:
        file.move("Frame_12", "Frame_12x")
    check_skipped_then_kept(wmca, capsys, 1, "Frame_12/array: the file has no such frame", {"depth", "infrared"})


def test_hdf5_that_is_none(copy, capsys):
    wmca = copy("W")
    wmca.hdf5(0, 0).write_bytes(wmca.hdf5(0, 0).read_bytes()[:900])
    check_skipped_then_kept(wmca, capsys, 0, "not readable as HDF5", {"rgb"})


def test_hdf5_file_missing_from_one_tree(copy, capsys):
    wmca = copy("W")
    wmca.hdf5(2, 1).unlink()
    assert wmca.convert() == 1
    (failure,) = wmca.report()["failures"]
    assert f"not found below {TREES[1]}" in failure
    assert wmca.convert("--keep-missing") == 0 and wmca.converted()[2].present == (True, False, False)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((3, 9, 9), 7, np.uint8), "expected the shape (4, H, W), found (3, 9, 9)"),
        (np.full((4, 9), 7, np.uint8), "expected the shape (4, H, W), found (4, 9)"),
        (np.full((4, 9, 9), 7, np.uint16), "as uint8, found uint16"),
        (np.full((4, 9, 9), np.nan, np.float32), "as uint8, found float32"),
    ],
)
def test_hdf5_of_another_shape_or_type(copy, capsys, array, reason):
    wmca = copy("W")
    with h5py.File(wmca.hdf5(1, 1), "r+") as file:
        del file["Frame_12/array"]
        file["Frame_12"].create_dataset("array", data=array)
    check_skipped_then_kept(wmca, capsys, 1, reason, {"depth", "infrared"})


def test_hdf5_links_to_elsewhere(copy, tmp_path):
    wmca = copy("W")
    with h5py.File(tmp_path / "secret.hdf5", "w") as file:
        file.create_dataset("array", data=np.zeros((4, 9, 9), np.uint8))
    with h5py.File(wmca.hdf5(1, 1), "r+") as file:
        del file["Frame_12/array"]
        file["Frame_12/array"] = h5py.ExternalLink(str(tmp_path / "secret.hdf5"), "array")
    check_skipped(wmca, 1, "is a link to elsewhere; copy what it points to")


def test_hdf5_values_in_another_file(copy, tmp_path):
    wmca = copy("W")
    (tmp_path / "secret").write_bytes(bytes(4 * 9 * 9))
    with h5py.File(wmca.hdf5(1, 1), "r+") as file:
        del file["Frame_12/array"]
        outside = [(str(tmp_path / "secret"), 0, 4 * 9 * 9)]
        file["Frame_12"].create_dataset("array", (4, 9, 9), np.uint8, external=outside)
    check_skipped(wmca, 1, "kept in another file")


def test_the_known_videos_whose_indices_differ(copy, capsys):
    """Colour is numbered otherwise than depth and infrared: refused, or paired by rank if asked, and said so."""
    wmca = copy("W")
    lines = list_path(wmca.lists, "W", "train").read_bytes()
    for row, video in ((2, "100_03_015_2_10"), (3, "101_06_067_1_02")):
        old = wmca.rows[row].clip.rsplit("/", 1)[-1]
        for tree in (0, 1):
            wmca.hdf5(row, tree).rename(wmca.hdf5(row, tree).with_name(f"{video}.hdf5"))
        lines = lines.replace(old.encode(), video.encode())
    list_path(wmca.lists, "W", "train").write_bytes(lines)
    wmca.rows = read_list(list_path(wmca.lists, "W", "train"), "W")
    for row in (2, 3):
        with h5py.File(wmca.hdf5(row, 1), "r+") as file:
            file.move("Frame_12", "Frame_15")
    assert wmca.convert() == 1
    first, second = wmca.report()["failures"]
    assert "100_03_015_2_10" in first and "101_06_067_1_02" in second
    assert "number their frames differently" in first and "--map-frames-by-rank" in first
    assert len(wmca.converted()) == 10
    capsys.readouterr()
    assert wmca.convert("--map-frames-by-rank") == 0
    assert len(wmca.converted()) == 12 and len(wmca.report()["notes"]) == 2
    assert "101_06_067_1_02" in capsys.readouterr().out
    assert [row.species for row in wmca.converted()[2:4]] == ["paper_mask", "rigid_mask"]
    before = wmca.converted()
    assert wmca.convert() == 1
    assert "converted with map_frames_by_rank True, not False; ask for the same, or" in capsys.readouterr().err
    assert wmca.converted() == before and wmca.convert("--map-frames-by-rank") == 0


def test_a_folder_of_an_earlier_version_does_not_say_how_frames_were_paired(copy):
    wmca = copy("W")
    assert wmca.convert() == 0
    path = wmca.out / "W" / "conversion.json"
    settings = json.loads(path.read_text())
    del settings["map_frames_by_rank"]
    path.write_text(json.dumps(settings))
    assert wmca.convert() == 0 and wmca.report()["kept"] == 12
    assert json.loads(path.read_text())["map_frames_by_rank"] is False


def test_a_video_in_two_places(copy):
    wmca = copy("W")
    other = wmca.hdf5(0, 0).parent.parent / "other"
    other.mkdir()
    (other / wmca.hdf5(0, 0).name).write_bytes(wmca.hdf5(0, 0).read_bytes())
    assert wmca.convert() == 1
    assert "remove or rename all but the right one" in wmca.report()["failures"][0]


def test_a_list_that_pairs_different_frames(copy):
    surf = copy("S")
    path = list_path(surf.lists, "S", "train")
    path.write_bytes(path.read_bytes().replace(b"ir/121.jpg", b"ir/131.jpg", 1))
    check_skipped(surf, 0, "the list pairs frames 121, 121, 131")


def test_a_link_that_leaves_the_source(copy, tmp_path):
    surf = copy("S")
    outside = tmp_path / "outside.jpg"
    surf.path(0, "rgb").rename(outside)
    surf.path(0, "rgb").symlink_to(outside)
    check_skipped(surf, 0, "leaves the source folder")


@pytest.mark.parametrize("wrong", ["../../x/{}", "/etc/{}", "CASIA-SURF-CROP/../../{}"])
def test_paths_of_a_list_that_leave_the_source(copy, capsys, wrong):
    surf = copy("S")
    assert surf.convert() == 0
    before = surf.converted()
    path = list_path(surf.lists, "S", "val")
    text = path.read_bytes()
    path.write_bytes(wrong.format("").encode() + text)
    assert surf.convert() == 1
    assert f"{path}, line 1: " in capsys.readouterr().err
    assert surf.converted() == before


@pytest.mark.parametrize(
    ("text", "reason"), [(b"", "the list is empty"), (b"a.npz\t7\n", "label must be 0 (spoof) or 1")]
)
def test_empty_lists_and_other_labels(copy, capsys, text, reason):
    padisi = copy("P")
    assert padisi.convert() == 0
    before = padisi.converted()
    list_path(padisi.lists, "P", "test").write_bytes(text)
    assert padisi.convert() == 1
    assert reason in capsys.readouterr().err and padisi.converted() == before


def test_npz_that_needs_pickle_is_never_unpickled(copy, tmp_path):
    padisi = copy("P")
    evil = np.empty((1, 5, 4, 4), object)
    evil[...] = _Touch(tmp_path / "unpickled")
    np.savez(padisi.path(1, "rgb"), data=evil)
    check_skipped(padisi, 1, "pickled Python objects: refused")
    assert not (tmp_path / "unpickled").exists()
    padisi.path(1, "rgb").write_bytes(pickle.dumps(_Touch(tmp_path / "unpickled")))
    check_skipped(padisi, 1, "not an npz file")
    assert not (tmp_path / "unpickled").exists()


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"images": np.ones((1, 5, 4, 4))}, "no array `data`"),
        ({"data": np.ones((1, 4, 4, 4))}, "5 channels or more"),
        ({"data": np.ones((5, 4, 4))}, "5 channels or more"),
        ({"data": np.ones((0, 5, 4, 4))}, "5 channels or more"),
        ({"data": np.ones((1, 5, 4, 4), np.uint8)}, "found uint8"),
        ({"data": np.asfortranarray(np.ones((2, 5, 4, 4)))}, "C order"),
    ],
)
def test_npz_of_another_form(copy, arrays, reason):
    padisi = copy("P")
    np.savez(padisi.path(2, "rgb"), **arrays)
    check_skipped(padisi, 2, reason)


def test_npz_cut_off_or_missing(copy):
    padisi = copy("P")
    padisi.path(0, "rgb").write_bytes(padisi.path(0, "rgb").read_bytes()[:500])
    check_skipped(padisi, 0, "restore it")
    padisi.path(0, "rgb").unlink()
    check_skipped(padisi, 0, "not found below")


@pytest.mark.parametrize(
    ("channel", "value", "reason", "missing"),
    [
        (4, np.nan, "depth holds NaN", {"depth"}),
        (3, np.inf, "infrared holds NaN or infinite", {"infrared"}),
        (4, 5.0, "depth should be", {"depth"}),
        (1, -0.5, "rgb should be", {"rgb"}),
    ],
)
def test_npz_with_values_out_of_range(copy, capsys, channel, value, reason, missing):
    padisi = copy("P")
    with np.load(padisi.path(3, "rgb")) as file:
        data = file["data"]
    data[0, channel, 3, 4] = value
    np.savez(padisi.path(3, "rgb"), data=data)
    check_skipped_then_kept(padisi, capsys, 3, reason, missing)


def test_a_sample_with_nothing_left_is_skipped_even_if_missing_ones_are_kept(copy):
    surf = copy("S")
    for modality in ("rgb", "depth", "infrared"):
        surf.path(0, modality).unlink()
    assert surf.convert("--keep-missing") == 1
    assert len(surf.report()["failures"]) == 1


def test_the_source_going_away_loses_nothing(copy, capsys):
    surf = copy("S")
    assert surf.convert() == 0
    before = surf.converted()
    (surf.source / "CASIA-SURF-CROP").rename(surf.source / "away")
    assert surf.convert() == 1 and "--source names the folder" in capsys.readouterr().err
    (surf.source / "CASIA-SURF-CROP").mkdir()
    assert surf.convert() == 0 and surf.converted() == before


def test_a_full_disk_stops_the_run_with_the_cure_and_loses_nothing(copy, capsys, monkeypatch):
    surf = copy("S")
    real, count = os.replace, 0

    def replace(source, target):
        nonlocal count
        count += str(target).endswith(".png")
        if count > 15:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr("data_prep.conversion.CHUNK", 4)
    monkeypatch.setattr(worker.os, "replace", replace)
    assert surf.convert() == 1
    message = capsys.readouterr().err
    assert "No space left on device" in message and "free some space" in message and ".png" in message
    monkeypatch.setattr(worker.os, "replace", real)
    assert not list(surf.out.rglob("*.partial"))
    assert surf.convert() == 0
    assert surf.report()["kept"] == 4 and len(surf.converted()) == 12


def test_writing_that_really_fails_in_the_middle_of_a_file(copy):
    """The kernel refuses to let any file grow beyond 2,000 bytes."""
    surf = copy("S")
    options = ["--source", str(surf.source), "--lists", str(surf.lists), "--out", str(surf.out)]
    run = [sys.executable, "-m", "data_prep", "casia-surf", *options, "--workers", "0", "--size", "32"]
    result = subprocess.run(
        run,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert result.returncode == 1
    assert "cannot be written" in result.stderr and "run the same command again to go on" in result.stderr
    assert "Traceback" not in result.stderr and not list(surf.out.rglob("*.partial"))
    assert surf.convert() == 0 and len(surf.converted()) == 12


def test_output_that_cannot_be_made(copy, capsys, tmp_path):
    surf = copy("S")
    (tmp_path / "file").write_text("in the way")
    surf.out = tmp_path / "file"
    assert surf.convert() == 1
    assert "cannot be written" in capsys.readouterr().err
    surf.out = Path("/proc/nowhere")
    assert surf.convert() == 1
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to the administrator")
def test_read_only_output(copy, capsys, tmp_path):
    surf = copy("S")
    surf.out.mkdir()
    surf.out.chmod(0o500)
    assert surf.convert() == 1
    assert "you may not write there" in capsys.readouterr().err


def test_two_conversions_into_one_folder(copy, capsys):
    surf = copy("S")
    with locked(surf.out / "S"):
        assert surf.convert() == 1
    assert "another conversion" in capsys.readouterr().err
    assert surf.convert() == 0


def test_a_folder_of_something_else_is_not_mixed_up(copy, capsys):
    surf = copy("S")
    assert surf.convert() == 0
    before = surf.converted()
    for more, what in ((("--size", "48"), "size 32, not 48"), (("--format", "jpg"), "format png, not jpg")):
        assert surf.convert(*more) == 1
        assert what in capsys.readouterr().err
    (surf.out / "S" / "conversion.json").write_text("{")
    assert surf.convert() == 1
    assert "conversion.json: not readable" in capsys.readouterr().err and surf.converted() == before


def test_verify_names_every_kind_of_damage(copy, capsys):
    surf = copy("S")
    assert surf.convert() == 0
    folder = surf.out / "S"
    rows = surf.converted()
    (folder / rows[0].rgb).write_bytes(b"other")
    (folder / rows[1].depth).unlink()
    (folder / "images" / ".torn.png.1.partial").write_bytes(b"")
    path = list_path(surf.lists, "S", "test")
    path.write_bytes(b"\r\n".join(path.read_bytes().split(b"\r\n")[:3]))
    path = list_path(surf.lists, "S", "val")
    path.write_bytes(path.read_bytes() + b"\r\n" + path.read_bytes().split(b"\r\n")[0])
    capsys.readouterr()
    assert main(["verify", str(surf.out), "--lists", str(surf.lists)]) == 1
    text = capsys.readouterr().out
    for part in ("5 problems", "SHA-256 differs", "not there", "half-written", "S-val.txt, line 5: not converted"):
        assert part in text
    assert "S-test-00004: there is no line 4" in text


def test_verify_says_what_to_do_where_nothing_is_converted(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 1
    assert "convert a data set first" in capsys.readouterr().err
    (tmp_path / "manifest.csv").write_text("something else")
    assert main(["verify", str(tmp_path)]) == 1
    assert "the columns must be" in capsys.readouterr().out
