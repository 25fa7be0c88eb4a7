"""The grid of runs: what is planned, what one failure does to the others, what a second call repeats."""

import json
from dataclasses import replace

import nbformat
import pytest

from mmdg_lite.configuration import write_json
from mmdg_lite.data.protocols import PROTOCOLS
from mmdg_lite.reproduce.execution import execute_run
from mmdg_lite.reproduce.grid import TRAINING_NOTEBOOK, overview, plan, run_grid
from mmdg_lite.runs.config import configure

# finishes a run, counts how often, and fails for one method
BODY = """
import json, os
from pathlib import Path

folder = Path(out_dir)
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "executions", "a") as file:
    file.write("x")
if method == "head" and not (folder / "mended").exists():
    raise ValueError("this one cannot be trained")
(folder / "result.json").write_text(json.dumps({"threads": os.environ["OMP_NUM_THREADS"]}))
"""


@pytest.fixture
def notebooks(tmp_path):
    """A folder with a training notebook that trains nothing."""
    folder = tmp_path / "notebooks"
    write_notebook(folder, BODY)
    return folder


def write_notebook(folder, body):
    names = ("profile", "seed", "device", "data_root", "out_dir", "protocol", "setting", "method", "cache", "teach")
    assignments = "\n".join([*(f"{name} = {'0' if name == 'seed' else repr('')}" for name in names), "changes = {}"])
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (assignments, body)])
    book.cells[0].metadata["tags"] = ["parameters"]
    folder.mkdir(exist_ok=True)
    nbformat.write(book, folder / TRAINING_NOTEBOOK)


def planned(tmp_path, **options):
    default = {"protocols": ["P1"], "methods": ["fusion"], "seeds": [0]}
    return plan("quick", **(default | options), out=tmp_path / "out", device="cpu")


# --- the plan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol, settings", [("P1", 4), ("P2", 4), ("P3", 2), ("P4", len(PROTOCOLS["P4"])), ("P5", 4), ("P6", 4)]
)
def test_a_protocol_has_its_settings_for_every_method_and_seed(protocol, settings, tmp_path):
    runs = planned(tmp_path, protocols=[protocol], methods=["fusion", "mmdg++"], seeds=[0, 1, 2])
    assert len(runs) == settings * 2 * 3
    assert len({run.folder for run in runs}) == len({run.notebook for run in runs}) == len(runs)


def test_the_tests_with_missing_modalities_share_the_runs_of_fixed_modalities(tmp_path):
    both = planned(tmp_path, protocols=["P1", "P2"])
    assert both == planned(tmp_path, protocols=["P1"]) == planned(tmp_path, protocols=["P2"])
    assert {run.config.protocol for run in both} == {"P1"}


def test_deployments_are_tested_where_they_are_asked_for_and_by_the_full_profile_on_p1(tmp_path):
    (plain, *_), (asked, *_) = planned(tmp_path), planned(tmp_path, protocols=["P1", "P6"])
    assert not plain.config.deployments and asked.config.deployments and plain.folder == asked.folder
    assert asked.changes == {"data": {"deployments": True}}  # what the run's notebook is told
    options = {"methods": ["fusion"], "seeds": [0], "out": tmp_path, "device": "cpu"}
    full = plan("full", protocols=["P1", "P3", "P5"], **options)
    assert {run.config.protocol for run in full if run.config.deployments} == {"P1"}
    off = plan("full", protocols=["P1"], changes={"data": {"deployments": False}}, **options)
    assert not any(run.config.deployments for run in off)


def test_a_finished_run_without_deployments_does_not_block_a_grid_with_them(tmp_path):
    before, now = (plan("full", protocols=["P1"], methods=["fusion"], seeds=[0], out=tmp_path, device="cpu",
                        changes={"data": {"deployments": on}}) for on in (False, True))  # fmt: skip
    for run in before:
        write_json(run.folder / "config.json", run.config)
        write_json(run.folder / "result.json", {})
    assert run_grid(now, notebooks=tmp_path, workers=1, progress=False) == []


def test_real_data_has_no_deployments(tmp_path):
    options = {"methods": ["fusion"], "seeds": [0], "out": tmp_path, "data_root": "/data"}
    with pytest.raises(ValueError, match="P6 has synthetic faces only"):
        plan("full", protocols=["P6"], **options)
    assert not any(run.config.deployments for run in plan("full", protocols=["P1"], **options))


def test_real_data_is_asked_for_those_unseen_attacks_only_that_it_has(tmp_path):
    runs = plan("paper", protocols=["P4"], methods=["fusion"], seeds=[0], out=tmp_path, data_root="/data")
    expected = [setting.name for setting in PROTOCOLS["P4"].values() if not setting.synthetic_only]
    assert [run.config.setting for run in runs] == expected
    assert {run.config.data.root for run in runs} == {"/data"} and {run.config.data.cache for run in runs} == {None}


@pytest.mark.parametrize(
    "options, named",
    [({"protocols": ["P7"]}, "'P7'.*P1.*P5"), ({"methods": ["best"]}, r"'best'.*linear_probe.*mmdg\+\+")],
)
def test_unknown_names_are_refused_before_anything_runs(options, named, tmp_path):
    with pytest.raises(ValueError, match=named):
        planned(tmp_path, **options)


def test_the_overview_counts_what_is_finished(tmp_path):
    runs = planned(tmp_path, methods=["fusion", "head"])
    write_json(runs[0].folder / "result.json", {})
    table = overview(runs).set_index("method")
    assert table.loc["fusion", "finished"] == 1 and table.loc["head", "finished"] == 0
    assert table["runs"].tolist() == [4, 4]


# --- execution -------------------------------------------------------------------------------------------------------


def executions(run):
    path = run.folder / "executions"
    return len(path.read_text()) if path.exists() else 0


def test_one_failure_does_not_stop_the_others_and_only_it_is_tried_again(notebooks, tmp_path):
    runs = planned(tmp_path, methods=["head", "fusion"])[:2]
    outcomes = {outcome.name: outcome for outcome in run_grid(runs, notebooks=notebooks, workers=1, progress=False)}
    failed, fine = (outcomes[run.config.name] for run in runs)
    assert "ValueError: this one cannot be trained" in failed.error and fine.error == ""
    assert [run.finished for run in runs] == [False, True]
    assert all(run.notebook.is_file() for run in runs)
    assert json.loads((runs[1].folder / "result.json").read_text())["threads"].isdigit()
    (runs[0].folder / "mended").touch()
    failure = (runs[0].folder / "failure.txt").read_text()
    assert "Traceback" in failure and 'raise ValueError("this one cannot be trained")' in failure
    [again] = run_grid(runs, notebooks=notebooks, workers=1, progress=False)
    assert (again.name, again.error) == (runs[0].config.name, "")
    assert [executions(run) for run in runs] == [2, 1]
    assert not (runs[0].folder / "failure.txt").exists()
    assert run_grid(runs, notebooks=notebooks, workers=1, progress=False) == []


def test_a_folder_of_another_configuration_is_refused_before_anything_runs(notebooks, tmp_path):
    runs = planned(tmp_path)[:2]
    write_json(runs[1].folder / "config.json", replace(runs[1].config, seed=9))
    write_json(runs[1].folder / "result.json", {})
    with pytest.raises(RuntimeError, match="seed: 9 there, 0 asked for"):
        run_grid(runs, notebooks=notebooks, workers=1, progress=False)
    assert executions(runs[0]) == 0


@pytest.mark.parametrize(
    "body, reason",
    [
        ("import os\nos._exit(1)", "DeadKernelError"),
        ("pass", "has no result"),
    ],
    ids=["dies", "does nothing"],
)
def test_whatever_becomes_of_a_kernel_becomes_an_outcome(body, reason, tmp_path):
    write_notebook(tmp_path / "notebooks", body)
    [run] = planned(tmp_path)[:1]
    assert reason in execute_run(run, tmp_path / "notebooks" / TRAINING_NOTEBOOK).error


def test_the_notebook_is_given_what_configures_the_run(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(
        "mmdg_lite.reproduce.execution.execute", lambda path, *, parameters, **_: given.update(parameters)
    )
    [run] = planned(tmp_path, methods=["mmdg"], protocols=["P3"], seeds=[4])[:1]
    execute_run(run, tmp_path / TRAINING_NOTEBOOK)
    config = configure(
        given["profile"],
        protocol=given["protocol"],
        setting=given["setting"],
        method=given["method"],
        seed=given["seed"],
        device=given["device"],
        data_root=given["data_root"] or None,
        data={"cache": given["cache"]},
    )
    assert config == run.config and given["out_dir"] == str(run.folder)


@pytest.mark.parametrize("part", ["protocols", "methods", "seeds"])
def test_a_grid_of_nothing_is_refused(part, tmp_path):
    grid = {"protocols": ["P1"], "methods": ["fusion"], "seeds": [0]} | {part: []}
    with pytest.raises(ValueError, match="at least one protocol, one method and one seed"):
        plan("quick", out=tmp_path, **grid)


def test_a_grid_of_some_settings(tmp_path):
    grid = {"protocols": ["P1", "P3"], "methods": ["fusion"], "seeds": [0, 1], "out": tmp_path}
    planned = plan("quick", settings=["CW->PS", "CPS->W"], **grid)
    assert [(run.config.setting, run.config.seed) for run in planned] == [
        ("CPS->W", 0), ("CPS->W", 1), ("CW->PS", 0), ("CW->PS", 1),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"P1, P3 has no setting 'CP->W'; choose of CPS->W, "):
        plan("quick", settings=["CP->W"], **grid)
