"""Three modalities' gradients in a plane: what ReGrad keeps and drops of them, and what other rules make of them."""

from mmdg_lite.explorers.shell import Drawn, Preset
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.regrad import description, picture
from mmdg_lite.regrad.plane import Comparison, Modulate, Project, compare, situation

KINDS = {
    "angle": ("angle", "degrees", -180.0, 180.0, 1.0),
    "length": ("length", "no unit", 0.0, 2.0, 0.05),
    "loss": ("loss", "nats", 0.0, 2.0, 0.05),
    "certainty": ("certainty", "0 to 1", 0.0, 1.0, 0.05),
}
"""The sliders of each modality: label, unit, lowest and highest value, step."""

START: dict[str, tuple[float, float, float]] = {  # RGB, depth, infrared
    "angle": (20.0, 75.0, 150.0),
    "length": (1.0, 1.0, 1.0),
    "loss": (1.0, 0.5, 0.8),
    "certainty": (0.8, 0.8, 0.8),
}


def sliders(**values: tuple[float, float, float]) -> dict[str, float]:
    """Values of the sliders by name, `angle_rgb` and so on; what is not given stands at its start."""
    return {
        f"{kind}_{m.value}": float(three[m.index]) for kind, three in {**START, **values}.items() for m in MODALITIES
    }


PRESETS: dict[str, Preset] = {
    "all agree": Preset(
        question="Depth and infrared agree with RGB. Does ReGrad turn RGB's gradient, or only lengthen it?",
        values=sliders(angle=(30, 70, 0)) | {"branch": "rgb"},
        answer="It only lengthens it: of gradients that agree, T keeps the part along RGB's own. The plain sum turns.",
    ),
    "conflict": Preset(
        question="Depth and infrared both conflict with RGB. Whose loss does each rule raise?",
        values=sliders(angle=(0, 120, 150)) | {"branch": "rgb"},
        answer="The plain sum raises RGB's. ReGrad keeps what is orthogonal to RGB and raises infrared's.",
    ),
    "89 degrees": Preset(
        question="Depth stands at 89 degrees to RGB, infrared is absent. How much of depth does ReGrad keep?",
        values=sliders(angle=(0, 89, 0), length=(1, 1, 0), certainty=(1, 1, 1)) | {"branch": "rgb"},
        answer="Next to nothing: 0.02, the part along RGB. Press 'remember', then choose 91 degrees.",
    ),
    "91 degrees": Preset(
        question="Depth turns by two degrees, to 91. How much of it does ReGrad keep now?",
        values=sliders(angle=(0, 91, 0), length=(1, 1, 0), certainty=(1, 1, 1)) | {"branch": "rgb"},
        answer="Nearly all: 1.00. The rule jumps at 90 degrees (D14), where random directions in many dimensions lie.",
    ),
    "own branch is the fastest": Preset(
        question="RGB's own loss is the lowest. Which gradient does ReGrad leave in peace now?",
        values=sliders(angle=(0, 100, 140), loss=(0.3, 0.9, 0.8)) | {"branch": "rgb"},
        answer="The sum of the two others. RGB is held back: only what does not disturb them is kept.",
    ),
    "certainty 0": Preset(
        question="Nobody is certain of anything. What is left of the three gradients?",
        values=sliders(certainty=(0, 0, 0)) | {"branch": "rgb"},
        answer="RGB's own gradient alone. Other rules know no certainty: their arrows do not move.",
    ),
    "opposite gradients": Preset(
        question="Depth pulls exactly against RGB. What can be kept of it?",
        values=sliders(angle=(0, 180, 0), length=(1, 1, 0), certainty=(1, 1, 1)) | {"branch": "rgb"},
        answer="Nothing: there is no orthogonal part. ReGrad gives RGB's gradient, and the plain sum stands still.",
    ),
    "one modality missing": Preset(
        question="Infrared is missing from the batch: its gradient is zero. Does anything of the rule change?",
        values=sliders(length=(1, 1, 0)) | {"branch": "depth"},
        answer="No: one term of the sum is zero. (With two missing, the single gradient stays as it is.)",
    ),
}


def draw(
    *,
    branch: str,
    project: Project | None = None,
    modulate: Modulate | None = None,
    before: Comparison | None = None,
    reveal: bool = True,
    **values: float,
) -> Drawn:
    """The picture from one value per slider: `angle_rgb`, `length_rgb`, `loss_rgb`, `certainty_rgb`, ..."""
    of = {kind: [values[f"{kind}_{m.value}"] for m in MODALITIES] for kind in KINDS}
    comparison = compare(situation(branch=branch, **of), own_project=project, own_modulate=modulate)
    words = description(comparison) if reveal else "Three gradients; the results are hidden until you look."
    return Drawn(figure=picture(comparison, before=before, reveal=reveal), words=words, state=comparison)
