"""Scoring again with a finished run's model."""

import json
import shutil

import pytest

from mmdg_lite.__main__ import main
from mmdg_lite.inference.judge import open_judge
from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.scores import read_scores
from mmdg_lite.training.rescoring import evaluate
from mmdg_lite.training.run import train

SMALL = {"train_samples": 16, "validation_samples": 16, "test_samples": 24, "size": 64}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of two steps on random CLIP weights."""
    config = configure(
        "quick",
        method="fusion",
        device="cpu",
        data=SMALL,
        training={"steps": 2, "batch_size": 4, "validate_every": 1},
        model={"clip_checkpoint": "random"},
    )
    return train(config, tmp_path_factory.mktemp("runs") / "fusion", progress=False)


def test_the_runs_own_scores_come_out_again(run, tmp_path):
    values = evaluate(run, out=tmp_path, device="cpu", progress=False)
    stored = sorted(path.name for path in (run / "scores").glob("test_*"))
    assert [f"{name}.csv.gz" for name in sorted(values["metrics"])] == stored
    for name in stored:
        assert (tmp_path / "scores" / name).read_bytes() == (run / "scores" / name).read_bytes()
    assert json.loads((tmp_path / "evaluation.json").read_text()) == values


def test_other_domains_and_faces_are_judged_at_the_runs_threshold(run, tmp_path):
    values = evaluate(run, out=tmp_path, domains=["S"], samples=16, data_seed=5, device="cpu", progress=False)
    scores = read_scores(tmp_path / "scores" / "test_S.csv.gz")
    assert len(scores) == 16
    threshold = json.loads((run / "result.json").read_text())["threshold"]
    assert values["threshold"] == threshold
    assert (
        values["metrics"]["test_S"]["hter"] == evaluate_scores(scores.scores, scores.labels, threshold=threshold).hter
    )


def test_the_command_prints_a_line_per_list(run, tmp_path, capsys):
    assert main(["evaluate", str(run), "--out", str(tmp_path), "--device", "cpu", "--samples", "16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("hter" in line and "auc" in line for line in lines)


def test_unfinished_runs_and_runs_without_a_model_are_refused(make_run, tmp_path):
    with pytest.raises(ValueError, match="no finished run"):
        evaluate(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"no model\.safetensors"):
        evaluate(make_run())


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), -0.1, 1.5, [0.5]])
def test_a_run_without_a_threshold_is_refused_and_the_target_s_own_is_not_taken(run, value, tmp_path):
    """At a threshold of None, metrics take the equal-error threshold of the very scores that are judged: a leak."""
    foreign = tmp_path / "foreign"
    shutil.copytree(run, foreign)
    result = json.loads((run / "result.json").read_text())
    (foreign / "result.json").write_text(json.dumps(result | {"threshold": value}))
    for reader in (lambda: evaluate(foreign, device="cpu", samples=16), lambda: open_judge(foreign)):
        with pytest.raises(
            ValueError,
            match=r"foreign/result\.json: (threshold is .*, must be a number in 0\.\.1|.*NaN is no finite number)",
        ):
            reader()
    assert not (foreign / "evaluation").exists()


def test_the_cache_that_a_run_folder_names_is_not_written_to(run, tmp_path):
    foreign, elsewhere = tmp_path / "foreign", tmp_path / "elsewhere"
    shutil.copytree(run, foreign)
    config = json.loads((run / "config.json").read_text())
    config["data"]["cache"] = str(elsewhere)
    (foreign / "config.json").write_text(json.dumps(config))
    evaluate(foreign, device="cpu", samples=4, progress=False)
    assert (foreign / "evaluation" / "evaluation.json").is_file() and not elsewhere.exists()
