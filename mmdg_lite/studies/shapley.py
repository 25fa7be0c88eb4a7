"""Exact Shapley values of the three modalities: what each adds to a value that any subset of them can reach.

A *coalition* is a set of modalities that are present; its *value* may be a score, an AUC, or an array of such numbers.
With three players there are eight coalitions, so nothing has to be estimated. Source: Shapley, A value for n-person
games, 1953.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmdg_lite.modality import MODALITIES, Modality

Coalition = frozenset[Modality]
EMPTY: Coalition = frozenset()
COALITIONS: tuple[Coalition, ...] = tuple(
    frozenset(members) for size in (1, 2, 3) for members in combinations(MODALITIES, size)
)
"""The seven coalitions that a model can be asked about: the single modalities, the pairs, all three."""


def presence() -> NDArray[np.bool_]:
    """Which modalities belong to each of `COALITIONS`, 7 x 3, in the usual order of modalities."""
    return np.array([[modality in coalition for modality in MODALITIES] for coalition in COALITIONS])


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
