"""Scenes: what stands in front of the camera (identity, presentation, material, pose, light), before any sensor.

A scene is a row of attributes; `rendering.py` turns scenes into physical maps and `sensors.py` turns these into images.
Attributes are physical and are what the captions of the tiny CLIP describe. Faces are live or one of the attack species
of data sets such as WMCA, CASIA-SURF and CeFA; objects (cup, ball, ...) go through comparable presentations.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.real.species import LIVE

SPECIES = (
    "print",
    "bent_print",
    "cut_print",
    "replay",
    "paper_mask",
    "rigid_mask",
    "flexible_mask",
    "fake_head",
    "glasses",
)
OBJECTS = ("cup", "ball", "box", "bottle", "book", "vase", "apple", "can")
OBJECT_PRESENTATIONS = ("genuine", "print", "bent_print", "replay", "replica")
MATERIALS = (
    "skin",
    "paper",
    "photo paper",
    "screen",
    "cardboard",
    "plastic",
    "resin",
    "silicone",
    "plaster",
    "ceramic",
    "metal",
    "wood",
    "glass",
    "rubber",
    "fruit",
)
FORMS = ("relief", "flat", "bent", "folded", "cut")
HAIR = ("none", "short", "long")
HAIR_COLOURS = ("black", "brown", "blond", "grey", "red")
GLASSES = ("none", "thin", "thick", "patterned")
BACKGROUNDS = ("plain", "gradient", "textured", "shelves", "window")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black", "brown")
TRAITS = 16

PLANAR = ("print", "bent_print", "cut_print", "replay")
"""Presentations that show a picture on a sheet or a screen."""

_FORM = {"print": "flat", "bent_print": "bent", "cut_print": "cut", "replay": "flat", "paper_mask": "folded"}
_FLATNESS = {"print": 1.0, "bent_print": 0.8, "cut_print": 0.9, "replay": 1.0, "paper_mask": 0.5}
_MATERIALS_OF_SPECIES = {
    "live": ("skin",),
    "print": ("paper", "photo paper"),
    "bent_print": ("paper", "photo paper"),
    "cut_print": ("paper", "photo paper"),
    "replay": ("screen",),
    "paper_mask": ("cardboard",),
    "rigid_mask": ("plastic", "resin"),
    "flexible_mask": ("silicone",),
    "fake_head": ("plaster", "plastic"),
    "glasses": ("skin",),
    "replica": ("plastic",),
}
_MATERIALS_OF_OBJECT = {
    "cup": ("ceramic", "metal"),
    "ball": ("rubber", "wood"),
    "box": ("cardboard", "wood"),
    "bottle": ("glass", "metal"),
    "book": ("cardboard",),
    "vase": ("ceramic", "glass"),
    "apple": ("fruit",),
    "can": ("metal",),
}
_GLOSS = {
    "skin": (0.05, 0.35),
    "paper": (0.0, 0.15),
    "photo paper": (0.4, 0.8),
    "screen": (0.4, 0.9),
    "cardboard": (0.0, 0.2),
    "plastic": (0.3, 0.9),
    "resin": (0.15, 0.7),
    "silicone": (0.1, 0.5),
    "plaster": (0.0, 0.2),
    "ceramic": (0.4, 0.9),
    "metal": (0.6, 1.0),
    "wood": (0.05, 0.3),
    "glass": (0.7, 1.0),
    "rubber": (0.05, 0.3),
    "fruit": (0.3, 0.6),
}


@dataclass(frozen=True, kw_only=True)
class Population:
    """Ranges from which scenes are drawn; pairs are (low, high) of a uniform distribution."""

    tone: tuple[float, float] = (0.0, 1.0)  # skin tone, 0 darkest .. 1 lightest
    yaw: float = 0.35  # largest turn to either side, radians
    pitch: float = 0.2  # largest nod, radians
    distance: tuple[float, float] = (0.4, 1.1)  # metres between camera and face
    background_distance: tuple[float, float] = (0.2, 2.0)  # metres from face to background
    light_azimuth: float = 1.0  # largest angle of the lamp to either side, radians
    light_strength: tuple[float, float] = (0.6, 1.2)  # 1 = well lit
    ambient: tuple[float, float] = (0.25, 0.75)  # part of the light that is diffuse
    warmth: tuple[float, float] = (-0.6, 0.6)  # -1 bluish .. 1 yellowish lamp
    craft: tuple[float, float] = (0.0, 1.0)  # 0 crude .. 1 careful attack (colours, edges, extent of a picture)
    ink: tuple[float, float] = (0.0, 1.0)  # 0 the print's ink vanishes in infrared (dye) .. 1 it stays black (toner)
    long_hair: float = 0.35  # fraction of subjects with long hair
    spectacles: float = 0.25  # fraction of scenes with ordinary glasses


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """n scenes; every field has length n (tuples of str, float32 or bool arrays). Units: radians, metres."""

    kind: tuple[str, ...]  # "face" or "object"
    name: tuple[str, ...]  # "face" or a member of OBJECTS
    species: tuple[str, ...]  # faces: "live" or a member of SPECIES; objects: a member of OBJECT_PRESENTATIONS
    subject: tuple[str, ...]  # identity
    material: tuple[str, ...]  # member of MATERIALS: what the surface is made of
    form: tuple[str, ...]  # member of FORMS
    hair: tuple[str, ...]  # member of HAIR
    hair_colour: tuple[str, ...]  # member of HAIR_COLOURS
    glasses: tuple[str, ...]  # member of GLASSES
    background: tuple[str, ...]  # member of BACKGROUNDS
    colour: tuple[str, ...]  # member of COLOURS for objects, "" for faces
    beard: NDArray[np.bool_]
    flatness: NDArray[np.float32]  # 0 full relief .. 1 flat
    gloss: NDArray[np.float32]  # 0 matt .. 1 mirror-like
    yaw: NDArray[np.float32]  # > 0 turned to the image's right
    pitch: NDArray[np.float32]  # > 0 looking up
    roll: NDArray[np.float32]  # > 0 tilted counter-clockwise
    distance: NDArray[np.float32]  # metres from the camera
    background_distance: NDArray[np.float32]  # metres behind the face
    light_azimuth: NDArray[np.float32]  # > 0 light from the image's right
    light_elevation: NDArray[np.float32]  # > 0 light from above
    light_strength: NDArray[np.float32]  # 1 = well lit
    ambient: NDArray[np.float32]  # 0..1, part of the light that is diffuse
    warmth: NDArray[np.float32]  # -1 bluish .. 1 yellowish
    tone: NDArray[np.float32]  # 0 darkest .. 1 lightest skin (objects: brightness of the paint)
    smile: NDArray[np.float32]  # -1..1
    craft: NDArray[np.float32]  # 0 crude .. 1 careful attack
    ink: NDArray[np.float32]  # 0 ink invisible in infrared .. 1 black in infrared
    traits: NDArray[np.float32]  # n x TRAITS standard-normal shape parameters of the identity

    def __len__(self) -> int:
        return len(self.kind)

    def select(self, indices: Sequence[int] | NDArray[np.integer] | slice) -> "Scenes":
        """The scenes at these positions, in this order."""
        chosen = range(len(self))[indices] if isinstance(indices, slice) else [int(i) for i in indices]
        picked: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            picked[field.name] = (
                tuple(value[i] for i in chosen) if isinstance(value, tuple) else value[np.asarray(chosen, int)]
            )
        return Scenes(**picked)  # type: ignore[arg-type]

    def attributes(self, index: int) -> dict[str, str | float | bool]:
        """The attributes of one scene as plain values (without `traits`)."""
        plain: dict[str, str | float | bool] = {}
        for field in fields(self):
            if field.name != "traits":
                value = getattr(self, field.name)[index]
                plain[field.name] = value.item() if isinstance(value, np.generic) else value
        return plain

    @staticmethod
    def concatenate(parts: Sequence["Scenes"]) -> "Scenes":
        """Joins several groups of scenes in order."""
        joined: dict[str, object] = {}
        for field in fields(Scenes):
            values = [getattr(part, field.name) for part in parts]
            joined[field.name] = sum(values, ()) if isinstance(values[0], tuple) else np.concatenate(values)
        return Scenes(**joined)  # type: ignore[arg-type]


def draw_scenes(
    n: int,
    rng: np.random.Generator,
    *,
    kind: str = "face",
    species: str | Sequence[str] | Mapping[str, float] | None = None,
    subjects: Sequence[str] | None = None,
    population: Population | None = None,
) -> Scenes:
    """Draws n scenes.

    `species`: None for half live and the rest spread evenly over SPECIES (objects: evenly over OBJECT_PRESENTATIONS),
    one name, n names, or a mapping from names to probabilities. `subjects`: n names, each of which fixes an identity
    (shape, tone, hair) whatever the generator; None draws a fresh identity per scene. Raises ValueError for an unknown
    kind or species, naming the valid ones.
    """
    if kind not in ("face", "object"):
        raise ValueError(f"unknown kind {kind!r}: choose 'face' or 'object'")
    ranges = population or Population()
    names = _draw_species(n, rng, kind, species)
    if subjects is None:
        subjects = [f"free-{number:016x}" for number in rng.integers(0, 2**63, n)]
    elif len(subjects) != n:
        raise ValueError(f"{len(subjects)} subjects were given for {n} scenes: give one name per scene")
    identities = [_identity(name, ranges) for name in subjects]

    def between(low: float, high: float) -> NDArray[np.float32]:
        return (low + (high - low) * rng.random(n)).astype(np.float32)

    def choose(options: Sequence[str], weights: Sequence[float] | None = None) -> tuple[str, ...]:
        return tuple(options[i] for i in rng.choice(len(options), n, p=weights))

    is_face = kind == "face"
    what = ("face",) * n if is_face else choose(OBJECTS)
    pick = rng.random(n)
    material = []
    for i in range(n):
        genuine = names[i] == "genuine"
        options = _MATERIALS_OF_OBJECT[what[i]] if genuine else _MATERIALS_OF_SPECIES[names[i]]
        material.append(options[int(pick[i] * len(options))])
    gloss_range = np.array([_GLOSS[m] for m in material])
    worn = rng.random(n)
    spectacles = tuple(
        "patterned"
        if names[i] == "glasses"
        else (
            "none"
            if not is_face or worn[i] >= ranges.spectacles
            else ("thin", "thick")[int(2 * worn[i] < ranges.spectacles)]
        )
        for i in range(n)
    )
    return Scenes(
        kind=(kind,) * n,
        name=what,
        species=names,
        subject=tuple(subjects),
        material=tuple(material),
        form=tuple(_FORM.get(s, "relief") for s in names),
        hair=tuple(i[0] for i in identities) if is_face else ("none",) * n,
        hair_colour=tuple(i[1] for i in identities),
        glasses=spectacles,
        background=choose(BACKGROUNDS),
        colour=("",) * n if is_face else choose(COLOURS),
        beard=np.array([i[2] for i in identities]) & is_face,
        flatness=np.array([_FLATNESS.get(s, 0.0) for s in names], np.float32),
        gloss=(gloss_range[:, 0] + (gloss_range[:, 1] - gloss_range[:, 0]) * rng.random(n)).astype(np.float32),
        yaw=np.clip(0.5 * ranges.yaw * rng.standard_normal(n), -ranges.yaw, ranges.yaw).astype(np.float32),
        pitch=np.clip(0.5 * ranges.pitch * rng.standard_normal(n), -ranges.pitch, ranges.pitch).astype(np.float32),
        roll=np.clip(0.05 * rng.standard_normal(n), -0.15, 0.15).astype(np.float32),
        distance=between(*ranges.distance),
        background_distance=between(*ranges.background_distance),
        light_azimuth=between(-ranges.light_azimuth, ranges.light_azimuth),
        light_elevation=between(0.1, 0.9),
        light_strength=between(*ranges.light_strength),
        ambient=between(*ranges.ambient),
        warmth=between(*ranges.warmth),
        tone=np.array([i[3] for i in identities], np.float32),
        smile=between(-1, 1),
        craft=between(*ranges.craft),
        ink=between(*ranges.ink),
        traits=np.stack([i[4] for i in identities]) if n else np.zeros((0, TRAITS), np.float32),
    )


def _identity(subject: str, ranges: Population) -> tuple[str, str, bool, float, NDArray[np.float32]]:
    """Hair, hair colour, beard, tone and traits: a pure function of the subject's name (and of the population)."""
    rng = np.random.default_rng(list(hashlib.sha256(subject.encode()).digest()[:16]))
    hair = ("long", "short", "none")[np.searchsorted([ranges.long_hair, 0.92], rng.random())]
    tone = ranges.tone[0] + (ranges.tone[1] - ranges.tone[0]) * rng.random()
    weights = (0.5, 0.22, 0.12, 0.12, 0.04) if tone > 0.45 else (0.8, 0.12, 0.0, 0.08, 0.0)
    colour = HAIR_COLOURS[rng.choice(len(HAIR_COLOURS), p=weights)]
    beard = bool(rng.random() < (0.0 if hair == "long" else 0.35))
    traits = np.clip(rng.standard_normal(TRAITS), -2, 2).astype(np.float32)
    return hair, colour, beard, float(tone), traits


def _draw_species(
    n: int, rng: np.random.Generator, kind: str, species: str | Sequence[str] | Mapping[str, float] | None
) -> tuple[str, ...]:
    valid = (LIVE, *SPECIES) if kind == "face" else OBJECT_PRESENTATIONS
    if species is None:
        species = (
            {LIVE: 0.5} | {s: 0.5 / len(SPECIES) for s in SPECIES} if kind == "face" else dict.fromkeys(valid, 1.0)
        )
    if isinstance(species, str):
        chosen: Sequence[str] = (species,) * n
    elif isinstance(species, Mapping):
        weights = np.array(list(species.values()), float)
        if len(weights) == 0 or weights.min() < 0 or weights.sum() <= 0:
            raise ValueError("probabilities of species must be non-negative and not all zero")
        options = tuple(species)
        chosen = [options[i] for i in rng.choice(len(options), n, p=weights / weights.sum())]
        unknown_keys = [s for s in options if s not in valid]
        if unknown_keys:
            raise ValueError(f"unknown species {unknown_keys[0]!r}: valid names are {', '.join(valid)}")
    else:
        chosen = tuple(species)
        if len(chosen) != n:
            raise ValueError(f"{len(chosen)} species were given for {n} scenes: give one name per scene")
    for name in chosen:
        if name not in valid:
            raise ValueError(f"unknown species {name!r}: valid names are {', '.join(valid)}")
    return tuple(chosen)
