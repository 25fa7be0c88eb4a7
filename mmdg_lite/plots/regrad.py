"""ReGrad's construction in the plane, case by case, and every rule's result for the same three gradients."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.style import COLOURS, LINES, new_figure, rule_colour, styled
from mmdg_lite.regrad.plane import OWN, Comparison, Vector


@styled
def cases(comparisons: Mapping[str, Comparison]) -> Figure:
    """ReGrad's construction for each situation, by its title, two beside each other."""
    rows = (len(comparisons) + 1) // 2
    tips = np.concatenate([[*c.situation.gradients, c.results["ReGrad"], [0, 0]] for c in comparisons.values()])
    low, high = tips.min(axis=0) - 0.2, tips.max(axis=0) + 0.2  # 2 each
    width, height = high - low
    figure = new_figure((6.4, rows * (2.7 * height / width + 0.5) + 0.9))
    panels = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    for axes, (title, comparison) in zip(panels.flat, comparisons.items(), strict=False):
        construction(axes, comparison, float(np.abs(tips).max()))
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, fontsize="medium")
        axes.label_outer()
        shown = axes.get_legend()
        assert shown is not None
        shown.remove()
    handles, labels = panels[0, 0].get_legend_handles_labels()
    present = [place for place, label in enumerate(labels) if not _is_absent(label, comparisons)]
    figure.legend(
        [handles[i] for i in present], [labels[i] for i in present], loc="outside lower center", ncols=3, fontsize=8
    )
    return figure


def _is_absent(label: str, comparisons: Mapping[str, Comparison]) -> bool:
    """True for a label of a modality that no situation has a gradient of."""
    absent = [m for m in MODALITIES if not any(c.situation.gradients[m.index].any() for c in comparisons.values())]
    return any(f"of {m.title}'s" in label for m in absent)


RESULT = rule_colour("ReGrad")
REACH = 2.5
"""The explorer's axes reach from minus to plus this, whatever the sliders say, so that pictures can be compared."""
CHOSEN = ("ReGrad", "plain sum", "PCGrad", OWN)
"""Rules whose results the explorer draws; the others are in its table."""


@styled
def picture(comparison: Comparison, *, before: Comparison | None = None, reveal: bool = True) -> Figure:
    """Gradients and chosen results in a plane with fixed axes; beside it a table of every rule's weights.

    before: drawn faintly behind. reveal: False hides everything but the given gradients, for a prediction.
    """
    figure = new_figure((9.4, 4.1))
    figure.set_layout_engine("none")
    plane = figure.add_axes((0.045, 0.085, 0.37, 0.37 * 9.4 / 4.1))
    if before is not None and reveal:
        _faint(plane, before)
    if reveal:
        names = [name for name in CHOSEN[1:] if name in comparison.results]
        for name in names:
            _arrow(plane, _inside(comparison.results[name]), colour=rule_colour(name), width=1.8)
        construction(plane, comparison, REACH, legend=False)
    else:
        _gradients(plane, comparison)
    plane.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xlabel="", ylabel="", aspect="equal")
    plane.set_xticks(range(-2, 3))
    plane.set_yticks(range(-2, 3))
    plane.tick_params(labelsize=8)
    fastest = comparison.situation.fastest
    branch = comparison.situation.branch.title
    plane.set_title(
        f"a parameter of the {branch} branch; fastest: {fastest.title if fastest else 'none'}", fontsize="small"
    )
    side = figure.add_axes((0.435, 0, 0.565, 1))
    side.set_axis_off()
    side.set(xlim=(0, 1), ylim=(0, 1))
    _key(side, comparison, reveal=reveal)
    if reveal:
        _table(side, comparison)
    else:
        side.text(0.5, 0.42, "Where will ReGrad's arrow point?", ha="center", fontsize="large")
    return figure


def _gradients(axes: Axes, comparison: Comparison) -> None:
    for m in MODALITIES:
        _arrow(axes, comparison.situation.gradients[m.index], colour=COLOURS[m.value], line=LINES[m.value])


def _faint(axes: Axes, before: Comparison) -> None:
    """An earlier picture's gradients and ReGrad's result, as thin pale lines."""
    for tip, colour in [(before.situation.gradients[m.index], COLOURS[m.value]) for m in MODALITIES] + [
        (before.results["ReGrad"], RESULT)
    ]:
        x, y = _inside(tip)
        axes.plot([0, x], [0, y], color=colour, alpha=0.25, linewidth=1.2)
        axes.plot([x], [y], "o", color=colour, alpha=0.25, markersize=4)


def _inside(tip: Vector) -> Vector:
    """The vector, shortened where it would leave the axes; the table has its whole length."""
    longest = float(np.abs(tip).max())
    return tip if longest <= REACH else tip * (REACH / longest)


def _key(axes: Axes, comparison: Comparison, *, reveal: bool) -> None:
    """What the lines mean, in two columns."""
    entries: list[tuple[str, dict[str, Any]]] = [
        (f"gradient of {m.title}'s loss", {"color": COLOURS[m.value], "linestyle": LINES[m.value], "linewidth": 1.8})
        for m in MODALITIES
    ]
    if reveal:
        entries += [("kept by ReGrad's T", {"color": "0.5", "linewidth": 6, "alpha": 0.4})]
        entries += [("dropped", {"color": "0.4", "linestyle": ":", "linewidth": 1.4})]
        names = [name for name in CHOSEN if name in comparison.results]
        entries += [
            (f"result of {name}" if name != OWN else "result of yours", {"color": rule_colour(name), "linewidth": 2.2})
            for name in names
        ]
    handles = [Line2D([], [], label=label, **shape) for label, shape in entries]
    axes.legend(handles=handles, loc="upper left", ncols=3, fontsize=7.5, bbox_to_anchor=(0.0, 1.0), handlelength=2)


def _table(axes: Axes, comparison: Comparison) -> None:
    """A row per rule: its weights of the three gradients, its length, and whose loss a small step would raise."""
    columns = (0.02, 0.31, 0.44, 0.60, 0.71, 0.76)
    heads = ("rule", "w RGB", "w depth", "w infrared", "length", "raises the loss of")
    where = ("left", "right", "right", "right", "right", "left")
    names = list(comparison.results)
    step = min(0.062, 0.78 / (len(names) + 1))
    for x, head, side in zip(columns, heads, where, strict=True):
        axes.text(x, 0.775, head, ha=side, fontsize=8, weight="bold")
    axes.plot([0.02, 0.99], [0.757, 0.757], color="0.6", linewidth=0.8)
    for row, name in enumerate(names):
        y, result = 0.775 - (row + 1) * step, comparison.results[name]
        cells = ["" if np.isnan(w) else f"{w:.2f}" for w in comparison.weights[name]]
        raised = ", ".join(m.title for m in comparison.against(name)) or "none"
        line = (name, *cells, f"{np.linalg.norm(result):.2f}", raised)
        weight = "bold" if name in ("ReGrad", OWN) else "normal"
        for x, cell, side in zip(columns, line, where, strict=True):
            axes.text(x, y, cell, ha=side, fontsize=8, weight=weight)


def description(comparison: Comparison) -> str:
    """The picture in a sentence or two."""
    given = comparison.situation
    fastest = given.fastest
    text = f"Gradients of a parameter of the {given.branch.title} branch; "
    text += f"fastest modality: {fastest.title if fastest else 'none'}. "
    x, y = comparison.results["ReGrad"]
    hurt = ", ".join(m.title for m in comparison.against("ReGrad")) or "no modality"
    return f"{text}ReGrad gives ({x:.2f}, {y:.2f}), against {hurt}."


def _arrow(
    axes: Axes, tip: Vector, *, start: Sequence[float] = (0, 0), colour: str, line: str = "-", width: float = 1.6
) -> None:
    if float(np.hypot(tip[0] - start[0], tip[1] - start[1])) < 1e-9:
        return
    axes.annotate(
        "",
        xy=(tip[0], tip[1]),
        xytext=(start[0], start[1]),
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linestyle": line,
            "linewidth": width,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def construction(axes: Axes, comparison: Comparison, reach: float, *, legend: bool = True) -> None:
    """Draw the gradients, what ReGrad keeps and drops of them, and its result, on axes from -reach to reach."""
    given = comparison.situation
    for m in MODALITIES:
        _arrow(axes, given.gradients[m.index], colour=COLOURS[m.value], line=LINES[m.value])
        axes.plot([], [], LINES[m.value], color=COLOURS[m.value], label=f"gradient of {m.title}'s loss")
    for part in comparison.parts:
        colour = COLOURS[part.of.value]
        axes.plot([0, part.kept[0]], [0, part.kept[1]], color=colour, linewidth=6, alpha=0.3)
        axes.plot([part.kept[0], part.whole[0]], [part.kept[1], part.whole[1]], ":", color=colour, linewidth=1.2)
    axes.plot([], [], color="0.5", linewidth=6, alpha=0.4, label="kept, before its certainty weighs it")
    axes.plot([], [], ":", color="0.4", linewidth=1.2, label="dropped")
    result = comparison.results["ReGrad"]
    _arrow(axes, result if legend else _inside(result), colour=RESULT, width=2.4)
    axes.plot([], [], color=RESULT, linewidth=2.4, label="ReGrad's result")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="first entry of the parameter (no unit)", ylabel="second entry (no unit)")
    fastest = given.fastest.title if given.fastest else "none"
    axes.set_title(f"branch {given.branch.title}, fastest: {fastest}", fontsize="medium")
    if legend:
        axes.legend(loc="lower left", fontsize=6.5, handlelength=2.2, labelspacing=0.25, framealpha=0.8, frameon=True)
