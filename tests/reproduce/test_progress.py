"""What is said about a grid before and while it runs: the estimate, the table, the origin of the paper's settings."""

import json
import sys
import time

import pytest
import torch

from mmdg_lite.configuration import write_json
from mmdg_lite.reproduce.execution import CURRENT, Outcome
from mmdg_lite.reproduce.grid import plan
from mmdg_lite.reproduce.progress import ProgressTable, RunTimes, duration, estimate
from mmdg_lite.runs.config import configure, resolve_device
from mmdg_lite.runs.environment import peak_memory
from mmdg_lite.runs.paper_settings import OURS, SIBLING, paper_settings


@pytest.fixture
def planned(tmp_path):
    """Four runs of plain fusion, four of MMDG++."""
    return plan("quick", protocols=["P1"], methods=["fusion", "mmdg++"], seeds=[0], out=tmp_path / "out", device="cpu")


def finish(run, seconds):
    write_json(run.folder / "config.json", run.config)
    write_json(run.folder / "result.json", {"seconds": seconds, "steps": 1})


def test_the_estimate_is_the_least_of_recorded_runs_alike(planned, tmp_path):
    recorded = plan("quick", protocols=["P1"], methods=["fusion"], seeds=[5], out=tmp_path / "old", device="cpu")
    for run, seconds in zip(recorded, (120, 180, 600), strict=False):
        finish(run, seconds)
    times = RunTimes.recorded(tmp_path / "old", tmp_path / "nowhere")
    assert times.expected(planned[0]) == 120 and times.expected(planned[1]) is None
    finish(planned[0], 1)
    text = estimate(planned, workers=2, times=times)  # three runs of 120 s, two at a time
    assert text.startswith("8 runs, 1 finished, 7 to make; about 0.1 core-hours, 3 min at 2 at a time")
    # three of 120 s, and four of mmdg++ as long as these: 840 s
    assert text.endswith(
        "time is unknown: mmdg++ (about 0.2 core-hours in all if each of their runs takes as long as the longest known "
        "one)"
    )
    assert "time unknown" in estimate(planned, workers=2, times=RunTimes())
    changed = plan(
        "quick", protocols=["P1"], methods=["fusion"], seeds=[0], out=tmp_path, changes={"training": {"steps": 7}}
    )
    assert times.expected(changed[0]) is None


def test_the_lists_of_p6_are_counted_where_they_are_asked_for(tmp_path):
    def asked(protocol, out):
        return plan("quick", protocols=[protocol], methods=["fusion"], seeds=[0], out=tmp_path / out, device="cpu")

    plain, p6 = asked("P1", "new"), asked("P6", "new")
    finish(asked("P1", "old")[0], 1000)
    times = RunTimes.recorded(tmp_path / "old")
    assert times.expected(plain[0]) == times.expected(p6[0]) == 1000
    assert times.knows_p6(plain[0]) and not times.knows_p6(p6[0])
    assert estimate(p6, workers=1, times=times).endswith("the lists of protocol P6 in 4 runs")
    (run, *_) = asked("P6", "old with")
    write_json(run.folder / "config.json", run.config)
    write_json(run.folder / "result.json", {"seconds": 1300, "p6_seconds": 100, "steps": 1})
    times = RunTimes.recorded(tmp_path / "old", tmp_path / "old with")
    assert times.expected(plain[0]) == 1000 and times.expected(p6[0]) == 1100  # 1000 or 1200, and 100 of P6
    assert estimate(p6, workers=1, times=times) == (
        "4 runs, 0 finished, 4 to make; about 1.2 core-hours, 73 min at 1 at a time, by recorded runs"
    )


def test_times_on_a_gpu_say_nothing_of_times_on_a_cpu(planned, tmp_path, monkeypatch):
    (recorded, *_) = plan("quick", protocols=["P1"], methods=["fusion"], seeds=[5], out=tmp_path / "old", device="auto")
    write_json(recorded.folder / "config.json", recorded.config)
    write_json(recorded.folder / "result.json", {"seconds": 9, "steps": 1, "device_memory_mib": 70})
    times = RunTimes.recorded(tmp_path / "old")
    for there, expected in ((False, None), (True, 9)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert times.expected(planned[0]) is None and times.expected(recorded) == expected


def test_durations_in_words():
    assert [duration(s) for s in (8.4, 600, 3 * 3600)] == ["8 s", "10 min", "3.0 h"]


def test_the_table_counts_every_state_and_shows_steps(planned, capsys):
    table = ProgressTable(planned, workers=2, times=RunTimes())
    fusion = [run for run in planned if run.config.method == "fusion"]
    finish(fusion[0], 100)
    write_json(fusion[1].folder / CURRENT, {"worker": "here:1", "started": time.time() + 1})
    log = ['{"step": 1}', '{"event": "validation", "step": 20, "eer": 0.3125}', '{"step": 25}', '{"step": 3']
    (fusion[1].folder / "metrics.jsonl").write_text("\n".join(log))
    write_json(planned[1].folder / CURRENT, {"worker": "gone:1", "started": 0.0})  # left by a grid that was killed
    outcomes = [
        Outcome(name=fusion[2].config.name, seconds=3.0, error="broken"),
        Outcome(name=fusion[0].config.name, seconds=100.0),
    ]
    lines = table.lines(outcomes)
    assert lines[0].split() == ["method", "waiting", "running", "finished", "failed"]
    assert lines[1].split() == ["P1", "fusion", "1", "1", "1", "1"]
    assert lines[2].split() == ["P1", "mmdg++", "4", "0", "0", "0"]
    assert lines[3].strip() == f"{fusion[1].config.name}: step 25 of 60, validation EER in %: 31.2"
    assert lines[-1].endswith("unknown time left")
    table.show(outcomes)
    printed = capsys.readouterr().out.splitlines()  # not a terminal: a line per outcome
    assert printed[0] == f"{fusion[1].config.name}: step 20 of 60, validation EER 31.2 %"
    assert printed[1] == f"FAILED {fusion[2].config.name} (3 s); 1 of 8 runs finished"
    assert printed[2].startswith(f"done {fusion[0].config.name} (2 min)")
    table.show(outcomes)
    assert capsys.readouterr().out == ""
    log[-1] = '{"event": "validation", "step": 40, "eer": 0.25}'
    (fusion[1].folder / "metrics.jsonl").write_text("\n".join([*log, ""]))
    table.show(outcomes)
    assert capsys.readouterr().out == f"{fusion[1].config.name}: step 40 of 60, validation EER 25.0 %\n"
    assert table.lines(outcomes)[3].endswith("step 40 of 60, validation EER in %: 31.2 25.0")
    assert table.times.expected(fusion[3]) == 100


def test_the_steps_of_a_solver_are_not_counted_against_those_of_a_training(tmp_path):
    (run, *_) = plan("quick", protocols=["P1"], methods=["linear_probe"], seeds=[0], out=tmp_path, device="cpu")
    write_json(run.folder / CURRENT, {"worker": "here:1", "started": time.time() + 1})
    (run.folder / "metrics.jsonl").write_text('{"event": "validation", "step": 541, "eer": 0.25}\n')
    lines = ProgressTable([run], workers=1, times=RunTimes()).lines([])
    assert f"{run.config.name}: step 541, validation EER in %: 25.0" in [line.strip() for line in lines]


def test_in_a_terminal_the_table_is_drawn_over_itself(planned, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    table = ProgressTable(planned, workers=2, times=RunTimes())
    table.show([])
    height = len(capsys.readouterr().out.splitlines())
    table.show([])
    assert capsys.readouterr().out.startswith(f"\x1b[{height}A\x1b[J")


def test_known_and_chosen_settings_are_told_apart():
    config = configure("paper", data_root="/data", training={"batch_size": 2})
    table = paper_settings(config).set_index("setting")
    assert table.loc["model.rate", "value"] == "2.5" and "TPAMI" in table.loc["model.rate", "origin"]
    assert table.loc["training.learning_rate", "origin"] == SIBLING
    assert table.loc["training.patience", "origin"] == OURS
    assert table.loc["training.batch_size", ["value", "origin"]].tolist() == ["2", "changed"]


def test_peak_memory_grows_with_what_is_held():
    before = peak_memory(resolve_device("cpu"))
    held = b"x" * (3 * before["memory_mib"] * 2**20 // 2)
    after = peak_memory(resolve_device("cpu"))
    assert after["memory_mib"] >= len(held) / 2**20 > before["memory_mib"] > 0
    assert before["device_memory_mib"] is None
    json.dumps(after)


def test_a_log_with_a_very_long_line_or_a_damaged_one_stops_nothing(planned):
    run = planned[0]
    write_json(run.folder / CURRENT, {"worker": "here:1", "started": time.time() + 1})
    skipped = {"event": "skipped", "step": 7, "ids": ["W-train-00001"] * 1000}
    (run.folder / "metrics.jsonl").write_text(json.dumps(skipped) + "\n{damaged\n[1]\n")
    lines = ProgressTable(planned, workers=1, times=RunTimes()).lines([])
    assert f"{run.config.name}: step 7 of 60" in [line.strip() for line in lines]


def test_memory_is_not_known_on_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("mmdg_lite.runs.environment.Path.is_file", lambda path: False)
    assert peak_memory(torch.device("cpu")) == {"memory_mib": None, "device_memory_mib": None}
