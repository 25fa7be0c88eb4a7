"""The synthetic benchmark: four made-up domains W, C, P and S, rendered on demand, bit-identical for the same seed.

See `data_prep/SYNTHETIC.md` for how the domains were chosen and how hard they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.real.species import LIVE
from mmdg_lite.data.renderer.domains import BENCHMARK_VERSION, DOMAINS, SPLITS, domain_named
from mmdg_lite.data.renderer.rendering import render_buffers
from mmdg_lite.data.renderer.scenes import SPECIES, Population, Scenes, draw_scenes
from mmdg_lite.data.renderer.sensors import Images, SensorProfile, blend, expose, turn

__all__ = [
    "BENCHMARK_VERSION",
    "BLOCK",
    "DOMAINS",
    "SPECIES",
    "Faces",
    "benchmark_split",
    "render",
    "render_scenes",
    "render_subjects",
]

BLOCK = 32
"""Scenes are rendered in blocks of this many, which keeps the working set in the processor's cache."""

MAXIMUM_SIZE = 224


@dataclass(frozen=True, kw_only=True)
class Faces(Images):
    """Labelled triplets."""

    label: NDArray[np.int64]  # n, 1 live, 0 spoof
    species: tuple[str, ...]  # "live" or a member of SPECIES
    subject: tuple[str, ...]  # identity
    scenes: Scenes  # what was rendered

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> "Faces":
        """The samples at these positions, in this order."""
        chosen = np.asarray(indices, int)
        scenes = self.scenes.select(chosen)
        return Faces(
            rgb=self.rgb[chosen],
            depth=self.depth[chosen],
            infrared=self.infrared[chosen],
            label=self.label[chosen],
            species=scenes.species,
            subject=scenes.subject,
            scenes=scenes,
        )


def render_scenes(
    scenes: Scenes, profiles: SensorProfile | Sequence[SensorProfile], seed: int | Sequence[int], *, size: int = 64
) -> Images:
    """Renders any scenes, faces and objects mixed, through one set of sensors or one set per scene.

    A pure function of its arguments. `size`: pixels, 16 to 224. Raises ValueError for a size out of range and for
    a wrong number of profiles.
    """
    if not 16 <= size <= MAXIMUM_SIZE:
        raise ValueError(f"size is {size!r}: choose 16 to {MAXIMUM_SIZE} pixels")
    n = len(scenes)
    if not isinstance(profiles, SensorProfile) and len(profiles) != n:
        raise ValueError(f"{len(profiles)} sensor profiles were given for {n} scenes: give one, or one per scene")
    rgb = np.empty((n, 3, size, size), np.uint8)
    depth, infrared = np.empty((2, n, 1, size, size), np.uint8)
    base = list(np.atleast_1d(seed))
    for number, kind in enumerate(("face", "object")):
        members = np.array([i for i in range(n) if scenes.kind[i] == kind], int)
        for start in range(0, len(members), BLOCK):
            chosen = members[start : start + BLOCK]
            look, camera = np.random.SeedSequence([*base, number, start // BLOCK]).spawn(2)
            buffers = render_buffers(scenes.select(chosen), np.random.default_rng(look), size=size)
            sensors = profiles if isinstance(profiles, SensorProfile) else [profiles[i] for i in chosen]
            images = expose(buffers, sensors, np.random.default_rng(camera))
            rgb[chosen], depth[chosen], infrared[chosen] = images.rgb, images.depth, images.infrared
    return Images(rgb=rgb, depth=depth, infrared=infrared)


def render(
    domain: str | SensorProfile,
    n: int,
    seed: int,
    *,
    species: str | Sequence[str] | None = None,
    severity: float = 1.0,
    size: int = 64,
    knobs: Mapping[str, float | bool] | None = None,
) -> Faces:
    """n faces of free subjects (none of the benchmark's) as a domain's sensors see them.

    `domain`: one of W, C, P, S, or a `SensorProfile` (then scenes come from the default population). `species`: None
    for the domain's own mixture with half of the samples live, one name, or n names. `severity`: how far the sensors
    deviate from ideal ones, 0 ideal, 1 the domain's. `knobs`: sensor properties set otherwise, after that, by their
    names in `SensorProfile`. The same seed gives the same scenes at every severity, size and setting of the knobs.
    Raises ValueError for an unknown domain, species or knob, naming the valid ones.
    """
    if isinstance(domain, SensorProfile):
        letter, sensors = "free", domain
        mixture, population = dict.fromkeys((LIVE, *SPECIES), 0.5 / len(SPECIES)) | {LIVE: 0.5}, Population()
    else:
        known = domain_named(domain)
        letter, sensors, mixture, population = known.letter, known.sensors, known.mixture, known.population
    profile = turn(blend(sensors, severity), knobs or {})
    return render_subjects(
        letter, "free", n, seed,
        species=species or mixture, sensors=profile, population=population, subjects=10_000, size=size,
    )  # fmt: skip


def benchmark_split(domain: str, split: str, n: int, seed: int, *, size: int = 64) -> Faces:
    """n faces of one split (train, val or test) of a domain; splits and domains share no subject.

    The first k blocks of 32 samples are the same whatever n. Raises ValueError for an unknown domain or split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: valid names are {', '.join(SPLITS)}")
    known = domain_named(domain)
    return render_subjects(
        known.letter, split, n, seed,
        species=known.mixture, sensors=known.sensors, population=known.population, subjects=SPLITS[split], size=size,
    )  # fmt: skip


def render_subjects(
    letter: str,
    split: str,
    n: int,
    seed: int,
    *,
    species: str | Sequence[str] | Mapping[str, float],
    sensors: SensorProfile,
    population: Population,
    subjects: int,
    size: int,
) -> Faces:
    """n faces of `subjects` people that no other letter or split has, through one set of sensors.

    `species`: one name, n names, or the probability of each name. The same arguments but `sensors` give the same
    scenes. Raises ValueError for a negative number or seed and for a wrong number of species.
    """
    if n < 0 or seed < 0:
        raise ValueError(f"n is {n!r} and seed {seed!r}: both must be 0 or more")
    key = [int(seed), *letter.encode(), *split.encode()]
    blocks = []
    for start in range(0, max(n, 1), BLOCK):
        rng = np.random.default_rng([*key, start])
        names = [f"{letter}-{split}-{number:04d}" for number in rng.integers(0, subjects, BLOCK)]
        wanted = species
        if not isinstance(species, str) and isinstance(species, Sequence):
            if len(species) != n:
                raise ValueError(f"{len(species)} species were given for {n} samples: give one name per sample")
            part = list(species[start : start + BLOCK])
            wanted = part + [LIVE] * (BLOCK - len(part))
        blocks.append(draw_scenes(BLOCK, rng, species=wanted, subjects=names, population=population))
    scenes = Scenes.concatenate(blocks).select(slice(0, n))
    images = render_scenes(scenes, sensors, key, size=size)
    label = np.array([name == LIVE for name in scenes.species], np.int64)
    return Faces(
        rgb=images.rgb,
        depth=images.depth,
        infrared=images.infrared,
        label=label,
        species=scenes.species,
        subject=scenes.subject,
        scenes=scenes,
    )
