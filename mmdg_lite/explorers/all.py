"""The three explorers, ready to be a notebook cell's value: sliders around what the plain functions draw.

Each call makes an explorer of its own; none knows of another, and nothing is kept between calls.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdg_lite.data.synthetic import DOMAINS, SPECIES
from mmdg_lite.explorers import balance as balance_explorer
from mmdg_lite.explorers import regrad as regrad_explorer
from mmdg_lite.explorers import training as training_viewer
from mmdg_lite.explorers.shell import Explorer, choice, several, slider, switch, whole_slider
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots import training
from mmdg_lite.studies.quickstart import Quickstart

__all__ = ["Explorer", "explore_balance", "explore_regrad", "view_training"]

ANGLES = {Modality.RGB: 20.0, Modality.DEPTH: 75.0, Modality.INFRARED: 150.0}
LOSSES = {Modality.RGB: 1.0, Modality.DEPTH: 0.5, Modality.INFRARED: 0.8}


def explore_regrad(*, branch: Modality = Modality.RGB) -> Explorer:
    """Three gradients by angle and length, losses and certainties; drawn: ReGrad's parts and every rule's result."""
    controls: dict[str, Any] = {"branch": choice("branch", [(m.title, m.value) for m in MODALITIES], branch.value)}
    for m in MODALITIES:
        name = m.title
        controls[f"angle_{m.value}"] = slider(f"{name} angle", ANGLES[m], -180, 180, 1, unit="degrees")
        controls[f"length_{m.value}"] = slider(f"{name} length", 1.0, 0, 2, 0.05)
        controls[f"loss_{m.value}"] = slider(f"{name} loss", LOSSES[m], 0, 2, 0.05, unit="nats")
        controls[f"certainty_{m.value}"] = slider(f"{name} certainty", 0.8, 0, 1, 0.05)
    per_modality = [[f"{kind}_{m.value}" for kind in ("angle", "length", "loss", "certainty")] for m in MODALITIES]
    groups = [["branch", *per_modality[0]], *per_modality[1:]]
    return Explorer(regrad_explorer.draw, controls, groups=groups)


def explore_balance(
    shipped: Quickstart, *, domain: str | None = None, species: str = "live", sample: int = 0
) -> Explorer:
    """One synthetic face under turned sensors: images, certainty maps, text scores, decision, Shapley values.

    `domain`: the letter to start with, the model's target by default. Choosing another one moves the sensor sliders
    to that domain's own settings.
    """
    domain = domain or shipped.target
    texts = [(name.replace("_", " "), name) for name in ("live", *SPECIES)]
    controls: dict[str, Any] = {
        "domain": choice("domain", list(DOMAINS), domain),
        "species": choice("face", texts, species),
        "sample": whole_slider("sample", sample, 0, 30),
    }
    for knob, value in balance_explorer.knob_values(domain).items():
        label, unit = balance_explorer.KNOBS[knob]
        controls[knob] = slider(label, value, *balance_explorer.knob_limits(knob), 0.01, unit=unit)
    for m in MODALITIES:
        controls[f"use_{m.value}"] = switch(f"use {m.title}", True)
    knobs, switches = list(balance_explorer.KNOBS), [f"use_{m.value}" for m in MODALITIES]
    groups = [["domain", "species", "sample", *switches], knobs]
    explorer = Explorer(balance_explorer.draw, controls, groups=groups, options={"shipped": shipped})

    def follow(change: Mapping[str, Any]) -> None:
        explorer.set(**balance_explorer.knob_values(change["new"]))

    controls["domain"].unobserve(explorer.update, names="value")
    controls["domain"].observe(follow, names="value")
    return explorer


def view_training(runs: Mapping[str, str | Path], *, shown: Sequence[str] | None = None) -> Explorer:
    """Several runs side by side over their steps, from their folders by the name to show: which, and how smoothed.

    Raises ValueError without any run, FileNotFoundError for a folder without metrics.jsonl.
    """
    if not runs:
        raise ValueError("no run to view: give run folders by name")
    read = training.histories(runs)
    first = tuple(shown) if shown is not None else tuple(read)[:3]
    controls = {
        "runs": several("runs", list(read), first),
        "window": whole_slider("mean over logged steps", 1, 1, 20),
    }
    return Explorer(training_viewer.draw, controls, options={"histories": read})
