"""Protocol P6 in runs: the frozen deployments and the reliability curves are scored beside the run's other tests."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mmdg_lite.__main__ import main
from mmdg_lite.results.archive import archive, unpack
from mmdg_lite.results.collect import collect, list_names, read_list
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.scores import TEST, of_p6
from mmdg_lite.runs.setting_data import p6_files, p6_lists
from mmdg_lite.training.run import train
from tests.support.small_runs import small_config, small_data

FACES = 16


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    """A finished run of two steps that is tested on P6."""
    config = small_config(
        "fusion", training={"steps": 2}, data={"deployments": True, "cache": str(cache), "test_samples": FACES}
    )
    return train(config, tmp_path_factory.mktemp("runs") / config.name, progress=False, data=small_data(config))


def test_a_run_scores_every_list_of_p6(run):
    lists = [name for name in list_names(run) if (match := TEST.fullmatch(name)) and of_p6(match)]
    assert [f"{name}.csv.gz" for name in lists] == sorted(p6_files("W")) and len(lists) == 24 + 15
    assert {len(read_list(run, name)) for name in lists} == {FACES}
    assert read_list(run, "test_P6_d07").ids[0] == "P6-d07-00000"
    assert read_list(run, "test_W_depth_fault3").ids[0] == "W-test-00000"  # the faces of the test list


def test_its_result_and_its_other_tables_are_those_of_a_run_without(run, tmp_path):
    result = json.loads((run / "result.json").read_text())
    assert not [name for name in result["metrics"] if "P6" in name or "fault" in name]
    assert 0 < result["p6_seconds"] <= result["seconds"]
    config = small_config("fusion", training={"steps": 2}, data={"test_samples": FACES})
    plain = train(config, tmp_path / "plain", progress=False, data=small_data(config))
    assert not [name for name in list_names(plain) if "P6" in name or "fault" in name]
    drop = ["run", "seconds"]
    first, second = collect(run).drop(columns=drop), collect(plain).drop(columns=drop)
    assert first.equals(second) and len(first) == 4


def test_rendering_is_shared_by_runs_through_the_cache(run, cache, monkeypatch):
    config = small_config("head", data={"deployments": True, "cache": str(cache), "test_samples": FACES})
    monkeypatch.setattr("mmdg_lite.runs.setting_data.deployment_faces", pytest.fail)
    monkeypatch.setattr("mmdg_lite.runs.setting_data.fault_faces", pytest.fail)
    names = [name for name, dataset in p6_lists(config) if len(dataset) == FACES]
    assert names == p6_files("W")


def test_p6_is_added_to_a_finished_run(run, cache, tmp_path):
    config = small_config("fusion", training={"steps": 2}, data={"test_samples": FACES, "cache": str(cache)})
    plain = train(config, tmp_path / "plain", progress=False, data=small_data(config))
    before = (plain / "result.json").read_bytes()
    assert main(["evaluate", str(plain), "--deployments", "--device", "cpu"]) == 0
    assert list_names(plain) == list_names(run) and (plain / "result.json").read_bytes() == before
    for name in p6_files("W"):
        assert (plain / "scores" / name).read_bytes() == (run / "scores" / name).read_bytes()


def test_the_linear_probe_is_tested_too(cache, tmp_path):
    config = small_config("linear_probe", data={"deployments": True, "cache": str(cache), "test_samples": FACES})
    probe = train(config, tmp_path / "probe", progress=False, data=small_data(config))
    assert {name.removesuffix(".csv.gz") for name in p6_files("W")} < set(list_names(probe))


def test_an_archive_keeps_the_lists_and_gives_them_back(run, tmp_path):
    archive(run.parents[3], tmp_path / "archive", asked_for_only=True)
    (kept,) = unpack(tmp_path / "archive", tmp_path / "again")
    assert list_names(kept) == list_names(run)
    for name in p6_files("W"):
        assert (kept / "scores" / name).read_bytes() == (run / "scores" / name).read_bytes()


def test_a_run_of_p6_needs_no_switch_and_real_data_has_none():
    assert configure("quick", protocol="P6").deployments and not configure("quick").deployments
    assert not configure("paper", protocol="P6", data_root="/data").deployments
    with pytest.raises(ValueError, match=r"data.deployments.*synthetic"):
        configure("quick", data_root="/data", data={"deployments": True})


def test_lists_are_as_short_as_the_runs_own_and_no_longer_than_frozen():
    few = small_config("fusion", data={"deployments": True, "test_samples": 5})
    _, dataset = next(p6_lists(few))
    assert len(dataset) == 5
    many = replace(few, data=replace(few.data, test_samples=2000))
    name, dataset = next(p6_lists(many))
    assert name == "test_P6_d00.csv.gz" and len(dataset) == 200 and np.mean(dataset.labels) == 0.5


@pytest.mark.parametrize(
    "name, groups",
    [
        ("test_W", ("W", None, None, None, None)),
        ("test_W_without_depth_infrared", ("W", "depth_infrared", None, None, None)),
        ("test_P6_d07", ("P6", None, "d07", None, None)),
        ("test_S_infrared_fault5", ("S", None, None, "infrared", "5")),
    ],
)
def test_one_pattern_reads_every_name(name, groups):
    match = TEST.fullmatch(name)
    assert match.groups() == groups and of_p6(match) == ("P6" in name or "fault" in name)
