"""The assembled MMDG++ over batches: missing modalities, order, randomness, single samples."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.builder import Stream
from mmdg_lite.models.outputs import losses
from mmdg_lite.regrad.step import ReGrad
from tests.support.tiny import assert_same, batch, evaluated, tiny_model

COMBINATIONS = [present for present in itertools.product([True, False], repeat=3) if any(present)]
KINDS = {"mmdg++": {}, "plain adapters": {"adapters": "plain"}, "no adapters": {"adapters": "none"}}


@pytest.mark.parametrize("kind", ["mmdg++", "plain adapters", "no adapters"])
def test_presence_is_per_sample(kind: str) -> None:
    """All seven combinations in one batch: each sample as if alone, in a batch of one (D18)."""
    model = tiny_model(**KINDS[kind])
    given = batch(len(COMBINATIONS), present=COMBINATIONS)
    together = evaluated(model, given)
    for i, present in enumerate(COMBINATIONS):
        one = {name: value[i : i + 1] for name, value in given.items()}
        alone = evaluated(model, one)
        assert_same(alone, together, samples=slice(i, i + 1), atol=1e-5, rtol=1e-5)
        absent = {name: one[name] for name in ("label", "domain")}
        absent |= {m.value: one[m.value] for m, there in zip(MODALITIES, present, strict=True) if there}
        assert_same(evaluated(model, absent), alone)  # keys that are not there


@pytest.mark.parametrize("kind", ["mmdg++", "plain adapters"])
def test_missing_modalities_are_zero_in_every_result(kind: str) -> None:
    model = tiny_model(**KINDS[kind])
    output = evaluated(model, batch(len(COMBINATIONS), present=COMBINATIONS))
    missing = ~torch.tensor(COMBINATIONS)
    assert not output.features[missing].any()
    assert not output.modality_logits[missing].any()
    assert not output.certainty[missing].any()
    assert all(not certainty[missing].any() for certainty in output.token_certainty)
    assert bool((output.certainty[~missing] > 0).all())


@pytest.mark.parametrize("junk", [math.nan, math.inf])
def test_content_of_a_missing_modality_cannot_matter(junk: float) -> None:
    """Neither in the decision nor in any gradient (D13)."""
    given = batch(len(COMBINATIONS), present=COMBINATIONS)
    polluted = {**given}
    for m in MODALITIES:
        polluted[m.value] = torch.where(given["present"][:, m.index, None, None, None], given[m.value], junk)
    model = tiny_model(sampling="expected").train()
    results = []
    for inputs in (given, polluted):
        model.zero_grad()
        model.generator = torch.Generator().manual_seed(3)
        output = model(inputs)
        result = losses(output, inputs)
        (result.total + sum(result.modalities)).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        results.append([output.logits, output.features, output.certainty, result.total, *gradients])
    for clean, other in zip(*results, strict=True):
        assert bool(other.isfinite().all())
        assert torch.equal(clean, other)


def test_released_model_lets_a_missing_modality_through() -> None:
    model = tiny_model(released=True)
    given = batch(2, present=[[True, False, True]] * 2)
    given["depth"] = torch.full_like(given["depth"], math.nan)
    assert bool(evaluated(model, given).logits.isnan().all())


def test_certainty_of_a_modality_is_its_class_token_s_over_present_senders() -> None:
    given = batch(len(COMBINATIONS), present=COMBINATIONS)
    output = evaluated(tiny_model(), given)
    last = output.token_certainty[-1]
    for b, m in itertools.product(range(len(COMBINATIONS)), MODALITIES):
        present = COMBINATIONS[b]
        calls = [last[b, m.index, s, 0].item() for s, sender in enumerate(m.others) if present[sender.index]]
        if not calls:  # its own tokens, twice
            calls = last[b, m.index, :, 0].tolist()
        expected = sum(calls) / len(calls) if present[m.index] else 0.0
        assert output.certainty[b, m.index].item() == pytest.approx(expected, rel=1e-5)


def test_adapters_without_uncertainty_are_certain() -> None:
    assert bool((evaluated(tiny_model(adapters="plain"), batch()).certainty == 1).all())
    present = [[True, False, True]] * 4
    output = evaluated(tiny_model(adapters="none"), batch(present=present))
    assert output.certainty.tolist() == [[1.0, 0.0, 1.0]] * 4
    assert output.token_certainty == ()


def test_permuting_the_batch_permutes_the_output() -> None:
    model, given = tiny_model(), batch(len(COMBINATIONS), present=COMBINATIONS)
    order = torch.randperm(len(COMBINATIONS))
    permuted = evaluated(model, {name: value[order] for name, value in given.items()})
    assert_same(permuted, evaluated(model, given), samples=order, atol=1e-5, rtol=1e-5)


def test_evaluation_is_deterministic_and_draws_nothing() -> None:
    """The released model's differs from call to call (D12)."""
    model, given = tiny_model(), batch()
    state = torch.get_rng_state()
    first, again = evaluated(model, given), evaluated(model, given)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.logits, again.logits)
    released = tiny_model(released=True)
    assert not torch.equal(evaluated(released, given).logits, evaluated(released, given).logits)


def test_generator_decides_training() -> None:
    model, given = tiny_model().train(), batch()

    def run(seed: int) -> Tensor:
        model.generator = torch.Generator().manual_seed(seed)
        return model(given).logits

    first, again, other = run(1), run(1), run(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_given_noise_is_used_where_it_belongs() -> None:
    """Called for each block, receiver, sender and side; what it gives decides the result."""
    model, given, calls = tiny_model(samples=3).eval(), batch(2), []

    def noise(layer: int, receiver: Modality, sender: Modality, stream: Stream) -> Tensor:
        calls.append((layer, receiver, sender, stream))
        chance = torch.Generator().manual_seed(1000 * layer + 100 * receiver.index + 10 * sender.index + stream)
        return torch.randn(3, 2, 5, 8, generator=chance)

    with torch.no_grad():
        first, again = model(given, noise=noise), model(given, noise=noise)
    pairs = [(m, sender) for m in MODALITIES for sender in m.others]
    expected = {(layer, m, sender, stream) for layer in range(2) for m, sender in pairs for stream in Stream}
    assert set(calls) == expected
    assert len(calls) == 2 * len(expected)
    assert torch.equal(first.logits, again.logits)
    assert not torch.equal(first.logits, evaluated(model, given).logits)


@pytest.mark.parametrize("present", COMBINATIONS)
def test_a_batch_of_one_can_be_trained_on(present: tuple[bool, ...]) -> None:
    """The released loss raises (D18)."""
    model, given = tiny_model().train(), batch(1, present=[present])
    output = model(given)
    result = losses(output, given)
    assert [loss is not None for loss in result.modalities] == list(present)
    report = ReGrad().step(result.modalities, result.total, model.branches(), output.mean_certainty())
    assert math.isfinite(sum(report.gradient_norms))
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_steps_lower_the_losses() -> None:
    model, given = tiny_model().train(), batch(8)
    model.generator = torch.Generator().manual_seed(0)
    balance = ReGrad()
    optimiser = torch.optim.Adam([p for p, _ in model.branches() if p.requires_grad], lr=5e-3)

    def total() -> float:
        result = losses(evaluated(model, given), given)
        return float(result.total + sum(result.modalities))

    first = total()
    for _ in range(15):
        output = model.train()(given)
        result = losses(output, given)
        balance.step(result.modalities, result.total, model.branches(), output.mean_certainty())
        optimiser.step()
    assert total() < 0.7 * first
