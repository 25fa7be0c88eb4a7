"""The paper profile from miniature data sets in their true formats to the tables, end to end."""

import json

import pytest

from data_prep.__main__ import main
from data_prep.miniatures import miniature
from mmdg_lite.reproduce.everything import NOTEBOOKS
from mmdg_lite.reproduce.grid import plan, run_grid
from mmdg_lite.results.tables import tables

NAMES = {"W": "wmca", "C": "cefa", "S": "casia-surf", "P": "padisi"}
SHORT = {"steps": 2, "batch_size": 2, "validate_every": 2, "checkpoint_every": 2}
MOST_MEMORY = 6 * 1024  # MiB


def converted(folder, size):
    for letter, name in NAMES.items():
        source, lists = miniature(letter, folder / letter, live=2, spoof=2)
        paths = ["--source", str(source), "--lists", str(lists), "--out", str(folder / "data")]
        assert main([name, *paths, "--workers", "0", "--size", str(size)]) == 0
    return str(folder / "data")


def dry_run(tmp_path, *, size, methods, model):
    """The runs of the first setting of P1 with these methods, executed, and the text of their table."""
    changes = {"training": SHORT, "model": model, "data": {"size": size, "workers": 0}}
    planned = plan(
        "paper", protocols=["P1"], methods=methods, seeds=[0], out=tmp_path / "out", device="cpu",
        data_root=converted(tmp_path, size), changes=changes,
    )[: len(methods)]  # fmt: skip
    outcomes = run_grid(planned, notebooks=NOTEBOOKS, workers=1, progress=False)
    assert not [outcome.error for outcome in outcomes if outcome.error]
    tables(tmp_path / "out" / "runs", out=tmp_path / "tables")
    results = [json.loads((run.folder / "result.json").read_text()) for run in planned]
    return results, (tmp_path / "tables" / "P1.md").read_text()


def check(results, text):
    for result in results:
        assert (result["metrics"]["test_W"]["live"], result["metrics"]["test_W"]["spoof"]) == (2, 2)
    assert "ours, real data, profile paper" in text and "| MMDG++ " in text
    assert "ours, synthetic" not in text


def test_from_converted_miniatures_to_the_table_with_the_tiny_clip(tmp_path):
    results, text = dry_run(tmp_path, size=64, methods=["mmdg++"], model={"clip": "tiny"})
    check(results, text)
    assert results[0]["steps"] == 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_from_converted_miniatures_to_the_table_with_the_papers_vision_transformer(tmp_path):
    """ViT-B/16 at 224 pixels with random weights: that the path works, not what it is worth."""
    results, text = dry_run(tmp_path, size=224, methods=["mmdg++"], model={"clip_checkpoint": "random"})
    check(results, text)
    print({name: results[0][name] for name in ("steps", "seconds", "memory_mib")})
    assert results[0]["memory_mib"] < MOST_MEMORY
