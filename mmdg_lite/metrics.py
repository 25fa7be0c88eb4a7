"""Metrics of presentation attack detection, computed from scores.

A score is P(live), in 0..1 (any real number works, since only the order matters, except for `hter_at_half`). Label
1 is live (bona fide), 0 is spoof (attack). A sample is accepted as live when its score is >= the threshold. Every
rate is a fraction in 0..1.

HTER is reported three ways which must never be mixed: at a threshold that was fixed beforehand on the sources'
validation lists (the deployable number), at the equal-error point of the very scores that are evaluated (what
papers on domain generalisation report; it needs the target's labels), and at 0.5. Sources: ISO/IEC 30107-3 for
APCER and BPCER (ACER, their mean, is what papers print, not of the standard); curves by scikit-learn.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score, roc_curve

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Every metric of one list of scores; fractions in 0..1, NaN where a class or a species list is absent."""

    threshold: float  # the one given, or the equal-error threshold of these scores
    far: float  # spoof accepted, at `threshold`
    frr: float  # live rejected, at `threshold`
    hter: float  # (far + frr) / 2, at `threshold`
    eer_threshold: float  # equal-error threshold of these very scores
    eer: float  # where far = frr on the ROC curve, interpolated linearly between its points
    hter_at_eer: float  # (far + frr) / 2 at `eer_threshold`: what the papers call HTER
    hter_at_half: float  # (far + frr) / 2 at 0.5
    auc: float  # area under the ROC curve
    apcer: float  # ISO/IEC 30107-3: the worst species' share of accepted attacks, at `threshold`
    apcer_per_species: dict[str, float]
    bpcer: float  # live rejected, at `threshold` (the same number as frr, under its ISO name)
    acer: float  # (apcer + bpcer) / 2
    bpcer_at_apcer_1: float  # smallest bpcer at any threshold where the worst species' apcer is at most 1 %
    bpcer_at_apcer_5: float  # likewise at 5 %
    live: int  # number of live samples
    spoof: int  # number of spoof samples

    def __getitem__(self, name: str) -> Any:
        """The metric called `name`; raises KeyError, naming it, for an unknown one."""
        if name not in self.__dataclass_fields__:
            raise KeyError(f"no metric called {name!r}; there are {', '.join(self.__dataclass_fields__)}")
        return getattr(self, name)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def evaluate_scores(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    threshold: float | None = None,
    species: Sequence[str] | None = None,
) -> Metrics:
    """All metrics of a list of scores.

    `scores`: n numbers, P(live). `labels`: n integers, 1 live and 0 spoof. `threshold`: where to decide, fixed
    beforehand on other data; None takes the equal-error threshold of these very scores, which is not deployable
    since it needs their labels. `species`: n names; those of the spoof samples are grouped for APCER (one group
    called "spoof" without it). Raises ValueError on empty, unequal or non-finite input, on labels other than 0 and
    1, and on lists with only one of the two classes.
    """
    s, y = _checked(scores, labels)
    names = _species_names(species, y)
    t_eer = _equal_error(s, y)
    t = t_eer if threshold is None else float(threshold)
    if math.isnan(t):
        raise ValueError("threshold is not a number; fix it with threshold_at_eer on the validation scores")
    far, frr = _error_rates(s, y, t)
    far_eer, frr_eer = _error_rates(s, y, t_eer)
    attacks, kinds = s[y == 0], names[y == 0]  # APCER counts attacks only, whatever species live faces carry
    per_species = {name: float(np.mean(attacks[kinds == name] >= t)) for name in sorted(set(kinds))}
    apcer = max(per_species.values())
    return Metrics(
        threshold=t,
        far=far,
        frr=frr,
        hter=(far + frr) / 2,
        eer_threshold=t_eer,
        eer=_interpolated_eer(s, y),
        hter_at_eer=(far_eer + frr_eer) / 2,
        hter_at_half=sum(_error_rates(s, y, 0.5)) / 2,
        auc=float(roc_auc_score(y, s)),
        apcer=apcer,
        apcer_per_species=per_species,
        bpcer=frr,
        acer=(apcer + frr) / 2,
        bpcer_at_apcer_1=_bpcer_at_apcer(s, y, names, 0.01),
        bpcer_at_apcer_5=_bpcer_at_apcer(s, y, names, 0.05),
        live=int(np.sum(y == 1)),
        spoof=int(np.sum(y == 0)),
    )


def threshold_at_eer(scores: ArrayLike, labels: ArrayLike) -> float:
    """The threshold at which FAR and FRR of these scores are closest (of ties, where their sum is smallest, then
    the middle one).

    Candidates are the midpoints between neighbouring distinct scores and one beyond either end, so that a threshold
    carried to other data does not sit on a sample. Raises ValueError as `evaluate_scores` does.
    """
    return _equal_error(*_checked(scores, labels))


def looks_inverted(metrics: Metrics) -> bool:
    """True for an AUC below 0.5 by more than 0.1 and by more than four of its standard errors under chance.

    That error is sqrt((n + m + 1) / (12 n m)) for n live and m spoof samples (Mann and Whitney 1947). A model this far
    on the wrong side of chance has learned something from labels that mean the opposite of what is thought.
    """
    n, m = metrics.live, metrics.spoof
    return 0.5 - metrics.auc > max(0.1, 4 * math.sqrt((n + m + 1) / (12 * n * m)))


def bootstrap_interval(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    metric: str = "hter",
    threshold: float | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `metric` ("hter", "hter_at_eer", "hter_at_half" or "auc"), stratified by
    class.

    Live and spoof samples are redrawn with replacement separately, so that every resample keeps both counts. It
    covers the sampling of the test list alone; the spread over seeds is a different thing. `threshold` as in
    `evaluate_scores`; with None, "hter" is at each resample's own equal-error point. The same seed gives the same
    interval. Raises ValueError for an unknown metric, a confidence outside (0, 1), a threshold that is not finite, or
    no samples to draw.
    """
    s, y = _checked(scores, labels)
    if metric not in ("hter", "hter_at_eer", "hter_at_half", "auc"):
        raise ValueError(f"no bootstrap for metric {metric!r}: use hter, hter_at_eer, hter_at_half or auc")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, must lie between 0 and 1")
    if samples < 1:
        raise ValueError(f"an interval needs at least 1 resample, got {samples}")
    if threshold is not None and not np.isfinite(threshold):
        raise ValueError(f"the threshold is {threshold}, must be finite")
    rng = np.random.default_rng(seed)
    if metric == "hter_at_half" or (metric == "hter" and threshold is not None):
        # at a fixed threshold the number of errors in a resample is binomial, so drawing samples is not needed
        far, frr = _error_rates(s, y, 0.5 if metric == "hter_at_half" or threshold is None else threshold)
        n_spoof, n_live = int(np.sum(y == 0)), int(np.sum(y == 1))
        values = (rng.binomial(n_spoof, far, samples) / n_spoof + rng.binomial(n_live, frr, samples) / n_live) / 2
    else:
        live, spoof = s[y == 1], s[y == 0]
        measure = _auc if metric == "auc" else _hter_at_eer
        values = np.array([measure(rng.choice(live, len(live)), rng.choice(spoof, len(spoof))) for _ in range(samples)])
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def stratified_resamples(labels: ArrayLike, *, samples: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Indices of `samples` bootstrap resamples, each class redrawn by itself, so that every one keeps both counts."""
    y = np.asarray(labels)
    classes = [np.flatnonzero(y == value) for value in np.unique(y)]
    return [np.concatenate([rng.choice(members, len(members)) for members in classes]) for _ in range(samples)]


def _auc(live: Array, spoof: Array) -> float:
    """Mann-Whitney: P(live > spoof) + P(equal) / 2; a tenth of scikit-learn's time, which resampling needs."""
    ordered = np.sort(spoof)
    below, upto = np.searchsorted(ordered, live, "left"), np.searchsorted(ordered, live, "right")
    return float(np.mean(below + upto) / 2 / len(spoof))


def _hter_at_eer(live: Array, spoof: Array) -> float:
    s, y = np.concatenate([live, spoof]), np.repeat([1, 0], [len(live), len(spoof)])
    return sum(_error_rates(s, y, _equal_error(s, y))) / 2


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if s.ndim != 1 or s.shape != y.shape or len(s) == 0:
        raise ValueError(f"scores and labels must be two equally long lists; they have shapes {s.shape} and {y.shape}")
    if not np.all(np.isfinite(s)):
        raise ValueError(
            f"{int(np.sum(~np.isfinite(s)))} of {len(s)} scores are not finite: training has probably diverged"
        )
    if not np.all((y == 0) | (y == 1)):
        raise ValueError("labels must be 1 (live) or 0 (spoof)")
    if len(np.unique(y)) < 2:
        raise ValueError(f"all {len(y)} samples are {'live' if y[0] == 1 else 'spoof'}: error rates need both classes")
    return s, y.astype(np.int64)


def _species_names(species: Sequence[str] | None, labels: Array) -> Array:
    if species is None:
        return np.where(labels == 1, "live", "spoof")
    names = np.asarray([str(name) for name in species])
    if names.shape != labels.shape:
        raise ValueError(f"species has {len(names)} names for {len(labels)} samples")
    return names


def _error_rates(scores: Array, labels: Array, threshold: float) -> tuple[float, float]:
    accepted = scores >= threshold
    return float(np.mean(accepted[labels == 0])), float(np.mean(~accepted[labels == 1]))


def _equal_error(scores: Array, labels: Array) -> float:
    far, tpr, edges = roc_curve(labels, scores, drop_intermediate=False)  # edges: +inf, then distinct scores, falling
    frr = 1 - tpr
    gap = np.round(np.abs(far - frr), 12)
    best = np.flatnonzero(gap == gap.min())
    total = np.round((far + frr)[best], 12)
    best = best[total == total.min()]
    k = int(best[(len(best) - 1) // 2])
    # accepted are exactly the scores >= edges[k]; put the threshold midway to the next score below or above
    upper = edges[k] if k > 0 else np.nextafter(edges[1], np.inf)
    if k == 0 or k == len(edges) - 1:
        return float(upper)
    lower = edges[k + 1]
    middle = (upper + lower) / 2
    return float(middle if lower < middle <= upper else upper)


def _interpolated_eer(scores: Array, labels: Array) -> float:
    far, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    gap = far - (1 - tpr)  # rises from -1 to 1 along the curve
    k = int(np.argmax(gap >= 0))
    share = -gap[k - 1] / (gap[k] - gap[k - 1])
    return float(far[k - 1] + share * (far[k] - far[k - 1]))


def _bpcer_at_apcer(scores: Array, labels: Array, names: Array, limit: float) -> float:
    """Smallest BPCER with every species' APCER <= limit; thresholds just above one of the attacks' scores, or below
    all."""
    threshold = -np.inf
    for name in sorted(set(names[labels == 0])):
        attacks = np.sort(scores[(names == name) & (labels == 0)])[::-1]
        allowed = math.floor(limit * len(attacks) + 1e-9)  # how many of them may be accepted
        threshold = max(threshold, np.nextafter(attacks[allowed], np.inf))
    return float(np.mean(scores[labels == 1] < threshold))
