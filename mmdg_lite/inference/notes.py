"""Notes on pictures that a model cannot judge: what a picture looks like beside those that the model was trained on.

Limits come from the training pictures (`data.statistics`), never from a target. What cannot be told from them, such as
colours swapped where the sources themselves have faces bluer than red, is not noted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmdg_lite.data.dataset import Images
from mmdg_lite.data.statistics import FEATURES, ModalityStatistics, PictureStatistics, features
from mmdg_lite.inference.crop import Box
from mmdg_lite.modality import Modality

SMALL_FACE = 0.3
"""Share of the picture's shorter side below which a face is called small."""
READY_CROP = 1.5
"""A picture of at most so many times the model's input is taken for a ready crop, in which no face is looked for."""
MOST_HOLES = 0.985
"""Share of holes above which a depth picture shows hardly anything. Replays of one source reach it, but not 1 % of the
sources' validation pictures."""
WIDEST = 1.4
"""Ratio of a picture's sides from which squeezing it into a square is noted."""


@dataclass(frozen=True)
class Note:
    """One finding about a sample's pictures."""

    kind: str  # constant, holes, values, bgr, inverted, saturated, sensor, face, shape, registration, file, clip, model
    modality: Modality | None  # None: the whole sample
    text: str

    def as_dict(self) -> dict[str, str | None]:
        """Plain values for JSON."""
        return {"kind": self.kind, "modality": self.modality.value if self.modality else None, "text": self.text}


def picture_notes(images: Mapping[Modality, Images], statistics: PictureStatistics | None) -> list[Note]:
    """What is unusual about pictures C x H x W of the model's input size."""
    notes = []
    for modality, image in images.items():
        if image.min() == image.max():
            text = f"the {modality.value} picture is {int(image.min())} everywhere: the sensor saw nothing"
            notes.append(Note("constant", modality, text))
            continue
        if modality is Modality.DEPTH and (holes := float((image == 0).mean())) > MOST_HOLES:
            text = f"depth: {holes:.1%} of the picture are holes, so it says hardly anything"
            notes.append(Note("holes", modality, text))
        if statistics is not None and modality.value in statistics.modalities:
            notes += _compared(image, modality, statistics.modalities[modality.value])
    if statistics is None:
        text = "the model has no record of the pictures that it was trained on, so none was compared with them"
        notes.append(Note("model", None, text))
    return notes


def face_notes(face: Box | None, shape: tuple[int, ...], *, cropped: bool) -> list[Note]:
    """What the search for a face in a colour picture of this shape, H x W..., found. Cut out faces are not small."""
    if face is None:
        text = "no frontal face was found in the colour picture" + ("; nothing was cut out" if cropped else "")
        return [Note("face", Modality.RGB, text)]
    share = max(face.height * shape[0], face.width * shape[1]) / min(shape[:2])
    if cropped or share >= SMALL_FACE:
        return []
    text = f"the face takes up {share:.0%} of the picture's side only: cut it out (--crop)"
    return [Note("face", Modality.RGB, text)]


def _compared(image: Images, modality: Modality, training: ModalityStatistics) -> list[Note]:
    row = features(image[None])  # 1 x features
    values = dict(zip(FEATURES, row[0].tolist(), strict=True))
    name = modality.value
    notes = []
    outside = [f for f in ("mean", "deviation") if not training.low[f] <= values[f] <= training.high[f]]
    for feature in outside:
        what = {"mean": "mean grey level", "deviation": "spread of grey levels"}[feature]
        low, high = max(0.0, training.low[feature]), min(255.0, training.high[feature])
        text = f"{name}: {what} is {values[feature]:.0f}; the training pictures' lies between {low:.0f} and {high:.0f}"
        notes.append(Note("values", modality, text))
    if modality is Modality.RGB and values["redness"] < training.low["redness"] <= -values["redness"]:
        notes.append(Note("bgr", modality, "rgb: bluer than any training face: are the channels blue, green, red?"))
    behind = (values[f] < training.low.get(f, -np.inf) <= -values[f] for f in ("relief", "prominence"))
    if modality is Modality.DEPTH and any(behind):
        notes.append(Note("inverted", modality, "depth: the middle lies behind what is around it: is near dark here?"))
    if modality is Modality.INFRARED and values["white"] > training.high["white"]:
        text = f"infrared: {values['white']:.0%} of the pixels are saturated, of training pictures at most "
        notes.append(Note("saturated", modality, f"{text}{training.high['white']:.0%}"))
    if (distance := float(training.distance(row)[0])) > training.farthest:
        times = distance / training.farthest
        text = f"{name}: a sensor unlike the sources': {times:.1f} times as far from their pictures as those ever are"
        notes.append(Note("sensor", modality, text))
    return notes


def shape_note(modality: Modality, shape: tuple[int, ...], *, cropped: bool) -> list[Note]:
    """A note for a picture, H x W..., that is far from square: models take squares. `cropped`: it was to be cut."""
    ratio = max(shape[:2]) / min(shape[:2])
    if ratio < WIDEST:
        return []
    text = f"{modality.value}: {shape[1]} x {shape[0]} pixels are squeezed into a square"
    return [Note("shape", modality, text if cropped else f"{text}: cut the face out (--crop)")]


def registration_note(shapes: Mapping[Modality, tuple[int, ...]], *, cropped: bool) -> Note:
    """A note for pictures H x W... of unlike ratios, which cannot show the same field of view."""
    sizes = ", ".join(f"{modality.value} {shape[1]} x {shape[0]}" for modality, shape in shapes.items())
    text = f"{sizes} pixels: sides of unlike ratios cannot show the same view; register the pictures"
    return Note("registration", None, f"{text}; nothing was cut out" if cropped else text)


def is_ready_crop(shape: tuple[int, ...], size: int) -> bool:
    """True for a picture that is hardly larger than the model's input."""
    return max(shape[:2]) <= READY_CROP * size


def worth_noting(score: float) -> list[Note]:
    """A note for a score that is not a number."""
    return [] if np.isfinite(score) else [Note("model", None, "the model's score is not a number: decided spoof")]
