"""Whether training was long enough: the second half's gain, and the same run with more steps."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mmdg_lite.convergence import longer, second_half

LOOKS = [(10, 0.4, 0.9), (20, 0.3, 0.6), (30, 0.28, 0.5), (40, 0.29, 0.45)]


def a_run(folder: Path, looks: list[tuple[int, float, float]], *, seed: int = 0, method: str = "mmdg++") -> Path:
    folder.mkdir(parents=True)
    lines = [{"event": "validation", "step": step, "eer": eer, "loss": loss} for step, eer, loss in looks]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = {"profile": "full", "protocol": "P1", "setting": "CPS->W", "method": method, "seed": seed, "data": {}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "result.json").write_text(json.dumps({"steps": looks[-1][0]}))
    return folder


def test_the_gain_of_the_second_half(tmp_path: Path) -> None:
    rows = [
        {"profile": "full", "method": "mmdg++", "run": str(a_run(tmp_path / str(seed), LOOKS, seed=seed)), "steps": 40}
        for seed in (0, 1)
    ]
    row = second_half(pd.DataFrame(rows)).iloc[0]
    assert (row["kept step (median)"], row["steps"]) == (30, 40)
    assert row["EER gained in the second half"] == pytest.approx(2.0)
    assert row["cross-entropy gained"] == pytest.approx(0.15)


def test_a_longer_run_stands_beside_its_like(tmp_path: Path) -> None:
    a_run(tmp_path / "short" / "a", LOOKS)
    a_run(tmp_path / "short" / "b", LOOKS, seed=1)
    a_run(tmp_path / "long" / "a", [*LOOKS, (80, 0.25, 0.5)])
    a_run(tmp_path / "long" / "alone", [*LOOKS, (80, 0.1, 0.1)], method="fusion")
    (row,) = longer(tmp_path / "short", tmp_path / "long").to_dict("records")
    assert (row["method"], row["seed"]) == ("MMDG++", 0)
    assert (row["EER, 40 steps"], row["EER, 80 steps"]) == (28.0, 25.0)
    assert (row["cross-entropy, 40 steps"], row["cross-entropy, 80 steps"]) == (0.45, 0.45)
