"""Models of run folders that come from anyone: what cannot be used is refused by the name of its file."""

import json
import shutil
from functools import partial

import pytest
import torch

from mmdg_lite.configuration import ConfigurationError
from mmdg_lite.inference.judge import open_judge
from mmdg_lite.results.one_run import run_findings
from mmdg_lite.runs.checkpoints import CheckpointError, read_checkpoint, write_checkpoint
from mmdg_lite.training.rescoring import add_p6, evaluate
from tests.support.small_runs import small_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs") / "run", "fusion", training={"steps": 2})


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def doors(run, out):
    """Everything that puts a model of a run folder together."""
    return (lambda: open_judge(run), lambda: evaluate(run, out=out, progress=False))


def change(values, dotted, value):
    *parts, last = dotted.split(".")
    for part in parts:
        values = values[part]
    values[last] = value


@pytest.mark.parametrize(
    "change_tensors, reason",
    [
        (lambda tensors, first: tensors | {first: tensors[first] * float("nan")}, "is not made of finite numbers"),
        (lambda tensors, first: tensors | {first: tensors[first].long()}, "is not made of finite numbers"),
        (lambda tensors, first: tensors | {first: tensors[first][..., :1]}, "has shape"),
        (lambda tensors, first: {name: value for name, value in tensors.items() if name != first}, "missing"),
        (lambda tensors, first: tensors | {"more": tensors[first].clone()}, "unexpected more"),
    ],
    ids=["not finite", "integers", "another shape", "one too few", "one too many"],
)
def test_parameters_of_another_model_are_refused_by_their_file_s_name(run, tmp_path, change_tensors, reason):
    checkpoint = read_checkpoint(run / "model.safetensors")
    first = max(checkpoint.tensors, key=lambda name: checkpoint.tensors[name].numel())
    write_checkpoint(run / "model.safetensors", change_tensors(checkpoint.tensors, first), checkpoint.values)
    for door in doors(run, tmp_path / "out"):
        with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{reason}"):
            door()


@pytest.mark.parametrize(
    "name, value",
    [
        ("model.heads", 3),
        ("model.dim", -1),
        ("model.clip", "no such model"),
        ("model.seed", 10**30),
        ("data.size", 64),
        ("data.size", 10**9),
        ("data.test_samples", 10**12),
        ("data.workers", 10**6),
        ("seed", 2**64),
    ],
)
def test_a_configuration_that_makes_no_model_is_refused_by_its_file_s_name(run, tmp_path, name, value):
    values = json.loads((run / "config.json").read_text())
    change(values, name, value)
    (run / "config.json").write_text(json.dumps(values))
    for door in doors(run, tmp_path / "out"):
        with pytest.raises(ConfigurationError, match=r"config\.json"):
            door()


@pytest.mark.parametrize("inner", ["evaluation", "evaluation/scores", "scores"])
def test_nothing_is_written_through_links_in_a_run_folder(run, tmp_path, inner):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = run / inner
    shutil.rmtree(link, ignore_errors=True)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere)
    call = partial(add_p6, run) if inner == "scores" else partial(evaluate, run)
    with pytest.raises(RuntimeError, match=rf"{inner.partition('/')[0]}.* links to .*elsewhere"):
        call(progress=False)
    assert not list(elsewhere.iterdir())
    if inner == "scores":
        (run / "result.json").unlink()
        with pytest.raises(RuntimeError, match="links to .*elsewhere"):
            small_run(run, "fusion", training={"steps": 2})
        assert not list(elsewhere.iterdir())


def test_a_model_that_gives_no_finite_score_is_refused(run, tmp_path):
    checkpoint = read_checkpoint(run / "model.safetensors")
    huge = {name: torch.full_like(value, 3e38) for name, value in checkpoint.tensors.items()}
    write_checkpoint(run / "model.safetensors", huge, checkpoint.values)
    for door in doors(run, tmp_path / "out"):
        with pytest.raises(CheckpointError, match=r"model\.safetensors.* no finite score"):
            door()


@pytest.mark.parametrize("metrics", [None, 3, [], {}, {"validation": 1}, {"validation": {"eer": "x"}}])
def test_a_result_without_its_metrics_is_named(run, metrics):
    values = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(values | {"metrics": metrics}))
    with pytest.raises(ValueError, match=r"result\.json: metrics\."):
        run_findings(run)
