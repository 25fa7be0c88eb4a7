"""What each component of MMDG++ is worth over all combinations of the others: the 2 x 2 x 2 design taken as a whole.

Eight methods have uncertainty, ReGrad and ADPs in every combination, over the same adapters. Beside "MMDG++ without X"
minus MMDG++ this uses every run: X's effect is a mean over the four combinations of the other two, and is the less
uncertain for it. An interaction says whether two components help each other or get in each other's way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from mmdg_lite.results.cells import METRICS, select
from mmdg_lite.results.components import COMPONENTS, components_of
from mmdg_lite.results.paired_test import PAIR, Comparison, compare
from mmdg_lite.results.table_text import interval
from mmdg_lite.runs.methods import METHODS

WITH, WITHOUT = "with", "without"
PROTOCOLS = ("P1", "P2", "P3")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one component is worth, or how two of them interact, on one protocol by one metric."""

    protocol: str
    metric: str
    name: str  # "U", or "U and ReGrad" for an interaction
    comparison: Comparison  # of the four methods with the component and the four without, see `effect`


def all_effects(frame: pd.DataFrame) -> list[Effect]:
    """`effects_on` P1, P2 and P3, by the three metrics of the tables.

    `frame`: rows of `results.collect`, of one profile and kind of data.
    """
    return [
        found
        for protocol in PROTOCOLS
        for found in effects_on(select(frame, protocol).assign(protocol=protocol), metrics=METRICS)
    ]


def effects_on(rows: pd.DataFrame, *, metrics: Iterable[str]) -> list[Effect]:
    """Components and interactions by each metric; none where no setting and seed has runs of all eight methods.

    `rows`: of one profile, kind of data and protocol, with a column per metric.
    """
    rows = whole(rows)
    return [
        Effect(
            protocol=str(rows["protocol"].iloc[0]),
            metric=metric,
            name=" and ".join(involved),
            comparison=effect(rows, involved, metric=metric),
        )
        for metric in (metrics if len(rows) else ())
        for involved in [*combinations(COMPONENTS, 1), *combinations(COMPONENTS, 2)]
    ]


def as_text(effects: Iterable[Effect]) -> pd.DataFrame:
    """A row per effect.

    Columns: protocol, metric, effect, difference (percentage points), its 95 % interval (targets resampled), p
    (two-sided sign-flip test), decided ("x" where both agree that there is one), and pairs. The tests are not corrected
    for their number.
    """
    return pd.DataFrame(
        [
            {
                "protocol": e.protocol,
                "metric": e.metric,
                "effect": e.name,
                "difference": f"{100 * e.comparison.difference:+.2f}",
                "95 % interval over targets": interval(e.comparison.low, e.comparison.high),
                "p": f"{e.comparison.p_value:.4f}",
                "decided": "x" if e.comparison.decided else "",
                "pairs": str(e.comparison.pairs),
            }
            for e in effects
        ]
    )


def whole(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the eight methods, of those settings, targets and seeds that all eight have.

    Where a method of the user's own has the same components as one of the package's, it is no part of the design.
    """
    parts = {name: components_of(method) for name, method in METHODS.items() if method.adapters != "none"}
    design = {has: name for name, has in reversed(parts.items()) if has is not None}  # the first of each combination
    rows = rows[rows["method"].isin(design.values())]
    return rows[rows.groupby(PAIR)["method"].transform("nunique") == len(design)]


def effect(rows: pd.DataFrame, involved: tuple[str, ...], *, metric: str = "hter") -> Comparison:
    """The mean of four methods minus that of the other four, in every pair of a target and a seed.

    For one component: those that have it and those that have not. For two, their interaction: those that have both or
    neither, and those that have one; that is half of what the first's effect gains when the second is there too.

    Args:
        rows: from `whole`, of one protocol.
        involved: one or two of `ablations.COMPONENTS`.
        metric: a column of `rows`.
    """
    sides = {name: WITH if _positive(name, involved) else WITHOUT for name in set(rows["method"])}
    halves = rows.assign(method=rows["method"].map(sides))
    means = halves.groupby(["profile", "data", "protocol", *PAIR, "method"], as_index=False)[[metric]].mean()
    return compare(means, WITH, WITHOUT, metric=metric)


def _positive(method: str, involved: tuple[str, ...]) -> bool:
    """Whether a method counts as "with": an odd number of absent components counts as without."""
    has = dict(zip(COMPONENTS, components_of(METHODS[method]) or (), strict=True))
    return sum(not has[name] for name in involved) % 2 == 0
