"""Speed of the input pipeline beside the models' own, printed: `pytest -m slow -s tests/benchmarks`.

Seconds are the process's own time on one thread, so that other programs on the machine disturb little.
"""

import time

import numpy as np
import pytest
import torch

from data_prep.synthetic import synthetic
from mmdg_lite.data.augmentation import Augmentation
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.loader import loader
from mmdg_lite.data.real.stored import CachedDataset, ManifestDataset
from mmdg_lite.data.synthetic import benchmark_split
from mmdg_lite.models.builder import build
from mmdg_lite.runs.config import configure

pytestmark = pytest.mark.slow
SAMPLES, BATCH = 64, 16


def stream(dataset, *, workers=0):
    options = {
        "batch_size": BATCH,
        "seed": 0,
        "augment": Augmentation(),
        "source_domains": ("C", "P", "S"),
        "shuffle": True,
    }
    return loader(dataset, epoch=0, workers=workers, **options)


def triplets_per_second(dataset, repeats=3):
    """The best of some epochs, in triplets per second of one thread's time."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        count = sum(len(batch["id"]) for batch in stream(dataset))
        seconds.append(time.process_time() - start)
    return count / min(seconds)


@pytest.fixture(scope="module", params=[64, 224])
def datasets(request, tmp_path_factory):
    size = request.param
    folder = tmp_path_factory.mktemp(str(size))
    counts = {"train": SAMPLES, "val": 1, "test": 1}
    for format in ("png", "jpg"):
        synthetic(folder / format, domain="C", samples=counts, size=size, format=format, progress=False)
    stored = {format: ManifestDataset(folder / format, "train", size=size) for format in ("png", "jpg")}
    resized = ManifestDataset(folder / "png", "train", size=size - size // 8)
    memory = ArrayDataset.from_faces(benchmark_split("C", "train", SAMPLES, 0, size=size), domain="C", split="train")
    return size, {
        "in memory": memory,
        "memory map": CachedDataset(stored["png"], progress=False),
        "png decoded": stored["png"],
        "jpg decoded": stored["jpg"],
        f"png decoded, resized to {size - size // 8}": resized,
    }


def test_input_pipeline(datasets):
    size, sources = datasets
    torch.set_num_threads(1)
    for name, dataset in sources.items():
        speed = triplets_per_second(dataset)
        print(f"\n{size} px, {name}: {speed:.0f} triplets/s, {3 * speed:.0f} images/s per core", end="")
        assert speed > 0


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers(datasets, workers):
    size, sources = datasets
    start = time.perf_counter()
    batches = list(stream(sources["png decoded"], workers=workers))
    seconds = time.perf_counter() - start
    print(
        f"\n{size} px, png decoded, {workers} workers: {SAMPLES / seconds:.0f} triplets/s by the clock, start included",
        end="",
    )
    assert sum(len(batch["id"]) for batch in batches) == SAMPLES


@pytest.mark.parametrize("size", [64, 224])
def test_models_own_speed(size):
    """Forward and backward pass of MMDG++ on one batch that is in memory: tiny CLIP at 64 px, ViT-B/16 at 224."""
    torch.set_num_threads(1)
    dataset = ArrayDataset.from_faces(benchmark_split("C", "train", BATCH, 0, size=size), domain="C", split="train")
    count = BATCH if size == 64 else 2
    (batch, *_) = loader(
        dataset, batch_size=count, seed=0, epoch=0, augment=None, source_domains=("C", "P", "S"), shuffle=True
    )
    more = {} if size == 64 else {"clip": "ViT-B-16", "clip_checkpoint": "random"}
    model = build(configure("quick", model=more).model)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        output = model(batch)
        (output.logits.sum() + output.modality_logits.sum()).backward()
        seconds.append(time.process_time() - start)
    print(f"\n{size} px, MMDG++ forward and backward: {count / min(seconds):.1f} triplets/s per core", end="")
    assert np.isfinite(seconds).all()
