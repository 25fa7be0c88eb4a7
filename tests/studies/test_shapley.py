"""Shapley values of modalities: hand-computed games, the axioms, missing modalities, scores by coalition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.studies.shapley import (
    CHANCE,
    COALITIONS,
    auc_shapley,
    auc_values,
    bootstrap,
    coalition_scores,
    every_coalition,
    name,
    presence,
    restricted,
    shapley_values,
    weight,
)

R, D, I = MODALITIES  # noqa: E741
numbers = st.floats(-10, 10)
games = st.lists(numbers, min_size=7, max_size=7).map(lambda values: dict(zip(COALITIONS, values, strict=True)))


def game(r, d, i, rd, ri, di, rdi):
    members = [{R}, {D}, {I}, {R, D}, {R, I}, {D, I}, {R, D, I}]
    return {frozenset(m): v for m, v in zip(members, (r, d, i, rd, ri, di, rdi), strict=True)}


def test_a_game_worked_out_by_hand():
    """What each adds in the six orders of arrival RDI, RID, DRI, DIR, IRD, IDR, averaged."""
    values = game(10, 30, 20, 60, 20, 50, 90)
    expected = [(10 + 10 + 30 + 40 + 0 + 40) / 6, (50 + 70 + 30 + 30 + 70 + 30) / 6, (30 + 10 + 30 + 20 + 20 + 20) / 6]
    np.testing.assert_allclose(shapley_values(values, empty=0), expected)


def test_weights_are_shares_of_the_six_orders():
    assert [weight(size) for size in range(3)] == pytest.approx([2 / 6, 1 / 6, 2 / 6])


def test_an_additive_game_gives_each_its_own():
    values = {c: 0.5 + 0.2 * (R in c) - 0.1 * (D in c) + 0.3 * (I in c) for c in COALITIONS}
    np.testing.assert_allclose(shapley_values(values, empty=0.5), [0.2, -0.1, 0.3])


@given(games, numbers)
def test_efficiency(values, empty):
    total = values[frozenset(MODALITIES)] - empty
    assert shapley_values(values, empty=empty).sum() == pytest.approx(total, abs=1e-9)


@given(games, numbers)
def test_symmetric_players_share_alike(values, empty):
    """Depth and infrared made interchangeable."""
    swap = {R: R, D: I, I: D}
    alike = {c: values[c] + values[frozenset(swap[m] for m in c)] for c in COALITIONS}
    _, depth, infrared = shapley_values(alike, empty=empty)
    assert depth == pytest.approx(infrared, abs=1e-9)


@given(games, numbers)
def test_renaming_the_players_renames_the_values(values, empty):
    turn = {R: D, D: I, I: R}
    turned = {frozenset(turn[m] for m in c): v for c, v in values.items()}
    original, moved = shapley_values(values, empty=empty), shapley_values(turned, empty=empty)
    for modality, other in turn.items():
        assert moved[other.index] == pytest.approx(original[modality.index], abs=1e-9)


@given(games, numbers, st.sampled_from(MODALITIES))
def test_a_missing_modality_is_a_null_player(values, empty, missing):
    left = [m for m in MODALITIES if m is not missing]
    phi = shapley_values(restricted(values, left, empty=empty), empty=empty)
    assert phi[missing.index] == 0
    both = values[frozenset(left)]
    first, second = (values[frozenset({m})] for m in left)
    assert phi[left[0].index] == pytest.approx(((first - empty) + (both - second)) / 2, abs=1e-9)


@given(games, games, numbers)
def test_linearity(first, second, scale):
    together = {c: first[c] + scale * second[c] for c in COALITIONS}
    expected = shapley_values(first, empty=1) + scale * shapley_values(second, empty=2)
    np.testing.assert_allclose(shapley_values(together, empty=1 + 2 * scale), expected, atol=1e-9)


def test_arrays_of_values_are_taken_one_by_one(rng):
    arrays = {c: rng.random(5) for c in COALITIONS}
    together = shapley_values(arrays, empty=0.5)
    assert together.shape == (3, 5)
    one = shapley_values({c: v[3] for c, v in arrays.items()}, empty=0.5)
    np.testing.assert_allclose(together[:, 3], one)


def test_a_lacking_or_endless_value_is_named():
    values = game(1, 1, 1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="value of RGB \\+ infrared is not finite"):
        shapley_values(values | {frozenset({R, I}): np.nan}, empty=0)
    del values[frozenset({D, I})]
    with pytest.raises(ValueError, match="no value is given for depth \\+ infrared"):
        shapley_values(values, empty=0)


def test_names_and_presence():
    assert name([]) == "nothing"
    assert name(COALITIONS[-1]) == "RGB + depth + infrared"
    assert presence().tolist()[:4] == [
        [True, False, False], [False, True, False], [False, False, True], [True, True, False]
    ]  # fmt: skip


@pytest.fixture(scope="module")
def samples():
    return ArrayDataset.from_faces(render("W", 6, 4), domain="W", split="test").read(range(6))


def test_scores_by_coalition_are_those_of_single_questions(samples):
    """A scorer that counts what it may see: mean brightness of present images."""

    def scorer(batch):
        images = torch.stack([batch[m.value].mean(dim=(1, 2, 3)) for m in MODALITIES], dim=1)  # B x 3
        return (images * batch["present"]).sum(dim=1).sigmoid()

    scores = coalition_scores(scorer, samples, progress=False)
    assert list(scores) == list(COALITIONS)
    assert {len(values) for values in scores.values()} == {6}
    logits = {c: np.log(v / (1 - v)) for c, v in scores.items()}
    parts = sum(logits[frozenset({m})] for m in MODALITIES)
    np.testing.assert_allclose(logits[frozenset(MODALITIES)], parts, atol=1e-5)


def test_every_coalition_keeps_order_and_refuses_incomplete_samples(samples):
    expanded = every_coalition(samples)
    assert len(expanded) == 42
    assert expanded.ids[6:12] == samples.ids
    np.testing.assert_array_equal(expanded.depth[-6:], samples.depth)
    assert expanded.present[:6].tolist() == [[True, False, False]] * 6
    samples_without = ArrayDataset.from_faces(render("W", 2, 4), domain="W", split="x").read([0, 1])
    samples_without.present[1, Modality.DEPTH.index] = False
    with pytest.raises(ValueError, match="W-x-00001 lacks a modality"):
        every_coalition(samples_without)


def test_auc_values_and_their_shapley_values():
    """Infrared alone tells the classes apart; RGB and depth say nothing: 0, 0 and 0.5 above chance."""
    labels = np.array([0, 0, 1, 1])
    right, constant = np.array([0.1, 0.2, 0.8, 0.9]), np.full(4, 0.5)
    scores = {c: right if Modality.INFRARED in c else constant for c in COALITIONS}
    assert auc_values(scores, labels)[frozenset({R, D})] == CHANCE
    np.testing.assert_allclose(auc_shapley(scores, labels), [0, 0, 0.5], atol=1e-12)


def test_bootstrap_interval_surrounds_the_value_and_follows_its_seed(rng):
    labels = np.arange(80) % 2
    scores = {c: labels * 0.3 * len(c) + rng.standard_normal(80) for c in COALITIONS}
    low, high = bootstrap(auc_shapley, scores, labels, rounds=50, rng=np.random.default_rng(1))
    again, _ = bootstrap(auc_shapley, scores, labels, rounds=50, rng=np.random.default_rng(1))
    value = auc_shapley(scores, labels)
    assert (low < value).all() and (value < high).all()
    np.testing.assert_array_equal(low, again)
