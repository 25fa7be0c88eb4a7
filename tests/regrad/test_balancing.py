"""What holds for every balancing rule, and that a step under each is the total's gradient plus what the rule makes."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.regrad.balancing import BALANCING_RULES, Moment, balancing_weights, check_balancing_rule
from mmdg_lite.regrad.branches import Branch
from mmdg_lite.regrad.gradients import Flattened, Gradients
from mmdg_lite.regrad.modulation import modulate
from mmdg_lite.regrad.step import ReGrad
from tests.support.rules import rule_parameters
from tests.support.toy import Toy

MOMENT = Moment(losses=[0.4, 1.1, 0.9], fastest=0, certainty=[0.5, 0.25, 0.75], seed=3)
BRANCHES: list[Branch] = [MODALITIES[i % 3] for i in range(9)]
every_rule = pytest.mark.parametrize("rule", rule_parameters())


def drawn(scale: float = 1.0) -> list[Gradients]:
    """Nine tensors of six entries; the gradients of any two losses conflict in some of them."""
    chance = torch.Generator().manual_seed(1)
    return [[scale * torch.randn(2, 3, generator=chance, dtype=torch.float64) for _ in MODALITIES] for _ in BRANCHES]


def results(gradients: list[Gradients], rule: str, moment: Moment = MOMENT) -> list[Tensor]:
    found = modulate(gradients, BRANCHES, rule, moment).gradients  # type: ignore[arg-type]
    assert all(g is not None for g in found)
    return found  # type: ignore[return-value]


@every_rule
def test_zero_gradients_give_zero(rule: str) -> None:
    for result in results(drawn(0.0), rule):
        assert torch.equal(result, torch.zeros(2, 3, dtype=torch.float64))


@every_rule
@pytest.mark.parametrize("scale", [1e-25, 1e-10, 1e-3, 1e5, 1e15])
def test_scaled_gradients_give_a_scaled_result(rule: str, scale: float) -> None:
    """Also in float32, where squares of such gradients do not exist."""
    plain = results(drawn(), rule)
    scaled = results([[(scale * g).float() for g in of if g is not None] for of in drawn()], rule)
    for one, other in zip(scaled, plain, strict=True):
        assert bool(one.isfinite().all())
        torch.testing.assert_close(one.double() / scale, other, rtol=1e-3, atol=1e-4)


@every_rule
def test_order_of_the_parameters_does_not_matter(rule: str) -> None:
    """To the weights: OGM-GE's noise is drawn entry after entry."""
    order = [2, 0, 1]
    grams = {m: Flattened(drawn()[3 * m : 3 * m + 3]).gram() for m in range(3)}
    plain = balancing_weights(grams, rule, MOMENT)  # type: ignore[arg-type]
    turned = balancing_weights({m: gram[order] for m, gram in grams.items()}, rule, MOMENT)  # type: ignore[arg-type]
    for m in range(3):
        torch.testing.assert_close(turned[m], plain[m][order])


@every_rule
def test_a_rule_draws_from_its_seed_alone(rule: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = results(drawn(), rule)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    for one, other in zip(first, results(drawn(), rule), strict=True):
        assert torch.equal(one, other)


@every_rule
def test_a_missing_modality_is_a_zero_gradient(rule: str) -> None:
    for gone in range(3):
        as_none = [[None if m == gone else g for m, g in enumerate(of)] for of in drawn()]
        as_zero = [[torch.zeros_like(g) if m == gone else g for m, g in enumerate(of)] for of in drawn()]  # type: ignore[arg-type]
        for one, other in zip(results(as_none, rule), results(as_zero, rule), strict=True):
            torch.testing.assert_close(one, other)


@every_rule
def test_what_a_single_loss_reaches_is_left_alone(rule: str) -> None:
    gradients = drawn()
    gradients[4] = [None, gradients[4][1], None]
    (alone,) = (g for g in gradients[4] if g is not None)
    assert torch.equal(results(gradients, rule)[4], alone)


@every_rule
def test_not_finite_gradients_stay_visible(rule: str) -> None:
    """So that the trainer can report them."""
    gradients = drawn()
    gradients[0] = [torch.full((2, 3), float("nan")).double(), *gradients[0][1:]]
    assert bool(results(gradients, rule)[0].isnan().all())
    gradients[0] = [torch.full((2, 3), float("inf")).double(), *gradients[0][1:]]
    assert not bool(results(gradients, rule)[0].isfinite().any())


def test_rules_differ() -> None:
    """No two of those that are installed make the same of these gradients."""
    found = {}
    for parameter in rule_parameters():
        rule = str(parameter.values[0])
        try:
            check_balancing_rule(rule)
        except ImportError:
            continue
        found[rule] = torch.stack(results(drawn(), rule))
    assert len(found) >= 9
    names = list(found)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not torch.allclose(found[one], found[other], rtol=1e-3), (one, other)


@pytest.mark.parametrize("rule", rule_parameters(tuple(rule for rule in BALANCING_RULES if rule != "none")))
def test_a_step_leaves_the_total_s_gradient_plus_the_rule_s(rule: str) -> None:
    torch.manual_seed(5)
    toy = Toy()
    batch = (list(torch.randn(3, 8, 6)), torch.arange(8) % 5, torch.arange(8) % 2)
    pairs = toy.assignment()
    parameters = [p for p, _ in pairs]
    total, losses = toy.losses(*batch)
    by_loss = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in losses]
    of_total = torch.autograd.grad(total, parameters)
    balance = ReGrad(rule=rule, seed=7)  # type: ignore[arg-type]
    total, losses = toy.losses(*batch)
    report = balance.step(losses, total, pairs, MOMENT.certainty)  # type: ignore[arg-type]
    assert report.fastest is not None
    moment = replace(
        MOMENT, losses=[float(x.detach()) for x in losses], fastest=report.fastest.index, seed=(7 << 32) + 1
    )
    expected = modulate(list(zip(*by_loss, strict=True)), [m for _, m in pairs], rule, moment)  # type: ignore[arg-type]
    for p, one, other in zip(parameters, of_total, expected.gradients, strict=True):
        torch.testing.assert_close(p.grad, one if other is None else one + other)


@every_rule
def test_the_toy_learns_under_every_rule(rule: str) -> None:
    torch.manual_seed(5)
    toy = Toy()
    batch = (list(torch.randn(3, 8, 6)), torch.arange(8) % 5, torch.arange(8) % 2)
    balance = ReGrad(rule=rule)  # type: ignore[arg-type]
    optimiser = torch.optim.SGD(toy.parameters(), lr=0.1)
    first = float(toy.losses(*batch)[0].detach())
    for _ in range(30):
        total, losses = toy.losses(*batch)
        balance.step(losses, total, toy.assignment(), MOMENT.certainty)  # type: ignore[arg-type]
        optimiser.step()
    assert float(toy.losses(*batch)[0].detach()) < 0.8 * first


def test_faults() -> None:
    with pytest.raises(ValueError, match=r"unknown rule 'sum'; choose one of regrad, keep, .*upgrad"):
        check_balancing_rule("sum")
