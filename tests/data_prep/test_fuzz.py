"""Damaged source files of any kind end as a named problem or as an image, never as another exception."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.casia_surf import CasiaSurf
from data_prep.journal import Converted
from data_prep.miniatures import miniature
from data_prep.padisi import Padisi
from data_prep.sources import SampleProblem
from data_prep.synthetic import synthetic
from data_prep.wmca import TREES, Wmca
from mmdg_lite.data.real.lists import list_path, read_list
from mmdg_lite.modality import MODALITIES

OPEN = {"W": Wmca.open, "S": CasiaSurf.open, "P": Padisi.open}


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    found = {}
    for letter in OPEN:
        source, lists = miniature(letter, tmp_path_factory.mktemp(letter), live=1, spoof=1)
        row = read_list(list_path(lists, letter, "train"), letter)[1]
        if letter == "W":
            (path,) = (source / TREES[1]).rglob(f"{row.clip.rsplit('/', 1)[-1]}.hdf5")
        else:
            path = source / row.paths[1]
        found[letter] = (source, row, path, path.read_bytes())
    return found


@pytest.mark.parametrize("letter", OPEN)
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_files(copies, letter, data):
    source, row, path, whole = copies[letter]
    content = bytearray(whole)
    end = data.draw(st.sampled_from([len(whole), len(whole) // 2]) | st.integers(0, len(whole)), label="cut at")
    head = st.integers(0, min(400, len(whole) - 1))
    places = data.draw(st.lists(st.tuples(head | st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=8))
    for place, value in places:
        content[place] = value
    path.unlink()  # a new file: readers may remember the old one by its place on disk
    path.write_bytes(content[:end])
    with contextlib.suppress(SampleProblem):
        reading = OPEN[letter](source).read(row)
        assert set(reading.images) | set(reading.problems) == set(MODALITIES)
        assert not set(reading.images) & set(reading.problems)
        for image in reading.images.values():
            assert image.dtype == np.uint8 and image.ndim == 3 and image.min() < image.max()
        assert all(str(path) in reason or row.clip in reason for reason in reading.problems.values())


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(str))
def test_any_line_of_a_journal_is_a_sample_or_nothing(line):
    assert Converted.parse(line) is None


def test_a_torn_line_of_a_journal_is_nothing(tmp_path):
    synthetic(tmp_path, domain="W", samples={"train": 1, "val": 1, "test": 1}, size=16, progress=False)
    line = (tmp_path / "journal.jsonl").read_text().split("\n")[0]
    assert Converted.parse(line).intact(tmp_path)
    assert all(Converted.parse(line[:end]) is None for end in range(len(line)))
