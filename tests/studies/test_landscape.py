"""Losses and gradients of a landscape, and the rules' paths through it, against what can be worked out by hand."""

import numpy as np
import pytest
import torch

from mmdg_lite.minimal import find_fastest, regrad
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.studies.landscape import TRIANGLE, Descent, Landscape, descend, settled

UNEVEN = Landscape(minima=TRIANGLE, steepness=(10.0, 1.0, 2.0), floors=(0.0, 0.5, 1.0))


def test_losses_and_gradients_agree_with_automatic_differentiation():
    points = np.array([[0.3, -0.2], [2.0, 1.0]])
    for point, losses in zip(points, UNEVEN.losses(points), strict=True):
        p = torch.tensor(point, requires_grad=True)
        for m in MODALITIES:
            distance = p - torch.from_numpy(TRIANGLE[m.index])
            loss = UNEVEN.floors[m.index] + UNEVEN.steepness[m.index] / 2 * distance @ distance
            assert loss.item() == pytest.approx(losses[m.index])
            (g,) = torch.autograd.grad(loss, p)
            np.testing.assert_allclose(UNEVEN.gradients(point)[m.index], g)


def test_excess_is_zero_at_a_minimum():
    assert np.diag(UNEVEN.excess(TRIANGLE)) == pytest.approx([0, 0, 0])
    np.testing.assert_allclose(UNEVEN.losses(TRIANGLE) - UNEVEN.excess(TRIANGLE), [UNEVEN.floors] * 3)


def test_plain_sum_ends_at_the_weighted_mean_of_the_minima():
    weights = np.array(UNEVEN.steepness) / sum(UNEVEN.steepness)
    np.testing.assert_allclose(descend(UNEVEN, "none").points[-1], weights @ TRIANGLE, atol=1e-4)


@pytest.mark.parametrize("branch", MODALITIES)
def test_regrad_takes_the_steps_of_the_minimal_version(branch):
    """The same path by the definitions of `minimal.py`, gradient by gradient."""
    certainty = (0.9, 0.5, 0.2)
    path = descend(UNEVEN, "regrad", branch=branch, certainty=certainty, steps=40)
    names = [m.value for m in MODALITIES]
    averages, p = dict.fromkeys(names, 0.0), path.points[0]
    for step in range(40):
        L = dict(zip(names, torch.from_numpy(UNEVEN.losses(p)), strict=True))
        g = dict(zip(names, torch.from_numpy(UNEVEN.gradients(p)), strict=True))
        fastest = find_fastest(averages, L)
        assert fastest == getattr(path.fastest[step], "value", None)
        U = dict(zip(names, torch.tensor(certainty, dtype=torch.float64), strict=True))
        p = p - 0.03 * regrad(g, branch.value, fastest, U).numpy()
        np.testing.assert_allclose(p, path.points[step + 1], atol=1e-9)


def test_settled_is_the_mean_over_the_last_steps():
    path = Descent(points=np.array([[9.0, 9.0], TRIANGLE[0], TRIANGLE[1]]), fastest=(None, None))
    flat = Landscape(minima=TRIANGLE, floors=(1.0, 2.0, 3.0))
    assert settled(flat, path, last=2) == pytest.approx([0.75, 0.75, 1.5])  # |side|^2 = 3, halved


def test_bad_landscapes_are_refused():
    with pytest.raises(ValueError, match="3 x 2"):
        Landscape(minima=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="positive"):
        Landscape(minima=TRIANGLE, steepness=(1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="unknown rule"):
        descend(UNEVEN, "no such rule", branch=Modality.RGB)
