"""The assignments: solutions pass every check, blanks fail, wrong answers are caught and told what is wrong."""

import ast
import re
from collections import Counter
from importlib import import_module
from math import exp, pi, sin
from pathlib import Path
from statistics import fmean

import nbformat
import pytest
from nbformat import NotebookNode

import mmdg_lite.teaching.checks
from mmdg_lite.configuration import REPOSITORY
from mmdg_lite.reproduce import notebooks
from mmdg_lite.teaching.assignments import (
    CODE_STUB,
    HIDDEN_TESTS,
    PICTURES,
    SOLUTION,
    SOURCES,
    assignments,
    student_version,
)
from mmdg_lite.teaching.checks import CheckFailed, Task
from mmdg_lite.teaching.pictures import linked
from tests.support.wrong_answers import WRONG_ANSWERS, WrongAnswer

ROOT = Path(__file__).parents[2]
PATHS = sorted(SOURCES.glob("*.ipynb"))
CHECKS = Path(mmdg_lite.teaching.checks.__file__).parent
TASKS: dict[str, Task] = {
    task.name: task
    for path in sorted(CHECKS.glob("*.py"))
    for task in getattr(import_module(f"mmdg_lite.teaching.checks.{path.stem}"), "TASKS", ())
}
for path in sorted((ROOT / "tests" / "support" / "wrong_answers").glob("[a-z]*.py")):
    import_module(f"tests.support.wrong_answers.{path.stem}")

# fewer faces and draws than a student has; the pictures are coarser, the questions are the same
SMALL = {
    "1_metrics": {"faces": 60},
    "3_uncertainty": {"faces": 16},
    "4_regrad": {"faces": 40, "steps": 30},
    "5_study": {
        "methods": ["linear_probe", "head"],
        "seeds": [0, 1, 2],
        "test_faces": 24,
        "changes": {
            "data": {"train_samples": 24, "validation_samples": 24},
            "training": {"steps": 2, "batch_size": 8, "validate_every": 2},
        },
    },
}
CALL = re.compile(r"^check_(\w+)\((\w+)\)$", flags=re.MULTILINE)
every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)


def cells(path: Path, **flags: bool) -> list[NotebookNode]:
    """Cells with nbgrader's metadata where these flags (grade, solution, locked) are as given."""
    found = [c for c in nbformat.read(path, as_version=4).cells if "nbgrader" in c.metadata]
    return [c for c in found if all(c.metadata.nbgrader[name] == value for name, value in flags.items())]


def checked_names(path: Path) -> list[str]:
    """Tasks checked in the locked cells of a notebook, outside hidden tests."""
    visible = student_version(nbformat.read(path, as_version=4)).cells
    tests = [c for c in visible if c.metadata.get("nbgrader", {}).get("locked")]
    calls = [CALL.findall(c.source) for c in tests]
    assert all(len(found) <= 1 for found in calls), "one task per test cell"
    assert all(task == function for found in calls for task, function in found)
    return [found[0][0] for found in calls if found]


@pytest.mark.parametrize("path", [p for p in PATHS if cells(p)], ids=lambda p: p.stem)
def test_solutions_pass_every_check(path, tmp_path):
    parameters = {"out_dir": tmp_path / "out"} | SMALL.get(path.stem, {})
    notebooks.execute(path, parameters=parameters, out=tmp_path / path.name, progress=False)
    check_findings(path.stem, notebooks.read_findings(tmp_path / "out", f"assignment_{path.stem[0]}"))


def cell_with(name: str, text: str) -> str:
    """Source of the one code cell of an assignment that holds a text."""
    book = nbformat.read(SOURCES / f"{name}.ipynb", as_version=4)
    [source] = [c.source for c in book.cells if c.cell_type == "code" and text in c.source]
    return source


def test_findings_of_another_plan_are_refused(tmp_path, monkeypatch):
    def one_seed(path, *, parameters, out, progress):
        assert Path(path).is_file()  # although the working directory has no such notebook
        asked = {name: parameters[name] for name in ("methods", "knobs", "test_faces", "changes")}
        made.append(parameters["seed"])
        notebooks.write_findings(parameters["out_dir"], "one_seed", {"asked": asked, "rows": results})

    made, results = [], [{}] * 4
    monkeypatch.setattr(notebooks, "execute", one_seed)
    monkeypatch.chdir(tmp_path)
    runs = cell_with("5_study", "5_one_seed.ipynb")
    names = {"Path": Path, "REPOSITORY": REPOSITORY, "notebooks": notebooks, "out_dir": tmp_path}
    names |= {"device": "cpu", "changes": {}}
    names |= {"methods": None, "seeds": None, "test_faces": 24}
    plan = {"methods": ("head", "fusion"), "seeds": (0, 1), "knobs": {"depth_holes": 0.5}}
    for _ in range(2):
        exec(runs, {**names, "plan": plan})
    assert made == [0, 1]
    for other in ({"knobs": {"depth_holes": 0.6}}, {"methods": ("head", "mmdg++")}):
        with pytest.raises(ValueError, match="of another plan"):
            exec(runs, {**names, "plan": plan | other})
    with pytest.raises(ValueError, match="set another out_dir"):
        exec(runs, {**names, "plan": plan, "test_faces": 25})
    results = []  # a run that was cut off
    with pytest.raises(ValueError, match="holds 0 results, so its run was cut off: delete it"):
        exec(runs, {**names, "out_dir": tmp_path / "cut off", "plan": plan})


def test_one_seed_without_all_results_leaves_no_findings(tmp_path):
    last = cell_with("5_one_seed", '"one_seed"')
    names = {"notebooks": notebooks, "methods": ["head"], "conditions": {"unchanged": {}, "shifted": {}}}
    with pytest.raises(ValueError, match="not all runs have finished"):
        exec(last, names | {"rows": [{}], "out_dir": tmp_path})
    assert not list(tmp_path.iterdir())


def test_runs_with_other_tests_are_refused(tmp_path):
    before_training = cell_with("5_one_seed", "SettingData(train").split("faces = ")[0]
    names = {"Path": Path, "notebooks": notebooks, "out_dir": tmp_path, "test_faces": 24}
    exec(before_training, {**names, "knobs": {"depth_holes": 0.5}})
    exec(before_training, {**names, "knobs": {"depth_holes": 0.6}})  # nothing was run yet
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "config.json").touch()
    exec(before_training, {**names, "knobs": {"depth_holes": 0.6}})
    with pytest.raises(ValueError, match=r"tested with \{'knobs': \{'depth_holes': 0.6"):
        exec(before_training, {**names, "knobs": {"depth_holes": 0.5}})
    (tmp_path / "tested_findings.json").unlink()
    with pytest.raises(ValueError, match="tested with None"):
        exec(before_training, {**names, "knobs": {"depth_holes": 0.6}})


def check_findings(name: str, found: dict) -> None:
    """What a notebook measures is what its text says."""
    if name == "1_metrics":
        deployable, leaking = (sum(found["hter"][kind]) for kind in ("deployable", "leaking"))
        assert leaking <= deployable
        assert found["best_of_20"] == sorted(found["best_of_20"]) and found["best_of_20"][-1] < 20
        assert found["rates"]["acer"] >= (found["rates"]["far"] + found["rates"]["frr"]) / 2
    if name == "2_adapter":
        assert found["class_token"] == 5 - 0.5 * 45
        assert found["entropy"]["0.0"] == pytest.approx(found["most"])
        assert found["entropy"]["0.0"] > found["entropy"]["0.3"] > found["entropy"]["1.0"]
        assert found["difference"] < 1e-5 < found["largest_update"]
    if name == "3_uncertainty":
        assert max(found["small_p_values"]) <= 9  # of 40, each with probability 0.05: more happens once in 10000 times
        assert max(map(abs, found["correlations"])) < 4 / 4000**0.5
        assert found["not_numbers"]["printed"] > 0 == found["not_numbers"]["stable"]
        assert found["stable"] == pytest.approx([1 / (1 + exp(-0.5))] * 2, abs=1e-4)
        assert all(0 < u < 1 for pair in found["certainty"].values() for u in pair)
    if name == "5_study":
        assert all(abs(shares[0] - 0.95) < 0.03 for shares in found["coverage"].values())
        assert found["coverage"]["3"][2] < found["coverage"]["3"][1] < 0.9
        assert found["widths"]["paired"] < found["widths"]["unpaired"]
        assert found["rows"] == 12 and all(len(values) == 3 for values in found["extra"].values())
        mean, low, high = found["difference"]
        assert low <= mean <= high
        assert mean == pytest.approx(fmean(found["extra"]["head"]) - fmean(found["extra"]["linear_probe"]))
    if name == "4_regrad":
        assert found["kept"]["0"] == pytest.approx(1) and found["kept"]["60"] == pytest.approx(0.5, abs=1e-6)
        assert found["kept"]["120"] == pytest.approx(sin(2 * pi / 3), abs=1e-6)
        assert found["first_losses"]["ReGrad"] == found["first_losses"]["plain sum"]
        for last, first in zip(*(found[k]["ReGrad"] for k in ("last_losses", "first_losses")), strict=True):
            assert last < first


def imports_of(book: NotebookNode) -> dict:
    """Names that the notebook's imports bind."""
    names: dict = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            statements = [s for s in ast.parse(cell.source).body if isinstance(s, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(statements, []), "imports", "exec"), names)
    return names


def assigned_in(book: NotebookNode) -> dict:
    """None for every name that a code cell assigns: blanks must fail before they need values of other cells."""
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    targets = [t for source in code for s in ast.parse(source).body if isinstance(s, ast.Assign) for t in s.targets]
    return {node.id: None for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


@every_notebook
def test_blanks_fail_with_not_implemented_error(path):
    student = student_version(nbformat.read(path, as_version=4))
    names = assigned_in(student) | imports_of(student)
    for cell in student.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution") and cell.cell_type == "code":
            [function] = [s for s in ast.parse(cell.source).body if isinstance(s, ast.FunctionDef)]
            exec(cell.source, names)
            with pytest.raises(NotImplementedError):
                names[function.name](*[None] * len(function.args.args))
        if about.get("locked"):
            with pytest.raises(NotImplementedError):
                exec(cell.source, names)


def test_every_task_is_checked_in_exactly_one_locked_cell():
    assert Counter(name for path in PATHS for name in checked_names(path)) == Counter(TASKS.keys())


@every_notebook
def test_metadata_are_those_of_nbgrader(path):
    for cell in cells(path):
        about = cell.metadata.nbgrader
        flags = ("grade", "locked", "solution", "task")
        assert about.schema_version == 3 and about.cell_type == cell.cell_type
        assert all(isinstance(about[name], bool) for name in flags) and not about.task
        assert re.fullmatch(r"[a-z0-9-]+", about.grade_id)
        assert about.grade == ("points" in about) and about.get("points", 1) > 0
        kinds = {"code": {(True, False, True), (False, True, False)}, "markdown": {(True, True, False)}}
        assert (about.grade, about.solution, about.locked) in kinds[cell.cell_type] | {(True, True, False)}
        assert about.solution == (SOLUTION[0] in cell.source)
        assert not (about.solution and HIDDEN_TESTS[0] in cell.source)
    ids = [c.metadata.nbgrader.grade_id for c in cells(path)]
    assert len(set(ids)) == len(ids)


@every_notebook
def test_points_add_up_to_what_the_notebook_says(path):
    if points := [c.metadata.nbgrader.points for c in cells(path, grade=True)]:
        first = nbformat.read(path, as_version=4).cells[0].source
        assert f"**Points**: {sum(points)}." in first
        text = " ".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
        assert sum(map(int, re.findall(r"\*\*Question \d+\*\* \((\d+) points?\b", text))) == sum(points)


@every_notebook
def test_sources_are_committed_without_outputs_and_clean(path):
    book = nbformat.read(path, as_version=4)
    assert not [c for c in book.cells if c.cell_type == "code" and (c.outputs or c.execution_count is not None)]
    assert nbformat.writes(notebooks.clean(book)) == nbformat.writes(book)


@every_notebook
def test_marked_cells_hold_markers_and_others_do_not(path):
    for cell in nbformat.read(path, as_version=4).cells:
        marked = any(marker in cell.source for marker in (*SOLUTION, *HIDDEN_TESTS))
        assert not marked or "nbgrader" in cell.metadata


@every_notebook
def test_every_question_has_minutes_a_difficulty_and_three_hints(path):
    total = 0
    for cell in nbformat.read(path, as_version=4).cells:
        if question := re.search(r"\*\*Question \d+\*\* \((.+?)\)", cell.source):
            minutes = re.search(r", (\d+) minutes, (easy|medium|hard)$", question[1])
            assert minutes, question[0]
            total += int(minutes[1])
            hints = re.findall(r"<details><summary>Hint (\d): [^<]+</summary>\n\n(.+?)\n\n</details>", cell.source)
            assert [number for number, _ in hints] == ["1", "2", "3"], question[0]
    stated = re.search(r"\*\*Time\*\*: (\d) to (\d) hours", nbformat.read(path, as_version=4).cells[0].source)
    assert stated is None if total == 0 else int(stated[1]) * 60 <= total <= int(stated[2]) * 60


def test_every_plot_of_a_students_function_has_its_picture():
    shown = [name for path in PATHS for name, _ in linked(nbformat.read(path, as_version=4))]
    assert sorted(shown) == sorted(p.stem for p in (SOURCES / PICTURES).glob("*.png"))
    for path in PATHS:
        book = nbformat.read(path, as_version=4)
        functions = [name.replace("-", "_") for name in (c.metadata.nbgrader.grade_id for c in cells(path))]
        pictured = {position for _, position in linked(book)}
        for position, cell in enumerate(book.cells):
            plots = cell.cell_type == "code" and cell.source.endswith("\nfigure")
            if plots and any(re.search(rf"\b{name}\(", cell.source) for name in functions):
                assert position in pictured, cell.source


@every_notebook
def test_progress_starts_with_the_points_of_the_notebook(path):
    if tests := [c for c in cells(path, locked=True) if c.cell_type == "code"]:
        [call] = re.findall(r"^progress\.begin\((.+)\)$", "\n".join(sources(path)), flags=re.MULTILINE)
        stated = {name: int(points) for name, points in (pair.split("=") for pair in call.split(", "))}
        assert stated.pop("by_hand") == sum(c.metadata.nbgrader.points for c in cells(path, grade=True, solution=True))
        ids = {c.metadata.nbgrader.grade_id.removeprefix("test-").replace("-", "_"): c for c in tests}
        assert stated == {name: cell.metadata.nbgrader.points for name, cell in ids.items()}
        assert sources(path).count("progress.summary()") == 1


def sources(path: Path) -> list[str]:
    """Sources of a notebook's cells of code."""
    return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_committed_student_versions_are_in_step(tmp_path):
    made = assignments(tmp_path).files
    committed = SOURCES / "student"
    assert sorted(p.name for p in committed.glob("*.ipynb")) == [p.name for p in made]
    cure = f"run: python -m mmdg_lite assignments --out {committed.relative_to(ROOT)} --force"
    for path in (*made, *(tmp_path / PICTURES).iterdir()):
        assert (committed / path.relative_to(tmp_path)).read_bytes() == path.read_bytes(), cure


def test_student_versions_hold_no_solution(tmp_path):
    written = assignments(tmp_path).files
    assert [path.name for path in written] == [path.name for path in PATHS]
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert not [marker for marker in (*SOLUTION, *HIDDEN_TESTS) if marker in text]
        assert text.count(CODE_STUB[0]) == len(cells(SOURCES / path.name, solution=True, grade=False))


@pytest.mark.parametrize("answer", WRONG_ANSWERS, ids=lambda answer: answer.name)
def test_wrong_answers_are_told_what_is_wrong(answer: WrongAnswer):
    with pytest.raises(CheckFailed) as caught:
        TASKS[answer.task](answer.function)
    assert answer.says in str(caught.value)


def test_there_are_at_least_three_wrong_answers_to_every_task():
    counted = Counter(answer.task for answer in WRONG_ANSWERS)
    assert not [name for name in TASKS if counted[name] < 3]
    assert len({answer.name for answer in WRONG_ANSWERS}) == len(WRONG_ANSWERS)
