"""Only what stands between the marks of a page is rewritten."""

import pytest

from mmdg_lite.results.marked_text import END, START, measured_part, rewrite_measured_part


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
