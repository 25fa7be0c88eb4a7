"""The explorers, ready to be a notebook cell's value: controls around what the plain functions draw.

Each call makes an explorer of its own; none knows of another, and nothing is kept between calls.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdg_lite.data.synthetic import DOMAINS, SPECIES
from mmdg_lite.explorers import balance as balance_explorer
from mmdg_lite.explorers import imbalance as imbalance_lab
from mmdg_lite.explorers import landscape as landscape_explorer
from mmdg_lite.explorers import regrad as regrad_explorer
from mmdg_lite.explorers import training as training_viewer
from mmdg_lite.explorers.shell import Explorer, button, choice, slider, switch, text
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots import training
from mmdg_lite.regrad.effects import TITLES, available
from mmdg_lite.regrad.plane import Modulate, Project
from mmdg_lite.results.cells import display_name
from mmdg_lite.studies import imbalance
from mmdg_lite.studies.quickstart import Quickstart

__all__ = [
    "Explorer",
    "explore_balance",
    "explore_imbalance",
    "explore_landscape",
    "explore_regrad",
    "view_training",
]


def explore_regrad(
    *, branch: Modality = Modality.RGB, project: Project | None = None, modulate: Modulate | None = None
) -> Explorer:
    """Three gradients by angle and length, losses and certainties; drawn: ReGrad's parts and every rule's result.

    Args:
        branch: modality that the parameter belongs to at the start.
        project: your own T(gradient, base), as in assignment 4; ReGrad's rule with it is drawn as "yours".
        modulate: your own rule, `modulate(gradients, branch, fastest, certainty, project)` as in assignment 4.
    """
    controls: dict[str, Any] = {"branch": _branch(branch)}
    table = _by_modality(controls, regrad_explorer.KINDS, regrad_explorer.sliders(), width=205)
    return Explorer(
        regrad_explorer.draw,
        controls,
        rows=[["branch"], *table],
        options={"project": project, "modulate": modulate},
        presets=regrad_explorer.PRESETS,
        memory=True,
    )


def explore_landscape(*, branch: Modality = Modality.RGB, first: str = "none", second: str = "regrad") -> Explorer:
    """Three losses over two parameters; drawn: the paths of two balancing rules, their losses, who is fastest."""
    controls: dict[str, Any] = {"branch": _branch(branch)}
    controls |= {"first": _rule("first rule", first), "second": _rule("second rule", second)}
    controls["rate"] = slider("learning rate", 0.03, 0.01, 0.1, 0.01, width=220, named=80)
    for m in MODALITIES:
        controls[f"steep_{m.value}"] = slider(f"{m.title} steepness", 1.0, 0.5, 20.0, 0.5)
    for m in MODALITIES:
        controls[f"floor_{m.value}"] = slider(f"{m.title} floor", 0.0, 0.0, 2.0, 0.1, unit="lowest loss, nats")
    controls["x"] = slider("start, first", -0.3, -2.0, 2.0, 0.1, unit="first parameter")
    controls["y"] = slider("start, second", 1.9, -2.0, 2.0, 0.1, unit="second parameter")
    controls["certainty"] = slider("certainty", 0.8, 0.0, 1.0, 0.05, unit="of all three")
    rows = [
        ["branch", "first", "second", "rate"],
        [f"steep_{m.value}" for m in MODALITIES],
        [f"floor_{m.value}" for m in MODALITIES],
        ["x", "y", "certainty"],
    ]
    return Explorer(landscape_explorer.draw, controls, rows=rows, presets=landscape_explorer.PRESETS, memory=True)


def explore_imbalance(
    *, data: imbalance.Toy | None = None, first: str = "none", second: str = "regrad", seed: int = 0
) -> Explorer:
    """A small training with knobs that make the modalities unequal; drawn: losses and gap under two balancing rules.

    `data`: what `studies.imbalance.toy` gives, made from `seed` if it is not given (seconds).
    """
    controls: dict[str, Any] = {"first": _rule("first rule", first), "second": _rule("second rule", second)}
    controls["coupling"] = slider("coupling", 0.2, 0.0, 1.0, 0.05, unit="how much of the other branches is seen")
    table = _by_modality(controls, imbalance_lab.KINDS, imbalance_lab.sliders(), width=270)
    return Explorer(
        imbalance_lab.draw,
        controls,
        rows=[["first", "second", "coupling"], *table],
        options={"data": data or imbalance.toy(seed=seed)},
        presets=imbalance_lab.PRESETS,
        memory=True,
    )


def explore_balance(
    shipped: Quickstart, *, domain: str | None = None, species: str = "live", sample: int = 0
) -> Explorer:
    """One synthetic face under turned sensors: images, certainty, attention, scores, Shapley values, coalitions.

    `domain`: the letter to start with, the model's target by default. Choosing another one leaves the sensors as they
    are; a button puts them to the domain's own settings.
    """
    domain = domain or shipped.target
    texts = [(name.replace("_", " "), name) for name in ("live", *SPECIES)]
    knobs = balance_explorer.KNOBS
    controls: dict[str, Any] = {
        "domain": choice("domain", list(DOMAINS), domain, width=120),
        "species": choice("face", texts, species, width=190),
        "sample": slider("sample", sample, 0, 30, 1, width=200, named=50),
    }
    for m in MODALITIES:
        controls[f"use_{m.value}"] = switch(f"use {m.title}", True)
    for knob, value in balance_explorer.knob_values(domain).items():
        label, unit = knobs[knob]
        controls[knob] = slider(label, value, *balance_explorer.knob_limits(knob), 0.01, unit=unit, named=105)
    controls["along"] = choice("curve along", [(label, knob) for knob, (label, _) in knobs.items()], "depth_holes")
    own = button("own sensors", "Put the six sensor knobs to the domain's own settings", lambda: None, width=120)
    switches = [f"use_{m.value}" for m in MODALITIES]
    rows = [
        ["domain", "species", "sample", *switches],
        ["depth_holes", "infrared_exposure", "rgb_exposure"],
        ["depth_noise", "infrared_noise", "rgb_blur"],
        ["along", own],
    ]
    explorer = Explorer(
        balance_explorer.draw,
        controls,
        rows=rows,
        options={"shipped": shipped, "curves": {}},
        presets=balance_explorer.PRESETS,
        memory=True,
    )
    own.on_click(lambda _: explorer.set(**balance_explorer.knob_values(controls["domain"].value)))
    for knob in knobs:
        controls[knob].observe(_turning(explorer, knob), names="value")
    return explorer


def _turning(explorer: Explorer, knob: str) -> Callable[[Any], None]:
    """What draws the curve along the knob that a reader turns."""

    def turned(_: Any) -> None:
        if not explorer.held:
            explorer.controls["along"].value = knob

    return turned


def view_training(
    runs: str | Path | Mapping[str, str | Path], *, methods: Sequence[str] = ("mmdg++", "mmdg++_without_regrad")
) -> Explorer:
    """Up to three methods' runs on one setting and seed, side by side over their steps.

    Args:
        runs: a folder of runs, or folders by name, profile/protocol/setting/method/seed or less of it.
        methods: what to show first, as far as there are such runs.

    Raises:
        ValueError: there is no run.
    """
    folders = training.run_folders(runs) if isinstance(runs, str | Path) else {n: Path(p) for n, p in runs.items()}
    if not folders:
        raise ValueError("no run to view: give a folder of runs, or run folders by name")
    by_parts = {training_viewer.parts(name): path for name, path in folders.items()}
    settings, names, seeds = (list(dict.fromkeys(key[place] for key in by_parts)) for place in range(3))
    start = next((key for key in by_parts if key[1] in methods[:1]), next(iter(by_parts)))
    there = [m for m in methods if (start[0], m, start[2]) in by_parts] or [start[1]]
    offered = [*((display_name(name), name) for name in names), ("none", training_viewer.NONE)]
    chosen = [*there[: training.MOST], *[training_viewer.NONE] * training.MOST][: training.MOST]
    titles = [(training_viewer.setting_label(setting), setting) for setting in settings]
    numbers = [(training_viewer.seed_label(seed), seed) for seed in seeds]
    controls: dict[str, Any] = {
        "setting": choice("setting", titles, start[0], width=300),
        "seed": choice("seed", numbers, start[2], width=160),
        "window": slider("mean over", 1, 1, 20, 1, unit="logged steps", named=80),
    }
    for place, method in zip(("first", "second", "third"), chosen, strict=True):
        controls[place] = choice(f"{place} method", offered, method, width=300)
    options = {"runs": by_parts, "read": {}}
    rows = [["setting", "seed", "window"], ["first", "second", "third"]]
    questions = training_viewer.presets(by_parts, start[0], start[2])
    return Explorer(training_viewer.draw, controls, rows=rows, options=options, presets=questions)


def _branch(branch: Modality) -> Any:
    return choice("branch", [(m.title, m.value) for m in MODALITIES], branch.value)


def _rule(label: str, rule: str) -> Any:
    return choice(label, [(TITLES[name], name) for name in available()], rule)


def _by_modality(
    controls: dict[str, Any],
    kinds: Mapping[str, tuple[str, str, float, float, float]],
    values: Mapping[str, float],
    *,
    width: int,
) -> list[list[Any]]:
    """Adds a slider per modality and kind to `controls`; returns them as a table's rows, heads first."""
    heads = [text("", width=64), *(text(f"{label}, {unit}", width=width + 4) for label, unit, *_ in kinds.values())]
    rows = []
    for m in MODALITIES:
        names = [f"{kind}_{m.value}" for kind in kinds]
        for name, (label, unit, low, high, step) in zip(names, kinds.values(), strict=True):
            controls[name] = slider(
                f"{m.title} {label}", values[name], low, high, step, unit=unit, width=width, named=0
            )
        rows.append([text(m.title, width=64), *names])
    return [heads, *rows]
