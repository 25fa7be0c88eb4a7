"""Simple measures of what a sensor failed to see, for reports and quality checks."""

import numpy as np
from numpy.typing import NDArray

SATURATED = 250  # grey value from which a pixel counts as saturated
BORDER = 16  # grey value up to which a pixel counts as black border; JPEG leaves a little noise in black


def hole_fraction(depth: NDArray[np.uint8]) -> float:
    """Fraction of pixels without a depth measurement (value 0), 0..1."""
    return float(np.mean(depth == 0))


def saturated_fraction(infrared: NDArray[np.uint8]) -> float:
    """Fraction of pixels that are as good as white (250 and above), 0..1."""
    return float(np.mean(infrared >= SATURATED))


def content_box(image: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """The smallest box (top, bottom, left, right; ends excluded) around all pixels brighter than a black border.

    `image` is H x W x C. None if the whole image is as dark as a border.
    """
    bright = image.max(axis=2) > BORDER  # H x W
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
