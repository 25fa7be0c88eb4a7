"""How a face is presented: lit, covered by a mask, printed on a sheet, shown on a screen.

What each sense can see of a presentation follows from materials: paper is bright in infrared whatever is printed
on it in dye, and shows the picture only as far as the ink holds carbon; a screen gives no infrared of its own; masks
have the right shape and another reflectance; skin scatters infrared under its surface and eyes throw it back.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.renderer.backgrounds import draw_backgrounds
from mmdg_lite.data.renderer.noise import Float, blur, column, smooth_noise, smoothstep, uniform
from mmdg_lite.data.renderer.scenes import BACKGROUNDS, Scenes
from mmdg_lite.data.renderer.surfaces import Surface, inside, mix, paint


@dataclass(frozen=True, kw_only=True)
class Light:
    """One lamp and a diffuse sky per scene; fields n x 1 x 1 as in `Scenes`."""

    azimuth: Float
    elevation: Float
    strength: Float
    ambient: Float
    warmth: Float

    @classmethod
    def of(cls, scenes: Scenes) -> "Light":
        """The light in which a scene stands."""
        return cls(
            azimuth=column(scenes.light_azimuth),
            elevation=column(scenes.light_elevation),
            strength=column(scenes.light_strength),
            ambient=column(scenes.ambient),
            warmth=column(scenes.warmth),
        )

    @classmethod
    def drawn(cls, rng: np.random.Generator, n: int) -> "Light":
        """The light in which the photograph was taken that an attacker shows."""
        return cls(
            azimuth=uniform(rng, n, -0.9, 0.9),
            elevation=uniform(rng, n, 0.1, 0.8),
            strength=uniform(rng, n, 0.8, 1.1),
            ambient=uniform(rng, n, 0.4, 0.8),
            warmth=uniform(rng, n, -0.4, 0.4),
        )

    def select(self, indices: NDArray[np.integer]) -> "Light":
        """The lights at these positions."""
        return Light(**{field.name: getattr(self, field.name)[indices] for field in fields(self)})

    def colour(self) -> Float:
        """n x 3 x 1 x 1 tint of the lamp; mild, since strongly coloured lamps look wrong on faces."""
        warmth = self.warmth[:, 0, 0]
        return np.stack([1 + 0.12 * warmth, np.ones_like(warmth), 1 - 0.16 * warmth], 1)[:, :, None, None]

    def on(self, normal: Float, gloss: Float) -> tuple[Float, Float]:
        """Diffuse and mirror-like light, n x H x W each, on surfaces with these normals (n x 3 x H x W)."""
        direction = np.concatenate(
            [
                np.sin(self.azimuth) * np.cos(self.elevation),
                np.sin(self.elevation),
                np.cos(self.azimuth) * np.cos(self.elevation),
            ],
            1,
        )[..., None]  # n x 3 x 1 x 1
        facing = np.maximum((normal * direction).sum(1), 0)
        diffuse = self.strength * (self.ambient * (0.72 + 0.28 * normal[:, 1]) + (1 - self.ambient) * 1.25 * facing)
        half = direction + np.array([0, 0, 1], np.float32).reshape(1, 3, 1, 1)
        half /= np.sqrt((half * half).sum(1, keepdims=True))
        shine = np.maximum((normal * half).sum(1), 0) ** (8 + 50 * gloss)
        return diffuse, self.strength * (1 - 0.6 * self.ambient) * shine


def lit(surface: Surface, light: Light, gloss: Float) -> tuple[Float, Float]:
    """Radiance n x 3 x H x W in this light, and the infrared answer n x H x W to a lamp at the camera."""
    diffuse, shine = light.on(surface.normal, gloss)
    radiance = surface.albedo * diffuse[:, None] * light.colour() + (0.28 * gloss * surface.gloss * shine)[:, None]
    facing = np.maximum(surface.normal[:, 2], 0)
    soft = (facing + surface.wrap) / (1 + surface.wrap)
    infrared = surface.infrared * soft + 0.2 * gloss * surface.gloss * facing ** (12 + 50 * gloss)
    return radiance, infrared


@dataclass(frozen=True)
class Cover:
    """Optics of what covers a face."""

    infrared: tuple[float, float]  # reflectance in infrared, range over specimens
    wrap: float  # scattering under the surface in infrared
    whole: bool  # covers head and neck, not only the face
    contrast: tuple[
        float, float
    ]  # how much of the face's pattern (lips, brows, freckles) is painted on, crude .. careful
    tint: float  # largest colour error of a crude specimen
    eyes: float  # fraction of specimens through which the wearer's own eyes are seen
    grain: float  # texture of the surface


COVERS = {
    "paper_mask": Cover((0.55, 0.88), 0.1, False, (0.55, 0.9), 0.25, 0.5, 0.06),
    "rigid_mask": Cover((0.28, 0.9), 0.08, False, (0.5, 1.0), 0.25, 0.6, 0.02),
    "flexible_mask": Cover((0.4, 0.75), 0.4, True, (0.6, 1.0), 0.15, 1.0, 0.015),
    "fake_head": Cover((0.3, 0.9), 0.08, True, (0.4, 0.9), 0.35, 0.0, 0.02),
    "replica": Cover((0.25, 0.9), 0.1, True, (0.6, 1.0), 0.15, 0.0, 0.01),
}
_NONE = Cover((0.5, 0.5), 0.0, False, (1.0, 1.0), 0.0, 1.0, 0.0)


def cover_faces(scenes: Scenes, surface: Surface, rng: np.random.Generator) -> Surface:
    """Puts masks, dummies' paint and paper spectacles on the surfaces of the scenes that have them."""
    n, size = surface.z.shape[0], surface.z.shape[-1]
    covers = [COVERS.get(s, _NONE) for s in scenes.species]
    covered = column([s in COVERS for s in scenes.species])
    craft = column(scenes.craft)
    patches, grain = smooth_noise(rng, n, size, 6), smooth_noise(rng, n, size, 28)
    reflectance = uniform(rng, n, [c.infrared[0] for c in covers], [c.infrared[1] for c in covers])
    errors = rng.uniform(-1, 1, (n, 3)).astype(np.float32)
    own_eyes = column(rng.random(n) < np.array([c.eyes for c in covers]))
    ink = column(scenes.ink)
    folded = column([f == "folded" for f in scenes.form])

    whole = column([c.whole for c in covers])
    dummy = column([s == "fake_head" for s in scenes.species])
    region = mix(surface.cover, surface.skin + dummy * surface.hair, whole) * covered
    eyes = surface.holes[:, 0] * own_eyes
    region = region * (1 - eyes)
    low, high = column([c.contrast[0] for c in covers]), column([c.contrast[1] for c in covers])
    contrast = (low + (high - low) * craft)[:, None]
    weight = np.maximum(surface.cover, 1e-3)[:, None]
    plain = (surface.albedo * weight).sum((2, 3), keepdims=True) / weight.sum((2, 3), keepdims=True)
    tint = 1 + errors * np.array([c.tint for c in covers], np.float32)[:, None] * (1.1 - scenes.craft[:, None])
    painted = (plain + contrast * (surface.albedo - plain)) * tint[:, :, None, None]
    spread = column([c.grain for c in covers])
    painted = painted * (1 + 0.03 * patches + spread * grain)[:, None]
    wig = dummy * surface.hair  # a dummy's hair keeps its colour
    painted = mix(painted, surface.albedo, wig[:, None])
    pale = (dummy - wig) * column(rng.random(n) < 0.35) * (1 - craft)  # dummies of bare plaster or plastic
    painted = mix(painted, (0.35 + 0.4 * column(rng.random(n)))[:, None], pale[:, None])
    luminance = surface.albedo.mean(1) / np.maximum(plain.mean(1), 0.02)
    dark_ink = np.clip(1 - 0.75 * ink * contrast[:, 0] * np.clip(1 - luminance, 0, 1), 0.1, 1)
    dark_ink = mix(dark_ink, 0.8, wig)  # artificial hair is bright in infrared
    infrared = reflectance * dark_ink * (1 + 0.015 * patches + 0.5 * spread * grain)

    normal = surface.normal
    if folded.any():
        facets = np.round(normal * 2.5) / 2.5
        facets /= np.sqrt((facets * facets).sum(1, keepdims=True)) + 1e-6
        normal = paint(normal, facets, folded * region)
    stand_off = 0.7 * region * (1 - whole)
    gloss = mix(surface.gloss, 1.0, region)

    # Paper spectacles: a flat printed strip before living eyes.
    strip = surface.frames * column([g == "patterned" for g in scenes.glasses])
    printed_eyes = column(rng.random(n) < 0.6)
    dots = np.sin(np.arange(size, dtype=np.float32) * 64 / size * uniform(rng, n, 0.5, 1.6))
    dots = 0.5 + 0.5 * np.sign(dots * np.swapaxes(dots, 1, 2))
    colours = rng.uniform(0.03, 0.8, (n, 2, 3)).astype(np.float32)
    pattern = colours[:, 0, :, None, None] + dots[:, None] * (colours[:, 1] - colours[:, 0])[:, :, None, None]
    eyes_printed = 0.06 + 0.75 * np.clip(surface.albedo * tint[:, :, None, None] * 1.15, 0, 1)
    strip_albedo = mix(pattern, eyes_printed, printed_eyes[:, None])
    strip_infrared = uniform(rng, n, 0.6, 0.85) * (1 - 0.7 * ink * np.clip(1 - strip_albedo.mean(1) * 1.6, 0, 1))
    front = (surface.z * surface.frames).sum((1, 2), keepdims=True) / (
        surface.frames.sum((1, 2), keepdims=True) + 1e-3
    ) + 1.0
    upright = np.zeros_like(normal)
    upright[:, 2] = 1
    normal = paint(normal, upright, strip)
    return Surface(
        z=np.where(strip > 0.5, front, surface.z + stand_off),
        normal=normal,
        albedo=np.clip(mix(mix(surface.albedo, painted, region[:, None]), strip_albedo, strip[:, None]), 0, 1),
        infrared=np.clip(mix(mix(surface.infrared, infrared, region), strip_infrared, strip), 0.01, 1),
        gloss=mix(gloss, 0.3, strip),
        wrap=mix(mix(surface.wrap, column([c.wrap for c in covers]), region), 0.1, strip),
        retro=surface.retro * (1 - region) * (1 - strip),
        solid=surface.solid,
        skin=surface.skin,
        hair=surface.hair,
        cover=surface.cover,
        holes=surface.holes,
        frames=surface.frames,
    )


def show_pictures(
    scenes: Scenes,
    surface: Surface,
    live: dict[str, Float],
    photo_light: Light,
    light: Light,
    grid: tuple[Float, Float, Float],
    rng: np.random.Generator,
) -> dict[str, Float]:
    """Pictures of the surfaces on sheets of paper or screens.

    `live` holds what the same face would look like if it stood there itself (seen through the holes of a cut print);
    `grid` is x, y (n x H x W) and pixel (n x 1 x 1) in centimetres. Returns radiance, infrared, z and retro.
    """
    x, y, pixel = grid
    n, size = x.shape[0], x.shape[-1]
    screen = column([s == "replay" for s in scenes.species])
    bent, cut = column([f == "bent" for f in scenes.form]), column([f == "cut" for f in scenes.form])
    craft, ink, gloss = column(scenes.craft), column(scenes.ink), column(scenes.gloss)

    # The picture that is shown.
    elsewhere = tuple(np.array(BACKGROUNDS)[rng.integers(0, len(BACKGROUNDS), n)].tolist())
    behind, _ = draw_backgrounds(elsewhere, size, rng)
    picture, _ = lit(surface, photo_light, 0 * gloss + 0.25)
    picture = behind + surface.solid[:, None] * (picture - behind)
    picture = np.clip(blur(picture, rng.uniform(0.0, 1.1, n) * (1.2 - scenes.craft)), 0, 1)
    tint = 1 + (rng.uniform(-0.2, 0.2, (n, 3)) * (1.15 - scenes.craft[:, None])).astype(np.float32)
    picture = np.clip(picture * tint[:, :, None, None] * uniform(rng, n, 0.8, 1.15)[:, None], 0, 1)

    # The sheet: extent, tilt, bend.
    half_width, half_height = uniform(rng, n, 8.5, 16) + 5 * craft, uniform(rng, n, 11, 18) + 4 * craft
    off_x, off_y = uniform(rng, n, -1.5, 1.5), uniform(rng, n, -1.5, 1.5)
    signed = np.minimum(half_width - np.abs(x - off_x), half_height - np.abs(y - off_y))
    sheet = inside(signed, pixel)
    margin = inside(signed - uniform(rng, n, -1.0, 1.2) - 1.2 * screen, pixel)
    tilt_x, tilt_y = uniform(rng, n, -0.3, 0.3), uniform(rng, n, -0.3, 0.3)
    bend = bent * uniform(rng, n, 0.012, 0.035) * np.where(rng.random((n, 1, 1)) < 0.8, 1, -1).astype(np.float32)
    along = (rng.random((n, 1, 1)) < 0.7).astype(np.float32)
    across = along * (x - off_x) + (1 - along) * (y - off_y)
    curl = 0.12 * smooth_noise(rng, n, size, 3) * (1 - screen)
    z = tilt_x * x + tilt_y * y - bend * across**2 + curl
    slope_x, slope_y = tilt_x - 2 * bend * across * along, tilt_y - 2 * bend * across * (1 - along)
    normal = np.stack(np.broadcast_arrays(-slope_x, -slope_y, np.float32(1)), 1)
    normal = normal / np.sqrt((normal * normal).sum(1, keepdims=True))
    wobble = 0.03 * smooth_noise(rng, n, size, 5)[:, None]
    diffuse, shine = light.on(np.clip(normal + wobble, -1, 1), gloss)

    # Ink on paper: limited range, grain, white margin.
    fine = rng.spawn(1)[0].standard_normal(x.shape, dtype=np.float32)  # its own stream: as long as there are pixels
    ink_range = 0.03 + uniform(rng, n, 0.62, 0.82)[:, None] * picture ** uniform(rng, n, 0.85, 1.1)[:, None]
    paper = ink_range * (1 + 0.05 * (1.3 - craft) * fine)[:, None]
    paper = mix(np.full_like(paper, 0.82), paper, margin[:, None])
    printed = paper * diffuse[:, None] * light.colour() + (0.3 * gloss * shine)[:, None]
    luminance = picture.mean(1)
    paper_infrared = (
        uniform(rng, n, 0.62, 0.9) * (1 - ink * 0.85 * (1 - luminance) * margin) * (0.5 + 0.5 * normal[:, 2])
    )
    paper_infrared = paper_infrared + 0.25 * gloss * normal[:, 2] ** (20 + 100 * gloss)

    # A screen: glow, moire between its grid and the camera's, black frame, mirror-like glass.
    frequency, angle = uniform(rng, n, 0.5, 2.6), uniform(rng, n, 0, np.pi)
    wave = frequency * (np.cos(angle) * x + np.sin(angle) * y) / 0.38 + 0.8 * smooth_noise(rng, n, size, 4)
    phases = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1) * uniform(rng, n, 0, 1.2)[:, None]
    moire = uniform(rng, n, 0.02, 0.12)[:, None] * np.sin(wave[:, None] + phases)
    bluish = np.array([0.94, 1.0, 1.08], np.float32).reshape(1, 3, 1, 1)
    glare = 0.04 * diffuse + 0.5 * gloss * shine + uniform(rng, n, 0, 0.05)
    shown = picture * bluish * uniform(rng, n, 0.65, 1.15)[:, None] * (1 + moire)
    glowing = mix(np.full_like(shown, 0.015), shown, margin[:, None]) + glare[:, None]
    glass_infrared = uniform(rng, n, 0.03, 0.1) + 0.35 * gloss * normal[:, 2] ** (30 + 100 * gloss)

    radiance = mix(printed, glowing, screen[:, None])
    infrared = mix(paper_infrared, np.broadcast_to(glass_infrared, x.shape), screen)
    retro = np.zeros_like(x)

    # Holes of a cut print: at least one of eyes, nose and mouth, with the holder's own face behind.
    opened = (rng.random((n, 3)) < 0.55).astype(np.float32)
    opened = np.maximum(opened, np.eye(3, dtype=np.float32)[rng.integers(0, 3, n)])
    hole = (surface.holes * opened[:, :, None, None]).max(1) * cut * smoothstep(sheet, 0.4, 0.6)
    radiance = mix(radiance, live["radiance"] * 0.9, hole[:, None])
    infrared = mix(infrared, live["infrared"], hole)
    z = np.where(hole > 0.5, surface.z + 0.4, z)
    retro = retro + hole * live["retro"]

    # Around the sheet: what is really behind.
    room, room_infrared = draw_backgrounds(scenes.background, size, rng)
    radiance = mix(room, radiance, sheet[:, None])
    infrared = mix(room_infrared, infrared, sheet)
    z = np.where(sheet > 0.5, z, -100 * column(scenes.background_distance) - 10)
    return {"radiance": radiance, "infrared": infrared, "z": z, "retro": retro}
