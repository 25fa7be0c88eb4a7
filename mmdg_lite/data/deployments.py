"""Protocol P6: a frozen set of sensor deployments, and faults of one modality in five steps. Synthetic faces only.

A deployment is one set of three sensors that no training, validation or tuning has used, with subjects of its own.
`draw_deployments` draws them once, by a rule that looks at no image and at no score; `assets/deployments.json` keeps
them. See `data_prep/SYNTHETIC.md`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmdg_lite.configuration import ASSETS, ConfigurationError, from_dict, read_values, write_json
from mmdg_lite.data.real.species import LIVE
from mmdg_lite.data.renderer.domains import SPLITS, domain_named
from mmdg_lite.data.renderer.scenes import SPECIES, Population
from mmdg_lite.data.renderer.sensors import SensorProfile, random_profile, turn
from mmdg_lite.data.synthetic import BLOCK, Faces, render_subjects
from mmdg_lite.modality import MODALITIES, Modality

VERSION = "1"
"""Changes whenever any face of protocol P6 changes; scores of different versions are not comparable."""
SEED = 2026
"""The benchmark's year."""
INSIDE, OUTSIDE = 12, 12
"""How many deployments lie inside of the sensors' usual ranges, from which pre-training draws, and how many outside."""
TURNED = 2
"""Knobs of each sensor that lie outside of their usual range in a deployment of the second kind."""
FACES = 200
"""Faces per deployment, and per point of a reliability curve."""
SUBJECTS = 120
"""Subjects per deployment, as many as in a test list of the benchmark."""
FILE = ASSETS / "deployments.json"

SEVERITIES = (1, 2, 3, 4, 5)
FAULTS: dict[Modality, dict[str, Literal["low", "high"]]] = {
    Modality.RGB: {"rgb_exposure": "high", "rgb_blur": "high"},  # over-exposed and out of focus
    Modality.DEPTH: {"depth_holes": "high", "depth_noise": "high"},  # holes with noise
    Modality.INFRARED: {"infrared_exposure": "low", "infrared_noise": "high"},  # a weak lamp with noise
}
"""The fault of each modality: the knobs that it turns, and towards which of the renderer's limits."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One set of sensors that is only tested on."""

    name: str  # "d00", "d01", ...
    sensors: SensorProfile

    @property
    def outside(self) -> tuple[str, ...]:
        """The knobs that lie outside of their usual range, from which pre-training draws."""
        return tuple(knob.name for knob in _numeric_knobs() if not _is_usual(knob, getattr(self.sensors, knob.name)))

    @property
    def inside(self) -> bool:
        """True if the tiny CLIP's pre-training may have met these sensors: no knob lies outside of its usual range."""
        return not self.outside


def draw_deployments(seed: int = SEED) -> tuple[Deployment, ...]:
    """Draw the deployments: `INSIDE` inside of the usual ranges, then `OUTSIDE` outside.

    Each is a profile as pre-training draws it (every knob ideal with probability 0.25, otherwise uniform in its usual
    range), with depth not inverted, as in no domain of the benchmark. In the second kind, `TURNED` knobs of each sensor
    are drawn again, uniformly from outside of their usual range: up to that range's own width away from it on either
    side, within the renderer's limits. Values are rounded to four decimals.
    """
    return tuple(
        Deployment(name=f"d{number:02d}", sensors=_drawn(np.random.default_rng([seed, number]), number >= INSIDE))
        for number in range(INSIDE + OUTSIDE)
    )


def write_deployments(path: str | Path = FILE, *, seed: int = SEED) -> Path:
    """Write the deployments that follow from a seed, with version and checksum, as JSON."""
    drawn = [asdict(deployment) for deployment in draw_deployments(seed)]
    write_json(path, {"version": VERSION, "seed": seed, "sha256": _checksum(drawn), "deployments": drawn})
    return Path(path)


def read_deployments(path: str | Path = FILE) -> tuple[Deployment, ...]:
    """The deployments in a file. Raises ConfigurationError, naming it, if it is damaged or of another version."""
    values = read_values(path)
    listed = values.get("deployments")
    if values.get("version") != VERSION or not isinstance(listed, list):
        raise ConfigurationError(f"{path}: not deployments of version {VERSION}; restore the file")
    if values.get("sha256") != _checksum(listed):
        raise ConfigurationError(
            f"{path}: the deployments do not have the checksum that stands there; restore the file"
        )
    return tuple(from_dict(Deployment, item, where=f"{path}: deployments[{i}]") for i, item in enumerate(listed))


@cache
def deployments() -> tuple[Deployment, ...]:
    """The frozen deployments of protocol P6, in order."""
    return read_deployments()


def deployment_faces(deployment: Deployment, n: int = FACES, *, size: int = 64) -> Faces:
    """n faces before a deployment's sensors: half live, the attacks evenly of every species, subjects of its own."""
    species = [LIVE] * (n // 2) + [SPECIES[number % len(SPECIES)] for number in range(n - n // 2)]
    return render_subjects(
        deployment.name, "deployment", n, SEED,
        species=species, sensors=deployment.sensors, population=Population(), subjects=SUBJECTS, size=size,
    )  # fmt: skip


def faulty(sensors: SensorProfile, modality: Modality, severity: int) -> SensorProfile:
    """Sensors of which one modality has its fault (`FAULTS`).

    Severity 0 is no fault; at 5 the fault's knobs stand at the renderer's limits, and in between they move evenly.
    Raises ValueError for another severity.
    """
    if severity not in (0, *SEVERITIES):
        raise ValueError(f"severity is {severity!r}: choose 0 (no fault) to {SEVERITIES[-1]} (as bad as it gets)")
    limits = {knob.name: knob.metadata for knob in _numeric_knobs()}
    turned = {}
    for name, end in FAULTS[modality].items():
        share = severity / SEVERITIES[-1]
        turned[name] = (1 - share) * getattr(sensors, name) + share * limits[name][end]
    return turn(sensors, turned)


def fault_faces(
    letter: str, modality: Modality, severity: int, n: int = FACES, *, seed: int = SEED, size: int = 64
) -> Faces:
    """The first n faces of a domain's test list, before its sensors with a fault of one modality.

    Scenes, and every random number of the sensors, are those of `benchmark_split(letter, "test", ...)` with the same
    seed and at least as many faces: nothing but the fault differs. Raises ValueError for an unknown domain or severity.
    """
    domain = domain_named(letter)
    whole = -(-n // BLOCK) * BLOCK  # a block of fewer scenes would be rendered with other random numbers
    faces = render_subjects(
        letter, "test", whole, seed, species=domain.mixture, sensors=faulty(domain.sensors, modality, severity),
        population=domain.population, subjects=SPLITS["test"], size=size,
    )  # fmt: skip
    return faces.select(range(n))


def fault_points() -> Iterator[tuple[Modality, int]]:
    """The points of a domain's reliability curves: every modality's fault at every severity."""
    return ((modality, severity) for modality in MODALITIES for severity in SEVERITIES)


def _numeric_knobs() -> list[Field[Any]]:
    return [knob for knob in fields(SensorProfile) if "low" in knob.metadata]


def _is_usual(knob: Field[Any], value: float) -> bool:
    low, high = knob.metadata["usual"]
    return value == knob.default or low <= value <= high  # pre-training draws ideal values too


def _drawn(rng: np.random.Generator, outside: bool) -> SensorProfile:
    usual = random_profile(rng)
    turned: dict[str, Any] = {"depth_inverted": False}
    turned |= {knob.name: round(getattr(usual, knob.name), 4) for knob in _numeric_knobs()}
    for modality in MODALITIES if outside else ():
        mine = [knob for knob in _numeric_knobs() if knob.name.startswith(modality.value) and any(_lengths(knob))]
        for place in rng.choice(len(mine), TURNED, replace=False):
            turned[mine[place].name] = round(_outside(mine[place], rng), 4)
    return turn(usual, turned)


def _lengths(knob: Field[Any]) -> tuple[float, float]:
    """How far a knob is turned below and above its usual range."""
    low, high = knob.metadata["usual"]
    return min(high - low, low - knob.metadata["low"]), min(high - low, knob.metadata["high"] - high)


def _outside(knob: Field[Any], rng: np.random.Generator) -> float:
    low, high = knob.metadata["usual"]
    below, above = _lengths(knob)
    drawn = rng.uniform(-below, above)
    return float(low + drawn if drawn < 0 else high + drawn)


def _checksum(listed: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
