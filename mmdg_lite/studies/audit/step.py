"""What the released code's faults do to a training step, in numbers: the demonstrations of notebook 09."""

import math
from itertools import count
from pathlib import Path

import torch
from torch import Tensor, nn

from mmdg_lite.configuration import REPOSITORY
from mmdg_lite.modality import Modality
from mmdg_lite.models.builder import ModelConfig, build
from mmdg_lite.models.mmdg import MMDG
from mmdg_lite.models.outputs import losses
from mmdg_lite.regrad.rule import project, regrad
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.released import Released
from mmdg_lite.results.collect import collect
from mmdg_lite.studies.audit.forward import Numbers, faces, specimen

COMMITTED = REPOSITORY / "figures" / "scores" / "full"


def modulated_share() -> Numbers:
    """D1: share of the trainable parameters, and of the adapters', whose gradient ReGrad changed."""
    found: Numbers = {}
    for name, released in (("released", ("D1",)), ("ours", ())):
        model, batch = specimen(), faces()
        output = model(batch)
        parts = losses(output, batch)
        branches = [(p, branch) for p, branch in model.branches() if p.requires_grad and branch is not None]
        total = torch.autograd.grad(parts.total, [p for p, _ in branches], retain_graph=True, allow_unused=True)
        ReGrad(released=released).step(parts.modalities, parts.total, model.branches(), output.mean_certainty())
        changed = {id(p): _differ(p.grad, of_total) for (p, _), of_total in zip(branches, total, strict=True)}
        adapters = [changed[id(p)] for p in model.adapters.parameters()]
        found[f"{name}: all"] = sum(changed.values()) / len(changed)
        found[f"{name}: adapters"] = sum(adapters) / len(adapters)
    return found


def _differ(gradient: Tensor | None, of_total: Tensor | None) -> bool:
    if gradient is None or of_total is None:
        return gradient is not of_total
    return not torch.equal(gradient, of_total)


def averages_after(steps: int = 100) -> Numbers:
    """D3: average of a constant loss of 1 after 10 and after `steps` steps, and the step at which it is infinite."""
    found: Numbers = {}
    constant = [torch.tensor(1.0, dtype=torch.float64)] * 3
    for name, released in (("released", ("D3",)), ("ours", ())):
        balance = ReGrad(released=released)
        for step in range(1, steps + 1):
            balance.update(constant)
            if step in (10, steps):
                found[f"{name}: after {step}"] = balance.corrected_averages()[0]
    grown = ReGrad(released=("D3",))
    for step in count(1):
        grown.update(constant)
        if math.isinf(grown.corrected_averages()[0]):
            found["released: infinite at step"] = step
            break
    return found


def mmdg_step() -> Numbers:
    """D6: norm of all gradients of a whole ReGrad step of MMDG; the released one refers to a name that is not there."""
    model = build(ModelConfig(source_domains=("C", "P", "S"), architecture="mmdg", prompts="none"))
    assert isinstance(model, MMDG)
    batch = faces()
    output = model.train()(batch)
    parts = losses(output, batch)
    ReGrad().step(parts.modalities, parts.total, model.branches(), output.mean_certainty())
    square = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
    return {"ours: gradient norm": square**0.5}


def thresholds(committed: Path = COMMITTED) -> Numbers:
    """D9: mean HTER in percent of the committed runs of P1, nothing missing, at the target's own equal-error point and
    at the sources' threshold, and the number of these runs."""
    frame = collect(committed)
    frame = frame[(frame["protocol"] == "P1") & (frame["missing"] == "")]
    return {
        "target's own equal-error point": 100 * float(frame["hter_at_eer"].mean()),
        "sources' validation lists": 100 * float(frame["hter"].mean()),
        "runs": frame["run"].nunique(),
    }


def jump_at_a_right_angle() -> Numbers:
    """D14: norm of T(g onto b) of unit vectors at 89.9 and 90.1 degrees, by the rule and by its smooth blend."""
    base, found = torch.tensor([1.0, 0.0], dtype=torch.float64), {}
    for rule in ("regrad", "smooth"):
        for degrees in (89.9, 90.1):
            angle = math.radians(degrees)
            gradient = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
            found[f"{rule} {degrees}"] = float(project(gradient, base, rule=rule).norm())
    return found


def kept_of_an_identical_gradient() -> Numbers:
    """D15: share of a gradient that its projection onto itself keeps, by its norm."""
    found: Numbers = {}
    for norm in (1e-3, 1e-4, 1e-6):
        gradient = torch.full((4,), norm / 2, dtype=torch.float64)
        for name, released in (("released", True), ("ours", False)):
            kept = project(gradient, gradient, released=released).norm() / gradient.norm()
            found[f"{name}: norm {norm:g}"] = float(kept)
    return found


def shared_parameter() -> Numbers:
    """D17: a trainable parameter of no branch with modality gradients: 1 if the step raises."""
    found: Numbers = {}
    for name, released in (("released", ("D17",)), ("ours", ())):
        shared = nn.Parameter(torch.ones(2))
        of = [(shared * (i + 1)).sum() for i in range(3)]
        try:
            ReGrad(released=released).step(of, shared.sum(), [(shared, None)], (1.0, 1.0, 1.0))
            found[f"{name}: raises"] = 0.0
        except RuntimeError:
            found[f"{name}: raises"] = 1.0
    return found


def graph_after_step() -> Numbers:
    """D19: of the three modality losses, how many still hold their graph after a step."""
    model, batch = specimen(), faces()
    output = model(batch)
    parts = losses(output, batch)
    ReGrad().step(parts.modalities, parts.total, model.branches(), output.mean_certainty())
    adapter = next(p for p in model.adapters.parameters() if p.grad is not None)
    return {"ours": float(sum(_alive(loss, adapter) for loss in parts.modalities if loss is not None))}


def _alive(loss: Tensor, parameter: Tensor) -> bool:
    try:
        torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)
    except RuntimeError:
        return False
    return True


def fastest_with_a_modality_missing() -> Numbers:
    """D20: of 20 steps without depth, in how many some present modality was the fastest; losses 1.0 and 0.8."""
    found: Numbers = {}
    for name, released in (("released", ("D3", "D20")), ("ours", ())):
        balance = ReGrad(released=released)
        balance.update([torch.tensor(v) for v in (1.0, 0.9, 0.8)])
        lone = [torch.tensor(1.0), None, torch.tensor(0.8)]
        winners = [balance.update(lone) for _ in range(20)]
        found[name] = float(sum(winner in (Modality.RGB, Modality.INFRARED) for winner in winners))
    return found


def undisputed_gradient(certainty: float = 0.08) -> Numbers:
    """D21: what is left of the gradient that a single loss sends to the fastest branch's prompts."""
    own = torch.ones(4)

    def left(released: Released) -> float:
        given = regrad([own, None, None], Modality.RGB, Modality.RGB, (certainty,) * 3, released=released)
        assert given is not None
        return float(given.norm() / own.norm())

    return {"released": left(("D21",)), "ours": left(False)}


def coupled_weight_decay(steps: int = 400, *, gradient: float = 1e-7) -> Numbers:
    """D23: norm left, of 1, of a weight whose gradient is noise of size `gradient`, at learning rate 6e-3 and weight
    decay 5e-5: by Adam, which divides decay by the gradient's size too, and by AdamW, which does not."""
    found: Numbers = {}
    for name, kind in (("Adam", torch.optim.Adam), ("AdamW", torch.optim.AdamW)):
        weight, chance = nn.Parameter(torch.full((64,), 0.125)), torch.Generator().manual_seed(0)
        optimiser = kind([weight], lr=6e-3, weight_decay=5e-5)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 6e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
            weight.grad = gradient * torch.randn(64, generator=chance)
            optimiser.step()
        found[name] = float(weight.detach().norm())
    return found
