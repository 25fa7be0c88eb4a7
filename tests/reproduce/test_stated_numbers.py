"""Numbers in sentences: read, compared and written anew from findings."""

import pytest

from mmdg_lite.reproduce.stated_numbers import fill_numbers, stated_numbers

FINDINGS = {"hter": {"mmdg++": 0.2461}, "gaps": [1.25, -3.5], "n": 12000, "flag": True}


def test_a_number_is_compared_with_its_finding():
    text = "HTER is 24.5<!--=hter/mmdg++*100:.1f--> %, over 12,000<!--=n:,d--> faces."
    assert list(stated_numbers(text, FINDINGS)) == [("hter/mmdg++", "24.5", "24.6"), ("n", "12,000", "12,000")]


def test_filling_writes_the_findings_and_leaves_the_rest():
    text = "a gap of +9.9<!--=gaps/1:+.1f--> (no mark: 9.9), **1<!--=gaps/0:.2f-->**"
    filled = fill_numbers(text, FINDINGS)
    assert filled == "a gap of -3.5<!--=gaps/1:+.1f--> (no mark: 9.9), **1.25<!--=gaps/0:.2f-->**"
    assert fill_numbers(filled, FINDINGS) == filled


@pytest.mark.parametrize("path", ["hter/fusion", "gaps/2", "gaps/first", "flag", "hter", "n/0"])
def test_a_path_without_a_number_is_an_error_that_names_it(path):
    with pytest.raises(ValueError, match=path):
        fill_numbers(f"1<!--={path}:.1f-->", FINDINGS)
