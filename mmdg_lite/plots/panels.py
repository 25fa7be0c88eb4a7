"""Methods divided among panels: at most five in each, so that no curve hides another."""

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdg_lite.plots.style import new_figure
from mmdg_lite.results.cells import display_name
from mmdg_lite.runs.methods import GROUPS

MOST = 5
REFERENCE = display_name("mmdg++")
"""The method that is in every panel."""
COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")  # none of a modality's
MARKERS = "osD^"


def panels(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Printed names of methods in panels of at most `MOST`, each with a title.

    Up to five methods share one panel without a title. More are divided by `methods.GROUPS`, with MMDG++ last in every
    panel; a large group takes several panels. Methods of no group stand beside the baselines, as far as they fit.
    """
    names = list(names)
    if len(names) <= MOST:
        return [("", names)]
    others = [name for name in names if name != REFERENCE]
    groups = {group: [display_name(method) for method in methods] for group, methods in GROUPS.items()}
    known = {name for members in groups.values() for name in members}
    rest = [name for name in others if name not in known]
    found: list[tuple[str, list[str]]] = []
    shown: set[str] = set()
    for group, members in groups.items():
        mine = [name for name in others if name in members]
        if group == "baselines":
            mine, rest = mine + rest[: MOST - 1 - len(mine)], rest[MOST - 1 - len(mine) :]
        if set(mine) - shown:
            shown |= set(mine)
            found += _divided(group, mine)
    found += _divided("others", rest)
    return [(title, [*mine, REFERENCE] if REFERENCE in names else mine) for title, mine in found]


def colours(names: Sequence[str]) -> dict[str, str]:
    """The colour of each method of a panel: black for MMDG++, no modality's for the others."""
    others = [name for name in names if name != REFERENCE]
    palette = [*COLOURS, "#F0E442"]
    return {REFERENCE: "black"} | dict(zip(others, palette, strict=False))


def panel_grid(number: int, size: tuple[float, float], *, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of a size in inches, in rows of at most `columns`, and none left empty."""
    columns = min(columns, number)
    rows = math.ceil(number / columns)
    figure = new_figure((size[0] * columns, size[1] * rows))
    grid = figure.add_gridspec(rows, columns)
    first = figure.add_subplot(grid[0, 0])
    others = [
        figure.add_subplot(grid[divmod(place, columns)], sharex=first, sharey=first) for place in range(1, number)
    ]
    return figure, [first, *others]


def _divided(title: str, members: list[str]) -> list[tuple[str, list[str]]]:
    """A group in parts of equal size that leave room for the reference."""
    parts = math.ceil(len(members) / (MOST - 1))
    size = math.ceil(len(members) / parts) if parts else 1
    divided = [members[start : start + size] for start in range(0, len(members), size)]
    if parts < 2:
        return [(title, part) for part in divided]
    return [(f"{title}, {number} of {parts}", part) for number, part in enumerate(divided, start=1)]
