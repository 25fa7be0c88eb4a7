"""The shell of every explorer: controls around a picture that a plain function draws from their values.

In JupyterLab the controls are live. Without a front-end (papermill, a notebook on the web) the same object is shown as
the picture of its defaults, drawn once; nothing waits for anybody and no widget state is needed.
"""

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmdg_lite.plots.style import style

DPI = 84
"""Of the pictures, in dots per inch: small, so that they follow the slider."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture and the words that say what it shows, for readers who do not see it."""

    figure: Figure
    words: str


Draw = Callable[..., Drawn]


class Explorer:
    """Controls around a picture.

    Args:
        draw: called with the controls' values by name; ValueError is shown in the picture's place.
        controls: widgets with a `value` by the name of `draw`'s parameter; several may be one group.
        groups: names of the controls column by column; default: one column each of at most six.
        options: further parameters of `draw` that no control changes.

    `update` draws anew, `set` moves controls; both are what the widgets themselves call.
    """

    def __init__(
        self,
        draw: Draw,
        controls: Mapping[str, Any],
        *,
        groups: Sequence[Sequence[str]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.draw, self.controls, self.options = draw, dict(controls), dict(options or {})
        names = list(self.controls)
        columns = groups or [names[start : start + 6] for start in range(0, len(names), 6)]
        self.words, self.png = "", b""
        self._picture = ipywidgets.HTML()
        self._held = False
        shown = [ipywidgets.VBox([self.controls[name] for name in column]) for column in columns]
        self.box = ipywidgets.VBox([ipywidgets.HBox(shown, layout={"flex_flow": "row wrap"}), self._picture])
        self.update()
        for control in self.controls.values():
            control.observe(self.update, names="value")

    def values(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> None:
        """Move controls, and draw once. Raises KeyError for a name that no control has."""
        self._held = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._held = False
        self.update()

    def update(self, *_: Any) -> None:
        """Draw with the controls' present values."""
        if self._held:
            return
        try:
            drawn = self.draw(**self.values(), **self.options)
        except ValueError as error:
            self.words, self.png = str(error), b""
            self._picture.value = f"<p role='alert'>{html.escape(self.words)}</p>"
            return
        self.words, self.png = drawn.words, png(drawn.figure)
        encoded = base64.b64encode(self.png).decode()
        self._picture.value = f'<img src="data:image/png;base64,{encoded}" alt="{html.escape(self.words)}">'

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The live widget for front-ends that know it, and the picture for all others."""
        bundle = {**self.box._repr_mimebundle_(), "text/plain": self.words}
        if self.png:
            bundle["image/png"] = base64.b64encode(self.png).decode()
        return bundle


def png(figure: Figure) -> bytes:
    """The figure as a PNG, without dates, at `DPI`."""
    buffer = io.BytesIO()
    figure.set_dpi(DPI)
    with style():
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def slider(label: str, value: float, low: float, high: float, step: float, *, unit: str = "") -> Any:
    """A slider for a number, drawn anew while it moves; its label names the unit."""
    return ipywidgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        description=f"{label}, {unit}" if unit else label,
        readout_format=".2f" if step < 0.1 else ".1f" if step < 1 else ".0f",
        style={"description_width": "210px"},
        layout={"width": "430px"},
    )


def whole_slider(label: str, value: int, low: int, high: int) -> Any:
    """A slider for a whole number."""
    return ipywidgets.IntSlider(
        value=value,
        min=low,
        max=high,
        description=label,
        style={"description_width": "210px"},
        layout={"width": "430px"},
    )


def choice(label: str, options: Sequence[Any], value: Any) -> Any:
    """One of several, from a list; options are values, or pairs of a text and a value."""
    return ipywidgets.Dropdown(
        options=list(options),
        value=value,
        description=label,
        style={"description_width": "210px"},
        layout={"width": "430px"},
    )


def several(label: str, options: Sequence[str], value: Sequence[str]) -> Any:
    """Any number of a list."""
    return ipywidgets.SelectMultiple(
        options=list(options),
        value=tuple(value),
        rows=min(6, len(options)),
        description=label,
        style={"description_width": "210px"},
        layout={"width": "680px"},
    )


def switch(label: str, value: bool) -> Any:
    """On or off."""
    return ipywidgets.Checkbox(value=value, description=label, indent=False)
