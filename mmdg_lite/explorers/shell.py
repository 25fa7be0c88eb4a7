"""The shell of every explorer: controls above a picture that a plain function draws from their values.

In JupyterLab the controls are live. Without a kernel (a saved notebook, GitHub, papermill) the same cell shows the
picture of the starting values as an ordinary image.
"""

import asyncio
import base64
import html
import io
import itertools
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import torch
from IPython.display import DisplayHandle, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from mmdg_lite.plots.style import style

DPI = 92
"""CSS pixels per inch of a figure. The live picture is an SVG; the static one a PNG at twice as many."""
WIDTH = 940
"""CSS pixels of all controls together, and of the widest picture: what JupyterLab leaves on a screen of 1366."""
PAUSE = 0.02
"""Seconds to wait for further moves of the controls before drawing."""

LOOK = """<style>
.mmdg-explorer .widget-label {{font-size: 12px}}
.mmdg-explorer .mmdg-busy {{opacity: 0; animation: mmdg-late 0s 0.3s forwards; font-style: italic}}
@keyframes mmdg-late {{to {{opacity: 1}}}}
.jp-OutputArea-child:has(.mmdg-live-{number}) + .jp-OutputArea-child {{display: none}}
</style><span class="mmdg-live-{number}"></span>"""
"""The last rule hides the static picture while the live explorer is there."""

NAMES = """(() => {
  let tries = 0;
  const timer = setInterval(() => {
    const box = document.querySelector(".mmdg-live-%(number)d")?.closest(".mmdg-explorer");
    const handles = [...(box?.querySelectorAll(".widget-slider [role=slider]") ?? [])];
    for (const handle of handles)
      handle.setAttribute("aria-label", handle.closest(".widget-slider").querySelector("label").title);
    if (handles.length === %(sliders)d || ++tries > 300) clearInterval(timer);
  }, 200);
})();"""
"""Gives the sliders' handles their tooltips as accessible names, which ipywidgets leaves out. It waits for the sliders,
at most a minute."""

_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture and the words that say what it shows, for readers who do not see it.

    state: what a later picture needs to draw this one faintly behind itself.
    """

    figure: Figure
    words: str
    state: Any = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values of some controls, a question to answer before looking, and what there is to see."""

    question: str
    values: Mapping[str, Any]
    answer: str


Draw = Callable[..., Drawn]


class Explorer:
    """Controls above a picture.

    Args:
        draw: called with the controls' values by name. Whatever it raises is shown in the picture's place.
        controls: widgets with a `value`, by the name of `draw`'s parameter.
        rows: the controls' names row by row, with other widgets between them. Default: three in a row.
        options: further parameters of `draw` that no control changes.
        presets: by name. With them `draw` also takes `reveal`: False while the question waits for a prediction.
        memory: True: `draw` also takes `before`, the `state` of the remembered picture (at first, of the first one).

    `update` draws now, `set` moves several controls and draws once, `choose` sets a preset, `reveal` shows its answer,
    `reset` goes back to the start, `remember` makes the present picture the remembered one. The buttons call these.
    A control that is moved asks for a picture; moves that follow each other closely are drawn once, with the newest
    values. `words`, `svg` and `error` say what is shown.
    """

    def __init__(
        self,
        draw: Draw,
        controls: Mapping[str, Any],
        *,
        rows: Sequence[Sequence[Any]] | None = None,
        options: Mapping[str, Any] | None = None,
        presets: Mapping[str, Preset] | None = None,
        memory: bool = False,
    ) -> None:
        self.draw, self.controls, self.options = draw, dict(controls), dict(options or {})
        self.presets, self.memory = dict(presets or {}), memory
        self.start = self.values()
        self.preset: Preset | None = None
        self.revealed = True
        self.before: Any = None
        self.words, self.svg, self.error = "", "", ""
        self._drawn: Drawn | None = None
        self._height, self.held, self._due = 300.0, False, False
        self._saved: DisplayHandle | None = None
        self._picture, self._status, self._question = (ipywidgets.HTML(tooltip="") for _ in range(3))
        self.box = self._laid_out(rows)
        self.update()
        if memory:
            self.remember()
        for control in self.controls.values():
            control.observe(self._moved, names="value")

    def _laid_out(self, rows: Sequence[Sequence[Any]] | None) -> Any:
        names = list(self.controls)
        rows = rows or [names[start : start + 3] for start in range(0, len(names), 3)]
        self.rows = [[self.controls[x] if isinstance(x, str) else x for x in row] for row in rows]
        lines: list[Any] = [ipywidgets.HBox(row) for row in self.rows]
        tools: list[Any] = []
        if self.presets:
            self._chooser = choice("try", [("choose a question", ""), *((n, n) for n in self.presets)], "", width=330)
            self._chooser.observe(self._chosen, names="value")
            self._look = button("look", "Show the answer to the question", self.reveal)
            self._look.disabled = True
            tools += [self._chooser, self._look]
        if self.memory:
            tools.append(button("remember", "Keep this picture as the faint one to compare with", self.remember))
        tools.append(button("reset", "Put every control back to where it started", self.reset))
        tools.append(button("keep in file", "Save this picture as what the file shows without a kernel", self.keep))
        lines.append(ipywidgets.HBox([*tools, self._status]))
        if self.presets:
            self._question.layout.min_height = "40px"
            lines.append(self._question)
        self._number = next(_numbers)
        box = ipywidgets.VBox(
            [
                ipywidgets.HTML(LOOK.format(number=self._number), tooltip="", layout={"height": "0px"}),
                *lines,
                self._picture,
            ],
            layout={"width": f"{WIDTH}px", "overflow": "visible"},
        )
        box.add_class("mmdg-explorer")
        return box

    def values(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def drawn(self) -> Drawn:
        """The present picture. Raises ValueError with the error that is shown in its place."""
        if self._drawn is None:
            raise ValueError(f"the explorer shows no picture, but: {self.words}")
        return self._drawn

    def figure(self) -> Figure:
        """The present picture's figure."""
        return self.drawn().figure

    def state(self) -> Any:
        """The present picture's `Drawn.state`."""
        return self.drawn().state

    def set(self, **values: Any) -> None:
        """Move controls, and draw once. Raises KeyError for a name that no control has."""
        self._move(values)
        self.update()

    def choose(self, name: str) -> None:
        """Set the controls to a preset, counted from the start, and ask its question; the answer waits for `reveal`."""
        self.preset, self.revealed = self.presets[name], False
        self.held = True  # until `_move` has moved everything
        self._chooser.value = name
        self._look.disabled = False
        self._move({**self.start, **self.preset.values})
        self._question.value = f"<b>{html.escape(self.preset.question)}</b> Predict first, then press <i>look</i>."
        self.update()

    def _chosen(self, change: Mapping[str, Any]) -> None:
        if change["new"] and not self.held:
            self.choose(change["new"])

    def reveal(self) -> None:
        """Reveal the answer of the chosen preset."""
        self.revealed = True
        self._look.disabled = True
        if self.preset:
            self._question.value = f"<b>{html.escape(self.preset.question)}</b> {html.escape(self.preset.answer)}"
        self.update()

    def reset(self) -> None:
        """Put everything back to where it started."""
        self.preset, self.revealed, self._question.value = None, True, ""
        if self.presets:
            self._chooser.value, self._look.disabled = "", True
        self._move(self.start)
        self.update()

    def remember(self) -> None:
        """Make the present picture the one that later ones are compared with."""
        if self._drawn is not None:
            self.before = self._drawn.state
            self.update()

    def keep(self) -> None:
        """Replace the picture that the file shows without a kernel by the present one."""
        if self._saved is not None:
            self._saved.update(self.static(), raw=True, metadata=self._about())

    def _move(self, values: Mapping[str, Any]) -> None:
        self.held = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self.held = False

    def _moved(self, _: Any) -> None:
        """Draw soon, once for all moves until then; at once where no event loop runs."""
        if self.held or self._due:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.update()
            return
        self._due = True
        loop.call_later(PAUSE, self.update)

    def update(self) -> None:
        """Draw with the controls' present values."""
        self._due = False
        self._status.value = '<span class="mmdg-busy" role="status">computing …</span>'
        given = self.options | ({"reveal": self.revealed} if self.presets else {})
        given |= {"before": self.before} if self.memory else {}
        try:
            with one_thread():
                drawn = self.draw(**self.values(), **given)
                self.svg = svg(drawn.figure)
        except Exception as error:  # whatever a student's rule or a model may raise belongs before the reader's eyes
            self._show_error(error)
        else:
            self._drawn, self.words, self.error = drawn, drawn.words, ""
            width, self._height = DPI * drawn.figure.get_figwidth(), DPI * drawn.figure.get_figheight()
            encoded = base64.b64encode(self.svg.encode()).decode()
            self._picture.value = (
                f'<img src="data:image/svg+xml;base64,{encoded}" alt="{html.escape(self.words)}" '
                f'style="width: {width:.0f}px; max-width: none; height: {self._height:.0f}px; background: white">'
            )
        self._status.value = ""

    def _show_error(self, error: Exception) -> None:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        self._drawn, self.svg, self.words = None, "", f"{kind}{error}"
        self.error = "".join(traceback.format_exception(error))
        where = "" if not kind else f"<details><summary>where</summary><pre>{html.escape(self.error)}</pre></details>"
        self._picture.value = (
            f'<div role="alert" style="min-height: {self._height:.0f}px; padding: 1em; line-height: 1.4">'
            f"<b>{html.escape(self.words)}</b>{where}</div>"
        )

    def static(self) -> dict[str, Any]:
        """The present picture as an ordinary output of a cell: a PNG and its words."""
        bundle = {"text/plain": self.words}
        if self._drawn is not None:
            bundle["image/png"] = base64.b64encode(png(self._drawn.figure)).decode()
        return bundle

    def _about(self) -> dict[str, Any]:
        width = 0 if self._drawn is None else round(DPI * self._drawn.figure.get_figwidth())
        return {"image/png": {"width": width, "alt": self.words}} if width else {}

    def _ipython_display_(self) -> None:
        """The live widget, the static picture, which the live one hides, and the names of the sliders' handles."""
        display({**self.box._repr_mimebundle_(), "text/plain": self.words}, raw=True)
        self._saved = display(
            self.static(), raw=True, metadata=self._about(), display_id=f"mmdg-explorer-{self._number}"
        )
        sliders = sum(hasattr(control, "min") for control in self.controls.values())
        display({"application/javascript": NAMES % {"number": self._number, "sliders": sliders}}, raw=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts, torch computes in one thread: two that wait for each other are slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def svg(figure: Figure) -> str:
    """The figure as an SVG, without dates."""
    buffer = io.BytesIO()
    with style():
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue().decode()


def png(figure: Figure) -> bytes:
    """The figure as a PNG with two pixels per CSS pixel, in 256 colours, without dates: a third of the full size."""
    dpi, canvas, buffer = figure.dpi, FigureCanvasAgg(figure), io.BytesIO()
    figure.set_dpi(2 * DPI)
    with style():
        canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    figure.set_dpi(dpi)
    pixels.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def slider(
    label: str,
    value: float,
    low: float,
    high: float,
    step: float,
    *,
    unit: str = "",
    width: int = 300,
    named: int = 130,
) -> Any:
    """A slider for a number. `label` and `unit` are its tooltip; `named`: CSS pixels of its label, 0 for none.

    A slider without a label of its own stands in a table whose heads name it.
    """
    kind = ipywidgets.IntSlider if isinstance(value, int) else ipywidgets.FloatSlider
    own = (
        {}
        if kind is ipywidgets.IntSlider
        else {"readout_format": ".2f" if step < 0.1 else ".1f" if step < 1 else ".0f"}
    )
    return kind(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label if named else "",
        tooltip=f"{label}, {unit}" if unit else label,
        style={"description_width": f"{named}px"},
        layout={"width": f"{width}px"},
        **own,
    )


def choice(label: str, options: Sequence[Any], value: Any, *, width: int = 230) -> Any:
    """One of several, from a list; options are values, or pairs of a text and a value."""
    return ipywidgets.Dropdown(
        options=list(options),
        value=value,
        description=label,
        tooltip=label,
        style={"description_width": "initial"},
        layout={"width": f"{width}px"},
    )


def switch(label: str, value: bool, *, width: int = 110) -> Any:
    """On or off."""
    return ipywidgets.Checkbox(
        value=value, description=label, tooltip=label, indent=False, layout={"width": f"{width}px"}
    )


def button(label: str, tooltip: str, press: Callable[[], None], *, width: int = 92) -> Any:
    """Calls `press`."""
    made = ipywidgets.Button(description=label, tooltip=tooltip, layout={"width": f"{width}px"})
    made.on_click(lambda _: press())
    return made


def text(words: str, *, width: int = 0) -> Any:
    """Words among the controls."""
    layout = {"width": f"{width}px"} if width else {}
    return ipywidgets.HTML(f'<span style="font-size: 12px">{html.escape(words)}</span>', tooltip="", layout=layout)
