"""Three modalities' gradients in a plane: what ReGrad keeps and drops of them, and what other rules would make of them.

`compare` computes, `picture` draws, `draw` does both from what the sliders give.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mmdg_lite.explorers.shell import Drawn
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.style import COLOURS, LINES, NAMES, new_figure, styled
from mmdg_lite.regrad.balancing import BalancingRule, Moment, balancing_weights
from mmdg_lite.regrad.effects import TITLES, available, is_raised
from mmdg_lite.regrad.projection import project

Vector = NDArray[np.float64]
RESULT = "black"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One parameter of a branch with two entries, so that its gradients can be drawn."""

    branch: Modality  # whose parameter it is
    gradients: NDArray[np.float64]  # 3 x 2, of the losses of RGB, depth, infrared
    losses: tuple[float, float, float]  # moving averages, nats
    certainty: tuple[float, float, float]  # U_R, U_D, U_I in 0..1

    @property
    def fastest(self) -> Modality | None:
        """The modality with the strictly lowest loss."""
        lowest = min(self.losses)
        holders = [m for m in MODALITIES if self.losses[m.index] == lowest]
        return holders[0] if len(holders) == 1 else None

    def tensors(self) -> list[Tensor]:
        """The three gradients as the rules take them."""
        return list(torch.from_numpy(self.gradients).unbind())


@dataclass(frozen=True, kw_only=True)
class Part:
    """What T keeps of one gradient beside its base, before the certainty weighs it."""

    of: Modality
    onto: str
    whole: Vector  # 2
    kept: Vector  # 2
    weight: float  # certainty

    @property
    def dropped(self) -> Vector:
        """The rest."""
        return self.whole - self.kept


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A situation, the parts of ReGrad's sum, and the result of every rule by its name."""

    situation: Situation
    parts: tuple[Part, ...]
    results: dict[str, Vector]  # each 2

    def against(self, name: str) -> list[Modality]:
        """Modalities whose loss a small step against this result would raise."""
        result, gradients = self.results[name], self.situation.gradients
        lengths = np.linalg.norm(gradients, axis=1) * np.linalg.norm(result)
        raised = is_raised(gradients @ result / np.where(lengths > 0, lengths, 1))
        return [m for m in MODALITIES if raised[m.index]]


def balanced(given: Situation, rule: BalancingRule) -> Vector:
    """What a rule makes of the three gradients, 2 entries; of OGM-GE without its noise, which has mean zero.

    The rules of TorchJD look at all shared parameters at once; here there is this one.
    """
    rows = torch.from_numpy(given.gradients)  # 3 x 2
    fastest = None if given.fastest is None else given.fastest.index
    moment = Moment(losses=given.losses, fastest=fastest, certainty=given.certainty)
    (weights,) = balancing_weights({given.branch.index: (rows @ rows.T)[None]}, rule, moment).values()  # 1 x 3
    return (weights.to(rows) @ rows)[0].numpy()


def situation(
    *,
    branch: str | Modality,
    angle: Sequence[float],
    length: Sequence[float],
    loss: Sequence[float],
    certainty: Sequence[float],
) -> Situation:
    """Three gradients by their angles (degrees, anticlockwise from the right) and lengths, each RGB, depth, infrared.

    Raises ValueError for a negative length, a certainty outside of 0..1, or not three of each.
    """
    for name, values in {"angle": angle, "length": length, "loss": loss, "certainty": certainty}.items():
        if len(values) != len(MODALITIES):
            raise ValueError(f"{name} needs three values, RGB, depth and infrared; got {len(values)}")
    if min(length) < 0:
        raise ValueError(f"lengths must be 0 or more, got {min(length):g}")
    if not 0 <= min(certainty) <= max(certainty) <= 1:
        raise ValueError(f"certainties are numbers from 0 to 1, got {tuple(certainty)}")
    radians = np.radians(np.asarray(angle, dtype=np.float64))
    gradients = np.asarray(length, dtype=np.float64)[:, None] * np.stack([np.cos(radians), np.sin(radians)], axis=1)
    r, d, i = (float(value) for value in loss)
    u_r, u_d, u_i = (float(value) for value in certainty)
    return Situation(branch=Modality(branch), gradients=gradients, losses=(r, d, i), certainty=(u_r, u_d, u_i))


def compare(given: Situation) -> Comparison:
    """What ReGrad takes from each gradient, and what every rule makes of the three."""
    gradients, branch = given.tensors(), given.branch
    if branch is given.fastest:
        base = sum(gradients[m.index] for m in branch.others)
        pairs = [(branch, base, "sum of the others")]
    else:
        pairs = [(other, gradients[branch.index], NAMES[branch.value]) for other in branch.others]
    parts = tuple(
        Part(
            of=of,
            onto=onto,
            whole=gradients[of.index].numpy(),
            kept=project(gradients[of.index], torch.as_tensor(base)).numpy(),
            weight=given.certainty[of.index],
        )
        for of, base, onto in pairs
    )
    results = {TITLES[rule]: balanced(given, rule) for rule in available()}
    return Comparison(situation=given, parts=parts, results=results)


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


def draw(*, branch: str, **sliders: float) -> Drawn:
    """The picture from one value per slider: `angle_rgb`, `length_rgb`, `loss_rgb`, `certainty_rgb`, ..."""
    of = {kind: [sliders[f"{kind}_{m.value}"] for m in MODALITIES] for kind in ("angle", "length", "loss", "certainty")}
    comparison = compare(situation(branch=branch, **of))
    return Drawn(figure=picture(comparison), words=words(comparison))


def words(comparison: Comparison) -> str:
    """The picture in a sentence or two."""
    given = comparison.situation
    fastest = given.fastest
    text = f"Gradients of a parameter of the {NAMES[given.branch.value]} branch; "
    text += f"fastest modality: {NAMES[fastest.value] if fastest else 'none'}. "
    x, y = comparison.results["ReGrad"]
    hurt = ", ".join(NAMES[m.value] for m in comparison.against("ReGrad")) or "no modality"
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
        axes.plot([], [], LINES[m.value], color=COLOURS[m.value], label=f"gradient of {NAMES[m.value]}'s loss")
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
    fastest = NAMES[given.fastest.value] if given.fastest else "none"
    axes.set_title(f"branch {NAMES[given.branch.value]}, fastest: {fastest}", fontsize="medium")
    axes.legend(loc="lower left", fontsize=6.5, handlelength=2.2, labelspacing=0.25, framealpha=0.8, frameon=True)


def _result(axes: Axes, comparison: Comparison, name: str, reach: float) -> None:
    for m in MODALITIES:
        x, y = comparison.situation.gradients[m.index]
        axes.plot([0, x], [0, y], LINES[m.value], color=COLOURS[m.value], linewidth=1.2)
    result = comparison.results[name]
    _arrow(axes, result, colour=RESULT, width=2)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    axes.set_title(name, fontsize="small", loc="center", pad=3)
    hurt = ", ".join(NAMES[m.value] for m in comparison.against(name))
    axes.set_xlabel(
        f"length {np.linalg.norm(result):.2f}\n" + (f"against {hurt}" if hurt else "against none"), fontsize=7
    )
