"""The shipped model asked about rendered faces: scores, decisions, certainty maps, errors without modalities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mmdg_lite.configuration import ASSETS
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.synthetic import Faces
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.outputs import Output
from mmdg_lite.runs.scores import Scores
from mmdg_lite.runs.shipped import RECORD, WEIGHTS, Record, Shipped, load_shipped, ship
from mmdg_lite.training.evaluation import batches, to_device

__all__ = ["ASSETS", "RECORD", "WEIGHTS", "Answer", "Quickstart", "Record", "load", "ship"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says about some faces."""

    faces: Faces
    output: Output
    threshold: float

    @property
    def scores(self) -> NDArray[np.float64]:
        """P(live) by the head, n."""
        return self.output.score().cpu().double().numpy()

    def as_scores(self) -> Scores:
        """Scores with labels and species, for metrics and figures."""
        ids = tuple(f"{number:05d}" for number in range(len(self.faces)))
        return Scores(ids=ids, labels=self.faces.label, species=self.faces.species, scores=self.scores)

    def table(self) -> pd.DataFrame:
        """A row per face: what it is, its score, the decision, and P(live) by each modality's text classifier."""
        names = [name.replace("_", " ") for name in self.faces.species]
        accepted = self.scores >= self.threshold
        frame = pd.DataFrame({"face": names, "score": self.scores.round(3)})
        frame["decision"] = np.where(accepted, "live", "spoof")
        frame["right"] = accepted == (self.faces.label == 1)
        text = self.output.modality_scores().cpu().numpy()
        for modality in MODALITIES:
            frame[f"text {modality.title}"] = text[:, modality.index].round(3)
        return frame

    def certainty(self, index: int) -> NDArray[np.float64]:
        """Token certainties of one face in the last block, 3 x N: of each receiver, the mean over its two senders.

        Raises ValueError for a face with a missing modality, whose senders would count although they are not there.
        """
        if not bool(self.output.present[index].all()):
            raise ValueError("certainty maps are drawn for faces with all three modalities")
        last = self.output.token_certainty[-1][index]  # 3 receivers x 2 senders x N
        return last.mean(dim=1).cpu().double().numpy()


@dataclass(frozen=True, kw_only=True)
class Quickstart(Shipped):
    """The shipped model with its record, and what notebooks ask of it."""

    def answer(self, faces: Faces, *, missing: Sequence[Modality] = ()) -> Answer:
        """Classify faces, at least one, with some modalities taken away."""
        dataset = ArrayDataset.from_faces(faces, domain=self.target, split="test")
        outputs = []
        with torch.inference_mode():
            for batch in batches(dataset, source_domains=self.sources, missing=missing, description="answering"):
                outputs.append(self.model(to_device(batch, self.device)))
        return Answer(faces=faces, output=_joined(outputs), threshold=self.record.threshold)


def load(*, folder: str | Path = ASSETS, device: str = "cpu") -> Quickstart:
    """The shipped model in evaluation mode. Raises as `shipped.load_shipped` does."""
    shipped = load_shipped(folder=folder, device=device)
    return Quickstart(model=shipped.model, record=shipped.record, pictures=shipped.pictures, device=shipped.device)


def _joined(outputs: Sequence[Output]) -> Output:
    """Outputs of several batches as that of one."""
    modality_logits = [output.modality_logits for output in outputs if output.modality_logits is not None]
    return Output(
        logits=torch.cat([output.logits for output in outputs]),
        modality_logits=torch.cat(modality_logits) if modality_logits else None,
        features=torch.cat([output.features for output in outputs]),
        certainty=torch.cat([output.certainty for output in outputs]),
        token_certainty=tuple(
            torch.cat(layer) for layer in zip(*(output.token_certainty for output in outputs), strict=True)
        ),
        present=torch.cat([output.present for output in outputs]),
    )
