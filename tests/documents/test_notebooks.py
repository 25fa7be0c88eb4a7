"""The numbered notebooks: clean and short as committed; executed on quick parameters they find what they should."""

import base64
import importlib
import io
import re
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from PIL import Image

from mmdg_lite.explorers.shell import WIDTH
from mmdg_lite.reproduce import notebooks

ROOT = Path(__file__).parents[2]
NOTEBOOKS = notebooks.numbered(ROOT / "notebooks")
CORE_PARAMETERS = ["profile", "seed", "device", "data_root", "out_dir"]
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def number(path: Path) -> str:
    return path.name[:2]


def checks(path: Path) -> ModuleType:
    """The module of `notebook_checks` that belongs to a notebook."""
    return importlib.import_module(f"tests.notebook_checks.notebook_{number(path)}")


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_every_notebook_has_a_check_of_its_findings():
    modules = {p.stem for p in (ROOT / "tests" / "notebook_checks").glob("notebook_*.py")}
    assert modules == {f"notebook_{number(p)}" for p in NOTEBOOKS}


@every_notebook
def test_executed_end_to_end_on_quick_parameters(path, tmp_path):
    extra = getattr(checks(path), "PARAMETERS", {})
    parameters = {"profile": "quick", "device": "cpu"} | extra
    elsewhere = {"out": tmp_path / path.name, "cwd": tmp_path}  # notebooks run from any folder, and write below it
    executed = notebooks.execute(path, parameters=parameters, progress=False, **elsewhere)
    errors = [o for c in code_cells(executed) for o in c.outputs if o.output_type == "error"]
    assert not errors
    (written,) = (tmp_path / "runs").glob(f"*/{number(path)}_findings.json")
    checks(path).check(notebooks.read_findings(written.parent, number(path)))


@every_notebook
def test_default_folder_lies_below_the_working_directory(path):
    """So that a notebook that is started in the repository's root does not write outside the clone."""
    (cell,) = (c for c in code_cells(path) if "parameters" in c.metadata.get("tags", []))
    values: dict[str, Any] = {}
    exec(cell.source, values)
    assert values["out_dir"].startswith("runs/") and ".." not in values["out_dir"]


@every_notebook
def test_pictures_are_no_wider_than_two_pixels_per_css_pixel_of_a_page(path):
    outputs = [o for c in code_cells(path) for o in c.outputs if "image/png" in o.get("data", {})]
    pictures = [Image.open(io.BytesIO(base64.b64decode(o.data["image/png"]))) for o in outputs]
    assert max((picture.width for picture in pictures), default=0) <= 2 * WIDTH


def test_training_notebook_serves_the_linear_probe_too(tmp_path):
    parameters = {"method": "linear_probe", "device": "cpu", "out_dir": tmp_path / "run", "teach": False}
    notebooks.execute(
        ROOT / "notebooks" / "06_training.ipynb", parameters=parameters, out=tmp_path / "06.ipynb", progress=False
    )
    found = notebooks.read_findings(tmp_path / "run", "06")
    assert (found["method"], found["steps"]) == ("linear_probe", 0)
    assert found["validation_eer"] < 0.4


@every_notebook
def test_committed_notebook_is_clean(path):
    book = nbformat.read(path, as_version=4)
    assert set(book.metadata) == {"kernelspec", "language_info"}, "run `make notebooks` before committing"
    cleaned = notebooks.clean(book, places=(ROOT,))
    assert nbformat.writes(cleaned) == nbformat.writes(book), "run `make notebooks` before committing"
    text = path.read_text(encoding="utf-8")
    assert "widget-view" not in text
    assert not re.search(r'"[^"]*(/(?:home|root|Users|tmp)/|[A-Z]:\\\\Users)', text), "an absolute path"
    assert path.stat().st_size < 1_000_000


def test_all_committed_notebooks_together_are_small_and_hold_no_widgets():
    assert sum(path.stat().st_size for path in NOTEBOOKS) < len(NOTEBOOKS) * 1_000_000
    views = [
        o for path in NOTEBOOKS for c in code_cells(path) for o in c.outputs if notebooks.WIDGET in o.get("data", {})
    ]
    states = [path.name for path in NOTEBOOKS if "widgets" in nbformat.read(path, as_version=4).metadata]
    assert not views and not states


@every_notebook
def test_committed_notebook_was_executed_in_order_and_without_errors(path):
    cells = [c for c in code_cells(path) if c.source.strip()]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert not [o for c in cells for o in c.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert any(o.output_type in ("display_data", "execute_result", "stream") for c in cells for o in c.outputs)


@every_notebook
def test_parameters_cell_has_the_core_names(path):
    cells = [c for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    names = notebooks.parameter_names(nbformat.read(path, as_version=4))
    assert names[: len(CORE_PARAMETERS)] == CORE_PARAMETERS


@every_notebook
def test_code_cells_are_short_and_text_is_plenty(path):
    lengths = [len(c.source.splitlines()) for c in code_cells(path)]
    assert statistics.median(lengths) < 10
    text = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    assert text[0].source.startswith("# ")
    assert len(text) >= len(lengths) / 3


@every_notebook
def test_tags_are_known_ones(path):
    known = {"parameters", "nbval-check-output", "nbval-skip", "hide-input", "minimal"}
    assert {tag for c in code_cells(path) for tag in c.metadata.get("tags", [])} <= known
