"""Whether training was long enough: the second half's gain, and trainings of different sizes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmdg_lite.configuration import write_json
from mmdg_lite.plots.committed import by_steps
from mmdg_lite.results.convergence import doubling, made_twice, second_half, trainings, twice_the_steps
from mmdg_lite.runs.config import configure

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


def test_trainings_of_different_sizes_side_by_side(tmp_path: Path) -> None:
    for faces, steps in ((10, 40), (20, 40), (10, 20)):
        run = a_run(tmp_path / f"{faces}-{steps}", [look for look in LOOKS if look[0] <= steps])
        config = configure("full", data={"train_samples": faces}, training={"steps": steps, "batch_size": 3})
        write_json(run / "config.json", config)
    table = trainings(tmp_path)
    assert list(zip(table["faces per source"], table["steps"], strict=True)) == [(10, 20), (10, 40), (20, 40)]
    assert list(table["epochs"]) == [2.0, 4.0, 2.0]  # three sources
    assert list(table["EER"]) == [30.0, 28.0, 28.0] and list(table["at step"]) == [20, 30, 30]
    assert list(table["cross-entropy"]) == [0.6, 0.45, 0.45] and list(table["its step"]) == [20, 40, 40]


def test_what_twice_the_steps_change(tmp_path: Path) -> None:
    for name, steps, faces in (("short", 20, 10), ("long", 40, 10), ("more faces", 40, 20), ("shortest", 10, 10)):
        run = a_run(tmp_path / name, [look for look in LOOKS if look[0] <= steps])
        write_json(run / "config.json", configure("full", data={"train_samples": faces}, training={"steps": steps}))
    table = twice_the_steps(tmp_path)
    assert list(table["steps"]) == [10, 20] and set(table["faces per source"]) == {10}
    assert list(table["EER"]) == [40.0, 30.0] and list(table["EER, twice the steps"]) == [30.0, 28.0]
    assert list(table["EER gained"]) == [10.0, 2.0]
    assert list(table["cross-entropy gained"]) == pytest.approx([0.3, 0.15])


def test_doubling_is_the_mean_of_the_pairs(tmp_path: Path) -> None:
    for seed, scale in ((0, 1.0), (1, 0.5)):
        for steps in (20, 40):
            looks = [(step, scale * eer, scale * loss) for step, eer, loss in LOOKS if step <= steps]
            run = a_run(tmp_path / f"{seed}-{steps}", looks, seed=seed)
            write_json(run / "config.json", configure("full", seed=seed, training={"steps": steps}))
    (row,) = doubling(tmp_path).to_dict("records")
    assert (row["method"], row["steps"], row["pairs"]) == ("MMDG++", 20, 2)
    assert row["EER gained"] == pytest.approx(1.5)  # 2 and 1 points
    assert row["cross-entropy gained, %"] == pytest.approx(25.0)  # 0.6 to 0.45, and half of both
    assert not row["long enough"]
    errors, entropies = by_steps(tmp_path, faces=240).axes
    drawn = [[np.asarray(line.get_ydata()).tolist() for line in axes.lines] for axes in (errors, entropies)]
    means = [[values for values in lines if values][-1] for lines in drawn]  # empty ones make the legend
    assert errors.get_title(loc="left") == "lowest after 40 (MMDG++) steps"
    assert means == [pytest.approx([22.5, 21.0]), pytest.approx([0.45, 0.3375], abs=1e-3)]


@pytest.mark.parametrize("eer, loss, enough", [(0.29, 0.582, True), (0.28, 0.6, False), (0.31, 0.58, False)])
def test_long_enough_is_what_twice_the_steps_hardly_improve(
    eer: float, loss: float, enough: bool, tmp_path: Path
) -> None:
    for steps, look in ((20, (20, 0.3, 0.6)), (40, (40, eer, loss))):
        run = a_run(tmp_path / str(steps), [(10, 0.5, 0.9), look])
        write_json(run / "config.json", configure("full", training={"steps": steps}))
    assert list(doubling(tmp_path)["long enough"]) == [enough]


def test_the_same_training_made_twice(tmp_path: Path) -> None:
    made = [("first/0", 0, LOOKS), ("first/1", 1, LOOKS), ("again/0", 0, [*LOOKS[:3], (40, 0.2, 0.4)])]
    for name, seed, looks in made:
        run = a_run(tmp_path / name, looks, seed=seed)
        write_json(run / "config.json", configure("full", seed=seed, training={"steps": 40}))
    probe = a_run(tmp_path / "again/probe", [(7, 0.1, 0.1)])
    write_json(probe / "config.json", configure("full", method="linear_probe"))  # is not trained
    (row,) = made_twice(tmp_path / "first", tmp_path / "again").to_dict("records")
    assert (row["seed"], row["steps"], row["EER"], row["EER, made again"]) == (0, 40, 28.0, 20.0)
    assert (row["cross-entropy"], row["cross-entropy, made again"]) == (0.45, 0.4)


def test_a_training_that_broke_off_is_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path / "short", LOOKS)
    write_json(run / "config.json", configure("full", training={"steps": 50}))
    with pytest.raises(ValueError, match="short was not trained to its last step, 50"):
        trainings(tmp_path)
    with pytest.raises(FileNotFoundError, match="no run folder"):
        trainings(tmp_path / "elsewhere")
