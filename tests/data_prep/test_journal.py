"""The journal of a conversion: what it makes of lines that are torn, or not its own."""

from hypothesis import given
from hypothesis import strategies as st

from data_prep.journal import Converted
from data_prep.synthetic import synthetic


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(str))
def test_any_line_of_a_journal_is_a_sample_or_nothing(line):
    assert Converted.parse(line) is None


def test_a_torn_line_of_a_journal_is_nothing(tmp_path):
    synthetic(tmp_path, domain="W", samples={"train": 1, "val": 1, "test": 1}, size=16, progress=False)
    line = (tmp_path / "journal.jsonl").read_text().split("\n")[0]
    assert Converted.parse(line).intact(tmp_path)
    assert all(Converted.parse(line[:end]) is None for end in range(len(line)))
