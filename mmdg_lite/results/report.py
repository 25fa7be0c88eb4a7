"""The report: which of the paper's claims hold, from the committed scores, into figures/REPORT.md (command `report`).

The page's discussion is written by hand; its numbers and verdicts stand between two marks and are computed here.
"""

from pathlib import Path

import pandas as pd

from mmdg_lite.configuration import REPOSITORY
from mmdg_lite.results.cells import POINTS
from mmdg_lite.results.certainty_claims import HYPOTHESES, certainty_findings
from mmdg_lite.results.claims import CLAIMS, findings, quantities, verdict
from mmdg_lite.results.collect import collect
from mmdg_lite.results.components import NOT_RUN, all_effects, as_text, components_of, coverage, effects_on
from mmdg_lite.results.convergence import changes, doubling
from mmdg_lite.results.deployment_claims import (
    contrasts_table,
    deployment_facts,
    deployment_findings,
    verdicts_table,
)
from mmdg_lite.results.deployments import COLUMNS, collect_deployments, design
from mmdg_lite.results.dynamics import dynamics
from mmdg_lite.results.marked_text import rewrite_measured_part
from mmdg_lite.results.paired_test import REFERENCE, SIGNIFICANT, paired
from mmdg_lite.results.table_text import grid
from mmdg_lite.results.tables import EFFECTS
from mmdg_lite.runs.methods import METHODS

FIGURES = REPOSITORY / "figures"
SCORES, PAGE = FIGURES / "scores", FIGURES / "REPORT.md"
VERDICTS = "verdicts"
"""Name of the page's first measured part."""
LENGTHS, SEARCH = FIGURES / "convergence", FIGURES / "search"


ALL_COMBINATIONS = (
    f"*Uncertainty (U), ReGrad and ADPs in all eight combinations over the same adapters. {EFFECTS} Claims compare two "
    "methods at a time; this uses every run.*"
)
TWO_SOURCES = "*Minus plain fusion on P3. Fewer pairs are fewer seeds; below 6 pairs no test can decide.*"
IMBALANCE = (
    "*Effects of the components on the imbalance, which is the spread of the modalities' training losses in percent of "
    "their mean, over all combinations as above:*"
)
PART_BY_PART = (
    "*Minus plain fusion, over all settings of P2. This was asked after the tables had been seen: it says which part "
    "of MMDG++ makes the difference above, and is no test of a claim.*"
)


SUPERVISED = (
    "*MMDG++ with a certainty that is taught from regions spoilt on purpose, and its controls. The expectations below "
    "were written before any of these methods was trained; where no run is there, the contrast is planned. All "
    "contrasts of this part are adjusted together.*"
)


def verdict_part(frame: pd.DataFrame, *, deployments: pd.DataFrame | None = None) -> str:
    """The verdicts alone as Markdown, with what was decided; arguments and errors as of `measured`."""
    parts = [about(frame), grid(verdicts(findings(frame)))]
    if deployments is not None and len(deployments):
        parts += ["On the deployments of protocol P6:", grid(verdicts_table(deployment_findings(deployments)))]
    return "\n\n".join(parts)


def measured(
    frame: pd.DataFrame, *, deployments: pd.DataFrame | None = None, lengths: Path = LENGTHS, search: Path = SEARCH
) -> str:
    """The tables behind the verdicts as Markdown.

    Args:
        frame: rows of `results.collect`, of one profile and kind of data.
        deployments: rows of `deployments.collect_deployments` of the same profile, for protocol P6.
        lengths: trainings of different lengths, see `convergence.doubling`.
        search: trainings with other settings, see `setting_search.changes`.

    Raises:
        ValueError: several profiles or kinds of data.
    """
    _check_one_kind(frame)
    found, parts = findings(frame), []
    for claim in CLAIMS:
        mine = found[found["claim"] == claim.name]
        parts += [f"### {claim.name}", f"*{claim.statement}*", grid(mine.drop(columns="claim"))]
    if deployments is not None and len(deployments):
        on_p6 = deployment_findings(deployments)
        facts = [f"- {sentence}" for sentence in deployment_facts(on_p6)]
        parts += ["### Deployments and faults (protocol P6)", design(deployments)]
        parts += ["\n".join(facts), grid(contrasts_table(on_p6))]
    none = pd.DataFrame(columns=COLUMNS)
    parts += ["### A certainty that is taught (ours)", SUPERVISED]
    parts += supervised_certainty(none if deployments is None else deployments)
    if found_effects := all_effects(frame):
        parts += ["### The components over all their combinations", ALL_COMBINATIONS, grid(as_text(found_effects))]
    if not (parts_of := missing_by_part(frame)).empty:
        parts += ["### Modalities missing, part by part", PART_BY_PART, grid(parts_of)]
    if not (two_sources := minus_fusion(frame, "P3")).empty:
        parts += ["### Two sources instead of three", TWO_SOURCES, grid(two_sources)]
    parts += ["### What the training logs show", grid(_rounded(dynamics(frame)))]
    if on_imbalance := effects_on(quantities(frame)["imbalance"], metrics=["imbalance"]):
        parts += [IMBALANCE, grid(as_text(on_imbalance))]
    parts += ["### Convergence of the training runs", grid(doubling(lengths))]
    parts += ["### What other settings give on the sources' validation lists", grid(changes(search))]
    there = coverage(frame, deployments)
    absent = there[(there.drop(columns="method") == NOT_RUN).any(axis=1)]
    parts += ["### What was not run", grid(absent)]
    return "\n\n".join(parts)


def supervised_certainty(deployments: pd.DataFrame) -> list[str]:
    """The hypotheses on supervised certainty and what the runs say of them; `deployments` as of `measured`."""
    expected = [f"- *{claim.name}.* {claim.statement}" for claim in HYPOTHESES]
    found = certainty_findings(deployments)
    facts = [f"- {sentence}" for sentence in deployment_facts(found)]
    return ["\n".join(expected), grid(verdicts_table(found)), "\n".join(facts), grid(contrasts_table(found))]


def about(frame: pd.DataFrame) -> str:
    """One sentence on the runs. Raises ValueError for several profiles or kinds of data."""
    _check_one_kind(frame)
    p1 = frame[(frame["protocol"] == "P1") & (frame["missing"] == "")]
    faces = int((p1["live"] + p1["spoof"]).median())
    runs = frame.drop_duplicates("run")
    return (
        f"{len(runs)} runs of profile {frame['profile'].iloc[0]} on {frame['data'].iloc[0]} data, "
        f"{runs['seconds'].sum() / 3600:.1f} hours of computing; {faces} test faces per target domain. Differences are "
        "in percentage points (of the imbalance in percent of the mean loss), their intervals are over targets, and a "
        f"contrast counts as decided where interval and sign-flip test (p < {SIGNIFICANT}) agree. The tests are not "
        "corrected for their number."
    )


def _check_one_kind(frame: pd.DataFrame) -> None:
    for column in ("profile", "data"):
        if frame[column].nunique() != 1:
            raise ValueError(f"report on one {column} at a time, not on {', '.join(sorted(set(frame[column])))}")


def missing_by_part(frame: pd.DataFrame) -> pd.DataFrame:
    """Methods with any of MMDG++'s parts minus plain fusion on protocol P2: a row per metric and method (`paired`)."""
    own = [name for name in set(frame["method"]) & set(METHODS) if any(components_of(METHODS[name]) or ())]
    return minus_fusion(frame[frame["method"].isin([*own, REFERENCE])], "P2")


def minus_fusion(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Every method minus plain fusion on a protocol: a row per metric and method (`paired`)."""
    tables = []
    for metric, title in POINTS.items():
        if len(table := paired(frame, protocol, metric=metric)):
            table.insert(0, "quantity", title)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def verdicts(found: pd.DataFrame) -> pd.DataFrame:
    """A row per claim: the verdict, how many of its contrasts say what, and every difference that is decided."""
    rows = []
    for claim in CLAIMS:
        mine = found[found["claim"] == claim.name]
        counts = mine["finding"].value_counts()
        rows.append(
            {
                "claim": claim.name,
                "verdict": verdict(mine),
                "contrasts": ", ".join(f"{number} {finding}" for finding, number in sorted(counts.items())),
                "decided differences": "; ".join(_decided(mine)) or "none",
            }
        )
    return pd.DataFrame(rows)


def _decided(found: pd.DataFrame) -> list[str]:
    """The decided contrasts of `claims.findings` in words."""
    rows = found[found["finding"].isin(["as claimed", "the opposite"])]
    return [
        f"{row.quantity} of {row.method} minus {row.reference}: {row.difference} ({row.finding})"
        for row in rows.itertuples()
    ]


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers with three decimals as text, empty where there is none."""
    numbers = frame.select_dtypes("float").columns
    text = {name: frame[name].map(lambda value: "" if pd.isna(value) else f"{value:.3f}") for name in numbers}
    return frame.assign(**text)


def renew_report(page: str | Path = PAGE, *, scores: str | Path = SCORES, profile: str = "full") -> Path:
    """Rewrite the measured parts of a page (`verdict_part`, `measured`) from finished runs; returns the page.

    Args:
        page: Markdown page with both pairs of marks.
        scores: folder of finished runs, or an archive.
        profile: of the runs that are reported on.
    """
    frame, p6 = collect(scores, progress=True), collect_deployments(scores, progress=True)
    frame, p6 = frame[frame["profile"] == profile], p6[p6["profile"] == profile]
    rewrite_measured_part(Path(page), verdict_part(frame, deployments=p6), VERDICTS)
    rewrite_measured_part(Path(page), measured(frame, deployments=p6))
    return Path(page)
