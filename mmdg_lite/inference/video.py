"""Clips: frames of a video file or of a folder of numbered pictures, one score per frame and one per clip."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mmdg_lite.inference.crop import MARGIN
from mmdg_lite.inference.judge import Judge
from mmdg_lite.inference.pictures import Decoding, Source, decode_pictures
from mmdg_lite.inference.predict import LIVE, SPOOF, Prediction, judge_prepared, prepare
from mmdg_lite.inference.samples import pictures_of_folder
from mmdg_lite.modality import MODALITIES, Modality

SMOOTHING = 5
"""Frames of the moving mean."""
EIGHT_BITS = (
    "depth of a video file has 8 bits, taken as grey values with near bright; for distances give a folder of numbered "
    "frames, which keep their 16 bits"
)


@dataclass(frozen=True, kw_only=True)
class ClipPrediction:
    """Decisions about the frames of one clip, and about the clip: its score is the mean over its frames."""

    id: str
    decision: str  # "live" or "spoof"
    score: float  # mean of the frames' scores
    threshold: float
    threshold_source: str
    frames: tuple[Prediction, ...]
    smoothed: tuple[float, ...]  # for each frame the mean of its score and of up to `window` - 1 before it
    window: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {name: getattr(self, name) for name in ("id", "decision", "score", "threshold", "threshold_source")}
        frames = [frame.as_dict() | {"smoothed": mean} for frame, mean in zip(self.frames, self.smoothed, strict=True)]
        return own | {"smoothing": f"mean of up to {self.window} frames, this one the last", "frames": frames}


def predict_clip(
    rgb: str | Path | None = None,
    depth: str | Path | None = None,
    infrared: str | Path | None = None,
    *,
    judge: Judge,
    every: int = 1,
    window: int = SMOOTHING,
    crop: bool = False,
    margin: float = MARGIN,
    decoding: Decoding | None = None,
) -> ClipPrediction:
    """Decide whether a clip shows a live face.

    Args:
        rgb, depth, infrared: per modality a video file, which is read with 8 bits, or a folder of numbered frames of
            any bit depth; at least one. The first frame of one belongs to the first of the others; the clip ends with
            the shortest.
        judge: the model, see `judge.open_judge`.
        every: look at every so many frames.
        window: frames of the moving mean.
        crop, margin, decoding: as in `predict.predict`; the face is looked for in every frame.

    Raises:
        FileNotFoundError, ValueError: a clip cannot be read, or has no frame.
        ModuleNotFoundError: a video file needs OpenCV, which is an extra.
    """
    if every < 1 or window < 1:
        raise ValueError(f"every and window must be at least 1, got {every} and {window}")
    sources = dict(zip(MODALITIES, (rgb, depth, infrared), strict=True))
    given = {modality: Path(source) for modality, source in sources.items() if source is not None}
    if not given:
        raise ValueError("at least one clip is needed: rgb, depth or infrared")
    name = str(next(iter(given.values())))
    film = given.get(Modality.DEPTH)
    film = film if film is not None and film.is_file() else None
    if film is not None and decoding is not None and decoding.depth_range is not None:
        raise ValueError(f"{film}: a range of depth was given, but {EIGHT_BITS}")

    def samples() -> Iterator[Any]:
        for number, pictures in islice(enumerate(_together(given)), 0, None, every):
            decoded = decode_pictures(pictures, decoding=decoding)
            if film is not None:
                decoded = replace(decoded, notes=(*decoded.notes, (Modality.DEPTH, EIGHT_BITS)))
            yield prepare(decoded, judge, name=f"{name}#{number:05d}", crop=crop, margin=margin)

    frames = tuple(judge_prepared(samples(), judge))
    if not frames:
        raise ValueError(f"{name}: the clip has no frame")
    scores = np.array([frame.score for frame in frames])
    score = float(scores.mean())
    return ClipPrediction(
        id=name,
        decision=LIVE if score >= judge.threshold else SPOOF,
        score=score,
        threshold=judge.threshold,
        threshold_source=judge.threshold_source,
        frames=frames,
        smoothed=tuple(float(scores[max(0, n + 1 - window) : n + 1].mean()) for n in range(len(scores))),
        window=window,
    )


def _together(clips: Mapping[Modality, Path]) -> Iterator[dict[Modality, Source | None]]:
    for frames in zip(*(_frames(path, modality) for modality, path in clips.items()), strict=False):
        yield dict(zip(clips, frames, strict=True))


def _frames(path: Path, modality: Modality) -> Iterator[Source]:
    """Frames of a folder in the order of the last number in their names, or of a video file."""
    if path.is_dir():
        yield from numbered_frames(path)
    elif path.is_file():
        yield from _video_frames(path, modality)
    else:
        raise FileNotFoundError(f"{path}: no such video file or folder of frames")


def numbered_frames(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of the last number in their names. Raises `ValueError` for a name without."""
    found = pictures_of_folder(folder)
    numbers = {path: re.findall(r"\d+", path.stem) for path in found}
    if nameless := [path for path, digits in numbers.items() if not digits]:
        raise ValueError(f"{nameless[0]}: a frame needs a number in its name")
    return sorted(found, key=lambda path: (int(numbers[path][-1]), path.name))


def _video_frames(path: Path, modality: Modality) -> Iterator[Source]:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path}: video files are read by OpenCV: `pip install opencv-python-headless`, or give a folder of frames"
        ) from error
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise ValueError(f"{path}: not a video that OpenCV can read")
        while True:
            there, frame = video.read()  # H x W x 3, blue, green, red
            if not there:
                return
            yield frame[..., ::-1].copy() if modality is Modality.RGB else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    finally:
        video.release()
