"""A small training while somebody watches: provoke an imbalance, then see whether a balancing rule evens it out."""

from collections.abc import Mapping
from typing import Any

from mmdg_lite.explorers.shell import Drawn, Preset
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.imbalance import trainings
from mmdg_lite.regrad.effects import TITLES
from mmdg_lite.studies.imbalance import Knobs, Toy, Trained, train

STEPS = 100
KINDS = {
    "scale": ("size of features", "times", 0.1, 4.0, 0.1),
    "spoilt": ("mixed up", "share of faces", 0.0, 1.0, 0.05),
    "certainty": ("certainty", "0 to 1", 0.0, 1.0, 0.05),
}
"""The sliders of each modality: label, unit, lowest and highest value, step."""

START: dict[str, tuple[float, float, float]] = {  # RGB, depth, infrared
    "scale": (1.0, 1.0, 1.0),
    "spoilt": (0.0, 0.0, 0.0),
    "certainty": (0.6, 0.6, 0.6),
}


def sliders(**values: tuple[float, float, float]) -> dict[str, float]:
    """Values of the sliders by name, `scale_rgb` and so on; what is not given stands at its start."""
    return {f"{kind}_{m.value}": three[m.index] for kind, three in {**START, **values}.items() for m in MODALITIES}


PRESETS: dict[str, Preset] = {
    "as it stands": Preset(
        question="Nothing is done to the modalities. Is there an imbalance for ReGrad to cure?",
        values=sliders(),
        answer="Hardly: the mean gap is 0.048 nats under the plain sum and 0.044 under ReGrad. A cure can only be "
        "judged where there is something to cure.",
    ),
    "loud infrared, quiet RGB": Preset(
        question="Infrared's features are ten times RGB's. Will ReGrad narrow the gap that this opens?",
        values=sliders(scale=(0.3, 1.0, 3.0)),
        answer="Yes: the mean gap falls from 0.095 to 0.059 nats, and the mean loss falls with it. Now choose OGM-GE "
        "as the second rule: does it do the same?",
    ),
    "RGB's faces mixed up": Preset(
        question="Eight in ten of RGB's features belong to other faces. Can holding back the fastest help RGB?",
        values=sliders(spoilt=(0.8, 0.0, 0.0)),
        answer="No: the gap grows from 0.114 to 0.125 nats. RGB is slow since its features do not hold the answer, and "
        "no rule can teach that.",
    ),
    "strong coupling": Preset(
        question="Each modality sees nearly as much of the others as of itself. "
        "ReGrad narrows the gap. Is that a gain?",
        values=sliders(scale=(0.3, 1.0, 3.0)) | {"coupling": 0.8},
        answer="It cannot be told. The mean gap falls from 0.079 to 0.050 nats, but both trainings swing: coupling "
        "makes every step larger, and too large here. Where losses jump up and down, the last one is chance. Lower "
        "the coupling until the curves are smooth, and look again.",
    ),
}


def draw(
    *,
    data: Toy,
    first: str,
    second: str,
    coupling: float,
    before: Mapping[str, Trained] | None = None,
    reveal: bool = True,
    **values: Any,
) -> Drawn:
    """Two trainings from one start; `scale_rgb`, `spoilt_rgb`, `certainty_rgb`, ... are the knobs."""
    of = {kind: tuple(values[f"{kind}_{m.value}"] for m in MODALITIES) for kind in KINDS}
    knobs = Knobs(coupling=coupling, **of)
    found = {TITLES[rule]: train(data, rule, knobs, steps=STEPS) for rule in (first, second)}
    ends = [
        f"under {name} the gap between slowest and fastest loss is {t.gap:.3f} nats on average, last losses "
        + ", ".join(f"{m.title} {t.losses[-1, m.index]:.2f}" for m in MODALITIES)
        for name, t in found.items()
    ]
    words = "Training of three branches: " + "; ".join(ends) + "."
    shown = trainings(found, before=before, reveal=reveal)
    return Drawn(figure=shown, words=words if reveal else "The second training is hidden until you look.", state=found)
