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
        ("picture\na.png\n", r"t\.csv, line 1: no column rgb, depth or infrared; found 'picture'"),
        ("rgb,depth\n,\n", r"t\.csv, line 2: the sample has no picture"),
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
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no picture"):
        samples_of_folder(tmp_path / "empty")
