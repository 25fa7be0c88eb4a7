"""Attention under certainty: which query is taken, how it is scaled, what is random."""

import math

import pytest
import torch
from torch import Tensor, nn

from mmdg_lite.attention import CertaintyAttention, CrossAttention
from mmdg_lite.uncertainty import SAMPLING_METHODS
from tests.support.slow_adapters import randomised

DIM, TOKENS, BATCH, SAMPLES, RATE = 8, 10, 3, 6, 2.5


def attention(**options: object) -> CertaintyAttention:
    return randomised(CertaintyAttention(DIM, samples=SAMPLES, rate=RATE, **options))  # type: ignore[return-value, arg-type]


def tokens(batch: int = BATCH) -> tuple[Tensor, Tensor]:
    sender, receiver = torch.randn(2, batch, TOKENS, DIM, dtype=torch.float64)
    return sender, receiver


def both_certainties(layer: CertaintyAttention, sender: Tensor, receiver: Tensor) -> tuple[Tensor, Tensor]:
    """Expected certainties of the sender's and the receiver's queries, B x N x 1."""
    u_b = layer.log_variance_sender(layer.query_sender(sender)).exp().mean(dim=-1, keepdim=True)
    u_a = layer.log_variance_receiver(layer.query_receiver(receiver)).exp().mean(dim=-1, keepdim=True)
    return torch.exp(-RATE * u_b), torch.exp(-RATE * u_a)


@pytest.mark.parametrize("sampling", SAMPLING_METHODS)
def test_evaluation_is_deterministic_and_draws_nothing(sampling: str) -> None:
    """The released one differs from call to call (D12)."""
    sender, receiver = tokens()
    layer = attention(sampling=sampling).eval()
    state = torch.get_rng_state()
    first, again = layer(sender, receiver), layer(sender, receiver)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)


def test_released_evaluation_draws() -> None:
    sender, receiver = tokens()
    layer = attention(released=True).eval()
    assert not torch.equal(layer(sender, receiver)[1], layer(sender, receiver)[1])


@pytest.mark.parametrize("sampling", SAMPLING_METHODS)
def test_generator_decides_training(sampling: str) -> None:
    sender, receiver = tokens()
    layer = attention(sampling=sampling).train()

    def run(seed: int) -> Tensor:
        return layer(sender, receiver, generator=torch.Generator().manual_seed(seed))[0]

    state = torch.get_rng_state()
    first, again, other = run(1), run(1), run(2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_evaluation_takes_the_more_certain_side() -> None:
    sender, receiver = tokens()
    layer = attention().eval()
    of_sender, of_receiver = both_certainties(layer, sender, receiver)
    assert 0.1 < (of_sender > of_receiver).double().mean() < 0.9
    torch.testing.assert_close(layer(sender, receiver)[1], torch.maximum(of_sender, of_receiver))


def test_evaluation_ignores_selection() -> None:
    sender, receiver = tokens()
    layer = attention().eval()
    zeros = torch.zeros(BATCH, TOKENS, 1)
    assert torch.equal(layer(sender, receiver, selection=zeros)[0], layer(sender, receiver)[0])


def test_a_tie_goes_to_the_receiver() -> None:
    """With log-variances of zero both sides are equally certain."""
    sender, receiver = tokens()
    layer = attention().eval()
    for head in (layer.log_variance_sender, layer.log_variance_receiver):
        nn.init.zeros_(head.weight)
    attended, certainty = layer(sender, receiver)
    torch.testing.assert_close(certainty, torch.full_like(certainty, math.exp(-RATE)))
    of_receiver = layer.mean_receiver(layer.query_receiver(receiver))
    torch.testing.assert_close(attended, layer.attend(math.exp(-RATE) * of_receiver, receiver))


def test_selection_uniforms_are_compared_with_the_probability() -> None:
    """Just below U_b / (U_b + U_a) the sender's query is taken, just above it the receiver's (D2)."""
    sender, receiver = tokens()
    layer = attention(sampling="expected").train()
    of_sender, of_receiver = both_certainties(layer, sender, receiver)
    probability = of_sender / (of_sender + of_receiver)
    for shift, chosen in ((-1e-9, of_sender), (1e-9, of_receiver)):
        _, certainty = layer(sender, receiver, selection=probability + shift)
        torch.testing.assert_close(certainty, chosen)


def test_tokens_are_chosen_with_their_probability_and_independently(generator: torch.Generator) -> None:
    sender, receiver = (x.expand(400, TOKENS, DIM) for x in tokens(1))
    layer = attention(sampling="expected").train()
    of_sender, of_receiver = both_certainties(layer, sender[:1], receiver[:1])
    probability = (of_sender / (of_sender + of_receiver))[0, :, 0]
    taken = (layer(sender, receiver, generator=generator)[1] == layer_certainty(layer, sender)).double()[..., 0]
    error = (probability * (1 - probability) / 400).sqrt()
    assert bool(((taken.mean(dim=0) - probability).abs() < 4 * error).all())
    correlation = torch.corrcoef(taken.T) - torch.eye(TOKENS)
    assert correlation.abs().max() < 5 / 400**0.5


def layer_certainty(layer: CertaintyAttention, sender: Tensor) -> Tensor:
    """The sender's certainty as the layer itself computes it when it must choose the sender."""
    return layer(sender, sender, selection=torch.zeros(*sender.shape[:2], 1))[1]


def test_released_training_always_takes_the_sender() -> None:
    sender, receiver = tokens()
    layer = attention(released=True).train()
    attended, _ = layer(sender, receiver, selection=torch.ones(BATCH, TOKENS, 1) - 1e-6)
    attended.square().sum().backward()
    for unused in (layer.query_receiver, layer.mean_receiver, layer.log_variance_receiver):
        assert unused.weight.grad is None or not unused.weight.grad.any()
    assert layer.query_sender.weight.grad.any()


def test_default_training_reaches_both_sides() -> None:
    sender, receiver = tokens()
    layer = attention().train()
    layer(sender, receiver)[0].square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("training", [False, True])
def test_certainties_that_underflow_give_no_nan(training: bool) -> None:
    """Where both certainties are zero their ratio is undefined; the difference of the variances is not."""
    sender, receiver = tokens()
    layer = attention().train(training)
    for head in (layer.log_variance_sender, layer.log_variance_receiver):
        nn.init.normal_(head.weight, std=20)
    attended, certainty = layer(sender, receiver)
    assert (certainty == 0).double().mean() > 0.2
    assert bool(attended.isfinite().all())
    attended.sum().backward()
    for name, parameter in layer.named_parameters():
        if not name.startswith("log_variance"):
            assert parameter.grad is None or bool(parameter.grad.isfinite().all()), name


def test_scaling_the_query_scales_the_row_of_logits() -> None:
    """U (q k^T) = (U q) k^T; scaling columns would be something else."""
    layer = attention().eval()
    query, receiver = tokens()
    certainty = torch.rand(BATCH, TOKENS, 1, dtype=torch.float64)

    def by_hand(scale: Tensor) -> Tensor:
        split = (BATCH, TOKENS, layer.heads, DIM // layer.heads)
        q, k, v = (x.reshape(split).transpose(1, 2) for x in (query, layer.key(receiver), layer.value(receiver)))
        logits = scale * (q @ k.transpose(-1, -2)) / math.sqrt(DIM / layer.heads)
        return layer.out((logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(BATCH, TOKENS, DIM))

    actual = layer.attend(certainty * query, receiver)
    torch.testing.assert_close(actual, by_hand(certainty[:, None]))
    assert (actual - by_hand(certainty[:, None].transpose(-1, -2))).abs().max() > 0.01


def test_certainty_has_no_gradient() -> None:
    """Uncertainty is detached: log-variances learn through the sampling noise only (D11)."""
    sender, receiver = tokens()
    layer = attention()
    assert not layer.train()(sender, receiver)[1].requires_grad
    layer.eval()(sender, receiver)[0].sum().backward()
    for head in (layer.log_variance_sender, layer.log_variance_receiver):
        assert head.weight.grad is None


def test_values_of_their_own() -> None:
    layer = attention().eval()
    sender, receiver = tokens()
    values = torch.randn_like(receiver)
    own, given = layer(sender, receiver), layer(sender, receiver, values=receiver)
    assert torch.equal(own[0], given[0])
    other = layer(sender, receiver, values=values)
    assert torch.equal(other[1], own[1])
    assert not torch.allclose(other[0], own[0])


def test_half_precision_tokens_keep_their_type_and_certainty_its_precision() -> None:
    layer = CertaintyAttention(DIM).bfloat16().train()
    attended, certainty = layer(*torch.randn(2, BATCH, TOKENS, DIM, dtype=torch.bfloat16))
    assert attended.dtype == torch.bfloat16
    assert certainty.dtype == torch.float32


def test_plain_attention_is_fully_certain() -> None:
    layer = CrossAttention(DIM)
    sender, receiver = torch.randn(2, BATCH, TOKENS, DIM)
    attended, certainty = layer(sender, receiver)
    assert torch.equal(certainty, torch.ones(BATCH, TOKENS, 1))
    assert torch.equal(attended, layer.attend(layer.query_sender(sender), receiver))


def test_faults() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide the width 8"):
        CrossAttention(DIM, 3)
    with pytest.raises(ValueError, match="unknown sampling method 'often'"):
        CertaintyAttention(DIM, sampling="often")  # type: ignore[arg-type]
    wrong = torch.zeros(4, 1, TOKENS, DIM)
    with pytest.raises(ValueError, match="noise must have shape"):
        CertaintyAttention(DIM, samples=5)(*torch.zeros(2, 1, TOKENS, DIM), noise=(wrong, wrong))
