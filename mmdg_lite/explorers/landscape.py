"""Three losses over two parameters: the paths that two balancing rules take from one start."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.explorers.shell import Drawn, Preset
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.descent import descents
from mmdg_lite.regrad.effects import TITLES
from mmdg_lite.studies.landscape import TRIANGLE, Descent, Landscape, descend, settled

Array = NDArray[np.float64]
EQUAL = {f"steep_{m.value}": 1.0 for m in MODALITIES} | {f"floor_{m.value}": 0.0 for m in MODALITIES}

PRESETS: dict[str, Preset] = {
    "three equal bowls": Preset(
        question="The bowls are equal. Where does the plain sum settle, and does ReGrad settle there too?",
        values=EQUAL,
        answer="Both settle in the middle. The plain sum goes there straight; ReGrad's path bends where the fastest "
        "modality changes, and then trembles about the middle.",
    ),
    "RGB dominates": Preset(
        question="RGB's bowl is ten times as steep. Whose loss stays highest under the plain sum? Does ReGrad help?",
        values=EQUAL | {"steep_rgb": 10.0},
        answer="Depth and infrared: 1.16 each. ReGrad holds RGB back until the three are nearly level; the worst-off "
        "has 0.96 left. It helps.",
    ),
    "RGB dominates, depth owns": Preset(
        question="The same bowls, but the two parameters belong to depth's branch. Does ReGrad still help?",
        values=EQUAL | {"steep_rgb": 10.0, "branch": "depth"},
        answer="No: the worst-off, infrared, has 1.17 left, the plain sum's 1.16. ReGrad lets the owner, depth, go "
        "its own way; infrared neither owns the parameters nor leads.",
    ),
    "RGB is easier": Preset(
        question="The bowls are equal again, but depth's and infrared's losses cannot fall below 1. Who is held back?",
        values=EQUAL | {"floor_depth": 1.0, "floor_infrared": 1.0},
        answer="RGB, for good: after a few steps its loss is always the lowest. It keeps 1.10 above its floor instead "
        "of 0.50, and the others gain little. ReGrad does harm.",
    ),
    "coarse steps": Preset(
        question="RGB dominates, and the learning rate is three times as large. What becomes of ReGrad's path?",
        values=EQUAL | {"steep_rgb": 10.0, "rate": 0.09},
        answer="It jumps to and fro across the line where the fastest modality changes: the rule has no small steps "
        "there. The plain sum does not mind.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """A rule's path with its losses: see `plots.descent.Path`."""

    descent: Descent
    excess: Array  # (steps + 1) x 3
    left: Array  # 3

    @property
    def points(self) -> Array:
        """(steps + 1) x 2."""
        return self.descent.points

    @property
    def fastest(self) -> tuple[Modality | None, ...]:
        """Of each step."""
        return self.descent.fastest


def draw(
    *,
    branch: str,
    first: str,
    second: str,
    x: float,
    y: float,
    certainty: float,
    rate: float,
    before: dict[str, Way] | None = None,
    reveal: bool = True,
    **values: float,
) -> Drawn:
    """Two rules' paths; `steep_rgb`, `floor_rgb`, ... are the bowls' steepness and floors."""
    steepness, floors = (tuple(values[f"{kind}_{m.value}"] for m in MODALITIES) for kind in ("steep", "floor"))
    scene = Landscape(minima=TRIANGLE, steepness=_three(steepness), floors=_three(floors))
    ways: dict[str, Way] = {}
    for rule in dict.fromkeys((first, second)):
        found = descend(
            scene, rule, branch=Modality(branch), start=(x, y), certainty=_three([certainty] * 3), rate=rate
        )
        ways[TITLES[rule]] = Way(descent=found, excess=scene.excess(found.points), left=settled(scene, found))
    figure = descents(ways, minima=scene.minima, steepness=steepness, before=before, reveal=reveal)
    left = [
        f"{name} leaves " + ", ".join(f"{m.title} {way.left[m.index]:.2f}" for m in MODALITIES) + " above their floors"
        for name, way in ways.items()
    ]
    words = f"A parameter of the {Modality(branch).title} branch: " + "; ".join(left) + "."
    return Drawn(figure=figure, words=words if reveal else "Three bowls and a start; the paths are hidden.", state=ways)


def _three(values: Any) -> tuple[float, float, float]:
    r, d, i = values
    return r, d, i
