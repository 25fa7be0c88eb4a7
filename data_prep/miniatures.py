"""Miniatures of the four data sets: rendered faces in the true on-disk formats, with lists in the published form.

They let anyone walk the whole path from disk to training without a licence: notebook 01 and the tests do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from data_prep.wmca import TREES
from mmdg_lite.data.real.lists import MODALITY_FOLDERS, SPLITS, ListRow, list_path, read_list
from mmdg_lite.data.synthetic import Faces, render
from mmdg_lite.modality import MODALITIES

SIZE = {"W": 128, "C": 80, "S": 72, "P": 96}  # height and width of the frames in pixels
BORDER = (12, 20)  # black rows and columns around a frame of C, on either side
FRAMES = 2  # per npz of P

# the renderer's species for those that only the lists know
_SPECIES = {
    "3d_mask": "rigid_mask",
    "silicone_mask": "flexible_mask",
    "unknown": "print",
    "other": "glasses",
} | {
    f"0{number}_{parts}_{sheet}": "cut_print"
    for number, parts, sheet in zip(range(1, 7), ("e", "e", "en", "en", "enm", "enm"), "sbsbsb", strict=True)
}

_WMCA_ATTACKS = ("3_01", "3_05", "2_08", "2_12", "2_75", "2_01", "1_01", "4_02")
_SURF_ATTACKS = ("01_e_s", "02_e_b", "03_en_s", "04_en_b", "05_enm_s", "06_enm_b")
_CEFA_ATTACKS = ("3_1_2", "3_2_2", "3_1_4")


def miniature(letter: str, folder: Path, *, live: int = 4, spoof: int = 6, seed: int = 0) -> tuple[Path, Path]:
    """Make a small copy of a data set: `live` and `spoof` samples per split. Returns its source and lists folders."""
    source, lists = folder / "source", folder / "lists"
    lists.mkdir(parents=True, exist_ok=True)
    rows = {}
    for number, split in enumerate(SPLITS):
        lines = [_line(letter, split, 10 * number + i, i, label=1) for i in range(live)]
        lines += [_line(letter, split, 10 * number + i, i, label=0) for i in range(spoof)]
        path = list_path(lists, letter, split)
        path.write_bytes(("\n" if letter == "P" else "\r\n").join(lines).encode() + (b"\n" if letter == "P" else b""))
        rows[split] = read_list(path, letter)
    miniature_tree(letter, source, rows, seed=seed)
    return source, lists


def miniature_tree(letter: str, source: Path, rows: Mapping[str, Sequence[ListRow]], *, seed: int = 0) -> None:
    """Write rendered frames for the rows of some lists, in the format and places where a data set has them."""
    wanted = list({row.key: row for part in rows.values() for row in part}.values())
    species = [_SPECIES.get(row.species, row.species) for row in wanted]
    if letter == "C":  # a screen leaves no depth at all in the synthetic C: as good as a broken sensor
        species = ["print" if name == "replay" else name for name in species]
    faces = render(letter, len(wanted), seed, species=species, size=SIZE[letter])
    write = {"W": _write_wmca, "C": _write_jpeg, "S": _write_jpeg, "P": _write_padisi}[letter]
    for number, row in enumerate(wanted):
        write(source, row, faces, number)


def _line(letter: str, split: str, subject: int, number: int, *, label: int) -> str:
    """One line of a list; subjects are numbered, and no two splits share one."""
    if letter == "P":
        return f"{'zy'[label]}{split}{subject:03d}{number}.npz\t{label}"
    if letter == "W":
        attack = _WMCA_ATTACKS[number % len(_WMCA_ATTACKS)]
        clip, frame = f"WMCA-Image/R_CDIT/{subject + 100}_01_000_{'0_00' if label else attack}", "0012"
    elif letter == "S":
        part, kind = ("real", "real") if label else ("fake", _SURF_ATTACKS[number % len(_SURF_ATTACKS)])
        clip = f"CASIA-SURF-CROP/{part}_part/{part}_{split}_part/CLKJ_AS{subject:04d}/{kind}.rssdk"
        frame = "121"
    elif label == 0 and split == "test" and number % 4 == 3:
        clip, frame = f"CeFA/CeFA-Mask/3D-Mask/{subject:03d}/1_{subject:03d}_1_0_2_1_1", "0003"
    else:
        kind = "1_1_1" if label else _CEFA_ATTACKS[number % len(_CEFA_ATTACKS)]
        clip, frame = f"CeFA/CeFA-Race/AF/AF-{subject:03d}/1_{subject:03d}_{kind}", "0026"
    paths = [f"{clip}/{folder}/{frame}.jpg" for folder in MODALITY_FOLDERS[letter]]
    return " ".join([*paths, str(label)])


def _write_wmca(source: Path, row: ListRow, faces: Faces, number: int) -> None:
    """Frame_<i>/array in both trees: RGB, and gray, depth, infrared, thermal."""
    rgb, depth, infrared = (getattr(faces, modality.value)[number] for modality in MODALITIES)
    gray = rgb.mean(axis=0, keepdims=True).astype(np.uint8)
    thermal = (infrared // 2 + 40).astype(np.uint8)
    arrays = rgb, np.concatenate([gray, depth, infrared, thermal])
    for tree, array in zip(TREES, arrays, strict=True):
        path = source / tree / "01.02.17" / f"{row.clip.rsplit('/', 1)[-1]}.hdf5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "a") as file:
            file.require_group(f"Frame_{int(row.frames[0])}").create_dataset("array", data=array)


def _write_jpeg(source: Path, row: ListRow, faces: Faces, number: int) -> None:
    """Three JPEG files; those of CeFA within a black border."""
    for modality, relative in zip(MODALITIES, row.paths, strict=True):
        pixels = rearrange(getattr(faces, modality.value)[number], "c h w -> h w c")
        if row.clip.startswith("CeFA/"):
            pixels = np.pad(pixels, ((BORDER[0],) * 2, (BORDER[1],) * 2, (0, 0)))
        path = source / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        save_jpeg(path, pixels)


def _write_padisi(source: Path, row: ListRow, faces: Faces, number: int) -> None:
    """`data` of shape (frames, channels, H, W): blue, green, red, near infrared, depth; later frames are darker."""
    bgr = faces.rgb[number][::-1]
    channels = np.concatenate([bgr, faces.infrared[number], faces.depth[number]]).astype(np.float32) / 255
    source.mkdir(parents=True, exist_ok=True)
    np.savez(source / row.paths[0], data=np.stack([channels / (1 + frame) for frame in range(FRAMES)]))


def save_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    """uint8 H x W x C as a JPEG of quality 95."""
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path, "JPEG", quality=95)
