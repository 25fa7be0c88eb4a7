"""Batches for training and testing: augmented, normalised, in an order that depends on seed and epoch alone."""

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmdg_lite.data.augmentation import CHANNELS, Augmentation, Draw, draw, order, plain_levels, sample_keys
from mmdg_lite.data.dataset import FaceDataset, Images, Samples, stack
from mmdg_lite.modality import MODALITIES, Modality

CLIP_MEAN: tuple[float, float, float] = OPENAI_DATASET_MEAN
"""Mean of CLIP's training images (Radford et al. 2021): red, green, blue, for values of 0..1."""
CLIP_STD: tuple[float, float, float] = OPENAI_DATASET_STD
"""Their standard deviation."""


class Batch(TypedDict):
    """A batch as models take it."""

    rgb: Tensor  # B x 3 x H x W float32, normalised with CLIP's mean and deviation; zeros where missing
    depth: Tensor  # B x 3 x H x W float32, one channel repeated
    infrared: Tensor  # B x 3 x H x W float32, one channel repeated
    present: Tensor  # B x 3 bool
    label: Tensor  # B int64, 1 live, 0 spoof
    domain: Tensor  # B int64, position among the source domains, -1 for any other domain
    id: list[str]
    species: list[str]


def collate(samples: Sequence[dict[str, Any]], *, source_domains: Sequence[str]) -> Batch:
    """Samples (dictionaries) as a batch, without augmentation: for a DataLoader of one's own."""
    return make_batch(stack(samples), source_domains=source_domains)


def make_batch(
    samples: Samples,
    *,
    source_domains: Sequence[str],
    augment: Augmentation | None = None,
    seed: int = 0,
    epoch: int = 0,
    missing: Sequence[Modality] = (),
    keys: NDArray[np.uint64] | None = None,
) -> Batch:
    """Augment, normalise and repeat channels, a whole batch at a time.

    `missing` modalities are taken away from every sample (protocols P2 and P5 at test). `keys` are the samples' keys
    where they are known already.
    """
    present = samples.present.copy()
    present[:, [modality.index for modality in missing]] = False
    if augment is None:
        decided = Draw(flip=np.zeros(len(samples), dtype=bool), present=present, levels=plain_levels())
    else:
        keys = sample_keys(samples.ids) if keys is None else keys
        decided = draw(augment, keys, present, seed=seed, epoch=epoch)
    position = {letter: number for number, letter in enumerate(source_domains)}
    images = {
        modality.value: _normalised(getattr(samples, modality.value), modality, decided) for modality in MODALITIES
    }
    return Batch(
        rgb=images["rgb"],
        depth=images["depth"],
        infrared=images["infrared"],
        present=torch.from_numpy(decided.present),
        label=torch.from_numpy(samples.label),
        domain=torch.tensor([position.get(letter, -1) for letter in samples.domains], dtype=torch.int64),
        id=list(samples.ids),
        species=list(samples.species),
    )


def loader(
    dataset: FaceDataset,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    augment: Augmentation | None,
    source_domains: Sequence[str],
    shuffle: bool,
    workers: int = 0,
    drop_last: bool = False,
    start_batch: int = 0,
    missing: Sequence[Modality] = (),
    pin_memory: bool = False,
    share: tuple[int, int] = (0, 1),
) -> "BatchLoader":
    """The batches of one epoch, from number `start_batch` on.

    With `share` = (r, R), of each batch only the samples at places r, r + R, ...: what one of R ranks has of it.

    Order and augmentation are a pure function of (seed, epoch, sample id): a run that resumes in the middle of an
    epoch with `start_batch` sees exactly the batches it would have seen, whatever the number of workers.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if len(dataset) == 0:
        raise ValueError(f"the data set of domain {dataset.domain or '?'} is empty")
    sequence = order(dataset.keys, seed=seed, epoch=epoch) if shuffle else np.arange(len(dataset), dtype=np.int64)
    chunks = [sequence[start : start + batch_size] for start in range(0, len(sequence), batch_size)]
    if drop_last and len(chunks[-1]) < batch_size:
        chunks.pop()
    if not 0 <= start_batch <= len(chunks):
        raise ValueError(f"start_batch {start_batch} is beyond the {len(chunks)} batches of an epoch")
    options = {"source_domains": tuple(source_domains), "augment": augment, "missing": tuple(missing)}
    first, of = share
    own = [chunk[first::of] for chunk in chunks[start_batch:]]
    batches = _Batches(dataset, own, options | {"seed": seed, "epoch": epoch})
    return BatchLoader(batches, workers=workers, pin_memory=pin_memory)


class BatchLoader:
    """Iterable over the batches of one epoch; `len` is their number."""

    def __init__(self, batches: "_Batches", *, workers: int, pin_memory: bool) -> None:
        self._batches, self._workers, self._pin_memory = batches, workers, pin_memory

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        if self._workers == 0 and not self._pin_memory:
            return (self._batches[number] for number in range(len(self)))
        return iter(
            DataLoader(
                self._batches,
                batch_size=None,  # an item of the data set is a batch already
                num_workers=self._workers,
                pin_memory=self._pin_memory,
                generator=torch.Generator().manual_seed(0),  # else the global generator would be drawn from
            )
        )


class _Batches(Dataset):
    """The batches of an epoch by number, so that torch's worker processes can each make whole batches."""

    def __init__(self, dataset: FaceDataset, chunks: list[NDArray[np.int64]], options: dict[str, Any]) -> None:
        self.dataset, self.chunks, self.options = dataset, chunks, options

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> Batch:
        rows = self.chunks[number]
        return make_batch(self.dataset.read(rows), keys=self.dataset.keys[rows], **self.options)


def _normalised(images: Images, modality: Modality, decided: Draw) -> Tensor:
    """uint8 B x C x H x W, C 1 or 3, to float32 B x 3 x H x W: flipped, jittered, normalised; zeros where missing.

    Jitter and normalisation are one table of 256 values per sample and channel, so each pixel costs one look-up.
    """
    mean, std = (np.asarray(values, dtype=np.float32)[:, None] for values in (CLIP_MEAN, CLIP_STD))  # 3 x 1
    levels = decided.levels[:, CHANNELS[modality]]  # B or 1 x C x 256
    tables = (levels - mean) / std  # B or 1 x 3 x 256
    batch, channels, height, width = images.shape
    out = np.zeros((batch, 3, height, width), dtype=np.float32)
    for row in np.flatnonzero(decided.present[:, modality.index]):
        table = tables[row if len(tables) > 1 else 0]
        for channel in range(3):
            plane = images[row, channel if channels == 3 else 0]
            plane = plane[:, ::-1] if decided.flip[row] else plane
            np.take(table[channel], plane, out=out[row, channel], mode="clip")
    return torch.from_numpy(out)
