"""One face, its sensors turned by hand: what each modality says, how sure it is, and what it adds to the decision.

`look` asks the model, once, in one batch of seven coalitions; `picture` draws; `draw` does both from what the sliders
give.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.loader import make_batch
from mmdg_lite.data.renderer.domains import domain_named
from mmdg_lite.data.renderer.sensors import SensorProfile
from mmdg_lite.data.synthetic import Faces, render
from mmdg_lite.explorers.shell import Drawn
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.outputs import Output
from mmdg_lite.plots.faces import show_image, token_map
from mmdg_lite.plots.style import COLOURS, new_figure, styled
from mmdg_lite.studies.quickstart import Quickstart
from mmdg_lite.studies.shapley import CHANCE, COALITIONS, Coalition, every_coalition, restricted, shapley_values
from mmdg_lite.training.evaluation import to_device

KNOBS: dict[str, tuple[str, str]] = {
    "depth_holes": ("depth holes", "share of area"),
    "depth_noise": ("depth noise", "cm"),
    "infrared_exposure": ("infrared illumination", "times"),
    "infrared_noise": ("infrared noise", "of full scale"),
    "rgb_exposure": ("RGB exposure", "times"),
    "rgb_blur": ("RGB blur", "passes"),
}
"""The sensor knobs that have a slider, with label and unit."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One face and everything that the model says about it."""

    faces: Faces  # one
    present: tuple[Modality, ...]
    scores: dict[Coalition, float]  # P(live) by each coalition of all three modalities
    text: tuple[float, float, float]  # P(live) by each modality's text classifier, NaN where missing
    maps: tuple[NDArray[np.float64] | None, ...]  # certainty of each receiver's patches, None where nothing is sent
    threshold: float

    @property
    def score(self) -> float:
        """P(live) from what is present."""
        return self.scores[frozenset(self.present)]

    @property
    def decision(self) -> str:
        """ "live" or "spoof"."""
        return "live" if self.score >= self.threshold else "spoof"

    @property
    def shapley(self) -> NDArray[np.float64]:
        """What each modality adds to the score, 3; they add up to score - 0.5, missing ones add 0."""
        return shapley_values(restricted(self.scores, self.present, empty=CHANCE), empty=CHANCE)


def knob_values(domain: str) -> dict[str, float]:
    """Where the sliders stand for a domain's own sensors."""
    sensors = domain_named(domain).sensors
    return {name: getattr(sensors, name) for name in KNOBS}


def knob_limits(name: str) -> tuple[float, float]:
    """Lowest and highest value of a sensor knob."""
    (limits,) = (knob.metadata for knob in fields(SensorProfile) if knob.name == name)
    return limits["low"], limits["high"]


def look(
    shipped: Quickstart,
    *,
    domain: str,
    species: str,
    sample: int,
    knobs: Mapping[str, float] | None = None,
    missing: Iterable[Modality] = (),
) -> Look:
    """Render one face and ask the model about it.

    Args:
        shipped: the model, `quickstart.load()`.
        domain: W, C, P or S. species: "live" or an attack. sample: number of the face, 0 or more.
        knobs: sensor properties set otherwise than the domain's, by their names in `SensorProfile`.
        missing: modalities that the decision has to do without.

    Raises:
        ValueError: all three are missing; an unknown domain, species or knob.
    """
    gone = set(missing)
    present = tuple(m for m in MODALITIES if m not in gone)
    if not present:
        raise ValueError("all three modalities are missing: there is nothing to decide on; switch one on")
    faces = render(domain, 1, sample, species=species, knobs=knobs)
    samples = every_coalition(ArrayDataset.from_faces(faces, domain=domain, split="free").read([0]))
    batch = make_batch(samples, source_domains=shipped.sources)
    with torch.inference_mode():
        output = shipped.model(to_device(dict(batch), shipped.device))
    row = COALITIONS.index(frozenset(present))
    r, d, i = output.modality_scores()[row].tolist()
    return Look(
        faces=faces,
        present=present,
        scores=dict(zip(COALITIONS, output.score().tolist(), strict=True)),
        text=(r, d, i),
        maps=tuple(_certainty(output, row, receiver, present) for receiver in MODALITIES),
        threshold=shipped.record.threshold,
    )


def _certainty(
    output: Output, row: int, receiver: Modality, present: tuple[Modality, ...]
) -> NDArray[np.float64] | None:
    """Patches' certainty in the last block, mean over the present senders, as a square map."""
    senders = [place for place, sender in enumerate(receiver.others) if sender in present]
    if receiver not in present or not senders:
        return None
    tokens = output.token_certainty[-1][row, receiver.index, senders].mean(dim=0)  # N
    return token_map(tokens.cpu().double().numpy())


@styled
def picture(seen: Look, *, limits: tuple[float, float] = (0.01, 0.15)) -> Figure:
    """The triplet above its certainty maps; beside them text scores, the decision and Shapley values.

    `limits`: ends of the maps' colour scale, the same for every face so that maps can be compared. The default is about
    what nine in ten of the shipped model's patches lie in; the scale's pointed ends say that others lie beyond.
    """
    figure = new_figure((9.6, 4.0))
    figure.set_layout_engine("none")
    width, height = 1.6 / 9.6, 1.6 / 4.0
    for m in MODALITIES:
        left = 0.01 + 0.178 * m.index
        image = figure.add_axes((left, 0.51, width, height))
        show_image(image, seen.faces[m.value][0])
        image.set_title(m.title + ("" if m in seen.present else " (missing)"), fontsize="medium")
        if m not in seen.present:
            image.add_patch(_veil(image))
        below = figure.add_axes((left, 0.04, width, height))
        below.set_axis_off()
        values = seen.maps[m.index]
        if values is None:
            below.text(0.5, 0.5, "nothing is sent", ha="center", va="center", transform=below.transAxes)
        else:
            drawn = below.imshow(values, vmin=limits[0], vmax=limits[1])
            below.set_title(f"certainty, mean {values.mean():.3f}", fontsize="small")
    if any(values is not None for values in seen.maps):
        scale = figure.colorbar(drawn, cax=figure.add_axes((0.548, 0.04, 0.01, height)), extend="both")
        scale.ax.tick_params(labelsize=7)
    kind = seen.faces.species[0].replace("_", " ")
    title = f"{kind}: score {seen.score:.2f}, decided {seen.decision}"
    figure.suptitle(title, x=0.66, y=0.98, ha="left", fontsize="medium", weight="bold")
    _texts(figure.add_axes((0.66, 0.68, 0.32, 0.18)), seen)
    _score(figure.add_axes((0.66, 0.47, 0.32, 0.07)), seen)
    _shapley(figure.add_axes((0.66, 0.12, 0.32, 0.19)), seen)
    return figure


def words(seen: Look) -> str:
    """The picture in words."""
    kind = seen.faces.species[0].replace("_", " ")
    there = ", ".join(m.title for m in seen.present)
    shares = ", ".join(f"{m.title} {seen.shapley[m.index]:+.2f}" for m in MODALITIES)
    texts = ", ".join(f"{m.title} {seen.text[m.index]:.2f}" for m in seen.present)
    return (
        f"A face ({kind}) seen by {there}: score {seen.score:.2f} at threshold {seen.threshold:.2f}, decided "
        f"{seen.decision}. Text scores: {texts}. Shapley values: {shares}."
    )


def draw(*, shipped: Quickstart, domain: str, species: str, sample: int, **controls: Any) -> Drawn:
    """The picture from one value per control: the knobs by name, and `use_rgb`, `use_depth`, `use_infrared`."""
    missing = [m for m in MODALITIES if not controls[f"use_{m.value}"]]
    knobs = {name: controls[name] for name in KNOBS}
    seen = look(shipped, domain=domain, species=species, sample=sample, knobs=knobs, missing=missing)
    return Drawn(figure=picture(seen), words=words(seen))


def _veil(axes: Axes) -> Any:
    """Half-transparent white over an image that is not used."""
    return Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor="white", alpha=0.75)


def _bars(axes: Axes, values: NDArray[np.float64] | tuple[float, ...], *, base: float) -> None:
    names = [m.title for m in MODALITIES]
    colours = [COLOURS[m.value] for m in MODALITIES]
    axes.barh(names, np.nan_to_num(np.asarray(values) - base), left=base, color=colours, height=0.7)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", visible=False)


def _texts(axes: Axes, seen: Look) -> None:
    _bars(axes, seen.text, base=0)
    axes.set(xlim=(0, 1))
    axes.set_title("text score of each modality, P(live)", fontsize="small")


def _score(axes: Axes, seen: Look) -> None:
    axes.barh([""], [seen.score], color="0.35", height=0.7)
    axes.axvline(seen.threshold, color="black", linestyle="--", linewidth=1.2)
    axes.set(xlim=(0, 1), yticks=[])
    axes.tick_params(labelsize=8)
    axes.set_title(f"score of the head, P(live); dashed: threshold {seen.threshold:.2f}", fontsize="small")


def _shapley(axes: Axes, seen: Look) -> None:
    _bars(axes, seen.shapley, base=0)
    axes.axvline(0, color="black", linewidth=0.8)
    limit = max(0.6, 1.05 * float(np.abs(seen.shapley).max()))
    axes.set(xlim=(-limit, limit))
    axes.set_title(f"Shapley value of each modality, sum {seen.score - CHANCE:+.2f}", fontsize="small")
    axes.set_xlabel("towards spoof  <  difference of P(live)  >  towards live", fontsize="small")
