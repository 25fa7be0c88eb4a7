"""The small training of the imbalance lab: equal to a plain transcription with autograd, and moved by its knobs."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from mmdg_lite.regrad.rule import regrad
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.studies import imbalance
from mmdg_lite.studies.imbalance import Knobs, Toy, train


@pytest.fixture
def data(rng):
    def part():
        return rng.standard_normal((20, 3, 6)), rng.integers(2, size=20)

    parts = {name: part() for name in ("train", "test")}
    return Toy(features={n: f for n, (f, _) in parts.items()}, labels={n: y for n, (_, y) in parts.items()})


def plainly(data, *, balanced, certainty, coupling, steps, rate, seed):
    """The losses of every step by autograd, branch by branch and loss by loss."""
    rng = np.random.default_rng(seed)
    for _ in range(6):
        rng.permutation(20)  # what the knob that mixes faces up draws: three modalities in two parts
    branches = torch.from_numpy(0.1 * rng.standard_normal((3, 2, 6)))
    features, labels = torch.from_numpy(data.features["train"]), torch.from_numpy(data.labels["train"])
    pace, history = ReGrad(), []
    for _ in range(steps):
        branches.requires_grad_()
        known = [features[:, m] @ branches[m].T for m in range(3)]  # 20 x 2 each
        seen = [known[m] + coupling * sum(known[j] for j in range(3) if j != m) for m in range(3)]
        losses = [functional.cross_entropy(4 * z, labels) for z in seen]
        pulls = [torch.autograd.grad(loss, branches, retain_graph=True)[0] for loss in losses]
        history.append([loss.item() for loss in losses])
        fastest = pace.update(tuple(loss.detach() for loss in losses))
        step = [
            regrad([pull[m] for pull in pulls], m, fastest, certainty, rule="regrad" if balanced else "none")
            for m in range(3)
        ]
        branches = (branches - rate * torch.stack(step)).detach()
    return np.array(history)


@pytest.mark.parametrize("balanced", [True, False])
def test_losses_are_those_of_autograd(data, balanced):
    given = {"certainty": (0.6, 0.3, 0.9), "coupling": 0.2}
    found = train(data, "regrad" if balanced else "none", Knobs(**given), steps=12, rate=0.1, seed=3)
    np.testing.assert_allclose(
        found.losses, plainly(data, balanced=balanced, **given, steps=12, rate=0.1, seed=3), atol=1e-10
    )
    assert found.accuracy.shape == (3,) and len(found.fastest) == 12
    assert found.gap == pytest.approx(np.mean([max(row) - min(row) for row in found.losses]))


def test_knobs_provoke_an_imbalance(data):
    plain = train(data, "none", Knobs(), steps=30)
    loud = train(data, "none", Knobs(scale=(0.1, 1.0, 3.0)), steps=30)
    assert loud.gap > plain.gap
    alone = train(data, "none", Knobs(coupling=0.0), steps=3)
    spoilt = train(data, "none", Knobs(coupling=0.0, spoilt=(1.0, 0.0, 0.0)), steps=3)
    assert np.array_equal(alone.losses[:, 1:], spoilt.losses[:, 1:])  # without coupling the others do not notice
    assert not np.array_equal(alone.losses[:, 0], spoilt.losses[:, 0])


def test_bad_shares_are_named():
    with pytest.raises(ValueError, match="spoilt must be three numbers from 0 to 1"):
        Knobs(spoilt=(0.0, 1.5, 0.0))


def test_the_toys_features_are_frozen_clips():
    toy = imbalance.toy(faces=8)
    assert toy.features["train"].shape[:2] == (8, 3) and set(toy.labels["test"]) <= {0, 1}
    assert not np.array_equal(toy.features["train"], toy.features["test"])
