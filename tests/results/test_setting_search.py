"""Trainings that differ from their profile in single settings, beside the same trainings without the change."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmdg_lite.configuration import write_json
from mmdg_lite.results.convergence import AS_IS, changes
from mmdg_lite.runs.config import configure


def a_training(folder: Path, *, eer: float, loss: float, seed: int = 0, **changed: dict[str, Any]) -> None:
    config = configure("full", seed=seed, data={"test_samples": 3}, **changed)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config)
    looks = [(config.training.steps // 2, 0.4, 0.9), (config.training.steps, eer, loss)]
    lines = [{"event": "validation", "step": step, "eer": error, "loss": entropy} for step, error, entropy in looks]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_gains_are_of_the_same_training_without_the_change(tmp_path: Path) -> None:
    a_training(tmp_path / "0", eer=0.10, loss=0.30)
    a_training(tmp_path / "1", eer=0.20, loss=0.40, seed=1)
    a_training(tmp_path / "rate 0", eer=0.08, loss=0.26, model={"rate": 0.5})
    a_training(tmp_path / "rate 1", eer=0.21, loss=0.40, seed=1, model={"rate": 0.5})
    a_training(tmp_path / "both", eer=0.30, loss=0.50, model={"rate": 0.5}, training={"optimiser": "sgd"})
    table = changes(tmp_path)
    both = 'model.rate = 0.5, training.optimiser = "sgd"'
    assert list(table["change"]) == [AS_IS, "model.rate = 0.5", both]
    assert list(table["trainings"]) == [2, 2, 1]
    assert list(table["EER"]) == pytest.approx([15.0, 14.5, 30.0])
    assert list(table["EER gained"]) == pytest.approx([0.0, 0.5, -20.0])
    assert list(table["EER gains"]) == ["+0.0, +0.0", "+2.0, -1.0", "-20.0"]
    assert list(table["cross-entropy gained"]) == pytest.approx([0.0, 0.02, -0.2])


def test_a_training_without_counterpart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run folder"):
        changes(tmp_path)
    a_training(tmp_path / "0", eer=0.1, loss=0.3)
    a_training(tmp_path / "changed", eer=0.1, loss=0.3, seed=1, model={"rate": 0.5})
    with pytest.raises(ValueError, match=f"changed has no counterpart: the same training {AS_IS}"):
        changes(tmp_path)


def test_steps_are_no_change_but_have_counterparts_of_their_own(tmp_path: Path) -> None:
    shorter = {"steps": 40, "validate_every": 20}
    a_training(tmp_path / "800", eer=0.10, loss=0.3)
    a_training(tmp_path / "40", eer=0.20, loss=0.6, training=shorter)
    a_training(tmp_path / "40 changed", eer=0.15, loss=0.5, training=shorter | {"optimiser": "sgd"})
    table = changes(tmp_path)
    assert list(table["steps"]) == [40, 40, 800]
    assert list(table["change"]) == [AS_IS, 'training.optimiser = "sgd"', AS_IS]
    assert list(table["EER gained"]) == pytest.approx([0.0, 5.0, 0.0])
