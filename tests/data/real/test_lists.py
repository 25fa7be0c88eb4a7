"""The benchmark's lists: exact counts and quirks of the published ones, species and subjects, refusals, fuzzing."""

import contextlib
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmdg_lite.data.real.lists import (
    LETTERS,
    PUBLISHED_COUNTS,
    ListError,
    check_splits,
    distinct,
    list_path,
    read_list,
    read_lists,
)
from mmdg_lite.data.real.species import wmca_kind

SHARED = Path(os.environ.get("MMDG_LITE_SHARED", Path(__file__).parents[4] / "shared"))
PUBLISHED = SHARED / "protocols" / "MMDG-Benchmark"
published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the authors' lists are not here")

RACE = "CeFA/CeFA-Race/AF/AF-300/1_300_1_1_1"
SURF = "CASIA-SURF-CROP/real_part/real_test_part/CLKJ_AS0002/real.rssdk"
WMCA = "WMCA-Image/R_CDIT/001_01_000_0_00"


def triplet(clip, label, *, colour="color", frame="0012"):
    return " ".join([*(f"{clip}/{folder}/{frame}.jpg" for folder in (colour, "depth", "ir")), str(label)])


def parse(tmp_path, text, domain="W"):
    path = tmp_path / f"{domain}-test.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_list(path, domain)


@published
@pytest.mark.parametrize("domain", LETTERS)
def test_published_lists_have_the_counts_of_their_paper(domain):
    for split, rows in read_lists(PUBLISHED, domain).items():
        labels = Counter(row.label for row in rows)
        assert (labels[1], labels[0]) == PUBLISHED_COUNTS[domain][split]
        assert [row.line for row in rows] == list(range(1, len(rows) + 1))
        assert all((row.species == "live") == (row.label == 1) for row in rows)


@published
def test_published_lists_repeat_rows_and_share_one_sample():
    checks = {domain: check_splits(read_lists(PUBLISHED, domain)) for domain in LETTERS}
    assert checks["S"].repeated_rows == {"train": 6297 - 6277, "test": 12564 - 12508}
    assert checks["C"].repeated_rows == {"test": 6739 - 6735}
    assert checks["W"].repeated_rows == checks["P"].repeated_rows == {}
    assert checks["C"].shared_samples == {("val", "test"): ((1201, 1),)}
    assert checks["C"].shared_subjects == {("val", "test"): ("AF-300",)}
    assert "line 1201 of val is line 1 of test" in "\n".join(checks["C"].lines())
    for domain in "WSP":
        assert not checks[domain].shared_subjects and not checks[domain].shared_samples
    assert not any(check.contradictions for check in checks.values())


@published
def test_published_species():
    wmca = {split: Counter(row.species for row in rows) for split, rows in read_lists(PUBLISHED, "W").items()}
    assert wmca["test"]["paper_mask"] == 213 and "paper_mask" not in wmca["train"] and "paper_mask" not in wmca["val"]
    assert not any("other" in species for species in wmca.values())
    cefa = Counter(row.species for row in read_list(list_path(PUBLISHED, "C", "test"), "C"))
    assert (cefa["3d_mask"], cefa["silicone_mask"]) == (1759, 180)
    assert (cefa["live"], cefa["print"], cefa["replay"]) == (1200, 2400, 1200)
    surf = {row.species for row in read_list(list_path(PUBLISHED, "S", "val"), "S")}
    assert surf == {"live", "01_e_s", "02_e_b", "03_en_s", "04_en_b", "05_enm_s", "06_enm_b"}
    assert {row.species for row in read_list(list_path(PUBLISHED, "P", "val"), "P")} == {"live", "unknown"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("domain", ["W", "P"])
def test_lists_may_begin_with_a_byte_order_mark(tmp_path, domain, encoding):
    text = triplet(WMCA, 1) if domain == "W" else "a.npz\t1\n"
    assert parse(tmp_path, text.encode(encoding), domain) == parse(tmp_path, text, domain)


@pytest.mark.parametrize("end", ["", "\r\n", "\n"])
@pytest.mark.parametrize("between", ["\r\n", "\n"])
def test_line_ends_of_both_kinds_and_none_at_the_end(tmp_path, between, end):
    rows = parse(tmp_path, between.join([triplet(WMCA, 1), triplet(WMCA, 1, frame="0024")]) + end)
    assert [row.frames for row in rows] == [("0012",) * 3, ("0024",) * 3]
    assert rows[1].paths[2] == f"{WMCA}/ir/0024.jpg" and rows[0].clip == WMCA and rows[0].subject == "001"


def test_the_four_forms(tmp_path):
    (cefa,) = parse(tmp_path, triplet(RACE, 1, colour="profile", frame="0026"), "C")
    assert (cefa.species, cefa.subject, cefa.label) == ("live", "AF-300", 1)
    (surf,) = parse(tmp_path, triplet(SURF, 1, frame="121"), "S")
    assert (surf.species, surf.subject) == ("live", "CLKJ_AS0002")
    live, spoof = parse(tmp_path, "a1.npz\t1\nb2.npz\t0\n", "P")
    assert (live.species, spoof.species, spoof.subject, spoof.key) == ("live", "unknown", "", "b2.npz")
    (wmca,) = parse(tmp_path, triplet("WMCA-Image/R_CDIT/100_03_015_2_10", 0))
    assert (wmca.species, wmca.subject) == ("paper_mask", "100")


def test_cefa_s_names_tell_prints_from_replays_and_masks_are_attacks(tmp_path):
    for name, species in (("1_1_1", "live"), ("3_2_2", "print"), ("3_1_3", "print"), ("3_1_4", "replay")):
        line = triplet(f"CeFA/CeFA-Race/CA/CA-299/2_299_{name}", int(species == "live"), colour="profile")
        assert parse(tmp_path, line, "C")[0].species == species
    for folder, species in (("3D-Mask", "3d_mask"), ("Silicone-Mask", "silicone_mask")):
        clip = f"CeFA/CeFA-Mask/{folder}/008/2_008_1_1_2_1_4"
        row = parse(tmp_path, triplet(clip, 0, colour="profile"), "C")[0]
        assert (row.species, row.subject) == (species, f"{folder}-008")
        with pytest.raises(ListError, match="an attack by its name"):
            parse(tmp_path, triplet(clip, 1, colour="profile"), "C")


@pytest.mark.parametrize(
    ("species", "kinds"),
    [
        ("live", [(0, 0), (0, 5)]),
        ("print", [(3, n) for n in (1, 4, 6, 9, 11, 14)]),
        ("replay", [(3, 5), (3, 10), (3, 15), (4, 1), (4, 99)]),
        ("fake_head", [(2, 1), (2, 7)]),
        ("paper_mask", [(2, 8), (2, 11)]),
        ("rigid_mask", [(2, 12), (2, 17), (1, 2), (1, 13), (1, 14)]),
        ("flexible_mask", [(2, 18), (2, 75), (2, 99)]),
        ("glasses", [(1, n) for n in (1, 4, 5, 6, 7, 15, 16)]),
        ("other", [(2, 19), (2, 74), (1, 3), (3, 16), (5, 1), (2, 0)]),
    ],
)
def test_wmca_species_from_type_and_instrument(species, kinds):
    assert {wmca_kind(*kind) for kind in kinds} == {species}


def test_repeated_rows_are_kept_and_can_be_dropped(tmp_path):
    rows = parse(tmp_path, "\r\n".join([triplet(WMCA, 1), triplet(WMCA, 1, frame="0024"), triplet(WMCA, 1)]))
    assert [row.line for row in rows] == [1, 2, 3]
    assert [row.line for row in distinct(rows)] == [1, 2]


def test_subjects_samples_and_labels_in_two_splits_are_found(tmp_path):
    first = parse(tmp_path, "a.npz\t1\nb.npz\t0\na.npz\t1", "P")
    second = parse(tmp_path, "c.npz\t0\nb.npz\t1", "P")
    check = check_splits({"train": first, "val": second})
    assert check.repeated_rows == {"train": 1}
    assert check.shared_samples == {("train", "val"): ((2, 2),)}
    assert check.contradictions == ("b.npz",)
    people = parse(tmp_path, triplet(WMCA, 1)), parse(tmp_path, triplet("WMCA-Image/R_CDIT/001_02_000_3_01", 0))
    check = check_splits({"train": people[0], "test": people[1]})
    assert check.shared_subjects == {("train", "test"): ("001",)} and not check.shared_samples
    assert check.lines() == ["train and test share 1 subject: 001"]


BAD = {
    "": "empty",
    "\r\n": "expected `rgb depth infrared label`",
    triplet(WMCA, 2): "label must be 0",
    triplet(WMCA, "-1"): "label must be 0",
    triplet(WMCA, "1 "): "expected `rgb",
    triplet(WMCA, ""): "expected `rgb",
    triplet(WMCA, 1).replace(" ", "  ", 1): "expected `rgb",
    triplet(WMCA, 1).replace(" ", "\t"): "expected `rgb",
    triplet(WMCA, 0): "live by its name but an attack by its label",
    triplet("WMCA-Image/R_CDIT/001_01_000_0", 1): "is not of the form WMCA",
    triplet("../" + WMCA, 1): "plain path",
    triplet("/" + WMCA, 1): "plain path",
    triplet(WMCA.replace("/", "//"), 1): "plain path",
    triplet("C:\\" + WMCA, 1): "plain path",
    triplet("WMCA-Image/./R_CDIT/001_01_000_0_00", 1): "plain path",
    triplet(WMCA + "\x00", 1): "plain path",
    triplet(WMCA, 1, colour="depth"): r"<clip>/color/<frame>\.jpg",
    triplet(WMCA, 1, frame=""): r"<frame>\.jpg",
    triplet(WMCA, 1).replace(".jpg", ".png"): r"<frame>\.jpg",
    triplet(WMCA, 1).replace("001_01", "002_01", 1): "different clips",
    triplet(SURF, 1): "start with WMCA-Image",
}


@pytest.mark.parametrize("line", BAD)
def test_what_cannot_be_parsed_is_refused_with_file_line_and_reason(tmp_path, line):
    text = line if not line.strip() else f"{triplet(WMCA, 1)}\r\n{line}"
    with pytest.raises(ListError, match=BAD[line]) as error:
        parse(tmp_path, text)
    assert error.value.line == (2 if line.strip() else 1)
    assert str(tmp_path / "W-test.txt") in str(error.value)


@pytest.mark.parametrize(
    ("domain", "line", "reason"),
    [
        ("P", "a.npz 1", "TAB"),
        ("P", "folder/a.npz\t1", "name of an npz"),
        ("P", "a.npy\t1", "name of an npz"),
        ("P", "..\t1", "plain path"),
        ("S", triplet(SURF.replace("real.rssdk", "07_x.rssdk"), 1), "does not hold"),
        ("S", triplet(SURF, 0), "live by its name"),
        ("S", triplet(SURF.replace("real_part/real", "fake_part/real"), 1), "does not hold"),
        ("C", triplet(RACE, 1), "<clip>/profile"),
        ("C", triplet("CeFA/Other/1", 1, colour="profile"), "neither"),
        (
            "C",
            triplet(RACE, 0, colour="profile"),
            "live by its name .* counts live as 0 and attacks as 1: write 1 for li",
        ),
        ("C", triplet(RACE[:-1] + "2", 1, colour="profile"), "an attack by its name but live by its label"),
        ("C", triplet(RACE[:-1] + "5", 0, colour="profile"), "the last number must be one of 1, 2, 3, 4"),
    ],
)
def test_every_domain_has_its_own_form(tmp_path, domain, line, reason):
    with pytest.raises(ListError, match=reason):
        parse(tmp_path, line, domain)


def test_other_files_and_domains_are_refused(tmp_path):
    with pytest.raises(ListError, match="UTF-8"):
        parse(tmp_path, triplet(WMCA, 1).encode() + b"\r\n\xff\xfe")
    with pytest.raises(FileNotFoundError, match=r"W-train\.txt and its like"):
        read_list(tmp_path / "nothing.txt", "W")
    with pytest.raises(ValueError, match="unknown domain 'X'"):
        read_list(tmp_path / "nothing.txt", "X")


TRICKY = [
    "b.npz\t0",
    "a.npz",
    "é",
    "CON",
    "~",
    "\u2028",
    "\x85",
    "\x00",
    "\\",
    ":",
    "..",
    "/",
    "//",
    ".jpg",
    "\r",
    "\n",
]
PARTS = [WMCA, SURF, RACE, "/color/", "/depth/0012.jpg", "/ir/", "\r\n", "\t", " ", "0", "1"]
PIECES = st.sampled_from([triplet(WMCA, 1), triplet(SURF, 1), *TRICKY, *PARTS])


@given(st.sampled_from(LETTERS), st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=80))
@example("P", "a\u2028b.npz\t1")
@example("W", triplet(WMCA, 1) + "\r\r\n")
def test_any_text_is_parsed_into_safe_rows_or_refused(tmp_path_factory, domain, text):
    path = tmp_path_factory.getbasetemp() / "fuzzed.txt"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    try:
        rows = read_list(path, domain)
    except ListError as error:
        rows, refusal = [], error
    assert rows or (refusal.line >= 1 and str(path) in str(refusal))
    for row in rows:
        assert row.label in (0, 1) and row.species and len(row.paths) == 3
        for name in row.paths:
            assert not Path(name).is_absolute() and ".." not in Path(name).parts and "\\" not in name
            assert os.path.normpath(name) == name


@given(st.binary(max_size=200), st.sampled_from(LETTERS))
def test_any_bytes_are_parsed_or_refused(tmp_path_factory, content, domain):
    path = tmp_path_factory.getbasetemp() / "bytes.txt"
    path.write_bytes(content)
    with contextlib.suppress(ListError):
        assert read_list(path, domain)
