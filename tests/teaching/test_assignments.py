"""Student versions of assignments: solutions, hidden tests and outputs are gone, everything else is as it was."""

import nbformat
import pytest

from mmdg_lite.__main__ import main
from mmdg_lite.teaching.assignments import MarkersBroken, assignments, student_version

SOLVED = """def halve(x):
    ### BEGIN SOLUTION
    return x / 2
    ### END SOLUTION
"""
TESTED = """assert halve(2) == 1
### BEGIN HIDDEN TESTS
assert halve(3) == 1.5
### END HIDDEN TESTS
"""
WRITTEN = "Why?\n### BEGIN SOLUTION\nBecause.\n### END SOLUTION"


def book(*sources: str) -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook()
    for number, source in enumerate(sources):
        cell = (nbformat.v4.new_markdown_cell if source == WRITTEN else nbformat.v4.new_code_cell)(source)
        cell.metadata["nbgrader"] = {"grade_id": f"question-{number}"}
        made.cells.append(cell)
    made.cells[0].outputs = [nbformat.v4.new_output("stream", text="the answer")]
    made.cells[0].execution_count = 7
    return made


def test_solutions_become_stubs_that_raise_and_hidden_tests_vanish():
    solved, tested, written = student_version(book(SOLVED, TESTED, WRITTEN)).cells
    assert "return x / 2" not in solved.source and solved.outputs == [] and solved.execution_count is None
    assert tested.source == "assert halve(2) == 1"
    assert written.source == "Why?\nYOUR ANSWER HERE"
    names: dict = {}
    exec(solved.source, names)
    with pytest.raises(NotImplementedError):
        names["halve"](2)


def test_nbgrader_keeps_its_metadata():
    cells = student_version(book(SOLVED, TESTED)).cells
    assert [cell.metadata["nbgrader"]["grade_id"] for cell in cells] == ["question-0", "question-1"]


@pytest.mark.parametrize(
    "source",
    ["### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION"],
)
def test_a_marker_without_its_partner_names_the_cell(source):
    with pytest.raises(MarkersBroken, match="question-1"):
        student_version(book(SOLVED, source))


def test_files_are_written_for_every_source_or_for_none(tmp_path):
    sources, out = tmp_path / "sources", tmp_path / "out"
    sources.mkdir()
    nbformat.write(book(SOLVED, TESTED), sources / "1_metrics.ipynb")
    assert assignments(out, sources=sources).files == (out / "1_metrics.ipynb",)
    assert "return x / 2" in (sources / "1_metrics.ipynb").read_text()
    assert "return x / 2" not in (out / "1_metrics.ipynb").read_text()
    nbformat.write(book("### END SOLUTION"), sources / "2_broken.ipynb")
    (out / "1_metrics.ipynb").unlink()
    with pytest.raises(MarkersBroken):
        assignments(out, sources=sources)
    assert list(out.iterdir()) == []


def test_solutions_are_not_overwritten_and_an_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no assignments in"):
        assignments(tmp_path / "out", sources=tmp_path)
    nbformat.write(book(SOLVED), tmp_path / "1.ipynb")
    with pytest.raises(ValueError, match="holds the solutions"):
        assignments(tmp_path, sources=tmp_path)


def test_answered_work_is_left_alone_unless_forced(tmp_path):
    sources, out = tmp_path / "sources", tmp_path / "out"
    sources.mkdir()
    for name in ("1_metrics.ipynb", "2_adapter.ipynb"):
        nbformat.write(book(SOLVED, TESTED), sources / name)
    both = (out / "1_metrics.ipynb", out / "2_adapter.ipynb")
    assert assignments(out, sources=sources).files == both
    assert assignments(out, sources=sources).left_alone == ()  # in step: nothing to lose
    fresh = both[0].read_text()
    both[0].write_text("answered")
    again = assignments(out, sources=sources)
    assert (again.files, again.left_alone) == (both[1:], both[:1]) and both[0].read_text() == "answered"
    assert assignments(out, sources=sources, force=True).files == both and both[0].read_text() == fresh


def test_the_command_says_what_it_left_alone(tmp_path, capsys):
    assert main(["assignments", "--out", str(tmp_path)]) == 0
    (tmp_path / "1_metrics.ipynb").write_text("answered")
    capsys.readouterr()
    assert main(["assignments", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"left alone, since it may hold answers: {tmp_path / '1_metrics.ipynb'}" in said and "--force" in said
    assert (tmp_path / "1_metrics.ipynb").read_text() == "answered"
    assert main(["assignments", "--out", str(tmp_path), "--force"]) == 0
    assert "YOUR CODE HERE" in (tmp_path / "1_metrics.ipynb").read_text()


def test_pictures_come_along(tmp_path):
    sources, out = tmp_path / "sources", tmp_path / "out"
    (sources / "pictures").mkdir(parents=True)
    nbformat.write(book(SOLVED), sources / "1_metrics.ipynb")
    (sources / "pictures" / "1_rates.png").write_bytes(b"picture")
    assignments(out, sources=sources)
    assert (out / "pictures" / "1_rates.png").read_bytes() == b"picture"
