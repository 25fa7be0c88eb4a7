"""Data sets and batches: contents, normalisation, missing modalities, and a stream that a resumed run repeats."""

import random

import numpy as np
import pytest
import torch

from mmdg_lite.data.augmentation import Augmentation
from mmdg_lite.data.dataset import (
    ArrayDataset,
    ConcatDataset,
    Samples,
    Subset,
    live_and_species,
    stack,
    without_species,
)
from mmdg_lite.data.loader import CLIP_MEAN, CLIP_STD, collate, loader, make_batch
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality, second_view


def random_dataset(letter, count, *, size=8, seed=0, present=None):
    rng = np.random.default_rng([seed, ord(letter)])
    label = rng.integers(0, 2, count)
    return ArrayDataset(
        Samples(
            rgb=rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8),
            depth=rng.integers(0, 256, (count, 1, size, size), dtype=np.uint8),
            infrared=rng.integers(0, 256, (count, 1, size, size), dtype=np.uint8),
            present=np.ones((count, 3), bool) if present is None else present,
            label=label,
            ids=[f"{letter}-train-{number:05d}" for number in range(count)],
            species=["live" if value else ("print", "replay")[number % 2] for number, value in enumerate(label)],
            domains=[letter] * count,
        )
    )


def batches(dataset, **options):
    defaults = {"batch_size": 5, "seed": 1, "epoch": 2, "augment": Augmentation(modality_dropout=0.3)}
    return list(loader(dataset, **(defaults | {"source_domains": ("C", "W"), "shuffle": True} | options)))


def equal(first, second):
    return first["id"] == second["id"] and all(
        torch.equal(first[name], second[name]) for name in ("rgb", "depth", "infrared", "present", "label", "domain")
    )


def global_chance():
    """The states of Python's, numpy's and torch's global generators."""
    _, key, place, *_ = np.random.get_state()  # noqa: NPY002
    return random.getstate(), key.tolist(), place, torch.get_rng_state().tolist()


def test_a_batch_without_augmentation_is_the_images_normalised():
    dataset = random_dataset("W", 6)
    batch = collate([dataset[i] for i in range(6)], source_domains=("C", "W"))
    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    whole = dataset.read(range(6))
    for modality in MODALITIES:
        plain = torch.from_numpy(getattr(whole, modality.value)).float().expand(-1, 3, -1, -1) / 255
        torch.testing.assert_close(batch[modality.value], (plain - mean) / std)
        assert batch[modality.value].dtype == torch.float32
    assert batch["domain"].tolist() == [1] * 6
    assert batch["label"].tolist() == dataset.labels.tolist()
    assert batch["present"].dtype == torch.bool and batch["present"].all()
    assert batch["id"] == dataset.ids and batch["species"] == dataset.species


def test_a_domain_that_is_no_source_is_marked():
    assert make_batch(random_dataset("P", 2).read([0, 1]), source_domains=("C", "W"))["domain"].tolist() == [-1, -1]


def test_missing_modalities_are_zeros_whatever_their_images_hold():
    present = np.array([[True, False, True], [True, True, False], [True, True, True]])
    dataset = random_dataset("W", 3, present=present)
    batch = make_batch(dataset.read(range(3)), source_domains=("W",), missing=(Modality.INFRARED,))
    assert batch["present"].tolist() == [[True, False, False], [True, True, False], [True, True, False]]
    assert not batch["infrared"].any() and not batch["depth"][0].any()
    assert batch["depth"][1].any() and dataset.read([0]).present.tolist() == [[True, False, True]]


def test_modalities_are_flipped_together_or_not_at_all():
    ramp = np.tile(np.arange(8, dtype=np.uint8) * 20, (1, 8, 1))
    sample = {"rgb": np.repeat(ramp, 3, axis=0), "depth": ramp, "infrared": ramp, "present": [True] * 3}
    samples = [sample | {"id": str(i), "label": 1, "species": "live", "domain": "W"} for i in range(40)]
    batch = make_batch(stack(samples), source_domains=("W",), augment=Augmentation(), seed=0, epoch=0)
    rising = [batch[m.value][:, 0, 0, -1] > batch[m.value][:, 0, 0, 0] for m in MODALITIES]
    assert torch.equal(rising[0], rising[1]) and torch.equal(rising[0], rising[2])
    assert 0 < rising[0].sum() < 40


def test_an_epoch_visits_every_sample_once_in_another_order_each_time():
    dataset = ConcatDataset([random_dataset("W", 11), random_dataset("C", 12)])
    first, second = ([name for batch in batches(dataset, epoch=epoch) for name in batch["id"]] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == sorted(dataset.ids)
    assert first != second
    assert [len(batch["id"]) for batch in batches(dataset)] == [5, 5, 5, 5, 3]
    assert [len(batch["id"]) for batch in batches(dataset, drop_last=True)] == [5, 5, 5, 5]
    assert [name for batch in batches(dataset, shuffle=False) for name in batch["id"]] == dataset.ids


def test_a_resumed_run_sees_the_same_stream():
    dataset = random_dataset("W", 23)
    whole = batches(dataset)
    assert all(map(equal, whole, batches(dataset)))
    for start in range(len(whole) + 1):
        rest = batches(dataset, start_batch=start)
        assert len(rest) == len(whole) - start
        assert all(map(equal, whole[start:], rest))


def test_a_samples_augmentation_does_not_depend_on_the_data_set_around_it():
    small, large = random_dataset("W", 5), random_dataset("C", 9)
    alone = {name: batch["rgb"][i] for batch in batches(small) for i, name in enumerate(batch["id"])}
    for batch in batches(ConcatDataset([large, small])):
        for i, name in enumerate(batch["id"]):
            if name in alone:
                assert torch.equal(batch["rgb"][i], alone[name])


def test_worker_processes_give_the_same_batches_and_leave_global_chance_alone():
    dataset = ConcatDataset([random_dataset("W", 8), random_dataset("C", 9)])
    before = global_chance()
    assert all(map(equal, batches(dataset), batches(dataset, workers=2)))
    assert global_chance() == before


def test_concatenation_and_subsets_read_the_right_samples():
    parts = [random_dataset("W", 4), random_dataset("C", 3), random_dataset("S", 5)]
    whole = ConcatDataset(parts)
    assert whole.domain == "CSW" and len(whole) == 12
    everything = [(part, i) for part in parts for i in range(len(part))]
    picked = whole.read([11, 0, 5, 4, 4])
    assert picked.ids == [everything[i][0].ids[everything[i][1]] for i in (11, 0, 5, 4, 4)]
    for place, i in enumerate((11, 0, 5, 4, 4)):
        part, inside = everything[i]
        assert np.array_equal(picked.rgb[place], part[inside]["rgb"])
    subset = Subset(whole, [6, 2])
    assert subset.ids == [whole.ids[6], whole.ids[2]]
    assert np.array_equal(subset[0]["depth"], whole[6]["depth"])
    assert whole[-1]["id"] == whole.ids[-1]
    with pytest.raises(IndexError):
        whole[12]


def test_unseen_attacks_are_split_off():
    dataset = random_dataset("W", 40)
    train, test = without_species(dataset, "print"), live_and_species(dataset, "print")
    assert set(train.species) == {"live", "replay"} and set(test.species) == {"live", "print"}
    assert len(train) + len(test) == 40 + dataset.species.count("live")
    with pytest.raises(ValueError, match=r"'glasses'.*print, replay"):
        live_and_species(dataset, "glasses")


def test_rendered_faces_become_a_data_set():
    faces = render("S", 6, 3, size=32)
    dataset = ArrayDataset.from_faces(faces, domain="S", split="val")
    assert dataset.ids[5] == "S-val-00005" and dataset.domain == "S"
    assert dataset.labels.tolist() == faces.label.tolist() and dataset.species == list(faces.species)
    assert np.array_equal(dataset[2]["infrared"], faces["infrared"][2])
    assert dataset[0]["rgb"].shape == (3, 32, 32) and dataset[0]["depth"].shape == (1, 32, 32)


def test_what_cannot_be_batched_is_refused_with_a_reason():
    small, large = random_dataset("W", 2), random_dataset("C", 2, size=16)
    with pytest.raises(ValueError, match=r"C-train-00000.*rgb"):
        stack([small[0], large[0]])
    with pytest.raises(ValueError, match="image sizes"):
        ConcatDataset([small, large]).read([0, 2])
    with pytest.raises(ValueError, match="no samples"):
        stack([])
    with pytest.raises(ValueError, match="no data sets"):
        ConcatDataset([])
    for options, message in (({"batch_size": 0}, "batch_size"), ({"start_batch": 9}, "start_batch 9")):
        with pytest.raises(ValueError, match=message):
            batches(small, **options)
    with pytest.raises(ValueError, match="empty"):
        batches(Subset(small, []))


def test_labels_and_lengths_are_checked():
    good = random_dataset("W", 3).read([0, 1, 2])
    with pytest.raises(ValueError, match="got 2"):
        ArrayDataset(Samples(**(vars(good) | {"label": np.array([0, 1, 2])})))
    with pytest.raises(ValueError, match="differ in number"):
        ArrayDataset(Samples(**(vars(good) | {"species": ["live"]})))
    with pytest.raises(ValueError, match="depth holds 2 of 3"):
        ArrayDataset(Samples(**(vars(good) | {"depth": good.depth[:2]})))


def uneven_dataset():
    """Domain W: 7 live faces and 3 attacks; domain C: 2 live faces and 12 attacks."""
    parts = []
    for letter, live, attacks in (("W", 7, 3), ("C", 2, 12)):
        whole = random_dataset(letter, 80)
        chosen = [*np.flatnonzero(whole.labels == 1)[:live], *np.flatnonzero(whole.labels == 0)[:attacks]]
        parts.append(Subset(whole, chosen))
    return ConcatDataset(parts)


def groups_of(batch):
    """Numbers of attacks and live faces of C, then of W."""
    return torch.bincount(2 * batch["domain"] + batch["label"], minlength=4).tolist()


def test_balanced_batches_hold_every_group_in_equal_numbers():
    dataset = uneven_dataset()
    made = batches(dataset, balanced=True, batch_size=8)
    assert [groups_of(batch) for batch in made] == [[2, 2, 2, 2]] * 3
    names = [name for batch in made for name in batch["id"]]
    counts = {name: names.count(name) for name in dataset.ids}
    of_group = {group: [] for group in range(4)}
    for name, letter, label in zip(dataset.ids, dataset.domains, dataset.labels, strict=True):
        of_group[2 * (letter == "W") + int(label)].append(counts[name])
    # six places per group and epoch: 12 attacks and 2 live faces of C, 3 attacks and 7 live faces of W
    assert [sorted(of_group[group]) for group in range(4)] == [[0] * 6 + [1] * 6, [3, 3], [2, 2, 2], [0] + [1] * 6]


def test_groups_take_turns_at_places_that_are_left_over():
    """Six places for four groups: two groups have two, and over two batches every group has three."""
    first, second, *_ = (groups_of(batch) for batch in batches(uneven_dataset(), balanced=True, batch_size=6))
    assert sorted(first) == sorted(second) == [1, 1, 2, 2]
    assert [a + b for a, b in zip(first, second, strict=True)] == [3, 3, 3, 3]


def test_balanced_batches_are_resumed_shared_and_differ_between_epochs():
    dataset = uneven_dataset()
    options = {"balanced": True, "batch_size": 8, "views": 2}
    whole = batches(dataset, **options)
    assert all(map(equal, whole[1:], batches(dataset, start_batch=1, **options)))
    assert [batch["id"] for batch in whole] != [batch["id"] for batch in batches(dataset, epoch=3, **options)]
    for of_one, of_other, together in zip(
        batches(dataset, share=(0, 2), **options), batches(dataset, share=(1, 2), **options), whole, strict=True
    ):
        assert groups_of(of_one) == groups_of(of_other) == [1, 1, 1, 1]
        assert together["id"][0::2] == of_one["id"] and together["id"][1::2] == of_other["id"]
    assert len(batches(dataset, balanced=True, batch_size=60)) == 1


def test_what_cannot_be_balanced_is_refused_with_a_reason():
    dataset = uneven_dataset()
    only_live = Subset(dataset, np.flatnonzero((dataset.labels == 1) | (np.array(dataset.domains) == "W")))
    with pytest.raises(ValueError, match="balanced batches need attacks of domain C, which has none"):
        batches(only_live, balanced=True)
    with pytest.raises(ValueError, match="of 4 groups need a batch_size of at least 4, got 3"):
        batches(dataset, balanced=True, batch_size=3)
    with pytest.raises(ValueError, match="balanced batches need shuffle=True"):
        batches(dataset, balanced=True, shuffle=False)


def test_a_second_view_is_another_draw_and_leaves_the_first_as_it_was():
    dataset = random_dataset("W", 20)
    one, two = batches(dataset), batches(dataset, views=2)
    assert all(map(equal, one, two))
    first, second = (torch.cat([pick(batch)["rgb"] for batch in two]) for pick in (dict, second_view))
    differing = (first != second).flatten(1).any(dim=1)
    assert differing.float().mean() > 0.5
    assert not all(torch.equal(batch["present"], second_view(batch)["present"]) for batch in two)
    assert all(torch.equal(second_view(batch)["label"], batch["label"]) for batch in two)
    plain = batches(dataset, views=2, augment=None)
    assert all(equal(batch, second_view(batch)) for batch in plain)
    parts = batches(dataset, views=2, batch_size=3)
    again = {name: image for batch in parts for name, image in zip(batch["id"], batch["second_rgb"], strict=True)}
    assert all(
        torch.equal(again[name], image)
        for batch in two
        for name, image in zip(batch["id"], batch["second_rgb"], strict=True)
    )
    with pytest.raises(ValueError, match="no second_rgb: train with two views"):
        second_view(one[0])


def test_channels_of_infrared_differ_where_each_has_its_own_jitter():
    dataset = random_dataset("W", 5)
    std = torch.tensor(CLIP_STD)[:, None, None]
    mean = torch.tensor(CLIP_MEAN)[:, None, None]
    for each in (False, True):
        augment = Augmentation(jitter_depth=each, per_copy=each)
        batch = make_batch(dataset.read(range(5)), source_domains=("W",), augment=augment)
        for modality in (Modality.DEPTH, Modality.INFRARED):
            grey = batch[modality.value] * std + mean  # 5 x 3 x H x W
            assert torch.allclose(grey[:, 0], grey[:, 1], atol=1e-5) != each
