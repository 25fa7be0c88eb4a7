"""Two ranks (gloo, CPU) take the steps that one process takes with the double batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmdg_lite import distributed
from mmdg_lite.outputs import losses
from tests.support.tiny import batch, tiny_model
from tests.support.two_ranks import SIZES, given, train

ROOT = Path(__file__).resolve().parents[1]


def torchrun(*arguments: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("rule", ["regrad", "none"])
def test_two_ranks_equal_one_process_with_the_double_batch(rule, tmp_path):
    """Five steps, with modalities that one rank or all ranks lack and batches that do not divide."""
    done = torchrun("-m", "tests.support.two_ranks", str(tmp_path / "two.safetensors"), rule)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = train(rule), load_file(tmp_path / "two.safetensors")
    assert one.keys() == two.keys()
    moved = 0.0
    start = dict(tiny_start())
    for name, value in one.items():
        bound = 1e-6 if name == "averages" else 1e-8  # losses are float32, whatever the model is
        torch.testing.assert_close(two[name], value, atol=bound, rtol=0)
        if name in start:
            moved = max(moved, float((value - start[name]).abs().max()))
    assert moved > 1e-3  # there was something to get wrong


def tiny_start():
    torch.manual_seed(0)
    return ((n, p.detach()) for n, p in tiny_model(sampling="expected").double().named_parameters() if p.requires_grad)


def test_the_steps_cover_what_can_go_wrong():
    present = [given(step)["present"] for step in range(len(SIZES))]
    assert any(size % 2 for size in SIZES)
    assert any(not p[::2, m].any() and p[1::2, m].any() for p in present for m in range(3))  # one rank has none
    assert any(not p[:, m].any() for p in present for m in range(3))  # no rank has any
    assert any(0 < p[::2, m].sum() != p[1::2, m].sum() > 0 for p in present for m in range(3))


def test_one_process_is_left_as_it_is():
    model = tiny_model().eval()
    images = batch(3)
    output = model(images)
    made = losses(output, images)
    same, certainty = distributed.joint(made, output)
    assert same is made and torch.equal(torch.stack(certainty), torch.stack(output.mean_certainty()))
    assert (distributed.count(), distributed.number()) == (1, 0)
    assert distributed.gathered(6) == [6]
