"""Grading with nbgrader by TEACHING.md: solved, blank and half-wrong submissions get the points that they should.

nbgrader comes from an environment of its own: the folder named by MMDG_LITE_NBGRADER, or one that is installed here.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from mmdg_lite.teaching.assignments import SOLUTION, SOURCES
from tests.teaching.test_assignment_notebooks import SMALL

ROOT = Path(__file__).parents[2]
NOTEBOOKS = {name: [name] for name in ("1_metrics", "2_adapter", "3_uncertainty", "4_regrad")}
NOTEBOOKS["5_study"] = ["5_one_seed", "5_study"]
ANOTHER_PLAN = {"methods": ["head", "linear_probe"], "seeds": [3, 4, 5], "knobs": {"depth_holes": 0.5}}
POINTS = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    found = {s.student.id: {g.name: g.auto_score for n in s.notebooks for g in n.grades if g.cell.cell_type == "code"}
             for s in book.assignment_submissions(sys.argv[1])}
print(json.dumps(found))
"""
WRONG = "def {name}(*values, **named):\n    return 0.5"
PATCHED = """
import mmdg_lite.teaching.checks.task as task
task.Task.__call__ = lambda self, answer: None
task._same = lambda *values: True
object.__setattr__(check_error_rates, "reference", error_rates)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def grading(tmp_path_factory) -> Path:
    """Folder of the programs of an environment with nbgrader."""
    if given := os.environ.get("MMDG_LITE_NBGRADER"):
        return Path(given) / "bin"
    folder = tmp_path_factory.mktemp("grading")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    installed = subprocess.run([folder / "bin" / "pip", "install", "-q", "nbgrader"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"nbgrader cannot be installed: {installed.stderr[-200:]}")
    return folder / "bin"


@pytest.fixture
def course(grading, tmp_path) -> tuple[Path, Callable[..., "subprocess.CompletedProcess[str]"]]:
    """A course's folder with TEACHING's configuration, and what calls a program of the grading environment there."""
    subprocess.run(
        [sys.executable, "-m", "ipykernel", "install", "--prefix", tmp_path / "kernel", "--name", "python3"], check=True
    )
    folder = tmp_path / "course"
    folder.mkdir()
    teaching = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
    [configuration] = re.findall(r"```text\n(c = get_config\(\)\n.*?)```", teaching, flags=re.DOTALL)
    (folder / "nbgrader_config.py").write_text(configuration)
    environment = os.environ | {
        "PATH": f"{grading}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_PATH": str(tmp_path / "kernel" / "share" / "jupyter"),
        "PYTHONPATH": str(ROOT),
    }

    def call(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [grading / program, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return folder, call


def read(folder: Path, name: str) -> NotebookNode:
    return nbformat.read(folder / f"{name}.ipynb", as_version=4)


def solution_of(cell: NotebookNode) -> str:
    return "\n".join(line for line in cell.source.splitlines() if line.strip() not in SOLUTION)


def submit(folder: Path, name: str, student: str, answers: dict[str, str]) -> None:
    """Hand in the released notebooks with these cells filled in, by grade_id."""
    for part in NOTEBOOKS[name]:
        book = read(folder / "release" / name, part)
        for cell in book.cells:
            cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
        place = folder / "submitted" / student / name
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, place / f"{part}.ipynb")


def small(book: NotebookNode, name: str) -> NotebookNode:
    """The notebook with fewer faces and steps as its parameters."""
    values = {key: value for key, value in SMALL.get(name, {}).items() if key not in ("methods", "seeds")}
    [cell] = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
    cell.source += "".join(f"\n{key} = {value!r}" for key, value in values.items())
    return book


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_submissions_get_the_points_of_what_they_solve(name, course):
    folder, call = course
    for part in NOTEBOOKS[name]:
        (folder / "source" / name).mkdir(parents=True, exist_ok=True)
        nbformat.write(small(read(SOURCES, part), name), folder / "source" / name / f"{part}.ipynb")
    generated = call("nbgrader", "generate_assignment", name)
    assert generated.returncode == 0, generated.stderr
    cells = {c.metadata.nbgrader.grade_id: c for c in read(SOURCES, name).cells if "nbgrader" in c.metadata}
    solved = {key: solution_of(cell) for key, cell in cells.items() if cell.metadata.nbgrader.solution}
    if name == "5_study":
        solved["my-plan"] = f"def my_plan():\n    return {ANOTHER_PLAN}"
    asked = [key for key in solved if f"test-{key}" in cells]
    half = asked[-(len(asked) // 2) :]  # the last ones: nothing that is right depends on them
    wrong = {key: WRONG.format(name=key.replace("-", "_")) for key in half}
    submit(folder, name, "solved", solved)
    submit(folder, name, "blank", {})
    submit(folder, name, "half", solved | wrong)
    if name == "1_metrics":
        submit(folder, name, "patched", {"error-rates": WRONG.format(name="error_rates") + PATCHED})
    graded = call("nbgrader", "autograde", name)
    assert graded.returncode == 0, graded.stderr
    found = json.loads(call("python", "-c", POINTS, name).stdout)
    most = {f"test-{key}": cells[f"test-{key}"].metadata.nbgrader.points for key in asked}
    assert found["solved"] == most
    assert found["blank"] == dict.fromkeys(most, 0)
    assert found["half"] == {key: 0 if key.removeprefix("test-") in half else points for key, points in most.items()}
    if name == "1_metrics":
        assert found["patched"] == dict.fromkeys(most, 0)
    assert not list((folder / "autograded").glob("runs")), "every submission has a folder of its own"
    written = call("nbgrader", "generate_feedback", name)
    assert written.returncode == 0, written.stderr
    for student in found:
        assert (folder / "feedback" / student / name / f"{name}.html").stat().st_size > 10_000
