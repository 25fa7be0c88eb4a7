"""Methods divided among panels: at most five in each, so that no curve hides another."""

import math
from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdg_lite.plots.style import new_figure
from mmdg_lite.results.cells import display_name
from mmdg_lite.runs.methods import GROUPS, METHODS

MOST = 5
REFERENCE = display_name("mmdg++")
"""The method that is in every panel."""
COLOURS = ("#CC79A7", "#E69F00", "#7F7F7F", "#882255")  # none of a modality's
MARKERS = "osD^"
RECURRING = {REFERENCE: "black", display_name("fusion"): "#56B4E9"}
"""Methods that are compared with others in several groups, and so have colours that no other method has."""


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
    """The colour of each method of a panel, by printed name: the same in every panel that `panels` makes.

    Methods that would look alike in a panel of another making are told apart by the next free colour.
    """
    found: dict[str, str] = {}
    for name in names:
        free = [colour for colour in COLOURS if colour not in found.values()]
        own = RECURRING.get(name) or _usual_colours().get(name) or COLOURS[0]
        found[name] = own if own not in found.values() else (free or list(COLOURS))[0]
    return found


@cache
def _usual_colours() -> dict[str, str]:
    """Every method's colour by its place in the first group that has it, or among the methods of no group."""
    grouped = {name for members in GROUPS.values() for name in members}
    found: dict[str, str] = {}
    for members in (*GROUPS.values(), [name for name in METHODS if name not in grouped]):
        mine = [name for name in map(display_name, members) if name not in RECURRING]
        new = [name for name in mine if name not in found]
        first = len(mine) - len(new)
        found |= {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(new, start=first)}
    return found


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
