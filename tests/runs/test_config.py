"""A run's configuration, its name and its folder."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmdg_lite.configuration import ConfigurationError, from_dict, read_json, to_dict, write_json
from mmdg_lite.data.augmentation import Augmentation
from mmdg_lite.data.protocols import PROTOCOLS
from mmdg_lite.registry import check_path_name
from mmdg_lite.reproduce.progress import RunTimes
from mmdg_lite.runs import folder as run_folder
from mmdg_lite.runs.command import changed_settings
from mmdg_lite.runs.config import PROFILES, RunConfig, TrainingConfig, configure, resolve_device, setting_folder
from mmdg_lite.runs.folder import RunFolder, differences, read_run
from mmdg_lite.runs.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_gives_a_complete_configuration_that_survives_json(profile, tmp_path):
    config = configure(profile, data_root="/data")
    write_json(tmp_path / "config.json", config)
    assert read_json(RunConfig, tmp_path / "config.json") == config
    assert config.model.source_domains == ("C", "P", "S") == config.domains.sources
    assert (config.model.clip, config.data.size) == (("ViT-B-16", 224) if profile == "paper" else ("tiny", 64))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_configured_for_every_protocol(method):
    for protocol, settings in PROTOCOLS.items():
        name = next(iter(settings))
        config = configure("quick", protocol=protocol, setting=name, method=method)
        assert config.model.source_domains == settings[name].sources
        assert config.training.rule == METHODS[method].rule
        assert config.model.adapters == METHODS[method].adapters


@pytest.mark.parametrize(
    "options, named",
    [
        ({"profile": "fast"}, ["'fast'", "quick", "full", "paper"]),
        ({"protocol": "P9"}, ["'P9'", "P1", "P5"]),
        ({"setting": "CPS->X"}, ["'CPS->X'", "CPS->W", "CPW->S"]),
        ({"method": "mmdg+++"}, ["unknown method", "'mmdg+++'", "mmdg++", "linear_probe"]),
        ({"training": {"stepz": 3}}, ["training", "'stepz'", "steps"]),
        ({"training": {"steps": "3"}}, ["training.steps", "'3'"]),
        ({"training": {"steps": 0}}, ["training.steps", "at least 1"]),
        ({"training": {"rule": "regret"}}, ["training", "unknown rule", "'regret'", "regrad", "upgrad"]),
        ({"model": {"architecture": "resnet"}}, ["model", "unknown architecture", "'resnet'", "mmdg++"]),
        ({"data": {"augment": 1}}, ["data.augment", "bool"]),
        ({"model": {"dims": 3}}, ["model", "'dims'", "dim"]),
        ({"seed": "1"}, ["seed", "'1'"]),
        ({"profile": "paper"}, ["data_root"]),
    ],
)
def test_what_is_not_known_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=named[0]) as refusal:
        configure(**({"profile": "quick"} | options))
    assert all(name in str(refusal.value) for name in named), str(refusal.value)


def test_a_file_with_an_unknown_key_is_refused_by_file_and_key():
    values = to_dict(configure("quick"))
    values["training"]["epochs"] = 3
    with pytest.raises(ConfigurationError, match=r"run 7\.training: unknown key 'epochs'"):
        from_dict(RunConfig, values, where="run 7")


def test_runs_have_names_of_their_own():
    names = [
        configure("quick", protocol=protocol, setting=setting, method=method, seed=seed).name
        for protocol, settings in PROTOCOLS.items()
        for setting in settings
        for method in METHODS
        for seed in (0, 1)
    ]
    assert len(set(names)) == len(names)
    assert "P1/CPS-to-W/mmdg++/seed0" in names
    assert not any(character in name for name in names for character in " >\\:")


def test_augmentation_follows_configuration_and_protocol():
    plain = configure("quick", data={"augment": False})
    assert plain.augmentation() is None
    dropping = configure("quick", protocol="P5", data={"augment": False}).augmentation()
    assert dropping is not None
    assert (dropping.flip, dropping.offset, dropping.gamma) == (0, 0, (1, 1))
    assert dropping.modality_dropout == PROTOCOLS["P5"]["CPS->W"].modality_dropout > 0
    assert configure("quick").augmentation().modality_dropout == 0


def test_variants_of_sibling_code_are_settings_of_their_own():
    each = configure("quick", data={"jitter": "each"}).augmentation()
    assert (each.jitter_depth, each.per_copy) == (True, True)
    together = configure("quick", protocol="P5", data={"dropout": "together"})
    assert (together.augmentation().dropout, together.augmentation().modality_dropout) == ("together", 0.3)
    plain = configure("quick")
    assert plain.augmentation() == Augmentation() and not plain.data.random_missing
    assert changed_settings(together) == {"data.dropout": "together"}
    with pytest.raises(ValueError, match=r"data\.dropout.*protocol P5"):
        configure("quick", data={"dropout": "together"})
    with pytest.raises(ValueError, match=r"data\.jitter.*data\.augment"):
        configure("quick", data={"jitter": "each", "augment": False})


def test_differences_name_values_that_matter_and_pass_over_those_that_do_not():
    old = to_dict(configure("quick"))
    assert differences(old, old) == []
    free = configure("quick", device="cpu", data={"workers": 3, "cache": "x"}, training={"checkpoint_every": 7})
    assert differences(old, to_dict(free)) == []
    other = configure("quick", seed=2, training={"learning_rate": 1.0})
    assert [text.split(":")[0] for text in differences(old, to_dict(other))] == [
        "model.seed",
        "seed",
        "training.learning_rate",
    ]
    assert "1.0 asked for" in differences(old, to_dict(other))[-1]
    assert differences({"a": 1}, {}) == ["a: 1 there, None asked for"]


def test_auto_is_a_device_that_is_there(monkeypatch):
    assert resolve_device("cpu") == torch.device("cpu")
    torch.zeros(1, device=resolve_device("auto"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "meta"):
        with pytest.raises(ValueError, match=f"{name}.*not available"):
            resolve_device(name)
    with pytest.raises(ValueError, match="'gpu'; choose auto, cpu"):
        resolve_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1").index == 1
    with pytest.raises(ValueError, match="cuda:2"):
        resolve_device("cuda:2")


def test_settings_of_training_are_counts():
    for name in ("steps", "batch_size", "validate_every", "checkpoint_every"):
        with pytest.raises(ValueError, match=f"training.{name} must be at least 1, got 0"):
            TrainingConfig(**{name: 0})


@pytest.mark.parametrize(
    "part, name, value",
    [
        ("training", "learning_rate", math.nan),
        ("training", "learning_rate", -1.0),
        ("training", "weight_decay", math.inf),
        ("training", "patience", -1),
        ("training", "warmup", -5),
        ("training", "uncertainty_kl", -1.0),
        ("training", "momentum", 1.0),
        ("data", "train_samples", 0),
        ("data", "size", -3),
        ("data", "workers", -2),
    ],
)
def test_settings_out_of_range_are_refused_by_name(part, name, value):
    with pytest.raises(ConfigurationError, match=rf"{part}\.{name}(: expected a finite number| must be at least)"):
        configure("quick", **{part: {name: value}})


def test_faults_and_sources_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match="unknown fault 'D99'"):
        configure("quick", model={"released": ["D99"]})
    with pytest.raises(ConfigurationError, match=r"source_domains is W, but CPS->W trains on C, P, S"):
        configure("quick", model={"source_domains": ["W"]})


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_claimed_folder_tells_what_made_it(tmp_path):
    config = configure("quick", device="cpu")
    run = RunFolder(tmp_path / "new" / "run")
    with run.claimed(config):
        assert run.read_config() == config
        versions = run.environment.read_text()
    assert torch.__version__.split("+")[0] in versions and '"device": "cpu"' in versions
    assert not run.finished


def test_a_folder_of_another_configuration_is_refused_and_left_alone(tmp_path):
    run = RunFolder(tmp_path)
    with run.claimed(configure("quick")):
        pass
    before, other = run.config.read_bytes(), configure("quick", training={"steps": 7})
    with pytest.raises(RuntimeError, match=r"training\.steps: 60 there, 7 asked for") as refusal, run.claimed(other):
        pass
    assert str(tmp_path) in str(refusal.value) and run.config.read_bytes() == before
    with run.claimed(configure("quick", device="cpu")):  # the refusal let go of the folder
        pass


def test_a_finished_run_keeps_the_record_of_what_made_it(tmp_path):
    run = RunFolder(tmp_path)
    with run.claimed(configure("quick")):
        write_json(run.result, {})
    write_json(run.environment, {"python": "2.7"})
    with run.claimed(configure("quick")):
        assert run.finished
    assert '"2.7"' in run.environment.read_text()


def test_who_began_a_run_and_who_went_on_with_it_is_told_apart(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    for commit in ("first", "first", "second", "second"):
        monkeypatch.setattr(run_folder, "environment", lambda device, commit=commit: {"commit": commit})
        with run.claimed(configure("quick")):
            pass
    assert json.loads(run.environment.read_text()) == {"commit": "first", "resumed_with": [{"commit": "second"}]}


def test_a_damaged_configuration_is_named(tmp_path):
    run = RunFolder(tmp_path)
    run.config.write_text("{")
    with pytest.raises(ConfigurationError, match=r"config\.json: not valid JSON"), run.claimed(configure("quick")):
        pass


def test_the_second_of_two_processes_is_refused(tmp_path):
    code = f"""
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.config import configure
with RunFolder({str(tmp_path)!r}).claimed(configure("quick")):
    print("held", flush=True)
    input()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert holder.stdout.readline() == "held\n"
        second = RunFolder(tmp_path).claimed(configure("quick"))
        with pytest.raises(RuntimeError, match="another process holds this run") as refusal, second:
            pass
        assert str(tmp_path) in str(refusal.value)
        holder.kill()  # a dead process holds nothing
        holder.wait(timeout=600)
        with RunFolder(tmp_path).claimed(configure("quick")):
            pass
    finally:
        holder.kill()
        holder.communicate(timeout=600)


def test_what_killed_trainings_left_half_written_is_removed_at_the_next_start(tmp_path):
    run = RunFolder(tmp_path)
    run.scores.mkdir()
    left = [tmp_path / ".state.safetensors.0a1b.partial", run.scores / ".validation.csv.gz.0a1b.partial"]
    for path in left:
        path.write_bytes(b"half")
    with run.claimed(configure("quick")):
        assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    "key, value",
    [
        ("profile", "../../elsewhere"),
        ("protocol", "/tmp"),
        ("setting", "a/../b"),
        ("method", ".."),
        ("method", None),
        ("profile", "con"),
        ("profile", "Nul.x"),
        ("method", "x" * 101),
        ("seed", "../x"),
        ("data", []),
    ],
)
def test_names_in_files_that_would_become_paths_are_refused(key, value, make_run):
    run = make_run(method="fusion")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ValueError, match=rf"config\.json: .*{key}"):
        read_run(run)


@pytest.mark.parametrize("key", ["steps", "seconds", "p6_seconds", "memory_mib", "device_memory_mib"])
@pytest.mark.parametrize("value", ["1", [], {}, True])
def test_costs_of_a_result_that_are_no_numbers_are_named(key, value, make_run):
    run = make_run(method="fusion")
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {key: value}))
    for read in (read_run, RunTimes.recorded):
        with pytest.raises(ValueError, match=rf"result\.json: {key} is "):
            read(run)


@pytest.mark.parametrize("value", [None, [], 3, "x"])
def test_settings_of_training_that_are_no_object_are_named(value, make_run):
    run = make_run(method="fusion")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"training": value}))
    with pytest.raises(ValueError, match=r"config\.json: data and training must be objects"):
        RunTimes.recorded(run.parent)


@pytest.mark.parametrize("name", ["../fusion", "a/b", "", "."])
def test_a_method_s_name_is_no_path(name):
    values = to_dict(configure("quick", method="fusion")) | {"method": name}
    with pytest.raises(ConfigurationError, match="cannot name a method"):
        from_dict(RunConfig, values)


def test_every_setting_can_name_a_folder():
    for protocol in PROTOCOLS.values():
        for setting in protocol:
            check_path_name(setting_folder(setting), what="setting")


@pytest.mark.parametrize("text", ['{"resumed_with": 3}', '{"resumed_with": {}}', '{"threads": 1e400}', "[]"])
def test_a_damaged_environment_is_named(tmp_path, text):
    run = RunFolder(tmp_path)
    run.environment.write_text(text)
    with pytest.raises(ConfigurationError, match=r"environment\.json"), run.claimed(configure("quick")):
        pass


@pytest.mark.parametrize(
    "part, name, value",
    [
        ("data", "size", 1025),
        ("data", "test_samples", 2**20 + 1),
        ("data", "train_samples", 10**30),
        ("data", "workers", 257),
        ("data", "seed", 2**63),
    ],
)
def test_settings_that_no_machine_holds_are_refused(part, name, value):
    with pytest.raises(ValueError, match=rf"{part}\.{name} must be at most"):
        configure("quick", **{part: {name: value}})
