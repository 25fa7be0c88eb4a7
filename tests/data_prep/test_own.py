"""Images of one's own: the table, what grey values of 16 bits become, and what is refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_prep.__main__ import main
from data_prep.own import Own
from data_prep.table import COLUMNS, read_table
from mmdg_lite.data.protocols import own_setting
from mmdg_lite.data.real.lists import ListError
from mmdg_lite.data.real.manifest import is_plain_name, read_manifest
from mmdg_lite.modality import Modality
from mmdg_lite.runs.config import configure

LINES = ("train,live,a,1.png,1d.png,1i.png", "val,print,b,2.png,2d.png,2i.png", "test,live,c,3.png,3d.png,3i.png")


@pytest.fixture
def table(tmp_path):
    """A function that writes a table and returns its path."""

    def write(*lines, columns=COLUMNS):
        path = tmp_path / "own.csv"
        path.write_text("\n".join([",".join(columns), *lines]) + "\n", encoding="utf-8", newline="")
        return path

    return write


def pictures(folder, rng):
    folder.mkdir()
    for number in (1, 2, 3):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        Image.fromarray(rng.integers(300, 900, (20, 24)).astype(np.uint16)).save(folder / f"{number}d.png")
        Image.fromarray(rng.integers(0, 256, (20, 24), dtype=np.uint8)).save(folder / f"{number}i.png")


def test_a_table_is_read_by_its_columns_names(table):
    rows = read_table(table(*LINES))
    assert [(split, row.label, row.species, row.subject, row.line) for split in rows for row in rows[split]] == [
        ("train", 1, "live", "a", 2),
        ("val", 0, "print", "b", 3),
        ("test", 1, "live", "c", 4),
    ]
    turned = read_table(table(*(",".join(reversed(line.split(","))) for line in LINES), columns=COLUMNS[::-1]))
    assert turned == rows


@pytest.mark.parametrize(
    "line, reason",
    [
        ("dev,live,d,4.png,,", "line 5: the split must be one of train, val, test, got 'dev'"),
        ("test,live,d,,,", "line 5: the sample has no image"),
        ("test,,d,4.png,,", "line 5: the species is empty"),
        ("test,live,a,4.png,,", "line 5: subject 'a' is in train and in test"),
        ("test,live,c,3.png,3d.png,3i.png", "line 5: 3.png, 3d.png, 3i.png: listed for the second time"),
        ("test,live,d,4.png", "line 5: expected 6 fields"),
        ("test,live,d,4.png,,,,", "line 5: expected 6 fields"),
        ("test,live,d,4\r5.png,,", "line 5: expected 6 fields"),
        ('test,live,d,"4.png,,', "line 5: not CSV .*; look for a quotation mark without its partner"),
        ('test,live,d,"4"5.png,,', "line 5: not CSV .*; look for a quotation mark without its partner"),
        ("test,live,d,4.png,\0,", "line 5: a NUL character: .*; save the table as CSV in UTF-8"),
        (
            "test,print A4,d,4.png,,",
            "line 5: the species 'print A4' is not a plain name: write it with the letters A to",
        ),
        (
            "test,live,Person 1,4.png,,",
            "line 5: the subject 'Person 1' is not a plain name: .* digits, and _ . [+] - only",
        ),
        ("test,live,Müller,4.png,,", "line 5: the subject 'Müller' is not a plain name"),
        ("test,live,  ,4.png,,", "line 5: the subject '  ' is not a plain name"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(line, reason, table):
    with pytest.raises(ListError, match=reason):
        read_table(table(*LINES, line))


@pytest.mark.parametrize(
    "species", ["Live", "LIVE", " live", "bonafide", "bona_fide", "Bona-Fide", "bona fide", "real", "Genuine"]
)
def test_another_word_for_live_does_not_become_an_attack(species, table):
    with pytest.raises(ListError, match=f"line 5: the species '{species}' would be an attack: write live"):
        read_table(table(*LINES, f"test,{species},d,4.png,,"))


def test_a_table_of_a_spreadsheet_may_begin_with_a_byte_order_mark(table):
    path = table(*LINES)
    rows = read_table(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_table(path) == rows


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_table_that_is_not_utf_8_is_named(mark, encoding, table):
    path = table(*LINES)
    path.write_bytes(mark + path.read_bytes() + "test,live,Müller,4.png,,\n".encode(encoding))
    with pytest.raises(ListError, match=r"own\.csv, line 5: not text in UTF-8: save the table as CSV in UTF-8"):
        read_table(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_table_in_utf_16_is_named(encoding, table):
    path = table(*LINES)
    path.write_bytes(path.read_text().encode(encoding))
    with pytest.raises(ListError, match=r"own\.csv, line 1: .*save the table as CSV in UTF-8"):
        read_table(path)


@given(st.lists(st.sampled_from([*LINES, *'\n\r\0,"é ', "live", "\ufeff"]) | st.text(max_size=9), max_size=12))
def test_any_text_is_a_table_that_can_be_converted_or_refused(tmp_path_factory, pieces):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes("".join([",".join(COLUMNS), "\n", *pieces]).encode("utf-8", errors="surrogatepass"))
    with contextlib.suppress(ListError):
        for row in (row for rows in read_table(path).values() for row in rows):
            assert is_plain_name(row.species) and (not row.subject or is_plain_name(row.subject))
            assert (row.species == "live") == row.label and "\0" not in "".join(row.paths)


def test_a_column_stands_once_in_a_table(table):
    with pytest.raises(ListError, match="line 1: the columns must be"):
        read_table(table(*(f"{line},x" for line in LINES), columns=(*COLUMNS, "rgb")))


def test_a_table_needs_its_columns_and_every_split(table):
    with pytest.raises(ListError, match="the columns must be split,species,subject,rgb,depth,infrared"):
        read_table(table(columns=("split", "label")))
    with pytest.raises(ListError, match="no sample of split val, test"):
        read_table(table(LINES[0]))


def test_depth_is_bright_where_it_is_near_and_zero_where_it_was_not_measured():
    values = np.array([[0, 100, 400, 650, 900, 5000]])
    assert depth_grey(values, (400, 900)).tolist() == [[0, 255, 255, 128, 1, 1]]
    assert depth_grey(values, (900, 400)).tolist() == [[0, 1, 1, 128, 255, 255]]
    assert infrared_grey(np.array([[0, 64, 512, 1023, 2000]]), (64, 1023)).tolist() == [[0, 0, 119, 255, 255]]


def test_infrared_that_is_a_negative_is_turned_round():
    assert infrared_grey(np.array([[0, 64, 512, 1023, 2000]]), (1023, 64)).tolist() == [[255, 255, 136, 0, 0]]


def test_values_of_16_bits_are_not_guessed_at(table, tmp_path, rng):
    pictures(tmp_path / "faces", rng)
    [row] = read_table(table(*LINES))["train"]
    reading = Own(source=tmp_path / "faces", domain="kiosk").read(row)
    assert set(reading.images) == {Modality.RGB, Modality.INFRARED}
    assert "1d.png: 16-bit values from 3" in reading.problems[Modality.DEPTH]
    assert "--depth-range NEAR FAR" in reading.problems[Modality.DEPTH]
    known = Own(source=tmp_path / "faces", domain="kiosk", depth_range=(300, 900)).read(row)
    assert known.problems == {} and known.images[Modality.DEPTH].shape == (20, 24, 1)


def convert(tmp_path, table, *options, name="kiosk"):
    arguments = ["own", "--source", tmp_path / "faces", "--table", table, "--name", name, "--out", tmp_path / "data"]
    return main([*map(str, arguments), "--workers", "0", "--size", "16", *options])


def test_a_modality_left_out_on_purpose_is_no_problem_and_a_lost_file_is_one(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    lines = [*LINES[:2], "test,live,c,3.png,3d.png,"]
    assert convert(tmp_path, table(*lines), "--depth-range", "300", "900") == 0
    rows = read_manifest(tmp_path / "data" / "kiosk")
    assert [row.present for row in rows] == [(True, True, True)] * 2 + [(True, True, False)]
    assert "own data (domain kiosk)" in capsys.readouterr().out
    (tmp_path / "faces" / "1i.png").unlink()
    assert convert(tmp_path, table(*lines), "--depth-range", "300", "900", name="lab") == 1
    assert "1i.png: the infrared file is missing" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "data")]) == 0


def test_what_is_corrected_in_the_table_is_corrected_in_the_manifest(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    table(*LINES)
    ranges = ("--depth-range", "300", "900")
    assert convert(tmp_path, tmp_path / "own.csv", *ranges) == 0
    table(LINES[0], LINES[1].replace("print,b", "replay,e"), LINES[2])
    assert convert(tmp_path, tmp_path / "own.csv", *ranges) == 0
    rows = read_manifest(tmp_path / "data" / "kiosk")
    assert [(row.species, row.subject) for row in rows] == [("live", "a"), ("replay", "e"), ("live", "c")]


def test_one_folder_does_not_mix_two_ranges(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    assert convert(tmp_path, table(*LINES), "--depth-range", "300", "900") == 0
    assert convert(tmp_path, table(*LINES), "--depth-range", "300", "800") == 1
    assert "converted with depth_range 300 900, not 300 800" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--depth-range", "--infrared-range"])
def test_a_range_without_extent_is_refused_before_anything_is_written(option, table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    assert convert(tmp_path, table(*LINES), option, "400", "400") == 1
    assert f"data_prep own: {option} 400 400: name two values that differ" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_name_that_no_manifest_can_hold_is_refused_before_anything_is_written(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    path = table(*LINES[:2], LINES[2].replace(",c,", ",Person 1,"))
    assert convert(tmp_path, path, "--depth-range", "300", "900") == 1
    assert f"{path}, line 4: the subject 'Person 1' is not a plain name" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_split_of_one_class_is_warned_of(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    others = ("train,print,a,,1d.png,", "val,live,b,,2d.png,", "test,print,c,,3d.png,")
    warnings = {
        "train": "train: no attack; nothing can be trained or measured on this list alone",
        "val": "val: no live face; nothing can be trained or measured on this list alone",
        "test": "test: no attack; nothing can be trained or measured on this list alone",
    }
    for number, split in enumerate(warnings):
        lines = (*LINES, *(line for line in others if not line.startswith(split)))
        assert convert(tmp_path, table(*lines), "--depth-range", "300", "900", name=f"lab{number}") == 0
        printed = capsys.readouterr().out
        assert f"WARNING (1):\n  {warnings[split]}\n" in printed
        assert main(["verify", str(tmp_path / "data" / f"lab{number}")]) == 0
        printed = capsys.readouterr().out
        assert f"note: {warnings[split]}" in printed and printed.count("nothing can be trained") == 1


def test_a_split_whose_only_attack_could_not_be_read_is_warned_of(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    lines = (*LINES, "train,print,a,lost.png,,", "val,live,b,2.png,,", "test,print,c,3.png,,")
    assert convert(tmp_path, table(*lines), "--depth-range", "300", "900") == 1
    assert "WARNING (1):\n  train: no attack;" in capsys.readouterr().out


@pytest.mark.parametrize("name, reason", [("W", "a data set of the benchmark"), ("my_lab", "cannot name a domain")])
def test_names_that_cannot_be_a_domain_s_are_refused(name, reason, table, tmp_path, capsys):
    assert convert(tmp_path, table(*LINES), name=name) == 1
    assert reason in capsys.readouterr().err


def test_a_setting_of_one_s_own_is_in_its_name():
    setting = own_setting("kiosk+lab2->office+kiosk")
    assert (setting.sources, setting.targets) == (("kiosk", "lab2"), ("office", "kiosk"))
    config = configure("quick", protocol="own", setting="kiosk+lab2->office", data_root="/data")
    assert config.model.source_domains == ("kiosk", "lab2") == config.domains.sources
    assert config.name == "own/kiosk+lab2-to-office/mmdg++/seed0"


@pytest.mark.parametrize("name", ["kiosk", "a->b->c", "->a", "a->", "a+->b", "a b->c", "a_1->b", "../a->b"])
def test_a_setting_of_another_form_is_refused(name):
    with pytest.raises(ValueError, match="write sources->targets"):
        own_setting(name)


def test_a_domain_stands_once_on_a_side():
    with pytest.raises(ValueError, match="names domain a twice"):
        own_setting("a+a->b")
