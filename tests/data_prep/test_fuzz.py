"""Damaged input of any kind ends as what was written, or as a refusal that names the file: never as another exception.

Every reader gets mutated bytes of valid files, drawn from a seed. Of each case it is counted whether the file was
accepted with equal values, accepted with others (a flipped pixel is no error to any decoder), or refused by name.
"""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_prep.casia_surf import CasiaSurf
from data_prep.journal import Converted
from data_prep.leave_one_out import read_leave_one_out
from data_prep.miniatures import miniature
from data_prep.padisi import Padisi
from data_prep.sources import SampleProblem
from data_prep.synthetic import synthetic
from data_prep.table import COLUMNS, read_table
from data_prep.wmca import TREES, Wmca
from mmdg_lite.data.real.decode import read_colour, read_depth, read_infrared
from mmdg_lite.data.real.formats import PictureError
from mmdg_lite.data.real.lists import ListError, list_path, read_list
from mmdg_lite.data.real.manifest import ManifestError, read_manifest
from mmdg_lite.data.real.stored import decode
from mmdg_lite.modality import MODALITIES, Modality


@dataclass(frozen=True)
class Reader:
    """A reader, valid contents of the file that it reads, and the exceptions that it promises."""

    path: Path
    contents: tuple[bytes, ...]
    read: Callable[[], Any]
    promised: tuple[type[Exception], ...]


def pictures() -> dict[str, tuple[bytes, ...]]:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
    depth = rng.integers(420, 880, (12, 10)).astype(np.uint16)

    def tiff(array: np.ndarray, **more: Any) -> bytes:
        out = io.BytesIO()
        tifffile.imwrite(out, array, **more)
        return out.getvalue()

    def pillow(image: Image.Image, **more: Any) -> bytes:
        out = io.BytesIO()
        image.save(out, **more)
        return out.getvalue()

    exif = Image.Exif()
    exif[274] = 6
    rgb, wide = Image.fromarray(colour), colour.astype(np.uint16) * 257
    return {
        "colour": (
            imagecodecs.png_encode(colour),
            imagecodecs.png_encode(wide),
            pillow(rgb.quantize(16), format="PNG", transparency=0),
            pillow(rgb, format="JPEG", exif=exif),
            tiff(colour, photometric="rgb", compression="lzw"),
            tiff(wide, photometric="rgb", compression="deflate", predictor=True, tile=(16, 16)),
            pillow(rgb.quantize(16), format="TIFF"),
        ),
        "depth": (
            imagecodecs.png_encode(depth),
            imagecodecs.png_encode(np.repeat(depth[..., None], 3, 2)),
            tiff(depth, compression="lzw"),
            tiff(depth.astype(np.float32), byteorder=">"),
            tiff(depth.astype(np.int32), compression="zstd", bigtiff=True),
        ),
        "infrared": (
            pillow(rgb.convert("L"), format="PNG"),
            pillow(rgb.convert("L"), format="JPEG"),
            pillow(rgb.convert("1"), format="PNG"),
            tiff(colour[..., 0], photometric="miniswhite"),
        ),
    }


@pytest.fixture(scope="module")
def readers(tmp_path_factory) -> dict[str, Reader]:
    folder = tmp_path_factory.mktemp("fuzz")
    found = {}
    picture = folder / "picture"
    calls = {
        "colour": lambda: read_colour(picture),
        "depth": lambda: read_depth(picture, limits=(400, 900)).grey,
        "infrared": lambda: read_infrared(picture).grey,
    }
    for name, contents in pictures().items():
        found[name] = Reader(picture, contents, calls[name], (PictureError,))
    converted = pictures()["colour"][0], pictures()["infrared"][1]
    found["stored"] = Reader(picture, converted, lambda: decode(picture, Modality.RGB, size=12), (OSError,))
    sources: dict[str, Callable[[Path], Any]] = {"W": Wmca.open, "S": CasiaSurf.open, "P": Padisi.open}
    for letter, open_source in sources.items():
        source, lists = miniature(letter, folder / letter, live=1, spoof=1)
        row = read_list(list_path(lists, letter, "train"), letter)[1]
        if letter == "W":
            (path,) = (source / TREES[1]).rglob(f"{row.clip.rsplit('/', 1)[-1]}.hdf5")
        else:
            path = source / row.paths[1]
        contents = [path.read_bytes()]
        if letter == "P":
            with np.load(path) as file:
                out = io.BytesIO()
                np.savez_compressed(out, **file)
                contents.append(out.getvalue())
            with zipfile.ZipFile(path) as archive:
                contents.append(archive.read("data.npy"))  # no archive at all

        def read(open_source=open_source, source=source, row=row, path=path) -> Any:
            reading = open_source(source).read(row)
            assert set(reading.images) | set(reading.problems) == set(MODALITIES)
            assert not set(reading.images) & set(reading.problems)
            for image in reading.images.values():
                assert image.dtype == np.uint8 and image.ndim == 3 and image.min() < image.max()
            assert all(str(path) in reason or row.clip in reason for reason in reading.problems.values())
            if reading.problems:
                raise SampleProblem("; ".join(reading.problems.values()))
            return [reading.images[modality] for modality in MODALITIES]

        found[letter] = Reader(path, tuple(contents), read, (SampleProblem,))
        name = list_path(lists, letter, "train")
        call = lambda name=name, letter=letter: read_list(name, letter)  # noqa: E731
        found[f"list {letter}"] = Reader(
            name, (name.read_bytes(), b"\xef\xbb\xbf" + name.read_bytes()), call, (ListError,)
        )
    table = folder / "table.csv"
    lines = (
        ",".join(COLUMNS),
        "train,live,a,1.png,1d.png,",
        "val,print,b,2.png,2d.png,",
        "test,live,c,x\\3.png,,3i.png",
    )
    texts = ("\r\n".join(lines), "\n".join(lines).replace(",", ";"), "sep=\t\n" + "\n".join(lines).replace(",", "\t"))
    encoded = tuple(text.encode(encoding) for text in texts for encoding in ("utf-8-sig", "utf-16"))
    found["table"] = Reader(table, encoded, lambda: read_table(table, source=folder), (ListError,))
    protocol = folder / "PROTOCOL-LOO_print.csv"
    recordings = b"file,group\r\nx/001_01_000_0_00,train\r\nx/002_01_000_3_01.hdf5,dev\r\n"
    wmca = Wmca.open(folder / "W" / "source")
    found["leave-one-out"] = Reader(protocol, (recordings,), lambda: read_leave_one_out(protocol, wmca), (ListError,))
    synthetic(folder / "data", domain="W", samples={"train": 2, "val": 1, "test": 1}, size=16, progress=False)
    manifest = folder / "data" / "manifest.csv"
    found["manifest"] = Reader(manifest, (manifest.read_bytes(),), lambda: read_manifest(manifest), (ManifestError,))
    return found


PICTURES = ("colour", "depth", "infrared", "stored")
READERS = (*PICTURES, "W", "S", "P", "list W", "list S", "list P", "table", "leave-one-out", "manifest")


def mutated(rng: np.random.Generator, content: bytes) -> bytes:
    """Some bytes changed (in the head as often as elsewhere), repeated, removed or cut off."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        end = min(len(out), 200) if rng.random() < 0.5 else len(out)
        place = int(rng.integers(0, max(end, 1)))
        kind = rng.integers(0, 6)
        if kind <= 2:
            out[place : place + 1] = bytes([int(rng.integers(0, 256))])
        elif kind == 3:
            width = int(rng.choice([2, 4, 8]))
            out[place : place + width] = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * width
        elif kind == 4:
            piece = bytes(out[place : place + int(rng.integers(1, 40))])
            out[place:place] = piece
        else:
            del out[place : place + int(rng.integers(1, 40))]
    return bytes(out[: rng.integers(0, len(out) + 1)] if rng.random() < 0.2 else out)


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, list) and first and isinstance(first[0], np.ndarray):
        return all(map(np.array_equal, first, second))
    return bool(first == second)


def fuzz(reader: Reader, cases: int, seed: int) -> Counter[str]:
    """Outcomes of mutated contents by kind. "other" holds what no reader promises."""
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    original = []
    for content in reader.contents:
        reader.path.unlink(missing_ok=True)
        reader.path.write_bytes(content)
        try:
            original.append(reader.read())
        except reader.promised:
            original.append(None)
    assert any(value is not None for value in original)
    for _ in range(cases):
        which = int(rng.integers(0, len(reader.contents)))
        reader.path.unlink()  # a new file: readers may remember the old one by its place on disk
        reader.path.write_bytes(mutated(rng, reader.contents[which]))
        try:
            value = reader.read()
        except reader.promised as error:
            outcomes["refused with its name" if reader.path.name in str(error) else f"other: {error}"] += 1
        except Exception as error:
            outcomes[f"other: {type(error).__name__}: {error}"] += 1
        else:
            same = original[which] is not None and equal(value, original[which])
            outcomes["accepted and equal" if same else "accepted with other values"] += 1
    reader.path.write_bytes(reader.contents[0])
    return outcomes


def check(outcomes: Counter[str], cases: int) -> None:
    assert not [kind for kind in outcomes if kind.startswith("other")]
    assert sum(outcomes.values()) == cases and outcomes["refused with its name"]


@pytest.mark.parametrize("name", READERS)
def test_mutated_files(readers, name):
    check(fuzz(readers[name], 60, seed=1), 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_mutated_files(readers, name, capsys):
    outcomes = fuzz(readers[name], 1_600, seed=2)
    with capsys.disabled():
        print(f"\n{name}: {json.dumps(outcomes)}")
    check(outcomes, 1_600)


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(str))
def test_any_line_of_a_journal_is_a_sample_or_nothing(line):
    assert Converted.parse(line) is None


def test_a_torn_line_of_a_journal_is_nothing(tmp_path):
    synthetic(tmp_path, domain="W", samples={"train": 1, "val": 1, "test": 1}, size=16, progress=False)
    line = (tmp_path / "journal.jsonl").read_text().split("\n")[0]
    assert Converted.parse(line).intact(tmp_path)
    assert all(Converted.parse(line[:end]) is None for end in range(len(line)))
