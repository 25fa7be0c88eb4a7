"""The small losses that peers share, on numbers computed by hand."""

import math

import pytest
import torch

from mmdg_lite.models.peer_losses import reversal_factor, reverse_gradient, simclr, supervised_contrastive, triplet

LINE = torch.tensor([[0.0], [0.3], [0.35], [1.0]])  # two points of class 0, two of class 1
CLASSES = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize("length", [1.0, 7.0])
def test_supervised_contrastive_loss_by_hand(length):
    """Two equal vectors of one class, and one at a right angle that has no other of its class and is no anchor.

    At temperature 0.5 each anchor's loss is -log(e^2 / (e^2 + e^0)).
    """
    features = length * torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    loss = supervised_contrastive(features, torch.tensor([4, 4, 9]), temperature=0.5)
    assert loss.item() == pytest.approx(0.1269280, abs=1e-6)


def test_supervised_contrastive_loss_averages_over_an_anchors_positives():
    """Three of one class: two at 0 degrees, one at 90, temperature 1; by a plain double loop."""
    features = [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    each = []
    for i in range(3):
        others = [k for k in range(3) if k != i]
        cosine = {k: sum(a * b for a, b in zip(features[i], features[k], strict=True)) for k in others}
        norm = sum(math.exp(cosine[k]) for k in others)
        each.append(-sum(math.log(math.exp(cosine[k]) / norm) for k in others) / 2)
    loss = supervised_contrastive(torch.tensor(features), torch.zeros(3), temperature=1.0)
    assert loss.item() == pytest.approx(sum(each) / 3, abs=1e-6)


def test_simclr_by_hand():
    """Two samples at a right angle, each view the same: -log(e / (e + 1 + 1))."""
    view = torch.eye(2)
    assert simclr(view, view, temperature=1.0).item() == pytest.approx(0.5514447, abs=1e-6)


def test_triplet_loss_by_hand():
    """Distances on a line, margin 0.1: of eight triplets five have a loss: 0.05, 0.35, 0.4, 0.7, 0.05."""
    assert triplet(LINE, CLASSES, margin=0.1).item() == pytest.approx(1.55 / 5, abs=1e-6)


def test_triplet_loss_divides_by_the_triplets_with_a_loss_only():
    far = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    assert triplet(far, CLASSES, margin=0.1).item() == 0
    assert triplet(LINE, torch.arange(4), margin=0.1).item() == 0  # no class has two


@pytest.mark.parametrize("loss", ["contrast", "triplet"])
def test_equal_features_and_lonely_classes_have_finite_gradients(loss):
    for features, classes in ((torch.zeros(4, 2), CLASSES), (torch.ones(4, 2), CLASSES), (LINE, torch.arange(4))):
        given = features.clone().requires_grad_()
        made = (
            triplet(given, classes, margin=0.1)
            if loss == "triplet"
            else supervised_contrastive(given, classes, temperature=0.1)
        )
        made.backward()
        assert bool(made.isfinite()) and bool(given.grad.isfinite().all())


def test_the_gradient_comes_back_reversed_and_weighed():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 0.7)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 5.0])).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([-2.1, -3.5]))


@pytest.mark.parametrize("progress, factor", [(0.0, 0.0), (0.1, 0.4621172), (1.0, 0.9999092)])
def test_the_reversal_grows_from_0_to_1(progress, factor):
    assert reversal_factor(progress) == pytest.approx(factor, abs=1e-6)
