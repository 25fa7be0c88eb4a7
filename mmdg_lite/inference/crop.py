"""Finding the face in a colour picture, and cutting one box out of all registered modalities.

The detector is scikit-image's cascade of local binary patterns for frontal faces, which comes with that library (Zhang
et al., "Face Detection Based on Multi-Block LBP Representation", ICB 2007).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from mmdg_lite.data.real.decode import Pixels
from mmdg_lite.modality import Modality

MARGIN = 0.3
"""Share of the found face's side that is added on every side of it."""
LARGEST_MARGIN = 2.0
SAME_RATIO = 0.02
"""Share by which the ratios of two pictures' sides may differ, as rounded sizes do, if they show the same view."""
SMALLEST = 24
"""Pixels, side of the smallest face that the detector knows."""
SMALLEST_SHARE = 0.1
"""Share of the picture's shorter side below which no face is looked for: such are too small to be judged."""
AGREEING = 8
"""Overlapping detections that make a face; with scikit-image's 4 a brick wall has some."""
LARGEST_SIDE = 640
"""Pixels; larger pictures are searched in every second, third, ... pixel, since the detector is slow."""


@dataclass(frozen=True)
class Box:
    """A square in shares of a picture's height and width: top and left corner, height and width."""

    top: float
    left: float
    height: float
    width: float


def find_face(rgb: Pixels) -> Box | None:
    """The largest frontal face in an upright colour picture H x W x 3, None if none is found."""
    step = max(1, -(-max(rgb.shape[:2]) // LARGEST_SIDE))
    seen = np.ascontiguousarray(rgb[::step, ::step])
    height, width = seen.shape[:2]
    smallest = max(SMALLEST, int(SMALLEST_SHARE * min(height, width)))
    if min(height, width) <= smallest:
        return None
    found = _detector().detect_multi_scale(
        img=seen,
        scale_factor=1.2,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=(min(height, width), min(height, width)),
        min_neighbor_number=AGREEING,
    )
    if not found:
        return None
    face = max(found, key=lambda box: box["width"])
    return Box(face["r"] / height, face["c"] / width, face["height"] / height, face["width"] / width)


def checked_margin(margin: float) -> float:
    """The margin. Raises `ValueError` for one below 0, above LARGEST_MARGIN, or NaN."""
    if not 0 <= margin <= LARGEST_MARGIN:
        raise ValueError(f"margin must lie between 0 and {LARGEST_MARGIN:g}, got {margin:g}")
    return float(margin)


def with_margin(face: Box, shape: tuple[int, ...], margin: float = MARGIN) -> Box:
    """A square box around a face in a picture of that shape, H x W..., enlarged by `margin` on every side.

    Near the border it is moved inside, and made smaller only where the picture is smaller than the box.
    """
    rows, columns = shape[:2]
    side = min(max(face.height * rows, face.width * columns) * (1 + 2 * margin), rows, columns)
    top = np.clip((face.top + face.height / 2) * rows - side / 2, 0, rows - side)
    left = np.clip((face.left + face.width / 2) * columns - side / 2, 0, columns - side)
    return Box(float(top / rows), float(left / columns), float(side / rows), float(side / columns))


def show_one_view(shapes: Iterable[tuple[int, ...]]) -> bool:
    """False for pictures H x W... whose sides' ratios differ too much for one field of view."""
    sides = [shape[:2] for shape in shapes]
    ratios = [height / width for height, width in sides]
    one_pixel = 1 / min(min(pair) for pair in sides)
    return max(ratios) / min(ratios) - 1 <= max(SAME_RATIO, one_pixel)


def cut(images: Mapping[Modality, Pixels], box: Box) -> dict[Modality, Pixels]:
    """The same part of every modality. Modalities of other sizes are taken to show the same field of view."""
    return {modality: _cut(pixels, box) for modality, pixels in images.items()}


def _cut(pixels: Pixels, box: Box) -> Pixels:
    rows, columns = pixels.shape[:2]
    top, left = round(box.top * rows), round(box.left * columns)
    bottom, right = round((box.top + box.height) * rows), round((box.left + box.width) * columns)
    return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


@lru_cache(maxsize=1)
def _detector() -> Cascade:
    return Cascade(lbp_frontal_face_cascade_filename())
