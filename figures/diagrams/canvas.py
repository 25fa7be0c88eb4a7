"""What the four diagrams share: colours, boxes, arrows, formulas and pictures on one SVG canvas.

A canvas is 700 units wide, so that sizes are pixels where the diagram is shown at that width. Everything is drawn
inside named parts. When only some parts are shown, the others become pale and grey.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]

WIDTH = 700
SMALLEST = 11
"""Font size of subscripts, and the smallest of any text."""

INK, GREY, PAPER, EDGE = "#1F2328", "#59636E", "#FFFFFF", "#C5CCD3"
SHADE = "#F6F8FA"
MODALITIES = {"rgb": "#D55E00", "depth": "#0072B2", "infrared": "#009E73"}
NAMES = {"rgb": "RGB", "depth": "depth", "infrared": "infrared"}
LETTERS = {"rgb": "R", "depth": "D", "infrared": "I"}
DASHES = {"rgb": "", "depth": "7 3", "infrared": "9 3 2 3"}
FROZEN, TRAINABLE = "#6E7781", "#CC79A7"
KINDS = {"plain": GREY, "frozen": FROZEN, "trainable": TRAINABLE, **MODALITIES}
LEGEND = {"frozen": "frozen (CLIP)", "trainable": "trained", **NAMES}

SANS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
MONO = "Menlo, Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace"
MARKUP = re.compile(r"\*(?P<italic>[^*]+)\*|_\{(?P<sub>[^}]*)\}|\^\{(?P<sup>[^}]*)\}|(?P<plain>[^*_^]+|.)")


def tint(colour: str, share: float = 0.14) -> str:
    """A pale version of a colour: that share of it, the rest white."""
    return _hex(1 - share * (1 - channel) for channel in _channels(colour))


class Canvas:
    """One diagram.

    Args:
        height: in units; the width is always 700.
        title, description: what a screen reader says.
        shown: names of the parts that keep their colours; None: all.
    """

    def __init__(self, height: float, *, title: str, description: str, shown: frozenset[str] | None = None) -> None:
        self.height, self.title, self.description, self.shown = height, title, description, shown
        self.parts: set[str] = set()
        self._grey = False
        self._lines: list[str] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A group of shapes that is highlighted or greyed as one. Parts do not nest; a name may be used again."""
        self.parts.add(name)
        self._grey = self.shown is not None and name not in self.shown
        self._lines.append(f'<g class="{name}{" greyed" if self._grey else ""}">')
        yield
        self._lines.append("</g>")
        self._grey = False

    def svg(self) -> str:
        """The whole file."""
        unknown = (self.shown or frozenset()) - self.parts
        if unknown:
            raise ValueError(f"no part of this diagram is called {', '.join(sorted(unknown))}")
        size = f'width="840" height="{_number(self.height * 840 / WIDTH)}" viewBox="0 0 {WIDTH} {_number(self.height)}"'
        panel = _tag(
            "rect", x=1, y=1, width=WIDTH - 2, height=self.height - 2, rx=10, fill=PAPER, stroke=EDGE, stroke_width=1.5
        )
        body = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{SANS}" role="img" '
            'aria-labelledby="title description">',
            f'<title id="title">{escape(self.title)}</title>',
            f'<desc id="description">{escape(self.description)}</desc>',
            panel,
            *self._lines,
            "</svg>",
        ]
        return "\n".join(body) + "\n"

    # shapes -----------------------------------------------------------------------------------------------------------

    def rectangle(
        self, x: float, y: float, w: float, h: float, *, fill: str = PAPER, stroke: str = INK, width: float = 1.2,
        radius: float = 6, dash: str = "",
    ) -> None:  # fmt: skip
        self._add("rect", x=x, y=y, width=w, height=h, rx=radius, fill=self._paint(fill), stroke=self._paint(stroke),
                  stroke_width=width, stroke_dasharray=dash)  # fmt: skip

    def box(
        self, x: float, y: float, w: float, h: float, *lines: str, kind: str = "plain", size: float = 12,
        badge: bool = True, bold: bool = False, mono: bool = False,
    ) -> None:  # fmt: skip
        """A box with centred lines of text. `kind`: "plain", "frozen", "trainable" or a modality."""
        stroke = KINDS[kind]
        fill = PAPER if kind == "plain" else tint(stroke, 0.2 if kind in ("frozen", "trainable") else 0.14)
        self.rectangle(x, y, w, h, fill=fill, stroke=stroke, width=2 if kind == "trainable" else 1.3)
        step = size + 3.5
        first = y + h / 2 + size * 0.36 - step * (len(lines) - 1) / 2
        for number, line in enumerate(lines):
            self.text(x + w / 2, first + step * number, line, size=size, bold=bold, mono=mono)
        if badge and kind in ("frozen", "trainable"):
            self.badge(x + w - 3, y + 2, kind)

    def badge(self, x: float, y: float, kind: str) -> None:
        """A snowflake for what is frozen, a flame for what is trained, centred at a point."""
        colour = FROZEN if kind == "frozen" else TRAINABLE
        self.circle(x, y, 7.5, fill=PAPER, stroke=colour, width=1)
        place = f"translate({_number(x)} {_number(y)})"
        if kind == "frozen":
            arms = "M0 -5V5M-4.3 -2.5L4.3 2.5M-4.3 2.5L4.3 -2.5"
            twigs = "M-1.6 -4.6L0 -3.2L1.6 -4.6M-1.6 4.6L0 3.2L1.6 4.6"
            self._add("path", transform=place, d=arms + twigs, fill="none", stroke=self._paint(colour),
                      stroke_width=1.1)  # fmt: skip
        else:
            flame = "M0.4 -5.4C1 -2.6 4 -1.6 4 1.6C4 4 2.2 5.4 0 5.4C-2.2 5.4 -4 4 -4 1.6C-4 0.2 -3.2 -1 -2.4 -1.8"
            flame += "C-2.2 -0.8 -1.8 -0.2 -1.2 0C-1.4 -2.2 -0.8 -4.2 0.4 -5.4Z"
            self._add("path", transform=place, d=flame, fill=self._paint(colour))

    def circle(self, x: float, y: float, r: float, *, fill: str = PAPER, stroke: str = INK, width: float = 1.2) -> None:
        self._add("circle", cx=x, cy=y, r=r, fill=self._paint(fill), stroke=self._paint(stroke), stroke_width=width)

    def plus(self, x: float, y: float, r: float = 7) -> None:
        """A circle with a plus: what arrives is added."""
        self.circle(x, y, r)
        arm = r - 3
        cross = f"M{_pair((x - arm, y))}h{_number(2 * arm)}M{_pair((x, y - arm))}v{_number(2 * arm)}"
        self._add("path", d=cross, stroke=self._paint(INK), stroke_width=1.4)

    def dot(self, x: float, y: float, colour: str = INK) -> None:
        """A small disc where a line branches."""
        self._add("circle", cx=x, cy=y, r=2.8, fill=self._paint(colour))

    def polygon(self, points: Sequence[Point], *, fill: str, stroke: str, width: float = 1.3) -> None:
        place = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._add("polygon", points=place, fill=self._paint(fill), stroke=self._paint(stroke), stroke_width=width,
                  stroke_linejoin="round")  # fmt: skip

    def curve(self, points: Sequence[Point], *, stroke: str, fill: str = "none", width: float = 1.6) -> None:
        """A line through points, without an arrow's head."""
        path = "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
        self._add("path", d=path, fill=fill if fill == "none" else self._paint(fill), stroke=self._paint(stroke),
                  stroke_width=width, stroke_linejoin="round")  # fmt: skip

    def arrow(
        self, *points: Point, colour: str = INK, modality: str = "", width: float = 1.6, dash: str = "",
        head: bool = True, corner: float = 5,
    ) -> None:  # fmt: skip
        """A line through points with rounded corners, and a head at the last one.

        `modality`: its colour and its kind of dashes.
        """
        if modality:
            colour, dash = MODALITIES[modality], DASHES[modality]
        line = list(points)
        (x0, y0), (x1, y1) = line[-2:]
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        u, v = (x1 - x0) / length, (y1 - y0) / length
        reach = 4.2 + 2 * width
        if head:
            line[-1] = (x1 - 0.8 * reach * u, y1 - 0.8 * reach * v)
        path = [f"M{_number(line[0][0])} {_number(line[0][1])}"]
        for before, at, after in zip(line, line[1:], line[2:], strict=False):
            a, b = _towards(at, before, corner), _towards(at, after, corner)
            path.append(f"L{_pair(a)}Q{_pair(at)} {_pair(b)}")
        path.append(f"L{_pair(line[-1])}")
        self._add("path", d="".join(path), fill="none", stroke=self._paint(colour), stroke_width=width,
                  stroke_dasharray=dash)  # fmt: skip
        if head:
            wide = reach * 0.45
            base = x1 - reach * u, y1 - reach * v
            tips = [(x1, y1), (base[0] - wide * v, base[1] + wide * u), (base[0] + wide * v, base[1] - wide * u)]
            self._add("polygon", points=" ".join(_pair(tip, ",") for tip in tips), fill=self._paint(colour))

    def picture(self, x: float, y: float, size: float, file: Path, *, modality: str = "") -> None:
        """A PNG, embedded, with a frame in its modality's colour."""
        data = base64.b64encode(file.read_bytes()).decode("ascii")
        self._add("image", x=x, y=y, width=size, height=size, href=f"data:image/png;base64,{data}",
                  opacity=0.3 if self._grey else "")  # fmt: skip
        stroke = MODALITIES.get(modality, GREY)
        self._add("rect", x=x, y=y, width=size, height=size, fill="none", stroke=self._paint(stroke), stroke_width=2)

    # text -------------------------------------------------------------------------------------------------------------

    def text(
        self, x: float, y: float, text: str, *, size: float = 12, anchor: str = "middle", colour: str = INK,
        bold: bool = False, mono: bool = False,
    ) -> None:  # fmt: skip
        """One line, its baseline at y. `*x*` is italic, `_{x}` a subscript, `^{x}` a superscript.

        `mono`: a command or a file's name, taken as it is.
        """
        content = escape(text) if mono else _marked_up(text)
        if not content:
            return
        self._add("text", content, x=x, y=y, font_size=size, text_anchor="" if anchor == "start" else anchor,
                  fill=self._paint(colour), font_weight="bold" if bold else "",
                  font_family=MONO if mono else "")  # fmt: skip

    def lines(self, x: float, y: float, *lines: str, step: float = 15.5, **options: object) -> None:
        """Several lines of text, the first one's baseline at y."""
        for number, line in enumerate(lines):
            self.text(x, y + step * number, line, **options)  # type: ignore[arg-type]

    def steps(self, steps: Sequence[tuple[str, float, str, *tuple[str, ...]]], *, end: float) -> None:
        """Numbered bands across the canvas, with words on their right: each a part's name, where it begins, a title and
        lines of text. The last one ends at `end`."""
        for number, (name, y, title, *words) in enumerate(steps, start=1):
            bottom = steps[number][1] if number < len(steps) else end
            with self.part(name):
                self.rectangle(8, y + 1, WIDTH - 16, bottom - y - 2, fill=SHADE, stroke=SHADE)
                first = (y + bottom) / 2 - 8.75 * len(words) + 4.5
                self.circle(455, first - 4.3, 9.5, fill=INK, stroke=INK)
                self.text(455, first, str(number), colour=PAPER, bold=True)
                self.text(472, first, title, anchor="start", bold=True)
                self.lines(472, first + 17, *words, anchor="start", step=17.5)

    def legend(self, y: float, /, **words: str) -> None:
        """What the colours mean, in one row: of "frozen", "trainable" and modalities, those that are given words."""
        x = 20.0
        for kind, text in words.items():
            if kind in MODALITIES:
                self.arrow((x, y), (x + 30, y), modality=kind, width=2)
            else:
                self.rectangle(x, y - 9, 22, 18, fill=tint(KINDS[kind], 0.2), stroke=KINDS[kind], radius=4)
                self.badge(x + 11, y, kind)
            x += 36 if kind in MODALITIES else 28
            self.text(x, y + 4.3, text, anchor="start")
            x += 6.6 * len(text) + 16

    # ------------------------------------------------------------------------------------------------------------------

    def _paint(self, colour: str) -> str:
        if not self._grey:
            return colour
        red, green, blue = _channels(colour)
        light = 0.299 * red + 0.587 * green + 0.114 * blue
        return _hex([1 - 0.36 * (1 - light)] * 3)

    def _add(self, name: str, content: str = "", **attributes: object) -> None:
        self._lines.append(_tag(name, content, **attributes))


def _marked_up(text: str) -> str:
    """Text with `*italic*`, `_{sub}` and `^{super}` as SVG."""
    parts, lifted = [], 0.0
    for match in MARKUP.finditer(text):
        kind, words = match.lastgroup, match[match.lastgroup or 0]
        level = {"sub": 3.5, "sup": -4.5}.get(kind or "", 0.0)
        move = f' dy="{_number(level - lifted)}"' if level != lifted else ""
        style = f' font-size="{SMALLEST}"' if level else ""
        style += ' font-style="italic"' if kind == "italic" else ""
        parts.append(f"<tspan{move}{style}>{escape(words)}</tspan>" if move or style else escape(words))
        lifted = level
    return "".join(parts)


def _tag(name: str, content: str = "", **attributes: object) -> str:
    """One element; attributes that are "" are left out."""
    given = (
        f" {key.replace('_', '-')}={quoteattr(_number(value) if isinstance(value, (int, float)) else str(value))}"
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{''.join(given)}>{content}</{name}>" if content else f"<{name}{''.join(given)}/>"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _pair(point: Point, between: str = " ") -> str:
    return f"{_number(point[0])}{between}{_number(point[1])}"


def _towards(start: Point, end: Point, distance: float) -> Point:
    """The point at a distance from `start` on the way to `end`, at most half the way."""
    length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
    share = min(distance / length, 0.5) if length else 0.0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _hex(channels: Sequence[float] | Iterator[float]) -> str:
    return "#" + "".join(f"{round(255 * channel):02X}" for channel in channels)
