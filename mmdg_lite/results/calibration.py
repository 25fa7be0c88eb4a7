"""Calibration of scores: expected calibration error, and what is gained by deciding only where a model is
certain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


def expected_calibration_error(scores: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """ECE of P(live): mean over equally wide bins of |mean score - share of live samples|, weighted by the bins'
    counts.

    `scores` n numbers in 0..1, `labels` n of 1 live and 0 spoof; in 0..1, 0 is calibrated. Binary form of Guo et
    al., ICML 2017, eq. 5. Raises ValueError for unequal or empty lists and for scores outside 0..1.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if s.shape != y.shape or s.ndim != 1 or not len(s):
        raise ValueError(f"scores and labels must be two equally long lists; they have shapes {s.shape} and {y.shape}")
    if not (np.all(s >= 0) and np.all(s <= 1)):
        raise ValueError("scores must be probabilities, in 0..1")
    bin_of = np.minimum((s * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=s - y, minlength=bins)  # count x (mean score - mean label), per bin
    return float(np.abs(gaps).sum() / len(s))


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """Error rate among the most confident samples, for every share of samples that is decided on."""

    coverage: NDArray[np.float64]  # n, rising to 1
    risk: NDArray[np.float64]  # n, share of errors among the covered ones
    area: float  # mean risk over coverages (AURC)
    excess: float  # AURC above that of an ordering that puts all errors last (E-AURC)


def risk_coverage(correct: ArrayLike, confidence: ArrayLike) -> RiskCoverage:
    """The risk-coverage curve of decisions (n truth values) ordered by confidence (n numbers, high is sure).

    Samples of equal confidence are covered together: each of their coverages gets the risk that a random order
    among them has on average. Geifman and El-Yaniv, NeurIPS 2017; E-AURC: Geifman et al., ICLR 2019. Raises
    ValueError for unequal or empty lists and for confidence that is not a number.
    """
    right, sure = np.asarray(correct, dtype=bool), np.asarray(confidence, dtype=np.float64)
    if right.shape != sure.shape or right.ndim != 1 or not len(right):
        raise ValueError(
            f"correct and confidence must be equally long; they have shapes {right.shape} and {sure.shape}"
        )
    if np.any(np.isnan(sure)):
        raise ValueError("confidence holds values that are not numbers")
    order = np.argsort(-sure, kind="stable")
    wrong, sure = (~right[order]).astype(np.float64), sure[order]
    _, group, counts = np.unique(-sure, return_inverse=True, return_counts=True)
    expected = np.bincount(group, weights=wrong)[group] / counts[group]  # errors spread evenly within ties
    n = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(expected) / n
    best = np.cumsum(np.sort(wrong)) / n
    return RiskCoverage(
        coverage=n / len(wrong), risk=risk, area=float(risk.mean()), excess=float(risk.mean() - best.mean())
    )
