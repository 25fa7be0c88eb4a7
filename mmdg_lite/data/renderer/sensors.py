"""Cameras: what a colour camera, a depth sensor and an infrared camera make of the physical maps of a scene.

Every property is a knob of `SensorProfile`, with its ideal value, its limits and the range usual in pre-training; the
notebooks' sliders turn exactly these knobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.renderer.noise import Float, blur, column, smooth_noise, smoothstep
from mmdg_lite.data.renderer.rendering import SceneBuffers


def _knob(ideal: float, low: float, high: float, usual: tuple[float, float]) -> Any:
    return field(default=ideal, metadata={"low": low, "high": high, "usual": usual})


@dataclass(frozen=True, kw_only=True)
class SensorProfile:
    """Properties of one set of three sensors; the defaults are an ideal sensor.

    Lengths "in passes" are binomial blurs at 64 pixels. Raises ValueError for a value outside of a knob's limits.
    """

    rgb_exposure: float = _knob(1.0, 0.2, 3.0, (0.7, 1.4))  # gain of the colour camera
    rgb_exposure_spread: float = _knob(0.0, 0.0, 0.6, (0.0, 0.25))  # standard deviation of its logarithm between shots
    rgb_red: float = _knob(1.0, 0.5, 1.6, (0.85, 1.2))  # white balance: gain of the red channel
    rgb_blue: float = _knob(1.0, 0.5, 1.6, (0.8, 1.2))  # white balance: gain of the blue channel
    rgb_saturation: float = _knob(1.0, 0.0, 1.8, (0.5, 1.3))  # 0 grey .. 1 as it is .. above: gaudy
    rgb_gamma: float = _knob(1.0, 0.5, 2.0, (0.75, 1.3))  # tone curve relative to the usual 1/2.2
    rgb_blur: float = _knob(0.0, 0.0, 8.0, (0.0, 2.5))  # defocus, in passes
    rgb_noise: float = _knob(0.0, 0.0, 0.3, (0.0, 0.06))  # standard deviation, of full scale
    rgb_compression: float = _knob(0.0, 0.0, 1.0, (0.0, 0.6))  # 0 none .. 1 blocks lose nearly all detail and colour
    rgb_vignette: float = _knob(0.0, 0.0, 1.0, (0.0, 0.4))  # darkening of the corners

    depth_near: float = _knob(6.0, 2.0, 40.0, (4.0, 12.0))  # centimetres before the face that are shown white
    depth_far: float = _knob(18.0, 6.0, 200.0, (12.0, 60.0))  # centimetres behind the face that are shown black
    depth_anchor: float = _knob(1.0, 0.0, 1.0, (0.5, 1.0))  # 1 the range follows the face .. 0 fixed at 75 cm
    depth_inverted: bool = field(default=False, metadata={"usual": 0.15})  # near is dark
    depth_blur: float = _knob(0.0, 0.0, 10.0, (0.0, 4.0))  # smoothing inside the sensor, in passes
    depth_noise: float = _knob(0.0, 0.0, 4.0, (0.0, 0.6))  # centimetres, independent per pixel
    depth_wander: float = _knob(0.0, 0.0, 6.0, (0.0, 1.2))  # centimetres, smooth random error over the image
    depth_bulge: float = _knob(
        0.0, -10.0, 10.0, (-2.0, 4.0)
    )  # centimetres by which flat fields are domed (calibration)
    depth_levels: float = _knob(256.0, 4.0, 256.0, (24.0, 256.0))  # grey levels
    depth_holes: float = _knob(0.0, 0.0, 0.8, (0.0, 0.15))  # fraction of the area lost in patches
    depth_edge_holes: float = _knob(0.0, 0.0, 1.0, (0.0, 0.6))  # loss at steep places
    depth_dark_holes: float = _knob(0.0, 0.0, 1.0, (0.0, 0.6))  # loss where little infrared returns (0: next to none)
    depth_missing: float = _knob(0.0, 0.0, 1.0, (0.0, 0.03))  # fraction of shots without any depth (black)

    infrared_exposure: float = _knob(1.0, 0.2, 4.0, (0.7, 1.5))  # gain; high values saturate
    infrared_exposure_spread: float = _knob(
        0.0, 0.0, 0.8, (0.0, 0.3)
    )  # standard deviation of its logarithm between shots
    infrared_automatic: float = _knob(0.0, 0.0, 1.0, (0.0, 0.8))  # 1 the gain makes every image equally bright
    infrared_falloff: float = _knob(0.0, 0.0, 1.0, (0.0, 1.0))  # 1 the lamp's light falls with the square of distance
    infrared_hotspot: float = _knob(0.0, 0.0, 1.0, (0.0, 0.6))  # 1 the lamp lights the middle only
    infrared_leak: float = _knob(0.0, 0.0, 1.0, (0.0, 0.35))  # visible light that the filter lets through
    infrared_gamma: float = _knob(1.0, 0.4, 2.5, (0.7, 1.4))  # tone curve
    infrared_blur: float = _knob(0.0, 0.0, 8.0, (0.0, 2.0))  # defocus, in passes
    infrared_noise: float = _knob(0.0, 0.0, 0.4, (0.0, 0.07))  # standard deviation, of full scale
    infrared_pupils: float = _knob(0.3, 0.0, 1.5, (0.0, 0.8))  # brightness of living pupils (a lamp beside the lens: 0)

    def __post_init__(self) -> None:
        for knob in fields(self):
            value = getattr(self, knob.name)
            if "low" in knob.metadata and not knob.metadata["low"] <= value <= knob.metadata["high"]:
                limits = f"{knob.metadata['low']:g} to {knob.metadata['high']:g}"
                raise ValueError(f"sensor knob {knob.name} is {value!r}: choose a value from {limits}")


IDEAL = SensorProfile()


@dataclass(frozen=True, kw_only=True)
class Images:
    """What the sensors deliver, uint8 0..255."""

    rgb: NDArray[np.uint8]  # n x 3 x H x W
    depth: NDArray[np.uint8]  # n x 1 x H x W, near is bright unless inverted, 0 where nothing was measured
    infrared: NDArray[np.uint8]  # n x 1 x H x W

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        if name not in ("rgb", "depth", "infrared"):
            raise KeyError(f"unknown modality {name!r}: choose rgb, depth or infrared")
        images: NDArray[np.uint8] = getattr(self, name)
        return images


def blend(profile: SensorProfile, severity: float) -> SensorProfile:
    """Between an ideal sensor (severity 0) and `profile` (1); above 1 its faults are exaggerated within the limits.

    Inversion has no half-way: it is on from severity 0.5. Raises ValueError for a negative severity.
    """
    if not severity >= 0:
        raise ValueError(f"severity is {severity!r}: choose 0 (ideal sensor), 1 (the domain's sensor) or more")
    values: dict[str, Any] = {}
    for knob in fields(SensorProfile):
        ideal, value = knob.default, getattr(profile, knob.name)
        if isinstance(ideal, bool):
            values[knob.name] = value if severity >= 0.5 else ideal
        else:
            moved = ideal + severity * (value - ideal)
            values[knob.name] = float(np.clip(moved, knob.metadata["low"], knob.metadata["high"]))
    return SensorProfile(**values)


def turn(profile: SensorProfile, knobs: Mapping[str, Any]) -> SensorProfile:
    """The profile with some knobs set otherwise, by name. Raises ValueError for an unknown knob or a value out of its
    limits."""
    known = [knob.name for knob in fields(SensorProfile)]
    if unknown := sorted(set(knobs) - set(known)):
        raise ValueError(f"unknown sensor knob {unknown[0]!r}: choose one of {', '.join(known)}")
    return replace(profile, **knobs)


def random_profile(rng: np.random.Generator) -> SensorProfile:
    """Sensors for pre-training: each knob ideal with probability 0.25, otherwise uniform in its usual range."""
    values: dict[str, Any] = {}
    for knob in fields(SensorProfile):
        usual = knob.metadata["usual"]
        if isinstance(knob.default, bool):
            values[knob.name] = bool(rng.random() < usual)
        else:
            drawn = rng.uniform(*usual)
            values[knob.name] = float(drawn) if rng.random() >= 0.25 else knob.default
    return SensorProfile(**values)


def expose(
    buffers: SceneBuffers, profiles: SensorProfile | Sequence[SensorProfile], rng: np.random.Generator
) -> Images:
    """Images of n scenes through one set of sensors, or through n sets.

    The same numbers are drawn whatever the profile, so that turning a knob changes nothing else.
    """
    n = len(buffers)
    if isinstance(profiles, SensorProfile):
        profiles = [profiles] * n
    if len(profiles) != n:
        raise ValueError(f"{len(profiles)} sensor profiles were given for {n} scenes: give one, or one per scene")
    knobs = {k.name: column([getattr(p, k.name) for p in profiles]) for k in fields(SensorProfile)}
    rgb, depth, infrared = (
        sensor(buffers, knobs, stream)
        for sensor, stream in zip((_colour, _depth, _infrared), rng.spawn(3), strict=True)
    )
    return Images(rgb=_bytes(rgb), depth=_bytes(depth[:, None]), infrared=_bytes(infrared[:, None]))


def _bytes(images: Float) -> NDArray[np.uint8]:
    return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8)


def _radius(size: int) -> Float:
    """Squared distance from the image's middle, 1 at the middle of an edge."""
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    return ramp**2 + ramp[:, None] ** 2


def _colour(buffers: SceneBuffers, knobs: dict[str, Float], rng: np.random.Generator) -> Float:
    n, _, size, _ = buffers.radiance.shape
    gain = knobs["rgb_exposure"] * np.exp(knobs["rgb_exposure_spread"] * column(rng.standard_normal(n)))
    noise = rng.standard_normal(buffers.radiance.shape, dtype=np.float32)
    balance = np.stack([knobs["rgb_red"], np.ones_like(gain), knobs["rgb_blue"]], 1)  # n x 3 x 1 x 1
    light = blur(buffers.radiance * (balance * gain[:, None]), knobs["rgb_blur"])
    light *= (1 - 0.5 * knobs["rgb_vignette"] * _radius(size))[:, None]
    values = np.clip(light, 1e-4, 1) ** (knobs["rgb_gamma"] / 2.2)[:, None]
    grey = values.mean(1, keepdims=True)
    values = grey + knobs["rgb_saturation"][:, None] * (values - grey)
    values += knobs["rgb_noise"][:, None] * noise * (0.5 + 0.5 * grey)
    return _compress(np.clip(values, 0, 1), knobs["rgb_compression"])


def _compress(values: Float, strength: Float) -> Float:
    """Block coding in the manner of JPEG: colour kept per block, small differences within a block dropped."""
    chosen = np.flatnonzero(strength[:, 0, 0] > 0)
    if len(chosen) == 0:
        return values
    part, size = values[chosen], values.shape[-1]
    weight = strength[chosen]
    starts = np.unique(np.round(np.linspace(0, size, 17)[:-1]).astype(int))
    lengths = np.diff([*starts, size])
    blocks = np.add.reduceat(np.add.reduceat(part, starts, -1), starts, -2) / np.outer(lengths, lengths)
    blocks = np.repeat(np.repeat(blocks, lengths, -2), lengths, -1).astype(np.float32)
    grey, grey_block = part.mean(1), blocks.mean(1)
    detail = grey - grey_block
    kept = np.sign(detail) * np.maximum(np.abs(detail) - 0.12 * weight, 0)
    colour = part - grey[:, None]
    colour += weight[:, None] * (blocks - grey_block[:, None] - colour)
    coded = (grey_block + kept)[:, None] + colour
    result = values.copy()
    result[chosen] = coded
    return result


def _depth(buffers: SceneBuffers, knobs: dict[str, Float], rng: np.random.Generator) -> Float:
    n, size, _ = buffers.depth.shape
    wander, patches = smooth_noise(rng, n, size, 5), smooth_noise(rng, n, size, 11)
    missing = column(rng.random(n)) < knobs["depth_missing"]
    noise = rng.standard_normal(buffers.depth.shape, dtype=np.float32)
    anchor = 75 + knobs["depth_anchor"] * (column(buffers.distance) - 75)
    near, far = knobs["depth_near"], knobs["depth_far"]
    height = np.clip(anchor - buffers.depth, -1.5 * far, 1.5 * near)  # centimetres towards the camera
    measured = blur(height, knobs["depth_blur"])
    measured += knobs["depth_bulge"] * (0.6 - 0.6 * _radius(size))
    measured += knobs["depth_wander"] * wander + knobs["depth_noise"] * noise
    values = np.clip((measured + far) / (near + far), 0, 1)
    steps = knobs["depth_levels"] - 1
    values = np.round(values * steps) / steps
    inverted = knobs["depth_inverted"]
    values = values + inverted * (1 - 2 * values)
    steep = np.zeros_like(height)
    steep[..., 1:] = np.abs(np.diff(height, axis=-1))
    steep[..., 1:, :] += np.abs(np.diff(height, axis=-2))
    lost = (0.5 + 0.3 * patches) > 1.25 - knobs["depth_holes"] * 1.25
    lost |= steep * size / 64 > 0.4 + 8 * (1 - knobs["depth_edge_holes"]) + 1e3 * (knobs["depth_edge_holes"] == 0)
    lost |= buffers.infrared + 0.03 * patches < 0.4 * knobs["depth_dark_holes"] - 0.05
    lost |= missing
    return values * ~lost


def _infrared(buffers: SceneBuffers, knobs: dict[str, Float], rng: np.random.Generator) -> Float:
    n, size, _ = buffers.infrared.shape
    spread = np.exp(knobs["infrared_exposure_spread"] * column(rng.standard_normal(n)))
    noise = rng.standard_normal(buffers.infrared.shape, dtype=np.float32)
    returned = (60 / np.clip(buffers.depth, 20, 500)) ** (2 * knobs["infrared_falloff"])
    lamp = 1 - knobs["infrared_hotspot"] * smoothstep(_radius(size)[None], 0.1, 1.6)
    light: Float = (buffers.infrared + knobs["infrared_pupils"] * buffers.retro) * returned * lamp
    light = light + knobs["infrared_leak"] * buffers.radiance.mean(1)
    light = blur(light, knobs["infrared_blur"])
    level = light.mean((1, 2), keepdims=True)
    gain = knobs["infrared_exposure"] * spread * (0.42 / (level + 0.02)) ** knobs["infrared_automatic"]
    values = np.clip(gain * light, 1e-4, 1) ** (0.75 * knobs["infrared_gamma"])
    values += knobs["infrared_noise"] * noise * (0.6 + 0.4 * values)
    return values
