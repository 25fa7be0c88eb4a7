"""SSDG's formula on numbers computed by hand."""

import math

import pytest
import torch

from mmdg_lite.models.peer_losses import reversal_factor
from mmdg_lite.models.ssdg import direction
from tests.support.peers import output_of, peer

LABEL, DOMAIN = torch.tensor([1, 1, 0, 0]), torch.tensor([0, 1, 0, 0])


def features():
    """RGB alone, one-hot: live faces of two domains at a right angle, two spoofs where the first is."""
    made = torch.zeros(4, 3, 12)
    made[[0, 2, 3], 0, 0] = 5.0
    made[1, 0, 1] = 2.0
    return made


def test_extra_loss_by_hand():
    """Six triplets have a loss: two of sqrt(2) + 0.1, four of 0.1. An adversary of zeros has a loss of log 3."""
    model = peer("ssdg")
    for parameter in model.adversary.parameters():
        torch.nn.init.zeros_(parameter)
    loss = model.extra_loss(output_of(features()), {"label": LABEL, "domain": DOMAIN})
    apart = (2 * (math.sqrt(2) + 0.1) + 4 * 0.1) / 6
    assert apart == pytest.approx(0.5714045)
    assert loss.item() == pytest.approx(2.0 * apart + 0.1 * math.log(3), abs=1e-6)


def test_only_live_faces_meet_the_adversary():
    model, given = peer("ssdg"), torch.randn(4, 36)
    first = model.adversarial(given, LABEL, DOMAIN)
    given[LABEL == 0] = 99.0
    assert model.adversarial(given, LABEL, DOMAIN) == first
    assert model.adversarial(given, torch.zeros(4), DOMAIN) == 0


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.6])
def test_the_adversary_learns_and_the_features_unlearn(progress):
    """Its own gradient is the plain one; what goes on to the features is reversed and weighed."""
    model, z = peer("ssdg"), torch.randn(4, 36, requires_grad=True)
    model.progress = progress
    own = list(model.adversary.parameters())
    plain = torch.nn.functional.cross_entropy(model.adversary(z)[:2], DOMAIN[:2])
    wanted = torch.autograd.grad(plain, [z, *own])
    found = torch.autograd.grad(model.adversarial(z, LABEL, DOMAIN), [z, *own])
    torch.testing.assert_close(found[0], -reversal_factor(progress) * wanted[0])
    for one, other in zip(found[1:], wanted[1:], strict=True):
        torch.testing.assert_close(one, other)


def test_the_head_compares_directions():
    """Logits are CLIP's scale times cosines; weights are normalised over features."""
    model = peer("ssdg")
    scale = model.clip.logit_scale.exp().item()
    unit = torch.zeros(2, 3, 12)
    unit[0, 0, 0] = 1.0  # one modality
    unit[1, :2, 0] = 1.0  # two: z is (1, 1) / sqrt(2)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.weight[0, 0] = 0.5
        model.head.weight[1, 12] = 40.0
        logits = model.decide(unit, torch.empty(0), unit.any(dim=-1)) / scale
    half = math.sqrt(0.5)
    torch.testing.assert_close(logits, torch.tensor([[1.0, 0.0], [half, half]]))


def test_z_is_one_unit_vector_however_many_modalities_there_are():
    given = torch.randn(3, 3, 12)
    given[1, 1:] = 0
    given[2, 0] = 0
    torch.testing.assert_close(direction(given).norm(dim=-1), torch.ones(3))
