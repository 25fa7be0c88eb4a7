"""A trained model with everything that a decision needs: its threshold, and what its training pictures looked like."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mmdg_lite.configuration import read_json
from mmdg_lite.data.statistics import PictureStatistics
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.folder import RunFolder, read_threshold
from mmdg_lite.runs.kept_model import kept_model
from mmdg_lite.runs.shipped import load_shipped

SYNTHETIC = (
    "this model was trained on rendered faces alone and never saw a real one: what it says about a photograph shows "
    "that the command works, not whether the face is live"
)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A model in evaluation mode that decides live or spoof."""

    model: MultimodalModel
    config: RunConfig
    name: str  # where the model comes from
    threshold: float
    threshold_source: str
    statistics: PictureStatistics | None  # of its training pictures, None if none were recorded
    device: torch.device

    @property
    def size(self) -> int:
        """Height and width of its input, pixels."""
        return self.config.data.size

    @property
    def caution(self) -> str | None:
        """What everyone who reads its decisions must know."""
        return SYNTHETIC if self.config.data.root is None else None


def open_judge(
    model: "str | Path | Judge | None" = None, *, threshold: float | None = None, device: str = "cpu"
) -> Judge:
    """The shipped model, or that of a run.

    Args:
        model: None for the shipped model; the folder of a run; or its `model.safetensors`, beside which the run's
            `config.json` lies. Plugins that the run needs have to be loaded (`load_plugin`); the run itself loads none.
        threshold: decide at this score rather than at the run's own threshold.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        FileNotFoundError: there is no such folder or file, or the run kept no model.
        CheckpointError, ConfigurationError, ValueError: its files are damaged or do not belong together, the run has no
            threshold and none is given, or the one given is no number of 0..1, which scores are.
    """
    if threshold is not None and not 0 <= threshold <= 1:  # true for NaN
        raise ValueError(f"a threshold must lie between 0 and 1, as scores do, got {threshold:g}")
    if isinstance(model, Judge):
        return model if threshold is None else _at(model, threshold)
    if model is None:
        shipped = load_shipped(device=device)
        judge = Judge(
            model=shipped.model,
            config=shipped.record.config,
            name="the shipped model",
            threshold=shipped.record.threshold,
            threshold_source=_fixed_on(shipped.record.config),
            statistics=shipped.pictures,
            device=shipped.device,
        )
        return judge if threshold is None else _at(judge, threshold)
    return _of_run(Path(model), threshold, device)


def _of_run(place: Path, threshold: float | None, device: str) -> Judge:
    folder, weights = (
        (RunFolder(place.parent), place) if place.is_file() else (RunFolder(place), RunFolder(place).model)
    )
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such run folder or checkpoint")
    if place.is_file() and place.suffix != folder.model.suffix:
        raise ValueError(f"{place}: give the folder of a run, or the {folder.model.name} inside of it")
    if not folder.config.is_file():
        raise FileNotFoundError(
            f"{folder.path} has no config.json: give the folder of a run, or a model.safetensors inside of it"
        )
    if not weights.is_file():
        raise FileNotFoundError(
            f"{folder.path} has no model.safetensors: it is unfinished (`train --out {folder.path}` goes on), or its "
            "method keeps no model (the linear probe)"
        )
    config = folder.read_config()
    if threshold is None and not folder.finished:
        raise ValueError(f"{folder.path} is unfinished, so no threshold is fixed yet: finish it, or give a threshold")
    fixed = read_threshold(folder.path) if folder.finished else 0.0
    where = resolve_device(device)
    judge = Judge(
        model=kept_model(config, weights, source=folder.config, device=where),
        config=config,
        name=str(place),
        threshold=fixed,
        threshold_source=_fixed_on(config),
        statistics=read_json(PictureStatistics, folder.pictures) if folder.pictures.is_file() else None,
        device=where,
    )
    return judge if threshold is None else _at(judge, threshold)


def _at(judge: Judge, threshold: float) -> Judge:
    return replace(judge, threshold=float(threshold), threshold_source="given by the caller")


def _fixed_on(config: RunConfig) -> str:
    prefix = "synthetic " if config.data.root is None else ""
    return f"fixed at the equal error rate of the validation lists of {prefix}{' + '.join(config.domains.sources)}"
