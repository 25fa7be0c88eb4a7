"""The small trained MMDG++ that comes with the package: made from a finished run, loaded, asked about faces.

    python -m mmdg_lite train --profile full --protocol P1 --setting "CPS->W" --method mmdg++ --seed 0 --out FOLDER
    python -c "from mmdg_lite.studies.quickstart import ship; ship('FOLDER')"

makes one like it: the one that is shipped was made on a GPU, where no two trainings are equal bit for bit. Its
threshold is the one that the run fixed on its sources' validation lists.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmdg_lite.configuration import ASSETS, read_json, write_json
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.synthetic import BENCHMARK_VERSION, Faces
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.builder import build
from mmdg_lite.models.clip_weights import record_weights
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.outputs import Output
from mmdg_lite.plots.faces import certainty_maps
from mmdg_lite.runs.checkpoints import read_checkpoint, write_checkpoint
from mmdg_lite.runs.command import as_commanded, command_line
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.folder import RunFolder, read_run
from mmdg_lite.runs.scores import Scores
from mmdg_lite.training.evaluation import TEST_MISSING, batches, to_device

WEIGHTS, RECORD = "quickstart.safetensors", "quickstart.json"
LARGEST = 2_000_000  # bytes; a package should not carry more


@dataclass(frozen=True, kw_only=True)
class Record:
    """Where the shipped weights come from."""

    config: RunConfig  # of the run that made them
    threshold: float  # fixed on the run's validation lists
    kept_step: int  # step of the parameters that validated best
    steps: int  # steps that the run made
    test_hter: dict[str, float]  # of the run's own tests, fractions
    benchmark_version: str  # of the synthetic domains that it was trained on
    commit: str | None  # of the code that made it
    command: str  # that makes the run again


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

    def certainty_range(self) -> tuple[float, float]:
        """Lowest and highest certainty of any patch in its map; at least 0.01 apart, so that rounding draws no map."""
        patches = self.output.token_certainty[-1].mean(dim=2)[..., 1:]
        low, high = float(patches.min()), float(patches.max())
        margin = max(0.0, 0.01 - (high - low)) / 2
        return low - margin, high + margin

    def certainty_by_class(self) -> pd.DataFrame:
        """Mean certainty of the patches in the last block: a row per kind of face, a column per receiving modality."""
        patches = self.output.token_certainty[-1][..., 1:]  # n x 3 receivers x 2 senders x P
        means = patches.mean(dim=(2, 3)).cpu().double().numpy()  # n x 3
        frame = pd.DataFrame(means, columns=[modality.title for modality in MODALITIES])
        kinds = [name.replace("_", " ") for name in self.faces.species]
        table = frame.groupby(pd.Series(kinds, name="face")).mean()
        return table.loc[sorted(table.index, key=lambda name: (name != "live", name))]

    def picture(self, index: int, *, limits: tuple[float, float] = (0, 1)) -> Figure:
        """The three images of one face above its certainty maps."""
        images = [self.faces[modality.value][index] for modality in MODALITIES]
        figure = certainty_maps(images, self.certainty(index), limits=limits)
        decision = "live" if self.scores[index] >= self.threshold else "spoof"
        what = self.faces.species[index].replace("_", " ")
        figure.suptitle(f"{what}: score {self.scores[index]:.2f}, decided {decision}", x=0.02, ha="left")
        return figure


@dataclass(frozen=True, kw_only=True)
class Quickstart:
    """The shipped model with its record."""

    model: MultimodalModel
    record: Record
    device: torch.device

    @property
    def target(self) -> str:
        """Letter of the domain that the model never saw in training."""
        return self.record.config.domains.targets[0]

    @property
    def sources(self) -> tuple[str, ...]:
        """Letters of the domains that it was trained on."""
        return self.record.config.domains.sources

    def answer(self, faces: Faces, *, missing: Sequence[Modality] = ()) -> Answer:
        """Classify faces, at least one, with some modalities taken away."""
        dataset = ArrayDataset.from_faces(faces, domain=self.target, split="test")
        outputs = []
        with torch.inference_mode():
            for batch in batches(
                dataset, source_domains=self.sources, batch_size=64, missing=missing, description="answering"
            ):
                outputs.append(self.model(to_device(batch, self.device)))
        return Answer(faces=faces, output=_joined(outputs), threshold=self.record.threshold)

    def scores_without(self, faces: Faces) -> pd.DataFrame:
        """Scores of a handful of faces, a row each, with everything present and with modalities taken away."""
        columns: dict[str, Any] = {"face": [name.replace("_", " ") for name in faces.species]}
        for missing in TEST_MISSING:
            columns[missing_name(missing)] = self.answer(faces, missing=missing).scores.round(3)
        return pd.DataFrame(columns)

    def errors_without(self, complete: Answer) -> pd.DataFrame:
        """Error rates in percent, of an answer with everything present and of its faces with modalities taken away.

        Columns: modalities, then FAR, FRR and HTER at the shipped threshold, and AUC.
        """
        rows = []
        for missing in TEST_MISSING:
            answer = self.answer(complete.faces, missing=missing) if missing else complete
            metrics = answer.as_scores().metrics(threshold=self.record.threshold)
            rates = {"FAR": metrics.far, "FRR": metrics.frr, "HTER": metrics.hter, "AUC": metrics.auc}
            rows.append({"modalities": missing_name(missing)} | {k: round(100 * rate, 1) for k, rate in rates.items()})
        return pd.DataFrame(rows)


def missing_name(missing: Sequence[Modality]) -> str:
    """Words for a set of missing modalities: "all three", "without depth"."""
    return "without " + " and ".join(m.title for m in missing) if missing else "all three"


def load(*, folder: str | Path = ASSETS, device: str = "cpu") -> Quickstart:
    """The shipped model in evaluation mode.

    Raises:
        FileNotFoundError: it is not there; the message says how to make it.
        CheckpointError, ConfigurationError, ValueError: its files are damaged or do not belong together.
    """
    weights, record_file = Path(folder) / WEIGHTS, Path(folder) / RECORD
    for path in (weights, record_file):
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: get it again from the repository, or make it with\n"
                '  python -m mmdg_lite train --profile full --setting "CPS->W" --method mmdg++ --seed 0 --out FOLDER\n'
                "  python -c \"from mmdg_lite.studies.quickstart import ship; ship('FOLDER')\""
            )
    record = read_json(Record, record_file)
    where = resolve_device(device)
    model = build(record.config.model)
    model.load_trainable_state_dict(read_checkpoint(weights).tensors)
    return Quickstart(model=model.to(where).eval(), record=record, device=where)


def ship(run: str | Path, *, folder: str | Path = ASSETS) -> tuple[Path, Path]:
    """Copy a finished run's model into the package as the one that `load` gives.

    Args:
        run: folder of a finished run with U-Adapters++, on the synthetic domains.
        folder: where to; the package's assets, whose list of checksums is renewed.

    Returns:
        The weights' file and the record's.

    Raises:
        ValueError: the run is unfinished, of another kind of model or data, or its model is too large.
    """
    source = RunFolder(run)
    if not source.finished or not source.model.is_file():
        raise ValueError(f"{source.path} holds no finished run with a model; train it to the end first")
    _, result = read_run(source.path)
    config = source.read_config()
    if (
        (config.model.architecture, config.model.clip, config.model.adapters) != ("mmdg++", "tiny", "uncertainty")
        or config.data.root
        or config.model.clip_checkpoint not in (None, "random")
    ):
        raise ValueError(f"{source.path}: only an MMDG++ on the tiny CLIP and the synthetic domains can be shipped")
    checkpoint = read_checkpoint(source.model)
    record = Record(
        config=as_commanded(config),  # no paths of this machine, and nothing that only its device can do
        threshold=result["threshold"],
        kept_step=checkpoint.values["step"],
        steps=result["steps"],
        test_hter={name: metrics["hter"] for name, metrics in result["metrics"].items() if name != "validation"},
        benchmark_version=BENCHMARK_VERSION,
        commit=json.loads(source.environment.read_text(encoding="utf-8"))["commit"],
        command=command_line(config),
    )
    size = source.model.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{source.model} has {size:,} bytes, more than the {LARGEST:,} that the package may carry")
    weights, record_file = Path(folder) / WEIGHTS, Path(folder) / RECORD
    write_checkpoint(weights, checkpoint.tensors, checkpoint.values)
    write_json(record_file, record)
    record_weights(Path(folder))
    return weights, record_file


def _joined(outputs: Sequence[Output]) -> Output:
    """Outputs of several batches as that of one."""
    return Output(
        logits=torch.cat([output.logits for output in outputs]),
        modality_logits=torch.cat([output.modality_logits for output in outputs]),
        features=torch.cat([output.features for output in outputs]),
        certainty=torch.cat([output.certainty for output in outputs]),
        token_certainty=tuple(
            torch.cat(layer) for layer in zip(*(output.token_certainty for output in outputs), strict=True)
        ),
        present=torch.cat([output.present for output in outputs]),
    )
