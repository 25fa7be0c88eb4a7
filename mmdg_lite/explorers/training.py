"""How up to three methods balanced their modalities on one setting: losses, who is fastest, conflicts, gradients."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mmdg_lite.explorers.shell import Drawn, Preset
from mmdg_lite.plots.training import description, histories, picture, summary
from mmdg_lite.results.cells import display_name

NONE = ""
"""The method of an empty column."""

QUESTIONS: dict[str, tuple[str, str, str]] = {  # name: the two methods beside each other, and the question
    "does ReGrad close the gap?": (
        "mmdg++_without_regrad",
        "mmdg++",
        "With the plain sum RGB's loss stays above the other two. Will ReGrad bring it closer to them?",
    ),
    "does uncertainty bring peace?": (
        "mmdg++",
        "mmdg++_without_uncertainty",
        "About half of the pairs of gradients conflict in MMDG++. Without uncertainty, will more conflict, or fewer?",
    ),
    "which loss is lower?": (
        "fusion",
        "fusion+prompts",
        "ADPs are added to plain fusion. Its modalities' losses begin about twice as high. Has it learned less?",
    ),
}


def parts(name: str) -> tuple[str, str, str]:
    """Setting, method and seed of a run's name, such as full/P1/CPS-to-W, mmdg++ and seed0; "" for what it lacks."""
    *setting, method, seed = ["", *name.split("/")] if "/" in name else ["", name, ""]
    return "/".join(part for part in setting if part), method, seed


def setting_label(setting: str) -> str:
    """A setting as a reader says it: "full, CPS->W" for full/P1/CPS-to-W. Protocols other than P1 are named."""
    return ", ".join(part.replace("-to-", "->") for part in setting.split("/") if part != "P1")


def seed_label(seed: str) -> str:
    """ "seed 0" for seed0."""
    return f"seed {seed.removeprefix('seed')}" if seed.startswith("seed") else seed


def presets(runs: Mapping[tuple[str, str, str], Path], setting: str, seed: str) -> dict[str, Preset]:
    """Those of `QUESTIONS` whose two methods have a run of the setting and seed, with answers from these runs."""
    found = {}
    for name, (first, second, question) in QUESTIONS.items():
        if {(setting, first, seed), (setting, second, seed)} <= set(runs):
            both = summary(histories({display_name(m): runs[setting, m, seed] for m in (first, second)}))
            values = {"setting": setting, "seed": seed, "first": first, "second": second, "third": NONE}
            found[name] = Preset(question=question, values=values, answer=_answer(name, both))
    return found


def _answer(name: str, table: pd.DataFrame) -> str:
    averages = table[[f"last average {m}" for m in ("RGB", "depth", "infrared")]]
    if name == "does ReGrad close the gap?":
        gaps = averages.iloc[:, 0] - averages.iloc[:, 1:].mean(axis=1)
        verdict = "Yes" if gaps.iloc[1] < gaps.iloc[0] else "No"
        return (
            f"{verdict}: at the end RGB's loss average is {gaps.iloc[1]:.2f} nats above the mean of the other two, and "
            f"{gaps.iloc[0]:.2f} with the plain sum. Look at all three curves: who became slower?"
        )
    if name == "does uncertainty bring peace?":
        with_it, without = table["conflict rate"]
        return (
            f"{'Fewer' if without < with_it else 'More'}: {without:.2f} of the pairs conflict without it, and "
            f"{with_it:.2f} with it. Two random directions conflict in half of the cases."
        )
    return (
        "The curves cannot tell. Plain fusion's modalities choose between 2 classes, so a guess costs 0.69 nats; with "
        "ADPs there are 4 (live, and a spoof class per source domain), and a guess costs 1.39."
    )


def draw(
    *,
    setting: str,
    seed: str,
    first: str,
    second: str,
    third: str,
    window: int,
    runs: Mapping[tuple[str, str, str], Path],
    read: dict[Path, pd.DataFrame],
    reveal: bool = True,
) -> Drawn:
    """The picture of the chosen methods' runs; without `reveal` of the first alone. `read` remembers what was read.

    Raises ValueError naming the run that there is not, or that has no training steps.
    """
    chosen = {}
    for method in dict.fromkeys(m for m in (first, second, third) if m != NONE):
        name, run = display_name(method), runs.get((setting, method, seed))
        if run is None:
            there = sorted(display_name(m) for s, m, n in runs if (s, n) == (setting, seed))
            where = ", ".join(part for part in (setting_label(setting), seed_label(seed)) if part)
            raise ValueError(f"there is no run of {name} on {where}; there are {', '.join(there) or 'none'}")
        if run not in read:
            read |= {run: histories({name: run})[name]}
        chosen[name] = read[run]
    shown = chosen if reveal else dict(list(chosen.items())[:1])
    title = ", ".join(part for part in (setting_label(setting), seed_label(seed)) if part)
    words = description(shown) + ("" if reveal else " The second run is hidden until you look.")
    return Drawn(figure=picture(shown, window=window, title=title), words=words, state=chosen)
