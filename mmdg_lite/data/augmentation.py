"""Augmentation as a pure function of (seed, epoch, sample): a resumed run sees the same stream, in any batch order.

Every random number comes from hashing (seed, epoch, sample key, number of the draw), so no generator has to be stored
in a checkpoint and neither the batch nor the worker that a sample falls into can matter.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.modality import MODALITIES, Modality

# numbers of the draws, so that two uses never share a random number
ORDER, FLIP, KEEP_ONE = 0, 1, 2
DROP = 3  # .. 5, one per modality
OFFSET = 6  # .. 10, one per channel: red, green, blue, depth, infrared
GAMMA = 11  # .. 13, one per modality
DRAWS = 14
COPIES = 2**32  # .. + 5, beyond the draws of every view and turn: offsets of depth's and infrared's three channels each
COPY_DRAWS = 6

Dropout = Literal["each", "together"]

CHANNELS = {Modality.RGB: slice(0, 3), Modality.DEPTH: slice(3, 4), Modality.INFRARED: slice(4, 5)}
CHANNELS_PER_COPY = {modality: slice(3 * modality.index, 3 * modality.index + 3) for modality in MODALITIES}


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to a training sample. The defaults are those of a sibling work of the paper's authors.

    The paper's own settings are not known to us; flip and jitter follow the sibling work, which jitters all images
    alike. Depth is left alone here: its values are distances, and 0 means that nothing was measured. `per_copy` with
    `jitter_depth` does as the sibling work: its depth and infrared images have three channels, each of an offset of
    its own, so that they are equal in the files and differ in training.
    """

    flip: float = 0.5  # probability of a horizontal flip, the same for the three modalities of a sample
    offset: float = 40.0  # largest additive jitter, in grey values of 0..255, drawn per channel
    gamma: tuple[float, float] = (0.5, 1.5)  # range of the exponent, drawn per modality
    jitter_rgb: bool = True  # offset and gamma on the colour image
    jitter_depth: bool = False  # offset and gamma on depth
    jitter_infrared: bool = True  # offset and gamma on infrared
    per_copy: bool = False  # an offset for each of the three channels that depth and infrared are repeated to
    modality_dropout: float = 0.0  # probability with which modalities are dropped; one is always left
    dropout: Dropout = "each"  # "each": every modality by itself; "together": depth and infrared at once, RGB never
    spoilt: float = 0.0  # probability that a region of one modality is spoilt (`spoiling`)

    def __post_init__(self) -> None:
        for name in ("flip", "modality_dropout", "spoilt"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"augmentation: {name} is a probability, got {getattr(self, name)}")
        if not 0 <= self.offset < math.inf:
            raise ValueError(f"augmentation: offset must be finite and not negative, got {self.offset}")
        if not 0.0 < self.gamma[0] <= self.gamma[1] < math.inf:
            raise ValueError(f"augmentation: gamma is a range of positive finite exponents, got {self.gamma}")

    def jitters(self, modality: Modality) -> bool:
        """True if offset and gamma apply to this modality."""
        return bool(getattr(self, f"jitter_{modality.value}"))


@dataclass(frozen=True)
class Draw:
    """What augmentation does to a batch of B samples."""

    flip: NDArray[np.bool_]  # B
    present: NDArray[np.bool_]  # B x 3, in the modalities' usual order
    # B x 5 x 256: grey value in, value of 0..1 out; red, green, blue, depth, infrared. B x 9 x 256 where depth and
    # infrared have three channels each
    levels: NDArray[np.float32]

    def levels_of(self, modality: Modality) -> NDArray[np.float32]:
        """B x C x 256 of one modality, C = 1 where one table is meant for all channels."""
        channels = CHANNELS if self.levels.shape[1] == 5 else CHANNELS_PER_COPY
        return self.levels[:, channels[modality]]


def sample_keys(ids: Sequence[str]) -> NDArray[np.uint64]:
    """A 64-bit key per sample id, the same on every machine and in every run; names of files may hold any bytes."""
    digests = (hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in ids)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def uniforms(
    keys: NDArray[np.uint64], *, seed: int, epoch: int, first: int = 0, draws: int = DRAWS
) -> NDArray[np.float64]:
    """B x draws numbers of [0, 1): a hash of (seed, epoch, key, number of the draw), by rounds of splitmix64."""
    with np.errstate(over="ignore"):
        state = _mix(np.uint64(seed % 2**64) + _mix(np.uint64(epoch % 2**64)))
        state = _mix(state ^ keys)[:, None] + _mix(np.arange(first, first + draws, dtype=np.uint64))[None]  # B x draws
        return (_mix(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def order(keys: NDArray[np.uint64], *, seed: int, epoch: int, turn: int = 0) -> NDArray[np.int64]:
    """The shuffled order of the samples in one epoch: sorted by a random number each, equal ones as they stood.

    `turn`: which time it is that the epoch goes through these samples; each has an order of its own.
    """
    return np.argsort(uniforms(keys, seed=seed, epoch=epoch, first=turn * DRAWS + ORDER, draws=1)[:, 0], kind="stable")


def draw(
    augmentation: Augmentation,
    keys: NDArray[np.uint64],
    present: NDArray[np.bool_],
    *,
    seed: int,
    epoch: int,
    view: int = 0,
) -> Draw:
    """Decide for every sample of a batch (keys: B, present: B x 3) what happens to it in a view of it."""
    chance = uniforms(keys, seed=seed, epoch=epoch, first=view * DRAWS)  # B x DRAWS
    offsets = chance[:, OFFSET : OFFSET + 5]
    if augmentation.per_copy:
        first = COPIES + view * COPY_DRAWS
        copies = uniforms(keys, seed=seed, epoch=epoch, first=first, draws=COPY_DRAWS)
        offsets = np.concatenate([offsets[:, :3], copies], axis=1)  # B x 9
    drop, rate = chance[:, DROP : DROP + 3], augmentation.modality_dropout
    return Draw(
        flip=chance[:, FLIP] < augmentation.flip,
        present=(
            drop_together(present, drop[:, 0], rate)
            if augmentation.dropout == "together"
            else drop_modalities(present, drop, chance[:, KEEP_ONE], rate)
        ),
        levels=_levels(augmentation, offsets, chance[:, GAMMA : GAMMA + 3]),
    )


def drop_modalities(
    present: NDArray[np.bool_], chance: NDArray[np.float64], keep: NDArray[np.float64], rate: float
) -> NDArray[np.bool_]:
    """Drop each present modality where chance (B x 3) < rate; if none would be left, keep one, chosen by `keep` (B).

    A sample that had no modality to begin with stays as it is.
    """
    left = present & (chance >= rate)
    emptied = ~left.any(axis=1) & present.any(axis=1)
    rank = np.cumsum(present, axis=1) - 1  # B x 3: position among the present ones
    kept: NDArray[np.bool_] = present & (rank == np.floor(keep * present.sum(axis=1))[:, None])
    left[emptied] = kept[emptied]
    return left


def drop_together(present: NDArray[np.bool_], chance: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Drop depth and infrared at once where chance (B) < rate; a sample without a colour image stays as it is."""
    dropped = (chance < rate) & present[:, Modality.RGB.index]  # B
    others = np.array([modality is not Modality.RGB for modality in MODALITIES])  # 3
    left: NDArray[np.bool_] = present & ~(dropped[:, None] & others)
    return left


def plain_levels() -> NDArray[np.float32]:
    """1 x 5 x 256: grey values 0..255 as 0..1, for every channel: what an image is without augmentation."""
    return np.tile(np.arange(256, dtype=np.float32) / np.float32(255), (1, 5, 1))


def _levels(
    augmentation: Augmentation, offsets: NDArray[np.float64], gamma: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(clip(value + offset) / 255) ** gamma as a table, since an image has only 256 grey values.

    Offsets, B x K with K = 5 or 9 channels, and gamma, B x 3 modalities, are random numbers of 0..1. Returns
    B x K x 256.
    """
    batch, count = offsets.shape
    levels = np.tile(plain_levels()[:, :1], (batch, count, 1))  # B x K x 256
    low, high = augmentation.gamma
    channels_of = CHANNELS_PER_COPY if augmentation.per_copy else CHANNELS
    for modality in MODALITIES:
        if not augmentation.jitters(modality):
            continue
        channels = channels_of[modality]
        exponent = low + (high - low) * gamma[:, modality.index]  # B
        shift = (2 * offsets[:, channels] - 1) * (augmentation.offset / 255)  # B x channels
        shifted = np.clip(levels[:, channels] + shift[..., None], 0, 1).astype(np.float32)
        levels[:, channels] = shifted ** exponent.astype(np.float32)[:, None, None]
    return levels


def _mix(value: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), element by element, modulo 2**64."""
    with np.errstate(over="ignore"):
        value = np.asarray(value, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))
