"""Three modalities' gradients in a plane: what ReGrad keeps and drops of them, and what other rules would make of them.

`compare` computes, `picture` draws, `draw` does both from what the sliders give.
"""

from mmdg_lite.explorers.shell import Drawn
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.regrad import description, picture
from mmdg_lite.regrad.plane import compare, situation


def draw(*, branch: str, **sliders: float) -> Drawn:
    """The picture from one value per slider: `angle_rgb`, `length_rgb`, `loss_rgb`, `certainty_rgb`, ..."""
    of = {kind: [sliders[f"{kind}_{m.value}"] for m in MODALITIES] for kind in ("angle", "length", "loss", "certainty")}
    comparison = compare(situation(branch=branch, **of))
    return Drawn(figure=picture(comparison), words=description(comparison))
