"""TEACHING.md mentions every notebook, and its points and quotations are those of the assignments and their checks."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ASSIGNMENTS = sorted((ROOT / "notebooks" / "assignments").glob("*.ipynb"))


def texts_in_checks() -> set[str]:
    """Every text constant of the checks."""
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for path in (ROOT / "mmdg_lite" / "teaching" / "checks").glob("*.py")
    ]
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("path", NOTEBOOKS + ASSIGNMENTS, ids=lambda path: path.stem)
def test_every_notebook_and_assignment_has_its_place(path):
    assert f"]({path.relative_to(ROOT).as_posix()})" in TEXT


@pytest.mark.parametrize("path", ASSIGNMENTS, ids=lambda path: path.stem)
def test_the_points_are_those_of_the_notebook(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    graded = [(cell["cell_type"], cell["metadata"].get("nbgrader", {})) for cell in cells]
    points = {"code": 0, "markdown": 0}
    for kind, marks in graded:
        points[kind] += marks.get("points", 0) if marks.get("grade") else 0
    row = re.search(rf"^\| {path.stem.replace('_', ' ')} \| (\d+) \| (\d+) \| (\d+) \|$", TEXT, flags=re.MULTILINE)
    if not sum(points.values()):  # the notebook of one run
        assert row is None
        return
    assert row, path.stem
    assert tuple(map(int, row.groups())) == (points["code"], points["markdown"], sum(points.values()))


def test_the_hours_add_up():
    home = [int(hours) for hours in re.findall(r"^\| \d \|.*\| (\d+) \|$", TEXT, flags=re.MULTILINE)]
    stated = re.search(r"That is (\d+) hours in class and (\d+) at home", TEXT)
    assert stated and (int(stated[1]), int(stated[2])) == (len(home) * 2 * 90 // 60, sum(home))


def test_misunderstandings_are_quoted_from_the_checks():
    section = " ".join(TEXT.split("## Typical misunderstandings")[1].split("##")[0].split())
    quoted = re.findall(r'"([^"]+)"', section)
    assert len(quoted) >= 8
    assert set(quoted) <= texts_in_checks()


def test_every_question_for_discussion_has_a_folded_answer():
    section = TEXT.split("## Questions for discussion")[1].split("\n## ")[0]
    questions = re.split(r"^\d\. ", section, flags=re.MULTILINE)[1:]
    assert len(questions) >= 6
    for question in questions:
        answer = re.search(r"<summary>A possible answer</summary>\n\n(.+?)\n\n *</details>", question, re.DOTALL)
        assert answer and len(answer[1]) > 200, question


def test_the_short_course_keeps_the_adapter():
    weeks = TEXT.split("**Three weeks.**")[1].split("\n\n##")[0]
    assert "03" in weeks and "2 adapter" in weeks
