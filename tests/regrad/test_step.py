"""Whole ReGrad steps: which gradients end where, and what is freed."""

import math
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.rule import RULES, Rule
from mmdg_lite.regrad.step import ReGrad
from tests.support.plain import plain_regrad
from tests.support.toy import Toy

R, D, I = MODALITIES  # noqa: E741
CERTAINTY = [0.5, 0.25, 0.75]
every_rule = pytest.mark.parametrize("rule", RULES)


class Situation:
    """A toy with a head and a frozen parameter, and one batch for it."""

    def __init__(self) -> None:
        torch.manual_seed(5)
        self.toy = Toy()
        self.head = nn.Parameter(self.toy.joint.clone())
        self.toy.joint = self.head  # type: ignore[assignment]
        self.frozen = nn.Parameter(torch.ones(6), requires_grad=False)
        self.toy.stem = self.frozen  # type: ignore[assignment]
        self.batch = (torch.randn(3, 8, 6), torch.arange(8) % 5, torch.arange(8) % 2)
        self.pairs: list[tuple[nn.Parameter, Modality | None]] = [
            (self.frozen, None),
            *self.toy.assignment(),
            (self.head, None),
        ]

    def losses(self) -> tuple[Tensor, list[Tensor]]:
        x, classes, labels = self.batch
        return self.toy.losses(list(x), classes, labels)

    def gradients(self) -> tuple[dict[int, Tensor], list[dict[int, Tensor]]]:
        """Gradients of the total loss and of each modality's, by the parameter's id; without what is not reached."""
        total, losses = self.losses()
        parameters = [p for p, _ in self.pairs if p.requires_grad]
        by_loss = []
        for loss in (total, *losses):
            found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            by_loss.append({id(p): g for p, g in zip(parameters, found, strict=True) if g is not None})
        return by_loss[0], by_loss[1:]

    def result(self) -> list[Tensor | None]:
        return [p.grad for p, _ in self.pairs]


@pytest.mark.parametrize("missing", [(), (D,), (R, I)])
def test_every_gradient_is_the_total_s_plus_the_modulated(missing: tuple[Modality, ...]) -> None:
    s = Situation()
    of_total, of_loss = s.gradients()
    total, losses = s.losses()
    given_losses = [None if m in missing else loss for m, loss in zip(MODALITIES, losses, strict=True)]
    report = ReGrad().step(given_losses, total, s.pairs, CERTAINTY)
    present = [m for m in MODALITIES if m not in missing]
    assert report.fastest is min(present, key=lambda m: losses[m.index].item())
    for parameter, branch in s.pairs:
        if parameter is s.frozen:
            assert parameter.grad is None
            continue
        expected = of_total[id(parameter)]
        if branch is not None:
            per_modality = [None if m in missing else of_loss[m.index].get(id(parameter)) for m in MODALITIES]
            if any(g is not None for g in per_modality):
                expected = expected + plain_regrad(per_modality, branch.index, report.fastest.index, CERTAINTY).float()
        torch.testing.assert_close(parameter.grad, expected)


def test_rule_none_equals_plain_backward_of_the_sum() -> None:
    s = Situation()
    total, losses = s.losses()
    (total + sum(losses)).backward()
    expected = s.result()
    report = ReGrad(rule="none").step(s.losses()[1], s.losses()[0], s.pairs, CERTAINTY)
    for actual, plain in zip(s.result(), expected, strict=True):
        assert (actual is None) == (plain is None)
        if actual is not None:
            torch.testing.assert_close(actual, plain)
    assert report.fastest is not None
    assert math.isnan(report.conflict_rate)
    assert all(math.isnan(norm) for norm in report.gradient_norms)


@every_rule
@pytest.mark.parametrize("only", MODALITIES)
def test_one_modality_alone_is_plain_training(rule: Rule, only: Modality) -> None:
    s = Situation()
    total, losses = s.losses()
    (total + losses[only.index]).backward()
    expected = s.result()
    total, losses = s.losses()
    ReGrad(rule=rule).step(
        [loss if m is only else None for m, loss in zip(MODALITIES, losses, strict=True)], total, s.pairs, CERTAINTY
    )
    for actual, plain in zip(s.result(), expected, strict=True):
        if actual is None or plain is None:
            assert actual is plain
        else:
            torch.testing.assert_close(actual, plain)


FORMS: dict[str, Callable[[Situation], object]] = {
    "pairs": lambda s: s.pairs,
    "four lists": lambda s: [[p for p, b in s.pairs if b is owner] for owner in (*MODALITIES, None)],
    "generators": lambda s: [*(branch.parameters() for branch in s.toy.branches), (p for p in (s.head, s.frozen))],
    "mapping": lambda s: {owner: [p for p, b in s.pairs if b is owner] for owner in (None, I, D, R)},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by_name", [False, True], ids=["sequences", "mappings"])
def test_accepted_forms(form: str, by_name: bool) -> None:
    s = Situation()
    total, losses = s.losses()
    ReGrad().step(losses, total, s.pairs, CERTAINTY)
    expected = s.result()
    other = Situation()
    total, losses = other.losses()
    certainty: object = [torch.tensor(value) for value in CERTAINTY]
    given_losses: object = losses
    if by_name:
        certainty, given_losses = (dict(zip(MODALITIES, values, strict=True)) for values in (certainty, losses))
    ReGrad().step(given_losses, total, FORMS[form](other), certainty)  # type: ignore[arg-type]
    for actual, plain in zip(other.result(), expected, strict=True):
        assert (actual is None) == (plain is None)
        if actual is not None:
            assert torch.equal(actual, plain)


def test_three_collections_leave_the_rest_alone() -> None:
    s = Situation()
    total, losses = s.losses()
    ReGrad().step(losses, total, [list(branch.parameters()) for branch in s.toy.branches], CERTAINTY)
    assert s.head.grad is None
    assert all(p.grad is not None for branch in s.toy.branches for p in branch.parameters())


def test_parameters_outside_the_branches_get_the_plain_sum() -> None:
    """The released step crashes on them (D17)."""
    s = Situation()
    s.frozen.requires_grad_()
    of_total, of_loss = s.gradients()
    total, losses = s.losses()
    ReGrad().step(losses, total, s.pairs, CERTAINTY)
    expected = of_total[id(s.frozen)] + sum(g[id(s.frozen)] for g in of_loss)
    torch.testing.assert_close(s.frozen.grad, expected)
    total, losses = s.losses()
    with pytest.raises(RuntimeError, match=r"outside the branches.*D17"):
        ReGrad(released=True).step(losses, total, s.pairs, CERTAINTY)


def test_released_loop_stops_at_the_first_parameter_without_gradient() -> None:
    """Here a frozen one comes first: nothing is modulated (D1)."""
    s = Situation()
    of_total, _ = s.gradients()
    total, losses = s.losses()
    ReGrad(released=True).step(losses, total, s.pairs, CERTAINTY)
    for parameter, _ in s.pairs:
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, of_total[id(parameter)])


def test_gradients_of_the_last_step_are_replaced() -> None:
    s = Situation()
    for p, _ in s.pairs:
        p.grad = torch.full_like(p, 7.0)
    unreached = nn.Parameter(torch.ones(2))
    unreached.grad = torch.ones(2)
    total, losses = s.losses()
    ReGrad().step(losses, total, [*s.pairs, (unreached, R)], CERTAINTY)
    again = Situation()
    total, losses = again.losses()
    ReGrad().step(losses, total, again.pairs, CERTAINTY)
    for (p, _), (q, _) in zip(s.pairs[1:], again.pairs[1:], strict=True):
        assert torch.equal(p.grad, q.grad)
    assert unreached.grad is None


def test_report() -> None:
    """Three conflicting pairs of four; norms of the modulated gradients alone."""
    p, q = (nn.Parameter(torch.tensor([1.0, 1.0])) for _ in "pq")
    of_r = 2 * p[0] + q[0]  # gradients: p (2, 0), q (1, 0)
    of_d = 3 * p[0] + 4 * p[1] - q[0] + 3 * q[1]  # p (3, 4), q (-1, 3)
    of_i = -3 * p[0] + q[0]  # p (-3, 0), q (1, 0)
    balance = ReGrad()
    report = balance.step([of_r, of_d, of_i], (p - q).square().sum() + 0 * p.sum(), [(p, R), (q, D)], [0.5, 0.5, 0.5])
    assert report.averages == pytest.approx((3.0, 9.0, -2.0))
    assert report.fastest is I
    assert report.conflict_rate == pytest.approx(3 / 4)  # p: D agrees, I conflicts; q: R and I conflict
    # p: (2, 0) + (3, 0) / 2 + nothing; q: (-1, 3) + twice half of what is across of (1, 0): (0.9, 0.3)
    assert report.gradient_norms == pytest.approx((3.5, math.hypot(-0.1, 3.3), 0.0))


def test_steps_train_the_toy() -> None:
    s = Situation()
    balance = ReGrad()
    optimiser = torch.optim.SGD([p for p, _ in s.pairs if p.requires_grad], lr=0.3)
    first = s.losses()[0].item()
    for _ in range(30):
        total, losses = s.losses()
        balance.step(losses, total, s.pairs, CERTAINTY)
        optimiser.step()
    assert s.losses()[0].item() < 0.5 * first


class Saved:
    """Something a weak reference can watch, around a tensor that the graph keeps for its backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize("rule", ["regrad", "none"])
@pytest.mark.parametrize("released", [False, True])
def test_the_graphs_of_all_losses_are_freed(rule: Rule, released: bool) -> None:
    """Also the parts that only one modality's loss has, while the losses are still referenced (D19)."""
    shared, own = nn.Linear(4, 4), [nn.Linear(4, 4) for _ in MODALITIES]
    saved: list[weakref.ref[Saved]] = []

    def pack(tensor: Tensor) -> Saved:
        kept = Saved(tensor)
        saved.append(weakref.ref(kept))
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        h = shared(torch.ones(2, 4)).tanh()
        losses = [(h @ layer(layer.weight).tanh().exp()).square().mean() for layer in own]
        total = h.square().mean()
    assert sum(reference() is not None for reference in saved) > 20
    pairs = [(p, m) for m, layer in zip(MODALITIES, own, strict=True) for p in layer.parameters()]
    pairs += [(p, R) for p in shared.parameters()]
    ReGrad(rule=rule, released=released).step(losses, total, pairs, CERTAINTY)
    assert not [reference for reference in saved if reference() is not None]
    assert all(p.grad is not None for p, _ in pairs)


def test_losses_that_reach_nothing_are_passed_over() -> None:
    s = Situation()
    total, losses = s.losses()
    constant = torch.tensor(0.3)
    report = ReGrad().step([losses[0], constant, losses[2]], total, s.pairs, CERTAINTY)
    assert report.fastest is D
    expected = Situation()
    total, losses = expected.losses()
    balance = ReGrad()
    balance.update = lambda _: D  # type: ignore[method-assign]
    balance.step([losses[0], None, losses[2]], total, expected.pairs, CERTAINTY)
    for actual, plain in zip(s.result(), expected.result(), strict=True):
        if actual is None or plain is None:
            assert actual is plain
        else:
            torch.testing.assert_close(actual, plain)


def test_faults() -> None:
    with pytest.raises(ValueError, match="unknown rule 'sum'; choose one of regrad, keep"):
        ReGrad(rule="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="released ReGrad has no rule 'ogm_ge'"):
        ReGrad(rule="ogm_ge", released=True)
    for momentum in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\)"):
            ReGrad(momentum=momentum)
    s = Situation()
    total, losses = s.losses()
    with pytest.raises(ValueError, match=r"one value per modality \(3\), got 2"):
        ReGrad().step(losses[:2], total, s.pairs, CERTAINTY)
    with pytest.raises(ValueError, match="pairs, or one collection of parameters per modality"):
        ReGrad().step(losses, total, [[s.head], [s.frozen]], CERTAINTY)
