"""Three losses over two parameters: the paths that two balancing rules take from one start."""

from typing import Any

import numpy as np

from mmdg_lite.explorers.shell import Drawn, Preset
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.descent import descents
from mmdg_lite.regrad.effects import TITLES
from mmdg_lite.studies.landscape import TRIANGLE, Landscape, descend

STEPS = 160
EQUAL = {f"steep_{m.value}": 1.0 for m in MODALITIES} | {f"floor_{m.value}": 0.0 for m in MODALITIES}

PRESETS: dict[str, Preset] = {
    "three equal bowls": Preset(
        question="The bowls are equal. Where does the plain sum settle, and does ReGrad settle there too?",
        values=EQUAL,
        answer="The plain sum stops in the middle. ReGrad's path bends where the fastest modality changes.",
    ),
    "one steep bowl": Preset(
        question="RGB's bowl is four times as steep. Which loss does the plain sum serve, and does ReGrad even it out?",
        values=EQUAL | {"steep_rgb": 4.0},
        answer="The plain sum goes towards RGB. Read both spreads, then change the branch: the result depends on it.",
    ),
    "a floor decides": Preset(
        question="Depth's loss can never fall below 1. Can depth ever be the fastest?",
        values=EQUAL | {"floor_depth": 1.0},
        answer="ReGrad compares losses, not what is left to learn: a modality with a high floor counts as slow.",
    ),
}


def draw(
    *,
    branch: str,
    first: str,
    second: str,
    x: float,
    y: float,
    certainty: float,
    rate: float,
    before: dict[str, Any] | None = None,
    reveal: bool = True,
    **values: float,
) -> Drawn:
    """Two rules' paths; `steep_rgb`, `floor_rgb`, ... are the bowls' steepness and floors."""
    r, d, i = (values[f"steep_{m.value}"] for m in MODALITIES)
    floor_r, floor_d, floor_i = (values[f"floor_{m.value}"] for m in MODALITIES)
    scene = Landscape(minima=TRIANGLE, steepness=(r, d, i), floors=(floor_r, floor_d, floor_i))
    found = {
        TITLES[rule]: descend(
            scene, rule, branch=Modality(branch), start=(x, y), certainty=(certainty,) * 3, steps=STEPS, rate=rate
        )
        for rule in (first, second)
    }
    losses = {name: scene.excess(descent.points) for name, descent in found.items()}
    paths = {name: descent.points for name, descent in found.items()}
    figure = descents(
        minima=scene.minima,
        paths=paths,
        losses=losses,
        fastest={name: descent.fastest for name, descent in found.items()},
        before=before,
        reveal=reveal,
    )
    ends = [
        f"{name} ends at ({path[-1, 0]:.2f}, {path[-1, 1]:.2f}), spread of the losses {np.ptp(losses[name][-1]):.2f}"
        for name, path in paths.items()
    ]
    words = f"A parameter of the {Modality(branch).title} branch: " + "; ".join(ends) + "."
    return Drawn(
        figure=figure, words=words if reveal else "Three bowls and a start; the paths are hidden.", state=paths
    )
