"""Exact Shapley values of the three modalities: what each adds to a value that any subset of them can reach.

A *coalition* is a set of modalities that are present; its *value* may be a score, an AUC, or an array of such numbers.
With three players there are eight coalitions, so nothing has to be estimated. Source: Shapley, A value for n-person
games, 1953.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from math import factorial

import numpy as np
from einops import rearrange, repeat
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from mmdg_lite.data.dataset import ArrayDataset, Samples
from mmdg_lite.metrics import stratified_resamples
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.training.evaluation import Scorer, score

Coalition = frozenset[Modality]
EMPTY: Coalition = frozenset()
COALITIONS: tuple[Coalition, ...] = tuple(
    frozenset(members) for size in (1, 2, 3) for members in combinations(MODALITIES, size)
)
"""The seven coalitions that a model can be asked about: the single modalities, the pairs, all three."""


def presence(coalitions: Sequence[Coalition] = COALITIONS) -> NDArray[np.bool_]:
    """Which modalities belong to each of k coalitions, k x 3, in the usual order of modalities."""
    return np.array([[modality in coalition for modality in MODALITIES] for coalition in coalitions])


def weight(size: int) -> float:
    """Share of the 3! orders of arrival in which exactly `size` given modalities, 0 to 2, came before a modality."""
    players = len(MODALITIES)
    return factorial(size) * factorial(players - size - 1) / factorial(players)


def shapley_values(values: Mapping[Coalition, ArrayLike], *, empty: ArrayLike) -> NDArray[np.float64]:
    """Shapley values, 3 x ..., in the order RGB, depth, infrared.

    phi_m = sum over coalitions S without m of |S|! (2 - |S|)! / 3! (v(S with m) - v(S)). They add up to
    v(all) - v(none).

    Args:
        values: value of each of `COALITIONS`, numbers or arrays of one shape.
        empty: value without any modality, which no model can tell: what is known beforehand, such as a score of 0.5.

    Raises:
        ValueError: a coalition has no value, or one that is not finite; the message names it.
    """
    known = {EMPTY: np.asarray(empty, dtype=np.float64)}
    for coalition in COALITIONS:
        if coalition not in values:
            raise ValueError(f"no value is given for {name(coalition)}; all seven coalitions are needed")
        known[coalition] = np.asarray(values[coalition], dtype=np.float64)
    for coalition, value in known.items():
        if not np.isfinite(value).all():
            raise ValueError(f"the value of {name(coalition)} is not finite")
    return np.stack(
        [
            sum(
                weight(len(before)) * (known[before | {modality}] - known[before])
                for before in known
                if modality not in before
            )
            for modality in MODALITIES
        ]
    )


def restricted(values: Mapping[Coalition, ArrayLike], present: Iterable[Modality], *, empty: ArrayLike) -> dict:
    """The values when only some modalities are there: a coalition is worth what its present members are.

    The missing modalities become null players: their Shapley values are 0.
    """
    there = frozenset(present)
    return {coalition: values[coalition & there] if coalition & there else empty for coalition in COALITIONS}


def metric_values(
    metric: Callable[[NDArray[np.float64]], float], scores: Mapping[Coalition, NDArray[np.float64]]
) -> dict[Coalition, float]:
    """A metric of each coalition's scores of one data set, such as its AUC."""
    return {coalition: float(metric(scores[coalition])) for coalition in COALITIONS}


def name(coalition: Iterable[Modality]) -> str:
    """Words for a coalition: "RGB + depth"; "nothing" for the empty one."""
    members = frozenset(coalition)
    words = {Modality.RGB: "RGB", Modality.DEPTH: "depth", Modality.INFRARED: "infrared"}
    return " + ".join(words[modality] for modality in MODALITIES if modality in members) or "nothing"


CHANCE = 0.5
"""Value without any modality, of a score (the prior P(live) where half of the faces are live) and of an AUC."""


def every_coalition(samples: Samples, coalitions: Sequence[Coalition] = COALITIONS) -> Samples:
    """Each of n samples once per coalition, k n in all, coalition by coalition.

    Raises ValueError for a sample that lacks a modality: some of its coalitions would be empty.
    """
    if not samples.present.all():
        lacking = samples.ids[int(np.flatnonzero(~samples.present.all(axis=1))[0])]
        raise ValueError(f"sample {lacking} lacks a modality; coalitions are made of samples that have all three")
    n, k = len(samples), len(coalitions)
    return replace(
        samples,
        rgb=repeat(samples.rgb, "n c h w -> (k n) c h w", k=k),
        depth=repeat(samples.depth, "n c h w -> (k n) c h w", k=k),
        infrared=repeat(samples.infrared, "n c h w -> (k n) c h w", k=k),
        present=repeat(presence(coalitions), "k m -> (k n) m", n=n),
        label=repeat(samples.label, "n -> (k n)", k=k),
        ids=samples.ids * k,
        species=samples.species * k,
        domains=samples.domains * k,
    )


def coalition_scores(
    scorer: Scorer,
    samples: Samples,
    *,
    coalitions: Sequence[Coalition] = COALITIONS,
    progress: bool = True,
) -> dict[Coalition, NDArray[np.float64]]:
    """P(live) of n samples by each coalition, n each."""
    expanded = ArrayDataset(every_coalition(samples, coalitions))
    scored = score(scorer, expanded, source_domains=(), description="coalitions", progress=progress)
    by_coalition = rearrange(scored.scores, "(k n) -> k n", k=len(coalitions))
    return dict(zip(coalitions, by_coalition, strict=True))


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
    drawn = [
        statistic({coalition: values[rows] for coalition, values in scores.items()}, labels[rows])
        for rows in stratified_resamples(labels, samples=rounds, rng=rng)
    ]
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    return low, high
