"""CASIA-SURF: JPEG face crops below `CASIA-SURF-CROP`, as the list names them."""

from dataclasses import dataclass
from pathlib import Path

from data_prep.sources import ModalityProblem, Reading, SampleProblem, below, read_image, refuse_constant, top_folder
from mmdg_lite.data.real.lists import ListRow
from mmdg_lite.modality import MODALITIES


@dataclass(frozen=True)
class CasiaSurf:
    """The user's copy: the folder that holds `CASIA-SURF-CROP`."""

    source: Path
    domain: str = "S"

    @classmethod
    def open(cls, source: Path) -> "CasiaSurf":
        """Raises `SourceError` if there is no `CASIA-SURF-CROP`."""
        return cls(top_folder(source, "CASIA-SURF-CROP"))

    def read(self, row: ListRow) -> Reading:
        """The three JPEG files of a row."""
        reading = read_triplet(self.source, row)
        refuse_constant(reading, f"{self.source / row.clip}, frame {row.frames[0]}")
        return reading


def read_triplet(source: Path, row: ListRow) -> Reading:
    """Three image files of one frame, each read or its problem noted."""
    if len(set(row.frames)) > 1:
        raise SampleProblem(
            f"{row.paths[0]}: the list pairs frames {', '.join(row.frames)} of the three modalities; correct the list"
        )
    reading = Reading()
    for modality, relative in zip(MODALITIES, row.paths, strict=True):
        try:
            path = reading.files[modality] = below(source, relative)
            reading.images[modality] = read_image(path, modality, reading.notes)
        except ModalityProblem as problem:
            reading.problems[modality] = str(problem)
    return reading
