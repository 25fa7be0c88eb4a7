"""CASIA-SURF CeFA: JPEG folders below `CeFA`, with black borders around the face that are cropped away."""

from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Literal

from data_prep.casia_surf import read_triplet
from data_prep.sources import Reading, refuse_constant, top_folder
from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.data.real.quality import content_box

Crop = Literal["shared", "each"]


@dataclass(frozen=True)
class Cefa:
    """The user's copy: the folder that holds `CeFA`."""

    source: Path
    crop: Crop = "shared"  # one box for the three modalities, or one for each of them
    domain: str = "C"

    @classmethod
    def open(cls, source: Path, *, crop: Crop = "shared") -> "Cefa":
        """Raises `SourceError` if there is no `CeFA`."""
        return cls(top_folder(source, "CeFA"), crop)

    def read(self, row: ListRow) -> Reading:
        """The three JPEG files of a row, without the border that they have in common."""
        reading = read_triplet(self.source, row)
        refuse_constant(reading, f"{self.source / row.clip}, frame {row.frames[0]}")
        if self.crop == "shared":
            crop_border(reading)
        else:
            crop_each(reading)
        return reading


def crop_border(reading: Reading) -> None:
    """Crop all modalities to one box: the smallest that holds whatever any of them shows.

    One box for all keeps the modalities aligned, and black that only one of them has (a hole in depth, a dark
    infrared image) stays, because it says something about the face. Boxes are fractions of height and width, so
    modalities of different resolution are cropped alike. Nothing is cropped if no image is brighter than a border.
    """
    boxes = []
    for image in reading.images.values():
        height, width = image.shape[:2]
        if box := content_box(image):
            boxes.append((box[0] / height, box[1] / height, box[2] / width, box[3] / width))
    if not boxes:
        return
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    top, bottom, left, right = min(tops), max(bottoms), min(lefts), max(rights)
    for modality, image in reading.images.items():
        height, width = image.shape[:2]
        rows = slice(floor(top * height + 1e-6), ceil(bottom * height - 1e-6))
        columns = slice(floor(left * width + 1e-6), ceil(right * width - 1e-6))
        reading.images[modality] = image[rows, columns]


def crop_each(reading: Reading) -> None:
    """Crop every modality to its own box of pixels brighter than a border, without the box's last row and column.

    Other public code prepares CeFA so. The three pictures of a sample no longer show the same part of the face.
    """
    for modality, image in reading.images.items():
        if box := content_box(image):
            top, bottom, left, right = box
            if bottom - top > 1 and right - left > 1:
                reading.images[modality] = image[top : bottom - 1, left : right - 1]
