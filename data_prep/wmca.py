"""WMCA: two trees of HDF5 files, colour in one, gray, depth, infrared and thermal in the other.

A list names a video and a frame; the recording's date is not in it, so both trees are searched once. Frame `0012` is
taken to mean the group `Frame_12` of both files. Where the two files number their frames differently (two videos are
known to), the sample is refused, or mapped by rank if that was asked for.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

import h5py
import numpy as np
from einops import rearrange

from data_prep.sources import (
    ModalityProblem,
    Pixels,
    Reading,
    SampleProblem,
    SourceError,
    below,
    find_files,
    refuse_constant,
)
from mmdg_lite.data.real.files import open_regular
from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.modality import Modality

TREES = ("preprocessed-face-station_RGB", "preprocessed-face-station_CDIT")
_CHANNELS = {Modality.DEPTH: 1, Modality.INFRARED: 2}  # of gray, depth, infrared, thermal
_LARGEST = 4096  # pixels per side
LARGEST_FILE = 2**35
"""Bytes of the largest HDF5 file that is opened; only one frame of it is read."""
_LARGEST_CHUNK = 2**26  # bytes that HDF5 unpacks at once
_FRAME = re.compile(r"Frame_([0-9]{1,9})")


@dataclass(frozen=True)
class Wmca:
    """The user's copy, with the files that were found for each video."""

    source: Path
    files: tuple[dict[str, list[str]], dict[str, list[str]]]  # per tree: video -> files, relative to source
    map_by_rank: bool = False  # pair frames by their rank where the two files number them differently
    domain: str = "W"

    @classmethod
    def open(cls, source: Path, *, map_by_rank: bool = False) -> "Wmca":
        """Search the source folder. Raises `SourceError` if either tree is not in it."""
        if not source.is_dir():
            raise SourceError(f"{source}: no such folder; --source names the folder with your copy of WMCA")
        files: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
        for path in find_files(source, ".hdf5"):
            relative = path.relative_to(source)
            for tree, found in zip(TREES, files, strict=True):
                if tree in relative.parts or source.name == tree:
                    found.setdefault(path.stem, []).append(relative.as_posix())
        for tree, found in zip(TREES, files, strict=True):
            if not found:
                raise SourceError(
                    f"{source}: no HDF5 files below a folder {tree}; --source names the folder with both trees"
                )
        return cls(source, files, map_by_rank)

    def read(self, row: ListRow) -> Reading:
        """The frame of a row from both files."""
        if not all(re.fullmatch(r"[0-9]{1,9}", name) for name in row.frames):
            raise SampleProblem(f"{row.paths[0]}: frames of WMCA are numbers, as in color/0012.jpg")
        video, (frame, depth_frame, infrared_frame) = row.clip.rsplit("/", 1)[-1], map(int, row.frames)
        if not frame == depth_frame == infrared_frame and not self.map_by_rank:
            raise SampleProblem(
                f"{row.paths[0]}: the list pairs different frames {row.frames}; see --map-frames-by-rank"
            )
        reading = Reading()
        paths = [self._path(video, number) for number in (0, 1)]
        indices = [_frames(path) if path else () for path in paths]
        for modality in Modality:
            number = 0 if modality is Modality.RGB else 1
            path = paths[number]
            try:
                if path is None:
                    raise ModalityProblem(f"{video}.hdf5: not found below {TREES[number]}; restore it from your copy")
                wanted = frame if number == 0 else self._pair(video, frame, indices, reading)
                reading.images[modality] = _read(path, wanted, modality)
            except ModalityProblem as problem:
                reading.problems[modality] = str(problem)
        reading.notes = sorted(set(reading.notes))
        refuse_constant(reading, f"{self.source}: {video}.hdf5, frame {frame}")
        return reading

    def common_frames(self, video: str) -> tuple[int, ...]:
        """The numbers of the frames that both files of a video hold; none if a file is missing or found twice."""
        found = [files.get(video, []) for files in self.files]
        if any(len(paths) != 1 for paths in found):
            return ()
        colour, other = (_frames(below(self.source, paths[0])) for paths in found)
        return tuple(number for number in colour if number in set(other))

    def _path(self, video: str, number: int) -> Path | None:
        found = self.files[number].get(video, [])
        if len(found) > 1:
            raise SampleProblem(f"{video}: found as {' and as '.join(found)}; remove or rename all but the right one")
        return below(self.source, found[0]) if found else None

    def _pair(self, video: str, frame: int, indices: list[tuple[int, ...]], reading: Reading) -> int:
        """The frame of the second file that belongs to a frame of the first: the same, if both count alike."""
        colour, other = indices
        common = min(len(colour), len(other))
        if colour[:common] == other[:common]:  # one may be longer; reading tells whether the frame is there
            return frame
        what = (
            f"{video}: colour and depth/infrared number their frames differently (frame {frame} is "
            f"{_rank(colour, frame)} in {TREES[0]}, {_rank(other, frame)} in {TREES[1]})"
        )
        if not self.map_by_rank or frame not in colour or colour.index(frame) >= len(other):
            raise SampleProblem(f"{what}; --map-frames-by-rank pairs them by rank")
        mapped = other[colour.index(frame)]
        reading.notes.append(f"{what}; paired by rank with Frame_{mapped}")
        return mapped


def _rank(indices: tuple[int, ...], frame: int) -> str:
    return f"number {indices.index(frame) + 1} of {len(indices)}" if frame in indices else "absent"


@lru_cache(maxsize=8)
def _frames(path: Path) -> tuple[int, ...]:
    """The numbers of a file's groups `Frame_<i>`, sorted. Nothing if the file is not readable HDF5: `_read` says so."""
    try:
        open_regular(path, limit=LARGEST_FILE).close()
        with h5py.File(path, "r") as file:
            return tuple(sorted(int(found[1]) for name in file if (found := _FRAME.fullmatch(name))))
    except Exception:  # damaged files raise anything
        return ()


def _read(path: Path, frame: int, modality: Modality) -> Pixels:
    """One modality of `Frame_<frame>/array`: uint8 of shape (channels, H, W) to H x W x C."""
    cure = "restore the file from your copy of WMCA"
    place = f"{path}, Frame_{frame}/array"
    try:
        open_regular(path, limit=LARGEST_FILE).close()
        with h5py.File(path, "r") as file:
            group = _inside(file, f"Frame_{frame}", place)
            if not isinstance(group, h5py.Group):
                raise ModalityProblem(f"{place}: the file has no such frame; {cure}")
            array = _inside(group, "array", place)
            if not isinstance(array, h5py.Dataset):
                raise ModalityProblem(f"{place}: the frame has no array; {cure}")
            if array.external or array.is_virtual:
                raise SampleProblem(f"{place}: its values are kept in another file; copy them into this one")
            channels = 3 if modality is Modality.RGB else 4
            if (
                array.ndim != 3
                or array.shape[0] != channels
                or not all(0 < side <= _LARGEST for side in array.shape[1:])
            ):
                raise ModalityProblem(f"{place}: expected the shape ({channels}, H, W), found {array.shape}; {cure}")
            if array.dtype != np.uint8:
                raise ModalityProblem(f"{place}: expected values of 0..255 as uint8, found {array.dtype}; {cure}")
            if array.chunks is not None and prod(array.chunks) > _LARGEST_CHUNK:
                raise ModalityProblem(f"{place}: stored in parts of {array.chunks}, larger than the frame; {cure}")
            part = slice(0, 3) if modality is Modality.RGB else slice(_CHANNELS[modality], _CHANNELS[modality] + 1)
            return np.ascontiguousarray(rearrange(array[part], "c h w -> h w c"))
    except (ModalityProblem, SampleProblem):
        raise
    except Exception as error:  # damaged files raise anything
        reason = str(error).split("\n")[0][:200] or type(error).__name__
        raise ModalityProblem(f"{path}: not readable as HDF5 ({reason}); {cure}") from error


def _inside(group: h5py.Group, name: str, place: str) -> h5py.Group | h5py.Dataset | None:
    """A member of a group, None if there is none. Raises `SampleProblem` for a link to elsewhere."""
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise SampleProblem(f"{place}: {name} is a link to elsewhere; copy what it points to into the file")
    return group[name]
