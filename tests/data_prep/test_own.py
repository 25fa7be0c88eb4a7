"""Images of one's own: the table, what grey values of 16 bits become, and what is refused."""

import contextlib
import json
import os
import re

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
    ],
)
def test_a_line_that_cannot_be_used_is_named(line, reason, table):
    with pytest.raises(ListError, match=reason):
        read_table(table(*LINES, line))


@pytest.mark.parametrize(
    "species", ["Live", "LIVE", "bonafide", "bona_fide", "Bona-Fide", "bona fide", "real", "Genuine"]
)
def test_another_word_for_live_does_not_become_an_attack(species, table):
    with pytest.raises(ListError, match=f"line 5: the species '{species}' would be an attack: write live"):
        read_table(table(*LINES, f"test,{species},d,4.png,,"))


def test_spaces_around_fields_say_nothing(table):
    assert read_table(table(*(line.replace(",", " , ") for line in LINES))) == read_table(table(*LINES))


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


def test_a_table_in_utf_16_is_read_with_its_mark_and_named_without(table):
    path = table(*LINES)
    rows, text = read_table(path), path.read_text()
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        mark = b"" if encoding == "utf-16" else "\ufeff".encode(encoding)
        path.write_bytes(mark + text.encode(encoding))
        assert read_table(path) == rows
    path.write_bytes(text.encode("utf-16-le"))
    with pytest.raises(ListError, match=r"own\.csv, line 1: .*save the table as CSV in UTF-8"):
        read_table(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["", "sep={}\r\n", "\ufeff"])
@pytest.mark.parametrize("tail", ["", "{0}{0}"])
def test_tables_as_spreadsheets_write_them(table, delimiter, head, tail):
    rows = read_table(table(*LINES))
    path = table()
    lines = [",".join(COLUMNS).title(), *LINES, "," * (len(COLUMNS) - 1)]  # empty lines below the table
    text = "\r\n".join(line.replace(",", delimiter) + tail.format(delimiter) for line in lines) + "\r\n"
    path.write_text(head.format(delimiter) + text, encoding="utf-8", newline="")
    read = read_table(path)
    assert [(r.paths, r.label, r.subject) for s in read for r in read[s]] == [
        (r.paths, r.label, r.subject) for s in rows for r in rows[s]
    ]
    assert [r.line for s in read for r in read[s]] == [n + head.startswith("sep") for n in (2, 3, 4)]


def test_a_table_with_other_columns_is_told_what_was_found(table):
    with pytest.raises(ListError, match=r"must be split,.*; found split,label \(divided by semicolon\)"):
        read_table(table(columns=("split;label",)))


def test_paths_of_windows_are_read_and_those_of_other_computers_named(table):
    rows = read_table(table(*(line.replace("1d.png", "anna\\1d.png") for line in LINES)))
    assert rows["train"][0].paths == ("1.png", "anna/1d.png", "1i.png")
    for path in ("C:\\faces\\4.png", "c:/faces/4.png", "\\\\server\\faces\\4.png"):
        with pytest.raises(ListError, match=r"line 5: .* is a path of another computer: write it as"):
            read_table(table(*LINES, f"test,live,d,{path},,"))


def test_one_file_under_two_names_is_one_file(table, tmp_path, rng):
    source = tmp_path / "faces"
    pictures(source, rng)
    (source / "x").mkdir()
    (source / "é.png").write_bytes((source / "1.png").read_bytes())
    (source / "link.png").symlink_to(source / "1.png")
    os.link(source / "1.png", source / "hard.png")
    first = ("train,live,a,1.png,,", "train,print,a,\u00e9.png,,")
    others = [
        "./1.png",
        ".//1.png",
        "x/../1.png",
        str(source / "1.png"),
        ".\\1.png",
        "link.png",
        "hard.png",
        "e\u0301.png",
    ]
    for other in others:
        with pytest.raises(ListError, match=r"line 4: .* is in test, and by line [23] in train, too"):
            read_table(table(*first, f"test,live,b,{other},,"), source=source)
        with pytest.raises(ListError, match=r"line 4: .*: listed for the second time"):
            read_table(table(*first, f"train,live,b,{other},,"), source=source)
    assert read_table(table(*first, "test,live,b,2.png,,"), source=source)
    with pytest.raises(ListError, match=r"line 3: .* is in test, and by line 2 in train, too"):
        read_table(table("train,live,a,1.png,,", "test,print,b,2.png,./x/../1.png,"))


def test_accents_in_the_table_may_be_written_in_either_way(table, tmp_path, rng):
    pictures(tmp_path / "faces", rng)
    for stored, written in (("\u00e9", "e\u0301"), ("o\u0308", "\u00f6")):
        (tmp_path / "faces" / f"{stored}.png").write_bytes((tmp_path / "faces" / "1.png").read_bytes())
        [row] = read_table(table(f"test,live,a,{written}.png,,"))["test"]
        assert Modality.RGB in Own(source=tmp_path / "faces", domain="kiosk").read(row).images


@pytest.mark.parametrize(
    "species",
    ["live_glasses", "real_face", "RealFace", "live1", "LIVE-2", "glasses.live", "bona_fide_outdoor", "livebeard",
     "true", "genuine_user", "person", "Echt"],
)  # fmt: skip
def test_a_species_with_a_word_for_live_is_never_an_attack_in_silence(species, table):
    with pytest.raises(ListError, match=f"line 5: the species '{species}' would be an attack: write live, or name the"):
        read_table(table(*LINES, f"test,{species},d,4.png,,"))


@pytest.mark.parametrize("species", ["lebendig", "Lebend", "liv"])
def test_words_for_live_of_other_languages_are_no_attacks(species, table):
    with pytest.raises(ListError, match=f"line 5: the species '{species}' would be an attack: write live"):
        read_table(table(*LINES, f"test,{species},d,4.png,,"))


@pytest.mark.parametrize(
    "species",
    ["none", "No", "nan", "NA", "null", "normal", "negative", "ok", "no_attack", "NonSpoof", "nonspoof", "not_spoof",
     "not-a-spoof", "antispoof", "unattacked", "non-PA", "no_fake_1", "L", "R", "_", "-"],
)  # fmt: skip
def test_a_species_that_denies_an_attack_is_none(species, table):
    with pytest.raises(ListError, match=f"line 5: the species '{species}' names no kind of attack, .* live .bona fide"):
        read_table(table(*LINES, f"test,{species},d,4.png,,"))


@pytest.mark.parametrize("species", ["1", "0", "-1", "1.0", "+1", "1e3", "inf", "1_0"])
def test_numbers_are_no_species(species, table):
    message = f"line 5: the species '{re.escape(species)}' is a number: write live, or the kind of attack"
    with pytest.raises(ListError, match=message):
        read_table(table(*LINES, f"test,{species},d,4.png,,"))


def test_other_words_are_species(table):
    names = ("print_person1", "realistic_mask", "replay", "olive_mask", "deliverable", "3d_mask", "3d", "A07",
             "notebook", "paper_mask", "obj_replay", "unpatterned_cloth")  # fmt: skip
    rows = read_table(table(*LINES, *(f"test,{name},d,{name}.png,," for name in names)))["test"]
    assert [row.species for row in rows[1:]] == list(names)


@given(st.lists(st.sampled_from([*LINES, *'\n\r\0,"é ', "live", "\ufeff"]) | st.text(max_size=9), max_size=12))
def test_any_text_is_a_table_that_can_be_converted_or_refused(tmp_path_factory, pieces):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes("".join([",".join(COLUMNS), "\n", *pieces]).encode("utf-8", errors="surrogatepass"))
    with contextlib.suppress(ListError):
        for row in (row for rows in read_table(path).values() for row in rows):
            assert is_plain_name(row.species) and (not row.subject or is_plain_name(row.subject))
            assert (row.species == "live") == row.label and "\0" not in "".join(row.paths)


def test_a_column_stands_once_in_a_table(table):
    with pytest.raises(ListError, match="line 1: two columns are called 'rgb'"):
        read_table(table(*(f"{line},x" for line in LINES), columns=(*COLUMNS, "rgb")))


def test_a_table_needs_its_columns_and_a_sample(table):
    with pytest.raises(ListError, match="the columns must be split,species,subject,rgb,depth,infrared"):
        read_table(table(columns=("split", "label")))
    with pytest.raises(ListError, match="the table has no samples"):
        read_table(table())
    rows = read_table(table(LINES[2]))
    assert [len(rows[split]) for split in ("train", "val", "test")] == [0, 0, 1]


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


@pytest.mark.parametrize("name", ["con", "NUL", "Aux", "com1", "LPT9", "prn"])
def test_names_of_devices_are_no_domains(name, table, tmp_path, capsys):
    assert convert(tmp_path, table(*LINES), name=name) == 1
    assert "no name of a device" in capsys.readouterr().err and not (tmp_path / "data").exists()
    with pytest.raises(ValueError, match="write sources->targets"):
        own_setting(f"kiosk->{name}")
    assert own_setting(f"kiosk->{name}x").targets == (f"{name}x",)


def test_a_source_or_table_that_is_not_there_is_named_before_anything_is_written(table, tmp_path, rng, capsys):
    assert convert(tmp_path, table(*LINES)) == 1
    assert f"{tmp_path / 'faces'}: no such folder; --source names" in capsys.readouterr().err
    pictures(tmp_path / "faces", rng)
    assert convert(tmp_path, tmp_path / "other.csv") == 1
    assert "other.csv: no such table; --table names" in capsys.readouterr().err and not (tmp_path / "data").exists()


def test_a_test_list_alone_of_one_person_can_be_converted(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    lines = ("test,live,a,1.png,1d.png,1i.png", "test,print,a,2.png,2d.png,2i.png")
    assert convert(tmp_path, table(*lines), "--depth-range", "300", "900") == 0
    printed = capsys.readouterr().out
    assert "test: 1 live, 1 print\n" in printed and "train: no live face and no attack" in printed
    assert [row.split for row in read_manifest(tmp_path / "data" / "kiosk")] == ["test", "test"]
    assert main(["verify", str(tmp_path / "data")]) == 0


def test_the_report_tells_where_values_lie_and_warns(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    assert convert(tmp_path, table(*LINES), "--depth-range", "300", "360") == 0
    printed = capsys.readouterr().out
    found = re.search(r"depth beside the given range: 0\.0% hole, 0\.0% below, (\S+)% inside, (\S+)% above", printed)
    assert float(found[1]) + float(found[2]) == pytest.approx(100, abs=0.2) and 5 < float(found[1]) < 16
    assert re.search(
        r"WARNING.*depth: only \d+% of the measured values lie inside .* from 3[\d.]+ to 8[\d.]+", printed, re.S
    )
    assert convert(tmp_path, table(*LINES), "--depth-range", "3000", "9000", name="lab") == 1
    assert "is that the files' unit?" in capsys.readouterr().out


def test_holes_and_ranges_are_recorded(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    more = ("--depth-range", "300", "900.5", "--depth-holes", "65535", "-1", "--infrared-range", "0", "255")
    assert convert(tmp_path, table(*LINES), *more) == 0
    recorded = json.loads((tmp_path / "data" / "kiosk" / "conversion.json").read_text())
    assert recorded["depth_range"] == "300 900.5" and recorded["depth_holes"] == "-1 65535"
    assert recorded["infrared_range"] == "0 255" and recorded["rgb_range"] == ""
    assert convert(tmp_path, table(*LINES), *more[:3]) == 1
    assert "converted with infrared_range 0 255, not" in capsys.readouterr().err


def test_depth_is_stored_without_loss_whatever_the_format(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    assert convert(tmp_path, table(*LINES), "--depth-range", "300", "900", "--format", "jpg") == 0
    row = read_manifest(tmp_path / "data" / "kiosk")[0]
    assert (row.rgb[-4:], row.depth[-4:], row.infrared[-4:]) == (".jpg", ".png", ".jpg")


@pytest.mark.parametrize(
    "limits, value, words",
    [
        ((0, 500), None, r"2i\.png: the infrared image is 255 everywhere with --infrared-range 0 500: all its values"),
        ((0, 500), 0, r"2i\.png: the infrared image is 0 everywhere: the sensor saw nothing"),
    ],
)
def test_a_blank_picture_is_named_itself_and_a_range_that_makes_it_blank(limits, value, words, table, tmp_path, rng):
    pictures(tmp_path / "faces", rng)
    bits_12 = rng.integers(900, 4096, (20, 24)) if value is None else np.full((20, 24), value)
    Image.fromarray(bits_12.astype(np.uint16)).save(tmp_path / "faces" / "2i.png")
    source = Own(source=tmp_path / "faces", domain="kiosk", depth_range=(300, 900), infrared_range=limits)
    reading = source.read(read_table(table(*LINES))["val"][0])
    assert set(reading.problems) == {Modality.INFRARED} and re.search(words, reading.problems[Modality.INFRARED])


def test_a_colour_range_that_saturates_is_named(table, tmp_path, rng):
    pictures(tmp_path / "faces", rng)
    source = Own(source=tmp_path / "faces", domain="kiosk", depth_range=(300, 900), rgb_range=(-2, -1))
    problem = source.read(read_table(table(*LINES))["val"][0]).problems[Modality.RGB]
    assert "2.png: the rgb image is 255 everywhere with --rgb-range -2 -1: do all values" in problem


def test_nothing_converted_is_said_and_no_success(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    for path in (tmp_path / "faces").iterdir():
        path.unlink()
    assert convert(tmp_path, table(*LINES)) == 1
    said = capsys.readouterr().out
    assert "nothing was converted" in said and "train with" not in said


def test_control_characters_of_names_do_not_reach_the_terminal(table, tmp_path, rng, capsys):
    pictures(tmp_path / "faces", rng)
    assert convert(tmp_path, table(*LINES, "test,live,d,\x1b[31mred.png,,"), "--depth-range", "300", "900") == 1
    said = capsys.readouterr()
    assert "\\x1b[31mred.png" in said.out and "\x1b" not in said.out + said.err
