"""How up to three methods balanced their modalities on one setting: losses, who is fastest, conflicts, gradients."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mmdg_lite.explorers.shell import Drawn
from mmdg_lite.plots.training import description, histories, picture

NONE = ""
"""The method of an empty column."""


def parts(name: str) -> tuple[str, str, str]:
    """Setting, method and seed of a run's name, such as full/P1/CPS-to-W, mmdg++ and seed0; "" for what it lacks."""
    *setting, method, seed = ["", *name.split("/")] if "/" in name else ["", name, ""]
    return "/".join(part for part in setting if part), method, seed


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
) -> Drawn:
    """The picture of the chosen methods' runs. `read`: remembers what has been read.

    Raises ValueError naming the run that there is not, or that has no training steps.
    """
    chosen = {}
    for method in dict.fromkeys(m for m in (first, second, third) if m != NONE):
        run = runs.get((setting, method, seed))
        if run is None:
            there = sorted(m for s, m, n in runs if (s, n) == (setting, seed))
            raise ValueError(
                f"there is no run of {method} on {setting}, {seed}; there are {', '.join(there) or 'none'}"
            )
        if run not in read:
            read |= {run: histories({method: run})[method]}
        chosen[method] = read[run]
    title = ", ".join(part for part in (setting, seed) if part)
    return Drawn(figure=picture(chosen, window=window, title=title), words=description(chosen), state=chosen)
