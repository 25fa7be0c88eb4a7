"""Paired comparison of two methods over the same seeds and targets."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from mmdg_lite.results.cells import display_name, in_order, select
from mmdg_lite.results.table_text import interval

SIGNIFICANT = 0.05
PAIR = ["setting", "target", "missing", "seed"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How `method` differs from `reference`: negative differences of an error rate favour the method."""

    method: str
    reference: str
    metric: str
    pairs: int  # (setting, target, missing, seed) that both methods have
    difference: float  # mean of method - reference, a fraction
    low: float  # 95 % bootstrap interval of the mean difference, targets resampled as a whole; NaN for one target
    high: float
    p_value: float  # two-sided sign-flip test on the pairs

    @property
    def decided(self) -> bool:
        """True where interval and test agree that there is a difference."""
        return (self.low > 0 or self.high < 0) and self.p_value < SIGNIFICANT


def pairs_in_common(frame: pd.DataFrame, method: str, reference: str) -> int:
    """How many (setting, target, missing, seed) both methods have in rows of `results.collect` of one protocol."""
    first, second = (frame.loc[frame["method"] == name, PAIR] for name in (method, reference))
    return len(first.merge(second, on=PAIR))


def compare(
    frame: pd.DataFrame,
    method: str,
    reference: str = "fusion",
    *,
    metric: str = "hter",
    samples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two methods on the rows of `results.collect` (of one profile and protocol) that both have.

    The sign-flip test treats (target, seed) pairs as exchangeable; with few targets that is optimistic about new
    targets, hence the interval, which resamples targets, not pairs. Raises ValueError when `frame` mixes profiles,
    kinds of data or protocols, or when no pair exists. One pair decides nothing: its p value is 1.
    """
    for column in ("profile", "data", "protocol"):
        if frame[column].nunique() > 1:
            raise ValueError(f"compare one {column} at a time; the frame holds {sorted(set(frame[column]))}")
    wide = frame[frame["method"].isin([method, reference])].pivot(index=PAIR, columns="method", values=metric)
    if not {method, reference} <= set(wide.columns) or len(wide := wide.dropna()) < 1:
        raise ValueError(f"{method} and {reference} have no run in common")
    difference = (wide[method] - wide[reference]).to_numpy()
    rng = np.random.default_rng(seed)
    p_value = 1.0
    if len(difference) > 1:
        resamples = 2 ** min(len(difference), 14)
        test = permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=resamples, rng=rng)
        p_value = float(test.pvalue)
    target = wide.index.get_level_values("target").to_numpy()
    groups = [difference[target == name] for name in sorted(set(target))]
    low = high = float("nan")
    if len(groups) > 1:
        drawn = rng.integers(len(groups), size=(samples, len(groups)))
        means = [np.mean(np.concatenate([groups[i] for i in row])) for row in drawn]
        low, high = (float(bound) for bound in np.quantile(means, [0.025, 0.975]))
    return Comparison(
        method=method,
        reference=reference,
        metric=metric,
        pairs=len(difference),
        difference=float(np.mean(difference)),
        low=low,
        high=high,
        p_value=p_value,
    )


REFERENCE = "fusion"


def paired(frame: pd.DataFrame, protocol: str, *, metric: str = "hter", reference: str = REFERENCE) -> pd.DataFrame:
    """A row per method that has a run in common with the reference, as text.

    `frame`: rows of `results.collect`, of one profile and kind of data. Columns: method, difference (percentage
    points, negative is a lower error), its 95 % interval (targets resampled; empty for one target), p (two-sided
    sign-flip test over pairs) and pairs. Tests are not corrected for their number.
    """
    rows = select(frame, protocol).assign(protocol=protocol)
    table = []
    for method in in_order(rows["method"]):
        if method == reference or not pairs_in_common(rows, method, reference):
            continue
        c = compare(rows, method, reference, metric=metric)
        table.append(
            {
                "method": display_name(method),
                "difference": f"{100 * c.difference:+.2f}",
                "95 % interval over targets": interval(c.low, c.high),
                "p": f"{c.p_value:.4f}",
                "pairs": str(c.pairs),
            }
        )
    return pd.DataFrame(table)
