"""Score files: what is written is read, equal scores are equal bytes, and nothing malformed passes."""

import gzip
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.data.real.files import LARGEST_TEXT
from mmdg_lite.results.collect import read_log
from mmdg_lite.runs.scores import Scores, read_scores, write_scores

IDS, LABELS, SPECIES, SCORES = ["b/2", "a,1", 'c"3'], [1, 0, 0], ["live", "print", "replay"], [0.75, 0.25, 1.0]


def test_what_is_written_is_read_sorted_by_id(tmp_path):
    write_scores(tmp_path / "scores" / "test_W.csv.gz", IDS, LABELS, SPECIES, SCORES)
    got = read_scores(tmp_path / "scores" / "test_W.csv.gz")
    assert got.ids == ("a,1", "b/2", 'c"3')
    assert got.labels.tolist() == [0, 1, 0]
    assert got.species == ("print", "live", "replay")
    assert got.scores.tolist() == [0.25, 0.75, 1.0]
    assert len(got) == 3
    assert got.metrics(threshold=0.5).far == 0.5
    assert [p.name for p in (tmp_path / "scores").iterdir()] == ["test_W.csv.gz"]


def test_equal_scores_are_equal_bytes_in_whatever_order_they_come(tmp_path):
    write_scores(tmp_path / "1.csv.gz", IDS, LABELS, SPECIES, SCORES)
    write_scores(tmp_path / "2.csv.gz", IDS[::-1], LABELS[::-1], SPECIES[::-1], SCORES[::-1])
    assert (tmp_path / "1.csv.gz").read_bytes() == (tmp_path / "2.csv.gz").read_bytes()


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_float32_scores_survive_exactly(tmp_path_factory, scores):
    path = tmp_path_factory.mktemp("scores") / "s.csv.gz"
    n = len(scores)
    write_scores(path, [f"{i:03}" for i in range(n)], [0] * n, ["print"] * n, np.array(scores, dtype=np.float32))
    assert read_scores(path).scores.astype(np.float32).tolist() == scores


@pytest.mark.parametrize(
    "ids, labels, species, scores, message",
    [
        (["a", "a"], [0, 0], ["print"] * 2, [0.1, 0.2], "occurs twice"),
        (["a"], [2], ["print"], [0.1], "must be 1"),
        (["a"], [1], ["print"], [0.1], "live is label 1"),
        (["a"], [0], ["live"], [0.1], "live is label 1"),
        (["a"], [0], ["print"], [1.5], "0..1"),
        (["a"], [0], ["print"], [float("nan")], "0..1"),
        (["a\nb"], [0], ["print"], [0.5], "one line"),
        ([""], [0], ["print"], [0.5], "one line"),
        (["a", "b"], [0], ["print"], [0.5], "2 ids, 1 labels"),
    ],
)
def test_bad_rows_are_refused_and_leave_no_file(tmp_path, ids, labels, species, scores, message):
    with pytest.raises(ValueError, match=message):
        write_scores(tmp_path / "s.csv.gz", ids, labels, species, scores)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, message",
    [
        ("id,label,score\n", "first line must be"),
        ("", "first line must be"),
        ("id,label,species,score\na,0,print\n", "line 2"),
        ("id,label,species,score\na,zero,print,0.5\n", "line 2"),
        ("id,label,species,score\na,0,print,0.5\na,0,print,0.5\n", "occurs twice"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, text, message):
    path = tmp_path / "s.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=rf"(?s)s\.csv\.gz.*{message}"):
        read_scores(path)


def test_a_torn_file_is_refused(tmp_path):
    path = tmp_path / "s.csv.gz"
    write_scores(path, IDS, LABELS, SPECIES, SCORES)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a whole gzipped"):
        read_scores(path)


@pytest.mark.parametrize("place", range(10, 60, 7))
def test_a_damaged_file_is_refused_by_name_wherever_it_is_damaged(tmp_path, place):
    path = tmp_path / "s.csv.gz"
    write_scores(path, IDS, LABELS, SPECIES, SCORES)
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"s\.csv\.gz"):
        read_scores(path)


def test_a_small_file_that_decompresses_to_more_than_is_read_is_refused(tmp_path, monkeypatch):
    """A bomb: the limit holds while decompressing, so that memory never has more."""
    path = tmp_path / "s.csv.gz"
    path.write_bytes(gzip.compress(b"id,label,species,score\n" + b"0" * (LARGEST_TEXT + 1)))
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"s\.csv\.gz is not .*more than the {LARGEST_TEXT} bytes"):
        read_scores(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * LARGEST_TEXT
    packed = tmp_path / "metrics.jsonl.gz"
    path.rename(packed)
    with pytest.raises(ValueError, match=r"metrics\.jsonl\.gz is damaged .*more than"):
        read_log(tmp_path)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "s.csv.gz")
    with pytest.raises(ValueError, match=r"s\.csv\.gz.*not a regular file"):
        read_scores(tmp_path / "s.csv.gz")


def test_a_stray_carriage_return_is_refused_by_name(tmp_path):
    path = tmp_path / "s.csv.gz"
    path.write_bytes(gzip.compress(b"id,label,species,score\nW-\r1,1,live,0.5\n"))
    with pytest.raises(ValueError, match=r"s\.csv\.gz is not a table"):
        read_scores(path)


def test_a_clip_scores_the_mean_of_its_frames():
    scores = Scores(
        ids=("a1", "b1", "a2"),
        labels=np.array([1, 0, 1]),
        species=("live", "print", "live"),
        scores=np.array([0.9, 0.4, 0.6]),
    )
    clips = scores.by_clip(["a", "b", "a"])
    assert clips.ids == ("a", "b") and clips.species == ("live", "print")
    assert clips.labels.tolist() == [1, 0] and clips.scores.tolist() == [0.75, 0.4]
    single = scores.by_clip(scores.ids)
    assert single.scores.tolist() == scores.scores.tolist() and single.metrics() == scores.metrics()
    with pytest.raises(ValueError, match="clip 'a' differ in label or species"):
        scores.by_clip(["a", "a", "b"])
    with pytest.raises(ValueError, match="2 names of clips for 3 scores"):
        scores.by_clip(["a", "b"])
