"""Colour, depth and infrared pictures as models take them: 8 bits, upright, holes of depth 0.

The one place where the values of a file get a meaning. `formats.stored_values` decodes; here ranges turn values into
grey levels. What has no one meaning is refused with the file, what was found and what to do.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdg_lite.data.real.formats import PictureError, Stored, Values, stored_values
from mmdg_lite.modality import Modality

Pixels = NDArray[np.uint8]
Limits = tuple[float, float]

COLOURED = 8
"""Mean difference between an image's channels, in grey values, from which it is not grey: JPEG alone makes less."""
HARDLY_ANY = 0.05
"""Share of the measured depth values that must lie inside the given range."""
FULL_RANGE = 2**14
"""A 16-bit picture whose values stay below this uses 14 bits or fewer: what is white in it must be said."""
MOST_ALPHAS = 8
"""Different values of transparency in a picture of depth: soft edges of a mask have few, a high byte has many."""
CODE_SHARE = 0.01
"""Share of pixels from which one value far beyond all others is taken for a code of the camera."""

OPTIONS = {Modality.RGB: "DARK BRIGHT", Modality.DEPTH: "NEAR FAR", Modality.INFRARED: "DARK BRIGHT"}


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Where a picture's values lie beside the range that was given: shares of all pixels, 0..1, that add up to 1."""

    hole: float
    below: float
    inside: float
    above: float
    low: float  # 5th percentile of the values that are no holes
    high: float  # 95th percentile


@dataclass(frozen=True, kw_only=True)
class Depth:
    """A depth picture."""

    stored: Values  # H x W in the file's unit and type
    measured: NDArray[np.bool_]  # H x W, False in holes
    grey: Pixels  # H x W: near 255, far 1, 0 where nothing was measured
    shares: Shares | None  # None if no range was given

    @property
    def values(self) -> NDArray[np.floating]:
        """H x W in the file's unit, NaN where nothing was measured."""
        exact = np.float64 if self.stored.dtype.itemsize > 2 else np.float32
        return np.where(self.measured, self.stored, exact(np.nan)).astype(exact)


@dataclass(frozen=True, kw_only=True)
class Infrared:
    """A near infrared picture."""

    grey: Pixels  # H x W
    shares: Shares | None  # None if no range was given


def read_colour(
    path: str | Path, *, stored: Stored | None = None, limits: Limits | None = None, notes: list[str] | None = None
) -> Pixels:
    """A colour picture as uint8 H x W x 3, channels red, green, blue; transparency is left out.

    Args:
        path: PNG, JPEG or TIFF; only a name for messages if `stored` is given.
        stored: values that are in memory already, in place of a file.
        limits: the values that become black and white. None: 8 bits as they are, 16 bits by their full range,
            floating-point numbers of 0..1.
        notes: findings that a user should know are appended to it.

    Raises:
        PictureError: the file is no colour picture, or its values have no one meaning.
    """
    notes = [] if notes is None else notes
    stored = _checked(path, stored or stored_values(path), notes)
    values = _opaque(path, stored, Modality.RGB, notes)  # H x W x 1 or 3
    if values.shape[2] == 1:
        cure = "name the colour picture, or leave this modality out"
        raise PictureError(f"{path}: a colour picture must have three channels, found one ({stored.found}); {cure}")
    if limits is None and values.dtype == np.uint16 and values.max() < FULL_RANGE:
        raise PictureError(f"{path}: 16-bit values up to {values.max()} only; {_say(Modality.RGB, values)}")
    grey = _scaled(path, values, limits, Modality.RGB)
    if grey.size and not np.ptp(grey, axis=2).any():
        notes.append(f"{path}: the three channels are equal: is this a colour picture?")
    return grey


def read_infrared(
    path: str | Path, *, stored: Stored | None = None, limits: Limits | None = None, notes: list[str] | None = None
) -> Infrared:
    """A near infrared picture. Of three equal channels one is taken, of a coloured picture of 8 bits its luminance.

    Args:
        path, stored: as in `read_colour`.
        limits: the values that become black and white; the first is the larger one in a negative. Needed unless the
            file has 8 bits or floating-point numbers of 0..1.
        notes: findings that a user should know are appended to it.

    Raises:
        PictureError: the file is no such picture, or its values have no one meaning.
    """
    notes = [] if notes is None else notes
    stored = _checked(path, stored or stored_values(path), notes)
    values = _one_channel(path, stored, Modality.INFRARED, notes, luminance=True)  # H x W
    if stored.inverted:
        if values.dtype.kind != "u":
            raise PictureError(f"{path}: {stored.found} in which 0 is white; save it with 0 as black")
        values = np.iinfo(values.dtype).max - values
    if limits is None and values.dtype == np.uint16:
        raise PictureError(
            f"{path}: 16-bit values from {values.min()} to {values.max()}; {_say(Modality.INFRARED, values)}"
        )
    grey = _scaled(path, values, limits, Modality.INFRARED)
    shares = None if limits is None else _shares(values, np.isfinite(values), limits)
    return Infrared(grey=grey, shares=shares)


def read_depth(
    path: str | Path,
    *,
    stored: Stored | None = None,
    limits: Limits | None = None,
    holes: Sequence[float] = (),
    luminance: bool = False,
    notes: list[str] | None = None,
) -> Depth:
    """A depth picture.

    Args:
        path, stored: as in `read_colour`.
        limits: the nearest and the farthest distance to tell apart, in the file's unit; the first is the larger one
            where near is large. What lies beyond is cut off. None: grey values of 8 bits, near bright.
        holes: values that mean that nothing was measured, beside 0, NaN and infinity.
        luminance: take the luminance of a coloured picture of 8 bits, with a note, rather than refuse it; and say
            nothing of JPEG. Published data sets have such files, and nobody can save them in another way.
        notes: findings that a user should know are appended to it.

    Raises:
        PictureError: the file is no depth picture, its values have no one meaning, or hardly any of them lies inside
            the range.
    """
    notes = [] if notes is None else notes
    stored = _checked(path, stored or stored_values(path), notes)
    if stored.inverted:
        raise PictureError(f"{path}: {stored.found} in which 0 is white: does 0 mean a hole? Save it with 0 as black")
    values = _one_channel(path, stored, Modality.DEPTH, notes, luminance=luminance)  # H x W
    if stored.lossy and not luminance:
        notes.append(
            f"{path}: depth from a JPEG: holes (0) and edges were smeared when it was saved, so few holes are left and "
            "values around them are wrong; save depth as PNG"
        )
    if values.dtype == bool:
        raise PictureError(f"{path}: {stored.found} has two values only; save the distances")
    measured = np.isfinite(values) & (values != 0) & ~np.isin(values, list(holes))  # H x W
    if limits is None or min(limits) >= 0:
        if (negative := int(((values < 0) & measured).sum())) and values.dtype.kind != "u":
            notes.append(f"{path}: {negative} negative values of depth were taken for holes")
        measured &= values > 0
    _look_for_code(path, values, measured, notes)
    if limits is None:
        if values.dtype != np.uint8:
            span = _span(values, measured)
            kind = "16-bit" if values.dtype == np.uint16 else str(values.dtype)
            raise PictureError(f"{path}: {kind} values {span}; {_say(Modality.DEPTH, values[measured])}")
        grey, shares = np.where(measured, values, 0).astype(np.uint8), None
    else:
        _check_reach(path, values, limits, Modality.DEPTH)
        shares = _shares(values, measured, limits)
        seen = 1 - shares.hole
        if seen and shares.inside < HARDLY_ANY * seen:
            raise PictureError(
                f"{path}: only {shares.inside / seen:.1%} of the measured depth lies inside {limits[0]:g} to "
                f"{limits[1]:g} ({shares.below / seen:.1%} below, {shares.above / seen:.1%} above): is that the "
                f"files' unit? {_say(Modality.DEPTH, values[measured])}"
            )
        grey = depth_grey(np.where(measured, values, 0), limits)
    return Depth(stored=values, measured=measured, grey=grey, shares=shares)


def depth_grey(values: Values, limits: Limits) -> Pixels:
    """Distances as grey values: near 255, far 1, cut off beyond; 0 stays 0."""
    near, far = limits

    def grey(part: Values) -> Values:
        share = np.clip((part - np.float64(far)) / (near - far), 0, 1)
        return np.where(part == 0, 0, np.rint(1 + 254 * share))

    return _by_rows(values, grey)


def intensity_grey(values: Values, limits: Limits) -> Pixels:
    """Intensities as grey values: dark 0, bright 255, cut off beyond."""
    dark, bright = limits
    return _by_rows(values, lambda part: np.rint(255 * np.clip((part - np.float64(dark)) / (bright - dark), 0, 1)))


def _by_rows(values: Values, function: Callable[[Values], Values], *, rows: int = 256) -> Pixels:
    """A function of single values, some rows at a time: large pictures take little memory beside their own."""
    out = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), rows):
        out[row : row + rows] = function(values[row : row + rows])
    return out


def resize(pixels: Pixels, *, size: int, holes: bool) -> Pixels:
    """uint8 H x W x C to size x size x C, bilinear and antialiased.

    `holes`: 0 means that nothing was measured (depth). A pixel whose nearest one is a hole is a hole; any other is the
    mean of the measured pixels around it, with the weights of the same filter, and so never darker than the darkest.
    """
    if pixels.shape[:2] == (size, size):
        return pixels
    if not holes:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)).reshape(size, size, -1)
    grey = pixels[..., 0]
    measured = (grey > 0).astype(np.uint8)
    weights, sums = (
        np.asarray(Image.fromarray(part.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR))
        for part in (measured, grey)
    )
    kept = np.asarray(Image.fromarray(measured).resize((size, size), Image.Resampling.NEAREST)) > 0
    mean = np.divide(sums, weights, out=np.zeros_like(sums), where=kept & (weights > 0))
    return np.where(kept, np.rint(mean).clip(1, 255), 0).astype(np.uint8)[..., None]  # size x size x 1


def _checked(path: str | Path, stored: Stored, notes: list[str]) -> Stored:
    if stored.values.shape[2] > 4:
        raise PictureError(f"{path}: {stored.found} is no picture of one modality; save the channels that are meant")
    if stored.values.dtype.kind not in "buif":
        raise PictureError(f"{path}: {stored.found}: save it as 8, 16 or 32 bits")
    notes.extend(stored.notes)
    return stored


def _opaque(path: str | Path, stored: Stored, modality: Modality, notes: list[str]) -> Values:
    """The values without the channel of transparency: H x W x 1 or H x W x 3.

    Raises `PictureError` for depth whose last channel holds more than transparency.
    """
    values = stored.values
    if values.shape[2] in (1, 3):
        return values
    alpha = values[..., -1]
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    if modality is Modality.DEPTH and len(np.unique(alpha)) > MOST_ALPHAS:
        raise PictureError(
            f"{path}: {stored.found}, and its last channel, which should say what is transparent, has "
            f"{len(np.unique(alpha))} different values: do two channels hold one number, low and high byte? Save depth "
            "as one channel of 16 bits, without transparency"
        )
    if (alpha != full).any():
        notes.append(f"{path}: {np.mean(alpha != full):.0%} of the pixels are transparent; what they hold was taken")
    return values[..., :-1]


def _one_channel(path: str | Path, stored: Stored, modality: Modality, notes: list[str], *, luminance: bool) -> Values:
    """H x W of a grey picture, whatever the number of channels that it is stored in."""
    values = _opaque(path, stored, modality, notes)
    if values.shape[2] == 1:
        return values[..., 0]
    first = values[..., 0]
    if all(np.array_equal(first, values[..., other]) for other in (1, 2)):
        return first
    if values.dtype == np.uint8:
        coloured = np.ptp(values.astype(np.int16), axis=2).mean() > COLOURED
        if luminance or not coloured:
            if coloured:
                notes.append(f"{path}: {modality.value} is a coloured image; its luminance was taken")
            return np.asarray(Image.fromarray(values).convert("L"))
    raise PictureError(
        f"{path}: {stored.found}, and the channels differ: false colours, or several values, hold no one "
        f"{modality.value}; save it as one grey channel"
    )


def _scaled(path: str | Path, values: Values, limits: Limits | None, modality: Modality) -> Pixels:
    """Intensities as 8 bits."""
    if limits is not None:
        _check_reach(path, values, limits, modality)
        if not np.isfinite(values).all():
            raise PictureError(f"{path}: {modality.value} holds NaN or infinite values; save it without them")
        return intensity_grey(values, limits)
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint16:
        return intensity_grey(values, (0, 65535))
    if values.dtype.kind == "f" and values.size and values.min() >= 0 and values.max() <= 1:  # false for NaN
        return intensity_grey(values, (0, 1))
    everywhere = np.isfinite(values)
    raise PictureError(
        f"{path}: {values.dtype} values {_span(values, everywhere)}; {_say(modality, values[everywhere])}"
    )


def _check_reach(path: str | Path, values: Values, limits: Limits, modality: Modality) -> None:
    """Raise `PictureError` for a range that the file's numbers cannot reach: it was meant for other files."""
    if values.dtype.kind in "ui" and max(limits) > (most := np.iinfo(values.dtype).max):
        raise PictureError(
            f"{path}: --{modality.value}-range {limits[0]:g} {limits[1]:g} was given, but this file has "
            f"{8 * values.dtype.itemsize} bits, which end at {most} (it holds {values.min()} to {values.max()}); leave "
            "the option out if all files are grey values of 8 bits, and convert files of different kinds separately"
        )


def _shares(values: Values, measured: NDArray[np.bool_], limits: Limits) -> Shares:
    """Shares of H x W values beside a range."""
    low, high = sorted(limits)
    seen = values[measured]
    ends = np.percentile(seen, (5, 95)) if seen.size else (0.0, 0.0)
    below, above = np.count_nonzero(seen < low), np.count_nonzero(seen > high)
    return Shares(
        hole=round(1 - seen.size / values.size, 6),
        below=round(below / values.size, 6),
        inside=round((seen.size - below - above) / values.size, 6),
        above=round(above / values.size, 6),
        low=float(ends[0]),
        high=float(ends[1]),
    )


def _look_for_code(path: str | Path, values: Values, measured: NDArray[np.bool_], notes: list[str]) -> None:
    """Note a largest value that is frequent and far from all others: cameras write such for "nothing measured"."""
    seen = values[measured]
    if not seen.size:
        return
    most = seen.max()
    share, others = np.count_nonzero(seen == most) / values.size, seen[seen < most]
    if share >= CODE_SHARE and others.size and float(most) - float(others.max()) > float(np.ptp(others)) + 1:
        notes.append(
            f"{path}: {share:.1%} of depth is {most}, all else at most {others.max()}; if that means that nothing was "
            f"measured, name it by --depth-holes {most}"
        )


def _say(modality: Modality, values: Values) -> str:
    """Which option says what values mean, with the range that holds most of these."""
    seen = values[np.isfinite(values)]
    proposal = ""
    if seen.size:
        low, high = _likely_range(modality, seen)
        if low < high:
            proposal = f"; from what this file holds, perhaps --{modality.value}-range {low:.6g} {high:.6g}"
    return f"say what they mean by --{modality.value}-range {OPTIONS[modality]}{proposal}"


def _likely_range(modality: Modality, seen: Values) -> Limits:
    """What a range may be, from finite values: most of them for depth, the camera's whole scale for intensities."""
    if modality is Modality.DEPTH:
        low, high = (float(value) for value in np.percentile(seen, (5, 95)))
        return (math.floor(low), math.ceil(high)) if seen.dtype.kind in "ui" else (low, high)
    most = float(seen.max())
    if seen.dtype.kind == "f" and most <= 1:
        scale = 1.0
    else:
        scale = next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if most < 2**bits), most)
    return (min(0.0, float(seen.min())), scale)


def _span(values: Values, measured: NDArray[np.bool_]) -> str:
    seen = values[measured]
    return f"from {seen.min():g} to {seen.max():g}" if seen.size else "that are all holes"
