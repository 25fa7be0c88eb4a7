"""Decisions about one's own pictures: live or spoof, by which threshold, and what is unusual about the pictures."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmdg_lite.data.dataset import Images, Samples
from mmdg_lite.data.loader import make_batch
from mmdg_lite.inference.crop import MARGIN, Box, checked_margin, cut, find_face, show_one_view, with_margin
from mmdg_lite.inference.judge import Judge, open_judge
from mmdg_lite.inference.notes import (
    Note,
    face_notes,
    is_ready_crop,
    picture_notes,
    registration_note,
    shape_note,
    worth_noting,
)
from mmdg_lite.inference.pictures import Decoding, Pictures, Source, decode_pictures, resized
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.outputs import Output

LIVE, SPOOF = "live", "spoof"
BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says about one sample. `decision` is "live" exactly where score >= threshold."""

    id: str
    decision: str  # "live" or "spoof"
    score: float  # P(live), 0..1
    threshold: float
    threshold_source: str
    modality_scores: dict[str, float | None]  # P(live) by each modality's own classifier; None where it is missing
    certainty: dict[str, float | None]  # 0..1, of each modality's class token; None where it is missing
    notes: tuple[Note, ...]
    milliseconds: float  # of the model, its share of the batch; reading the files is not counted
    model: str
    box: Box | None  # what was cut out, in shares of the pictures' height and width; None if they were taken whole
    margin: float | None  # share of the face's side that the box has on every side; None without a box
    images: Mapping[Modality, Images] = field(repr=False, compare=False)  # C x H x W uint8, as the model saw them
    certainty_maps: NDArray[np.float64] | None = field(repr=False, compare=False)
    """Token certainties of the last block, 3 x N, mean over the present senders; None for models without adapters."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; pictures and maps are left out."""
        plain = {name: getattr(self, name) for name in ("id", "decision", "score", "threshold", "threshold_source")}
        plain["score"] = self.score if np.isfinite(self.score) else None
        notes = [note.as_dict() for note in self.notes]
        of_modalities = {"modality_scores": dict(self.modality_scores), "certainty": dict(self.certainty)}
        box = None if self.box is None else asdict(self.box) | {"margin": self.margin}
        rest = {"notes": notes, "crop": box, "milliseconds": self.milliseconds, "model": self.model}
        return plain | of_modalities | rest


@dataclass(frozen=True)
class NotDecided:
    """A sample, or a frame of a clip, that could not be read."""

    id: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One sample's pictures at the model's input size, and the notes on them."""

    id: str
    images: Mapping[Modality, Images]  # C x H x W uint8
    notes: tuple[Note, ...]
    box: Box | None = None  # what was cut out
    margin: float | None = None  # around the face in it


def predict(
    rgb: Source | None = None,
    depth: Source | None = None,
    infrared: Source | None = None,
    *,
    model: str | Path | Judge | None = None,
    threshold: float | None = None,
    crop: bool = False,
    margin: float = MARGIN,
    decoding: Decoding | None = None,
    device: str = "cpu",
) -> Prediction:
    """Decide whether one face is live.

    Args:
        rgb, depth, infrared: files, or uint8 arrays H x W x 3 (colour; red, green, blue) and H x W, or pictures of
            Pillow; at least one. A modality that is left out is missing, as in protocol P2.
        model: the folder of a run, its model.safetensors, or a `Judge` that is open already (which saves loading it
            again); None for the shipped model, which never saw a real face.
        threshold: decide at this score rather than at the model's own threshold.
        crop: look for the face in the colour picture and cut one box out of all modalities, which must be registered.
            Pictures that cannot be, since the ratios of their sides differ, stay whole, with a note. Without `crop`
            the pictures are taken as they are.
        margin: share of the face's side that `crop` adds on every side, 0..2.
        decoding: what values of more than 8 bits mean.
        device: "auto", "cpu", "cuda" or "mps"; of a `Judge` its own counts.

    Returns:
        The decision. A spoof raises nothing, and neither does a doubtful picture: see `Prediction.notes`.

    Raises:
        FileNotFoundError, ValueError: a picture or the model cannot be read (naming the file), or an option has no
            meaning.
        TypeError: a picture is neither a file's name nor an array nor a picture of Pillow.
    """
    judge = open_judge(model, threshold=threshold, device=device)
    pictures = decode_pictures(
        {Modality.RGB: rgb, Modality.DEPTH: depth, Modality.INFRARED: infrared}, decoding=decoding
    )
    given = next(source for source in (rgb, depth, infrared) if source is not None)
    name = str(given) if isinstance(given, str | os.PathLike) else "array"
    return next(judge_prepared([prepare(pictures, judge, name=name, crop=crop, margin=margin)], judge))


def prepare(pictures: Pictures, judge: Judge, *, name: str, crop: bool = False, margin: float = MARGIN) -> Prepared:
    """Bring one sample's pictures to the model's input size, and note what is unusual about them."""
    margin = checked_margin(margin)
    images, box = dict(pictures.images), None
    notes = [Note("file", modality, text) for modality, text in pictures.notes]
    shapes = {modality: pixels.shape for modality, pixels in images.items()}
    registered = show_one_view(shapes.values())
    if not registered:
        notes.append(registration_note(shapes, cropped=crop))
    rgb = images.get(Modality.RGB)
    if rgb is None:
        if crop:
            notes.append(Note("face", None, "without a colour picture no face can be looked for; nothing was cut out"))
    elif crop or not is_ready_crop(rgb.shape, judge.size):
        face = find_face(rgb)
        notes += face_notes(face, rgb.shape, cropped=crop)
        if crop and registered and face is not None:
            box = with_margin(face, rgb.shape, margin)
            images = cut(images, box)
    for modality, pixels in images.items():
        notes += shape_note(modality, pixels.shape, cropped=crop)
    small = {modality: resized(pixels, modality, size=judge.size) for modality, pixels in images.items()}
    notes += picture_notes(small, judge.statistics)
    if judge.caution:
        notes.append(Note("model", None, judge.caution))
    return Prepared(id=name, images=small, notes=tuple(notes), box=box, margin=None if box is None else margin)


def judge_prepared(samples: Iterable[Prepared], judge: Judge, *, batch_size: int = BATCH) -> Iterator[Prediction]:
    """Decisions about prepared samples, in their order, `batch_size` at a time."""
    waiting: list[Prepared] = []
    for sample in samples:
        waiting.append(sample)
        if len(waiting) == batch_size:
            yield from _decide(waiting, judge)
            waiting = []
    if waiting:
        yield from _decide(waiting, judge)


@torch.inference_mode()
def _decide(samples: Sequence[Prepared], judge: Judge) -> Iterator[Prediction]:
    batch = {
        name: value.to(judge.device)
        for name, value in make_batch(_stacked(samples, judge), source_domains=()).items()
        if isinstance(value, torch.Tensor)
    }
    since = time.perf_counter()
    output: Output = judge.model(batch)
    scores = output.score().cpu().double().tolist()
    milliseconds = 1000 * (time.perf_counter() - since) / len(samples)
    by_modality, certainty = output.modality_scores().cpu().tolist(), output.certainty.cpu().double().tolist()
    for row, sample in enumerate(samples):
        there = [modality in sample.images for modality in MODALITIES]
        yield Prediction(
            id=sample.id,
            decision=LIVE if scores[row] >= judge.threshold else SPOOF,
            score=scores[row],
            threshold=judge.threshold,
            threshold_source=judge.threshold_source,
            modality_scores=_named(by_modality[row], there),
            certainty=_named(certainty[row], there),
            notes=(*sample.notes, *worth_noting(scores[row])),
            milliseconds=milliseconds,
            model=judge.name,
            box=sample.box,
            margin=sample.margin,
            images=sample.images,
            certainty_maps=_maps(output, row),
        )


def _stacked(samples: Sequence[Prepared], judge: Judge) -> Samples:
    """Prepared samples as a batch is made from them; labels are unknown and set to 0, which nothing reads here."""
    arrays = {}
    for modality in MODALITIES:
        empty = np.zeros((3 if modality is Modality.RGB else 1, judge.size, judge.size), dtype=np.uint8)
        arrays[modality.value] = np.stack([sample.images.get(modality, empty) for sample in samples])
    return Samples(
        **arrays,
        present=np.array([[modality in sample.images for modality in MODALITIES] for sample in samples]),
        label=np.zeros(len(samples), dtype=np.int64),
        ids=[sample.id for sample in samples],
        species=["unknown"] * len(samples),
        domains=[""] * len(samples),
    )


def _named(values: Sequence[float], there: Sequence[bool]) -> dict[str, float | None]:
    return {m.value: value if known else None for m, value, known in zip(MODALITIES, values, there, strict=True)}


def _maps(output: Output, row: int) -> NDArray[np.float64] | None:
    if not output.token_certainty:
        return None
    last = output.token_certainty[-1][row].cpu().double().numpy()  # 3 receivers x 2 senders x N
    present = output.present[row].cpu().numpy()
    sent = np.array([[present[sender.index] for sender in receiver.others] for receiver in MODALITIES])  # 3 x 2
    weight = np.where(sent.any(axis=1, keepdims=True), sent, True)[..., None]  # alone: the calls on its own tokens
    maps: NDArray[np.float64] = (last * weight).sum(axis=1) / weight.sum(axis=1)
    return maps
