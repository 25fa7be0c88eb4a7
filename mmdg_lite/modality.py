"""The three modalities of a face sample, in the one order used everywhere: RGB, depth, infrared."""

import enum


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
