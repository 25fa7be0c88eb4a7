"""A parametric human head with neck and shoulders: geometry in closed form, skin, eyes, hair and spectacles.

An ellipsoid is turned by yaw and pitch and intersected exactly with each pixel's ray; nose, brow, eye sockets, lips and
chin are displacements given as functions of the position on the ellipsoid, in centimetres from the middle of the head.
"""

from dataclasses import dataclass

import numpy as np

from mmdg_lite.data.renderer.noise import Float, column, smooth_noise, smoothstep
from mmdg_lite.data.renderer.scenes import Scenes
from mmdg_lite.data.renderer.surfaces import Surface, bump, ellipse, inside, mix, normals, paint

SKIN = np.array(  # linear RGB of skin, from the darkest to the lightest tone
    [[0.085, 0.045, 0.03], [0.19, 0.105, 0.065], [0.36, 0.22, 0.145], [0.53, 0.35, 0.25], [0.66, 0.48, 0.39]],
    np.float32,
)
HAIR_RGB = {
    "black": (0.012, 0.011, 0.011),
    "brown": (0.06, 0.035, 0.022),
    "blond": (0.34, 0.24, 0.12),
    "grey": (0.3, 0.29, 0.28),
    "red": (0.2, 0.07, 0.03),
}
IRIS_RGB = np.array([[0.05, 0.025, 0.015], [0.1, 0.055, 0.025], [0.09, 0.11, 0.06], [0.1, 0.17, 0.25]], np.float32)


@dataclass(frozen=True, kw_only=True)
class Relief:
    """How strongly features stand out, per scene (n x 1 x 1): 1 for a living face."""

    gain: Float  # of nose, brow, sockets, lips and chin
    curvature: Float  # of the head itself


def draw_heads(scenes: Scenes, x: Float, y: Float, pixel: Float, relief: Relief, rng: np.random.Generator) -> Surface:
    """Heads of all scenes at coordinates `x` (right) and `y` (up), n x H x W in centimetres; `pixel` n x 1 x 1 cm."""
    n, size = x.shape[0], x.shape[-1]
    t = [column(scenes.traits[:, k]) for k in range(scenes.traits.shape[1])]
    yaw, pitch, roll = column(scenes.yaw), column(scenes.pitch), column(scenes.roll)
    x, y = np.cos(roll) * x + np.sin(roll) * y, np.cos(roll) * y - np.sin(roll) * x

    # Ellipsoid: half-axes in cm; the ray's depth solves a t^2 + 2 b t + c = 0.
    ax, ay, az = 7.5 + 0.35 * t[0], 11.2 + 0.4 * t[1], 9.2 * relief.curvature
    sy, cy, sp, cp = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch)
    v0, u0, w0 = cp * y, cy * x - sp * sy * y, sy * x + sp * cy * y
    jaw = 1 + (0.05 + 0.03 * t[2]) * smoothstep(v0, -2.0, -8.0)  # a squarer lower face than an ellipsoid's
    u0 = u0 / jaw
    du, dv, dw = -cp * sy, -sp, cp * cy
    a = (du / ax) ** 2 + (dv / ay) ** 2 + (dw / az) ** 2
    b = (u0 * du) / ax**2 + (v0 * dv) / ay**2 + (w0 * dw) / az**2
    c = (u0 / ax) ** 2 + (v0 / ay) ** 2 + (w0 / az) ** 2 - 1
    b /= a
    edge = np.sqrt(np.maximum(c + 1 - a * b * b, 0))  # 1 on the outline
    depth = np.sqrt(np.maximum(b * b - c / a, 0)) - b
    u, v = u0 + depth * du, v0 + depth * dv

    # Parallax of the nose, then all displacements.
    nose = _nose(u, v, t)
    u = u - relief.gain * nose * sy
    v = v - relief.gain * nose * sp
    eye_x, eye_w = 3.15 + 0.12 * t[6], 1.5 + 0.1 * t[7]
    side = np.abs(u) - eye_x  # both eyes at once: distance from the nearer eye's middle
    brow_y = 2.0 + 0.25 * t[8]
    mouth_y, mouth_w = -7.0 - 0.25 * t[3], 2.5 + 0.2 * t[9]
    bulge = (
        _nose(u, v, t)
        - 1.0 * bump(side, v - 0.2, 2.0, 1.3)  # sockets
        + 0.45 * bump(side, v, 1.2, 0.8)  # eyeballs
        + (0.6 + 0.12 * t[12]) * bump(side, v - brow_y, 2.6, 0.8)
        + 0.45 * bump(u, v - mouth_y, mouth_w, 1.1)
        - 0.35 * bump(u, v - mouth_y, mouth_w, 0.25)
        - 0.4 * bump(u, v - mouth_y + 1.9, 2.2, 0.7)
        + 0.9 * bump(u, v + 9.8, 2.2, 1.3)
        + (0.4 + 0.15 * t[13]) * bump(np.abs(u) - 4.2, v + 3.2, 1.9, 2.0)
        - 0.3 * bump(np.abs(u) - 5.5, v + 6.5, 1.6, 2.5)
    )
    z = depth + relief.gain * cp * cy * bulge - 9.2 * relief.curvature  # the tip of the plain ellipsoid at 0
    face = inside((1 - edge) * 7.5, pixel)
    normal = normals(z, pixel)

    # Colours of the skin and what lies on it.
    freckles = smooth_noise(rng, n, size, 14)
    patches = smooth_noise(rng, n, size, 5)
    tone = np.clip(column(scenes.tone) * 4, 0, 3.999)
    low = tone.astype(int)
    skin = SKIN[low[:, 0, 0]] + (tone - low)[:, :, 0] * (SKIN[low[:, 0, 0] + 1] - SKIN[low[:, 0, 0]])  # n x 3
    albedo = np.repeat(skin[:, :, None, None], size, 2) * (1 + 0.035 * freckles + 0.05 * patches)[:, None]
    red = 0.5 * bump(np.abs(u) - 3.6, v + 3.0, 2.0, 1.8) + 0.4 * bump(u, v + 4.0, 1.3, 1.0)
    albedo = albedo * (1 + red[:, None] * np.array([0.16, -0.08, -0.06], np.float32).reshape(1, 3, 1, 1))
    infrared = 0.5 + 0.05 * column(scenes.tone) + 0.012 * freckles + 0.02 * patches
    gloss = (
        0.35 + bump(u, v - 6, 3.5, 2.0) + 1.2 * bump(u, v + 3.2, 0.8, 2.0) + 0.5 * bump(np.abs(u) - 4, v + 2, 1.5, 1.5)
    )
    inner = np.abs(u) - 1.7  # the hollow between eye and nose
    occlusion = (
        1
        - 0.45 * bump(inner, v - 0.5, 0.8, 1.1)
        - 0.25 * bump(side, v - 0.9, 1.8, 0.6)
        - 0.4 * bump(u, v + 5.35, 1.6, 0.4)
    )
    occlusion -= 0.22 * bump(np.abs(u) - 2.0, v + 4.3, 0.45, 0.9) + 0.2 * bump(u, v - mouth_y + 1.7, 1.8, 0.4)
    albedo *= occlusion[:, None]

    hair_rgb = np.array([HAIR_RGB[name] for name in scenes.hair_colour], np.float32)
    hair_infrared = 0.14 + 0.35 * column(hair_rgb.mean(1)) + 0.1 * column(scenes.traits[:, 15] > 0)
    mouth_curve = v - mouth_y - 0.06 * column(scenes.smile) * (u * u) * (np.abs(u) < 4)
    lip = 0.75 + 0.12 * t[10]
    lips = ellipse(u, mouth_curve, mouth_w, lip, pixel)
    albedo = paint(albedo, skin * np.array([0.86, 0.52, 0.52], np.float32), 0.8 * lips)
    infrared = mix(infrared, 0.46, 0.6 * lips)
    crease = lips * np.exp(-((mouth_curve / 0.17) ** 2))
    nostrils = bump(np.abs(u) - 0.75 - 0.06 * t[4], v + 4.75, 0.42, 0.3)
    dark = np.clip(0.75 * crease + 0.85 * nostrils, 0, 1)
    albedo = paint(albedo, skin * 0.12, dark)
    infrared = mix(infrared, 0.2, 0.8 * dark)
    brow = ellipse(side - 0.1, v - brow_y + 0.07 * (side + 0.4) ** 2, 2.0, 0.36 + 0.1 * t[12] / 2, pixel)
    albedo = paint(albedo, 0.7 * hair_rgb + 0.15 * skin, 0.8 * brow)
    infrared = mix(infrared, hair_infrared + 0.08, 0.6 * brow)
    beard = (
        column(scenes.beard) * smoothstep(v, -4.2, -6.3) * (1 - lips) * smoothstep(np.abs(u) + 0.35 * (v + 7), 0.0, 1.2)
    )
    beard = beard * np.clip(0.75 + 0.15 * freckles, 0, 1)
    albedo = paint(albedo, 0.8 * hair_rgb + 0.12 * skin, beard)
    infrared = mix(infrared, hair_infrared + 0.04, 0.8 * beard)
    gloss = gloss * (1 - 0.8 * beard)

    # Eyes: almond opening, sclera, iris, pupil, lid line.
    height = 0.74 + 0.07 * t[7]
    almond = np.sqrt((side / eye_w) ** 2 + ((v + 0.03 * side**2) / height) ** 2)
    opening = inside((1 - almond) * height, pixel)
    gaze = side - 0.25 * np.sign(u) * np.sin(2 * t[14])
    iris, pupil = ellipse(gaze, v - 0.08, 0.72, 0.72, pixel), ellipse(gaze, v - 0.08, 0.34, 0.34, pixel)
    iris_rgb = IRIS_RGB[np.clip(np.round(3 * scenes.tone + 0.7 * scenes.traits[:, 15] - 1.2), 0, 3).astype(int)]
    eye = paint(np.full_like(albedo, 0.5) * (1 - 0.3 * smoothstep(v, 0.1, 0.7))[:, None], iris_rgb, iris)
    eye = paint(eye, np.full_like(iris_rgb, 0.008), pupil)
    albedo = paint(albedo, eye, opening)
    infrared = mix(infrared, mix(mix(np.full_like(v, 0.34), 0.3, iris), 0.03, pupil), opening)
    lid = np.exp(-(((almond - 1.08) / 0.16) ** 2)) * smoothstep(v, -0.25, 0.3)
    albedo = paint(albedo, skin * 0.18, 0.75 * lid)
    infrared = mix(infrared, 0.25, 0.5 * lid)
    glint = opening * bump(gaze + 0.2, v - 0.3, 0.25, 0.25)
    gloss = mix(gloss, 0.2, opening) + 14 * glint

    # Hair on the head, and a volume of hair behind it.
    long, bald = column([h == "long" for h in scenes.hair]), column([h == "none" for h in scenes.hair])
    strands = smooth_noise(rng, n, size, (7, 34)) + 0.5 * smooth_noise(rng, n, size, (5, 10))
    line = 6.6 + 0.6 * t[11] - 0.035 * u * u + 0.25 * strands
    temple = np.abs(u) - (6.5 - 0.5 * long * smoothstep(v, 4, -8)) - 0.2 * strands
    on_head = inside(np.maximum(v - line, np.minimum(temple, v + 2.0 + 14 * long)), pixel) * (1 - bald)
    back = ellipse(x - 0.3 * sy, y - 0.7, ax + 1.0 + 1.0 * long, ay + 1.3, pixel) * smoothstep(
        y, -2.0 - 3 * long, 1.0 - 3 * long
    )
    fall = inside(ax + 1.9 + 0.15 * strands - np.abs(x), pixel) * smoothstep(y, 2.0, -1.0) * smoothstep(y, -15, -12)
    behind = np.maximum(back, long * fall) * (1 - bald) * (1 - face)
    hair = np.clip(on_head * face + behind, 0, 1)
    z = z + 0.5 * on_head * (1 + 0.3 * strands)
    shade = (1 + 0.22 * strands - 0.25 * behind)[:, None]

    # Ears, neck, shoulders.
    ears = ellipse(np.abs(x + 1.5 * sy) - ax - 0.1, y + 0.8, 0.9, 2.3, pixel) * (1 - long) * (1 - face)
    neck_w = 4.9 + 0.4 * t[2]
    neck = inside(neck_w + 0.03 * (y + 14) ** 2 - np.abs(x), pixel) * smoothstep(y, -5.0, -6.5) * (1 - face)
    collar = -12.6 + 0.05 * x * x * (np.abs(x) < 5) - 0.1 * np.maximum(np.abs(x) - 5, 0) + 0.3 * t[1]
    clothes = inside(np.minimum(collar - y, 15 - np.abs(x)), pixel) * (1 - face)
    body = np.maximum(np.maximum(ears, neck), clothes)
    solid = np.clip(face + (1 - face) * np.maximum(hair, body / np.maximum(1 - face, 1e-3)), 0, 1)
    cloth_rgb = rng.uniform(0.02, 0.6, (n, 1)).astype(np.float32) + rng.uniform(-0.1, 0.1, (n, 3)).astype(np.float32)
    cloth_infrared = rng.uniform(0.15, 0.8, (n, 1, 1)).astype(np.float32)
    neck_shadow = 0.45 + 0.4 * smoothstep(y, -9.5, -13.0)
    skin_map = np.repeat(np.repeat(skin[:, :, None, None], size, 2), size, 3)
    lower = paint(skin_map * neck_shadow[:, None], np.clip(cloth_rgb, 0.01, 0.8), clothes)
    lower_infrared = mix(0.5 * neck_shadow + 0.05, cloth_infrared, clothes)
    round_neck = np.clip(x / (neck_w + 1), -0.9, 0.9) * (1 - clothes)
    lower_normal = np.stack([round_neck, np.zeros_like(x), np.sqrt(1 - round_neck**2)], 1)
    lower_z = 5 * lower_normal[:, 2] - 12 + 3 * clothes + 1.5 * (behind > 0.5)

    albedo = paint(lower, albedo, face)
    albedo = paint(albedo, hair_rgb[:, :, None, None] * shade, hair)
    infrared = mix(lower_infrared, infrared, face)
    infrared = mix(infrared, hair_infrared * shade[:, 0], hair)
    normal = paint(lower_normal, normal, (face > 0.5).astype(np.float32))
    hair_normal = np.stack([np.clip(x / 12, -0.8, 0.8), np.clip(y / 16, -0.5, 0.5), np.full_like(x, 0.75)], 1)
    normal = paint(normal, hair_normal, 0.6 * hair)
    z = np.where(face > 0.5, z, lower_z)

    # Ordinary spectacles, and where paper spectacles would sit.
    worn, thick = (
        column([g in ("thin", "thick") for g in scenes.glasses]),
        column([g == "thick" for g in scenes.glasses]),
    )
    lens = np.maximum(np.abs(side) / 2.35, np.abs(v + 0.3) / 1.7)
    lens = 0.6 * lens + 0.4 * np.sqrt((side / 2.35) ** 2 + ((v + 0.3) / 1.7) ** 2)
    width = 0.12 + 0.16 * thick
    rim = np.exp(-(((lens - 1.05) * 1.9 / (width + 0.35 * pixel)) ** 2))
    bridge = inside(np.minimum(0.14 + 0.12 * thick - np.abs(v - 0.5), 0.95 - np.abs(u)), pixel)
    rim = np.clip(np.maximum(rim, bridge) * worn * face, 0, 1) * (0.75 + 0.25 * thick)
    rim_grey = rng.uniform(0.01, 0.12, (n, 1, 1)).astype(np.float32)
    albedo = mix(albedo, rim_grey[:, None], rim[:, None])
    infrared = mix(infrared, rng.uniform(0.1, 0.7, (n, 1, 1)).astype(np.float32), rim)
    z = z + 0.9 * rim
    frames = inside(np.minimum((1.28 - lens) * 1.9, 1), pixel)
    frames = np.maximum(frames, inside(np.minimum(0.5 - np.abs(v - 0.3), 1.6 - np.abs(u)), pixel)) * face

    wide = np.sqrt((u / 6.4) ** 2 + ((v + 1.4) / (9.6 - 0.8 * (v > -1.4))) ** 2)
    holes = np.stack(
        [
            inside((1.25 - almond * 0.85) * 1.2, pixel),
            bump(u, v + 3.4, 2.6, 2.9) > 0.45,
            ellipse(u, v - mouth_y, 3.1, 1.5, pixel),
        ],
        1,
    )
    return Surface(
        z=z,
        normal=normal,
        albedo=np.clip(albedo, 0, 1),
        infrared=np.clip(infrared, 0.01, 1),
        gloss=np.clip(gloss, 0, 14) * (1 - 0.7 * hair) * (1 - clothes),
        wrap=0.45 * face * (1 - hair) + 0.3 * neck,
        retro=pupil * opening * face,
        solid=solid,
        skin=np.clip(face + body - clothes, 0, 1) * (1 - hair),
        hair=hair,
        cover=inside((1 - wide) * 6.4, pixel) * face,
        holes=holes.astype(np.float32) * face[:, None],
        frames=frames,
    )


def _nose(u: Float, v: Float, t: list[Float]) -> Float:
    """Ridge from between the eyes to the tip, then a quick fall to the lip, plus the wings; centimetres."""
    tip = -4.2 - 0.25 * t[3]
    ramp = np.clip((1.0 - v) / (1.0 - tip), 0, 1.15)
    profile = (2.3 + 0.25 * t[5]) * ramp * smoothstep(v, tip - 1.1, tip + 0.3)
    width = 0.75 + (0.55 + 0.12 * t[4]) * ramp
    wings = bump(np.abs(u) - 1.25 - 0.1 * t[4], v - tip + 0.25, 0.65, 0.6)
    return profile * np.exp(-((u / width) ** 2)) + 0.75 * wings
