"""Parity of convolution, sampler, attention, adapters and dropout uncertainty with recorded outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mmdg_lite.adapters import CentralDifferenceConv2d, CertaintyAttention, UAdapter, UAdapterPP
from mmdg_lite.released import convert_adapter_state_dict
from mmdg_lite.speed.quick_gelu import quick_gelu
from mmdg_lite.uncertainty import certainty, monte_carlo_dropout, sample_moments
from tests.support.recorded import CARRIED, assert_matches, attention_noise, carried_and_full, full_only, load, normal
from tests.support.recorded import FULL as FULL_FOLDER

RATE = 2.25
SAMPLES = 50


@carried_and_full
def test_central_difference_convolution(folder: Path) -> None:
    recording = load(folder, "A_a_conv2d_cd")
    compared = 0
    for name, expected in recording.tensors.items():
        if not name.startswith("y_"):
            continue
        kind, theta = name.removeprefix("y_").rpartition("theta")[::2]
        weight = recording["weight_out16" if kind == "out16_" else "weight"]
        layer = CentralDifferenceConv2d(weight.shape[1], weight.shape[0], theta=float(theta), bias=kind == "bias_")
        state = {"conv.weight": weight}
        if kind == "bias_":  # the released code adds it in both convolutions (D22)
            state["conv.bias"] = (1 - float(theta)) * recording["bias"]
        layer.load_state_dict(state)
        with torch.no_grad():
            assert_matches(layer(recording["x_cls" if kind == "cls_" else "x"]), expected, part=True)
        compared += 1
    assert compared >= 6


@carried_and_full
def test_quick_gelu(folder: Path) -> None:
    recording = load(folder, "A_b_quickgelu")
    assert_matches(quick_gelu(recording["x"]), recording["y"])


@carried_and_full
def test_sampler_with_given_noise(folder: Path) -> None:
    recording = load(folder, "A_c_reparameterize")
    noise, draws = recording["eps_exact"], recording["z_exact"]
    mean, variance = sample_moments(recording["mu"], recording["logvar"], len(noise), method="monte_carlo", noise=noise)
    assert_matches(mean, draws.mean(dim=0))
    assert_matches(variance, draws.var(dim=0, unbiased=True))


@carried_and_full
def test_recorded_samples_have_the_distribution_of_the_moments_identity(folder: Path) -> None:
    recording = load(folder, "A_c_reparameterize")
    samples = recording.facts["K"]
    deviation = torch.exp(recording["logvar"] / 2)
    z = (recording["sample_mean"] - recording["mu"]) / deviation * samples**0.5
    chi_square = (samples - 1) * recording["sample_var"] / deviation.square()
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(chi_square.flatten().numpy(), "chi2", args=(samples - 1,)).pvalue > 1e-3


def recorded_attention(folder: Path, *, released: bool = True) -> CertaintyAttention:
    attention = CertaintyAttention(8, 8, samples=SAMPLES, rate=RATE, released=released)
    attention.load_state_dict(convert_adapter_state_dict(load(folder, "A_d_token_selection").group("w.")))
    return attention


@carried_and_full
@pytest.mark.parametrize("case", ["eval", "self_eval", "train", "fix"])
def test_token_selection(folder: Path, case: str) -> None:
    """`fix` is the choice with probability U_b / (U_a + U_b), our default (D2); the others are the released choices."""
    recording = load(folder, "A_d_token_selection")
    receiver = recording["x_k"]
    sender, values = (receiver, receiver) if case == "self_eval" else (recording["x_q"], recording["x_v"])
    attention = recorded_attention(folder, released=case != "fix").train(case in ("train", "fix"))
    with torch.no_grad():
        attended, chosen = attention(
            sender,
            receiver,
            values=values,
            noise=attention_noise(folder, len(sender)),
            selection=recording["train_random_vals"],
        )
    assert_matches(attended, recording[f"{case}_out"])
    assert_matches(chosen, recording[f"{case}_uc"])


@carried_and_full
def test_certainties_and_sample_means_of_both_sides(folder: Path) -> None:
    recording = load(folder, "A_d_token_selection")
    attention = recorded_attention(folder)
    noise = attention_noise(folder, len(recording["x_q"]))
    with torch.no_grad():
        queries = attention.query_sender(recording["x_q"]), attention.query_receiver(recording["x_k"])
        heads = (
            (attention.mean_sender, attention.log_variance_sender),
            (attention.mean_receiver, attention.log_variance_receiver),
        )
        for side, (query, (mean, log_variance)) in enumerate(zip(queries, heads, strict=True)):
            sample_mean, variance = sample_moments(
                mean(query), log_variance(query), SAMPLES, method="monte_carlo", noise=noise[side]
            )
            assert_matches(sample_mean, recording[f"mean_q{side + 1}"])
            u = variance.mean(dim=-1, keepdim=True)
            assert_matches(certainty(u, RATE), recording[f"certainty_{side + 1}"])


@full_only
def test_share_of_tokens_whose_query_is_the_senders() -> None:
    """The released training always takes the sender's query; a true probability takes about half of them (D2)."""
    recording = load(FULL_FOLDER, "A_d_token_selection")
    assert recording["train_decision"].mean() == 1
    assert recording["train_token_prob_1"].min() > 1
    probability = recording["certainty_1"] / (recording["certainty_1"] + recording["certainty_2"])
    decision = (recording["train_random_vals"] < probability).float()
    assert torch.equal(decision, recording["fix_decision"])
    assert 0.4 < decision.mean() < 0.6


def recorded_adapter(folder: Path) -> UAdapterPP:
    adapter = UAdapterPP(64, samples=SAMPLES, rate=RATE, released=True)
    adapter.load_state_dict(convert_adapter_state_dict(load(folder, "A_e_cross_convpass").group("w.")))
    return adapter


def batch_first(tokens: Tensor) -> Tensor:
    """Recorded adapter tokens are N x B x C."""
    return tokens.transpose(0, 1)


@carried_and_full
@pytest.mark.parametrize("receiver_missing", [False, True])
@pytest.mark.parametrize("sender_missing", [False, True])
def test_adapter_in_evaluation(folder: Path, sender_missing: bool, receiver_missing: bool) -> None:
    recording = load(folder, "A_e_cross_convpass")
    receiver, sender = batch_first(recording["x"]), batch_first(recording["x_c"])
    there = torch.ones(len(receiver), dtype=torch.bool)
    adapter = recorded_adapter(folder).eval()
    with torch.no_grad():
        update, chosen = adapter(
            receiver,
            sender,
            receiver_present=there & (not receiver_missing),
            sender_present=there & (not sender_missing),
            noise=attention_noise(folder, len(receiver)),
        )
    case = f"mq{sender_missing:d}_mkv{receiver_missing:d}"
    assert_matches(update, batch_first(recording[f"out_{case}"]), part=True)
    assert_matches(chosen, recording[f"uc_{case}"])


@carried_and_full
def test_adapter_in_training(folder: Path) -> None:
    recording = load(folder, "A_e_cross_convpass")
    receiver, sender = batch_first(recording["x"]), batch_first(recording["x_c"])
    adapter = recorded_adapter(folder).train()
    with torch.no_grad():
        update, chosen = adapter(receiver, sender, noise=attention_noise(folder, len(receiver)))
    assert_matches(update, batch_first(recording["train_out_mq0_mkv0"]), part=True)
    assert_matches(chosen, recording["train_uc_mq0_mkv0"])


@carried_and_full
@pytest.mark.parametrize("certainties", ["given", "ones"])
def test_adapter_of_mmdg(folder: Path, certainties: str) -> None:
    recording = load(folder, "A_f_u_adapter")
    adapter = UAdapter(recording["x"].shape[-1]).eval()
    adapter.load_state_dict(convert_adapter_state_dict(recording.group("w.")))
    given = recording["x_u"] if certainties == "given" else torch.ones_like(recording["x_u"])
    with torch.no_grad():
        update = adapter(recording["x"], recording["x_c"], given)
    assert_matches(update, recording["out" if certainties == "given" else "out_uc_ones"], part=True)


@carried_and_full
def test_dropout_certainty_of_mmdg(folder: Path) -> None:
    """The released code takes the standard deviation where the paper writes the variance (D5)."""
    recording = load(folder, "A_f_cal_uncertainty")
    masks = recording["masks"]
    spread = monte_carlo_dropout(recording["attn"], recording.facts["p"], len(masks), spread="std", masks=masks)
    assert_matches(certainty(spread, RATE), recording["uncertainty"])


@full_only
def test_noise_drawn_anew_is_the_recorded_noise() -> None:
    recording = load(FULL_FOLDER, "A_eps")
    for name, seed in zip(("eps_1", "eps_2"), load(CARRIED, "A_eps").facts["random_states"], strict=True):
        assert np.array_equal(normal(seed, *recording[name].shape), recording[name])
