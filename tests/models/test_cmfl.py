"""CMFL's formula on numbers computed by hand."""

import math

import pytest
import torch

from mmdg_lite.models.cmfl import branch_losses, cross_modal_focal
from mmdg_lite.models.outputs import losses
from mmdg_lite.models.peer import PeerConfig
from tests.support.peers import peer, two_views

ATTACK, LIVE = torch.tensor(True), torch.tensor(False)


def focal(p, q, attack=ATTACK, focus=3.0):
    return cross_modal_focal(torch.tensor(p).log(), torch.tensor(q).log(), attack, focus=focus).item()


def test_an_attack_that_the_other_modality_sees_counts_less():
    """p 0.8, q 0.5: w = 0.5 * 0.8 / 1.3 = 0.3077, (1 - w)^3 = 0.3318, -log p = 0.2231."""
    assert focal(0.8, 0.5) == pytest.approx(0.0740429, abs=1e-6)
    assert focal(0.8, 0.5, focus=0.0) == pytest.approx(-math.log(0.8), abs=1e-6)
    assert focal(0.8, 0.9) < focal(0.8, 0.5) < focal(0.8, 0.1) < -math.log(0.8)


def test_live_faces_count_in_full():
    assert focal(0.8, 0.5, attack=LIVE) == pytest.approx(-math.log(0.8), abs=1e-6)


def test_the_ends_of_the_scale():
    """Both sure: nothing is left to learn. The other blind: plain cross-entropy. Both wrong: finite."""
    assert focal(1.0, 1.0) == 0
    assert focal(0.8, 0.0) == pytest.approx(-math.log(0.8), abs=1e-6)
    log_p, log_q = (torch.tensor(-200.0, requires_grad=True) for _ in range(2))
    loss = cross_modal_focal(log_p, log_q, ATTACK, focus=3.0)
    loss.backward()
    assert loss.item() == pytest.approx(200) and log_p.grad.item() == -1 and bool(log_q.grad.isfinite())


def test_branches_average_over_the_others_that_are_there():
    """An attack with all three, one without depth, one of RGB alone, and a live face."""
    p = [[0.8, 0.5, 0.9], [0.8, 0.5, 0.9], [0.8, 0.5, 0.9], [0.8, 0.5, 0.9]]
    present = torch.tensor([[True, True, True], [True, False, True], [True, False, False], [True, True, True]])
    attack = torch.tensor([True, True, True, False])
    found = branch_losses(torch.tensor(p).log(), present, attack, focus=3.0)
    r, d, i = 0.8, 0.5, 0.9
    expected = [
        [(focal(r, d) + focal(r, i)) / 2, (focal(d, r) + focal(d, i)) / 2, (focal(i, r) + focal(i, d)) / 2],
        [focal(r, i), 0, focal(i, r)],
        [-math.log(r), 0, 0],
        [-math.log(r), -math.log(d), -math.log(i)],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_the_loss_is_half_the_joint_head_and_half_the_branches():
    """Heads of zeros say 0.5: w = 0.25 for attacks, of which there are as many as live faces."""
    model, given = peer("cmfl"), two_views(4)
    for parameter in [*model.head.parameters(), *model.heads.parameters()]:
        torch.nn.init.zeros_(parameter)
    output = model(given)
    total = model.head_weight * losses(output, given).total + model.extra_loss(output, given)
    branches = 3 * (0.75**3 * math.log(2) + math.log(2)) / 2
    assert total.item() == pytest.approx(0.5 * math.log(2) + 0.5 * branches, abs=1e-6)


def test_the_branches_weight_can_be_chosen():
    model, given = peer("cmfl", settings=PeerConfig(branch_weight=0.2, focus=0.0)), two_views(4)
    for parameter in [*model.head.parameters(), *model.heads.parameters()]:
        torch.nn.init.zeros_(parameter)
    assert model.head_weight == 0.8
    assert model.extra_loss(model(given), given).item() == pytest.approx(0.2 * 3 * math.log(2), abs=1e-6)
