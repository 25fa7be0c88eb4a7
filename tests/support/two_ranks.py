"""What one process does, done by however many ranks there are, in float64 with SGD.

`python -m tests.support.two_ranks steps FOLDER` takes five steps by either rule and then trains a whole run by the
plain sum; `... run FOLDER WHAT STEP` trains one whose last rank fails (WHAT "error"), is asked to stop ("stop") or is
killed ("kill") after that step.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.models.outputs import losses
from mmdg_lite.regrad.rule import Rule
from mmdg_lite.regrad.step import ReGrad, trainable
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.ranks import gathered, rank, ranks, world_size
from mmdg_lite.training.joint_step import JointStep
from mmdg_lite.training.run import train
from mmdg_lite.training.trainer import Trainer
from tests.support.small_runs import small_config, small_data
from tests.support.tiny import batch, tiny_model

SIZES = (8, 8, 7, 8, 3)
"""Samples of each step, over all ranks: uneven ones among them."""
RULES: tuple[Rule, ...] = ("regrad", "none")


def given(step: int) -> dict[str, Tensor]:
    """A step's samples: all complete; without depth on even places, which one of two ranks holds, or on all; mixed."""
    size = SIZES[step]
    present = torch.ones(size, 3, dtype=torch.bool)
    if step == 1:
        present[::2, 1] = False
    elif step == 2:
        present[:, 1] = False
    elif step > 2:
        present = torch.rand(size, 3, generator=torch.Generator().manual_seed(step)) < 0.6
        present[:, 2] |= ~present.any(dim=1)
    made = batch(size, seed=step) | {"present": present}
    return {name: value.double() if value.is_floating_point() else value for name, value in made.items()}


def five_steps(rule: Rule) -> dict[str, Tensor]:
    """The parameters after five steps."""
    torch.manual_seed(0)
    model = tiny_model(sampling="expected").double().train()
    for module in model.modules():
        if isinstance(module, CertaintyAttention):  # the more certain side, as in evaluation: nothing is drawn
            module.eval()
    parameters = trainable(model.branches())
    optimiser = torch.optim.SGD(parameters, lr=0.05)
    balance = ReGrad(rule=rule)
    for step in range(len(SIZES)):
        own = {name: values[rank() :: world_size()] for name, values in given(step).items()}
        joint_step = JointStep(own["present"], parameters, apart=balance.takes_apart)
        output = model(own)
        joint_step.add(losses(output, own), output)
        joint = joint_step.together()
        balance.apply(joint.gradients, joint.losses.modalities, model.branches(), joint.certainty)
        optimiser.step()
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad} | {
        "averages": torch.tensor(balance.averages, dtype=torch.float64)
    }


def config(rule: Rule = "regrad", **training: Any) -> RunConfig:
    """A small run with missing modalities (P5) and batches of seven; SGD, since Adam would enlarge rounding."""
    exact = {"precision": "float64", "optimiser": "sgd", "learning_rate": 0.05, "batch_size": 7, "rule": rule}
    return small_config("mmdg++", protocol="P5", training=exact | training)


def disturb(what: str, step: int) -> None:
    """Have something happen to the last rank once training has made that step."""
    log_step = Trainer._log

    def disturbed(trainer: Trainer, record: dict[str, Any], bar: Any) -> None:
        if trainer.step == step and rank() == world_size() - 1:
            if what == "error":
                raise ValueError("a cable was pulled")
            os.kill(os.getpid(), {"stop": signal.SIGTERM, "kill": signal.SIGKILL}[what])
        log_step(trainer, record, bar)

    Trainer._log = disturbed  # type: ignore[method-assign]


def steps(folder: Path) -> None:
    """By either rule, with the same parameters on every rank; the first writes them."""
    with ranks(torch.device("cpu")):
        for rule in RULES:
            trained = five_steps(rule)
            everywhere = gathered(trained)
            assert all(torch.equal(other[name], value) for other in everywhere for name, value in trained.items())
            if rank() == 0:
                save_file({name: value.contiguous() for name, value in trained.items()}, folder / f"{rule}.safetensors")


if __name__ == "__main__":
    command, where, *disturbance = sys.argv[1:]
    torch.set_num_threads(1)
    if command == "steps":
        steps(Path(where))
        plain = config("none", batch_size=100)  # more than there are samples: a single, uneven batch
        train(plain, Path(where) / "none", progress=False, data=small_data(plain))
    else:
        disturb(disturbance[0], int(disturbance[1]))
        run = config()
        train(run, where, progress=False, data=small_data(run))
