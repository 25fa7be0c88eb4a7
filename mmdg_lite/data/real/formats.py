"""PNG, JPEG and TIFF files as arrays of the values that they hold.

Three libraries share the work, because none decodes every mode faithfully:

- Pillow decodes JPEG, PNG of 8 bits or fewer and grey PNG of 16 bits, and TIFF with a palette. It shortens files of
  several 16-bit channels to 8 bits without a word, and knows few kinds of TIFF.
- imagecodecs decodes PNG of 16 bits and several channels exactly.
- tifffile (with imagecodecs for compressed files) decodes TIFF of any numbers: signed, floating-point, planar, tiled,
  of either byte order. It is scikit-image's reader of TIFF, and installed with it.

Files are untrusted. Only regular files are opened, the formats are named (Pillow would start Ghostscript for an EPS
file that is called `.png`), and the header's size is checked before anything is decoded.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from mmdg_lite.configuration import stand_in
from mmdg_lite.data.real.files import read_regular

LARGEST_PICTURE = 2**26
"""Pixels of the largest picture that is decoded (8192 x 8192)."""
LARGEST_DECODED = 2**29
"""Bytes of the largest picture once it is decoded. Reading one takes less than 2 GiB of memory in all."""

SEVERAL = "several pictures in one file; save the one that is meant by itself"

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_IN_TIFF = (6, 7)  # numbers of compression
_UPRIGHT = 1
_ORIENTATION = 274  # the tag of EXIF and of TIFF

Values = NDArray[Any]


class PictureError(ValueError):
    """A picture cannot be used. The message names the file, what was found and what to do."""


@dataclass(frozen=True)
class Stored:
    """A decoded file, upright."""

    values: Values  # H x W x C, of the type that the file stores: bool, integers or floating-point
    found: str  # such as "PNG of 16 bits and 3 channels"
    notes: tuple[str, ...] = ()  # what was done that a user should know
    inverted: bool = False  # True where the file says that 0 is white
    lossy: bool = False  # True for JPEG, which changes values


def stored_values(path: str | Path) -> Stored:
    """Decode a picture, whatever its mode, bit depth, byte order, channels, palette or orientation.

    Raises `PictureError` for a file that is no PNG, JPEG or TIFF, is damaged, too large, or holds several pictures.
    """
    try:
        content = read_regular(path, limit=LARGEST_DECODED)
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({error.strerror or error})") from error
    with named(path):
        if content.startswith(_PNG):
            return _png(path, content)
        if content.startswith(_JPEG):
            return _with_pillow(path, content, "JPEG")
        if content.startswith(_TIFF):
            return _tiff(path, content)
    if what := stand_in(content):
        raise PictureError(f"{path} is {what}")
    begin = f"the file begins with {content[:8]!r}"
    raise PictureError(f"{path}: neither PNG, JPEG nor TIFF ({begin}); save the picture as one of these")


@contextmanager
def named(path: str | Path) -> Iterator[None]:
    """Whatever a decoder raises becomes a `PictureError` that names the file; its warnings are not printed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PictureError:
        raise
    except Exception as error:  # decoders raise anything for damaged files
        reason = str(error).split("\n")[0][:200] or type(error).__name__
        raise PictureError(f"{path}: the image is unreadable or cut off ({reason}); restore the file") from error


def check_size(path: str | Path, width: int, height: int, bytes_per_pixel: int) -> None:
    """Raise `PictureError` for a picture that would take too much memory, before it is decoded."""
    pixels = width * height
    if not 0 < pixels <= LARGEST_PICTURE or pixels * bytes_per_pixel > LARGEST_DECODED:
        raise PictureError(
            f"{path}: {width} x {height} pixels of {bytes_per_pixel} bytes; pictures of 1 to {LARGEST_PICTURE} pixels "
            f"and at most {LARGEST_DECODED >> 20} MiB are read: crop it to the face"
        )


def _png(path: str | Path, content: bytes) -> Stored:
    """A PNG file; its header says which decoder is faithful to it."""
    width, height, bits, colour = struct.unpack(">IIBB", content[16:26])
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    check_size(path, width, height, channels * (2 if bits == 16 else 1))
    if bits < 16 or channels == 1:
        return _with_pillow(path, content, "PNG")
    import imagecodecs

    values = imagecodecs.png_decode(content)  # H x W x C
    with Image.open(BytesIO(content), formats=("PNG",)) as image:
        orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
    return _upright(path, values, orientation, f"PNG of {bits} bits and {channels} channels")


def _with_pillow(path: str | Path, content: bytes, format: str) -> Stored:
    """A file that Pillow decodes faithfully."""
    with Image.open(BytesIO(content), formats=(format,)) as image:
        check_size(path, *image.size, len(image.getbands()))
        if format == "PNG" and getattr(image, "n_frames", 1) > 1:
            raise PictureError(f"{path}: {SEVERAL}")
        mode = image.mode
        if mode in ("CMYK", "LAB"):
            cure = "which colours of a screen these are depends on a profile; save it as RGB"
            raise PictureError(f"{path}: found mode {mode}: {cure}")
        orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
        if mode == "P":
            values = np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
        elif mode in ("PA", "YCbCr"):
            values = np.asarray(image.convert("RGBA" if mode == "PA" else "RGB"))
        else:
            values = np.asarray(image)
    values = values.reshape(*values.shape[:2], -1)  # H x W x C
    found = f"{format} of mode {mode}"
    if format == "TIFF" and orientation != _UPRIGHT:  # Pillow turns TIFF files by itself, and no others
        return Stored(values, found, (_turned(path, orientation),))
    return replace(_upright(path, values, orientation, found), lossy=format == "JPEG")


def _tiff(path: str | Path, content: bytes) -> Stored:
    """A TIFF file: by tifffile what is grey or RGB, by Pillow what needs a palette or its like."""
    import tifffile

    with tifffile.TiffFile(BytesIO(content), is_ome=False) as file:
        page = file.pages[0]
        if not isinstance(page, tifffile.TiffPage) or page.dtype is None:
            raise PictureError(f"{path}: values of a kind that is not known; save it as TIFF of 8, 16 or 32 bits")
        for other in range(1, 9):
            try:
                further = file.pages[other]
            except IndexError:
                break
            if not (further.keyframe and further.keyframe.is_reduced):  # thumbnails are
                raise PictureError(f"{path}: {SEVERAL}")
        bits = page.bitspersample
        samples = page.samplesperpixel
        check_size(path, page.imagewidth, page.imagelength, samples * page.dtype.itemsize)
        if bits < 8 or (bits == 8 and page.photometric not in (1, 2)):  # palettes, YCbCr, 0 as white
            return _with_pillow(path, content, "TIFF")
        if page.photometric not in (0, 1, 2):
            kind = getattr(page.photometric, "name", page.photometric)
            raise PictureError(f"{path}: colours of kind {kind} in {bits} bits; save it as grey or RGB")
        if prod(page.shape) * page.dtype.itemsize > LARGEST_DECODED:
            raise PictureError(f"{path}: an array of shape {page.shape} is no picture; save it as grey or RGB")
        values = page.asarray(maxworkers=1)
        axes, inverted, lossy = page.axes, page.photometric == 0, page.compression in _JPEG_IN_TIFF
        orientation = page.tags.valueof(_ORIENTATION, _UPRIGHT)
    if axes == "SYX":  # planar
        values = rearrange(values, "c h w -> h w c")
    elif axes == "YX":
        values = rearrange(values, "h w -> h w 1")
    elif axes != "YXS":
        raise PictureError(f"{path}: an array of axes {axes} is no picture; save it as grey or RGB")
    found = f"TIFF of {values.dtype} and {values.shape[2]} channel{'s' * (values.shape[2] > 1)}"
    return replace(_upright(path, values, int(orientation), found), inverted=inverted, lossy=lossy)


def _upright(path: str | Path, values: Values, orientation: int, found: str) -> Stored:
    """Turn H x W x C as the orientation tag of EXIF or TIFF says; unknown tags say nothing."""
    turn = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[::-1].swapaxes(0, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[:, ::-1].swapaxes(0, 1),
    }.get(orientation)
    if turn is None:
        return Stored(values, found)
    return Stored(np.ascontiguousarray(turn(values)), found, (_turned(path, orientation),))


def _turned(path: str | Path, orientation: int) -> str:
    return f"{path}: turned upright by its orientation tag ({orientation}); the other modalities must show the same way"
