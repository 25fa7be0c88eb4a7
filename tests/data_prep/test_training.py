"""The whole of a user's path: four data sets in their own formats, converted, and trained on for one epoch."""

import json

import pytest

from data_prep.__main__ import main
from data_prep.miniatures import miniature
from mmdg_lite.runs.config import configure
from mmdg_lite.training.run import train

NAMES = {"W": "wmca", "C": "cefa", "S": "casia-surf", "P": "padisi"}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    for letter, name in NAMES.items():
        source, lists = miniature(letter, folder / letter, live=3, spoof=5)
        paths = ["--source", str(source), "--lists", str(lists), "--out", str(folder / "data")]
        assert main([name, *paths, "--workers", "0", "--size", "64"]) == 0
    return folder / "data"


@pytest.mark.parametrize("setting", ["CPS->W", "PSW->C"])
def test_one_epoch_on_converted_miniatures(converted, tmp_path, setting):
    config = configure(
        "quick",
        setting=setting,
        device="cpu",
        data_root=str(converted),
        training={"steps": 3, "batch_size": 8, "validate_every": 3, "warmup": 1},
    )
    run = train(config, tmp_path / "run", progress=False)
    result = json.loads((run / "result.json").read_text())
    assert result["steps"] == 3
    target = setting[-1]
    metrics = result["metrics"][f"test_{target}"]
    assert (metrics["live"], metrics["spoof"]) == (3, 5)
    assert 0 <= metrics["hter"] <= 1
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(line["loss_total"] > 0 for line in losses if line["event"] == "train")


def test_a_domain_that_is_not_converted_is_named(converted, tmp_path):
    (tmp_path / "P").symlink_to(converted / "P")
    config = configure("quick", device="cpu", data_root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"C/manifest\.csv: no manifest here.*python -m data_prep"):
        train(config, tmp_path / "run", progress=False)
