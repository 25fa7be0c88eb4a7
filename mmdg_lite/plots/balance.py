"""The attack lab's picture: a face's images, certainty and attention; scores, Shapley values, coalitions, one knob."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.faces import FaceArrays, show_image
from mmdg_lite.plots.style import COLOURS, new_figure, styled

Coalition = frozenset[Modality]
Map = NDArray[np.float64] | None
LETTERS = {Modality.RGB: "R", Modality.DEPTH: "D", Modality.INFRARED: "I"}
NAMES = ("R", "D", "I", "RD", "RI", "DI", "RDI")
PRIOR = 0.5  # the score of nothing at all: half of the faces are live


class Shown(Protocol):
    """What is drawn of a face; see `explorers.balance.Look`."""

    @property
    def faces(self) -> FaceArrays: ...
    @property
    def present(self) -> tuple[Modality, ...]: ...
    @property
    def scores(self) -> dict[Coalition, float]: ...
    @property
    def text(self) -> tuple[float, float, float]: ...
    @property
    def certainty(self) -> tuple[Map, ...]: ...
    @property
    def attention(self) -> tuple[Map, ...]: ...
    @property
    def threshold(self) -> float: ...
    @property
    def score(self) -> float: ...
    @property
    def decision(self) -> str: ...
    @property
    def shapley(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True, kw_only=True)
class Along:
    """The score over the range of one sensor knob."""

    label: str
    values: NDArray[np.float64]  # k
    scores: NDArray[np.float64]  # k


@styled
def picture(
    seen: Shown,
    *,
    curve: Along | None,
    at: float = 0.0,
    before: Shown | None = None,
    reveal: bool = True,
    limits: tuple[float, float] = (0.01, 0.15),
) -> Figure:
    """Everything about one face.

    curve: the score along a knob, which stands at `at`. before: an earlier state, drawn as ghosts. reveal: False shows
    the images alone, for a prediction. limits: ends of the certainty maps' colour scale, the same for every face; the
    default is about what nine in ten of the shipped model's patches lie in, and the scale's points say that others lie
    beyond.
    """
    figure = new_figure((9.4, 4.4))
    figure.set_layout_engine("none")
    _maps(figure, seen, limits, reveal=reveal)
    if not reveal:
        figure.text(0.74, 0.5, "What will the model say?", ha="center", fontsize="large")
        return figure
    kind = seen.faces.species[0].replace("_", " ")
    right = "right" if seen.decision == ("live" if kind == "live" else "spoof") else "wrong"
    title = f"{kind}: score {seen.score:.2f}, decided {seen.decision} ({right})"
    figure.text(0.50, 0.955, title, fontsize="medium", weight="bold")
    there = [m in seen.present for m in MODALITIES]
    old = None if before is None else np.asarray(before.text)
    text = figure.add_axes((0.55, 0.70, 0.17, 0.19))
    _bars(text, np.asarray(seen.text), there, old)
    text.set(xlim=(0, 1.25), xticks=(0, 0.5, 1))
    text.set_title("text score, P(live)", fontsize="small")
    shares = figure.add_axes((0.80, 0.70, 0.19, 0.19))
    _bars(shares, seen.shapley, there, None if before is None else before.shapley, signed=True)
    limit = max(0.75, 1.6 * float(np.abs(seen.shapley).max()))
    shares.axvline(0, color="black", linewidth=0.8)
    shares.set(xlim=(-limit, limit))
    shares.set_title(f"Shapley value, sum {seen.score - PRIOR:+.2f}", fontsize="small")
    _coalitions(figure.add_axes((0.50, 0.43, 0.49, 0.13)), seen)
    _along(figure.add_axes((0.55, 0.115, 0.44, 0.21)), curve, at, seen)
    return figure


def _maps(figure: Figure, seen: Shown, limits: tuple[float, float], *, reveal: bool) -> None:
    """Images, certainty U of the queries in the last block, attention on the patches; a column per modality."""
    width, height = 1.2 / 9.4, 1.2 / 4.4
    for m in MODALITIES:
        left = 0.005 + 0.146 * m.index
        image = figure.add_axes((left, 0.675, width, height))
        show_image(image, seen.faces[m.value][0])
        image.set_title(m.title + ("" if m in seen.present else " (missing)"), fontsize="small")
        if m not in seen.present:
            whole = Rectangle(
                (0, 0), 1, 1, transform=image.transAxes, facecolor=(1, 1, 1, 0.8), edgecolor="0.6", hatch="///"
            )
            image.add_patch(whole)
        if not reveal:
            continue
        _certainty(figure, (left, 0.34, width, height), seen.certainty[m.index], limits)
        _attention(figure.add_axes((left, 0.005, width, height)), seen.attention[m.index])


Box = tuple[float, float, float, float]


def _certainty(figure: Figure, box: Box, values: Map, limits: tuple[float, float]) -> None:
    axes = figure.add_axes(box)
    if _is_nothing(axes, values):
        return
    assert values is not None
    drawn = axes.imshow(values, vmin=limits[0], vmax=limits[1])
    axes.set_title(f"U as receiver: {np.mean(values):.3f}", fontsize=7.5, pad=3)
    if not any(a.get_label() == "scale" for a in figure.axes):
        scale = figure.add_axes((0.441, box[1], 0.008, box[3]), label="scale")
        figure.colorbar(drawn, cax=scale, extend="both", ticks=(*limits, sum(limits) / 2))
        scale.tick_params(labelsize=6.5, pad=1, length=2)


def _attention(axes: Axes, values: Map) -> None:
    """Black 5 % below the mean of the patches, white 5 % above."""
    if _is_nothing(axes, values):
        return
    assert values is not None
    relative = values / np.mean(values)
    axes.imshow(relative, vmin=0.95, vmax=1.05, cmap="gray")
    spread = 100 * float(np.abs(relative - 1).max())
    axes.set_title(f"attention: \u00b1{spread:.1f} %", fontsize=7.5, pad=3)


def _is_nothing(axes: Axes, values: Map) -> bool:
    axes.set_axis_off()
    if values is None:
        axes.text(0.5, 0.5, "nothing is sent", ha="center", va="center", fontsize=8, transform=axes.transAxes)
    return values is None


def _bars(
    axes: Axes, values: NDArray[np.float64], there: list[bool], old: NDArray[np.float64] | None, *, signed: bool = False
) -> None:
    """A bar with its number per modality; hatched where it is missing; ghosts of old values behind."""
    axes.set_yticks(range(3), [m.title for m in MODALITIES])
    for m, present in zip(MODALITIES, there, strict=True):
        place = m.index
        if old is not None and np.isfinite(old[place]):
            axes.barh(place, old[place], height=0.9, facecolor="none", edgecolor="0.6", linestyle=":", linewidth=1)
        if not present:
            low, high = (-0.7, 1.4) if signed else (0.0, 1.0)
            axes.barh(place, high, left=low, height=0.7, facecolor="none", edgecolor="0.8", hatch="////", linewidth=0)
            axes.text(0.5 if not signed else 0, place, "missing", va="center", ha="center", fontsize=7)
            continue
        value = float(values[place])
        axes.barh(place, value, height=0.6, color=COLOURS[m.value])
        side = "right" if value < 0 else "left"
        shift = -0.03 if value < 0 else 0.03
        number = f"{value:+.2f}" if signed else f"{value:.2f}"
        axes.text(value + shift, place, number, va="center", ha=side, fontsize=7.5)
    axes.set_ylim(2.5, -0.5)
    axes.tick_params(labelsize=7.5)
    axes.grid(axis="y", visible=False)


def _coalitions(axes: Axes, seen: Shown) -> None:
    """A box per coalition, dark where the decision is spoof; what is present now has a thick frame."""
    axes.set(xlim=(0, 8), ylim=(0, 1))
    axes.set_axis_off()
    by_name = {"".join(LETTERS[m] for m in MODALITIES if m in c): s for c, s in seen.scores.items()}
    now = "".join(LETTERS[m] for m in seen.present)
    for place, name in enumerate(("", *NAMES)):
        score = by_name[name] if name else PRIOR
        spoof = score < seen.threshold
        frame: dict[str, Any] = {"edgecolor": "black", "linewidth": 2.2 if name == now else 0.6}
        axes.add_patch(Rectangle((place + 0.05, 0.05), 0.9, 0.9, facecolor="0.35" if spoof else "white", **frame))
        label = "\n".join((name or "nothing", f"{score:.2f}", "spoof" if spoof else "live"))
        axes.text(place + 0.5, 0.48, label, ha="center", va="center", fontsize=7, color="white" if spoof else "black")
    axes.set_title(f"decisions of all eight coalitions (threshold {seen.threshold:.2f})", fontsize="small", pad=3)


def _along(axes: Axes, curve: Along | None, at: float, seen: Shown) -> None:
    axes.axhline(seen.threshold, color="black", linestyle="--", linewidth=1)
    if curve is not None:
        axes.plot(curve.values, curve.scores, ".-", color="0.35", markersize=4)
        axes.set_xlabel(curve.label, fontsize=8, labelpad=1)
    axes.plot([at], [seen.score], "o", color="black", markersize=7)
    axes.set(ylim=(-0.05, 1.05), yticks=(0, 0.5, 1))
    axes.tick_params(labelsize=7.5)
    axes.set_title("score along one knob; dashed: threshold", fontsize="small", pad=3)
