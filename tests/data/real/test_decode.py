"""Pictures as cameras and tools write them: every mode is read with the values that it holds, or refused by name."""

import io
import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from mmdg_lite.data.real import formats
from mmdg_lite.data.real.decode import (
    FULL_RANGE,
    depth_grey,
    intensity_grey,
    read_colour,
    read_depth,
    read_infrared,
    resize,
)
from mmdg_lite.data.real.formats import PictureError, stored_values

RNG = np.random.default_rng(3)
COLOUR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
MILLIMETRES = RNG.integers(420, 880, (9, 7)).astype(np.uint16)
LIMITS = (400, 900)


def png(path, array):
    path.write_bytes(imagecodecs.png_encode(array))
    return path


def with_alpha(array, alpha=None):
    full = np.iinfo(array.dtype).max
    channels = array if array.ndim == 3 else array[..., None]
    return np.concatenate([channels, np.full((*array.shape[:2], 1), full if alpha is None else alpha, array.dtype)], 2)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_any_number_of_channels_and_bits(tmp_path, channels, bits):
    array = RNG.integers(0, 2**bits, (9, 7, channels)).astype(f"u{bits // 8}")
    values = stored_values(png(tmp_path / "a.png", array.squeeze())).values
    assert values.dtype == array.dtype and np.array_equal(values, array)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_of_any_number_and_layout(tmp_path, dtype, channels):
    array = RNG.integers(0, 120, (9, 7, channels)).astype(dtype)
    written, path = (array if channels > 1 else array[..., 0]), tmp_path / "a.tif"
    kind = "minisblack" if channels == 1 else "rgb"
    for compression in (None, "lzw", "deflate", "packbits", "zstd"):
        for more in ({}, {"tile": (16, 16)}, {"bigtiff": True}):
            for order in "<>":
                tifffile.imwrite(path, written, compression=compression, byteorder=order, photometric=kind, **more)
                values = stored_values(path).values
                assert values.dtype.newbyteorder("=") == array.dtype and np.array_equal(values, array)
    if channels > 1:
        tifffile.imwrite(path, np.moveaxis(array, 2, 0), photometric=kind, planarconfig="separate")
        assert np.array_equal(stored_values(path).values, array)


def test_colour_of_every_mode_is_the_same_picture(tmp_path):
    path = tmp_path / "a.png"
    palette = Image.fromarray(COLOUR).quantize(256)
    wide = COLOUR.astype(np.uint16) * 257
    for array in (COLOUR, with_alpha(COLOUR), with_alpha(COLOUR, 0), wide, with_alpha(wide)):
        assert np.array_equal(read_colour(png(path, array)), COLOUR)
    palette.save(path)
    assert np.array_equal(read_colour(path), np.asarray(palette.convert("RGB")))
    palette.save(path, transparency=0)
    assert np.array_equal(read_colour(path), np.asarray(palette.convert("RGB")))
    tif = tmp_path / "a.tif"
    for array in (COLOUR, wide, COLOUR.astype(np.float32) / 255, COLOUR.astype(np.float64) / 255):
        tifffile.imwrite(tif, array, photometric="rgb", compression="lzw")
        assert np.array_equal(read_colour(tif), COLOUR)
    palette.save(tif)
    assert np.array_equal(read_colour(tif), np.asarray(palette.convert("RGB")))


def test_transparency_is_left_out_and_said(tmp_path):
    notes = []
    half = with_alpha(COLOUR)
    half[:3, :, 3] = 0
    assert np.array_equal(read_colour(png(tmp_path / "a.png", half), notes=notes), COLOUR)
    assert len(notes) == 1 and "33% of the pixels are transparent" in notes[0] and "a.png" in notes[0]
    assert read_colour(png(tmp_path / "a.png", with_alpha(COLOUR)), notes=(opaque := [])).any() and not opaque


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["png", "jpg", "tif", "wide"])
def test_pictures_are_turned_upright(tmp_path, format, orientation):
    flip, turns = {1: (0, 0), 2: (1, 0), 3: (0, 2), 4: (1, 2), 5: (1, 1), 6: (0, 3), 7: (1, 3), 8: (0, 1)}[orientation]
    upright = np.repeat(np.repeat(RNG.integers(0, 256, (3, 2), dtype=np.uint8), 16, 0), 16, 1)
    # what is stored becomes upright by k quarter turns to the left, after mirroring left and right
    stored = np.rot90(upright, -turns)
    stored = stored[:, ::-1] if flip else stored
    path, notes = tmp_path / f"a.{format}", []
    if format == "wide":
        extra = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, stored.astype(np.uint16) * 257, extratags=extra, photometric="minisblack")
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(np.ascontiguousarray(stored)).save(
            path, exif=exif, **({"quality": 100} if format == "jpg" else {})
        )
    values = stored_values(path)
    limits = (0, 65535) if format == "wide" else None
    assert np.abs(read_infrared(path, limits=limits, notes=notes).grey.astype(int) - upright).max() <= 2
    assert len(notes) == len(values.notes) == (orientation != 1)
    assert all("orientation tag" in note and str(path) in note for note in notes)


def test_infrared_of_every_mode_is_the_same_picture(tmp_path):
    path, tif = tmp_path / "a.png", tmp_path / "a.tif"
    three = np.repeat(GREY[..., None], 3, 2)
    for array in (GREY, with_alpha(GREY), three, with_alpha(three)):
        assert np.array_equal(read_infrared(png(path, array)).grey, GREY)
    for array in (GREY, three):
        wide = array.astype(np.uint16) * 4
        for target in (png(path, wide), png(path, with_alpha(wide))):
            assert np.array_equal(read_infrared(target, limits=(0, 1020)).grey, GREY)
    tifffile.imwrite(tif, 255 - GREY, photometric="miniswhite")
    assert np.array_equal(read_infrared(tif).grey, GREY)
    tifffile.imwrite(tif, 65535 - GREY.astype(np.uint16) * 257, photometric="miniswhite")
    assert np.array_equal(read_infrared(tif, limits=(0, 65535)).grey, GREY)
    Image.fromarray(GREY > 127).save(path)
    assert np.array_equal(read_infrared(path).grey, np.where(GREY > 127, 255, 0))


def test_depth_of_every_mode_is_the_same_picture(tmp_path):
    path, tif = tmp_path / "a.png", tmp_path / "a.tif"
    depth = MILLIMETRES.copy()
    depth[2:4, 1:3] = 0
    expected = np.where(depth == 0, 0, np.rint(1 + 254 * (900.0 - depth) / 500)).astype(np.uint8)
    three = np.repeat(depth[..., None], 3, 2)
    for array in (depth, with_alpha(depth), three, with_alpha(three)):
        assert np.array_equal(read_depth(png(path, array), limits=LIMITS).grey, expected)
    for dtype in ("u2", "i2", "u4", "i4", "f4", "f8"):
        for order in "<>":
            tifffile.imwrite(tif, depth.astype(dtype), byteorder=order)
            picture = read_depth(tif, limits=LIMITS)
            assert np.array_equal(picture.grey, expected)
            assert np.array_equal(picture.values, np.where(depth == 0, np.nan, depth), equal_nan=True)
    metres = np.where(depth == 0, np.nan, depth / 1000).astype(np.float32)
    tifffile.imwrite(tif, metres)
    assert np.abs(read_depth(tif, limits=(0.4, 0.9)).grey.astype(int) - expected).max() <= 1
    ready = np.where(GREY == 0, 1, GREY)
    ready[0, 0] = 0
    assert np.array_equal(read_depth(png(path, ready)).grey, ready)


def test_every_code_for_nothing_measured_can_be_named(tmp_path):
    depth, notes = MILLIMETRES.astype(np.int32), []
    depth[0, :3], depth[1, :3], depth[2, :3], depth[3, 0] = 0, 65535, 2047, -1
    tifffile.imwrite(tmp_path / "a.tif", depth)
    picture = read_depth(tmp_path / "a.tif", limits=LIMITS, holes=(65535, 2047), notes=notes)
    assert np.count_nonzero(picture.grey == 0) == 10 == np.isnan(picture.values).sum()
    assert picture.shares.hole == pytest.approx(10 / 63, abs=1e-5) and picture.shares.above == 0
    assert len(notes) == 1 and "1 negative values" in notes[0]
    again = []
    shares = read_depth(tmp_path / "a.tif", limits=LIMITS, notes=again).shares
    assert shares.above == pytest.approx(6 / 63, abs=1e-5)
    assert any("name it by --depth-holes 65535" in note for note in again)


def test_shares_beside_the_range(tmp_path):
    depth = np.full((10, 10), 600, np.uint16)
    depth[0], depth[1, :5], depth[2:5] = 0, 300, 1000
    depth[9] = 700
    shares = read_depth(png(tmp_path / "a.png", depth), limits=LIMITS).shares
    assert (shares.hole, shares.below, shares.inside, shares.above) == (0.1, 0.05, 0.55, 0.3)
    assert (shares.low, shares.high) == (pytest.approx(np.percentile(depth[depth > 0], 5)), 1000)


WRONG = {
    "wrong unit": (
        lambda p: png(p, MILLIMETRES * np.uint16(10)),
        LIMITS,
        r"only 0\.0% of the measured .* 100\.0% above\).*--depth-range NEAR FAR; .* perhaps --depth-range 4\d+ 8\d+",
    ),
    "metres": (lambda p: tifffile.imwrite(p, MILLIMETRES / 1000), LIMITS, r"perhaps --depth-range 0\.4\d+ 0\.8"),
    "range on 8 bits": (lambda p: png(p, GREY), LIMITS, "8 bits, which end at 255"),
    "no range": (lambda p: png(p, MILLIMETRES), None, "16-bit values from 4.* to 8.*--depth-range NEAR FAR"),
    "no range, real numbers": (lambda p: tifffile.imwrite(p, MILLIMETRES / 1000), None, "float64 values from 0.4"),
    "false colours": (lambda p: png(p, COLOUR), None, "PNG of mode RGB, and the channels differ: false colours"),
    "two bytes": (lambda p: png(p, COLOUR.astype(np.uint16)), LIMITS, "16 bits and 3 channels, and the channels"),
    "two values": (lambda p: Image.fromarray(GREY > 9).save(p, "PNG"), None, "has two values only"),
    "0 is white": (
        lambda p: tifffile.imwrite(p, MILLIMETRES, photometric="miniswhite"), LIMITS, "0 is white: does 0 mean a hole",
    ),
    "spectrum": (
        lambda p: tifffile.imwrite(p, np.zeros((9, 7, 8), "u2"), photometric="minisblack", planarconfig="contig"),
        LIMITS,
        "8 channels is no picture of one modality",
    ),
    "complex": (lambda p: tifffile.imwrite(p, np.ones((9, 7), "c8")), LIMITS, "save it as 8, 16 or 32 bits"),
    "several": (lambda p: tifffile.imwrite(p, np.ones((2, 9, 7), "u2"), photometric="minisblack"), LIMITS, "several"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_depth_that_has_no_one_meaning_is_refused_by_name(tmp_path, name):
    write, limits, reason = WRONG[name]
    path = tmp_path / "a.png"
    write(path)
    with pytest.raises(PictureError, match=reason) as error:
        read_depth(path, limits=limits)
    assert str(error.value).startswith(f"{path}: ")


def test_colour_and_infrared_without_one_meaning_are_refused_by_name(tmp_path):
    path = tmp_path / "a.png"
    for array, limits, reason in (
        (GREY, None, "three channels, found one"),
        (
            COLOUR.astype(np.uint16) * 16,
            None,
            r"16-bit values up to 4080 only; say what they mean by --rgb-range DARK BR",
        ),
        (COLOUR, (0, 1023), "8 bits, which end at 255"),
    ):
        png(path, array)
        with pytest.raises(PictureError, match=reason):
            read_colour(path, limits=limits)
    assert np.array_equal(read_colour(png(path, COLOUR.astype(np.uint16) * 16), limits=(0, 4080)), COLOUR)
    with pytest.raises(PictureError, match=r"16-bit values .*--infrared-range DARK BRIGHT"):
        read_infrared(png(path, MILLIMETRES))
    for values, reason in ((np.full((9, 7, 3), np.nan), "float64 values"), (COLOUR * 1.0, "from 0 to 255; say what")):
        tifffile.imwrite(path, values, photometric="rgb")
        with pytest.raises(PictureError, match=reason):
            read_colour(path)
    Image.fromarray(COLOUR).convert("CMYK").save(path, "JPEG")
    with pytest.raises(PictureError, match="found mode CMYK"):
        read_colour(path)


@pytest.mark.parametrize(
    "most, kind, proposed",
    [(250, "u2", 255), (900, "u2", 1023), (4000, "u2", 4095), (9000, "u2", 16383), (60000, "u2", 65535),
     (200, "f4", 255), (3000, "i4", 4095)],
)  # fmt: skip
def test_the_range_that_is_proposed_for_intensities_clips_nothing(tmp_path, most, kind, proposed):
    values = np.linspace(most / 3, most, 63).reshape(9, 7).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.raises(PictureError, match=f"perhaps --infrared-range 0 {proposed}$"):
        read_infrared(tmp_path / "a.tif")
    if most < FULL_RANGE or kind != "u2":
        tifffile.imwrite(tmp_path / "a.tif", np.stack([values] * 3, axis=2), photometric="rgb")
        with pytest.raises(PictureError, match=f"perhaps --rgb-range 0 {proposed}$"):
            read_colour(tmp_path / "a.tif")


def test_a_number_in_two_channels_is_no_transparent_depth(tmp_path):
    low_and_high = np.stack([MILLIMETRES % 256, MILLIMETRES // 256 + RNG.integers(0, 40, (9, 7))], axis=2)
    with pytest.raises(PictureError, match="different values: do two channels hold one number"):
        read_depth(png(tmp_path / "a.png", low_and_high.astype(np.uint8)))
    edge = np.where(GREY > 128, 255, 128)[..., None].astype(np.uint8)
    notes = []
    assert read_depth(png(tmp_path / "b.png", with_alpha(GREY, edge)), notes=notes).grey.shape == (9, 7)
    assert len(notes) == 1 and "are transparent" in notes[0]


def test_depth_of_a_jpeg_is_said_to_have_lost_its_holes(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", np.tile(GREY, (8, 8)), compression="jpeg")
    for name in ("a.jpg", "a.tif"):
        notes = []
        read_depth(tmp_path / name, notes=notes)
        [note] = [note for note in notes if "depth from a JPEG" in note]
        assert note.startswith(str(tmp_path / name)) and note.endswith("save depth as PNG")
        notes.clear()
        read_depth(tmp_path / name, notes=notes, luminance=True)
        read_infrared(tmp_path / name, notes=notes)
        assert notes == []
    Image.fromarray(GREY).save(tmp_path / "a.png")
    read_depth(tmp_path / "a.png", notes=notes)
    assert notes == []


def test_equal_channels_are_said_to_be_no_colour(tmp_path):
    notes = []
    read_colour(png(tmp_path / "a.png", np.repeat(GREY[..., None], 3, 2)), notes=notes)
    assert len(notes) == 1 and "is this a colour picture?" in notes[0]


def test_coloured_infrared_is_its_luminance_and_said_so(tmp_path):
    notes = []
    grey = read_infrared(png(tmp_path / "a.png", COLOUR), notes=notes).grey
    assert np.array_equal(grey, np.asarray(Image.fromarray(COLOUR).convert("L"))) and "luminance" in notes[0]
    assert read_depth(tmp_path / "a.png", luminance=True).grey.shape == (9, 7)


# resizing


def test_holes_stay_holes_and_never_leak():
    depth = np.where(RNG.random((160, 160)) < 0.3, 0, 153).astype(np.uint8)[..., None]
    small = resize(depth, size=16, holes=True)
    assert set(np.unique(small)) == {0, 153} and 0.2 < np.mean(small == 0) < 0.4
    block = np.full((32, 32, 1), 200, np.uint8)
    block[8:16, 16:32] = 0
    expected = np.full((8, 8, 1), 200, np.uint8)
    expected[2:4, 4:8] = 0
    assert np.array_equal(resize(block, size=8, holes=True), expected)
    large = resize(block, size=64, holes=True)
    assert np.array_equal(large, np.repeat(np.repeat(block, 2, 0), 2, 1))


def test_depth_without_holes_is_resized_as_any_picture():
    ramp = np.linspace(1, 255, 40 * 40).reshape(40, 40, 1).astype(np.uint8)
    difference = resize(ramp, size=12, holes=True).astype(int) - resize(ramp, size=12, holes=False)
    assert np.abs(difference).max() <= 1
    colour = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    reference = np.asarray(Image.fromarray(colour).resize((12, 12), Image.Resampling.BILINEAR))
    assert np.array_equal(resize(colour, size=12, holes=False), reference)


def test_the_darkest_measured_value_is_no_hole():
    depth = np.ones((8, 8, 1), np.uint8)
    assert (resize(depth, size=3, holes=True) == 1).all()
    assert not resize(np.zeros((8, 8, 1), np.uint8), size=3, holes=True).any()


def test_depth_is_bright_where_it_is_near_and_zero_where_it_was_not_measured():
    values = np.array([[0, 100, 400, 650, 900, 5000]])
    assert depth_grey(values, (400, 900)).tolist() == [[0, 255, 255, 128, 1, 1]]
    assert depth_grey(values, (900, 400)).tolist() == [[0, 1, 1, 128, 255, 255]]
    assert intensity_grey(np.array([[0, 64, 512, 1023, 2000]]), (64, 1023)).tolist() == [[0, 0, 119, 255, 255]]


def test_infrared_that_is_a_negative_is_turned_round():
    assert intensity_grey(np.array([[0, 64, 512, 1023, 2000]]), (1023, 64)).tolist() == [[255, 255, 136, 0, 0]]


# safety


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero", tmp_path):
        with pytest.raises(PictureError, match=rf"{path}: cannot be read \(not a regular file"):
            read_colour(path)
    with pytest.raises(PictureError, match="No such file"):
        read_colour(tmp_path / "nothing.png")


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("colour, bits", [(0, 8), (0, 16), (2, 16), (6, 16)])
def test_sizes_are_checked_before_anything_is_decoded(tmp_path, monkeypatch, colour, bits):
    def no(*_, **__):
        raise AssertionError("decoded")

    monkeypatch.setattr(formats.Image, "open", no)
    monkeypatch.setattr(imagecodecs, "png_decode", no)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, bits, colour, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"x") + chunk(b"IEND", b""))
    with pytest.raises(PictureError, match=r"40000 x 40000 pixels .*crop it to the face"):
        read_depth(tmp_path / "a.png", limits=LIMITS)


def test_a_large_tiff_is_refused_by_its_header(tmp_path):
    out = io.BytesIO()
    tifffile.imwrite(out, np.ones((64, 64), np.uint16), byteorder="<")
    content = bytearray(out.getvalue())
    (place,) = struct.unpack_from("<I", content, 4)
    for entry in range(struct.unpack_from("<H", content, place)[0]):
        where = place + 2 + 12 * entry
        if struct.unpack_from("<H", content, where)[0] in (256, 257):
            struct.pack_into("<HHII", content, where, struct.unpack_from("<H", content, where)[0], 4, 1, 60_000)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(PictureError, match="60000 x 60000 pixels"):
        read_depth(tmp_path / "a.tif", limits=LIMITS)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"GIF89a", b"BM"])
def test_other_formats_are_never_opened(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PictureError, match="neither PNG, JPEG nor TIFF"):
        read_colour(tmp_path / "a.png")


def test_colours_that_need_a_profile_are_refused(tmp_path):
    Image.fromarray(COLOUR).convert("LAB").save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match="found mode LAB"):
        read_colour(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer.*git lfs pull"),
        (b"/annex/objects/MD5E-s1--0.png\n", "is a git-annex pointer"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"", "is empty"),
        (b"GIF89a", "neither PNG, JPEG nor TIFF"),
    ],
)
def test_files_that_only_stand_in_for_a_picture_are_told_apart(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PictureError, match=rf"a\.png(:| ).*{message.removeprefix('is ')}"):
        read_colour(tmp_path / "a.png")
