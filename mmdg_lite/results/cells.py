"""Rows of runs gathered into the cells of tables: which rows a protocol is about, mean and deviation over seeds."""

from collections.abc import Iterable

import pandas as pd

from mmdg_lite.data.protocols import OWN
from mmdg_lite.results.collect import KEYS
from mmdg_lite.runs.methods import METHODS
from mmdg_lite.runs.scores import AT_RANDOM

# what each protocol's table shows: protocols whose runs it reads, whether of tests with missing modalities, its columns
PROTOCOLS = ("P1", "P2", "P3", "P4", "P5", OWN)
METRICS = {
    "hter": "HTER at the threshold fixed on the sources' validation lists",
    "hter_at_eer": "HTER at the target's own equal-error point (what papers report; not deployable)",
    "auc": "AUC",
}
POINTS = {"hter": "HTER at the validation threshold", "hter_at_eer": "HTER at the equal-error point", "auc": "AUC"}
MISSING = {"depth": "missing D", "infrared": "missing I", "depth_infrared": "missing D&I"}
GROUP = ["profile", "data", "method"]
AVERAGE = "Average"


def display_name(method: str) -> str:
    """A method's name as tables print it; unknown names print as they are."""
    return METHODS[method].title if method in METHODS else method


def in_order(methods: Iterable[str]) -> list[str]:
    """The distinct methods, known ones in the order of `METHODS` and others behind them by name."""
    there = set(methods)
    return [name for name in METHODS if name in there] + sorted(there - set(METHODS))


def select(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The rows of `collect` that a protocol's table is about, with a `column` that names where each number stands.

    P2 reads P1's runs tested with missing modalities. Tests with modalities missing at random are in no table but
    that of `at_random`. Raises ValueError for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    frame = frame[~frame["missing"].str.endswith(AT_RANDOM)]
    if protocol == "P2":
        rows = frame[frame["protocol"].isin(["P1", "P2"]) & (frame["missing"] != "")].sort_values("protocol")
        rows = rows.drop_duplicates([key for key in KEYS if key != "protocol"])  # one training serves both protocols
        return rows.assign(column=rows["missing"].map(lambda m: MISSING.get(m, f"missing {m}")))
    rows = frame[frame["protocol"] == protocol]
    if protocol == "P5":
        return rows.assign(column=rows["missing"].map(lambda m: MISSING.get(m, f"missing {m}") if m else "all present"))
    rows = rows[rows["missing"] == ""]
    if protocol == "P4":
        return rows.assign(column=rows["setting"].str.split(" without ").str[-1])  # the species that training lacked
    return rows.assign(column=rows["setting"])


def at_random(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `collect` of tests with modalities missing at random, as if they were missing from every sample."""
    rows = frame[frame["missing"].str.endswith(AT_RANDOM)]
    return rows.assign(missing=rows["missing"].str.removesuffix(AT_RANDOM))


def aggregate(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds, tidy: GROUP, column, metric, mean, sd, seeds, low, high (fractions).

    Within a seed, targets are averaged first. Only complete seeds count: one that lacks a target that other runs of
    the same profile have would shift the mean. `low` and `high` average the runs' own bootstrap intervals of hter,
    which is wider than the interval of the average. `sd` is NaN for a single seed.
    """
    rows = select(frame, protocol)
    values = [*METRICS, "hter_low", "hter_high"]
    where = [*GROUP, "column", "seed"]
    per_seed = rows.groupby(where, as_index=False)[values].mean()
    per_seed["tests"] = rows.groupby(where).size().to_numpy()
    complete = per_seed.groupby(["profile", "data", "column"])["tests"].transform("max")
    per_seed = per_seed[per_seed["tests"] == complete]
    columns = per_seed.groupby(["profile", "data"])["column"].transform("nunique")
    mine = per_seed.groupby([*GROUP, "seed"])["column"].transform("nunique")
    whole = per_seed[mine == columns]
    average = whole.groupby([*GROUP, "seed"], as_index=False)[values].mean().assign(column=AVERAGE)
    both = pd.concat([per_seed, average], ignore_index=True)
    tidy = []
    for metric in METRICS:
        cells = both.groupby([*GROUP, "column"])[metric].agg(["mean", "std", "count"]).reset_index()
        cells = cells.rename(columns={"std": "sd", "count": "seeds"}).assign(metric=metric)
        if metric == "hter":
            bounds = both.groupby([*GROUP, "column"])[["hter_low", "hter_high"]].mean().reset_index()
            cells["low"], cells["high"] = bounds["hter_low"], bounds["hter_high"]
        tidy.append(cells)
    return pd.concat(tidy, ignore_index=True)


PROTOCOL_NAMES = {"P1": "P1: all present", "P2": "P2: modalities missing", "P3": "P3: two sources"}
