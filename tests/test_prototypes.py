"""Single-side prototypes: moving class means, and distances to them."""

import math

import pytest
import torch

from mmdg_lite.modality import Modality
from mmdg_lite.prototypes import SingleSidePrototypes

R, D, I = (modality.index for modality in Modality)  # noqa: E741
EVERYONE = torch.ones(4, 3, dtype=torch.bool)


def test_update_by_hand() -> None:
    """The first batch of a class sets its prototype; later ones move it by 0.8 of the way (momentum 0.2)."""
    prototypes = SingleSidePrototypes(3, 2)
    features = torch.zeros(4, 3, 2)
    features[:, R] = torch.tensor([[1.0, 0.0], [3.0, 2.0], [10.0, 10.0], [0.0, 4.0]])
    classes = torch.tensor([0, 0, 2, 2])
    prototypes.update(features, classes, EVERYONE)
    torch.testing.assert_close(prototypes.centres[R], torch.tensor([[2.0, 1.0], [0.0, 0.0], [5.0, 7.0]]))
    assert prototypes.seen[R].tolist() == [True, False, True]
    features[:, R] = torch.tensor([[7.0, 6.0], [7.0, 6.0], [1.0, 1.0], [1.0, 1.0]])
    prototypes.update(features, torch.tensor([0, 0, 1, 1]), EVERYONE)
    torch.testing.assert_close(prototypes.centres[R], torch.tensor([[6.0, 5.0], [1.0, 1.0], [5.0, 7.0]]))
    assert prototypes.seen[R].all()


def test_missing_modalities_do_not_count() -> None:
    prototypes = SingleSidePrototypes(2, 1)
    features = torch.tensor([1.0, 5.0, math.nan, 3.0])[:, None, None].expand(4, 3, 1).clone()
    present = EVERYONE.clone()
    present[2] = False
    present[:, I] = False
    prototypes.update(features, torch.tensor([0, 1, 1, 1]), present)
    assert prototypes.centres[D].flatten().tolist() == [1.0, 4.0]
    assert not prototypes.seen[I].any()
    assert not prototypes.centres[I].any()


def test_logits_by_hand() -> None:
    prototypes = SingleSidePrototypes(3, 2)
    features = torch.tensor([[0.0, 0.0], [6.0, 8.0]])[:, None].expand(2, 3, 2)
    prototypes.update(features, torch.tensor([0, 2]), torch.ones(2, 3, dtype=torch.bool))
    logits = prototypes.logits(torch.tensor([3.0, 4.0]).expand(1, 3, 2))
    expected = torch.tensor([-5.0, -math.inf, -5.0]).expand(1, 3, 3)
    torch.testing.assert_close(logits, expected)
    assert logits.softmax(dim=-1)[0, R].tolist() == [0.5, 0.0, 0.5]


def test_gradients_are_finite_on_a_prototype_itself() -> None:
    """The distance has no slope at zero."""
    prototypes = SingleSidePrototypes(2, 3)
    features = torch.randn(2, 3, 3)
    prototypes.update(features, torch.tensor([0, 1]), torch.ones(2, 3, dtype=torch.bool))
    features = features.requires_grad_()
    prototypes.logits(features).log_softmax(dim=-1)[:, :, 0].sum().backward()
    assert bool(features.grad.isfinite().all())


def test_loss_pulls_towards_the_own_prototype_and_not_the_prototypes_themselves() -> None:
    prototypes = SingleSidePrototypes(2, 2)
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    prototypes.update(centres[:, None].expand(2, 3, 2), torch.tensor([0, 1]), torch.ones(2, 3, dtype=torch.bool))
    feature = torch.full((1, 3, 2), 2.0, requires_grad=True)
    (-prototypes.logits(feature).log_softmax(dim=-1)[..., 0]).sum().backward()
    assert bool((feature.grad[0, :, 0] > 0).all())  # a step against it leads to the first prototype
    assert not list(prototypes.parameters())


def test_prototypes_are_part_of_a_checkpoint() -> None:
    prototypes, resumed = SingleSidePrototypes(2, 2), SingleSidePrototypes(2, 2)
    prototypes.update(torch.randn(4, 3, 2), torch.tensor([0, 1, 0, 0]), EVERYONE)
    resumed.load_state_dict(prototypes.state_dict())
    assert torch.equal(resumed.centres, prototypes.centres)
    assert torch.equal(resumed.seen, prototypes.seen)


@pytest.mark.parametrize("momentum", [1.0, -0.1])
def test_faults(momentum: float) -> None:
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\)"):
        SingleSidePrototypes(2, 2, momentum=momentum)
