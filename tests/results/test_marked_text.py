"""Only what stands between the marks of a page is rewritten."""

import pytest

from mmdg_lite.results.marked_text import marks, measured_part, rewrite_measured_part

START, END = marks()


def test_what_stands_around_the_measured_part_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"by hand\n{START}\nold\n{END}\nby hand too\n")
    rewrite_measured_part(page, "new\n\nlines")
    assert measured_part(page) == "new\n\nlines"
    assert page.read_text() == f"by hand\n{START}\nnew\n\nlines\n{END}\nby hand too\n"


@pytest.mark.parametrize("text", ["no marks", START, END, f"{END} {START}"])
def test_a_page_without_its_marks_is_refused(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="lacks the marks"):
        rewrite_measured_part(page, "new")
    with pytest.raises(ValueError, match=r"page\.md"):
        measured_part(page)
    assert page.read_text() == text


def test_parts_with_names_are_told_apart(tmp_path):
    page = tmp_path / "page.md"
    first, last = marks("verdicts")
    page.write_text(f"{first}\nold\n{last}\n{START}\nold\n{END}\n")
    rewrite_measured_part(page, "new", "verdicts")
    assert (measured_part(page, "verdicts"), measured_part(page)) == ("new", "old")
