"""The attack lab: one face, its sensors turned by hand; what each modality says and adds, and where the decision flips.

`look` asks the model, once, in one batch of seven coalitions; `score_along` asks it about one knob's whole range;
`plots.balance` draws.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.loader import make_batch
from mmdg_lite.data.renderer.domains import domain_named
from mmdg_lite.data.renderer.sensors import SensorProfile
from mmdg_lite.data.synthetic import Faces, render
from mmdg_lite.explorers.shell import Drawn, Preset
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.builder import MMDGPlusPlus
from mmdg_lite.plots.balance import Along, picture
from mmdg_lite.plots.faces import token_map
from mmdg_lite.studies.attention_maps import receivers_mean, with_attention
from mmdg_lite.studies.quickstart import Quickstart
from mmdg_lite.studies.shapley import CHANCE, COALITIONS, Coalition, every_coalition, restricted, shapley_values
from mmdg_lite.training.evaluation import to_device

KNOBS: dict[str, tuple[str, str]] = {
    "depth_holes": ("depth holes", "share of area"),
    "depth_noise": ("depth noise", "cm"),
    "infrared_exposure": ("infrared light", "times"),
    "infrared_noise": ("infrared noise", "of full scale"),
    "rgb_exposure": ("RGB exposure", "times"),
    "rgb_blur": ("RGB blur", "passes"),
}
"""The sensor knobs that have a slider, with label and unit."""

POINTS = 7
"""Values of a knob at which `score_along` asks the model."""

_WRECKED = {
    "domain": "W",
    "species": "live",
    "sample": 0,
    "depth_holes": 0.7,
    "depth_noise": 3.0,
    "along": "depth_holes",
}
PRESETS: dict[str, Preset] = {
    "wreck depth: does certainty notice?": Preset(
        question="Depth gets holes and noise. Will the depth receiver's mean certainty, 0.048 so far, fall?",
        values=_WRECKED,
        answer="No: it rises to 0.060, while the score falls from 0.98 to 0.35 and this live face is rejected. "
        "Section 5 counts twenty faces.",
    ),
    "broken or switched off?": Preset(
        question="Depth is broken, and this live face is rejected. Would the model do better with depth switched off?",
        values=_WRECKED,
        answer="Yes: RI, the same face without depth, has 0.79 and is accepted; RDI with broken depth has 0.35. "
        "A sensor that misleads does more harm than one that is missing.",
    ),
    "a mask gets through": Preset(
        question="This rigid mask is accepted with 0.87. Which camera is fooled, and which one would have caught it?",
        values={"domain": "W", "species": "rigid_mask", "sample": 1, "along": "infrared_exposure"},
        answer="Infrared is fooled: 0.95 alone, and its Shapley value is +0.58. RGB alone has 0.13, and RD rejects "
        "with 0.17. Switch infrared off and see.",
    ),
    "find a flip": Preset(
        question="RGB's Shapley value here is 0.00. Can turning the RGB camera still flip this decision?",
        values={"domain": "W", "species": "live", "sample": 2, "along": "rgb_exposure"},
        answer="Yes: at an exposure of 0.67 the score falls from 0.69 to 0.52. A Shapley value says what a sensor's "
        "presence adds, not what its failure costs.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """One face and everything that the model says about it.

    scores: P(live) by each coalition of all three modalities. text: P(live) by each modality's text classifier, NaN
    where missing. certainty, attention: of each receiver's patches, side x side, None where nothing is sent.
    """

    faces: Faces  # one
    present: tuple[Modality, ...]
    scores: dict[Coalition, float]
    text: tuple[float, float, float]
    certainty: tuple[NDArray[np.float64] | None, ...]
    attention: tuple[NDArray[np.float64] | None, ...]
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


def present_of(missing: Iterable[Modality]) -> tuple[Modality, ...]:
    """The modalities that are not missing. Raises ValueError if none is left."""
    gone = set(missing)
    present = tuple(m for m in MODALITIES if m not in gone)
    if not present:
        raise ValueError("all three modalities are missing: there is nothing to decide on; switch one on")
    return present


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
    present = present_of(missing)
    faces = render(domain, 1, sample, species=species, knobs=knobs)
    samples = every_coalition(ArrayDataset.from_faces(faces, domain=domain, split="free").read([0]))
    batch = make_batch(samples, source_domains=shipped.sources)
    with torch.inference_mode():
        output, received = with_attention(cast(MMDGPlusPlus, shipped.model), to_device(dict(batch), shipped.device))
    row = COALITIONS.index(frozenset(present))
    r, d, i = output.modality_scores()[row].tolist()
    certainty, attention = (
        tuple(_map(values[row], receiver, present) for receiver in MODALITIES)
        for values in (output.token_certainty[-1], received)
    )
    return Look(
        faces=faces,
        present=present,
        scores=dict(zip(COALITIONS, output.score().tolist(), strict=True)),
        text=(r, d, i),
        certainty=certainty,
        attention=attention,
        threshold=shipped.record.threshold,
    )


def _map(values: torch.Tensor, receiver: Modality, present: tuple[Modality, ...]) -> NDArray[np.float64] | None:
    mean = receivers_mean(values, receiver, present)
    return None if mean is None else token_map(mean.cpu().double().numpy())


def score_along(
    shipped: Quickstart,
    knob: str,
    *,
    domain: str,
    species: str,
    sample: int,
    knobs: Mapping[str, float],
    missing: Iterable[Modality] = (),
) -> Along:
    """The score over one knob's whole range, the others as they are; `POINTS` values in one batch."""
    present = present_of(missing)
    values = np.linspace(*knob_limits(knob), POINTS)
    faces = [render(domain, 1, sample, species=species, knobs={**knobs, knob: float(v)}) for v in values]
    read = [ArrayDataset.from_faces(f, domain=domain, split="free").read([0]) for f in faces]
    batches = [make_batch(samples, source_domains=shipped.sources) for samples in read]
    joined = {m.value: torch.cat([b[m.value] for b in batches]) for m in MODALITIES}
    there = torch.tensor([[m in present for m in MODALITIES]] * POINTS)
    with torch.inference_mode():
        output = shipped.model(to_device({**joined, "present": there}, shipped.device))
    label, unit = KNOBS[knob]
    return Along(label=f"{label}, {unit}", values=values, scores=output.score().cpu().double().numpy())


def words(seen: Look) -> str:
    """The picture in words."""
    kind = seen.faces.species[0].replace("_", " ")
    there = ", ".join(m.title for m in seen.present)
    shares = ", ".join(f"{m.title} {seen.shapley[m.index]:+.2f}" for m in MODALITIES)
    texts = ", ".join(f"{m.title} {seen.text[m.index]:.2f}" for m in seen.present)
    sure = ", ".join(
        f"{m.title} {c.mean():.3f}" for m, c in zip(MODALITIES, seen.certainty, strict=True) if c is not None
    )
    return (
        f"A face ({kind}) seen by {there}: score {seen.score:.2f} at threshold {seen.threshold:.2f}, decided "
        f"{seen.decision}. Text scores: {texts}. Shapley values: {shares}. Mean certainty: {sure or 'nothing is sent'}."
    )


def draw(
    *,
    shipped: Quickstart,
    domain: str,
    species: str,
    sample: int,
    along: str,
    curves: dict[Any, Along],
    before: Look | None = None,
    reveal: bool = True,
    **controls: Any,
) -> Drawn:
    """The picture from one value per control: the knobs by name, and `use_rgb`, `use_depth`, `use_infrared`.

    along: the knob whose range is drawn. curves: remembers drawn ranges, so that a turning knob asks for its own once.
    """
    missing = tuple(m for m in MODALITIES if not controls[f"use_{m.value}"])
    knobs = {name: float(controls[name]) for name in KNOBS}
    seen = look(shipped, domain=domain, species=species, sample=sample, knobs=knobs, missing=missing)
    curve = None
    if reveal:
        others = tuple(value for name, value in knobs.items() if name != along)
        key = (domain, species, sample, missing, along, others)
        if key not in curves:
            curves[key] = score_along(
                shipped, along, domain=domain, species=species, sample=sample, knobs=knobs, missing=missing
            )
        curve = curves[key]
    figure = picture(seen, curve=curve, at=knobs[along], before=before, reveal=reveal)
    told = words(seen) if reveal else "Three images of a face; scores are hidden until you look."
    return Drawn(figure=figure, words=told, state=seen)
