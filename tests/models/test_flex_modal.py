"""Flex-Modal's fusion on numbers computed by hand."""

import pytest
import torch

from mmdg_lite.models.flex_modal import cross_attended
from mmdg_lite.models.peer import PeerConfig
from tests.support.peers import peer

MAPS = torch.tensor([[[1.0], [2.0]], [[0.0], [1.0]], [[0.0], [0.0]]])[None]  # 1 x 3 x 2 channels x 1 patch: R, D, I


@pytest.mark.parametrize(
    "present, fused",
    [
        ((True, True, True), [1 + 1.5 + 1.5, 2 + 1.7310586 + 1.5]),
        ((True, True, False), [1 + 1.5, 2 + 1.7310586]),
        ((True, False, True), [1 + 1.5, 2 + 1.5]),
        ((True, False, False), [1.0, 2.0]),
        ((False, True, True), [0.5, 1 + 0.5]),
        ((False, False, True), [0.0, 0.0]),
    ],
)
def test_by_hand(present, fused):
    """R = (1, 2), D = (0, 1), I = (0, 0).

    D R^T = [[0, 0], [1, 2]], its rows' softmax [[0.5, 0.5], [0.2689414, 0.7310586]], times R: (1.5, 1.7310586).
    I looks at both channels alike. Without RGB, depth takes its place.
    """
    found = cross_attended(MAPS, torch.tensor([present]))
    torch.testing.assert_close(found, torch.tensor(fused)[None, :, None])


def test_every_sample_has_what_is_there():
    present = torch.tensor([[True, True, True], [True, False, False], [False, True, True]])
    together = cross_attended(MAPS.repeat(3, 1, 1, 1), present)
    for i in range(3):
        assert torch.equal(cross_attended(MAPS, present[i : i + 1]), together[i : i + 1])


def test_training_drops_depth_and_infrared_but_never_the_first():
    model = peer("flex_modal", settings=PeerConfig(modality_dropout=0.4))
    present = torch.tensor([[True, True, True]] * 2000 + [[False, True, True]] * 2000 + [[True, False, False]])
    kept = model.kept(present)
    assert not bool((kept & ~present).any())
    assert bool(kept[:2000, 0].all()) and bool(kept[2000:4000, 1].all()) and bool(kept[-1, 0])
    dropped = 1 - kept[:2000].float().mean(dim=0)
    assert dropped[1:].tolist() == pytest.approx([0.4, 0.4], abs=0.04)
    assert 1 - kept[2000:4000, 2].float().mean().item() == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("rate, kept", [(0.0, True), (1.0, False)])
def test_the_ends_of_dropping(rate, kept):
    model = peer("flex_modal", settings=PeerConfig(modality_dropout=rate))
    found = model.kept(torch.ones(50, 3, dtype=torch.bool))
    assert bool(found[:, 0].all())
    assert bool((found[:, 1:] == kept).all())


def test_evaluation_drops_nothing_and_uses_the_running_statistics():
    model = peer("flex_modal", settings=PeerConfig(modality_dropout=1.0))
    tokens, present = torch.randn(3 * 4, 5, 16), torch.ones(4, 3, dtype=torch.bool)
    with torch.no_grad():
        whole = model.decide(torch.empty(0), tokens, present)
        half = tokens.view(3, 4, 5, 16)[:, :2].reshape(6, 5, 16)
        torch.testing.assert_close(model.decide(torch.empty(0), half, present[:2]), whole[:2])
        without = model.decide(torch.empty(0), tokens, torch.tensor([[True, False, True]] * 4))
    assert not torch.allclose(whole, without)
