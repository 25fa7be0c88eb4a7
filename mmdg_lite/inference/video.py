"""Clips: frames of a video file or of a folder of numbered pictures, one score per frame and one per clip."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mmdg_lite.inference.crop import MARGIN
from mmdg_lite.inference.judge import Judge
from mmdg_lite.inference.notes import Note
from mmdg_lite.inference.pictures import Decoding, Source, decode_pictures
from mmdg_lite.inference.predict import LIVE, SPOOF, NotDecided, Prediction, judge_prepared, prepare
from mmdg_lite.inference.samples import PICTURES, pictures_of_folder
from mmdg_lite.modality import MODALITIES, Modality

SMOOTHING = 5
"""Frames of the moving mean."""
STILLS = (*PICTURES, ".bmp", ".webp", ".gif")
"""Endings of single pictures, which OpenCV would play as clips of one frame."""
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
    notes: tuple[Note, ...] = ()  # on the clip as a whole; those on single frames are theirs
    not_decided: tuple[NotDecided, ...] = ()  # frames that could not be read; the scores leave them out

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {name: getattr(self, name) for name in ("id", "decision", "score", "threshold", "threshold_source")}
        frames = [frame.as_dict() | {"smoothed": mean} for frame, mean in zip(self.frames, self.smoothed, strict=True)]
        return own | {
            "smoothing": f"mean of up to {self.window} frames, this one the last",
            "notes": [note.as_dict() for note in self.notes],
            "frames": frames,
        }


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
            any bit depth; at least one. Frames of folders belong together if the last number in their names is the
            same; a frame that a folder lacks is a missing modality. Frames of video files, and of a video file and a
            folder, belong together by their order, and the clip ends with the shortest. Notes count both.
        judge: the model, see `judge.open_judge`.
        every: look at every so many frames.
        window: frames of the moving mean.
        crop, margin, decoding: as in `predict.predict`; the face is looked for in every frame.

    Raises:
        FileNotFoundError, ValueError: a clip cannot be read, or has no frame that can be. A frame that cannot be read
            is left out, with a note, if another one can.
        ModuleNotFoundError: a video file needs OpenCV, which is an extra.
    """
    if every < 1 or window < 1:
        raise ValueError(f"every and window must be at least 1, got {every} and {window}")
    sources = dict(zip(MODALITIES, (rgb, depth, infrared), strict=True))
    given = {modality: Path(source) for modality, source in sources.items() if source is not None}
    if not given:
        raise ValueError("at least one clip is needed: rgb, depth or infrared")
    for path in given.values():
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such video file or folder of frames")
        if path.suffix.casefold() in STILLS and not path.is_dir():
            raise ValueError(
                f"{path} is a single picture: give a video file or a folder of numbered frames, or leave out --video"
            )
        if not path.is_file() and not path.is_dir():
            raise ValueError(f"{path} is a pipe or device: give a video file or a folder of numbered frames")
    name = str(next(iter(given.values())))
    film = given.get(Modality.DEPTH)
    film = film if film is not None and film.is_file() else None
    if film is not None and decoding is not None and decoding.depth_range is not None:
        raise ValueError(f"{film}: a range of depth was given, but {EIGHT_BITS}")

    notes: list[Note] = []
    skipped: list[NotDecided] = []

    def samples() -> Iterator[Any]:
        for number, pictures in islice(_together(given, notes), 0, None, every):
            try:
                decoded = decode_pictures(pictures, decoding=decoding)
            except (OSError, ValueError) as error:
                skipped.append(NotDecided(f"{name}#{number:05d}", str(error)))
                continue
            if film is not None:
                decoded = replace(decoded, notes=(*decoded.notes, (Modality.DEPTH, EIGHT_BITS)))
            yield prepare(decoded, judge, name=f"{name}#{number:05d}", crop=crop, margin=margin)

    frames = tuple(judge_prepared(samples(), judge))
    if not frames:
        raise ValueError(f"{name}: no frame can be read: {skipped[0].reason}" if skipped else f"{name}: no frame")
    if skipped:
        text = f"{len(skipped)} of {len(skipped) + len(frames)} frames could not be read and were left out; the first: "
        notes.append(Note("clip", None, text + skipped[0].reason))
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
        notes=tuple(notes),
        not_decided=tuple(skipped),
    )


def _together(clips: Mapping[Modality, Path], notes: list[Note]) -> Iterator[tuple[int, dict[Modality, Source | None]]]:
    """Frames that belong together, with their numbers. What is missing is appended to `notes`."""
    if all(path.is_dir() for path in clips.values()):
        yield from _by_number(clips, notes)
    else:
        yield from _by_order(clips, notes)


def _by_number(
    clips: Mapping[Modality, Path], notes: list[Note]
) -> Iterator[tuple[int, dict[Modality, Source | None]]]:
    """Frames of folders, joined by their numbers."""
    frames = {modality: _frames_by_number(path) for modality, path in clips.items()}
    if not all(frames.values()):
        empty = next(path for modality, path in clips.items() if not frames[modality])
        raise ValueError(f"{empty}: the folder has no picture ({', '.join(PICTURES)})")
    counts = Counter(number for numbered in frames.values() for number in numbered)
    if max(counts.values()) == 1 < len(clips):
        folders = ", ".join(map(str, clips.values()))
        raise ValueError(f"{folders}: no two frames have the same number; name frames of one moment by one number")
    for modality, numbered in frames.items():
        if lacking := len(counts) - len(numbered):
            text = f"{lacking} of {len(counts)} frames have no {modality.value} picture of their number"
            notes.append(Note("clip", modality, f"{text}: that modality is missing there"))
    for number in sorted(counts):
        yield number, {modality: numbered.get(number) for modality, numbered in frames.items()}


def _by_order(clips: Mapping[Modality, Path], notes: list[Note]) -> Iterator[tuple[int, dict[Modality, Source | None]]]:
    """Frames of video files, the first with the first, until the shortest ends; then the others are counted."""
    readers = {modality: iter(_frames(path, modality)) for modality, path in clips.items()}
    lengths: dict[Modality, int] = dict.fromkeys(clips, 0)
    while True:
        row = {modality: frame for modality, reader in readers.items() if (frame := next(reader, None)) is not None}
        for modality in row:
            lengths[modality] += 1
        if len(row) < len(clips):
            break
        yield max(lengths.values()) - 1, dict(row)
    for modality in row:
        lengths[modality] += sum(1 for _ in readers[modality])
    if row:
        text = ", ".join(f"{modality.value} {length}" for modality, length in lengths.items())
        text = f"the clips have unequal numbers of frames ({text}); the shortest ends the clip"
        notes.append(Note("clip", None, text))


def _frames(path: Path, modality: Modality) -> Iterator[Source]:
    """Frames of a folder in the order of the last number in their names, or of a video file."""
    return iter(numbered_frames(path)) if path.is_dir() else _video_frames(path, modality)


def _frames_by_number(folder: Path) -> dict[int, Path]:
    """Pictures of a folder by the last number in their names, in order. Two of one number are refused."""
    found: dict[int, Path] = {}
    for path in numbered_frames(folder):
        other = found.setdefault(_number(path), path)
        if other != path:
            raise ValueError(f"{path} and {other.name} have the same number: give every frame its own")
    return found


def numbered_frames(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of the last number in their names. Raises `ValueError` for a name without."""
    return sorted(pictures_of_folder(folder), key=lambda path: (_number(path), path.name))


def _number(path: Path) -> int:
    digits = re.findall(r"[0-9]+", path.stem)
    if not digits:
        raise ValueError(f"{path}: a frame needs a number in its name")
    return int(digits[-1])


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
