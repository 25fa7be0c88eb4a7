"""A user's own file: what it registers, what of it a run records, and what is refused."""

import json
import py_compile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdg_lite.configuration import ConfigurationError, to_dict, write_json
from mmdg_lite.inference.judge import open_judge
from mmdg_lite.models.builder import register_model
from mmdg_lite.regrad.balancing import Moment, balancing_weights
from mmdg_lite.reproduce.execution import execute_run
from mmdg_lite.reproduce.grid import TRAINING_NOTEBOOK, plan
from mmdg_lite.results.archive import archive
from mmdg_lite.runs import plugins
from mmdg_lite.runs.command import command_line, settings
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.folder import RunFolder, differences
from mmdg_lite.runs.methods import METHODS
from mmdg_lite.runs.plugins import PluginError, load_plugin
from mmdg_lite.runs.scores import write_scores
from mmdg_lite.training.rescoring import evaluate
from mmdg_lite.training.run import train

RULE = """
import torch
from mmdg_lite.regrad.balancing import register_rule
from mmdg_lite.runs.methods import Method, register_method

register_rule("doubled", lambda grams, moment: {m: 2 * torch.ones_like(gram[:, 0]) for m, gram in grams.items()})
register_method("mmdg++_doubled", Method(title="Doubled", rule="doubled"))
"""


@pytest.fixture(autouse=True)
def _tables_as_before(monkeypatch):
    before = {table: dict(names) for table, names in plugins.TABLES.items()}
    monkeypatch.setattr(plugins, "_loaded", {})
    yield
    for table, names in plugins.TABLES.items():
        names.clear()
        names.update(before[table])


@pytest.fixture
def doubled(tmp_path):
    path = tmp_path / "doubled.py"
    path.write_text(RULE)
    return path


def forget():
    """What a new process starts from."""
    plugins._loaded.clear()
    for table, name in (("rule", "doubled"), ("method", "mmdg++_doubled")):
        plugins.TABLES[table].pop(name, None)


def test_a_run_records_the_file_that_it_needs_and_a_new_process_names_it(doubled, tmp_path):
    config = configure("quick", method="mmdg++_doubled", plugins=[doubled])
    assert list(config.plugins) == ["doubled.py"] and config.plugins["doubled.py"].path == str(doubled)
    assert config.training.rule == "doubled"
    run = RunFolder(tmp_path / "run")
    write_json(run.config, config)
    forget()
    with pytest.raises(ValueError, match=r"unknown method 'mmdg\+\+_doubled'; choose one of linear_probe"):
        configure("quick", method="mmdg++_doubled")
    load_plugin(doubled)
    assert run.read_config() == config
    assert METHODS["mmdg++_doubled"].title == "Doubled"


def test_other_runs_record_nothing_and_a_rule_alone_is_recorded(doubled):
    assert configure("quick", method="fusion", plugins=[doubled]).plugins == {}
    assert configure("quick", method="fusion", plugins=[doubled]) == configure("quick", method="fusion")
    assert list(configure("quick", training={"rule": "doubled"}).plugins) == ["doubled.py"]


def test_a_changed_file_is_refused_and_a_moved_one_is_known_by_its_content(doubled, tmp_path):
    run = RunFolder(tmp_path / "run")
    config = configure("quick", method="mmdg++_doubled", plugins=[doubled])
    write_json(run.config, config)
    forget()
    load_plugin(doubled.rename(tmp_path / "elsewhere.py"))
    assert run.read_config() == config
    forget()
    doubled.write_text(RULE.replace("2 *", "3 *"))
    load_plugin(doubled)
    with pytest.raises(PluginError, match=r"doubled\.py that is loaded is not the file that the run was made with"):
        run.read_config()
    with pytest.raises(RuntimeError, match=r"another configuration \(plugins\.doubled\.py\.sha256: .* asked for"):
        run.check(configure("quick", method="mmdg++_doubled"))


@pytest.fixture
def foreign(tmp_path):
    """A finished run that a plugin was made for, as somebody else sends it; the code says when it is executed."""
    folder, trap = tmp_path / "foreign", tmp_path / "foreign" / "trap.py"
    folder.mkdir()
    trap.write_text(RULE + f"open({str(tmp_path / 'executed')!r}, 'w').close()\n")
    write_json(folder / "config.json", configure("quick", method="mmdg++_doubled", plugins=[trap]))
    write_json(folder / "result.json", {"threshold": 0.5, "metrics": {}})
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "metrics.jsonl").write_bytes(b"")
    write_scores(folder / "scores" / "validation.csv.gz", ["a", "b"], [1, 0], ["live", "print"], [0.9, 0.1])
    forget()
    (tmp_path / "executed").unlink()
    return folder


@pytest.mark.parametrize("place", ["as recorded", "/proc/self/cwd/foreign/trap.py", "foreign/trap.py"])
@pytest.mark.parametrize("command", ["evaluate", "archive", "predict", "export", "read", "train a configuration"])
def test_no_command_executes_code_that_only_a_run_folder_names(command, place, foreign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = json.loads((foreign / "config.json").read_text())
    if place != "as recorded":
        values["plugins"]["trap.py"]["path"] = place
        write_json(foreign / "config.json", values)
    execute = {
        "evaluate": lambda: evaluate(foreign),
        "archive": lambda: archive(foreign.parent, tmp_path / "archive"),
        "predict": lambda: open_judge(foreign),
        "export": lambda: open_judge(foreign / "model.safetensors"),
        "read": RunFolder(foreign).read_config,
        "train a configuration": lambda: train(
            replace(configure("quick"), plugins={"trap.py": plugins.Plugin(**values["plugins"]["trap.py"])}), tmp_path
        ),
    }[command]
    with pytest.raises(PluginError, match=r"needs the plugin 'trap\.py', recorded at .*trap\.py.* add --plugin FILE"):
        execute()
    assert not (tmp_path / "executed").exists()
    load_plugin(foreign / "trap.py")  # which the user names
    assert (tmp_path / "executed").exists() and RunFolder(foreign).read_config().method == "mmdg++_doubled"


def test_training_refuses_a_foreign_folder_before_anything_of_it_is_executed(foreign, tmp_path):
    with pytest.raises(RuntimeError, match=r"holds a run of another configuration \(plugins\.trap\.py: .*asked for"):
        train(configure("quick"), foreign)
    assert not (tmp_path / "executed").exists()


def test_cached_bytecode_beside_a_file_is_not_what_is_executed(doubled, tmp_path):
    """The checksum is of the source: bytecode of the same time and size, which Python would prefer, is other code."""
    source = doubled.read_text()
    doubled.write_text(source.replace("Doubled", "Trapped"))
    compiled = Path(py_compile.compile(str(doubled), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH))
    assert compiled.is_file()
    doubled.write_text(source)
    load_plugin(doubled)
    assert METHODS["mmdg++_doubled"].title == "Doubled"


def test_where_a_file_lies_is_no_difference_between_runs_but_its_content_is(doubled):
    one = to_dict(configure("quick", method="mmdg++_doubled", plugins=[doubled]))
    other = json.loads(json.dumps(one))
    other["plugins"]["doubled.py"]["path"] = "/elsewhere/doubled.py"
    assert differences(one, other) == []
    other["plugins"]["doubled.py"]["sha256"] = "0"
    assert [text.split(":")[0] for text in differences(one, other)] == ["plugins.doubled.py.sha256"]


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("p.txt", RULE, "no such Python file"),
        ("p.py", "x = 1", "registers no architecture, rule or method"),
        ("p.py", RULE + "1 / 0", "failed: ZeroDivisionError"),
        ("p.py", RULE.replace('"doubled",', '"regrad",', 1), "failed: ValueError: the rule 'regrad' is there already"),
        ("p.py", RULE.replace('"doubled",', '"../x",', 1), "failed: ValueError: '../x' cannot name a rule"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_and_nothing_of_it_stays(name, text, reason, tmp_path):
    before = {table: list(names) for table, names in plugins.TABLES.items()}
    (tmp_path / name).write_text(text)
    with pytest.raises(PluginError, match=reason) as refusal:
        load_plugin(tmp_path / name)
    assert name in str(refusal.value)
    assert {table: list(names) for table, names in plugins.TABLES.items()} == before


def test_one_process_does_not_load_two_versions_of_a_file(doubled):
    assert load_plugin(doubled) == load_plugin(doubled)
    doubled.write_text(RULE + "\n")
    with pytest.raises(PluginError, match="start a new process"):
        load_plugin(doubled)


def test_two_files_of_one_name_cannot_serve_one_run(doubled, tmp_path):
    other = tmp_path / "other" / "doubled.py"
    other.parent.mkdir()
    other.write_text("from mmdg_lite.runs.methods import *\nregister_method('m', Method(title='M', rule='doubled'))")
    with pytest.raises(PluginError, match="two plugins have one name"):
        configure("quick", method="m", plugins=[doubled, other])


def test_a_damaged_record_is_named(doubled, tmp_path):
    run = RunFolder(tmp_path / "run")
    values = to_dict(configure("quick", method="mmdg++_doubled", plugins=[doubled]))
    del values["plugins"]["doubled.py"]["sha256"]
    write_json(run.config, values)
    with pytest.raises(ConfigurationError, match=r"config\.json\.plugins\.doubled\.py.*'sha256'"):
        run.read_config()


def test_weights_of_another_form_are_refused_by_the_rule_s_name(tmp_path):
    (tmp_path / "p.py").write_text(RULE.replace("gram[:, 0]", "gram"))
    load_plugin(tmp_path / "p.py")
    moment = Moment(losses=[1.0, 1.0, 1.0], fastest=None, certainty=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"rule 'doubled' gave weights of shapes .*\[2, 3, 3\].*expected .*\[2, 3\]"):
        balancing_weights({0: torch.ones(2, 3, 3)}, "doubled", moment)


def test_an_architecture_s_name_cannot_be_taken_twice():
    with pytest.raises(ValueError, match="the architecture 'mmdg' is there already"):
        register_model("mmdg", lambda clip, config: None)


def test_the_notebook_of_a_run_is_told_its_files_and_no_other_run_is(doubled, monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(
        "mmdg_lite.reproduce.execution.execute", lambda path, *, parameters, **_: given.append(parameters)
    )
    methods = ["mmdg++_doubled", "fusion"]
    runs = plan("quick", protocols=["P1"], methods=methods, seeds=[0], out=tmp_path, plugins=[doubled])
    for run in runs[:2]:
        execute_run(run, tmp_path / TRAINING_NOTEBOOK)
    assert given[0]["plugins"] == [str(doubled)] and "plugins" not in given[1]


def test_a_run_says_which_files_it_needs(doubled):
    own, plain = configure("quick", method="mmdg++_doubled", plugins=[doubled]), configure("quick")
    assert f'--plugin "{doubled}"' in command_line(own) and "--plugin" not in command_line(plain)
    assert settings(own).set_index("name").loc["plugins", "value"] == "doubled.py"
    assert "plugins" not in set(settings(plain)["name"])
