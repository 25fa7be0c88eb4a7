"""PADISI-Face: one npz per sample with an array `data` of shape (frames, channels, H, W) and values of 0..1.

Of frame 0: channels 0 to 2 are RGB, 3 is near infrared, 4 is depth. Only the bytes of that frame are read, so memory
does not depend on the length of a sample, and nothing is ever unpickled.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.sources import Reading, SampleProblem, SourceError, below, find_files, refuse_constant
from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.modality import MODALITIES, Modality

_CHANNELS = {Modality.RGB: slice(0, 3), Modality.INFRARED: slice(3, 4), Modality.DEPTH: slice(4, 5)}
_LARGEST = 64 * 2**20  # values of one frame
_TOLERANCE = 1e-3  # by which values may leave 0..1, after arithmetic in half precision


@dataclass(frozen=True)
class Padisi:
    """The user's copy, with the file that was found for each name."""

    source: Path
    files: dict[str, list[str]]  # name -> files, relative to source
    domain: str = "P"

    @classmethod
    def open(cls, source: Path) -> "Padisi":
        """Search the source folder. Raises `SourceError` if it holds no npz file."""
        if not source.is_dir():
            raise SourceError(f"{source}: no such folder; --source names the folder with your copy of PADISI-Face")
        files: dict[str, list[str]] = {}
        for path in find_files(source, ".npz"):
            files.setdefault(path.name, []).append(path.relative_to(source).as_posix())
        if not files:
            raise SourceError(f"{source}: no npz files in it; --source names the folder with your copy of PADISI-Face")
        return cls(source, files)

    def read(self, row: ListRow) -> Reading:
        """Frame 0 of the row's file."""
        found = self.files.get(row.paths[0], [])
        if len(found) != 1:
            where = f"found as {' and as '.join(found)}; remove all but the right one" if found else "not found"
            raise SampleProblem(f"{row.paths[0]}: {where} below {self.source}")
        path = below(self.source, found[0])
        frame = _first_frame(path)  # channels x H x W
        reading = Reading()
        for modality in MODALITIES:
            values = frame[_CHANNELS[modality]].transpose(1, 2, 0).astype(np.float32)  # H x W x C
            if not np.isfinite(values).all():
                reading.problems[modality] = f"{path}: {modality.value} holds NaN or infinite values; restore the file"
            elif values.min() < -_TOLERANCE or values.max() > 1 + _TOLERANCE:
                span = f"{values.min():.4g} to {values.max():.4g}"
                reading.problems[modality] = (
                    f"{path}: {modality.value} should be in 0..1, found {span}; restore the file"
                )
            else:
                reading.images[modality] = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
        refuse_constant(reading, str(path))
        return reading


def _first_frame(path: Path) -> NDArray[np.floating]:
    """Frame 0 of `data`. Raises `SampleProblem` for whatever else the file may be."""
    cure = "restore it from your copy of PADISI-Face"
    try:
        with zipfile.ZipFile(path) as archive:
            if "data.npy" not in archive.namelist():
                raise SampleProblem(f"{path}: there is no array `data` in it; {cure}")
            with archive.open("data.npy") as member:
                version = np.lib.format.read_magic(member)
                reader = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, column_major, dtype = reader(member)
                if dtype.hasobject:
                    raise SampleProblem(f"{path}: `data` holds pickled Python objects: refused, they could run code")
                if dtype.kind != "f":
                    raise SampleProblem(f"{path}: expected floating-point values of 0..1, found {dtype}; {cure}")
                if len(shape) != 4 or shape[0] < 1 or shape[1] < 5 or min(shape[2:]) < 1:
                    form = "(frames, channels, H, W) with 5 channels or more"
                    raise SampleProblem(f"{path}: expected the shape {form}, found {shape}; {cure}")
                if column_major:
                    raise SampleProblem(f"{path}: `data` is stored column by column; save it again in C order")
                count = int(np.prod(shape[1:], dtype=np.int64))
                if count > _LARGEST:
                    raise SampleProblem(f"{path}: a frame of shape {shape[1:]} is not one of this data set; {cure}")
                content = member.read(count * dtype.itemsize)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise SampleProblem(f"{path}: unreadable, cut off or not an npz file ({error}); {cure}") from error
    if len(content) < count * dtype.itemsize:
        raise SampleProblem(f"{path}: `data` was cut off; {cure}")
    return np.frombuffer(content, dtype=dtype).reshape(shape[1:])
