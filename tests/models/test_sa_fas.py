"""SA-FAS's formulas on numbers computed by hand."""

import math

import pytest
import torch

from mmdg_lite.modality import second_view
from mmdg_lite.models.peer import joined
from mmdg_lite.models.peer_losses import supervised_contrastive
from mmdg_lite.models.sa_fas import aligned, domain_loss
from tests.support.peers import peer, two_views


def test_domain_loss_by_hand():
    """Domain 0 has three samples, domain 2 one, domain 1 none: the mean of the two domains' means.

    -log sigmoid(0) = log 2, -log sigmoid(log 3) = log(4/3), -log(1 - sigmoid(log 3)) = log 4.
    """
    nine, three = 9.0, math.log(3)
    logits = torch.tensor([[0.0, nine, nine], [three, nine, nine], [three, nine, nine], [nine, nine, three]])
    loss = domain_loss(logits, torch.tensor([1, 1, 0, 1]), torch.tensor([0, 0, 0, 2]))
    first = (math.log(2) + math.log(4 / 3) + math.log(4)) / 3
    assert first == pytest.approx(0.7890412)
    assert loss.item() == pytest.approx((first + math.log(4 / 3)) / 2, abs=1e-6)


def test_alignment_by_hand():
    """Two directions at a right angle, half way: both come to 45 degrees, their lengths stay."""
    turned = aligned(torch.tensor([[2.0, 0.0], [0.0, 3.0]]), 0.5)
    torch.testing.assert_close(turned, torch.tensor([[1.4142136, 1.4142136], [2.1213203, 2.1213203]]))


def test_alignment_turns_towards_the_direction_that_agrees_least():
    """Directions of 0, 60 and 150 degrees: 0 and 60 turn towards 150, and 150 towards 0; all from the old ones."""
    angles = torch.tensor([0.0, 60.0, 150.0]).deg2rad()
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    turned = aligned(directions, 0.005)
    for d, j in ((0, 2), (1, 2), (2, 0)):
        mixed = 0.995 * directions[d] + 0.005 * directions[j]
        torch.testing.assert_close(turned[d], mixed / mixed.norm())


def test_one_domain_has_nothing_to_be_aligned_with():
    weight = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(aligned(weight, 0.3), weight)


@pytest.mark.parametrize("progress, moves", [(0.0, False), (0.19, False), (0.2, True), (0.9, True)])
def test_alignment_begins_at_one_fifth_of_training(progress, moves):
    model = peer("sa_fas")
    before = model.head.weight.detach().clone()
    model.progress = progress
    with torch.no_grad():
        model.after_step()
    assert torch.equal(model.head.weight, before) != moves
    if moves:
        torch.testing.assert_close(model.head.weight, aligned(before, 0.005))


def test_the_score_is_the_mean_probability():
    """sigmoid(log 3) = 0.75, sigmoid(0) = 0.5, sigmoid(-log 4) = 0.2; far logits stay finite."""
    model, unit = peer("sa_fas"), torch.zeros(1, 3, 12)
    unit[0, 0, 0] = 1.0
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.weight[:, 0] = torch.tensor([math.log(3), 0.0, -math.log(4)])
        logits = model.decide(unit, torch.empty(0), unit.any(dim=-1))
        far = model.decide(1e4 * unit, torch.empty(0), unit.any(dim=-1))
    assert logits.softmax(dim=-1)[0, 1].item() == pytest.approx((0.75 + 0.5 + 0.2) / 3, abs=1e-6)
    assert bool(far.isfinite().all())


def test_the_loss_is_the_formula():
    """The head's cross-entropy has no weight; both views' features are compared, by class and domain."""
    model, given = peer("sa_fas"), two_views()
    with torch.no_grad():
        output = model(given)
        first, second = joined(output.features), joined(model(second_view(given)).features)
        groups = [(d, y) for d, y in zip(given["domain"].tolist(), given["label"].tolist(), strict=True)] * 2
        numbers = torch.tensor([sorted(set(groups)).index(group) for group in groups])
        contrast = supervised_contrastive(torch.cat([first, second]), numbers, temperature=0.1)
        expected = domain_loss(model.head(first), given["label"], given["domain"]) + 0.1 * contrast
        found = model.extra_loss(output, given)
    assert model.head_weight == 0
    torch.testing.assert_close(found, expected)


def test_without_a_second_view_it_says_what_is_missing():
    model, given = peer("sa_fas"), two_views()
    single = {name: value for name, value in given.items() if not name.startswith("second_")}
    with pytest.raises(ValueError, match=r"second_rgb.*two views"):
        model.extra_loss(model(single), single)
