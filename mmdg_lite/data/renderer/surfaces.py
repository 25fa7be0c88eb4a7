"""What geometry hands to shading: a surface with its optical properties, and soft masks of simple shapes."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.renderer.noise import Float, gradient


@dataclass(kw_only=True)
class Surface:
    """n surfaces seen by an orthographic camera; lengths in centimetres, reflectances in 0..1 (linear)."""

    z: Float  # n x H x W, towards the camera, 0 at the plane of the face
    normal: Float  # n x 3 x H x W, unit vectors (right, up, towards the camera)
    albedo: Float  # n x 3 x H x W, visible reflectance
    infrared: Float  # n x H x W, near-infrared reflectance
    gloss: Float  # n x H x W, weight of the mirror-like reflection
    wrap: Float  # n x H x W, softness of shading in infrared (light scattered under the surface)
    retro: Float  # n x H x W, light thrown straight back (live pupils)
    solid: Float  # n x H x W, 1 on the face or object, 0 on the background
    skin: Float  # n x H x W, 1 where a mask over head and neck would be (objects: everywhere)
    hair: Float  # n x H x W, 1 on hair
    cover: Float  # n x H x W, 1 where a mask worn over the face would be
    holes: Float  # n x 3 x H x W, regions that a cut print opens: eyes, nose, mouth
    frames: Float  # n x H x W, 1 where spectacles of paper would be

    def select(self, indices: NDArray[np.integer]) -> "Surface":
        """The surfaces at these positions."""
        return Surface(**{field.name: getattr(self, field.name)[indices] for field in fields(self)})


def normals(z: Float, pixel: Float) -> Float:
    """Unit normals n x 3 x H x W of height fields n x H x W in the unit of `pixel` (n x 1 x 1)."""
    across, upward = gradient(z, pixel)
    field = np.stack([-across, -upward, np.ones_like(z)], 1)
    field /= np.sqrt(across * across + upward * upward + 1)[:, None]
    return field


def inside(distance: Float, pixel: Float) -> Float:
    """Anti-aliased mask from a signed distance (positive inside), same unit as `pixel`."""
    return np.clip(distance / pixel + 0.5, 0, 1)


def ellipse(u: Float, v: Float, width: float | Float, height: float | Float, pixel: Float) -> Float:
    """Soft mask of an ellipse about the origin with these half-axes."""
    radius = np.sqrt((u / width) ** 2 + (v / height) ** 2)
    return inside((1 - radius) * np.minimum(width, height), pixel)


def bump(u: Float, v: Float, width: float | Float, height: float | Float) -> Float:
    """Gaussian bump of height 1 about the origin."""
    return np.exp(-((u / width) ** 2) - (v / height) ** 2)


def mix(below: Float, above: Float | float, weight: Float) -> Float:
    """`above` painted over `below` with this weight (broadcast)."""
    return below + weight * (above - below)


def paint(colour: Float, above: Float, weight: Float) -> Float:
    """Paints colours (n x 3 or n x 3 x H x W) over n x 3 x H x W with a mask n x H x W."""
    above = above[:, :, None, None] if above.ndim == 2 else above
    return mix(colour, above, weight[:, None])
