"""What one process does: read a row's frame, resize it, write its images. Nothing half-written has a final name."""

import errno
import hashlib
import io
import multiprocessing
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from PIL import Image

from data_prep.journal import Converted
from data_prep.sources import Pixels, Reading, SampleProblem, Source
from mmdg_lite.data.real.decode import resize
from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.data.real.manifest import ManifestRow
from mmdg_lite.data.real.quality import hole_fraction, saturated_fraction
from mmdg_lite.modality import MODALITIES, Modality

PARTIAL = ".partial"


class OutputError(Exception):
    """The output folder cannot be written to. The run stops; what was converted before is safe."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How samples are written."""

    out: Path  # folder of the domain
    size: int = 224  # height and width of the images in pixels; 0 keeps the native size
    format: str = "png"  # of colour and infrared: "png" (lossless) or "jpg" (quality 95); depth is always png
    keep_missing: bool = False  # keep samples without the modalities that cannot be read, rather than skip them


@dataclass(frozen=True)
class Task:
    """One sample to convert."""

    id: str
    split: str
    row: ListRow


@dataclass(frozen=True)
class Failure:
    """A sample that was not converted."""

    task: Task
    reason: str


def convert_tasks(source: Source, settings: Settings, tasks: Sequence[Task]) -> list[Converted | Failure]:
    """Convert some samples, in order. Raises `OutputError` if the output cannot be written."""
    return [_convert(source, settings, task) for task in tasks]


def _convert(source: Source, settings: Settings, task: Task) -> Converted | Failure:
    try:
        reading = source.read(task.row)
    except (SampleProblem, OSError) as problem:
        return Failure(task, str(problem))
    except Exception as error:  # a damaged file may make a reader raise anything; the other samples are not concerned
        files = ", ".join(sorted({path for path in task.row.paths if path}))
        return Failure(task, f"{files}: cannot be read ({type(error).__name__}: {error}); restore it")
    if reading.problems and (not settings.keep_missing or not reading.images):
        advice = "" if settings.keep_missing else " (--keep-missing keeps the sample without this modality)"
        return Failure(task, "; ".join(reading.problems.values()) + advice)
    return write_sample(settings, reading, task, domain=source.domain)


def write_sample(settings: Settings, reading: Reading, task: Task, *, domain: str) -> Converted:
    """Write the images of a sample and describe it as the manifest will. Raises `OutputError`."""
    row = task.row
    paths, digests = dict.fromkeys(MODALITIES, ""), dict.fromkeys(MODALITIES, "")
    for modality, pixels in reading.images.items():
        holes = modality is Modality.DEPTH
        format = "png" if holes else settings.format  # JPEG smears holes into their neighbours
        name = f"images/{task.split}/{row.line // 1000:03d}/{task.id}-{modality.value}.{format}"
        content = encode(pixels, size=settings.size, format=format, holes=holes)
        write_whole(settings.out / name, content)
        paths[modality], digests[modality] = name, hashlib.sha256(content).hexdigest()
    depth, infrared = reading.images.get(Modality.DEPTH), reading.images.get(Modality.INFRARED)
    return Converted(
        row=ManifestRow(
            id=task.id,
            domain=domain,
            split=task.split,
            label=row.label,
            species=row.species,
            subject=row.subject,
            rgb=paths[Modality.RGB],
            depth=paths[Modality.DEPTH],
            infrared=paths[Modality.INFRARED],
            rgb_sha256=digests[Modality.RGB],
            depth_sha256=digests[Modality.DEPTH],
            infrared_sha256=digests[Modality.INFRARED],
            list_line=row.line,
        ),
        source=(*row.paths, str(row.label)),
        problems={modality.value: reason for modality, reason in reading.problems.items()},
        notes=tuple(reading.notes),
        holes=None if depth is None else round(hole_fraction(depth), 4),
        saturated=None if infrared is None else round(saturated_fraction(infrared), 4),
        shares={modality.value: asdict(shares) for modality, shares in reading.shares.items()},
    )


def encode(pixels: Pixels, *, size: int, format: str, holes: bool) -> bytes:
    """uint8 H x W x C as the bytes of a PNG or JPEG of size x size pixels (`decode.resize`); 0: native size."""
    if size:
        pixels = resize(pixels, size=size, holes=holes)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    out = io.BytesIO()
    if format == "png":
        image.save(out, "PNG", compress_level=3)
    else:
        image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, then give it its own. Raises `OutputError` naming the file and the cure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(writing_failed(path, error)) from error


def writing_failed(path: Path, error: OSError) -> str:
    """Why a file could not be written, and what to do about it."""
    cures = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some of your quota",
        errno.EROFS: "the file system is read-only: choose another --out",
        errno.EACCES: "you may not write there: choose another --out",
    }
    cure = cures.get(error.errno or 0, "choose another --out")
    return f"{path}: cannot be written ({error.strerror or error}); {cure}, then run the same command again to go on"


_state: tuple[Source, Settings] | None = None


def start(source: Source, settings: Settings) -> None:
    """Set a worker process up, and let it end with its parent even if that is killed."""
    global _state
    _state = (source, settings)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def work(tasks: Sequence[Task]) -> list[Converted | Failure]:
    """`convert_tasks` in a worker process that was set up by `start`."""
    if _state is None:
        raise RuntimeError("the worker was not started")
    return convert_tasks(*_state, tasks)
