"""From scenes to physical maps: light on a living face, a picture of it on paper or a screen, a mask in front of it.

The maps know no sensor: linear radiance in three bands, distance, and the answer to an infrared lamp at the camera.
A picture is the same procedural head evaluated at the coordinates of the sheet, lit by the lamp of the photograph, then
lit again as a sheet; so no image is ever resampled.
"""

from dataclasses import dataclass, fields

import numpy as np

from mmdg_lite.data.renderer.backgrounds import draw_backgrounds
from mmdg_lite.data.renderer.heads import Relief, draw_heads
from mmdg_lite.data.renderer.noise import Float, column, uniform
from mmdg_lite.data.renderer.objects import draw_objects
from mmdg_lite.data.renderer.presentations import Light, cover_faces, lit, show_pictures
from mmdg_lite.data.renderer.scenes import PLANAR, Scenes

FIELD_OF_VIEW = 24.5
"""Centimetres seen across the image at the face, before zoom."""

_GAIN = {"flexible_mask": 0.85, "fake_head": 0.95, "paper_mask": 0.5}
_CURVATURE = {"paper_mask": 0.85}


@dataclass(frozen=True, kw_only=True)
class SceneBuffers:
    """Physical maps of n scenes."""

    radiance: Float  # n x 3 x H x W, linear light, 1 = a white sheet well lit
    depth: Float  # n x H x W, centimetres from the camera
    infrared: Float  # n x H x W, light returned to a lamp at the camera, without the fall with distance
    retro: Float  # n x H x W, light thrown straight back by live pupils
    distance: Float  # n, centimetres between camera and face

    def __len__(self) -> int:
        return len(self.distance)

    def select(self, indices: object) -> "SceneBuffers":
        """The maps of some scenes."""
        return SceneBuffers(**{field.name: getattr(self, field.name)[indices] for field in fields(self)})


def render_buffers(scenes: Scenes, rng: np.random.Generator, *, size: int = 64) -> SceneBuffers:
    """Renders scenes of one kind (all faces or all objects) at `size` x `size` pixels."""
    n = len(scenes)
    pixel = FIELD_OF_VIEW / uniform(rng, n, 0.92, 1.1) / size
    steps = np.arange(size, dtype=np.float32) - (size - 1) / 2
    shift = rng.uniform(-0.6, 0.6, (2, n)).astype(np.float32)
    x = np.repeat(pixel * steps + column(shift[0]), size, 1)  # n x H x W
    y = np.repeat(-pixel * steps[:, None] + column(shift[1] - 0.3), size, 2)
    light = Light.of(scenes)
    photo_light = Light.drawn(rng, n)

    planar = np.array([s in PLANAR for s in scenes.species])
    sheet_x, sheet_y = x.copy(), y.copy()
    scale, turn = uniform(rng, n, 0.9, 1.2), uniform(rng, n, -0.12, 0.12)
    sheet_x[planar] = (x + turn * y)[planar] * scale[planar]
    sheet_y[planar] = (y - turn * x)[planar] * scale[planar]
    if scenes.kind[:1] == ("object",):
        surface = draw_objects(scenes, sheet_x, sheet_y, pixel, rng)
    else:
        gain = column([_GAIN.get(s, 1.0) for s in scenes.species])
        curvature = column([_CURVATURE.get(s, 1.0) for s in scenes.species])
        surface = draw_heads(scenes, sheet_x, sheet_y, pixel, Relief(gain=gain, curvature=curvature), rng)
    surface = cover_faces(scenes, surface, rng)
    behind, behind_infrared = draw_backgrounds(scenes.background, size, rng)
    background_z = -100 * column(scenes.background_distance) - 10
    radiance, infrared = lit(surface, light, column(scenes.gloss))
    solid = surface.solid
    radiance = behind + solid[:, None] * (radiance - behind)
    infrared = behind_infrared + solid * (infrared - behind_infrared)
    z = np.where(solid > 0.5, surface.z, background_z)
    maps = {"radiance": radiance, "infrared": infrared, "z": z, "retro": surface.retro}
    if planar.any():
        chosen = np.flatnonzero(planar)
        pictures = show_pictures(
            scenes.select(chosen),
            surface.select(chosen),
            {name: values[chosen] for name, values in maps.items()},
            photo_light.select(chosen),
            light.select(chosen),
            (x[chosen], y[chosen], pixel[chosen]),
            rng,
        )
        for name, values in pictures.items():
            maps[name][chosen] = values
    distance = 100 * scenes.distance
    return SceneBuffers(
        radiance=maps["radiance"],
        depth=column(distance) - maps["z"],
        infrared=maps["infrared"],
        retro=maps["retro"],
        distance=distance,
    )
