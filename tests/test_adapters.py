"""Adapters against their definition in float64, and what has to hold for any input."""

import math

import pytest
import torch
from torch import Tensor

from mmdg_lite.adapters import CrossAdapter, UAdapter, UAdapterPP
from tests.support.slow_adapters import randomised, slow_adapter, slow_mmdg_adapter

WIDTH, DIM, GRID, BATCH, SAMPLES = 12, 8, 3, 3, 6
TOKENS = 1 + GRID * GRID


def u_adapter_pp(**options: object) -> UAdapterPP:
    return randomised(UAdapterPP(WIDTH, dim=DIM, samples=SAMPLES, **options))  # type: ignore[return-value, arg-type]


def tokens(batch: int = BATCH) -> tuple[Tensor, Tensor]:
    """Receiver's and sender's tokens."""
    receiver, sender = torch.randn(2, batch, TOKENS, WIDTH, dtype=torch.float64)
    return receiver, sender


def draws(batch: int = BATCH) -> tuple[Tensor, Tensor]:
    sender, receiver = torch.randn(2, SAMPLES, batch, TOKENS, DIM, dtype=torch.float64)
    return sender, receiver


ALL = torch.ones(BATCH, dtype=torch.bool)


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("theta", [0.0, 0.5])
@pytest.mark.parametrize("mode", ["expected", "given noise", "training"])
def test_u_adapter_pp_is_its_definition(heads: int, theta: float, mode: str) -> None:
    adapter = u_adapter_pp(heads=heads, theta=theta).train(mode == "training")
    receiver, sender = tokens()
    noise = None if mode == "expected" else draws()
    selection = torch.rand(BATCH, TOKENS, 1, dtype=torch.float64) if mode == "training" else None
    update, certainty = adapter(receiver, sender, noise=noise, selection=selection)
    for b in range(BATCH):
        slow_update, slow_certainty = slow_adapter(
            adapter,
            receiver[b],
            sender[b],
            noise=None if noise is None else (noise[0][:, b], noise[1][:, b]),
            selection=None if selection is None else selection[b],
        )
        torch.testing.assert_close(update[b], slow_update)
        torch.testing.assert_close(certainty[b], slow_certainty)


@pytest.mark.parametrize("kind", ["uncertainty", "plain"])
def test_presence_masks_are_per_sample(kind: str) -> None:
    """All four combinations of present sides in one batch: each sample as if alone with its own masks."""
    adapter: CrossAdapter = u_adapter_pp() if kind == "uncertainty" else randomised(CrossAdapter(WIDTH))  # type: ignore[assignment]
    adapter.eval()
    receiver, sender = tokens(4)
    receiver_present = torch.tensor([True, True, False, False])
    sender_present = torch.tensor([True, False, True, False])
    update, certainty = adapter(receiver, sender, receiver_present=receiver_present, sender_present=sender_present)
    for b in range(4):
        alone = adapter(
            receiver[b : b + 1],
            sender[b : b + 1],
            receiver_present=receiver_present[b : b + 1],
            sender_present=sender_present[b : b + 1],
        )
        slow = slow_adapter(
            adapter,
            receiver[b],
            sender[b],
            receiver_present=bool(receiver_present[b]),
            sender_present=bool(sender_present[b]),
        )
        for actual, single, expected in zip((update, certainty), alone, slow, strict=True):
            torch.testing.assert_close(actual[b], single[0])
            torch.testing.assert_close(actual[b], expected)
    assert not update[2:].any()
    assert not certainty[2:].any()


def test_no_masks_mean_all_present() -> None:
    adapter = u_adapter_pp().eval()
    receiver, sender = tokens()
    with_masks = adapter(receiver, sender, receiver_present=ALL, sender_present=ALL)
    for masked, plain in zip(with_masks, adapter(receiver, sender), strict=True):
        assert torch.equal(masked, plain)


@pytest.mark.parametrize("training", [False, True])
def test_permuting_the_batch_permutes_the_result(training: bool) -> None:
    adapter = u_adapter_pp().train(training)
    receiver, sender = tokens()
    noise, selection = draws(), torch.rand(BATCH, TOKENS, 1)
    present = torch.tensor([True, False, True])
    order = torch.tensor([2, 0, 1])
    plain = adapter(receiver, sender, sender_present=present, noise=noise, selection=selection)
    permuted = adapter(
        receiver[order],
        sender[order],
        sender_present=present[order],
        noise=(noise[0][:, order], noise[1][:, order]),
        selection=selection[order],
    )
    for a, b in zip(plain, permuted, strict=True):
        torch.testing.assert_close(a[order], b)


@pytest.mark.parametrize("junk", [math.nan, math.inf])
@pytest.mark.parametrize("missing", ["sender", "receiver", "both"])
@pytest.mark.parametrize("training", [False, True])
def test_content_of_a_missing_side_cannot_matter(junk: float, missing: str, training: bool) -> None:
    """Neither in the result nor in any gradient (D13)."""
    adapter = u_adapter_pp().train(training)
    masks = {
        f"{side}_present": torch.tensor([missing not in (side, "both"), True, True]) for side in ("sender", "receiver")
    }
    noise, selection = draws(), torch.rand(BATCH, TOKENS, 1)
    results = []
    clean = dict(zip(("receiver", "sender"), tokens(), strict=True))
    for content in (0.0, junk):
        given = {side: value.clone() for side, value in clean.items()}
        for side in given:
            if missing in (side, "both"):
                given[side][0] = content
            given[side].requires_grad_()
        update, certainty = adapter(given["receiver"], given["sender"], **masks, noise=noise, selection=selection)
        adapter.zero_grad()
        update.square().sum().backward()
        gradients = [p.grad.clone() for p in adapter.parameters() if p.grad is not None]
        results.append([update.detach(), certainty, *gradients, *(given[side].grad for side in given)])
    for zeros, junked in zip(*results, strict=True):
        assert bool(junked.isfinite().all())
        assert torch.equal(zeros, junked)


def test_released_adapter_lets_a_missing_receiver_through() -> None:
    adapter = u_adapter_pp(released=True).eval()
    receiver, sender = tokens()
    receiver[0] = math.nan
    update, certainty = adapter(receiver, sender, receiver_present=torch.tensor([False, True, True]))
    assert bool(update[0].isnan().all())
    assert bool(certainty[0].isnan().all())
    assert bool(update[1:].isfinite().all())


@pytest.mark.parametrize("kind", [UAdapterPP, CrossAdapter])
def test_adapters_start_at_zero_and_learn_from_there(kind: type[CrossAdapter]) -> None:
    adapter = kind(WIDTH)
    receiver, sender = torch.randn(2, BATCH, TOKENS, WIDTH)
    update, _ = adapter(receiver, sender)
    assert not update.any()
    (update * torch.randn_like(update)).sum().backward()
    for name, parameter in adapter.named_parameters():
        if name.startswith("up."):
            assert parameter.grad.any()
        else:
            assert parameter.grad is None or not parameter.grad.any(), name


def test_initialisation() -> None:
    """Xavier-uniform with zero bias where the definition says so; PyTorch's defaults elsewhere."""
    adapter = UAdapterPP(64)
    for linear in (adapter.down_receiver, adapter.down_sender, adapter.mlp):
        bound = math.sqrt(6 / sum(linear.weight.shape))
        assert 0.8 * bound < linear.weight.abs().max() <= bound
        assert not linear.bias.any()
    assert adapter.attention.out.bias.any()
    default_bound = 1 / math.sqrt(8)
    assert 0.8 * default_bound < adapter.attention.key.weight.abs().max() <= default_bound


def test_number_of_parameters_at_full_size() -> None:
    assert sum(p.numel() for p in UAdapterPP(768).parameters()) == 20_480


def test_mmdg_adapter_is_its_definition() -> None:
    adapter: UAdapter = randomised(UAdapter(WIDTH)).eval()  # type: ignore[assignment]
    receiver, sender = tokens()
    certainty = torch.rand(BATCH, TOKENS, WIDTH, dtype=torch.float64)
    update = adapter(receiver, sender, certainty)
    for b in range(BATCH):
        torch.testing.assert_close(update[b], slow_mmdg_adapter(adapter, receiver[b], sender[b], certainty[b]))
    averaged = adapter(receiver, sender, certainty.mean(dim=-1, keepdim=True))
    torch.testing.assert_close(averaged, update)


def test_mmdg_adapter_starts_at_zero() -> None:
    update = UAdapter(WIDTH)(*torch.randn(2, BATCH, TOKENS, WIDTH), torch.ones(BATCH, TOKENS, 1))
    assert not update.any()


@pytest.mark.parametrize("missing", ["sender", "receiver"])
def test_mmdg_adapter_says_nothing_where_a_side_is_missing(missing: str) -> None:
    adapter: UAdapter = randomised(UAdapter(WIDTH)).eval()  # type: ignore[assignment]
    receiver, sender = tokens()
    certainty = torch.rand(BATCH, TOKENS, 1, dtype=torch.float64)
    expected = adapter(receiver, sender, certainty)
    (sender if missing == "sender" else receiver)[1] = math.nan
    if missing == "sender":
        certainty[1] = math.nan
    present = {f"{missing}_present": torch.tensor([True, False, True])}
    update = adapter(receiver, sender, certainty, **present)
    assert not update[1].any()
    torch.testing.assert_close(update[[0, 2]], expected[[0, 2]])
    update.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in adapter.parameters() if p.grad is not None)


def test_mmdg_adapter_drops_out_in_training_only() -> None:
    adapter: UAdapter = randomised(UAdapter(WIDTH))  # type: ignore[assignment]
    receiver, sender = tokens()
    certainty = torch.ones(BATCH, TOKENS, 1, dtype=torch.float64)
    adapter.eval()
    assert torch.equal(adapter(receiver, sender, certainty), adapter(receiver, sender, certainty))
    adapter.train()
    assert not torch.equal(adapter(receiver, sender, certainty), adapter(receiver, sender, certainty))


def test_faults() -> None:
    receiver, sender = torch.zeros(2, 1, TOKENS, WIDTH)
    with pytest.raises(ValueError, match="must have one shape"):
        CrossAdapter(WIDTH)(receiver, sender[:, :5])
    with pytest.raises(ValueError, match="not one class token and a square of patches"):
        CrossAdapter(WIDTH)(receiver[:, :7], sender[:, :7])
