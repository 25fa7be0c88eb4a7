"""The small trained MMDG++ that comes with the package: made from a finished run, and loaded.

    python -m mmdg_lite train --profile full --protocol P1 --setting "CPS->W" --method mmdg++ --seed 0 --out FOLDER
    python -c "from mmdg_lite.runs.shipped import ship; ship('FOLDER')"

makes one like it: the one that is shipped was made on a GPU, where no two trainings are equal bit for bit. Its
threshold is the one that the run fixed on its sources' validation lists.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from mmdg_lite.configuration import ASSETS, read_json, write_bytes, write_json
from mmdg_lite.data.statistics import PictureStatistics
from mmdg_lite.data.synthetic import BENCHMARK_VERSION
from mmdg_lite.models.clip_weights import record_weights
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.runs.checkpoints import read_checkpoint, write_checkpoint
from mmdg_lite.runs.command import as_commanded, command_line
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.folder import RunFolder, read_run, read_threshold
from mmdg_lite.runs.kept_model import kept_model

WEIGHTS, RECORD, PICTURES = "quickstart.safetensors", "quickstart.json", "quickstart_pictures.json"
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

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be in 0..1, got {self.threshold}")


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """The shipped model with its record, and the statistics of the pictures that it was trained on."""

    model: MultimodalModel
    record: Record
    pictures: PictureStatistics
    device: torch.device

    @property
    def target(self) -> str:
        """Letter of the domain that the model never saw in training."""
        return self.record.config.domains.targets[0]

    @property
    def sources(self) -> tuple[str, ...]:
        """Letters of the domains that it was trained on."""
        return self.record.config.domains.sources


def load_shipped(*, folder: str | Path = ASSETS, device: str = "cpu") -> Shipped:
    """The shipped model in evaluation mode.

    Raises:
        FileNotFoundError: it is not there; the message says how to make it.
        CheckpointError, ConfigurationError, ValueError: its files are damaged or do not belong together.
    """
    weights, record_file, pictures = (Path(folder) / name for name in (WEIGHTS, RECORD, PICTURES))
    for path in (weights, record_file, pictures):
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: get it again from the repository, or make it with\n"
                '  python -m mmdg_lite train --profile full --setting "CPS->W" --method mmdg++ --seed 0 --out FOLDER\n'
                "  python -c \"from mmdg_lite.runs.shipped import ship; ship('FOLDER')\""
            )
    record = read_json(Record, record_file)
    where = resolve_device(device)
    model = kept_model(record.config, weights, source=record_file, device=where)
    statistics = read_json(PictureStatistics, pictures)
    return Shipped(model=model, record=record, pictures=statistics, device=where)


def ship(run: str | Path, *, folder: str | Path = ASSETS) -> tuple[Path, Path]:
    """Copy a finished run's model into the package as the one that `load_shipped` gives.

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
    if not source.pictures.is_file():
        raise ValueError(f"{source.pictures} is missing: this run is of an earlier version; train it anew")
    checkpoint = read_checkpoint(source.model)
    record = Record(
        config=as_commanded(config),  # no paths of this machine, and nothing that only its device can do
        threshold=read_threshold(source.path),
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
    write_bytes(Path(folder) / PICTURES, source.pictures.read_bytes())
    record_weights(Path(folder))
    return weights, record_file
