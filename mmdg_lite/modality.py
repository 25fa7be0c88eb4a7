"""The three modalities of a face sample in one order used everywhere (RGB, depth, infrared), and batches of them."""

import enum
from typing import Any


class Modality(enum.Enum):
    """One sensor's view of a face. `Modality("depth")` looks a member up by its name in files and batches."""

    RGB = "rgb"
    DEPTH = "depth"
    INFRARED = "infrared"

    @property
    def title(self) -> str:
        """The name as figures and tables print it: "RGB", "depth" or "infrared"."""
        return "RGB" if self is Modality.RGB else str(self.value)

    @property
    def index(self) -> int:
        """Position in every tensor that has a modality dimension: 0 RGB, 1 depth, 2 infrared."""
        return MODALITIES.index(self)

    @property
    def others(self) -> tuple["Modality", "Modality"]:
        """The two modalities that send information to this one, in the usual order."""
        first, second = (modality for modality in MODALITIES if modality is not self)
        return first, second


MODALITIES: tuple[Modality, Modality, Modality] = (Modality.RGB, Modality.DEPTH, Modality.INFRARED)

Batch = dict[str, Any]
"""B face triplets as models take them; all tensors unless stated otherwise.

rgb, depth, infrared: B x 3 x H x W float32, normalised with CLIP's mean and standard deviation, one channel repeated
    (models also take B x 1 x H x W). The image of a missing modality may hold anything, or its key may be absent; the
    loader writes zeros.
present: B x 3 bools; absent: every modality is there.
label: B, 1 live, 0 spoof. domain: B, position in the source domains, -1 for any other domain. For training only.
id, species: lists of B texts, from the loader only.
spoilt: B x 3 x H x W bools, the pixels that training spoilt on purpose (`data.spoiling`); absent where it spoils none.
second_rgb, second_depth, second_infrared, second_present: a second augmented view of the same samples, from the loader
    with two views only; see `second_view`.
"""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of CLIP's training images (Radford et al., ICML 2021): red, green, blue, for values of 0..1."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Their standard deviation."""

SECOND = "second_"
"""What the names of a second view's images and presence begin with."""


def second_view(batch: Batch) -> Batch:
    """The batch with the images and presence of its second view in place of the first's.

    Raises `ValueError` if the batch has one view only.
    """
    names = [*(modality.value for modality in MODALITIES), "present"]
    if absent := [SECOND + name for name in names if SECOND + name not in batch]:
        raise ValueError(f"the batch has no {absent[0]}: train with two views (Method.views, training.views=2)")
    return batch | {name: batch[SECOND + name] for name in names}
