"""Batches for training and testing: augmented, normalised, in an order that depends on seed and epoch alone."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmdg_lite.data.augmentation import Augmentation, Draw, draw, order, plain_levels, sample_keys
from mmdg_lite.data.dataset import FaceDataset, Images, Samples, stack
from mmdg_lite.data.spoiling import draw_spoils, spoil_samples
from mmdg_lite.modality import CLIP_MEAN, CLIP_STD, MODALITIES, SECOND, Batch, Modality


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
    views: int = 1,
) -> Batch:
    """Augment, normalise and repeat channels, a whole batch at a time.

    `missing` modalities are taken away from every sample (protocols P2 and P5 at test). `keys` are the samples' keys
    where they are known already. The second of two `views` is another draw of the same augmentation.
    """
    present = samples.present.copy()
    present[:, [modality.index for modality in missing]] = False
    keys = sample_keys(samples.ids) if keys is None else keys
    position = {letter: number for number, letter in enumerate(source_domains)}
    batch: Batch = {
        "label": torch.from_numpy(samples.label),
        "domain": torch.tensor([position.get(letter, -1) for letter in samples.domains], dtype=torch.int64),
        "id": list(samples.ids),
        "species": list(samples.species),
    }
    for view in range(views):
        prefix = SECOND if view else ""
        if augment is None:
            decided = Draw(flip=np.zeros(len(samples), dtype=bool), present=present, levels=plain_levels())
        else:
            decided = draw(augment, keys, present, seed=seed, epoch=epoch, view=view)
        shown = samples
        if augment is not None and augment.spoilt:
            spoils = draw_spoils(keys, decided.present, augment.spoilt, seed=seed, epoch=epoch, view=view)
            shown, regions = spoil_samples(samples, spoils)
            regions[decided.flip] = regions[decided.flip, ..., ::-1]
            batch[f"{prefix}spoilt"] = torch.from_numpy(regions)
        for modality in MODALITIES:
            images = getattr(shown, modality.value)
            batch[prefix + modality.value] = _normalised(images, modality, decided)
        batch[f"{prefix}present"] = torch.from_numpy(decided.present)
    return batch


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
    balanced: bool = False,
    views: int = 1,
) -> "BatchLoader":
    """The batches of one epoch, from number `start_batch` on.

    With `share` = (r, R), of each batch only the samples at places r, r + R, ...: what one of R ranks has of it.
    `balanced`: see `balanced_order`. `views`: see `make_batch`.

    Order and augmentation are a pure function of (seed, epoch, sample id): a run that resumes in the middle of an
    epoch with `start_batch` sees exactly the batches it would have seen, whatever the number of workers.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if len(dataset) == 0:
        raise ValueError(f"the data set of domain {dataset.domain or '?'} is empty")
    if balanced and not shuffle:
        raise ValueError("balanced batches need shuffle=True")
    if balanced:
        sequence = balanced_order(dataset, source_domains, batch_size=batch_size, seed=seed, epoch=epoch)
    elif shuffle:
        sequence = order(dataset.keys, seed=seed, epoch=epoch)
    else:
        sequence = np.arange(len(dataset), dtype=np.int64)
    chunks = [sequence[start : start + batch_size] for start in range(0, len(sequence), batch_size)]
    if drop_last and len(chunks[-1]) < batch_size:
        chunks.pop()
    if not 0 <= start_batch <= len(chunks):
        raise ValueError(f"start_batch {start_batch} is beyond the {len(chunks)} batches of an epoch")
    options = {"source_domains": tuple(source_domains), "augment": augment, "missing": tuple(missing), "views": views}
    first, of = share
    own = [chunk[first::of] for chunk in chunks[start_batch:]]
    batches = _Batches(dataset, own, options | {"seed": seed, "epoch": epoch})
    return BatchLoader(batches, workers=workers, pin_memory=pin_memory)


def balanced_order(
    dataset: FaceDataset, source_domains: Sequence[str], *, batch_size: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """The samples of one epoch, in an order whose batches hold every group in equal numbers.

    A group is the live faces, or the attacks, of one source domain. If the groups do not divide the batch size, they
    take turns at the places that are left over: no group has more than one sample more than another. An epoch has as
    many whole batches as without balancing (at least one). A group that is used up begins anew, in another order, and
    of one that is too large for the epoch some samples wait for another.

    Returns:
        Positions in the data set, batch after batch; within a batch, group after group.

    Raises:
        ValueError: a source domain without live faces or without attacks, or fewer places in a batch than groups.
    """
    domains = np.asarray(dataset.domains)
    groups = [
        np.flatnonzero((domains == letter) & (dataset.labels == label)) for letter in source_domains for label in (1, 0)
    ]
    for number, group in enumerate(groups):
        if len(group) == 0:
            kind = "attacks" if number % 2 else "live faces"
            raise ValueError(f"balanced batches need {kind} of domain {source_domains[number // 2]}, which has none")
    if batch_size < len(groups):
        raise ValueError(
            f"balanced batches of {len(groups)} groups need a batch_size of at least {len(groups)}, got {batch_size}"
        )
    each, left_over = divmod(batch_size, len(groups))
    sequences = [_endless(group, dataset.keys[group], seed=seed, epoch=epoch) for group in groups]
    rows: list[int] = []
    for batch in range(max(1, len(dataset) // batch_size)):
        for number, sequence in enumerate(sequences):
            turn = (number - batch * left_over) % len(groups) < left_over
            rows += islice(sequence, each + turn)
    return np.array(rows, dtype=np.int64)


def _endless(group: NDArray[np.int64], keys: NDArray[np.uint64], *, seed: int, epoch: int) -> Iterator[int]:
    """The samples of a group in shuffled order, again and again, each time in another order."""
    for turn in count():
        yield from group[order(keys, seed=seed, epoch=epoch, turn=turn)].tolist()


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
    levels = decided.levels_of(modality)  # B or 1 x C x 256
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
