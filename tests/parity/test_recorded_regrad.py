"""Parity of gradient surgery, moving averages and whole ReGrad steps with recorded results."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.rule import Rule, project, regrad
from mmdg_lite.regrad.step import ReGrad
from tests.support.plain import plain_regrad
from tests.support.recorded import Recording, assert_matches, carried_and_full, load
from tests.support.toy import recorded_names, recorded_toy

VERSIONS: dict[int, Rule] = {1: "orthogonal", 2: "keep", 3: "drop", 4: "regrad"}
MISSING = {
    "missing_D": (Modality.DEPTH,),
    "missing_IR": (Modality.INFRARED,),
    "missing_D_IR": (Modality.DEPTH, Modality.INFRARED),
    "missing_RGB": (Modality.RGB,),
}
OURS = pytest.mark.parametrize("released", [True, False], ids=["released", "default"])
VERSION = pytest.mark.parametrize("version", VERSIONS)
RTOL_TINY = 1e-4
CERTAINTY = (0.3, 0.7, 0.9)


def cases(recording: Recording) -> list[str]:
    return [case["case"] for case in recording.facts["cases"]]


def assert_close(actual: Tensor, recorded: Tensor, case: str) -> None:
    """1e-5; relative to the largest entry alone in the tiny cases, where an absolute tolerance sees nothing."""
    if "_tiny" in case:
        torch.testing.assert_close(actual, recorded, atol=RTOL_TINY * float(recorded.abs().max()), rtol=RTOL_TINY)
    else:
        assert_matches(actual, recorded)


@carried_and_full
@VERSION
def test_projections_one_by_one(folder: Path, version: int) -> None:
    recording, rule = load(folder, "A_g_regrad_vectors"), VERSIONS[version]
    for case in cases(recording):
        main = recording[f"{case}.main"]
        subs = {name: recording[f"{case}.{name}"] for name in ("sub1", "sub2") if f"{case}.{name}" in recording}
        for name, sub in subs.items():
            slow = project(sub, main, rule=rule, released=True)
            assert_close(slow, recording[f"{case}.v{version}.slow.{name}"], case)
        if version != 1:  # the first version splits the fastest gradient between the two others, see below
            total = sum(subs.values(), torch.zeros_like(main))
            fast = project(main, total, rule=rule, released=True)
            assert_close(fast, recording[f"{case}.v{version}.fast.main"], case)


@carried_and_full
@VERSION
@pytest.mark.parametrize("branch", MODALITIES)
def test_modulated_gradients(folder: Path, version: int, branch: Modality) -> None:
    recording = load(folder, "A_g_regrad_vectors")
    others = branch.others
    for case in cases(recording):
        gradients: list[Tensor | None] = [None, None, None]
        gradients[branch.index] = recording[f"{case}.main"]
        weights = {"main": CERTAINTY[branch.index]}
        for name, other in zip(("sub1", "sub2"), others, strict=True):
            weights[name] = CERTAINTY[other.index]
            if f"{case}.{name}" in recording:
                gradients[other.index] = recording[f"{case}.{name}"]
        fast, slow = (recording.group(f"{case}.v{version}.{kind}.") for kind in ("fast", "slow"))
        held_back = weights["main"] * fast.pop("main")
        expected_fast = sum(fast.values(), held_back)
        own = slow.pop("main")
        expected_slow = sum((weights[name] * value for name, value in slow.items()), own)
        for fastest, expected in ((branch, expected_fast), (others[0], expected_slow), (None, expected_slow)):
            actual = regrad(gradients, branch, fastest, CERTAINTY, rule=VERSIONS[version], released=True)
            assert actual is not None
            assert_close(actual, expected, case)


@carried_and_full
@VERSION
def test_default_modulation_differs_only_where_it_is_meant_to(folder: Path, version: int) -> None:
    """Tiny gradients (D15) and gradients of a single loss (D21) aside, the default is the released arithmetic."""
    recording, rule = load(folder, "A_g_regrad_vectors"), VERSIONS[version]
    compared = 0
    for case in cases(recording):
        gradients = [recording.tensors.get(f"{case}.{n}") for n in ("main", "sub1", "sub2")]
        if "_tiny" in case or sum(g is not None and bool(g.any()) for g in gradients) < 2:
            continue
        for fastest in (0, 1):
            ours, theirs = (
                regrad(gradients, 0, fastest, [0.3, 0.7, 0.9], rule=rule, released=r) for r in (False, True)
            )
            assert ours is not None
            assert theirs is not None
            assert_matches(ours, theirs)
            compared += 1
    assert compared >= 10


@carried_and_full
@pytest.mark.parametrize("momentum", [0.3, 0.5, 0.9])
@OURS
def test_moving_averages(folder: Path, momentum: float, released: bool) -> None:
    """Released: they grow without bound (D3). Default: a moving average, corrected for its start."""
    recording = load(folder, "A_i_momentum")
    facts = recording.facts["results"][f"f{momentum}"]
    balance = ReGrad(momentum=momentum, released=released)
    expected = recording[f"{'official' if released else 'ema'}_f{momentum}"]
    for step, losses in enumerate(recording["losses"]):
        fastest = balance.update(list(losses))
        assert_matches(torch.tensor(balance.averages), expected[step])
        assert fastest is MODALITIES[facts["fast_official" if released else "fast_ema"][step] - 1]
        if not released:
            corrected = torch.tensor(balance.corrected_averages())
            assert_matches(corrected, expected[step] / (1 - momentum ** (step + 1)))


@carried_and_full
def test_moving_averages_with_missing_modalities(folder: Path) -> None:
    recording = load(folder, "A_i_momentum")
    names = {"D": Modality.DEPTH, "IR": Modality.INFRARED, "RGB": Modality.RGB}
    balance = ReGrad(momentum=0.5, released=True)
    sequence = recording.facts["results"]["missing_sequence"]
    for losses, missing, expected in zip(
        recording["losses"], sequence, recording["official_missing_f0.5"], strict=True
    ):
        gone = [names[name] for name in missing]
        balance.update([None if m in gone else losses[m.index] for m in MODALITIES])
        assert_matches(torch.tensor(balance.averages), expected)


class RecordedStep:
    """The toy at its recorded weights, and what a step needs."""

    def __init__(self, folder: Path) -> None:
        self.recording = load(folder, "A_h_regrad_step")
        self.toy = recorded_toy(self.recording)
        self.names = recorded_names(self.toy)
        self.certainty = [self.recording[f"uc_{i}"] for i in (1, 2, 3)]

    def losses(self, missing: tuple[Modality, ...] = ()) -> tuple[Tensor, list[Tensor]]:
        r = self.recording
        x = [r[f"x_{i}"] for i in (1, 2, 3)]
        return self.toy.losses(x, r["y_domain"].long(), r["y_spoof"].long(), missing)

    def step(self, balance: ReGrad, *, missing: tuple[Modality, ...] = (), branches: list | None = None) -> None:
        total, losses = self.losses(missing)
        present = [None if m in missing else loss for m, loss in zip(MODALITIES, losses, strict=True)]
        balance.step(present, total, branches or self.toy.assignment(), self.certainty)

    def assert_gradients(self, case: str) -> None:
        expected = self.recording.group(f"{case}.")
        assert expected
        for name, parameter in self.names.items():
            if name in expected:
                assert parameter.grad is not None
                assert_matches(parameter.grad, expected[name])
            else:
                assert parameter.grad is None


@carried_and_full
@VERSION
@OURS
def test_step_with_every_parameter_trainable(folder: Path, version: int, released: bool) -> None:
    recorded = RecordedStep(folder)
    recorded.step(ReGrad(rule=VERSIONS[version], released=released))
    recorded.assert_gradients(f"i.v{version}.{'official' if released else 'fixed'}_grad")


@carried_and_full
@OURS
def test_step_with_a_frozen_parameter_first(folder: Path, released: bool) -> None:
    """The released loop stops at the first parameter without modality gradient (D1): here nothing is modulated."""
    recorded = RecordedStep(folder)
    frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    recorded.step(ReGrad(released=released), branches=[(frozen, None), *recorded.toy.assignment()])
    recorded.assert_gradients(f"ii_frozen_first.v4.{'official' if released else 'fixed'}_grad")
    assert frozen.grad is None


@carried_and_full
@OURS
def test_step_with_a_frozen_parameter_in_the_middle(folder: Path, released: bool) -> None:
    recorded = RecordedStep(folder)
    frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    pairs = recorded.toy.assignment()
    recorded.step(ReGrad(released=released), branches=[*pairs[:3], (frozen, None), *pairs[3:]])
    recorded.assert_gradients(f"iii_frozen_middle.v4.{'official' if released else 'fixed'}_grad")


@carried_and_full
@OURS
def test_step_with_a_joint_head_last(folder: Path, released: bool) -> None:
    """The head has no modality gradient, so it gets that of the total loss; being last it stops nothing."""
    recorded = RecordedStep(folder)
    head = torch.nn.Parameter(recorded.toy.joint.clone())
    recorded.toy.joint = head.requires_grad_()  # type: ignore[assignment]
    recorded.names["fc_all.weight"] = head
    recorded.step(ReGrad(released=released), branches=[*recorded.toy.assignment(), (head, None)])
    recorded.assert_gradients(f"i_fc_last.v4.{'official' if released else 'fixed'}_grad")


@carried_and_full
@OURS
def test_four_steps(folder: Path, released: bool) -> None:
    """Here both kinds of averages name the same fastest modality at every step."""
    recorded = RecordedStep(folder)
    balance = ReGrad(released=released)
    optimiser = torch.optim.SGD(recorded.toy.parameters(), lr=0.1)
    for step, entry in enumerate(recorded.recording.facts["results"]["steps"]):
        recorded.step(balance)
        recorded.assert_gradients(f"steps.{step}.grad")
        if released:
            assert_matches(torch.tensor(balance.averages), torch.tensor(entry["mont"]))
        optimiser.step()
    for name, expected in recorded.recording.group("steps.final_w.").items():
        assert_matches(recorded.names[name].detach(), expected)


@carried_and_full
@pytest.mark.parametrize("case", MISSING)
@pytest.mark.parametrize("index", ["official", "fixed"])
def test_step_with_missing_modalities(folder: Path, case: str, index: str) -> None:
    """Recorded with the released averages, where a missing modality's zero is the lowest: none is the fastest (D20).

    The mended index is the released loop over an order in which it meets no parameter without modality gradients.
    """
    recorded = RecordedStep(folder)
    pairs = recorded.toy.assignment()
    if index == "fixed":
        unreached = {id(p) for p in unreached_parameters(recorded, MISSING[case])}
        pairs.sort(key=lambda pair: id(pair[0]) in unreached)
    balance = ReGrad(released=True)
    recorded.step(balance, missing=MISSING[case], branches=pairs)
    recorded.assert_gradients(f"{case}.{index}_grad")
    averages = recorded.recording.facts["results"][case]["official"]["log"]["mont"]
    assert_matches(torch.tensor(balance.averages), torch.tensor(averages))


def unreached_parameters(recorded: RecordedStep, missing: tuple[Modality, ...]) -> list[torch.nn.Parameter]:
    """Parameters that no present modality's loss reaches."""
    _, losses = recorded.losses(missing)
    present = [loss for m, loss in zip(MODALITIES, losses, strict=True) if m not in missing]
    parameters = list(recorded.names.values())
    gradients = torch.autograd.grad(sum(present[1:], present[0]), parameters, allow_unused=True)
    return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is None]


@carried_and_full
@pytest.mark.parametrize("case", MISSING)
def test_default_step_with_missing_modalities_from_the_recorded_gradients(folder: Path, case: str) -> None:
    """By default the fastest is sought among the present modalities (D20)."""
    recorded = RecordedStep(folder)
    missing = MISSING[case]
    present = [m for m in MODALITIES if m not in missing]
    _, losses = recorded.losses(missing)
    fastest = min(present, key=lambda m: losses[m.index].item()).index
    recorded.step(ReGrad(), missing=missing)
    for name, parameter in recorded.names.items():
        total = recorded.recording.group(f"{case}.grad.total.").get(name)
        if total is None:
            assert parameter.grad is None
            continue
        of_losses = [
            recorded.recording.group(f"{case}.grad.m{m.index + 1}.").get(name) if m in present else None
            for m in MODALITIES
        ]
        branch = int(name[len("branch_")]) - 1
        certainty = [float(value) for value in recorded.certainty]
        expected = plain_regrad(of_losses, branch, fastest, certainty) + total
        assert parameter.grad is not None
        assert_matches(parameter.grad, expected.float())


@carried_and_full
def test_trainable_parameter_outside_the_branches(folder: Path) -> None:
    """The released step crashes on it; by default it gets the plain sum of its gradients (D17)."""
    shared = torch.nn.Parameter(torch.ones(6))

    def with_shared_stem() -> tuple[RecordedStep, list]:
        recorded = RecordedStep(folder)
        recorded.toy.stem = shared * recorded.toy.stem
        return recorded, [(shared, None), *recorded.toy.assignment()]

    recorded, branches = with_shared_stem()
    with pytest.raises(RuntimeError, match="outside the branches"):
        recorded.step(ReGrad(released=True), branches=branches)
    recorded, branches = with_shared_stem()
    total, losses = recorded.losses()
    (expected,) = torch.autograd.grad(total + sum(losses), shared, retain_graph=True)
    recorded.step(ReGrad(), branches=branches)
    assert shared.grad is not None
    assert_matches(shared.grad, expected)
    recorded.assert_gradients("i.v4.fixed_grad")
