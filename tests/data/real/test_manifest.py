"""Manifests: what is written is read back, and whatever was changed by hand or cut off is refused by line."""

import contextlib
import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.data.real.manifest import (
    COLUMNS,
    ManifestError,
    ManifestRow,
    describe,
    image_problem,
    is_plain_name,
    read_manifest,
    write_manifest,
)
from mmdg_lite.modality import Modality

DIGEST = "0123456789abcdef" * 4


def row(number=1, **changes):
    values = {
        "id": f"W-train-{number:05d}",
        "domain": "W",
        "split": "train",
        "label": 0,
        "species": "print",
        "subject": "001",
        "rgb": f"images/train/{number}-rgb.png",
        "depth": f"images/train/{number}-depth.png",
        "infrared": f"images/train/{number}-infrared.png",
        "rgb_sha256": DIGEST,
        "depth_sha256": DIGEST,
        "infrared_sha256": DIGEST,
        "list_line": number,
    }
    return ManifestRow(**(values | changes))


def test_what_is_written_is_read_back(tmp_path):
    rows = [row(1), row(2, label=1, species="live", subject=""), row(3, depth="", depth_sha256="", split="val")]
    write_manifest(tmp_path / "manifest.csv", rows)
    assert read_manifest(tmp_path) == read_manifest(tmp_path / "manifest.csv") == rows
    assert rows[2].present == (True, False, True)
    assert rows[0].path(Modality.DEPTH) == "images/train/1-depth.png" and rows[2].digest(Modality.DEPTH) == ""
    assert not list(tmp_path.glob("*.partial")) and len((tmp_path / "manifest.csv").read_text().splitlines()) == 4


WRONG = {
    "label": ({"label": 2}, "label"),
    "species and label": ({"label": 1}, "does not go with"),
    "domain": ({"domain": "W_1"}, "domain"),
    "split": ({"split": "dev"}, "split"),
    "id": ({"id": "a,b"}, "plain name"),
    "subject": ({"subject": "a\nb"}, "plain name"),
    "absolute": ({"rgb": "/etc/passwd.png"}, "plain path"),
    "parent": ({"rgb": "../secret.png"}, "plain path"),
    "inner parent": ({"rgb": "images/../../secret.png"}, "plain path"),
    "other file": ({"rgb": "images/model.pkl"}, "plain path"),
    "path without checksum": ({"rgb_sha256": ""}, "checksum"),
    "checksum without path": ({"rgb": ""}, "checksum"),
    "checksum of another form": ({"rgb_sha256": "abc"}, "checksum"),
    "line": ({"list_line": -1}, "negative"),
    "nothing": ({name: "" for m in Modality for name in (m.value, f"{m.value}_sha256")}, "no modality"),
}


@pytest.mark.parametrize("name", WRONG)
def test_impossible_rows_are_neither_written_nor_read(tmp_path, name):
    changes, reason = WRONG[name]
    with pytest.raises(ValueError, match=reason):
        write_manifest(tmp_path / "manifest.csv", [row(**changes)])
    assert not (tmp_path / "manifest.csv").exists()
    wrong = row(**changes)
    (tmp_path / "manifest.csv").write_text(f"{','.join(COLUMNS)}\n{','.join([*wrong.fields(), wrong.checksum()])}\n")
    with pytest.raises(ManifestError, match=r"manifest\.csv, line 2: "):
        read_manifest(tmp_path)


def test_repeated_ids_are_refused_on_both_ways(tmp_path):
    with pytest.raises(ValueError, match="two samples have the id 'W-train-00001'"):
        write_manifest(tmp_path / "manifest.csv", [row(1), row(1)])
    write_manifest(tmp_path / "manifest.csv", [row(1)])
    text = (tmp_path / "manifest.csv").read_text()
    (tmp_path / "manifest.csv").write_text(text + text.split("\n")[1] + "\n")
    with pytest.raises(ManifestError, match="line 3: the id 'W-train-00001' stands here for the second time"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("id", "domain", "label")])
def test_a_field_edited_by_hand_is_noticed(tmp_path, column):
    write_manifest(tmp_path / "manifest.csv", [row(1), row(2), row(3)])
    lines = (tmp_path / "manifest.csv").read_text().split("\n")
    fields = lines[2].split(",")
    edited = {"split": "test", "species": "replay", "subject": "002", "list_line": "17", "row_checksum": "0" * 16}
    place = COLUMNS.index(column)
    fields[place] = edited.get(column, fields[place].replace("2", "3") if "sha" not in column else DIGEST[::-1])
    lines[2] = ",".join(fields)
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    with pytest.raises(ManifestError, match=r"line 3: .*(changed after it was written|second time)"):
        read_manifest(tmp_path)


def test_a_label_edited_together_with_its_species_is_noticed(tmp_path):
    write_manifest(tmp_path / "manifest.csv", [row(1)])
    text = (tmp_path / "manifest.csv").read_text().replace("train,0,print", "train,1,live")
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ManifestError, match="line 2: the row was changed"):
        read_manifest(tmp_path)


def test_files_that_are_no_manifest_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m data_prep"):
        read_manifest(tmp_path)
    path = tmp_path / "manifest.csv"
    write_manifest(path, [row(1)])
    good = path.read_bytes()
    for content, reason in (
        (b"", "columns"),
        (good.replace(b"subject", b"person"), "columns"),
        (good.splitlines(keepends=True)[0], "no samples"),
        (good[:-1], "cut off"),
        (good[:-20], "cut off"),
        (good.replace(b"print", b"pr,nt"), "expected 14 fields, got 15"),
        (good.replace(b"train,0", b"train,zero"), "label must be a whole number"),
        (good.replace(b"print", b"pr\xffnt"), "UTF-8"),
        (good.replace(b"\n", b"\r\n"), "columns"),
    ):
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=reason):
            read_manifest(path)


def test_one_manifest_is_for_one_domain(tmp_path):
    write_manifest(tmp_path / "manifest.csv", [row(1), row(2, domain="S")])
    with pytest.raises(ManifestError, match="one domain, this one has S, W"):
        read_manifest(tmp_path)


def test_images_are_compared_with_their_checksums(tmp_path):
    content = b"an image"
    (tmp_path / "a.png").write_bytes(content)
    good = row(rgb="a.png", rgb_sha256=hashlib.sha256(content).hexdigest(), depth="", depth_sha256="", infrared="b.png")
    assert image_problem(tmp_path, good, Modality.RGB) is None
    assert image_problem(tmp_path, good, Modality.DEPTH) is None
    assert "not there" in image_problem(tmp_path, good, Modality.INFRARED)
    (tmp_path / "a.png").write_bytes(content + b"!")
    assert "SHA-256 differs" in image_problem(tmp_path, good, Modality.RGB)


def test_plain_names():
    assert all(is_plain_name(text) for text in ("live", "print_A4", "AF-300", "1.5+", "..."))
    assert not any(is_plain_name(text) for text in ("", " ", "print A4", "Müller", "a,b", "a\n", "a/b", "\0"))


def test_a_description_counts_by_split_and_changes_with_the_data():
    rows = [
        row(1),
        row(2, label=1, species="live", subject="002"),
        row(3, species="replay", depth="", depth_sha256=""),
        row(4, split="test", id="W-test-00004", label=1, species="live", subject=""),
    ]
    found = describe(rows)
    assert found["domain"] == "W" and set(found["splits"]) == {"train", "test"}
    assert found["splits"]["train"] == {
        "live": 1,
        "spoof": 2,
        "species": {"live": 1, "print": 1, "replay": 1},
        "subjects": 2,
        "without": {"rgb": 0, "depth": 1, "infrared": 0},
    }
    assert found["splits"]["test"]["subjects"] == 0
    assert describe(rows[::-1]) == found and json.loads(json.dumps(found)) == found
    others = [[*rows[:3], row(4, split="test", label=1, species="live", subject="")], rows[:3]]
    changed = [dataclasses.replace(rows[0], rgb_sha256=DIGEST[::-1]), *rows[1:]]
    assert len({describe(other)["digest"] for other in [rows, changed, *others]}) == 4


NAMES = st.from_regex(r"[A-Za-z0-9_.+-]{1,12}", fullmatch=True)


@st.composite
def rows(draw):
    label = draw(st.integers(0, 1))
    present = draw(st.tuples(*[st.booleans()] * 3).filter(any))
    values = {}
    for modality, there in zip(Modality, present, strict=True):
        values[modality.value] = (
            draw(st.from_regex(r"([a-z]{1,4}/){0,2}[A-Za-z0-9_]{1,9}\.(png|jpg)", fullmatch=True)) if there else ""
        )
        values[f"{modality.value}_sha256"] = draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True)) if there else ""
    species = "live" if label else draw(NAMES.filter(lambda name: name != "live"))
    subject, line = draw(st.just("") | NAMES), draw(st.integers(0, 99999))
    return ManifestRow(
        id=draw(NAMES), domain="C", split=draw(st.sampled_from(["train", "val", "test"])), label=label,
        species=species, subject=subject, list_line=line, **values,
    )  # fmt: skip


@given(st.lists(rows(), min_size=1, max_size=6, unique_by=lambda value: value.id))
def test_any_possible_rows_survive_the_file(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "any" / "manifest.csv"
    write_manifest(path, values)
    assert read_manifest(path) == values


@given(st.data())
def test_any_damage_of_a_manifest_is_refused_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged" / "manifest.csv"
    original = [row(1), row(2, label=1, species="live"), row(3, depth="", depth_sha256="")]
    write_manifest(path, original)
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=20)) + content[end:])
    with contextlib.suppress(ManifestError):
        survived = [dataclasses.astuple(value) for value in read_manifest(path)]
        assert set(survived) <= {dataclasses.astuple(value) for value in original}
