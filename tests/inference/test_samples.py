"""Lists of samples: tables and folders."""

import pytest

from mmdg_lite.inference.samples import samples_of_folder, samples_of_table
from mmdg_lite.modality import Modality


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_any_separator(tmp_path, separator):
    lines = [("id", "rgb", "remark", "depth"), ("one", "a/1.png", "x", "a\\1d.png"), ("", "2.png", "", "")]
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(separator.join, lines)).encode())
    one, two = samples_of_table(tmp_path / "t.csv")
    assert one.id == "one"
    assert one.paths == {Modality.RGB: tmp_path / "a/1.png", Modality.DEPTH: tmp_path / "a/1d.png"}
    assert two.id == str(tmp_path / "2.png") and set(two.paths) == {Modality.RGB}


@pytest.mark.parametrize(
    "text, message",
    [
        ("picture\na.png\n", r"t\.csv, line 1: no column rgb, depth or infrared; found picture \(divided"),
        ("id,rgb\na,\n", r"t\.csv, line 2: the sample has no picture"),
        ("rgb\nC:\\x\\a.png\n", r"t\.csv, line 2: .*a path of another computer"),
        ("ir,infrared\na.png,b.png\n", r"t\.csv, line 1: two columns hold one modality: ir, infrared"),
        ("rgb\n", "the table has no sample"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        samples_of_table(tmp_path / "t.csv")
    with pytest.raises(FileNotFoundError, match="no such table"):
        samples_of_table(tmp_path / "gone.csv")


def test_folders(tmp_path):
    for name in ("b-rgb.png", "b_depth.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    a, b = samples_of_folder(tmp_path)
    assert a.paths == {Modality.RGB: tmp_path / "a.jpg"}
    assert b.paths == {Modality.RGB: tmp_path / "b-rgb.png", Modality.DEPTH: tmp_path / "b_depth.PNG"}
    for name in ("depth", "infrared"):
        (tmp_path / "inner" / name).mkdir(parents=True)
        (tmp_path / "inner" / name / "1.png").touch()
    (only,) = samples_of_folder(tmp_path / "inner")
    assert set(only.paths) == {Modality.DEPTH, Modality.INFRARED}
    assert [path.parent.name for path in only.paths.values()] == ["depth", "infrared"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no picture"):
        samples_of_folder(tmp_path / "empty")


def test_names_that_people_give_to_the_modalities(tmp_path):
    for name in ("x_RGB.png", "x_Depth.png", "x_IR.png", "y-color.png", "y-nir.png"):
        (tmp_path / name).touch()
    x, y = samples_of_folder(tmp_path)
    assert list(x.paths) == [Modality.RGB, Modality.DEPTH, Modality.INFRARED]
    assert list(y.paths) == [Modality.RGB, Modality.INFRARED]
    (tmp_path / "t.csv").write_text("Color,IR\nx_RGB.png,x_IR.png\n")
    (row,) = samples_of_table(tmp_path / "t.csv")
    assert row.paths == {Modality.RGB: tmp_path / "x_RGB.png", Modality.INFRARED: tmp_path / "x_IR.png"}
    (tmp_path / "capital" / "RGB").mkdir(parents=True)
    (tmp_path / "capital" / "RGB" / "1.JPG").touch()
    (only,) = samples_of_folder(tmp_path / "capital")
    assert only.paths == {Modality.RGB: tmp_path / "capital" / "RGB" / "1.JPG"}


def test_what_systems_leave_in_folders_is_no_sample(tmp_path):
    for name in ("a.png", "._a.png", ".hidden.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).touch()
    assert [sample.id for sample in samples_of_folder(tmp_path)] == ["a"]


def test_two_pictures_of_one_name_are_refused(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"a\.png: a\.jpg is the rgb picture of 'a' already; rename one"):
        samples_of_folder(tmp_path)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_names_of_modalities_alone_and_in_front(tmp_path):
    (only,) = samples_of_folder(touch(tmp_path / "anna", "rgb.png", "Depth.png", "infrared.png"))
    assert only.id == "anna" and len(only.paths) == 3
    folder = touch(tmp_path / "b", "rgb_a.png", "depth_a.png", "IR-a.png", "rgb1.png", "depth1.png", "c.ir.png")
    found = {sample.id: set(sample.paths) for sample in samples_of_folder(folder)}
    both = {Modality.RGB, Modality.DEPTH}
    assert found == {"a": both | {Modality.INFRARED}, "1": both, "c": {Modality.INFRARED}}
    words = touch(tmp_path / "c", "irene.png", "rgbish_a.png", "depths.png")
    assert all(set(sample.paths) == {Modality.RGB} for sample in samples_of_folder(words))


def test_what_a_folder_has_beside_its_samples_is_told(tmp_path):
    def left_out(folder):
        found = []
        samples_of_folder(folder, left_out=found)
        return found

    inner = touch(tmp_path / "a", "rgb/1.png", "depth/1.png", "thermal/1.png", "x.png", "y.png", ".git/z.png")
    assert left_out(inner) == [
        "2 pictures beside the folders depth, rgb, such as x.png",
        "the folder thermal, which names no modality",
    ]
    assert left_out(touch(tmp_path / "b", "a.png", "b.bmp", "sub/c.png")) == [
        "the folder sub, which names no modality",
        "1 picture of other formats than .png, .jpg, .jpeg, .tif, .tiff, such as b.bmp",
    ]
    assert left_out(touch(tmp_path / "c", "a.png", "notes.txt")) == []
    (tmp_path / "d" / "rgb").mkdir(parents=True)
    assert left_out(touch(tmp_path / "d", "a.png")) == ["the folder rgb, in which there is no picture"]
