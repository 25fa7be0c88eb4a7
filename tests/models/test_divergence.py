"""Divergence of the queries from N(0, 1), and suppression of keys instead of queries."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mmdg_lite.adapters import UAdapterPP
from mmdg_lite.attention import CertaintyAttention, multi_head
from mmdg_lite.models.divergence import mean_divergence, watched_divergence
from mmdg_lite.models.exchange import all_at_once, one_by_one
from mmdg_lite.results.collect import read_history
from mmdg_lite.uncertainty import gaussian_divergence
from tests.support.slow_adapters import randomised
from tests.support.small_runs import small_run
from tests.support.tiny import batch, tiny_model


def test_divergence_by_hand() -> None:
    """N(0, 1) has none; N(2, 1) has 2; N(0, e) has (e - 2) / 2."""
    values = gaussian_divergence(torch.tensor([0.0, 2.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(values, torch.tensor([0.0, 2.0, (math.e - 2) / 2]))


def test_divergence_is_that_of_the_library() -> None:
    mean, log_variance = torch.randn(2, 5, 7, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_divergence(mean, log_variance), expected)


def test_both_paths_collect_the_same_divergence() -> None:
    adapters = torch.nn.ModuleList(randomised(UAdapterPP(6, dim=4, heads=2, samples=5)) for _ in range(3)).train()
    tokens, present = torch.randn(3, 4, 10, 6, dtype=torch.float64), torch.ones(4, 3, dtype=torch.bool)
    found = []
    for path in (one_by_one, all_at_once):
        with watched_divergence(adapters) as collected:
            path(adapters, tokens, present)
        found.append(mean_divergence(collected))
    torch.testing.assert_close(*found)
    assert found[0] > 0


def test_nothing_is_collected_outside_or_unwanted() -> None:
    model, given = tiny_model().train(), batch()
    with watched_divergence(model) as collected:
        model(given)
    seen = len(collected)
    model(given)
    with watched_divergence(model, wanted=False) as nothing:
        model(given)
    assert len(collected) == seen > 0
    assert not nothing
    with pytest.raises(ValueError, match="needs adapters with uncertainty"):
        mean_divergence(nothing)


def test_divergence_reaches_the_log_variance_heads() -> None:
    """Without it their gradient is sampling noise alone; with expectations there is none at all (D11)."""
    model, given = tiny_model(sampling="expected").train(), batch()
    head = model.adapters["rgb"][0].attention.log_variance_sender.weight  # type: ignore[union-attr, index]
    with watched_divergence(model) as collected:
        output = model(given)
    (plain,) = torch.autograd.grad(output.logits.sum(), head, retain_graph=True, allow_unused=True)
    assert plain is None or not plain.any()
    (pulled,) = torch.autograd.grad(mean_divergence(collected), head)
    assert pulled.any()


def test_the_term_is_part_of_training(tmp_path) -> None:
    runs = [small_run(tmp_path / str(kl), training={"uncertainty_kl": kl}) for kl in (0.0, 10.0)]
    plain, regularised = (read_history(run) for run in runs)
    assert regularised["loss_total"].iloc[0] > plain["loss_total"].iloc[0]
    assert abs(regularised["loss_rgb"].iloc[0] - plain["loss_rgb"].iloc[0]) < 1e-5


def test_keys_are_suppressed_by_columns() -> None:
    """softmax(q k^T U / sqrt(d / heads)), U the certainty of the key's token from the receiver's side."""
    layer = randomised(CertaintyAttention(8, 2, samples=5, suppression="key")).eval()
    sender, receiver = torch.randn(2, 3, 10, 8, dtype=torch.float64)
    attended, certainty = layer(sender, receiver)
    q_b, q_a = layer.query_sender(sender), layer.query_receiver(receiver)
    u_a = layer.log_variance_receiver(q_a).exp().mean(dim=-1, keepdim=True)
    u_b = layer.log_variance_sender(q_b).exp().mean(dim=-1, keepdim=True)
    torch.testing.assert_close(certainty, torch.exp(-2.5 * u_a))
    query = torch.where(u_b < u_a, layer.mean_sender(q_b), layer.mean_receiver(q_a))
    key, value = layer.key(receiver), layer.value(receiver)
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        logits = query[..., h] @ key[..., h].transpose(1, 2) * certainty.transpose(1, 2) / 2
        heads.append(logits.softmax(dim=-1) @ value[..., h])
    torch.testing.assert_close(attended, layer.out(torch.cat(heads, dim=-1)))
    plain = multi_head(query, key, value, 2)
    assert not torch.allclose(layer.out(plain), attended)


def test_suppression_of_keys_in_a_whole_model_and_its_name() -> None:
    given = batch()
    query, key = (tiny_model(suppression=kind).eval() for kind in ("query", "key"))
    key.load_state_dict(query.state_dict())
    with torch.no_grad():
        assert not torch.allclose(query(given).logits, key(given).logits)
    with pytest.raises(ValueError, match="unknown suppression"):
        CertaintyAttention(8, suppression="value")  # type: ignore[arg-type]
