"""The numbered notebooks: clean and short as committed; executed on quick parameters they find what they should."""

import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mmdg_lite import notebooks
from mmdg_lite.runs import configure

ROOT = Path(__file__).parent.parent
NOTEBOOKS = notebooks.numbered(ROOT / "notebooks")
CORE_PARAMETERS = ["profile", "seed", "device", "data_root", "out_dir"]
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)

# parameters beyond the core ones with which a notebook is executed here, by its number
EXTRA: dict[str, dict[str, Any]] = {}

# endings of a run's tests: with everything, and with modalities missing
TEST_SUFFIXES = ("", "_without_depth", "_without_infrared", "_without_depth_infrared")


def check_data(found: dict[str, Any]) -> None:
    """01: samples repeat, conversions are complete, every kind of damage that it shows was noticed."""
    assert found["repeatable"] and found["subjects_shared"] == 0 and found["stream_resumes"]
    assert found["converted"] == dict.fromkeys("WCSP", 18) and found["problems"] == 0
    assert found["mismatch_refused"] and found["mismatch_paired"] and found["edit_noticed"] == 4
    assert found["cropped"] == [[104, 120], [80, 80]]
    assert all(0 < found["holes"][letter] < 0.8 for letter in "WCPS")
    assert found["holes_auc"]["S"] > found["holes_auc"]["P"]
    assert found["counts"]["S"]["test"] == [1800, 10764]


# what a notebook's findings must satisfy, by its number
def check_quickstart(found: dict[str, Any]) -> None:
    """00: the shipped model tells live from spoof on a domain it never saw; no modality's absence goes unnoticed."""
    assert found["faces"] == 200
    assert found["hter"] < 0.4 and found["auc"] > 0.7
    assert set(found["decided"].values()) == {"live", "spoof"}
    assert set(found["text_auc"]) == {"rgb", "depth", "infrared"}
    assert found["hter_without"]["all three"] == pytest.approx(found["hter"], abs=1e-3)
    assert len({round(value, 6) for value in found["hter_without"].values()}) > 1
    assert 0 <= found["certainty_lowest"] < found["certainty_highest"] <= 1


def check_training(found: dict[str, Any]) -> None:
    """06: a quick run of MMDG++ learns something that holds on the target, and is not made twice."""
    assert (found["method"], found["setting"], found["seed"]) == ("mmdg++", "CPS->W", 0)
    assert 0 < found["kept_step"] <= found["steps"] == configure("quick").training.steps
    assert found["validation_eer"] < 0.4 and found["auc"] > 0.6
    assert found["hter"] == pytest.approx((found["far"] + found["frr"]) / 2)
    assert set(found["hter_per_test"]) == {f"test_W{gone}" for gone in TEST_SUFFIXES}
    assert found["seconds_again"] < found["seconds"] / 4


def check_reproduction(found: dict[str, Any]) -> None:
    """07: every method of P1 has its numbers, in tables, figures and sentences."""
    (profile,) = found["profiles"]
    assert profile == "full (committed)"
    for metric in ("hter", "hter_at_eer", "auc"):
        assert {"linear_probe", "fusion", "mmdg++"} <= set(found[metric][profile])
    assert 0.5 < found["auc"][profile]["mmdg++"] <= 1
    measured = found["hter"][profile]["mmdg++"] - found["hter"][profile]["linear_probe"]
    assert found["mmdg++_minus_linear_probe"] == pytest.approx(measured)
    assert found["hardest_target"] in "WCPS"
    assert any("Nothing here speaks of real faces" in sentence for sentence in found["sentences"][profile])
    assert {"P1.md", "P1.tex", "runs.csv", "P1_hter_by_target.svg", "P1_roc_W.svg"} <= set(found["files"])


CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "00": check_quickstart,
    "01": check_data,
    "06": check_training,
    "07": check_reproduction,
}


def number(path: Path) -> str:
    return path.name[:2]


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_every_notebook_has_a_check_of_its_findings():
    assert {number(p) for p in NOTEBOOKS} == set(CHECKS)


@every_notebook
def test_executed_end_to_end_on_quick_parameters(path, tmp_path):
    parameters = {"profile": "quick", "device": "cpu", "out_dir": tmp_path / "out", **EXTRA.get(number(path), {})}
    executed = notebooks.execute(path, parameters=parameters, out=tmp_path / path.name, progress=False)
    errors = [o for c in code_cells(executed) for o in c.outputs if o.output_type == "error"]
    assert not errors
    CHECKS[number(path)](notebooks.read_findings(tmp_path / "out", number(path)))


def test_training_notebook_serves_the_linear_probe_too(tmp_path):
    parameters = {"method": "linear_probe", "device": "cpu", "out_dir": tmp_path / "run"}
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
    known = {"parameters", "nbval-check-output", "nbval-skip", "hide-input"}
    assert {tag for c in code_cells(path) for tag in c.metadata.get("tags", [])} <= known
