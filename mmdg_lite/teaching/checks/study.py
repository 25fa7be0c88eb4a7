"""Checks of assignment 5: intervals over seeds, and the structure of the study's result table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from mmdg_lite.teaching.checks.task import CheckFailed, Inputs, Task

Array = NDArray[np.float64]
COLUMNS = ("method", "condition", "seed", "threshold", "hter")


def _seeds(rng: np.random.Generator) -> Inputs:
    return {"values": rng.normal(0.2, 0.05, int(rng.integers(3, 9))), "confidence": float(rng.choice([0.9, 0.95]))}


def mean_with_interval(values: Array, confidence: float) -> tuple[float, float, float]:
    """Mean of n seeds with the interval of Student's t with n - 1 degrees of freedom: (mean, low, high)."""
    low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return float(np.mean(values)), float(low), float(high)


def _interval(mean: float | np.floating[Any], half: float | np.floating[Any]) -> tuple[float, float, float]:
    return float(mean), float(mean - half), float(mean + half)


def _t(confidence: float, degrees: int) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, degrees))


check_mean_with_interval = Task(
    name="mean_with_interval",
    reference=mean_with_interval,
    draw=_seeds,
    mistakes={
        "this is the normal distribution's interval; with few seeds use Student's t with n - 1 degrees of freedom": (
            lambda values, confidence: _interval(
                np.mean(values), stats.norm.ppf((1 + confidence) / 2) * stats.sem(values)
            )
        ),
        "the interval of the mean takes the standard error, sd / sqrt(n), not the standard deviation": (
            lambda values, confidence: _interval(
                np.mean(values), _t(confidence, len(values) - 1) * np.std(values, ddof=1)
            )
        ),
        "your standard deviation divides by n; of a sample, divide by n - 1 (ddof=1)": (
            lambda values, confidence: _interval(
                np.mean(values), _t(confidence, len(values) - 1) * stats.sem(values, ddof=0)
            )
        ),
        "n - 1 degrees of freedom, not n": (
            lambda values, confidence: _interval(np.mean(values), _t(confidence, len(values)) * stats.sem(values))
        ),
        "confidence is two-sided: half of the rest lies on either side": (
            lambda values, confidence: _interval(
                np.mean(values), stats.t.ppf(confidence, len(values) - 1) * stats.sem(values)
            )
        ),
        "1.96 is the normal distribution's, for 95 %; take Student's t, with the confidence that is asked for": (
            lambda values, confidence: _interval(np.mean(values), 1.96 * stats.sem(values))
        ),
        "the confidence has no effect: your interval is always that of 95 %": (
            lambda values, confidence: mean_with_interval(values, 0.95)
        ),
        "this is plus or minus one standard error; it has to be multiplied by Student's t": (
            lambda values, confidence: _interval(np.mean(values), stats.sem(values))
        ),
        "these are quantiles of the seeds: they say how seeds spread, not how well their mean is known": (
            lambda values, confidence: (
                float(np.mean(values)),
                *np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist(),
            )
        ),
        "the order is mean, lower bound, upper bound": (
            lambda values, confidence: (
                (found := mean_with_interval(values, confidence))[1],
                found[0],
                found[2],
            )
        ),
    },
)


def _pairs(rng: np.random.Generator) -> Inputs:
    seed_effect = rng.normal(0.2, 0.05, int(rng.integers(3, 9)))
    first, second = (seed_effect + rng.normal(0, 0.01, len(seed_effect)) for _ in range(2))
    return {"first": first, "second": second, "confidence": float(rng.choice([0.9, 0.95]))}


def paired_difference(first: Array, second: Array, confidence: float) -> tuple[float, float, float]:
    """first - second, seed by seed: mean and Student's interval of the differences."""
    return mean_with_interval(first - second, confidence)


def _unpaired(first: Array, second: Array, confidence: float) -> tuple[float, float, float]:
    error = np.hypot(stats.sem(first), stats.sem(second))
    return _interval(np.mean(first) - np.mean(second), _t(confidence, 2 * len(first) - 2) * error)


def _bounds_apart(first: Array, second: Array, confidence: float) -> tuple[float, float, float]:
    a, b = mean_with_interval(first, confidence), mean_with_interval(second, confidence)
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


check_paired_difference = Task(
    name="paired_difference",
    reference=paired_difference,
    draw=_pairs,
    mistakes={
        "the sign is turned round: first - second is asked for": (
            lambda first, second, confidence: paired_difference(second, first, confidence)
        ),
        "you treat the two methods as independent; both ran on the same seeds: take differences first": _unpaired,
        "the difference of two bounds is no bound of the difference: take differences seed by seed first": (
            _bounds_apart
        ),
        "the sign of a difference tells who is better: do not take its absolute value": (
            lambda first, second, confidence: mean_with_interval(np.abs(first - second), confidence)
        ),
        "sorting breaks the pairs: number i of both lists is the same seed": (
            lambda first, second, confidence: paired_difference(np.sort(first), np.sort(second), confidence)
        ),
        "this is the relative difference; the difference itself is asked for": (
            lambda first, second, confidence: mean_with_interval((first - second) / second, confidence)
        ),
        "this is the normal distribution's interval; the differences of few seeds take Student's t": (
            lambda first, second, confidence: _interval(
                np.mean(first - second), stats.norm.ppf((1 + confidence) / 2) * stats.sem(first - second)
            )
        ),
    },
)


def check_results(frame: pd.DataFrame, *, methods: Sequence[str], seeds: Sequence[int], fewest_seeds: int = 3) -> None:
    """Check the structure of a study's result table, a row per run and test, and say that it is in order.

    Args:
        frame: columns method, condition (of the test, for example "all present"), seed, threshold and hter (fractions).
        methods, seeds: what the study announced beforehand.
        fewest_seeds: how many seeds an interval needs at least.

    Raises:
        CheckFailed: the first fault that was found, with a hint.
    """
    for fault in _faults(frame, methods, seeds, fewest_seeds):
        raise CheckFailed(f"results: {fault}")
    print(f"results: in order, {len(frame)} rows of {len(methods)} methods and {len(seeds)} seeds")


def _faults(frame: pd.DataFrame, methods: Sequence[str], seeds: Sequence[int], fewest: int) -> Any:
    """What is wrong with a table, the most basic things first."""
    if absent := [name for name in COLUMNS if name not in frame.columns]:
        yield f"the column {absent[0]!r} is missing; there should be {', '.join(COLUMNS)}"
        return
    if len(set(seeds)) < fewest:
        yield f"{len(set(seeds))} seeds are too few for an interval; announce and run at least {fewest}"
    keys = ["method", "condition", "seed"]
    if frame.duplicated(keys).any():
        method, condition, seed = frame.loc[frame.duplicated(keys), keys].iloc[0]
        yield f"two rows for {method}, {condition}, seed {seed}: a run counted twice makes intervals too narrow"
    if extra := sorted(set(frame["method"]) - set(methods)) + sorted(set(frame["seed"]) - set(seeds)):
        yield f"{extra[0]} was not announced: what is added after looking belongs into a new study"
    for condition, rows in frame.groupby("condition"):
        there = set(zip(rows["method"], rows["seed"], strict=True))
        if missing := [(m, s) for m in methods for s in seeds if (m, s) not in there]:
            yield f"{missing[0][0]}, seed {missing[0][1]} is missing under {condition!r}: runs may not be dropped"
    rates = frame["hter"].to_numpy(dtype=float)
    if not np.all(np.isfinite(rates)):
        yield "an hter is not a number: find out which run failed, and why"
    if np.any(rates > 1):
        yield "hter is a fraction in 0..1; yours looks like percent"
    if np.any(rates < 0):
        yield "an error rate cannot be negative"
    if (frame.groupby(["method", "seed"])["threshold"].nunique() > 1).any():
        yield (
            "one run has several thresholds: a run's threshold is fixed once, on its validation list, "
            "not anew on every test"
        )
    alike = frame.groupby(["method", "condition"])["hter"].agg(["nunique", "size"])
    if ((alike["nunique"] == 1) & (alike["size"] > 2)).all():
        yield "all seeds of a method have the same hter: is the seed passed on to the run?"


def _found(rng: np.random.Generator) -> Inputs:
    """What the runs of an invented study leave: two methods, seeds and rows in no order."""
    found = []
    for seed in rng.choice(20, int(rng.integers(3, 6)), replace=False).tolist():
        threshold = rng.uniform(0.3, 0.7, 2).tolist()
        rows = [
            {"method": f"method {m}", "condition": condition, "seed": seed, "threshold": threshold[m]}
            | {"hter": float(rng.uniform(0, 0.5)), "auc": float(rng.uniform(0.5, 1))}
            for m in range(2)
            for condition in ("unchanged", "shifted")
        ]
        found.append({"seed": seed, "rows": [rows[i] for i in rng.permutation(len(rows))]})
    return {"found": found}


def results_table(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row per method, condition and seed."""
    return pd.DataFrame([row for one_seed in found for row in one_seed["rows"]])


def _numbers_of(frame: Any, inputs: Inputs) -> Array:
    """Seed, threshold, HTER and AUC of every row, the rows sorted. Raises for another table, naming the fault."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"a pandas.DataFrame is expected, not {type(frame).__name__}")
    if absent := [name for name in (*COLUMNS, "auc") if name not in frame.columns]:
        raise ValueError(f"the column {absent[0]!r} is missing; there should be {', '.join(COLUMNS)} and auc")
    frame = frame.sort_values(["method", "condition", "seed"])
    return frame[["seed", "threshold", "hter", "auc"]].to_numpy(dtype=float)


check_results_table = Task(
    name="results_table",
    reference=results_table,
    draw=_found,
    judge=_numbers_of,
    judged="the table (seed, threshold, hter, auc)",
    mistakes={
        "only the first seed's rows are there": lambda found: results_table(found[:1]),
        "only the last seed's rows are there: collect those of all seeds before you make the table": (
            lambda found: results_table(found[-1:])
        ),
        "only one row per seed is there; every dictionary in found holds several": (
            lambda found: pd.DataFrame([one["rows"][0] for one in found])
        ),
        "the first seed is missing": lambda found: results_table(found[1:]),
        "hter is in percent; keep it a fraction": lambda found: results_table(found).assign(
            hter=lambda frame: 100 * frame["hter"]
        ),
        "only the shifted condition is there; the difference of both is what is asked for later": (
            lambda found: results_table(found).query("condition == 'shifted'")
        ),
        "only the unchanged condition is there; the difference of both is what is asked for later": (
            lambda found: results_table(found).query("condition == 'unchanged'")
        ),
    },
)


def _results(rng: np.random.Generator) -> Inputs:
    frame = results_table(_found(rng)["found"])
    return {"results": frame.sample(frac=1, random_state=int(rng.integers(1000))), "method": "method 1"}


def extra_loss(results: pd.DataFrame, method: str) -> Array:
    """HTER shifted minus HTER unchanged of one method, by rising seed."""
    return _losses(results[results["method"] == method])


def _losses(rows: pd.DataFrame) -> Array:
    rates = rows.pivot_table(index="seed", columns="condition", values="hter")  # of several rows of a seed the mean
    return (rates["shifted"] - rates["unchanged"]).sort_index().to_numpy()


def _by_condition(results: pd.DataFrame, method: str, condition: str) -> Array:
    own = results[(results["method"] == method) & (results["condition"] == condition)]
    return own.sort_values("seed")["hter"].to_numpy()


def _as_they_come(results: pd.DataFrame, method: str) -> Array:
    own = results[results["method"] == method]
    shifted, unchanged = (own.loc[own["condition"] == c, "hter"].to_numpy() for c in ("shifted", "unchanged"))
    return shifted - unchanged


check_extra_loss = Task(
    name="extra_loss",
    reference=extra_loss,
    draw=_results,
    mistakes={
        "the sign is turned round: shifted minus unchanged is asked for": (
            lambda results, method: -extra_loss(results, method)
        ),
        "you take the difference of all methods together; pick the rows of the method first": (
            lambda results, method: _losses(results)
        ),
        "this is the other method's": lambda results, method: _losses(results[results["method"] != method]),
        "this is the HTER under the shift; subtract the one without it": (
            lambda results, method: _by_condition(results, method, "shifted")
        ),
        "this is the mean over the seeds; one number per seed is asked for": (
            lambda results, method: np.mean(extra_loss(results, method))
        ),
        "this is the relative loss; the difference itself is asked for": lambda results, method: (
            extra_loss(results, method) / _by_condition(results, method, "unchanged")
        ),
        "you subtract rows in the order in which they come, so that numbers of different seeds meet": _as_they_come,
        "a shift can also help: do not take the absolute value": (
            lambda results, method: np.abs(extra_loss(results, method))
        ),
        "this is in percentage points; keep it a fraction": lambda results, method: 100 * extra_loss(results, method),
    },
)

TASKS = (check_mean_with_interval, check_paired_difference, check_results_table, check_extra_loss)
