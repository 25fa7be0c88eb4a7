"""The command line: help for every command, errors for unknown options, one screen on failure."""

import dataclasses
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mmdg_lite.__main__ import GROUPS, main, parser
from mmdg_lite.teaching.assignments import Written, assignments


def commands() -> list[str]:
    return sorted(next(a for a in parser()._actions if a.dest == "command").choices)


NEEDED = {"evaluate": ["RUN"], "certainty-study": ["RUNS"], "archive": ["FROM", "TO"], "convert-clip": ["FILE"]}
"""What a command cannot do without."""


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_that_says_what_it_does_and_its_defaults(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"python -m mmdg_lite {command}" in text
    assert "(default: " in " ".join(text.split())  # a long path begins a line of its own
    assert "examples:" in text


def test_help_lists_every_command_in_a_group(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert [name for name in commands() if not re.search(rf"^  {name} +\w", text, re.MULTILINE)] == []
    assert [group for group in GROUPS if f"\n{group}:\n" not in text] == []


@pytest.mark.parametrize("command", commands())
def test_the_examples_are_commands_that_exist(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    prefix = "  python -m mmdg_lite "
    examples = [line for line in capsys.readouterr().out.splitlines() if line.startswith(prefix)]
    assert examples
    for example in examples:
        assert parser().parse_args(shlex.split(example.removeprefix(prefix))).command == command


@pytest.mark.parametrize("command", commands())
def test_unknown_options_are_errors(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, *NEEDED.get(command, []), "--no-such-option"])
    assert stop.value.code == 2
    assert "no-such-option" in capsys.readouterr().err


def test_unknown_commands_and_protocols_are_errors_that_list_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["tables", "--protocols", "P9"])
    assert "P1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["tabels"])
    assert "tables" in capsys.readouterr().err


def test_tables_from_runs(make_run, tmp_path, capsys):
    make_run()
    assert main(["tables", "--runs", str(tmp_path), "--out", str(tmp_path / "out"), "--protocols", "P1"]) == 0
    printed = capsys.readouterr().out.split()
    assert str(tmp_path / "out" / "P1.md") in printed
    assert str(tmp_path / "out" / "figures" / "quick_synthetic" / "P1_risk_coverage_W.svg") in printed


def test_train_hands_its_options_to_train(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("mmdg_lite.training.run.train", lambda config, folder: seen.append((config, folder)))
    options = [
        "--method",
        "fusion",
        "--setting",
        "CPW->S",
        "--seed",
        "3",
        "--set",
        "training.steps=7",
        "data.augment=false",
    ]
    assert main(["train", *options, "--out", str(tmp_path)]) == 0
    [(config, folder)] = seen
    assert (config.method, config.setting, config.seed, config.profile) == ("fusion", "CPW->S", 3, "quick")
    assert (config.training.steps, config.data.augment) == (7, False)
    assert folder == tmp_path


def test_pretrain_clip_changes_only_what_is_given(monkeypatch, tmp_path):
    from mmdg_lite.pretraining import train as pretraining

    seen = []
    monkeypatch.setattr(pretraining, "pretrain_clip", lambda **options: seen.append(options))
    assert main(["pretrain-clip", "--out", str(tmp_path), "--steps", "12"]) == 0
    assert seen[0]["config"] == dataclasses.replace(pretraining.PretrainingConfig(), steps=12)
    assert seen[0]["out"] == tmp_path


def test_reproduce_hands_its_options_to_reproduce_and_defaults_agree(monkeypatch):
    import mmdg_lite.reproduce.everything as module

    defaults = {p.name: p.default for p in inspect.signature(module.reproduce).parameters.values()}
    seen = []
    monkeypatch.setattr(module, "reproduce", lambda profile, **options: seen.append((profile, options)))
    assert main(["reproduce"]) == 0
    profile, options = seen[0]
    assert profile == defaults["profile"]
    for name, value in options.items():
        plain = tuple(value) if isinstance(value, list) else str(value) if isinstance(value, Path) else value
        assert plain == defaults[name], name
    assert main(["reproduce", "--protocols", "P1", "P3", "--seeds", "0", "1", "--methods", "fusion"]) == 0
    assert (seen[1][1]["protocols"], seen[1][1]["seeds"], seen[1][1]["methods"]) == (["P1", "P3"], [0, 1], ["fusion"])


def test_assignments_go_into_the_folder_asked_for(monkeypatch, tmp_path, capsys):
    import mmdg_lite.teaching.assignments as module

    seen = []
    monkeypatch.setattr(
        module, "assignments", lambda out, force: seen.append(out) or Written((out / "1_metrics.ipynb",), ())
    )
    assert main(["assignments"]) == 0
    assert seen == [Path(inspect.signature(assignments).parameters["out"].default)]
    capsys.readouterr()
    assert main(["assignments", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "1_metrics.ipynb")]


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("steps=7", "write data.NAME=VALUE"),
        ("training.stepz=7", "stepz"),
        ("training.steps=many", "steps"),
        ("training.steps", "write data.NAME=VALUE"),
    ],
)
def test_wrong_settings_are_errors_that_name_them(assignment, message, capsys, tmp_path):
    assert main(["train", "--out", str(tmp_path / "run"), "--set", assignment]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_failure_fits_on_one_screen_and_says_what_to_do(tmp_path, capsys):
    assert main(["tables", "--runs", str(tmp_path)]) == 1
    text = capsys.readouterr().err
    assert "tables failed: FileNotFoundError: no finished run" in text
    assert "doctor" in text
    assert "Traceback" not in text
    assert len(text.splitlines()) < 40
    assert main(["--traceback", "tables", "--runs", str(tmp_path)]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interruption_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mmdg_lite.results.tables.tables", interrupted)
    assert main(["tables", "--runs", str(tmp_path)]) == 130
    assert "goes on from what is finished" in capsys.readouterr().err


def test_help_answers_without_importing_torch():
    code = """
import sys
from mmdg_lite.__main__ import main
try:
    main(["--help"])
except SystemExit:
    assert "torch" not in sys.modules
else:
    raise AssertionError("--help did not exit")
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=600)
