"""What is behind the face: plain or graded walls, textures, shelves, a window."""

import numpy as np

from mmdg_lite.data.renderer.noise import Float, column, smooth_noise
from mmdg_lite.data.renderer.surfaces import mix


def draw_backgrounds(names: tuple[str, ...], size: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Radiance n x 3 x H x W and infrared reflectance n x H x W of the backgrounds named (see `scenes.BACKGROUNDS`)."""
    n = len(names)
    grey, tint = rng.uniform(0.04, 0.6, (n, 1)), rng.uniform(-0.08, 0.08, (n, 3))
    colour = np.clip(grey + tint, 0.02, 0.8).astype(np.float32)[:, :, None, None]
    infrared = column(rng.uniform(0.15, 0.8, n))
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle, amount = column(rng.uniform(0, 2 * np.pi, n)), column(rng.uniform(0.2, 0.6, n))
    slope = np.cos(angle) * ramp + np.sin(angle) * ramp[:, None]
    coarse, fine = smooth_noise(rng, n, size, 6), smooth_noise(rng, n, size, 20)
    period, phase = column(rng.uniform(0.25, 0.7, n)), column(rng.uniform(0, 1, n))
    stripes = np.mod((ramp[:, None] + phase) / period, 1)
    books = np.where(
        stripes < 0.14,
        -0.75,
        0.5 * np.sign(np.sin(ramp * 9 / period + 3 * phase + 5 * np.floor((ramp[:, None] + phase) / period))),
    )
    left, top = column(rng.uniform(-0.9, 0.3, n)), column(rng.uniform(-0.9, -0.2, n))
    pane = ((ramp > left) & (ramp < left + 1.0) & (ramp[:, None] > top) & (ramp[:, None] < top + 1.2)).astype(
        np.float32
    )

    def chosen(name: str) -> Float:
        return column([background == name for background in names])

    pattern = (
        chosen("gradient") * amount * slope
        + chosen("textured") * (0.35 * coarse + 0.2 * fine)
        + chosen("shelves") * (0.7 * books + 0.08 * fine)
        + chosen("plain") * 0.05 * coarse
        + chosen("window") * (0.06 * coarse + 0.1 * slope)
    ).astype(np.float32)
    pattern = np.clip(1 + pattern, 0.15, 2)
    window = chosen("window") * pane
    radiance = mix(0.8 * colour * pattern[:, None], 1.1, 0.9 * window[:, None])
    return radiance.astype(np.float32), mix(infrared * pattern**0.5, 0.25, window).astype(np.float32)
