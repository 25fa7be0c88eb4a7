"""Training samples with a spoilt region of known place: what certainty is taught from (`models.supervised_certainty`).

Which samples, where and how is a pure function of (seed, epoch, sample), as augmentation is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.augmentation import uniforms
from mmdg_lite.data.corruption import TRAINED, corrupt_image
from mmdg_lite.data.dataset import Samples
from mmdg_lite.modality import MODALITIES, Modality

FIRST = 2**33
"""Number of the first draw, beyond those of augmentation."""
DRAWS = 8
SIDES = (0.25, 1.0)
"""Shortest and longest side of a region, as a share of the image's: from an eye to the whole sensor."""


@dataclass(frozen=True, kw_only=True)
class Spoil:
    """One spoilt region: of which sample of the batch and which modality, where, and how."""

    row: int
    modality: Modality
    kind: str
    height: float  # shares of the image
    width: float
    top: float  # share of what the height leaves free
    left: float  # share of what the width leaves free
    seed: int  # of the random kinds

    def region(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """H x W booleans, true inside; at least one pixel."""
        inside = []
        for pixels, share, start in zip(size, (self.height, self.width), (self.top, self.left), strict=True):
            side = max(1, round(pixels * share))
            first = int(start * (pixels - side + 1))
            at = np.arange(pixels)
            inside.append((at >= first) & (at < first + side))
        rows, columns = inside
        return rows[:, None] & columns[None]  # H x W


def draw_spoils(
    keys: NDArray[np.uint64],
    present: NDArray[np.bool_],
    probability: float,
    *,
    seed: int,
    epoch: int,
    view: int = 0,
) -> list[Spoil]:
    """What is spoilt of a batch (keys: B, present: B x 3): of some samples, one modality that is there."""
    chance = uniforms(keys, seed=seed, epoch=epoch, first=FIRST + view * DRAWS, draws=DRAWS)  # B x DRAWS
    low, high = SIDES
    spoils = []
    for row, numbers in enumerate(chance.tolist()):
        there = [modality for modality in MODALITIES if present[row, modality.index]]
        whether, which, how, height, width, top, left, random = numbers
        if whether < probability and there:
            spoils.append(
                Spoil(
                    row=row,
                    modality=there[int(which * len(there))],
                    kind=TRAINED[int(how * len(TRAINED))],
                    height=low + (high - low) * height,
                    width=low + (high - low) * width,
                    top=top,
                    left=left,
                    seed=int(random * 2**53),
                )
            )
    return spoils


def spoil_samples(samples: Samples, spoils: Sequence[Spoil]) -> tuple[Samples, NDArray[np.bool_]]:
    """The samples with their regions spoilt, and the regions: B x 3 x H x W booleans."""
    images = {modality: getattr(samples, modality.value).copy() for modality in MODALITIES}
    spoilt = np.zeros((len(samples), len(MODALITIES), *samples.rgb.shape[-2:]), dtype=bool)
    for one in spoils:
        image = images[one.modality][one.row]  # C x H x W
        region = one.region((image.shape[-2], image.shape[-1]))
        images[one.modality][one.row] = corrupt_image(image, region, one.kind, np.random.default_rng(one.seed))
        spoilt[one.row, one.modality.index] = region
    changed: dict[str, Any] = {modality.value: image for modality, image in images.items()}
    return replace(samples, **changed), spoilt
