"""Converged logistic regression on frozen CLIP features: the baseline that every trained method has to beat."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mmdg_lite.data.dataset import FaceDataset
from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.modality import Modality
from mmdg_lite.models.clip import load_clip
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.scores import Scores
from mmdg_lite.runs.setting_data import SettingData
from mmdg_lite.training.evaluation import clip_features
from mmdg_lite.training.log import TrainingLog

STRENGTHS = tuple(10.0**power for power in range(-4, 3))
"""Inverse regularisation strengths to choose from, on the sources' validation lists."""


def fit_probe(
    config: RunConfig,
    run: RunFolder,
    data: SettingData,
    *,
    device: torch.device | None = None,
    progress: bool = True,
) -> Callable[[FaceDataset, tuple[Modality, ...]], Scores]:
    """Fit logistic regressions to convergence and keep the one with the lowest validation cross-entropy.

    Features are computed once, without augmentation; the solver runs until its tolerance, not for a number of steps.

    Args:
        config: the run's configuration.
        run: its folder, where the choice of the regularisation is logged.
        data: its data sets.
        device: where features are computed; None: what `config.device` stands for.
        progress: show progress bars.

    Returns:
        A function from a data set and the modalities taken away from it to scores.
    """
    device = device or resolve_device(config.device)
    clip = load_clip(config.model.clip, checkpoint=config.model.clip_checkpoint, device=device)

    def features(dataset: FaceDataset, missing: tuple[Modality, ...], description: str) -> NDArray[np.float64]:
        return clip_features(clip, dataset, device=device, missing=missing, description=description, progress=progress)

    def scored(probe: Pipeline, dataset: FaceDataset, x: NDArray[np.float64]) -> Scores:
        alive = probe.predict_proba(x)[:, 1].astype(np.float32)  # as other methods give it
        return Scores(
            ids=tuple(dataset.ids),
            labels=dataset.labels,
            species=tuple(dataset.species),
            scores=alive.astype(np.float64),
        )

    train, validation = features(data.train, (), "train"), features(data.validation, (), "validation")
    fitted = []
    log = TrainingLog(run.metrics)
    log.begin()
    for strength in STRENGTHS:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=10_000, tol=1e-6))
        probe.fit(train, data.train.labels)
        result = scored(probe, data.validation, validation)
        fitted.append((result.cross_entropy, strength, probe))
        line = {
            "event": "validation",
            "step": int(probe[-1].n_iter_[0]),
            "strength": strength,
            "loss": result.cross_entropy,
            "eer": evaluate_scores(result.scores, result.labels).eer,
        }
        log.add(line)
    best = min(fitted, key=lambda item: item[:2])[2]

    def score(dataset: FaceDataset, missing: tuple[Modality, ...]) -> Scores:
        return scored(best, dataset, features(dataset, missing, "test"))

    return score
