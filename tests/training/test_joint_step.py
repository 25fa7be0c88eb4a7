"""Two ranks (gloo, CPU) train what one process trains with the same global batch, however either of them ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmdg_lite.__main__ import main
from mmdg_lite.models.outputs import losses
from mmdg_lite.regrad.step import trainable
from mmdg_lite.runs.checkpoints import read_checkpoint
from mmdg_lite.runs.ranks import any_rank, from_first, gathered, rank, world_size
from mmdg_lite.runs.scores import read_scores
from mmdg_lite.training.joint_step import JointStep
from mmdg_lite.training.run import train
from tests.support.small_runs import small_config, small_data
from tests.support.tiny import batch, tiny_model
from tests.support.two_ranks import RULES, SIZES, config, five_steps, given

ROOT = Path(__file__).resolve().parents[2]
BOUND = 1e-8


def torchrun(*arguments: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    command += [str(argument) for argument in arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850)


def assert_same_run(folder: Path, other: Path) -> None:
    """Parameters, scores and log agree, to what adding up in another order can make of them."""
    one, two = (read_checkpoint(of / "model.safetensors") for of in (folder, other))
    assert one.values == two.values and one.tensors.keys() == two.tensors.keys()
    for name, value in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], value, atol=BOUND, rtol=0)
    names = sorted(path.name for path in (folder / "scores").iterdir())
    assert names == sorted(path.name for path in (other / "scores").iterdir()) and len(names) >= 5
    for name in names:
        a, b = (read_scores(of / "scores" / name) for of in (folder, other))
        assert a.ids == b.ids
        assert b.scores == pytest.approx(a.scores, abs=1e-6)
    logs = [[json.loads(line) for line in (of / "metrics.jsonl").read_text().splitlines()] for of in (folder, other)]
    for first, second in zip(*logs, strict=True):
        numbers, others = ({k: v for k, v in first.items() if isinstance(v, float) is real} for real in (True, False))
        assert {name: second[name] for name in numbers} == pytest.approx(numbers, rel=2e-5)  # six digits are logged
        assert {name: value for name, value in second.items() if name not in numbers} == others


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """Where two ranks leave five steps by either rule, and a whole run by the plain sum."""
    folder = tmp_path_factory.mktemp("ranks")
    done = torchrun("tests.support.two_ranks", "steps", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("rule", RULES)
def test_two_ranks_take_the_steps_of_one_process(rule, five):
    """Five steps, with modalities that one rank or all ranks lack and batches that do not divide."""
    one, two = five_steps(rule), load_file(five / f"{rule}.safetensors")
    assert one.keys() == two.keys()
    start = dict(tiny_start())
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=BOUND, rtol=0)
    assert max(float((one[name] - before).abs().max()) for name, before in start.items()) > 1e-3


def tiny_start():
    torch.manual_seed(0)
    return ((n, p.detach()) for n, p in tiny_model(sampling="expected").double().named_parameters() if p.requires_grad)


def test_the_steps_cover_what_can_go_wrong():
    present = [given(step)["present"] for step in range(len(SIZES))]
    assert any(size % 2 for size in SIZES)
    assert any(not p[::2, m].any() and p[1::2, m].any() for p in present for m in range(3))  # one rank has none
    assert any(not p[:, m].any() for p in present for m in range(3))  # no rank has any
    assert any(0 < p[::2, m].sum() != p[1::2, m].sum() > 0 for p in present for m in range(3))


def test_a_run_by_the_plain_sum_with_one_uneven_batch(five, tmp_path):
    plain = config("none", batch_size=100)
    train(plain, tmp_path, progress=False, data=small_data(plain))
    assert_same_run(tmp_path, five / "none")


def test_the_command_line_trains_on_two_ranks_what_it_trains_alone(tmp_path):
    """ReGrad, draws of the adapters and all, on rendered faces that lack modalities, in batches of seven."""
    exact = ["precision=float64", "optimiser=sgd", "batch_size=7", "steps=5", "validate_every=3", "warmup=0"]
    settings = [f"training.{part}" for part in [*exact, "learning_rate=0.05"]]
    settings += [f"data.{split}_samples=8" for split in ("train", "validation", "test")]
    command = ["train", "--protocol", "P5", "--device", "cpu", "--set", *settings, "--out"]
    done = torchrun("mmdg_lite", *command, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [str(tmp_path / "two")]  # only one of them speaks
    assert main([*command, str(tmp_path / "one")]) == 0
    assert_same_run(tmp_path / "one", tmp_path / "two")
    environments = [json.loads((tmp_path / of / "environment.json").read_text()) for of in ("one", "two")]
    assert [environment["ranks"] for environment in environments] == [1, 2]


@pytest.mark.timeout(3600)  # minutes on two free cores; a loaded machine takes longer
def test_however_ranks_end_the_run_goes_on_by_any_number_of_them(tmp_path):
    """One fails, is asked to stop, is killed: the other ends too, and one process finishes the run.

    What the other one says of it is tested in `tests/runs/test_ranks.py`: torchrun may end it before it speaks.
    """
    folder = tmp_path / "two"

    def disturbed(what, step, kept):
        done = torchrun("tests.support.two_ranks", "run", folder, what, step)
        assert done.returncode != 0
        assert read_checkpoint(folder / "state.safetensors").values["step"] == kept
        assert f"The last state stays in {folder / 'state.safetensors'}: the same command goes on" in done.stderr
        return done.stderr

    assert "ValueError: a cable was pulled" in disturbed("error", 5, kept=3)
    assert "Interrupted: stopped at step 7" in disturbed("stop", 7, kept=7)
    disturbed("kill", 11, kept=9)
    for where in (folder, tmp_path / "one"):
        train(config(), where, progress=False, data=small_data(config()))
    assert_same_run(tmp_path / "one", folder)


@pytest.mark.parametrize(
    "method, reason", [("mmdg", "moves its prototypes"), ("linear_probe", "solved by one process")]
)
def test_methods_that_ranks_cannot_share_are_refused_before_anything_starts(method, reason, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=reason):
        train(small_config(method), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_process_is_left_as_it_is():
    model = tiny_model().eval()
    images = batch(3)
    output = model(images)
    made = losses(output, images)
    step = JointStep(torch.ones(3, 3, dtype=torch.bool), trainable(model.branches()))
    step.add(made, output)
    joint = step.together()
    assert torch.equal(joint.losses.total, made.total)
    assert all(torch.equal(*pair) for pair in zip(joint.losses.modalities, made.modalities, strict=True))
    assert torch.equal(torch.stack(joint.certainty), torch.stack(output.mean_certainty()))
    assert (world_size(), rank()) == (1, 0)
    assert gathered(6) == [6] and from_first(lambda: 7) == 7
    assert any_rank(True, torch.device("cpu")) and not any_rank(False, torch.device("cpu"))
