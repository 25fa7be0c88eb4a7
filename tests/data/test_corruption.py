"""Corruption stays in its region and modality, and tells which region that is."""

import numpy as np
import pytest

from mmdg_lite.data.corruption import HELD_OUT, KINDS, TRAINED, corrupt, corrupt_image, patch_share, random_rectangles
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality


@pytest.fixture(scope="module")
def faces():
    return render("W", 6, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_only_the_region_of_one_modality_changes(faces, modality, kind, rng):
    region = random_rectangles(6, 64, rng)
    spoilt, mask = corrupt(faces, modality, region, kind, rng)
    assert np.array_equal(mask, region)
    assert spoilt.species == faces.species and np.array_equal(spoilt.label, faces.label)
    for other in MODALITIES:
        before, after = faces[other.value], spoilt[other.value]
        assert after.dtype == np.uint8 and after.shape == before.shape
        if other is not modality:
            assert np.array_equal(before, after)
    before, after = faces[modality.value], spoilt[modality.value]
    where = np.broadcast_to(mask[:, None], before.shape)
    assert np.array_equal(before[~where], after[~where])
    assert (before[where] != after[where]).mean() > 0.1
    if kind == "shuffle":
        for a, b, part in zip(before, after, mask, strict=True):
            assert np.array_equal(np.sort(a[:, part], axis=1), np.sort(b[:, part], axis=1))
    if kind in ("blank", "saturate"):
        assert set(np.unique(after[where])) == {0 if kind == "blank" else 255}
    if kind == "foreign":
        assert np.array_equal(after[where], np.roll(before, 1, axis=0)[where])


def test_holes_and_stripes_take_half_of_the_pixels():
    image, region = np.full((1, 64, 64), 9, np.uint8), np.zeros((64, 64), bool)
    region[:, :32] = True
    holes = corrupt_image(image, region, "holes", np.random.default_rng(0))
    assert set(np.unique(holes)) == {0, 9} and (holes[0, region] == 0).mean() == pytest.approx(0.5, abs=0.03)
    stripes = corrupt_image(image, region, "stripes", np.random.default_rng(0))
    assert np.flatnonzero(stripes[0, :8, 0] == 0).tolist() == [0, 1, 4, 5] and (stripes[0, :, 32:] == 9).all()


def test_no_kind_is_both_trained_and_held_out():
    assert not set(TRAINED) & set(HELD_OUT) and set(TRAINED) | set(HELD_OUT) == set(KINDS)


def test_one_region_serves_all_samples_and_seeds_repeat(faces):
    region = np.zeros((64, 64), bool)
    region[8:20, 30:50] = True
    first, mask = corrupt(faces, Modality.DEPTH, region, "noise", np.random.default_rng(1))
    again, _ = corrupt(faces, Modality.DEPTH, region, "noise", np.random.default_rng(1))
    assert mask.shape == (6, 64, 64) and all(np.array_equal(part, region) for part in mask)
    assert np.array_equal(first.depth, again.depth)


def test_patch_share_follows_the_order_of_tokens():
    region = np.zeros((1, 64, 64), bool)
    region[0, 8:16, 16:20] = True  # second row of patches, third column, left half
    share = patch_share(region, 8)
    assert share.shape == (1, 64)
    assert share[0, 8 + 2] == 0.5 and share.sum() == 0.5
    with pytest.raises(ValueError, match="do not divide into patches of 7"):
        patch_share(region, 7)


def test_rectangles_have_the_size_asked_for(rng):
    for region in random_rectangles(50, 40, rng, low=0.2, high=0.3):
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        assert region.sum() == len(rows) * len(columns)
        assert 8 <= len(rows) <= 12 and 8 <= len(columns) <= 12
        assert np.ptp(rows) + 1 == len(rows) and np.ptp(columns) + 1 == len(columns)


def test_bad_arguments_are_named(faces, rng):
    region = np.ones((64, 64), bool)
    with pytest.raises(ValueError, match="unknown corruption 'fog': valid names are noise"):
        corrupt(faces, Modality.RGB, region, "fog", rng)
    with pytest.raises(ValueError, match="it must be 64 x 64 or 6 x 64 x 64 booleans"):
        corrupt(faces, Modality.RGB, region[:32], "blank", rng)
    with pytest.raises(ValueError, match="region is float64"):
        corrupt(faces, Modality.RGB, region.astype(float), "blank", rng)
    with pytest.raises(ValueError, match="needs another sample's image"):
        corrupt_image(faces.rgb[0], region, "foreign", rng)
