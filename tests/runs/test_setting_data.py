"""What a run trains, validates and tests on, rendered, cached or left out."""

import numpy as np
import pytest

from data_prep.__main__ import main as data_prep
from data_prep.miniatures import miniature
from mmdg_lite.data.dataset import Subset
from mmdg_lite.data.real.species import LIVE
from mmdg_lite.runs.config import DataConfig, configure
from mmdg_lite.runs.setting_data import check_classes, load_domain, load_setting

COUNTS = {"train_samples": 24, "validation_samples": 16, "test_samples": 40}
SMALL = {"size": 16, **COUNTS}


def same(first, second):
    assert first.ids == second.ids and first.species == second.species and first.domains == second.domains
    a, b = (dataset.read(range(len(dataset))) for dataset in (first, second))
    for name in ("rgb", "depth", "infrared", "present", "label"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert getattr(a, name).dtype == getattr(b, name).dtype


def test_sources_train_and_validate_and_targets_test():
    data = load_setting(configure("quick", data=SMALL), progress=False)
    assert (data.train.domain, data.validation.domain, list(data.tests)) == ("CPS", "CPS", ["W"])
    assert (len(data.train), len(data.validation), len(data.tests["W"])) == (3 * 24, 3 * 16, 40)
    ids = [*data.train.ids, *data.validation.ids, *data.tests["W"].ids]
    assert len(set(ids)) == len(ids)


def test_limited_sources_test_on_both_targets():
    config = configure("quick", protocol="P3", setting="CW->PS", data=SMALL)
    data = load_setting(config, progress=False)
    assert data.train.domain == "CW"
    assert {letter: dataset.domain for letter, dataset in data.tests.items()} == {"P": "P", "S": "S"}


def test_a_left_out_species_is_neither_trained_nor_validated_on_and_alone_tested():
    config = configure("quick", protocol="P4", setting="W without print", data=SMALL | {"train_samples": 60})
    data, whole = load_setting(config, progress=False), load_domain(config.data, "W", "train")
    assert "print" in whole.species
    assert "print" not in data.train.species and "print" not in data.validation.species
    assert set(data.train.species) == set(whole.species) - {"print"}
    assert set(data.tests["W"].species) == {LIVE, "print"}


def test_a_cache_gives_the_very_same_samples(tmp_path):
    plain, cached = DataConfig(**SMALL), DataConfig(**SMALL, cache=str(tmp_path))
    fresh = load_domain(plain, "C", "val")
    same(load_domain(cached, "C", "val"), fresh)
    [stored] = tmp_path.iterdir()
    written = stored.stat().st_mtime_ns
    same(load_domain(cached, "C", "val"), fresh)
    assert stored.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"size": 24}, {"validation_samples": 20}], ids=["seed", "size", "number"]
)
def test_samples_of_other_settings_are_cached_apart(change, tmp_path):
    load_domain(DataConfig(**SMALL, cache=str(tmp_path)), "C", "val")
    other = SMALL | change
    same(
        load_domain(DataConfig(**other, cache=str(tmp_path)), "C", "val"), load_domain(DataConfig(**other), "C", "val")
    )
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content.replace(b"ids", b"idz"),
    ],
    ids=["truncated", "empty", "renamed"],
)
def test_a_damaged_cache_is_named(damage, tmp_path):
    config = DataConfig(**SMALL, cache=str(tmp_path))
    load_domain(config, "S", "test")
    [stored] = tmp_path.iterdir()
    stored.write_bytes(damage(stored.read_bytes()))
    with pytest.raises(ValueError, match="not a readable cache of rendered samples") as refusal:
        load_domain(config, "S", "test")
    assert str(stored) in str(refusal.value) and "delete it" in str(refusal.value)


def test_absent_converted_data_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "C")):
        load_setting(configure("quick", data_root=str(tmp_path), data=SMALL), progress=False)


def test_a_folder_of_another_domain_is_refused(tmp_path):
    source, lists = miniature("C", tmp_path, live=2, spoof=2)
    paths = ["--source", str(source), "--lists", str(lists), "--out", str(tmp_path / "data")]
    assert data_prep(["cefa", *paths, "--workers", "0", "--size", "64"]) == 0
    (tmp_path / "data" / "C").rename(tmp_path / "data" / "W")
    with pytest.raises(ValueError, match="W holds domain C, not W"):
        load_domain(DataConfig(root=str(tmp_path / "data")), "W", "test")


@pytest.mark.parametrize("label, absent", [(1, "no attacks among 24"), (0, "no live faces among 16")])
def test_a_list_of_one_class_is_refused(label, absent):
    whole = load_domain(DataConfig(**SMALL), "S", "test")
    with pytest.raises(ValueError, match=f"the test list of S has {absent} samples"):
        check_classes(Subset(whole, np.flatnonzero(whole.labels == label)), "test")
