"""Augmentation: a pure function of seed, epoch and sample; flips, jitter and dropout do what they say."""

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.data.augmentation import (
    COPIES,
    COPY_DRAWS,
    DROP,
    GAMMA,
    OFFSET,
    Augmentation,
    draw,
    drop_modalities,
    drop_together,
    order,
    plain_levels,
    sample_keys,
    uniforms,
)
from mmdg_lite.modality import Modality

KEYS = sample_keys([f"sample-{number}" for number in range(2000)])


def test_keys_are_the_same_on_every_machine_and_differ_between_samples():
    assert sample_keys(["W-train-00001"])[0] == np.uint64(16807493451038760073)
    assert len(set(KEYS.tolist())) == len(KEYS)


def test_uniforms_are_uniform_and_uncorrelated_between_draws_epochs_seeds_and_samples():
    chance = uniforms(KEYS, seed=3, epoch=1)
    assert chance.min() >= 0 and chance.max() < 1
    assert np.allclose(chance.mean(axis=0), 0.5, atol=0.03)
    assert np.allclose(chance.std(axis=0), 12**-0.5, atol=0.02)
    others = [uniforms(KEYS, seed=3, epoch=2), uniforms(KEYS, seed=4, epoch=1), np.roll(chance, 1, axis=0)]
    for other in [*others, np.roll(chance, 1, axis=1)]:
        assert abs(np.corrcoef(chance.ravel(), other.ravel())[0, 1]) < 0.02


def test_a_samples_draw_does_not_depend_on_its_batch():
    whole, part = uniforms(KEYS, seed=5, epoch=7), uniforms(KEYS[[17, 4, 1999]], seed=5, epoch=7)
    assert np.array_equal(whole[[17, 4, 1999]], part)


@given(seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 10**9))
def test_any_seed_and_epoch_give_a_permutation(seed, epoch):
    assert np.array_equal(np.sort(order(KEYS[:50], seed=seed, epoch=epoch)), np.arange(50))


def test_order_changes_with_epoch_and_seed_but_not_with_repetition():
    assert np.array_equal(order(KEYS, seed=1, epoch=0), order(KEYS, seed=1, epoch=0))
    assert not np.array_equal(order(KEYS, seed=1, epoch=0), order(KEYS, seed=1, epoch=1))
    assert not np.array_equal(order(KEYS, seed=1, epoch=0), order(KEYS, seed=2, epoch=0))


def test_levels_follow_offset_then_gamma_and_leave_depth_alone():
    augmentation = Augmentation(offset=40, gamma=(0.5, 1.5))
    levels = draw(augmentation, KEYS[:200], np.ones((200, 3), bool), seed=0, epoch=0).levels
    chance = uniforms(KEYS[:200], seed=0, epoch=0)
    for sample, channel, value in [(0, 0, 100), (1, 1, 0), (2, 2, 255), (3, 4, 77), (4, 4, 255), (5, 0, 3)]:
        shifted = min(max(value + 80 * chance[sample, OFFSET + channel] - 40, 0), 255)
        exponent = 0.5 + chance[sample, GAMMA + (0 if channel < 3 else 2)]
        assert levels[sample, channel, value] == pytest.approx((shifted / 255) ** exponent, abs=1e-6)
    assert np.array_equal(levels[:, 3], np.repeat(plain_levels()[:, 3], 200, axis=0))
    assert levels.min() >= 0 and levels.max() <= 1 and (np.diff(levels, axis=2) >= 0).all()


def test_jitter_covers_its_ranges():
    ends = draw(Augmentation(offset=40, gamma=(1, 1)), KEYS, np.ones((2000, 3), bool), seed=0, epoch=0).levels
    shift = 255 * ends[:, [0, 1, 2, 4], 128] - 128
    assert np.abs(shift).max() <= 40.001 and shift.min() < -39 and shift.max() > 39
    assert abs(shift.mean()) < 1 and abs(np.corrcoef(shift[:, 0], shift[:, 1])[0, 1]) < 0.05
    bends = draw(Augmentation(offset=0), KEYS, np.ones((2000, 3), bool), seed=0, epoch=0).levels
    exponent = np.log(bends[:, [0, 1, 4], 64]) / np.log(64 / 255)
    assert exponent.min() + 1e-4 >= 0.5 and exponent.min() < 0.51 and 1.49 < exponent.max() < 1.5001
    assert np.allclose(exponent[:, 0], exponent[:, 1], rtol=1e-4) and not np.allclose(exponent[:, 0], exponent[:, 2])


def test_flip_happens_at_its_rate():
    present = np.ones((len(KEYS), 3), bool)
    assert 0.45 < draw(Augmentation(), KEYS, present, seed=0, epoch=0).flip.mean() < 0.55
    assert not draw(Augmentation(flip=0), KEYS, present, seed=0, epoch=0).flip.any()
    assert draw(Augmentation(flip=1), KEYS, present, seed=0, epoch=0).flip.all()


def test_modalities_are_dropped_at_the_rate_and_one_is_always_left():
    present = np.ones((len(KEYS), 3), bool)
    left = draw(Augmentation(modality_dropout=0.3), KEYS, present, seed=0, epoch=0).present
    kept_anyway = 0.3**3 / 3  # per modality, from samples that would have lost all
    assert np.allclose(left.mean(axis=0), 0.7 + kept_anyway, atol=0.04)
    everything = draw(Augmentation(modality_dropout=1), KEYS, present, seed=0, epoch=0).present
    assert (everything.sum(axis=1) == 1).all()
    assert np.allclose(everything.mean(axis=0), 1 / 3, atol=0.04)


@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=20), st.floats(0, 1), st.integers(0, 99))
def test_dropout_never_invents_a_modality_and_never_empties_a_sample(rows, rate, seed):
    present = np.array(rows)
    chance = np.random.default_rng(seed).random((len(rows), 4))
    left = drop_modalities(present, chance[:, :3], chance[:, 3], rate)
    assert not (left & ~present).any()
    assert np.array_equal(left.any(axis=1), present.any(axis=1))


def test_jitter_can_be_chosen_per_modality():
    chosen = Augmentation(jitter_rgb=False, jitter_depth=True, jitter_infrared=False)
    assert [chosen.jitters(modality) for modality in Modality] == [False, True, False]
    levels = draw(chosen, KEYS[:5], np.ones((5, 3), bool), seed=0, epoch=0).levels
    assert np.array_equal(levels[:, [0, 1, 2, 4]], np.repeat(plain_levels()[:, [0, 1, 2, 4]], 5, axis=0))
    assert not np.array_equal(levels[0, 3], plain_levels()[0, 3])


def test_copies_of_a_channel_are_jittered_each_by_an_offset_of_its_own():
    shared = Augmentation(jitter_depth=True)
    each = Augmentation(jitter_depth=True, per_copy=True)
    everything = np.ones((200, 3), bool)
    one, other = (draw(a, KEYS[:200], everything, seed=0, epoch=0) for a in (shared, each))
    assert (one.levels.shape[1], other.levels.shape[1]) == (5, 9)
    assert np.array_equal(one.levels_of(Modality.RGB), other.levels_of(Modality.RGB))
    assert np.array_equal(one.flip, other.flip) and one.levels_of(Modality.INFRARED).shape[1] == 1
    copies = uniforms(KEYS[:200], seed=0, epoch=0, first=COPIES, draws=COPY_DRAWS)
    chance = uniforms(KEYS[:200], seed=0, epoch=0)
    for modality, first in ((Modality.DEPTH, 0), (Modality.INFRARED, 3)):
        levels = other.levels_of(modality)  # 200 x 3 x 256
        for sample, channel, value in [(0, 0, 100), (1, 1, 0), (2, 2, 255), (3, 2, 77)]:
            shifted = min(max(value + 80 * copies[sample, first + channel] - 40, 0), 255)
            exponent = 0.5 + chance[sample, GAMMA + modality.index]
            assert levels[sample, channel, value] == pytest.approx((shifted / 255) ** exponent, abs=1e-6)
        assert not np.array_equal(levels[:, 0], levels[:, 1])
    second = draw(each, KEYS[:200], everything, seed=0, epoch=0, view=1)
    assert not np.array_equal(second.levels_of(Modality.DEPTH), other.levels_of(Modality.DEPTH))


def test_depth_and_infrared_are_dropped_together_and_rgb_never():
    together = Augmentation(modality_dropout=0.3, dropout="together")
    left = draw(together, KEYS, np.ones((len(KEYS), 3), bool), seed=0, epoch=0).present
    assert left[:, 0].all() and np.array_equal(left[:, 1], left[:, 2])
    assert np.array_equal(left[:, 1], uniforms(KEYS, seed=0, epoch=0)[:, DROP] >= 0.3)
    assert 0.66 < left[:, 1].mean() < 0.74
    present = np.array([[True, True, False], [False, True, True], [True, False, False], [True, True, True]])
    assert drop_together(present, np.zeros(4), 0.3).tolist() == [
        [True, False, False], [False, True, True], [True, False, False], [True, False, False]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"flip": 1.5}, "flip"), ({"modality_dropout": -0.1}, "modality_dropout"), ({"offset": -1}, "offset")]
    + [({"gamma": value}, "gamma") for value in ((0.0, 1.0), (1.5, 0.5))],
)
def test_impossible_settings_are_refused_by_name(wrong, name):
    with pytest.raises(ValueError, match=name):
        Augmentation(**wrong)


def test_names_of_files_that_are_no_text_have_keys_of_their_own():
    names = [os.fsdecode(name) for name in (b"bad\xff.png", b"bad\xfe.png", b"bad.png")]
    assert len(set(sample_keys([*names, "\ud800"]).tolist())) == 4


@pytest.mark.parametrize("wrong", [{"offset": math.inf}, {"offset": math.nan}, {"gamma": (0.5, math.inf)}])
def test_settings_that_are_not_finite_are_refused(wrong):
    with pytest.raises(ValueError, match="finite"):
        Augmentation(**wrong)
