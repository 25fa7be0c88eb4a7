"""Converted data sets on disk: decoded on the fly, or once into a memory map that later epochs read."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from mmdg_lite.data.dataset import DescribedDataset, Images, Samples
from mmdg_lite.data.real.decode import resize
from mmdg_lite.data.real.files import open_regular
from mmdg_lite.data.real.formats import LARGEST_DECODED, check_size
from mmdg_lite.data.real.manifest import MANIFEST, ManifestRow, read_manifest
from mmdg_lite.modality import MODALITIES, Modality

CHANNELS = {Modality.RGB: 3, Modality.DEPTH: 1, Modality.INFRARED: 1}


class ManifestDataset(DescribedDataset):
    """One split of a converted domain (`data_prep` writes the form). Images are decoded whenever they are read.

    `size`: height and width in pixels that images are resized to (`decode.resize`) unless they have it already.
    `species`: keep only samples of these species ("live" among them); None keeps all.
    Raises `ManifestError` for a manifest that was tampered with, `ValueError` for a split without samples.
    """

    def __init__(
        self, folder: str | Path, split: str, *, size: int = 224, species: Sequence[str] | None = None
    ) -> None:
        self.folder, self.split, self.size = Path(folder), split, size
        rows = [row for row in read_manifest(self.folder / MANIFEST) if row.split == split]
        self.rows = [row for row in rows if species is None or row.species in species]
        if not self.rows:
            wanted = "" if species is None else f" of species {', '.join(species)}"
            raise ValueError(f"{self.folder / MANIFEST}: no samples{wanted} in split {split!r}")
        super().__init__(
            ids=[row.id for row in self.rows],
            labels=np.array([row.label for row in self.rows], dtype=np.int64),
            species=[row.species for row in self.rows],
            domains=[row.domain for row in self.rows],
            present=np.array([row.present for row in self.rows], dtype=bool),
        )

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Decode the samples asked for. Raises `OSError` naming an image that cannot be read."""
        rows = [self.rows[index] for index in indices]
        images = {modality.value: self._images(rows, modality) for modality in MODALITIES}
        return Samples(
            **images,
            present=np.array([row.present for row in rows], dtype=bool).reshape(len(rows), 3),
            label=np.array([row.label for row in rows], dtype=np.int64),
            ids=[row.id for row in rows],
            species=[row.species for row in rows],
            domains=[row.domain for row in rows],
        )

    def _images(self, rows: list[ManifestRow], modality: Modality) -> Images:
        out = np.zeros((len(rows), CHANNELS[modality], self.size, self.size), dtype=np.uint8)  # B x C x H x W
        for number, row in enumerate(rows):
            if row.path(modality):
                out[number] = decode(self.folder / row.path(modality), modality, size=self.size)
        return out


def decode(path: str | Path, modality: Modality, *, size: int) -> Images:
    """An image file as uint8 C x size x size, C = 3 for RGB and 1 otherwise. Raises `OSError` naming the file."""
    try:
        with open_regular(path, limit=LARGEST_DECODED) as opened, Image.open(opened, formats=("PNG", "JPEG")) as file:
            check_size(path, *file.size, 3)
            image = file.convert("RGB" if modality is Modality.RGB else "L")
            pixels = np.asarray(image).reshape(*image.size[::-1], -1)  # H x W x C
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(
            f"{path}: the image cannot be decoded ({error}); `python -m data_prep verify` finds all such"
        ) from error
    resized = resize(pixels, size=size, holes=modality is Modality.DEPTH)
    return rearrange(resized, "h w c -> c h w")


class CachedDataset(DescribedDataset):
    """A converted split, decoded and resized once into memory-mapped arrays; reads cost no decoding.

    The first use writes `<folder>/cache/<split>-<size>-<key>/` (one array per modality), later uses open it. The key
    follows from the manifest's rows, checksums of the images included, so a conversion that changed is decoded anew.
    """

    def __init__(self, dataset: ManifestDataset, *, folder: str | Path | None = None, progress: bool = True) -> None:
        super().__init__(
            ids=dataset.ids,
            labels=dataset.labels,
            species=dataset.species,
            domains=dataset.domains,
            present=dataset.present,
        )
        digest = hashlib.sha256("\n".join(row.checksum() for row in dataset.rows).encode()).hexdigest()[:16]
        root = dataset.folder / "cache" if folder is None else Path(folder)
        self.folder = root / f"{dataset.domain}-{dataset.split}-{dataset.size}-{digest}"
        if not self.folder.is_dir():
            _fill(dataset, self.folder, progress=progress)
        self._maps = self._open()

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Copy the samples asked for out of the memory map."""
        rows = np.asarray(indices, dtype=np.int64)
        return Samples(
            **{modality.value: np.asarray(self._maps[modality][rows]) for modality in MODALITIES},
            present=self.present[rows],
            label=self.labels[rows],
            ids=[self.ids[row] for row in rows],
            species=[self.species[row] for row in rows],
            domains=[self.domains[row] for row in rows],
        )

    def _open(self) -> dict[Modality, Images]:
        return {m: np.load(self.folder / f"{m.value}.npy", mmap_mode="r", allow_pickle=False) for m in MODALITIES}

    def __getstate__(self) -> dict[str, Any]:
        """Worker processes get the folder, not a copy of the images."""
        return {name: value for name, value in self.__dict__.items() if name != "_maps"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._maps = self._open()


def _fill(dataset: ManifestDataset, folder: Path, *, progress: bool, block: int = 64) -> None:
    """Decode a split into arrays, in a folder that gets its name only when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial"))
    try:
        shapes = {m: (len(dataset), CHANNELS[m], dataset.size, dataset.size) for m in MODALITIES}
        maps = {
            m: np.lib.format.open_memmap(partial / f"{m.value}.npy", mode="w+", dtype=np.uint8, shape=shapes[m])
            for m in MODALITIES
        }
        title = f"decoding {dataset.domain} {dataset.split}"
        for start in tqdm(range(0, len(dataset), block), desc=title, unit="block", disable=not progress):
            samples = dataset.read(range(start, min(start + block, len(dataset))))
            for modality in MODALITIES:
                maps[modality][start : start + block] = getattr(samples, modality.value)
        for array in maps.values():
            array.flush()
        del maps
        try:
            os.rename(partial, folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker, with the same content
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
