"""Converted data as data sets: decoded, resized, missing modalities, memory map."""

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_prep.synthetic import synthetic
from mmdg_lite.data.augmentation import Augmentation
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.loader import loader
from mmdg_lite.data.real.manifest import ManifestError, read_manifest, write_manifest
from mmdg_lite.data.real.stored import CachedDataset, ManifestDataset
from mmdg_lite.data.synthetic import benchmark_split


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "S"
    synthetic(out, domain="S", samples={"train": 9, "val": 4, "test": 3}, seed=5, size=32, progress=False)
    return out


def same(first, second):
    return first.ids == second.ids and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("rgb", "depth", "infrared", "label", "present")
    )


def test_a_synthetic_domain_on_disk_is_the_one_in_memory(folder):
    for split, count in (("train", 9), ("val", 4), ("test", 3)):
        stored = ManifestDataset(folder, split, size=32)
        faces = benchmark_split("S", split, count, 5, size=32)
        memory = ArrayDataset.from_faces(faces, domain="S", split=split)
        assert same(stored.read(range(count)), memory.read(range(count)))
        assert stored.species == memory.species and stored.domain == "S"
        assert [row.subject for row in stored.rows] == list(faces.subject)


def test_images_are_resized_when_asked(folder):
    small = ManifestDataset(folder, "train", size=16)
    native = ManifestDataset(folder, "train", size=32)
    picture = Image.fromarray(native[3]["rgb"].transpose(1, 2, 0)).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(small[3]["rgb"], np.asarray(picture).transpose(2, 0, 1))
    assert small[3]["depth"].shape == (1, 16, 16)


def test_holes_of_depth_stay_holes_when_images_are_resized(folder):
    native, small = (ManifestDataset(folder, "train", size=size).read(range(9)).depth for size in (32, 16))
    whole = native.reshape(9, 1, 16, 2, 16, 2)
    assert (whole == 0).any()
    assert not small[(whole == 0).all(axis=(3, 5))].any()  # all four pixels are holes
    beside = (whole == 0).any(axis=(3, 5)) & (small > 0)
    assert beside.any()
    darkest = np.where(whole > 0, whole, 255).min(axis=(3, 5))
    assert np.mean(small[beside] >= darkest[beside].astype(int) - 20) > 0.95  # holes darken no neighbour


def test_a_file_that_only_calls_itself_png_is_not_opened(folder, tmp_path):
    rows = read_manifest(folder)
    write_manifest(tmp_path / "manifest.csv", rows)
    path = tmp_path / ManifestDataset(folder, "train", size=32).rows[0].rgb
    path.parent.mkdir(parents=True)
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n")
    with pytest.raises(OSError, match="cannot be decoded"):
        ManifestDataset(tmp_path, "train", size=32)[0]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        ManifestDataset(tmp_path, "train", size=32)[0]


def test_species_can_be_chosen(folder):
    everything = ManifestDataset(folder, "train", size=32)
    attack = next(name for name in everything.species if name != "live")
    chosen = ManifestDataset(folder, "train", size=32, species=["live", attack])
    assert set(chosen.species) == {"live", attack}
    with pytest.raises(ValueError, match="no samples of species nothing in split 'train'"):
        ManifestDataset(folder, "train", species=["nothing"])


def test_the_memory_map_holds_the_same_and_is_filled_once(folder, tmp_path, capsys):
    plain = ManifestDataset(folder, "train", size=32)
    cached = CachedDataset(plain, folder=tmp_path)
    assert same(cached.read([8, 0, 3, 3]), plain.read([8, 0, 3, 3]))
    capsys.readouterr()
    again = CachedDataset(ManifestDataset(folder, "train", size=32), folder=tmp_path)
    assert "decoding" not in capsys.readouterr().err
    assert same(again.read([2]), plain.read([2]))
    assert len(list(tmp_path.iterdir())) == 1
    assert cached.labels.tolist() == [row.label for row in plain.rows]


def test_a_memory_map_travels_to_workers_as_its_folder(folder, tmp_path):
    cached = CachedDataset(ManifestDataset(folder, "train", size=32), folder=tmp_path)
    content = pickle.dumps(cached)
    assert len(content) < 20_000
    assert same(pickle.loads(content).read([1, 2]), cached.read([1, 2]))
    options = {
        "batch_size": 4,
        "seed": 0,
        "epoch": 0,
        "augment": Augmentation(),
        "source_domains": ("S",),
        "shuffle": True,
    }
    first, second = (list(loader(cached, **options, workers=workers)) for workers in (0, 1))
    assert [batch["id"] for batch in first] == [batch["id"] for batch in second]
    assert all((a["rgb"] == b["rgb"]).all() for a, b in zip(first, second, strict=True))


def test_a_changed_conversion_gets_its_own_memory_map(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "images").symlink_to(folder / "images")
    rows = read_manifest(folder)
    write_manifest(copy / "manifest.csv", rows)
    CachedDataset(ManifestDataset(copy, "val", size=32))
    write_manifest(copy / "manifest.csv", rows[:-1])
    CachedDataset(ManifestDataset(copy, "test", size=32))
    assert len(list((copy / "cache").iterdir())) == 2
    write_manifest(copy / "manifest.csv", rows)
    assert len(CachedDataset(ManifestDataset(copy, "test", size=32))) == 3
    assert len(list((copy / "cache").iterdir())) == 3


def test_missing_modalities_are_zeros_and_said_to_be(folder, tmp_path):
    rows = read_manifest(folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "images").symlink_to(folder / "images")
    write_manifest(copy / "manifest.csv", [replace(rows[0], depth="", depth_sha256=""), *rows[1:]])
    for dataset in (ManifestDataset(copy, "train", size=32), CachedDataset(ManifestDataset(copy, "train", size=32))):
        samples = dataset.read([0, 1])
        assert samples.present.tolist() == [[True, False, True], [True, True, True]]
        assert not samples.depth[0].any() and samples.depth[1].any()


def test_an_image_that_cannot_be_decoded_is_named(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    write_manifest(copy / "manifest.csv", read_manifest(folder))
    with pytest.raises(OSError, match=r"S-train-00000-rgb\.png: .*cannot be decoded"):
        ManifestDataset(copy, "train", size=32)[0]
    path = copy / ManifestDataset(copy, "train", size=32).rows[0].rgb
    path.parent.mkdir(parents=True)
    path.write_bytes((folder / "images/train/000/S-train-00000-rgb.png").read_bytes()[:200])
    with pytest.raises(OSError, match="verify"):
        ManifestDataset(copy, "train", size=32)[0]
    with pytest.raises(OSError, match="verify"):
        CachedDataset(ManifestDataset(copy, "train", size=32))
    assert not list((copy / "cache").iterdir())


def test_a_tampered_manifest_does_not_load(folder, tmp_path):
    text = (folder / "manifest.csv").read_text().replace(",live,", ",print,", 1)
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ManifestError):
        ManifestDataset(tmp_path, "train")
