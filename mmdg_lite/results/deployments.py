"""Protocol P6 analysed: paired differences over deployments, their intervals, and what the design can decide.

The unit is the deployment, not the face. A training run (one setting and seed of each method) is tested on every
deployment, so that the paired differences of two methods are a table: a row per run, a column per deployment. Chance
comes with the runs and with the deployments, and both are resampled. What half-width the design reaches follows from
the spread of the differences alone (`half_width`): it is known before any mean is looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata, t
from tqdm.auto import tqdm

from mmdg_lite.data.deployments import SEVERITIES, deployments
from mmdg_lite.metrics import threshold_at_eer
from mmdg_lite.modality import Modality
from mmdg_lite.results.cells import display_name, in_order
from mmdg_lite.results.collect import Lists, list_names
from mmdg_lite.results.table_text import interval, percent
from mmdg_lite.runs.folder import finished_runs, read_run
from mmdg_lite.runs.methods import METHODS, Method
from mmdg_lite.runs.scores import TEST, VALIDATION, Scores, of_p6

Array = NDArray[np.float64]

RUN = ["setting", "seed"]
"""What makes two runs of different methods a pair."""
GROUP = ["profile", "method"]
COLUMNS = [*GROUP, *RUN, "deployment", "inside", "target", "faulty", "severity", "hter", "auc"]
METRICS = {"hter": "HTER at the validation threshold", "auc": "AUC"}
REFERENCE = "fusion"
LEVEL = 0.95
GOAL = 0.007
"""The half-width that the design aims at for MMDG++ against plain fusion: 0.7 points of HTER."""
MOST_SEEDS = 8
"""More seeds than this are not trained to reach the goal."""
RESAMPLES = 4000


def collect_deployments(root: str | Path, *, progress: bool = False) -> pd.DataFrame:
    """A row per run and list of protocol P6, with COLUMNS; no rows where no run was tested on them.

    `deployment` is its name, "" in reliability curves; `inside` says whether its sensors lie in the ranges of
    pre-training. `faulty` and `severity` are of reliability curves, else "" and 0; severity 0 of every fault is what
    the run's own test list gives on the same faces. `hter` is at the threshold fixed on the run's validation scores;
    both metrics are fractions. Raises ValueError, naming the run, for a name that is not of a frozen deployment.
    """
    lists = Lists()
    rows = [row for run in tqdm(finished_runs(root), desc="P6", disable=not progress) for row in _rows(run, lists)]
    return pd.DataFrame(rows, columns=COLUMNS)


def hter_and_auc(scores: Scores, threshold: float) -> dict[str, float]:
    """HTER at a threshold and AUC (Mann-Whitney), as `metrics.evaluate_scores` gives them, without all the others.

    Raises ValueError for scores of one class.
    """
    live = scores.labels == 1
    if live.all() or not live.any():
        raise ValueError(
            f"all {len(live)} samples are {'live' if live.any() else 'spoof'}: error rates need both classes"
        )
    far, frr = np.mean(scores.scores[~live] >= threshold), np.mean(scores.scores[live] < threshold)
    n = int(live.sum())
    above = rankdata(scores.scores)[live].sum() - n * (n + 1) / 2
    return {"hter": float(far + frr) / 2, "auc": float(above) / (n * (len(live) - n))}


def on_deployments(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the frozen deployments, without the reliability curves."""
    return frame[frame["deployment"] != ""]


def differences(frame: pd.DataFrame, method: str, reference: str = REFERENCE, *, metric: str = "hter") -> pd.DataFrame:
    """`method` minus `reference`: a row per (setting, seed) that both have, a column per deployment, fractions.

    `frame`: rows of `collect_deployments` of one profile. Raises ValueError for several profiles, and where a run lacks
    a deployment that others have. Empty where the methods have no run in common.
    """
    return _differences(on_deployments(frame), ["deployment"], method, reference, metric)


def rises(frame: pd.DataFrame, method: str, reference: str = REFERENCE) -> pd.DataFrame:
    """As `differences`, of what faults do: HTER with a fault minus without; columns are modality and severity."""
    curves = frame[frame["faulty"] != ""]
    without = curves[curves["severity"] == 0].drop(columns=["severity", "auc"])
    same = [*GROUP, *RUN, "target", "faulty"]
    both = curves[curves["severity"] > 0].merge(without[[*same, "hter"]], on=same, suffixes=("", "_without"))
    both = both.assign(rise=both["hter"] - both["hter_without"])
    return _differences(both, ["faulty", "severity"], method, reference, "rise")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations of paired differences, by what they come from (two-way random effects, no means in it)."""

    runs: float  # between training runs
    units: float  # between deployments
    rest: float  # what neither explains: faces, and how a run suits a deployment

    def error(self, runs: int, units: int) -> float:
        """Standard error of a mean over so many runs, each tested on so many deployments."""
        return float(np.sqrt(self.runs**2 / runs + self.units**2 / units + self.rest**2 / (runs * units)))


def spread(table: pd.DataFrame | Array) -> Spread:
    """The spread of a table of differences (runs x deployments), by the expected mean squares of two-way analysis.

    Adding the same number to every difference changes nothing: no effect can be read from it. Raises ValueError for
    fewer than two runs or two deployments.
    """
    d = _checked(table)
    runs, units = d.shape
    centred = d - d.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    rest = ((centred - rows[:, None] - columns) ** 2).sum() / ((runs - 1) * (units - 1))
    of_runs = max(0.0, rows.var(ddof=1) - rest / units)
    of_units = max(0.0, columns.var(ddof=1) - rest / runs)
    return Spread(runs=float(np.sqrt(of_runs)), units=float(np.sqrt(of_units)), rest=float(np.sqrt(rest)))


def half_width(
    table: pd.DataFrame | Array, *, runs: int | None = None, contrasts: int = 1, level: float = LEVEL
) -> float:
    """Half the length of the interval that the design reaches, from the spread of differences, without their mean.

    Args:
        table: differences, runs x deployments, of at least two each.
        runs: number of training runs to compute it for; None: as many as the table has.
        contrasts: number of contrasts that share the level (Bonferroni, Holm's first step).
        level: of the interval.
    """
    found, units = spread(table), _checked(table).shape[1]
    runs = runs or len(table)
    parts = np.array([found.runs**2 + found.rest**2 / units, found.units**2 + found.rest**2 / runs]) / [runs, units]
    freedom = _freedom(parts, runs, units)
    return found.error(runs, units) * float(t.ppf(1 - (1 - level) / 2 / contrasts, freedom))


def seeds_needed(
    table: pd.DataFrame | Array, *, settings: int, goal: float = GOAL, most: int = MOST_SEEDS, contrasts: int = 1
) -> int | None:
    """The smallest number of seeds per setting with which `half_width` reaches a goal (a fraction); None: not `most`.

    Seeds that the table has already are no lower limit: the number says what would have been enough.
    """
    enough = (
        seeds
        for seeds in range(1, most + 1)
        if seeds * settings > 1 and half_width(table, runs=seeds * settings, contrasts=contrasts) <= goal
    )
    return next(enough, None)


def bootstrap_error(table: pd.DataFrame | Array, *, samples: int = RESAMPLES, seed: int = 0) -> float:
    """Standard error of the mean difference: runs and deployments resampled, each with replacement.

    Of n runs n - 1 are drawn, of m deployments m - 1, which makes the variance of so few unbiased (Rao and Wu 1988).
    Both are drawn independently, since every run meets every deployment (the pigeonhole bootstrap of Owen 2007): what
    neither explains counts more than once, so that the error is rather too large than too small.
    """
    d = _checked(table)
    rng = np.random.default_rng(seed)
    rows, columns = (rng.multinomial(n - 1, np.full(n, 1 / n), size=samples) / (n - 1) for n in d.shape)
    means = np.einsum("br,rk,bk->b", rows, d, columns, optimize=True)
    return float(means.std(ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for their number by Holm's step-down rule (1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    factors = len(order) - np.arange(len(order))
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return adjusted.tolist()


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean difference over runs and deployments, with its place among several contrasts."""

    method: str
    reference: str
    quantity: str
    difference: float  # a fraction; of an error rate, negative favours `method`
    low: float  # 95 % interval, at the level of the contrast's step in Holm's rule
    high: float
    p_value: float  # two-sided, adjusted by Holm's rule
    runs: int
    units: int  # deployments, or points of reliability curves

    @property
    def decided(self) -> bool:
        """True if there is a difference, after adjusting for the number of contrasts."""
        return self.p_value < 1 - LEVEL


def estimates(
    tables: Mapping[tuple[str, str, str], pd.DataFrame], *, samples: int = RESAMPLES, seed: int = 0
) -> list[Estimate]:
    """Every contrast's difference, interval and p value, adjusted together.

    `tables`: differences by (method, reference, quantity), see `differences` and `rises`; those of fewer than two runs
    are left out. Intervals are mean ± Student's quantile times `bootstrap_error`, degrees of freedom by Satterthwaite;
    the contrast with the j-th smallest p of m has its interval at 1 - 0.05 / (m - j + 1), where Holm tests it.
    """
    usable = {key: _checked(table) for key, table in tables.items() if len(table) > 1}
    means = [float(d.mean()) for d in usable.values()]
    errors = [max(bootstrap_error(d, samples=samples, seed=seed), np.finfo(float).tiny) for d in usable.values()]
    freedoms = [_freedom(_variances(d), *d.shape) for d in usable.values()]
    raw = [2 * float(t.sf(abs(m) / e, f)) for m, e, f in zip(means, errors, freedoms, strict=True)]
    steps = rankdata(raw, method="ordinal") if raw else []
    found = []
    for (key, d), mean, error, freedom, p, step in zip(
        usable.items(), means, errors, freedoms, holm(raw), steps, strict=True
    ):
        method, reference, quantity = key
        reach = error * float(t.ppf(1 - (1 - LEVEL) / 2 / (len(usable) - step + 1), freedom))
        found.append(
            Estimate(
                method=method,
                reference=reference,
                quantity=quantity,
                difference=mean,
                low=mean - reach,
                high=mean + reach,
                p_value=p,
                runs=d.shape[0],
                units=d.shape[1],
            )
        )
    return found


def against(frame: pd.DataFrame, reference: str = REFERENCE, *, metric: str = "hter") -> list[Estimate]:
    """Every other method of a profile against one, on the deployments, adjusted for the number of these contrasts."""
    methods = [name for name in in_order(on_deployments(frame)["method"]) if name != reference]
    return estimates(
        {(name, reference, metric): differences(frame, name, reference, metric=metric) for name in methods}
    )


def per_deployment(
    frame: pd.DataFrame, method: str, reference: str = REFERENCE, *, metric: str = "hter"
) -> pd.DataFrame:
    """The mean difference on each deployment with its 95 % interval over runs (Student), a row per deployment.

    Columns: deployment, inside, difference, low, high (fractions). These intervals are not adjusted for their number.
    """
    table = differences(frame, method, reference, metric=metric)
    mean, n = table.mean(), len(table)
    reach = table.std(ddof=1) / np.sqrt(n) * float(t.ppf((1 + LEVEL) / 2, n - 1)) if n > 1 else mean * np.nan
    inside = {deployment.name: deployment.inside for deployment in deployments()}
    return pd.DataFrame(
        {
            "deployment": table.columns,
            "inside": [inside[name] for name in table.columns],
            "difference": mean.to_numpy(),
            "low": (mean - reach).to_numpy(),
            "high": (mean + reach).to_numpy(),
        }
    )


def deployments_table(frame: pd.DataFrame, *, reference: str = REFERENCE) -> pd.DataFrame:
    """A row per method as text: HTER inside and outside of pre-training's ranges, HTER and AUC over all deployments.

    Percent, mean ± standard deviation over seeds (of complete seeds, tested in as many settings as any). Behind them
    HTER minus the reference's in percentage points, its interval and p (`against`), and the pairs of runs.
    `frame`: rows of `collect_deployments` of one profile.
    """
    on = on_deployments(frame).astype({"inside": bool})
    known = {e.method: e for e in against(frame, reference)}
    settings = on.groupby(["method", "seed"])["setting"].transform("nunique")
    whole = on[settings == on["setting"].nunique()]
    means = whole.groupby(["method", "seed"])[["hter", "auc"]].mean()
    by_kind = whole.groupby(["method", "seed", "inside"])["hter"].mean().unstack("inside")
    cells = {"HTER inside": by_kind[True], "HTER outside": by_kind[False], "HTER": means["hter"], "AUC": means["auc"]}
    table = []
    for method in in_order(on["method"]):
        row = {"method": display_name(method)}
        for name, per_seed in cells.items():
            mine = per_seed[per_seed.index.get_level_values("method") == method]
            row[name] = percent(float(mine.mean()), float(mine.std())) if len(mine) else "incomplete"
        estimate, shown = known.get(method), {"HTER against fusion": "", "95 % interval": "", "p": "", "pairs": ""}
        if estimate is not None:
            shown = {
                "HTER against fusion": f"{100 * estimate.difference:+.2f}",
                "95 % interval": interval(estimate.low, estimate.high),
                "p": f"{estimate.p_value:.4f}",
                "pairs": str(estimate.runs),
            }
        table.append(row | shown)
    return pd.DataFrame(table)


def faults_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per method and modality as text: mean HTER in percent at each severity of the modality's fault."""
    means = curves(frame).set_index(["method", "faulty", "severity"])["hter"]
    return pd.DataFrame(
        [
            {"method": display_name(method), "fault of": Modality(faulty).title}
            | {("no fault", *map(str, SEVERITIES))[severity]: percent(value) for severity, value in part.items()}
            for method in in_order(means.index.unique("method"))
            for faulty in means[method].index.unique("faulty")
            for part in [means[method][faulty].sort_index()]
        ]
    )


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Reliability curves: mean HTER over targets and seeds, a row per method, modality and severity (0: no fault)."""
    rows = frame[frame["faulty"] != ""]
    return rows.groupby(["method", "faulty", "severity"], sort=False)["hter"].mean().reset_index()


def design(frame: pd.DataFrame, *, method: str = "mmdg++", reference: str = REFERENCE) -> str:
    """What the design reaches for one contrast, in a sentence that says nothing of its outcome."""
    table = differences(frame, method, reference)
    of, settings = f"{display_name(method)} against {display_name(reference)}", table.index.unique("setting").size
    if len(table) < 2:
        return f"{of}: {len(table)} pair{'' if len(table) == 1 else 's'} of runs; two at least are needed."
    found, reached = spread(table), half_width(table)
    needed = seeds_needed(table, settings=settings)
    enough = (
        f"{needed} seed{'' if needed == 1 else 's'} per setting would be enough for {100 * GOAL:.1f}"
        if needed
        else f"{MOST_SEEDS} seeds per setting would reach {100 * half_width(table, runs=MOST_SEEDS * settings):.2f}, "
        f"not {100 * GOAL:.1f}"
    )
    return (
        f"{of}: {len(table)} pairs of runs on {table.shape[1]} deployments give intervals of ± {100 * reached:.2f} "
        f"points of HTER; {enough}. Paired differences spread by {100 * found.runs:.2f} points between training runs, "
        f"{100 * found.units:.2f} between deployments and {100 * found.rest:.2f} beside these (standard deviations)."
    )


def outsiders(methods: Iterable[str]) -> list[str]:
    """The methods of another architecture than MMDG++'s, and those that have neither uncertainty, ReGrad nor ADPs.

    Methods that are trained on spoilt regions belong to another question (`certainty_claims`).
    """
    return [
        name
        for name in in_order(methods)
        if name in METHODS and not METHODS[name].spoilt and not _shares_a_part(METHODS[name])
    ]


def _shares_a_part(method: Method) -> bool:
    parts = method.adapters == "uncertainty" or method.prompts == "asymmetric" or method.rule == "regrad"
    return method.architecture == METHODS["mmdg++"].architecture and parts


def _rows(run: Path, lists: Lists) -> list[dict[str, object]]:
    names = list_names(run)
    matches = [match for name in names if (match := TEST.fullmatch(name)) is not None and of_p6(match)]
    if not matches:
        return []
    config, _ = read_run(run)
    checked = lists.read(run, VALIDATION)
    threshold = threshold_at_eer(checked.scores, checked.labels)
    keys = {name: config[name] for name in (*GROUP, *RUN)}
    inside = {deployment.name: deployment.inside for deployment in deployments()}
    rows = []
    for match in matches:
        name, scores = match["deployment"] or "", lists.read(run, match[0])
        if name and name not in inside:
            raise ValueError(f"{run}: {match[0]} is of no frozen deployment; was it made by another version?")
        place = {"deployment": name, "inside": inside.get(name), "target": match["target"]}
        place |= {"faulty": match["faulty"] or "", "severity": int(match["severity"] or 0)}
        rows.append(keys | place | hter_and_auc(scores, threshold))
    return rows + _without_faults(run, lists, keys, rows, threshold)


def _without_faults(
    run: Path, lists: Lists, keys: Mapping[str, object], rows: Sequence[Mapping[str, object]], threshold: float
) -> list[dict[str, object]]:
    """Severity 0 of the reliability curves: the run's own test list, on the faces that the curves have."""
    found: list[dict[str, object]] = []
    for target, faulty in dict.fromkeys((row["target"], row["faulty"]) for row in rows if row["faulty"]):
        ids = set(lists.read(run, f"test_{target}_{faulty}_fault1").ids)
        whole = lists.read(run, f"test_{target}")
        kept = np.array([name in ids for name in whole.ids])
        scores = Scores(
            ids=tuple(name for name in whole.ids if name in ids),
            labels=whole.labels[kept],
            species=tuple(np.array(whole.species)[kept].tolist()),
            scores=whole.scores[kept],
        )
        place = {"deployment": "", "inside": None, "target": target, "faulty": faulty, "severity": 0}
        found.append({**keys, **place, **hter_and_auc(scores, threshold)})
    return found


def _differences(rows: pd.DataFrame, columns: list[str], method: str, reference: str, metric: str) -> pd.DataFrame:
    if rows["profile"].nunique() > 1:
        raise ValueError(f"compare one profile at a time; the frame holds {', '.join(sorted(set(rows['profile'])))}")
    first, second = (
        rows[rows["method"] == name].pivot_table(index=RUN, columns=columns, values=metric)
        for name in (method, reference)
    )
    common = first.index.intersection(second.index)
    table = first.loc[common] - second.loc[common]
    if table.isna().any(axis=None):
        setting, seed = table.index[table.isna().any(axis=1)][0]
        raise ValueError(f"{setting}, seed {seed}: {method} and {reference} were not tested on the same lists of P6")
    return table


def _checked(table: pd.DataFrame | Array) -> Array:
    d = np.asarray(table, dtype=np.float64)
    if d.ndim != 2 or min(d.shape) < 2:
        raise ValueError(f"differences must be at least 2 runs x 2 deployments, got {' x '.join(map(str, d.shape))}")
    return d


def _variances(d: Array) -> Array:
    """Of the mean difference: its parts by runs and by deployments, each with its share of the rest."""
    return np.array([d.mean(axis=1).var(ddof=1), d.mean(axis=0).var(ddof=1)]) / d.shape


def _freedom(parts: Array, runs: int, units: int) -> float:
    """Satterthwaite's degrees of freedom of a sum of two variances."""
    below = float((parts**2 / (np.array([runs, units]) - 1)).sum())
    return float(parts.sum() ** 2 / below) if below > 0 else float(min(runs, units) - 1)
