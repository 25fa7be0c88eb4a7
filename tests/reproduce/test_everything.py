"""The reproduction in one call, with notebooks that do next to nothing."""

import nbformat
import pytest

from mmdg_lite.reproduce import everything as module
from mmdg_lite.reproduce.everything import INTRODUCTION, TABLES_NOTEBOOK, ReproductionFailed, reproduce
from mmdg_lite.reproduce.execution import Outcome
from mmdg_lite.reproduce.grid import TRAINING_NOTEBOOK

COMMON = ("profile", "seed", "device", "data_root", "out_dir")
WRITE = "from mmdg_lite.reproduce.notebooks import write_findings\nwrite_findings(out_dir, {name!r}, {{'seed': seed}})"


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Notebooks that write their findings; the runs of the grid are made by whoever fills `outcomes`."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in (*INTRODUCTION, TRAINING_NOTEBOOK, TABLES_NOTEBOOK):
        names = (*COMMON, "runs") if name == TABLES_NOTEBOOK else COMMON
        cells = ["\n".join(f"{n} = ''" for n in names), WRITE.format(name=name[:2])]
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
        book.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(book, folder / name)
    monkeypatch.setattr(module, "NOTEBOOKS", folder)
    seen = {"executed": [], "planned": [], "outcomes": []}
    plain = module.execute

    def execute(path, **options):
        seen["executed"].append(path.name)
        return plain(path, **options)

    def run_grid(planned, **_):
        seen["planned"].append([run.config.name for run in planned])
        return seen["outcomes"]

    monkeypatch.setattr(module, "execute", execute)
    monkeypatch.setattr(module, "run_grid", run_grid)
    return seen


def test_notebooks_and_runs_are_made_in_order_and_introductions_once(calls, tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        assert reproduce("quick", seeds=[3], out=out, progress=False, device="cpu") == out
    assert calls["executed"] == [*INTRODUCTION, TABLES_NOTEBOOK, TABLES_NOTEBOOK]
    assert [len(names) for names in calls["planned"]] == [12, 12]
    assert all("/seed3" in name for name in calls["planned"][0])
    made = sorted(path.name for path in (out / "notebooks").glob("*.ipynb"))
    assert made == sorted([*INTRODUCTION, TABLES_NOTEBOOK])
    assert all((out / "notebooks" / name).with_suffix(".log").is_file() for name in made)


def test_the_short_profile_has_one_setting_and_no_introduction(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reproduce(progress=False, device="cpu") == tmp_path / "runs" / "short"
    assert calls["executed"] == [TABLES_NOTEBOOK]
    assert calls["planned"] == [[f"P1/CPS-to-W/{method}/seed0" for method in ("mmdg++", "fusion", "linear_probe")]]


def test_failures_are_told_on_one_screen_and_no_table_is_made(calls, tmp_path):
    long = "\n".join(["06_training.ipynb, cell 3: ValueError: " + "x" * 5000, *(f"line {i}" for i in range(500))])
    calls["outcomes"] += [Outcome(name=f"P1/run{i}", seconds=1.0, error=long) for i in range(3)]
    calls["outcomes"] += [Outcome(name="P1/fine", seconds=1.0)]
    with pytest.raises(ReproductionFailed) as failure:
        reproduce("quick", out=tmp_path / "out", progress=False, device="cpu")
    message = str(failure.value)
    assert message.startswith("3 of 12 runs failed")
    assert "P1/run0: 06_training.ipynb, cell 3: ValueError" in message and "P1/run1" in message
    assert str(tmp_path / "out" / "notebooks") in message and "tries the failed runs again" in message
    assert len(message.splitlines()) <= 30 and max(map(len, message.splitlines())) < 500
    assert message.splitlines()[-1] == "line 499"
    assert TABLES_NOTEBOOK not in calls["executed"]


def test_an_installation_without_notebooks_is_told_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "NOTEBOOKS", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="run from a clone"):
        reproduce("quick", out=tmp_path, progress=False)
