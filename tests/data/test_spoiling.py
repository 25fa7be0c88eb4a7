"""Spoilt training samples: where the mask says, as often as asked for, and the same in every batch and order."""

import numpy as np
import pytest
import torch

from mmdg_lite.data.augmentation import Augmentation, sample_keys
from mmdg_lite.data.corruption import TRAINED
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.loader import loader, make_batch
from mmdg_lite.data.spoiling import Spoil, draw_spoils, spoil_samples
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality

ALWAYS = Augmentation(flip=0, offset=0, gamma=(1, 1), spoilt=1.0)


@pytest.fixture(scope="module")
def samples():
    return ArrayDataset.from_faces(render("C", 12, 3), domain="C", split="train").read(range(12))


def one(**changes):
    given = {"row": 0, "modality": Modality.DEPTH, "kind": "saturate", "height": 0.25, "width": 0.5}
    return Spoil(**given | {"top": 0.0, "left": 0.999, "seed": 1} | changes)


def test_a_region_by_hand():
    region = one().region((64, 64))
    assert region[:16, 32:].all() and region.sum() == 16 * 32
    assert one(height=1.0, width=1.0, top=0.9).region((64, 64)).all()


def test_only_the_region_of_that_sample_and_modality_changes(samples):
    spoilt, mask = spoil_samples(samples, [one(row=2)])
    assert mask.shape == (12, 3, 64, 64) and mask.sum() == 16 * 32 and mask[2, 1, :16, 32:].all()
    assert (spoilt.depth[2, 0][mask[2, 1]] == 255).all()
    for modality in MODALITIES:
        before, after = getattr(samples, modality.value), getattr(spoilt, modality.value)
        kept = ~mask[:, modality.index][:, None] & np.ones_like(before, dtype=bool)
        assert np.array_equal(before[kept], after[kept])


def test_frequency_modality_kind_and_area_are_drawn_as_stated():
    n = 4000
    keys, present = sample_keys([f"C-train-{i}" for i in range(n)]), np.ones((n, 3), dtype=bool)
    spoils = draw_spoils(keys, present, 0.3, seed=0, epoch=1)
    assert len(spoils) / n == pytest.approx(0.3, abs=0.03)
    for modality in MODALITIES:
        assert sum(s.modality is modality for s in spoils) / len(spoils) == pytest.approx(1 / 3, abs=0.05)
    for kind in TRAINED:
        assert sum(s.kind == kind for s in spoils) / len(spoils) == pytest.approx(1 / len(TRAINED), abs=0.05)
    sides = np.array([[s.height, s.width] for s in spoils])
    assert sides.min() >= 0.25 and sides.max() <= 1 and sides.mean() == pytest.approx(0.625, abs=0.02)


def test_a_missing_modality_is_not_spoilt():
    keys, present = sample_keys(["a", "b", "c"]), np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    spoils = draw_spoils(keys, present, 1.0, seed=0, epoch=0)
    assert [(s.row, s.modality) for s in spoils] == [(0, Modality.RGB), (1, Modality.INFRARED)]


def test_batches_say_what_is_spoilt_whatever_the_batch(samples):
    """A sample's pixels and mask do not depend on its neighbours; another epoch spoils it in another way."""
    whole = make_batch(samples, source_domains=("C",), augment=ALWAYS, seed=5, epoch=2)
    clean = make_batch(samples, source_domains=("C",))
    assert whole["spoilt"].shape == (12, 3, 64, 64) and whole["spoilt"].flatten(1).any(dim=1).all()
    for modality in MODALITIES:
        kept = ~whole["spoilt"][:, modality.index, None].expand(-1, 3, -1, -1)
        assert torch.equal(whole[modality.value][kept], clean[modality.value][kept])
    dataset = ArrayDataset(samples)
    alone = loader(dataset, batch_size=1, seed=5, epoch=2, augment=ALWAYS, source_domains=("C",), shuffle=False)
    for row, batch in enumerate(alone):
        assert torch.equal(batch["spoilt"][0], whole["spoilt"][row])
        assert torch.equal(batch["depth"][0], whole["depth"][row])
    later = make_batch(samples, source_domains=("C",), augment=ALWAYS, seed=5, epoch=3)
    assert not torch.equal(later["spoilt"], whole["spoilt"])


def test_the_mask_is_flipped_with_the_images(samples):
    flipped = make_batch(
        samples,
        source_domains=("C",),
        augment=Augmentation(flip=1, offset=0, gamma=(1, 1), spoilt=1.0),
        seed=5,
        epoch=2,
    )
    straight = make_batch(samples, source_domains=("C",), augment=ALWAYS, seed=5, epoch=2)
    assert torch.equal(flipped["spoilt"], straight["spoilt"].flip(-1))
    assert torch.equal(flipped["rgb"], straight["rgb"].flip(-1))


def test_the_second_view_has_regions_of_its_own(samples):
    batch = make_batch(samples, source_domains=("C",), augment=ALWAYS, seed=5, epoch=2, views=2)
    assert batch["second_spoilt"].shape == batch["spoilt"].shape
    assert not torch.equal(batch["second_spoilt"], batch["spoilt"])


def test_without_spoiling_batches_have_no_mask(samples):
    assert "spoilt" not in make_batch(samples, source_domains=("C",), augment=Augmentation())
