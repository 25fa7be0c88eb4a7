"""What is shown of one run agrees with the run's files, for trained methods and for the linear probe."""

import json

import numpy as np
import pytest

from mmdg_lite.plots import run as run_report
from mmdg_lite.results import one_run
from mmdg_lite.results.collect import read_history
from mmdg_lite.runs import command as command_module
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.setting_data import load_setting
from mmdg_lite.training.run import train
from mmdg_lite.training.trainer import Trainer
from tests.support.small_runs import small_config, small_data

SMALL = {
    "data": {"train_samples": 16, "validation_samples": 16, "test_samples": 24},
    "model": {"clip_checkpoint": "random"},
    "device": "cpu",
}
STEPS = {"training": {"steps": 2, "batch_size": 8, "validate_every": 1}}


@pytest.fixture(scope="module")
def config():
    return configure("quick", method="fusion", **SMALL, **STEPS)


@pytest.fixture(scope="module")
def data(config):
    return load_setting(config, progress=False)


@pytest.fixture(scope="module")
def trained(config, data, tmp_path_factory):
    return train(config, tmp_path_factory.mktemp("run") / "fusion", progress=False, data=data)


@pytest.fixture(scope="module")
def probed(data, tmp_path_factory):
    config = configure("quick", method="linear_probe", **SMALL)
    return train(config, tmp_path_factory.mktemp("run") / "probe", progress=False, data=data)


def test_findings_are_the_results(trained, probed):
    for run, method, steps in ((trained, "fusion", 2), (probed, "linear_probe", 0)):
        found = one_run.run_findings(run)
        metrics = json.loads((run / "result.json").read_text())["metrics"]
        assert (found["method"], found["setting"], found["steps"]) == (method, "CPS->W", steps)
        assert found["hter"] == metrics["test_W"]["hter"]
        assert found["validation_eer"] == metrics["validation"]["eer"]
        assert found["hter_per_test"]["test_W_without_depth"] == metrics["test_W_without_depth"]["hter"]


def test_the_kept_candidate_is_the_one_that_tested(trained, probed):
    looks = one_run.validations(trained)
    improved = looks[looks["improved"]].iloc[-1]
    assert looks["kept"].sum() == 1 and looks.loc[looks["kept"], "step"].iloc[0] == improved["step"]
    looks = one_run.validations(probed)
    assert looks.loc[looks["kept"], "loss"].iloc[0] == looks["loss"].min()


def test_learning_is_drawn_for_both_kinds(trained, probed):
    curves = run_report.learning(trained).axes[0]
    head = next(line for line in curves.lines if line.get_color() == "black")
    assert list(head.get_ydata()) == pytest.approx(list(read_history(trained)["loss_total"]))
    choice = run_report.learning(probed).axes
    assert choice[0].get_xscale() == "log"
    assert list(choice[0].lines[0].get_ydata()) == list(read_history(probed, event="validation")["loss"])


def test_table_has_every_test_at_the_threshold_from_the_sources(trained):
    table = one_run.test_table(trained)
    metrics = json.loads((trained / "result.json").read_text())["metrics"]
    assert list(table["missing"]) == ["nothing", "depth", "depth and infrared", "infrared"]
    row = table.iloc[0]
    assert row["HTER"] == pytest.approx(100 * metrics["test_W"]["hter"], abs=0.005)
    worst = metrics["test_W"]["apcer_per_species"][row["worst species"].replace(" ", "_")]
    assert worst == max(metrics["test_W"]["apcer_per_species"].values())
    axes = run_report.histogram(trained).axes[0]
    assert axes.lines[0].get_xdata()[0] == one_run.threshold(trained)


def test_samples_count_both_classes(config, data):
    table = run_report.samples(data).set_index("list")
    assert table.loc["train", "domains"] == "C P S"
    assert table.loc["train", ["live", "spoof"]].sum() == 3 * 16
    assert table.loc["test W", ["live", "spoof"]].sum() == 24


def test_a_batch_is_shown_as_the_model_gets_it(config, data):
    plain = configure("quick", method="fusion", **(SMALL | {"data": SMALL["data"] | {"augment": False}}), **STEPS)
    pixels = run_report.first_batch(plain, data)
    whole = data.train.read(range(len(data.train)))
    matches = [np.flatnonzero((whole.rgb == image).all(axis=(1, 2, 3))) for image in pixels.rgb]
    assert len(pixels) == 8 and all(len(match) == 1 for match in matches)
    rows = [match[0] for match in matches]
    assert np.array_equal(pixels.depth, whole.depth[rows]) and np.array_equal(pixels.label, whole.label[rows])
    assert not np.array_equal(run_report.first_batch(config, data).rgb, pixels.rgb)


@pytest.mark.parametrize("method", ["fusion", "ssdg"])
def test_the_first_batch_is_that_of_training_balanced_or_not(method, tmp_path):
    config = small_config(method)
    data = small_data(config)
    first = next(iter(Trainer(config, RunFolder(tmp_path), data, progress=False)._epoch(0, 0)))
    shown = run_report.first_batch(config, data)
    assert shown.label.tolist() == first["label"].tolist() and list(shown.species) == first["species"]


def test_settings_list_everything(config):
    table = command_module.settings(config).set_index(["part", "name"])["value"]
    assert table["training", "steps"] == "2" and table["run", "method"] == "fusion"
    assert len(table) == 6 + sum(len(vars(part)) for part in (config.data, config.model, config.training))


def test_command_names_what_differs_from_the_profile(config, trained):
    command = command_module.command_line(config, out="runs/x")
    assert '--setting "CPS->W" --method fusion --seed 0' in command and command.endswith("--out runs/x")
    assert "'training.steps=2'" in command and "'data.train_samples=16'" in command
    assert "learning_rate" not in command and "cache" not in command
    assert "--set " not in command_module.command_line(configure("full"))
    assert RunFolder(trained).read_config() == config


def test_what_is_free_to_change_is_as_the_command_makes_it():
    ours = {"cuda_graphs": True, "checkpoint_every": 7, "steps": 9}
    config = configure("full", device="cpu", data={"cache": "/tmp/x", "workers": 3}, training=ours)
    assert command_module.as_commanded(config) == configure("full", training={"steps": 9})
