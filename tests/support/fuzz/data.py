"""Readers of data sets: pictures, recordings, lists, tables, manifests, and what a conversion leaves beside them."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from data_prep.casia_surf import CasiaSurf
from data_prep.cefa import Cefa
from data_prep.conversion import CONVERSION, OutputError, read_settings
from data_prep.journal import JOURNAL, Journal
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
from mmdg_lite.data.real.manifest import ManifestError, check_row, read_manifest
from mmdg_lite.data.real.stored import decode
from mmdg_lite.inference.samples import samples_of_table
from mmdg_lite.modality import MODALITIES, Modality
from tests.support.fuzz.mutations import Mutation, mutated_bytes, mutated_json, mutated_json_lines, mutated_table
from tests.support.fuzz.reader import Case, Reader


def data_readers(folder: Path) -> dict[str, Reader]:
    """The readers of data sets, with their files below a folder."""
    return _pictures(folder) | _sources(folder) | _texts(folder) | _converted(folder)


def _made(path: Path, contents: tuple[bytes, ...], mutation: Mutation = mutated_bytes) -> tuple[Case, ...]:
    return tuple(Case(path, content, mutation) for content in contents)


def pictures() -> dict[str, tuple[bytes, ...]]:
    """Small pictures as cameras and tools write them, by what they are read as."""
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


def _pictures(folder: Path) -> dict[str, Reader]:
    picture = folder / "picture"
    calls: dict[str, Callable[[], Any]] = {
        "colour": lambda: read_colour(picture),
        "depth": lambda: read_depth(picture, limits=(400, 900)).grey,
        "infrared": lambda: read_infrared(picture).grey,
    }
    made = pictures()
    readers = {name: Reader(_made(picture, made[name]), call, (PictureError,)) for name, call in calls.items()}
    converted = made["colour"][0], made["infrared"][1]
    stored = Reader(_made(picture, converted), lambda: decode(picture, Modality.RGB, size=12), (OSError,))
    return readers | {"stored": stored}


def _sources(folder: Path) -> dict[str, Reader]:
    """The owners' recordings and the published lists, by the letters of their domains."""
    sources: dict[str, Callable[[Path], Any]] = {
        "W": Wmca.open,
        "C": Cefa.open,
        "S": CasiaSurf.open,
        "P": Padisi.open,
    }
    readers = {}
    for letter, open_source in sources.items():
        source, lists = miniature(letter, folder / letter, live=1, spoof=1)
        row = read_list(list_path(lists, letter, "train"), letter)[1]
        if letter == "W":
            (path,) = (source / TREES[1]).rglob(f"{row.clip.rsplit('/', 1)[-1]}.hdf5")
        elif letter == "C":
            path = next(
                path for path in source.rglob("*.jpg") if path.as_posix().endswith(row.paths[1].partition("/")[2])
            )
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

        def read(
            open_source: Callable[[Path], Any] = open_source, source: Path = source, row: Any = row, path: Path = path
        ) -> Any:
            reading = open_source(source).read(row)
            assert set(reading.images) | set(reading.problems) == set(MODALITIES)
            assert not set(reading.images) & set(reading.problems)
            for image in reading.images.values():
                assert image.dtype == np.uint8 and image.ndim == 3 and image.min() < image.max()
            assert all(path.name in reason or row.clip in reason for reason in reading.problems.values())
            if reading.problems:
                raise SampleProblem("; ".join(reading.problems.values()))
            return [reading.images[modality] for modality in MODALITIES]

        readers[letter] = Reader(_made(path, tuple(contents)), read, (SampleProblem,))
        name = list_path(lists, letter, "train")
        content = name.read_bytes()
        readers[f"list {letter}"] = Reader(
            _made(name, (content, b"\xef\xbb\xbf" + content), mutated_table("\t" if letter == "P" else " ")),
            lambda name=name, letter=letter: read_list(name, letter),  # type: ignore[misc]
            (ListError,),
            weight=0.6,
        )
    return readers


def _texts(folder: Path) -> dict[str, Reader]:
    """Tables of own data and of samples to predict, and lists of recordings."""
    table = folder / "table.csv"
    lines = (
        ",".join(COLUMNS),
        "train,live,a,1.png,1d.png,",
        "val,print,b,2.png,2d.png,",
        "test,live,c,x\\3.png,,3i.png",
    )
    texts = ("\r\n".join(lines), "\n".join(lines).replace(",", ";"), "sep=\t\n" + "\n".join(lines).replace(",", "\t"))
    encoded = [text.encode(encoding) for text in texts for encoding in ("utf-8-sig", "utf-16")]
    separators = (",", ",", ";", ";", "\t", "\t")
    cases = tuple(Case(table, text, mutated_table(s)) for text, s in zip(encoded, separators, strict=True))
    protocol = folder / "PROTOCOL-LOO_print.csv"
    recordings = b"file,group\r\nx/001_01_000_0_00,train\r\nx/002_01_000_3_01.hdf5,dev\r\n"
    wmca = Wmca.open(folder / "W" / "source")
    asked = folder / "asked.csv"
    rows = b"id,rgb,depth,infrared\na,1.png,1d.png,\nb,2.png,,2i.png\n"
    return {
        "table": Reader(cases, lambda: read_table(table, source=folder), (ListError,)),
        "leave-one-out": Reader(
            _made(protocol, (recordings,), mutated_table(",")),
            lambda: read_leave_one_out(protocol, wmca),
            (ListError,),
            weight=0.6,
        ),
        "table to predict": Reader(
            _made(asked, (rows, rows.replace(b",", b";")), mutated_table(",")),
            lambda: samples_of_table(asked),
            (ValueError, OSError),
        ),
    }


def _converted(folder: Path) -> dict[str, Reader]:
    """What a conversion writes."""
    synthetic(folder / "data", domain="W", samples={"train": 2, "val": 1, "test": 1}, size=16, progress=False)
    manifest, journal, settings = (folder / "data" / name for name in ("manifest.csv", JOURNAL, CONVERSION))
    settings.write_text(json.dumps({"form": 2, "domain": "W", "size": 16, "limits": [400, 900]}))

    def entries() -> Any:
        with Journal(folder / "data") as found:
            for entry in found.entries.values():
                check_row(entry.row)
            return dict(found.entries)

    return {
        "manifest": Reader(
            _made(manifest, (manifest.read_bytes(),), mutated_table(",")),
            lambda: read_manifest(manifest),
            (ManifestError,),
        ),
        "journal": Reader(_made(journal, (journal.read_bytes(),), mutated_json_lines), entries, (), weight=0.6),
        "conversion's settings": Reader(
            _made(settings, (settings.read_bytes(),), mutated_json),
            lambda: read_settings(folder / "data"),
            (OutputError,),
            weight=0.6,
        ),
    }
