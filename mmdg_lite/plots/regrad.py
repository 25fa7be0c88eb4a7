"""ReGrad's construction in the plane, case by case, and every rule's result for the same three gradients."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.style import COLOURS, LINES, new_figure, styled
from mmdg_lite.regrad.plane import Comparison, Vector


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


RESULT = "black"


@styled
def picture(comparison: Comparison) -> Figure:
    """ReGrad's construction on the left; on the right, every rule's result among the three gradients."""
    names = list(comparison.results)
    rows = 2 if len(names) <= 6 else 3
    columns = math.ceil(len(names) / rows)
    left, total = 4.4, 4.4 + 1.6 * columns  # inches
    figure = new_figure((total, 4.1 if rows == 2 else 5.4))
    figure.set_layout_engine("none")
    share = left / total
    large = figure.add_axes((0.75 / total, 0.13, 3.4 / total, 0.78 if rows == 2 else 0.6))
    reach = 1.1 * max(1.0, *(np.abs(v).max() for v in (comparison.situation.gradients, *comparison.results.values())))
    construction(large, comparison, reach)
    width, height = (1 - share) / columns, 0.92 / rows
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        axes = figure.add_axes(
            (share + column * width + 0.005, 0.93 - (row + 1) * height + 0.09, width - 0.01, height - 0.13)
        )
        _result(axes, comparison, name, reach)
    return figure


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


def construction(axes: Axes, comparison: Comparison, reach: float) -> None:
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
    _arrow(axes, comparison.results["ReGrad"], colour=RESULT, width=2.4)
    axes.plot([], [], color=RESULT, linewidth=2.4, label="ReGrad's result")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="first entry of the parameter (no unit)", ylabel="second entry (no unit)")
    fastest = given.fastest.title if given.fastest else "none"
    axes.set_title(f"branch {given.branch.title}, fastest: {fastest}", fontsize="medium")
    axes.legend(loc="lower left", fontsize=6.5, handlelength=2.2, labelspacing=0.25, framealpha=0.8, frameon=True)


def _result(axes: Axes, comparison: Comparison, name: str, reach: float) -> None:
    for m in MODALITIES:
        x, y = comparison.situation.gradients[m.index]
        axes.plot([0, x], [0, y], LINES[m.value], color=COLOURS[m.value], linewidth=1.2)
    result = comparison.results[name]
    _arrow(axes, result, colour=RESULT, width=2)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    axes.set_title(name, fontsize="small", loc="center", pad=3)
    hurt = ", ".join(m.title for m in comparison.against(name))
    axes.set_xlabel(
        f"length {np.linalg.norm(result):.2f}\n" + (f"against {hurt}" if hurt else "against none"), fontsize=7
    )
