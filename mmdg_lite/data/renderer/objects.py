"""Simple household objects: solids of revolution and boxes in paints of many colours, for pre-training."""

import numpy as np

from mmdg_lite.data.renderer.noise import Float, column, smooth_noise, smoothstep
from mmdg_lite.data.renderer.scenes import Scenes
from mmdg_lite.data.renderer.surfaces import Surface, ellipse, inside, mix, normals, paint

PAINT = {  # linear RGB
    "red": (0.55, 0.03, 0.03),
    "orange": (0.75, 0.25, 0.03),
    "yellow": (0.75, 0.6, 0.05),
    "green": (0.05, 0.35, 0.08),
    "blue": (0.03, 0.1, 0.5),
    "purple": (0.25, 0.05, 0.4),
    "white": (0.8, 0.8, 0.78),
    "black": (0.02, 0.02, 0.02),
    "brown": (0.2, 0.09, 0.04),
}

_HEIGHTS = np.linspace(-1, 1, 9)  # knots of the profiles below, from the bottom to the top
_PROFILES = {  # half-width in cm at the knots; lathe-turned objects
    "cup": (4.6, 5.2, 5.4, 5.6, 5.7, 5.8, 5.9, 6.0, 6.0),
    "bottle": (3.9, 4.2, 4.2, 4.2, 4.2, 3.6, 1.9, 1.5, 1.6),
    "vase": (3.2, 4.6, 6.0, 6.6, 6.0, 4.6, 3.2, 3.0, 4.2),
    "can": (4.6, 4.9, 4.9, 4.9, 4.9, 4.9, 4.9, 4.9, 4.5),
    "ball": (0.0, 6.0, 7.8, 8.7, 9.0, 8.7, 7.8, 6.0, 0.0),
    "apple": (2.8, 5.6, 7.2, 8.0, 8.3, 8.2, 7.5, 5.8, 2.5),
}
_HALF_HEIGHT = {
    "cup": 6.5,
    "bottle": 11.5,
    "vase": 10.5,
    "can": 8.0,
    "ball": 9.0,
    "apple": 7.5,
    "box": 7.5,
    "book": 9.5,
}


def draw_objects(scenes: Scenes, x: Float, y: Float, pixel: Float, rng: np.random.Generator) -> Surface:
    """Objects of all scenes at coordinates `x` (right) and `y` (up), n x H x W in centimetres; `pixel` n x 1 x 1 cm."""
    n, size = x.shape[0], x.shape[-1]
    roll, yaw, pitch = column(scenes.roll), column(scenes.yaw), column(scenes.pitch)
    x, y = np.cos(roll) * x + np.sin(roll) * y, np.cos(roll) * y - np.sin(roll) * x
    stretch = column(1 + 0.06 * scenes.traits[:, 0])
    half = column([_HALF_HEIGHT[name] for name in scenes.name]) * column(1 + 0.06 * scenes.traits[:, 1])
    radius = np.empty_like(x)
    for i, name in enumerate(scenes.name):
        radius[i] = np.interp(y[i] / half[i], _HEIGHTS, _PROFILES.get(name, (6.5,) * 9))
    radius *= stretch
    square, thin = (
        column([name in ("box", "book") for name in scenes.name]),
        column([name == "book" for name in scenes.name]),
    )
    ball = column([name in ("ball", "apple") for name in scenes.name])
    solid = inside(np.minimum(radius - np.abs(x), half - np.abs(y) - 0.25 * square), pixel)
    solid = mix(
        solid, ellipse(x, y, 9.0 * stretch, half, pixel), ball * column([name == "ball" for name in scenes.name])
    )
    round_z = np.sqrt(np.maximum(radius**2 - x**2, 0)) - 6 + 1.2 * np.sin(pitch) * y
    edge = 5 * np.sin(4 * yaw)
    facet = -np.where(x > edge, (x - edge) * np.tan(0.7 - 0.4 * thin), (edge - x) * np.tan(0.6 - 0.55 * thin))
    z = mix(round_z, facet * (1 - 0.6 * thin) + np.sin(pitch) * y, square)
    handle_r = np.sqrt((x - 7.4) ** 2 + (0.8 * y) ** 2)
    handle = inside(0.8 - np.abs(handle_r - 2.9), pixel) * column([name == "cup" for name in scenes.name]) * (1 - solid)

    colour = np.array([PAINT[name] for name in scenes.colour], np.float32) * (0.6 + 0.6 * scenes.tone[:, None])
    second = np.array(list(PAINT.values()), np.float32)[rng.integers(0, len(PAINT), n)]
    kind = rng.integers(0, 4, (n, 1, 1))
    band = np.abs(y / half) < 0.35
    stripes = np.sin(y * column(rng.uniform(0.8, 2.5, n))) > 0.3
    dots = np.sin(1.6 * x) * np.sin(1.6 * y) > 0.55
    pattern = ((kind == 1) & band | (kind == 2) & stripes | (kind == 3) & dots).astype(np.float32)
    albedo = paint(np.repeat(np.repeat(colour[:, :, None, None], size, 2), size, 3), second, 0.85 * pattern)
    grain = smooth_noise(rng, n, size, 18)
    streaks = np.sin(3 * x + 2 * grain) * column([m == "wood" for m in scenes.material])
    albedo = albedo * (1 + 0.04 * grain + 0.25 * streaks)[:, None]
    opening = ellipse(x, y - half + 0.3, np.maximum(radius, 0.1), 1.3, pixel) * column(
        [name in ("cup", "vase") for name in scenes.name]
    )
    albedo = mix(albedo, 0.35 * albedo, opening[:, None])
    infrared = column(rng.uniform(0.2, 0.85, n)) * (1 - 0.4 * pattern * column(rng.random(n))) * (1 - 0.5 * opening)
    normal = normals(z, pixel)
    zero = np.zeros_like(x)
    return Surface(
        z=z - 4 * handle,
        normal=normal,
        albedo=np.clip(albedo, 0, 1),
        infrared=np.clip(infrared * (1 + 0.03 * grain), 0.01, 1),
        gloss=np.full_like(x, 1.2),
        wrap=zero + 0.1,
        retro=zero,
        solid=np.clip(solid + handle, 0, 1),
        skin=np.clip(solid + handle, 0, 1),
        hair=zero,
        cover=solid * smoothstep(solid, 0.2, 0.9),
        holes=np.zeros((n, 3, size, size), np.float32),
        frames=zero,
    )
