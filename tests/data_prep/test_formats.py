"""What the four converters read is what the formats hold: right file, frame, channel, crop and range."""

import json
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from data_prep.__main__ import main
from data_prep.casia_surf import CasiaSurf
from data_prep.cefa import Cefa, crop_border, crop_each
from data_prep.leave_one_out import read_leave_one_out
from data_prep.miniatures import BORDER, SIZE, miniature
from data_prep.padisi import Padisi
from data_prep.sources import Reading, SampleProblem, SourceError
from data_prep.wmca import TREES, Wmca
from mmdg_lite.data.real.lists import LETTERS, SPLITS, ListError, check_splits, read_list, read_lists
from mmdg_lite.data.real.manifest import read_manifest
from mmdg_lite.modality import MODALITIES, Modality

OPEN = {"W": Wmca.open, "C": Cefa.open, "S": CasiaSurf.open, "P": Padisi.open}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return {letter: miniature(letter, tmp_path_factory.mktemp(letter)) for letter in LETTERS}


@pytest.mark.parametrize("letter", LETTERS)
def test_every_row_of_a_miniature_can_be_read(trees, letter):
    source, lists = trees[letter]
    rows = read_lists(lists, letter)
    assert check_splits(rows).lines() == []
    for split in SPLITS:
        assert [row.label for row in rows[split]] == [1] * 4 + [0] * 6
        for row in rows[split]:
            reading = OPEN[letter](source).read(row)
            assert not reading.problems and not reading.notes
            size = SIZE[letter]
            assert [reading.images[m].shape for m in MODALITIES] == [(size, size, 3), (size, size, 1), (size, size, 1)]
            assert all(image.dtype == np.uint8 for image in reading.images.values())


def test_lists_of_a_miniature_end_as_the_published_ones(trees):
    for letter in "WCS":
        content = (trees[letter][1] / f"{letter}-train.txt").read_bytes()
        assert content.count(b"\r\n") == 9 and not content.endswith(b"\n")
    assert (trees["P"][1] / "P-train.txt").read_bytes().endswith(b"\t0\n")


def test_wmca_takes_depth_and_infrared_from_their_channels(trees):
    source, lists = trees["W"]
    row = read_list(lists / "W-val.txt", "W")[5]
    reading = Wmca.open(source).read(row)
    video = row.clip.rsplit("/", 1)[-1]
    (colour,), (other,) = (list((source / tree).rglob(f"{video}.hdf5")) for tree in TREES)
    with h5py.File(colour) as file:
        assert np.array_equal(reading.images[Modality.RGB], file["Frame_12/array"][()].transpose(1, 2, 0))
    with h5py.File(other) as file:
        assert np.array_equal(reading.images[Modality.DEPTH][..., 0], file["Frame_12/array"][1])
        assert np.array_equal(reading.images[Modality.INFRARED][..., 0], file["Frame_12/array"][2])


def renumber(source, tree, video, mapping):
    (path,) = (source / tree).rglob(f"{video}.hdf5")
    with h5py.File(path, "r+") as file:
        array = file["Frame_12/array"][()]
        del file["Frame_12"]
        for number, shade in mapping.items():
            file.create_group(f"Frame_{number}").create_dataset("array", data=array // 2 + np.uint8(shade))


def test_wmca_frames_numbered_differently_are_refused_or_paired_by_rank(tmp_path):
    source, lists = miniature("W", tmp_path, live=1, spoof=1)
    row = read_list(lists / "W-train.txt", "W")[1]
    video = row.clip.rsplit("/", 1)[-1]
    renumber(source, TREES[0], video, {11: 0, 12: 10, 13: 20})
    renumber(source, TREES[1], video, {12: 0, 14: 50, 15: 20})
    with pytest.raises(SampleProblem, match=rf"{video}.*number 2 of 3 .*number 1 of 3 .*--map-frames-by-rank"):
        Wmca.open(source).read(row)
    reading = Wmca.open(source, map_by_rank=True).read(row)
    (path,) = (source / TREES[1]).rglob(f"{video}.hdf5")
    with h5py.File(path) as file:
        assert np.array_equal(reading.images[Modality.DEPTH][..., 0], file["Frame_14/array"][1])
    assert len(reading.notes) == 1 and "paired by rank with Frame_14" in reading.notes[0]


def test_wmca_a_longer_file_is_no_mismatch_but_an_absent_frame_is_a_problem(tmp_path):
    source, lists = miniature("W", tmp_path, live=2, spoof=1)
    first, second, _ = read_list(lists / "W-train.txt", "W")
    for row, colour, other in ((first, {11: 0, 12: 1}, {11: 0, 12: 2, 13: 3}), (second, {11: 0, 12: 1}, {11: 0})):
        video = row.clip.rsplit("/", 1)[-1]
        renumber(source, TREES[0], video, colour)
        renumber(source, TREES[1], video, other)
    assert not Wmca.open(source).read(first).problems
    problems = Wmca.open(source).read(second).problems
    assert set(problems) == {Modality.DEPTH, Modality.INFRARED}
    assert all("Frame_12/array: the file has no such frame" in reason for reason in problems.values())


def test_cefa_loses_its_black_border_and_nothing_else(tmp_path):
    source, lists = miniature("C", tmp_path, live=1, spoof=1)
    row = read_list(lists / "C-test.txt", "C")[0]
    with Image.open(source / row.paths[0]) as image:
        assert image.size == (SIZE["C"] + 2 * BORDER[1], SIZE["C"] + 2 * BORDER[0])
        inner = np.asarray(image)[BORDER[0] : -BORDER[0], BORDER[1] : -BORDER[1]]
    assert np.array_equal(Cefa.open(source).read(row).images[Modality.RGB], inner)


def test_modalities_are_cropped_to_one_box_at_any_resolution():
    colour, depth, infrared = (
        np.zeros((40, 60, 3), np.uint8),
        np.zeros((20, 30, 1), np.uint8),
        np.zeros((40, 60, 1), np.uint8),
    )
    colour[10:30, 20:40] = 100
    depth[8:12, 12:18] = 50  # a smaller region: holes around it must stay
    infrared[12:34, 22:40] = 200  # further down than colour
    infrared[0, 0] = 10  # noise of compression is not content
    reading = Reading(images={Modality.RGB: colour, Modality.DEPTH: depth, Modality.INFRARED: infrared})
    crop_border(reading)
    assert [reading.images[m].shape for m in MODALITIES] == [(24, 20, 3), (12, 10, 1), (24, 20, 1)]
    assert (reading.images[Modality.RGB][:20] == 100).all() and reading.images[Modality.DEPTH].sum() == depth.sum()
    dark = Reading(images={Modality.DEPTH: np.ones((4, 4, 1), np.uint8)})
    crop_border(dark)
    assert dark.images[Modality.DEPTH].shape == (4, 4, 1)


def test_each_modality_can_be_cropped_to_its_own_box():
    images = {m: np.zeros((40, 60, 3 if m is Modality.RGB else 1), np.uint8) for m in MODALITIES}
    images[Modality.RGB][10:30, 20:40] = 100
    images[Modality.DEPTH][8:12, 12:18] = 50
    images[Modality.INFRARED][5, 5] = 200  # a box of one pixel cannot lose a row
    reading = Reading(images=images)
    crop_each(reading)
    assert [reading.images[m].shape[:2] for m in MODALITIES] == [(19, 19), (3, 5), (40, 60)]
    assert (reading.images[Modality.DEPTH] == 50).all()


def test_switches_are_recorded_and_not_mixed(tmp_path, capsys):
    for letter, name, option in (
        ("C", "cefa", ("crop", "shared", "each")),
        ("P", "padisi", ("colour_order", "bgr", "rgb")),
    ):
        source, lists = miniature(letter, tmp_path / letter, live=1, spoof=1)
        paths = ["--source", str(source), "--lists", str(lists), "--out", str(tmp_path / "data"), "--workers", "0"]
        assert main([name, *paths]) == 0
        key, usual, other = option
        path = tmp_path / "data" / letter / "conversion.json"
        assert json.loads(path.read_text())[key] == usual
        assert main([name, *paths, f"--{key.replace('_', '-')}", other]) == 1
        assert f"converted with {key} {usual}, not {other}" in capsys.readouterr().err
        settings = json.loads(path.read_text())
        del settings[key]  # as an earlier version left it
        path.write_text(json.dumps(settings))
        assert main([name, *paths]) == (letter == "P")  # it took channels 0 to 2 for red, green, blue
        path.write_text(json.dumps(settings | {"form": 1}))
        assert main([name, *paths]) == 1
        assert "by an earlier version, which averaged holes of depth" in capsys.readouterr().err


def test_the_owners_leave_one_out_tables_become_splits(tmp_path, capsys):
    source, lists = miniature("W", tmp_path, live=3, spoof=3)
    rows = read_lists(lists, "W")
    groups = {"train": "train", "val": "dev", "test": "eval"}
    table = tmp_path / "PROTOCOL-LOO_replay.csv"
    lines = ["file,group"]
    for split, part in rows.items():
        lines += [f"face-station/01.02.17/{row.clip.rsplit('/', 1)[-1]}.hdf5,{groups[split]}" for row in part]
    table.write_text("\n".join(lines) + "\n")
    for row in rows["train"]:
        renumber(source, TREES[0], row.clip.rsplit("/", 1)[-1], dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 8), 3))
        renumber(source, TREES[1], row.clip.rsplit("/", 1)[-1], dict.fromkeys((1, 2, 3, 4, 5, 6, 7), 5))
    found = read_leave_one_out(table, Wmca.open(source), frames=3)
    for split, part in rows.items():
        videos = {row.clip: (row.label, row.species, row.subject) for row in part}
        assert {row.clip: (row.label, row.species, row.subject) for row in found[split]} == videos
        assert [row.frames[0] for row in found[split][:3]] == (
            ["0002", "0004", "0006"] if split == "train" else ["0012"] * 3
        )
    options = ["--source", str(source), "--out", str(tmp_path / "data"), "--workers", "0", "--size", "32"]
    assert main(["wmca", *options, "--leave-one-out", str(table), "--frames", "2"]) == 0
    recorded = json.loads((tmp_path / "data" / "W" / "conversion.json").read_text())
    assert recorded["leave_one_out"] == "PROTOCOL-LOO_replay.csv" and recorded["frames"] == 2
    assert len(read_manifest(tmp_path / "data" / "W")) == 6 * 2 + 12
    assert main(["verify", str(tmp_path / "data")]) == 0


@pytest.mark.parametrize(
    "text, reason",
    [
        ("path,group\n", "line 1: the columns file and group are needed; found path,group"),
        ("file,group\n", "line 1: the table has no recordings"),
        ("file,group\na/001_01_000_0_00,test\n", "line 2: the group must be train, dev or eval, got 'test'"),
        ("file,group\na/person,train\n", "line 2: .*is not of the form"),
        ("file,group\n001_01_000_0_00,train\nb/001_01_000_0_00.hdf5,dev\n", "line 3: .*second time .line 2"),
        ("file,group\n001_01_000_0_00\n", "line 2: expected 2 fields, found 1"),
    ],
)
def test_other_tables_are_no_leave_one_out_tables(tmp_path, text, reason):
    source, _ = miniature("W", tmp_path, live=1, spoof=1)
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ListError, match=reason):
        read_leave_one_out(tmp_path / "a.csv", Wmca.open(source))


def test_padisi_channels_range_and_first_frame(tmp_path):
    values = np.linspace(0, 1, 3 * 5 * 4 * 6).reshape(3, 5, 4, 6)
    (tmp_path / "deep").mkdir()
    np.savez_compressed(tmp_path / "deep" / "a.npz", data=values)
    (tmp_path / "P-train.txt").write_text("a.npz\t1\n")
    (row,) = read_list(tmp_path / "P-train.txt", "P")
    images = Padisi.open(tmp_path).read(row).images
    expected = np.rint(values[0] * 255).astype(np.uint8)
    assert np.array_equal(images[Modality.RGB], expected[2::-1].transpose(1, 2, 0))  # blue, green, red in the file
    as_rgb = Padisi.open(tmp_path, colour_order="rgb").read(row).images
    assert np.array_equal(as_rgb[Modality.RGB], expected[:3].transpose(1, 2, 0))
    assert np.array_equal(images[Modality.INFRARED][..., 0], expected[3])
    assert np.array_equal(images[Modality.DEPTH][..., 0], expected[4])


def test_padisi_reads_one_frame_of_a_long_sample_in_little_memory(tmp_path):
    frame = np.random.default_rng(0).random((5, 200, 200), dtype=np.float32)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("data.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (300, 5, 200, 200)}
        )
        for _ in range(300):
            member.write(frame.tobytes())
    assert (tmp_path / "a.npz").stat().st_size > 200e6
    (tmp_path / "P-train.txt").write_text("a.npz\t0\n")
    (row,) = read_list(tmp_path / "P-train.txt", "P")
    tracemalloc.start()
    reading = Padisi.open(tmp_path).read(row)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert np.array_equal(reading.images[Modality.DEPTH][..., 0], np.rint(frame[4] * 255).astype(np.uint8))


def test_grey_images_stored_as_colour_are_taken_and_coloured_ones_noted(tmp_path):
    source, lists = miniature("S", tmp_path, live=2, spoof=1)
    first, second, _ = read_list(lists / "S-train.txt", "S")
    with Image.open(source / first.paths[1]) as image:
        grey = image.copy()
    grey.convert("RGB").save(source / first.paths[1], quality=95)
    Image.new("RGB", (72, 72), (200, 90, 20)).save(source / second.paths[1])
    reading = CasiaSurf.open(source).read(first)
    difference = reading.images[Modality.DEPTH][..., 0].astype(int) - np.asarray(grey)
    assert not reading.notes and np.abs(difference).mean() < 2
    notes = CasiaSurf.open(source).read(second).notes
    assert any(second.paths[1] in note and "coloured" in note for note in notes)


@pytest.mark.parametrize("letter", LETTERS)
def test_a_source_that_is_something_else_is_refused_with_the_cure(tmp_path, letter):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SourceError, match="--source names the folder"):
            OPEN[letter](folder)


def test_the_source_may_be_the_data_sets_own_folder(trees):
    for letter, top in (("C", "CeFA"), ("S", "CASIA-SURF-CROP")):
        source, lists = trees[letter]
        row = read_list(lists / f"{letter}-train.txt", letter)[0]
        assert len(OPEN[letter](source / top).read(row).images) == 3
