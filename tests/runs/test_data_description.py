"""The record of a run's data: equal for equal data, different for any other, checked when a run goes on."""

import json
from dataclasses import replace

import pytest

from data_prep.__main__ import main as data_prep
from data_prep.miniatures import miniature
from mmdg_lite.data.real.manifest import read_manifest, write_manifest
from mmdg_lite.modality import MODALITIES
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.data_description import describe_data, note_data
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.setting_data import load_setting
from mmdg_lite.training.run import train
from tests.support.small_runs import small_config, small_data

SMALL = {"size": 16, "train_samples": 24, "validation_samples": 16, "test_samples": 40}


def described(**options):
    config = configure("quick", **options)
    return describe_data(config, load_setting(config, progress=False))


def test_synthetic_data_are_counted_by_list_and_domain_and_told_apart():
    found = described(data=SMALL)
    assert json.loads(json.dumps(found)) == found and found == described(data=SMALL)
    assert {name: list(lists) for name, lists in found["lists"].items()} == {
        "train": ["C", "P", "S"], "validation": ["C", "P", "S"], "test": ["W"]
    }  # fmt: skip
    for name, count in (("train", 24), ("validation", 16), ("test", 40)):
        for part in found["lists"][name].values():
            assert part["live"] + part["spoof"] == sum(part["species"].values()) == count
            assert part["species"]["live"] == part["live"]
            assert part["without"] == {modality.value: 0 for modality in MODALITIES}
    others = [{"seed": 7}, {"train_samples": 25}, {"size": 24}]
    digests = {described(data=SMALL | change)["digest"] for change in others}
    assert len(digests | {found["digest"]}) == 4


def test_real_data_carry_the_digests_of_their_manifests(tmp_path):
    source, lists = miniature("C", tmp_path, live=2, spoof=2)
    paths = ["--source", str(source), "--lists", str(lists), "--out", str(tmp_path / "data")]
    assert data_prep(["cefa", *paths, "--workers", "0", "--size", "64"]) == 0
    own = {"protocol": "own", "setting": "C->C", "data_root": str(tmp_path / "data")}
    found = described(**own)
    manifest = tmp_path / "data" / "C" / "manifest.csv"
    rows = read_manifest(manifest)
    assert found["source"]["kind"] == "files" and str(tmp_path) not in json.dumps(found)
    counted = found["source"]["manifests"]["C"]["splits"]
    for name, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert {key: counted[split][key] for key in ("live", "spoof")} == {
            key: found["lists"][name]["C"][key] for key in ("live", "spoof")
        }
    other = rows[0].rgb_sha256[::-1]
    write_manifest(manifest, [replace(rows[0], rgb_sha256=other), *rows[1:]])
    changed = described(**own)
    assert changed["lists"] == found["lists"] and changed["digest"] != found["digest"]  # another picture


def test_a_run_records_its_data_and_does_not_go_on_with_others(tmp_path):
    config = small_config("fusion", training={"steps": 1})
    run = RunFolder(train(config, tmp_path, progress=False, data=small_data(config)))
    recorded = json.loads(run.data.read_text())
    assert recorded == describe_data(config, small_data(config))
    note_data(run.data, recorded)
    with pytest.raises(RuntimeError, match=r"data_description\.json: the run began with other data"):
        note_data(run.data, recorded | {"digest": "0" * 64})
    assert json.loads(run.data.read_text()) == recorded
