"""Component ablations of MMDG++, other balancing rules, attack species, and the list of runs.

Every function takes rows of one profile and one kind of data and returns text, a row per method. What was not run is
listed as not run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from mmdg_lite.data.protocols import OWN, own_setting
from mmdg_lite.data.protocols import PROTOCOLS as SETTINGS
from mmdg_lite.results.cells import AVERAGE, METRICS, aggregate, display_name, in_order, select
from mmdg_lite.results.paired_test import PAIR, Comparison, compare, paired
from mmdg_lite.results.table_text import interval, percent
from mmdg_lite.runs.methods import METHODS, Method

COMPONENTS = ("U", "ReGrad", "ADP")  # uncertainty in the adapters, gradient modulation, asymmetric domain prompts
NOT_RUN = "not run"


def components(frame: pd.DataFrame) -> pd.DataFrame:
    """The component ablation on P1: frozen head, cross-adapters, and uncertainty, ReGrad and ADPs in any combination.

    Columns: method, adapters and each of COMPONENTS ("x" where the method has it), the three metrics' averages in
    percent, and HTER's paired difference from plain fusion with its p. Fewest components first.
    """
    parts = {name: parts for name in METHODS if (parts := components_of(METHODS[name])) is not None}
    order = sorted(parts, key=lambda name: (METHODS[name].adapters != "none", sum(parts[name])))
    marks = {
        name: {"adapters": "x" if METHODS[name].adapters != "none" else ""}
        | {label: "x" if has else "" for label, has in zip(COMPONENTS, parts[name], strict=True)}
        for name in order
    }
    return _ablation(frame, marks)


def rules(frame: pd.DataFrame) -> pd.DataFrame:
    """The ablation of ReGrad's rule on P1, everything else being MMDG++'s: columns as of `components`, and rule."""
    whole = METHODS["mmdg++"]
    marks: dict[str, dict[str, str]] = {
        name: {"rule": method.rule}
        for name, method in METHODS.items()
        if method.kind == whole.kind
        and (method.architecture, method.adapters, method.prompts, method.train_tokens, method.spoilt)
        == (whole.architecture, whole.adapters, whole.prompts, whole.train_tokens, whole.spoilt)
    }
    return _ablation(frame, dict(sorted(marks.items(), key=lambda item: item[1]["rule"] not in ("none", "regrad"))))


def components_of(method: Method) -> tuple[bool, bool, bool] | None:
    """Presence of each of COMPONENTS in a method; None for methods outside the component ablation."""
    if method.kind != "trained" or method.architecture != "mmdg++" or method.rule not in ("none", "regrad"):
        return None
    if method.spoilt:
        return None
    if method.prompts not in ("none", "asymmetric") or method.adapters not in ("none", "plain", "uncertainty"):
        return None
    return method.adapters == "uncertainty", method.rule == "regrad", method.prompts == "asymmetric"


def species_table(frame: pd.DataFrame) -> pd.DataFrame:
    """APCER of each attack species on P1, at the validation threshold: a column per species, and the worst of each run.

    `frame`: rows of `results.collect_species`. Averaged over the targets that have the species, then over seeds.
    """
    rows = frame[(frame["protocol"] == "P1") & (frame["missing"] == "")]
    worst = rows.groupby(["method", "seed", "run", "target"], as_index=False)["apcer"].max().assign(species="worst")
    both = pd.concat([rows, worst])
    per_seed = both.groupby(["method", "species", "seed"])["apcer"].mean()
    cells = per_seed.groupby(["method", "species"]).agg(["mean", "std"])
    names = [*sorted(set(rows["species"])), "worst"]
    table = []
    for method in in_order(rows["method"]):
        found = {name: percent(*cells.loc[(method, name)]) for name in names if (method, name) in cells.index}
        table.append({"method": display_name(method)} | {n.replace("_", " "): found.get(n, "") for n in names})
    return pd.DataFrame(table)


def coverage(frame: pd.DataFrame, deployments: pd.DataFrame | None = None) -> pd.DataFrame:
    """How much of the grid there is: per method and protocol, settings of all settings and seeds, or not run.

    P4 counts all settings of the synthetic domains, or on real data those that have the species. P2 reads P1's runs,
    P6 those of them that are in `deployments`, rows of `deployments.collect_deployments`. Settings of one's own are
    those that any method has.
    """
    real = set(frame["data"]) == {"real"}
    every = {p: [s for s in settings.values() if not (real and s.synthetic_only)] for p, settings in SETTINGS.items()}
    own = sorted(set(frame[frame["protocol"] == OWN]["setting"]))
    every = {protocol: settings for protocol, settings in every.items() if settings}  # real data has no P6
    every |= {OWN: [own_setting(name) for name in own]} if own else {}
    table = []
    for method in [*METHODS, *(name for name in in_order(frame["method"]) if name not in METHODS)]:
        row = {"method": display_name(method)}
        for protocol in every:
            if protocol == "P6":
                rows = frame.iloc[:0] if deployments is None else deployments
            else:
                rows = select(frame, protocol)
            mine = rows[rows["method"] == method]
            seeds = mine.groupby("setting")["seed"].nunique()
            counts = sorted({int(n) for n in seeds})
            spread = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}" if counts else ""
            text = f"{len(seeds)} of {len(every[protocol])} settings, {spread} seed{'' if counts == [1] else 's'}"
            row[protocol] = text if counts else NOT_RUN
        table.append(row)
    return pd.DataFrame(table)


def _ablation(frame: pd.DataFrame, marks: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Rows in the order of `marks` (method: its own columns), averages over P1's targets behind them."""
    cells = aggregate(frame, "P1")
    cells = cells[cells["column"] == AVERAGE].set_index(["method", "metric"])
    against = paired(frame, "P1")
    known = {} if against.empty else against.set_index("method").to_dict("index")
    table = []
    for name, own in marks.items():
        row = {"method": display_name(name)} | own
        for metric in METRICS:
            row[metric] = (
                percent(*cells.loc[(name, metric), ["mean", "sd"]]) if (name, metric) in cells.index else NOT_RUN
            )
        difference = known.get(display_name(name), {})
        row |= {"HTER against fusion": difference.get("difference", ""), "p": difference.get("p", "")}
        row["pairs"] = difference.get("pairs", "")
        table.append(row)
    return pd.DataFrame(table)


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
    rows = complete_combinations(rows)
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


def complete_combinations(rows: pd.DataFrame) -> pd.DataFrame:
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
    """True if a method counts as "with" in a contrast: an odd number of absent components counts as without."""
    has = dict(zip(COMPONENTS, components_of(METHODS[method]) or (), strict=True))
    return sum(not has[name] for name in involved) % 2 == 0
