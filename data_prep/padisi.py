"""PADISI-Face: one npz per sample with an array `data` of shape (frames, channels, H, W) and values of 0..1.

Of frame 0: channels 0 to 2 are blue, green and red, as the data's owners document them, 3 is near infrared, 4 is depth;
what follows is not used. Only the bytes of these five are read, so memory does not depend on the length of a sample: at
most LARGEST values of at most 8 bytes. Nothing is ever unpickled.
"""

import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from data_prep.sources import RESTORE, Reading, SampleProblem, SourceError, below, find_files, refuse_constant
from mmdg_lite.data.real.files import open_regular
from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.modality import MODALITIES, Modality

ColourOrder = Literal["bgr", "rgb"]

LARGEST = 5 * 2**22
"""Values that are read of one file: five channels of 2048 x 2048."""
LARGEST_FILE = 2**33
"""Bytes of the largest npz file that is opened; only a small part of it is read."""
MOST_CHANNELS = 64
_DOCUMENTED = 22  # channels
_CHANNELS = {Modality.RGB: slice(0, 3), Modality.INFRARED: slice(3, 4), Modality.DEPTH: slice(4, 5)}
_USED = 5  # channels
_TOLERANCE = 1e-3  # by which values may leave 0..1, after arithmetic in half precision
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Padisi:
    """The user's copy, with the file that was found for each name."""

    source: Path
    files: dict[str, list[str]]  # name -> files, relative to source
    colour_order: ColourOrder = "bgr"  # of channels 0 to 2
    domain: str = "P"

    @classmethod
    def open(cls, source: Path, *, colour_order: ColourOrder = "bgr") -> "Padisi":
        """Search the source folder. Raises `SourceError` if it holds no npz file."""
        if not source.is_dir():
            raise SourceError(f"{source}: no such folder; --source names the folder with your copy of PADISI-Face")
        files: dict[str, list[str]] = {}
        for path in find_files(source, ".npz"):
            files.setdefault(path.name, []).append(path.relative_to(source).as_posix())
        if not files:
            raise SourceError(f"{source}: no npz files in it; --source names the folder with your copy of PADISI-Face")
        return cls(source, files, colour_order)

    def read(self, row: ListRow) -> Reading:
        """Frame 0 of the row's file."""
        found = self.files.get(row.paths[0], [])
        if len(found) != 1:
            where = f"found as {' and as '.join(found)}; remove all but the right one" if found else "not found"
            raise SampleProblem(f"{row.paths[0]}: {where} below {self.source}")
        path = below(self.source, found[0])
        frame = _first_frame(path)  # 5 x H x W
        reading = Reading()
        for modality in MODALITIES:
            values = rearrange(frame[_CHANNELS[modality]], "c h w -> h w c").astype(np.float32)
            if modality is Modality.RGB and self.colour_order == "bgr":
                values = values[..., ::-1]
            if not np.isfinite(values).all():
                reading.problems[modality] = f"{path}: {modality.value} holds NaN or infinite values; {RESTORE}"
            elif values.min() < -_TOLERANCE or values.max() > 1 + _TOLERANCE:
                span = f"{values.min():.4g} to {values.max():.4g}"
                reading.problems[modality] = f"{path}: {modality.value} should be in 0..1, found {span}; {RESTORE}"
            else:
                reading.images[modality] = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
        refuse_constant(reading, str(path))
        return reading


def _first_frame(path: Path) -> NDArray[np.floating]:
    """The used channels of frame 0 of `data`. Raises `SampleProblem` for whatever else the file may be."""
    try:
        with open_regular(path, limit=LARGEST_FILE) as file, zipfile.ZipFile(file) as archive:
            if "data.npy" not in archive.namelist():
                raise SampleProblem(f"{path}: there is no array `data` in it; {RESTORE}")
            packing = archive.getinfo("data.npy").compress_type
            if packing not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # numpy writes no others
                raise SampleProblem(f"{path}: packed by method {packing}, which numpy does not use; {RESTORE}")
            with archive.open("data.npy") as member:
                version = np.lib.format.read_magic(member)
                if version not in _HEADERS:
                    raise SampleProblem(f"{path}: `data` is stored in version {version} of the format; {RESTORE}")
                shape, column_major, dtype = _HEADERS[version](member)
                _check(path, shape, column_major, dtype)
                count = _USED * shape[2] * shape[3]
                content = member.read(count * dtype.itemsize)
    except SampleProblem:
        raise
    except Exception as error:  # a damaged archive or header raises anything
        reason = str(error).split("\n")[0][:200] or type(error).__name__
        raise SampleProblem(f"{path}: unreadable, cut off or not an npz file ({reason}); {RESTORE}") from error
    if len(content) < count * dtype.itemsize:
        raise SampleProblem(f"{path}: `data` was cut off; {RESTORE}")
    return np.frombuffer(content, dtype=dtype).reshape(_USED, *shape[2:])


def _check(path: Path, shape: tuple[int, ...], column_major: bool, dtype: np.dtype) -> None:
    """Raise `SampleProblem` for an array that is no sample, before any of it is read."""
    if dtype.hasobject:
        raise SampleProblem(f"{path}: `data` holds pickled Python objects: refused, they could run code")
    if dtype.kind != "f":
        raise SampleProblem(f"{path}: expected floating-point values of 0..1, found {dtype}; {RESTORE}")
    form = "(frames, channels, H, W) with 5 channels or more"
    if len(shape) != 4 or shape[0] < 1 or shape[1] < _USED or min(shape[2:]) < 1:
        raise SampleProblem(f"{path}: expected the shape {form}, found {shape}; {RESTORE}")
    square_last = shape[1] == shape[2] != shape[3]
    if shape[1] > MOST_CHANNELS or square_last or (shape[3] == _DOCUMENTED and shape[1] != _DOCUMENTED):
        raise SampleProblem(f"{path}: expected the shape {form}, found {shape}: are the channels last? Move them")
    if column_major:
        raise SampleProblem(f"{path}: `data` is stored column by column; save it again in C order")
    if prod(shape[2:]) * _USED > LARGEST:
        raise SampleProblem(f"{path}: a frame of shape {shape[1:]} is not one of this data set; {RESTORE}")
