"""A model asked about every coalition of modalities at once: each sample seven times, with what is missing masked."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from einops import rearrange, repeat
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mmdg_lite.data.dataset import ArrayDataset, Samples
from mmdg_lite.studies.shapley import COALITIONS, Coalition, metric_values, presence, shapley_values
from mmdg_lite.training.evaluation import Scorer, score

CHANCE = 0.5
"""Value without any modality, of a score (the prior P(live) where half of the faces are live) and of an AUC."""


def every_coalition(samples: Samples) -> Samples:
    """Each of n samples seven times, 7 n in all, coalition by coalition in the order of `COALITIONS`.

    Raises ValueError for a sample that lacks a modality: some of its coalitions would be empty.
    """
    if not samples.present.all():
        lacking = samples.ids[int(np.flatnonzero(~samples.present.all(axis=1))[0])]
        raise ValueError(f"sample {lacking} lacks a modality; coalitions are made of samples that have all three")
    n, k = len(samples), len(COALITIONS)
    return replace(
        samples,
        rgb=repeat(samples.rgb, "n c h w -> (k n) c h w", k=k),
        depth=repeat(samples.depth, "n c h w -> (k n) c h w", k=k),
        infrared=repeat(samples.infrared, "n c h w -> (k n) c h w", k=k),
        present=repeat(presence(), "k m -> (k n) m", n=n),
        label=repeat(samples.label, "n -> (k n)", k=k),
        ids=samples.ids * k,
        species=samples.species * k,
        domains=samples.domains * k,
    )


def coalition_scores(
    scorer: Scorer, samples: Samples, *, batch_size: int = 28, progress: bool = True
) -> dict[Coalition, NDArray[np.float64]]:
    """P(live) of n samples by each coalition, n each; 28 rows are 4 samples in 7 coalitions."""
    expanded = ArrayDataset(every_coalition(samples))
    scored = score(
        scorer, expanded, source_domains=(), batch_size=batch_size, description="coalitions", progress=progress
    )
    by_coalition = rearrange(scored.scores, "(k n) -> k n", k=len(COALITIONS))
    return dict(zip(COALITIONS, by_coalition, strict=True))


def auc_values(scores: dict[Coalition, NDArray[np.float64]], labels: NDArray[np.int64]) -> dict[Coalition, float]:
    """The AUC, 0..1, that each coalition reaches on one data set with both classes."""
    return metric_values(partial(roc_auc_score, labels), scores)


def auc_shapley(scores: dict[Coalition, NDArray[np.float64]], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shapley values of the modalities for the AUC, 3; they add up to the AUC of all three, less chance."""
    return shapley_values(auc_values(scores, labels), empty=CHANCE)


def bootstrap(
    statistic: Callable[[dict[Coalition, NDArray[np.float64]], NDArray[np.int64]], NDArray[np.float64]],
    scores: dict[Coalition, NDArray[np.float64]],
    labels: NDArray[np.int64],
    *,
    rounds: int = 200,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of a statistic's 95 % percentile interval over samples, drawn anew within each class."""
    classes = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    drawn: list[Any] = []
    for _ in range(rounds):
        rows = np.concatenate([rng.choice(members, len(members)) for members in classes])
        drawn.append(statistic({coalition: values[rows] for coalition, values in scores.items()}, labels[rows]))
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    return low, high
