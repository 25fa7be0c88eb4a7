"""Five steps of a tiny model in float64 with SGD, by however many ranks there are; the first writes the parameters.

`python -m tests.support.two_ranks FILE RULE` in one process, or under torchrun.
"""

import sys

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmdg_lite import distributed
from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.outputs import losses
from mmdg_lite.projection import Rule
from mmdg_lite.regrad import ReGrad
from tests.support.tiny import batch, tiny_model

SIZES = (8, 8, 7, 8, 3)
"""Samples of each step, over all ranks: uneven ones among them."""


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


def train(rule: Rule) -> dict[str, Tensor]:
    """The parameters after five steps."""
    torch.manual_seed(0)
    model = tiny_model(sampling="expected").double().train()
    for module in model.modules():
        if isinstance(module, CertaintyAttention):  # the more certain side, as in evaluation: no draw that ranks share
            module.eval()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=0.05)
    balance = ReGrad(rule=rule, exchange=distributed.sum_gradients)
    for step in range(len(SIZES)):
        own = {name: values[distributed.number() :: distributed.count()] for name, values in given(step).items()}
        output = model(own)
        made, certainty = distributed.joint(losses(output, own), output)
        balance.step(made.modalities, made.total, model.branches(), certainty)
        optimiser.step()
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad} | {
        "averages": torch.tensor(balance.averages, dtype=torch.float64)
    }


if __name__ == "__main__":
    with distributed.ranks(torch.device("cpu")):
        trained = train(sys.argv[2])  # type: ignore[arg-type]
        everywhere = distributed.gathered(trained)
        assert all(torch.equal(other[name], value) for other in everywhere for name, value in trained.items())
        if distributed.number() == 0:
            save_file({name: value.contiguous() for name, value in trained.items()}, sys.argv[1])
