"""AMA's adapter on numbers computed by hand, and against a slow transcription."""

import math

import numpy as np
import pytest
import torch

from mmdg_lite.models.ama import AdaptiveMultimodalAdapter
from mmdg_lite.models.peer import PeerConfig
from tests.support.peers import peer, two_views
from tests.support.tiny import evaluated


def quick_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def test_by_hand():
    """Width and bottleneck of 1, a convolution that passes RGB on, a gate of one half, all tokens 1.

    h = QuickGELU(1) = 0.84580; half of it 0.42290; QuickGELU of that 0.28442, for every modality.
    """
    adapter = AdaptiveMultimodalAdapter(1, dim=1).eval()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.zero_()
        adapter.down.weight.fill_(1)
        adapter.up.weight.fill_(1)
        adapter.convolution.weight[0, 0, 1, 1] = 1
        x = torch.full((3, 1, 5, 1), 7.0)
        x[0] = 1.0
        update = adapter(x, torch.ones(1, 3, dtype=torch.bool))
    assert quick_gelu(0.5 * quick_gelu(1.0)) == pytest.approx(0.28442, abs=1e-5)
    torch.testing.assert_close(update, torch.full((3, 1, 5, 1), float(quick_gelu(0.5 * quick_gelu(1.0)))))


def slow(adapter, x, present):
    """The formulas for one sample: tokens 3 x N x C to updates, in loops over places."""
    weights = {name: value.detach().double().numpy() for name, value in adapter.named_parameters()}
    h = quick_gelu(x @ weights["down.weight"].T + weights["down.bias"])  # 3 x N x d
    h[~present] = 0
    side = int(math.sqrt(h.shape[1] - 1))
    together = np.concatenate(list(h), axis=-1)  # N x 3 d
    kernel, bias = weights["convolution.weight"], weights["convolution.bias"]
    f = np.empty((len(together), kernel.shape[0]))
    f[0] = kernel[:, :, 1, 1] @ together[0] + bias
    for row in range(side):
        for column in range(side):
            total = bias.copy()
            for dr in (-1, 0, 1):
                for dc in (-1, 0, 1):
                    r, c = row + dr, column + dc
                    if 0 <= r < side and 0 <= c < side:
                        total += kernel[:, :, dr + 1, dc + 1] @ together[1 + r * side + c]
            f[1 + row * side + column] = total
    pooled = together[1:].mean(axis=0)
    gate = 1 / (1 + np.exp(-(weights["gate.weight"][:, :, 0, 0] @ pooled + weights["gate.bias"])))  # 3
    updates = np.stack([quick_gelu(a * f) @ weights["up.weight"].T + weights["up.bias"] for a in gate])
    updates[~present] = 0
    return updates


@pytest.mark.parametrize("present", [(True, True, True), (True, False, True), (False, True, False)])
def test_against_a_slow_transcription(present):
    adapter = AdaptiveMultimodalAdapter(6, dim=4).double().eval()
    torch.nn.init.normal_(adapter.up.weight)
    torch.nn.init.normal_(adapter.up.bias)
    x = torch.randn(3, 2, 10, 6, dtype=torch.float64)
    there = torch.tensor([present, (True, True, True)])
    found = adapter(x, there).detach()
    for b in range(2):
        expected = slow(adapter, x[:, b].numpy(), there[b].numpy())
        torch.testing.assert_close(found[:, b], torch.from_numpy(expected))


def test_training_starts_at_clip_itself():
    """W_up is zero: features are those of the frozen trunk, as without adapters."""
    model, given = peer("ama"), two_views(4)
    for adapter in (*model.beside_attention, *model.beside_mlp):
        torch.nn.init.zeros_(adapter.up.weight)
        torch.nn.init.zeros_(adapter.up.bias)
    with torch.no_grad():
        direct = model.clip.encode_image(given["depth"])
    torch.testing.assert_close(evaluated(model, given).features[:, 1], direct, atol=1e-5, rtol=1e-5)


def test_there_is_one_adapter_beside_each_half_of_each_block_whatever_the_modality():
    model = peer("ama", settings=PeerConfig(bottleneck_dropout=0.3))
    assert len(model.beside_attention) == len(model.beside_mlp) == 2
    assert not any(len(of_modality) for of_modality in model.adapters.values())
    assert model.beside_mlp[0].dropout.p == 0.3


@pytest.mark.parametrize("sender", [0, 1, 2])
def test_every_modality_reaches_every_other(sender):
    model, given = peer("ama"), two_views(1)
    name = ("rgb", "depth", "infrared")[sender]
    before = evaluated(model, given).features
    after = evaluated(model, given | {name: given[name] + 1}).features
    assert bool((before != after).any(dim=-1).all())
