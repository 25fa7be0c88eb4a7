"""How every figure of the package looks, how it is made without being shown, and how it is written to a file."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.resources import as_file, files
from pathlib import Path
from typing import ParamSpec

import matplotlib.style
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mmdg_lite.configuration import write_bytes

P = ParamSpec("P")
COLOURS = {"rgb": "#D55E00", "depth": "#0072B2", "infrared": "#009E73"}  # the same in every figure
RULE_COLOURS = {"ReGrad": "black", "plain sum": "0.55", "PCGrad": "#CC79A7", "OGM-GE": "#882255"}
"""The colour of a balancing rule, by its printed name, in every figure; see `rule_colour` for others."""
LINES = {"rgb": "-", "depth": "--", "infrared": "-."}  # told apart without colour too


def rule_colour(name: str) -> str:
    """The colour of a balancing rule by its printed name, the same for every rule that has none of its own."""
    return RULE_COLOURS.get(name, "#56B4E9")


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure, `size` in inches, that a notebook shows when it is a cell's value, and only then."""
    figure = plt.figure(figsize=size)
    plt.close(figure)  # pyplot would otherwise keep it, and notebooks would draw it a second time
    return figure


@contextmanager
def style() -> Iterator[None]:
    """While it lasts, matplotlib's settings are those of the package's style file."""
    with as_file(files("mmdg_lite") / "assets" / "mmdg.mplstyle") as path, matplotlib.style.context(str(path)):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under the package's style file, leaving the caller's settings as they were."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return inside


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure (format by the ending), whole or not at all and without dates, so that equal data give equal
    files."""
    path = Path(path)
    stamp = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {"Software": None})
    drawn = io.BytesIO()
    with style():
        figure.savefig(drawn, format=path.suffix.removeprefix("."), metadata=stamp)
    write_bytes(path, drawn.getvalue())
    return path
