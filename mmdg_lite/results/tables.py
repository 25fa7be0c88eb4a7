"""The tables of the paper, rebuilt from scores: P1 to P6, ablations, attack species, and published numbers beside
them.

Numbers on the synthetic domains and published numbers (real data) are not comparable; they never share a column.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmdg_lite.configuration import write_text
from mmdg_lite.data.protocols import RANDOM_MISSING
from mmdg_lite.results.cells import (
    AVERAGE,
    GROUP,
    METRICS,
    MISSING,
    PROTOCOLS,
    aggregate,
    at_random,
    display_name,
    in_order,
    select,
)
from mmdg_lite.results.collect import collect_with_species
from mmdg_lite.results.components import all_effects, as_text, components, coverage, rules, species_table
from mmdg_lite.results.deployment_claims import contrasts_table, deployment_findings, verdicts_table
from mmdg_lite.results.deployments import collect_deployments, deployments_table, design, faults_table
from mmdg_lite.results.paired_test import REFERENCE, paired
from mmdg_lite.results.published import WARNINGS, published_results
from mmdg_lite.results.table_text import LAYOUTS, Layout, csv, interval, latex, markdown, percent
from mmdg_lite.runs.methods import METHODS, PEER, PEER_NOTE

__all__ = [
    "AVERAGE",
    "METRICS",
    "Table",
    "aggregate",
    "beside",
    "components",
    "deployments",
    "display_name",
    "in_order",
    "published_results",
    "select",
    "table",
    "tables",
]

INTERVAL = "HTER at the validation threshold, 95 % bootstrap interval over test faces, its bounds averaged over runs"
DIFFERENCE = f"HTER at the validation threshold minus that of {METHODS[REFERENCE].title}, percentage points, in pairs"
OVER_SEEDS = "Percent, mean ± standard deviation over seeds."
EFFECTS = (
    "Percentage points: the mean of the four methods that have a component minus that of the four that have not; for "
    "two components, half of what the effect of one gains when the other is there too."
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: a title, notes, and blocks of (caption, frame of text)."""

    title: str
    blocks: tuple[tuple[str, pd.DataFrame], ...]
    notes: tuple[str, ...] = ()

    def text(self, layout: Layout) -> str:
        """The table as "markdown", "latex" or "csv" (`layout`)."""
        if layout == "csv":
            stacked = pd.concat([frame.assign(table=caption) for caption, frame in self.blocks])
            return csv(stacked)
        draw = markdown if layout == "markdown" else latex
        peers = any(PEER in str(cell) for _, frame in self.blocks for cell in frame.to_numpy().ravel())
        return draw(self.title, self.blocks, (*self.notes, PEER_NOTE) if peers else self.notes)


def table(frame: pd.DataFrame, protocol: str, *, published: pd.DataFrame | None = None) -> Table:
    """A protocol's table: per profile and metric a block of ours, then published numbers in blocks of their own.

    `frame`: from `collect`. `published`: from `published_results`; None takes what the package holds. Numbers are
    percentages, mean ± standard deviation over seeds.
    """
    cells = aggregate(frame, protocol)
    blocks: list[tuple[str, pd.DataFrame]] = []
    not_run: list[str] = []
    for (profile, data), part in cells.groupby(["profile", "data"]):
        blocks += [(f"ours, {data} data, profile {profile}: {title}", _block(part, m)) for m, title in METRICS.items()]
        mine = frame[(frame["profile"] == profile) & (frame["data"] == data)]
        about = f"{data} data, profile {profile}"
        blocks.append((f"intervals, {about}: {INTERVAL}", _block(part, "hter", intervals=True)))
        if len(differences := paired(mine, protocol)):
            blocks.append((f"differences, {about}: {DIFFERENCE}", differences))
        absent = [METHODS[name].title for name in METHODS if name not in set(part["method"])]
        not_run += [f"Not run ({about}): {', '.join(absent)}."] if absent else []
    if protocol == "P2" and len(rows := at_random(frame)):
        for (profile, data), part in aggregate(rows, protocol).groupby(["profile", "data"]):
            about = f"{data} data, profile {profile}, missing from a sample with probability {RANDOM_MISSING}"
            blocks += [(f"ours, {about}: {title}", _block(part, m)) for m, title in METRICS.items()]
    known = published_results() if published is None else published
    known = known[known["protocol"] == protocol]
    for metric, title in (("hter", "HTER at the equal-error point, as published"), ("auc", "AUC, as published")):
        if len(part := known[known["metric_percent"] == metric]):
            blocks.append((f"published, real data: {title}", _published_block(part)))
    notes = [
        f"{OVER_SEEDS} Synthetic and published (real) numbers are not comparable.",
        "second-hand: quoted by a later paper, not seen in the method's own.",
        *not_run,
        *(warning for (method, of), warning in WARNINGS.items() if of == protocol and method in set(known["method"])),
    ]
    if "MMDG++" not in set(known["method"]):
        notes.append(
            "MMDG++, published: not available; put the paper's numbers into a published_results.csv of your own."
        )
    return Table(title=f"Protocol {protocol}", blocks=tuple(blocks), notes=tuple(notes))


DEPLOYMENTS = (
    "Percent, mean ± standard deviation over seeds, over settings and deployments. Inside: every knob of the sensors "
    "lies in the range that pre-training draws from; outside: two knobs of each sensor do not. HTER is at the "
    "threshold fixed on the sources' validation lists. Differences are in percentage points; their intervals are over "
    "training runs and deployments. Intervals and p are adjusted by Holm's rule for the number of contrasts in a table."
)


def deployments(frame: pd.DataFrame) -> Table:
    """The table of protocol P6: per profile the deployments, the reliability curves, the claims and their contrasts.

    `frame`: from `deployments.collect_deployments`; no blocks without rows.
    """
    blocks: list[tuple[str, pd.DataFrame]] = []
    notes = []
    for profile, part in frame.groupby("profile"):
        about, found = f"synthetic data, profile {profile}", deployment_findings(part)
        blocks += [
            (f"ours, {about}: deployments", deployments_table(part)),
            (f"ours, {about}: HTER with a fault of one modality, by its severity", faults_table(part)),
            (f"ours, {about}: claims of the abstract", verdicts_table(found)),
            (f"ours, {about}: contrasts of the claims", contrasts_table(found)),
        ]
        notes.append(f"Design ({about}): {design(part)}")
    return Table(title="Protocol P6", blocks=tuple(blocks), notes=(DEPLOYMENTS, *notes))


def beside(frame: pd.DataFrame, protocol: str = "P1") -> pd.DataFrame:
    """Averages only, ours beside published: a row per method, columns per profile and metric, in percent, as
    text."""
    cells = aggregate(frame, protocol)
    cells = cells[cells["column"] == AVERAGE]
    rows: dict[str, dict[str, str]] = {}
    short = {"hter": "HTER", "hter_at_eer": "HTER@EER", "auc": "AUC"}
    for profile, data, method, metric, mean, sd in cells[[*GROUP, "metric", "mean", "sd"]].itertuples(index=False):
        rows.setdefault(display_name(method), {})[f"{data} {profile}: {short[metric]}"] = percent(mean, sd)
    known = published_results()
    known = known[(known["protocol"] == protocol) & (known["setting"] == AVERAGE)]
    for method in [name for name in rows if name in set(known["method"])]:
        part = known[known["method"] == method]
        source = str(part.iloc[0]["source"])
        for metric, value in part[part["source"] == source][["metric_percent", "value"]].itertuples(index=False):
            rows[method][f"published: {short['hter_at_eer' if metric == 'hter' else metric]}"] = f"{value:.2f}"
        rows[method]["published: source"] = source
    if "MMDG++" in rows and "published: source" not in rows["MMDG++"]:
        rows["MMDG++"]["published: source"] = "not available"
    order = [*(known_method.title for known_method in METHODS.values()), *rows]
    wide = pd.DataFrame.from_dict(rows, orient="index").fillna("").loc[sorted(rows, key=order.index)]
    ordered = sorted(wide.columns, key=lambda c: str(c).startswith("published"))
    return wide[ordered].rename_axis("method").reset_index()


def tables(
    runs: str | Path,
    *,
    out: str | Path,
    protocols: Sequence[str] = (*PROTOCOLS, "P6"),
    published: str | Path | None = None,
    progress: bool = True,
) -> list[Path]:
    """Rebuild every table from the scores below `runs` into `out` (CSV, Markdown, LaTeX); returns the files
    written.

    The tables are those of the protocols, components (U, ReGrad and ADPs in every combination), effects (of each over
    all combinations of the others), rules (of ReGrad), species (APCER) and coverage (which runs there are). Also
    written: runs.csv, every metric of every test. A protocol without runs gets its published numbers only.
    """
    (frame, species), out = collect_with_species(runs, progress=progress), Path(out)
    known = published_results(published)
    p6 = collect_deployments(runs, progress=progress)
    made = {
        protocol: deployments(p6) if protocol == "P6" else table(frame, protocol, published=known)
        for protocol in protocols
    }
    made |= {
        "components": _of_sets(frame, "Components of MMDG++", components),
        "effects": _of_sets(frame, "Effects of the components over all their combinations", _effects, note=EFFECTS),
        "rules": _of_sets(frame, "Rules of ReGrad", rules),
        "species": _of_sets(species, "APCER per attack species, protocol P1", species_table),
        "coverage": _of_sets(
            frame, "Which runs there are", lambda part: coverage(part, p6[p6["profile"].isin(part["profile"])])
        ),
    }
    written = [
        _write(out / f"{name}.{suffix}", one.text(layout))
        for name, one in made.items()
        for layout, suffix in LAYOUTS.items()
        if one.blocks
    ]
    return [*written, _write(out / "runs.csv", csv(frame))]


def _effects(frame: pd.DataFrame) -> pd.DataFrame:
    return as_text(all_effects(frame))


def _of_sets(
    frame: pd.DataFrame, title: str, make: Callable[[pd.DataFrame], pd.DataFrame], *, note: str = OVER_SEEDS
) -> Table:
    """One block per profile and kind of data, and a note on the numbers if there are any."""
    blocks = [
        (f"ours, {data} data, profile {profile}", made)
        for (profile, data), part in frame.groupby(["profile", "data"])
        if len(made := make(part))
    ]
    numbers = any("±" in cell or "." in cell for _, block in blocks for cell in block.iloc[:, 1:].to_numpy().ravel())
    return Table(title=title, blocks=tuple(blocks), notes=(note,) if numbers else ())


def _write(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def _block(cells: pd.DataFrame, metric: str, *, intervals: bool = False) -> pd.DataFrame:
    """A row per method, a column per setting; means with deviations, or intervals "low to high"."""
    part = cells[cells["metric"] == metric]
    shown = ["low", "high"] if intervals else ["mean", "sd"]
    draw = interval if intervals else percent
    text = [draw(a, b) for a, b in part[shown].itertuples(index=False)]
    wide = part.assign(text=text).pivot(index="method", columns="column", values="text")
    seeds = part.groupby("method")["seeds"].max()
    order = in_order(wide.index)
    wide = wide.loc[order]
    columns = sorted((str(column) for column in wide.columns), key=_place)
    wide = wide[columns]
    wide = wide.fillna("not run").rename(index=display_name).rename_axis(index="method", columns=None)
    return wide.reset_index().assign(seeds=list(seeds[order].astype(str)))


def _place(column: str) -> tuple[int, str]:
    """Where a column stands: all present, then missing modalities in their order, others by name, the average last."""
    fixed = ["all present", *MISSING.values()]
    return (fixed.index(column), "") if column in fixed else (len(fixed) + (column == AVERAGE), column)


def _published_block(part: pd.DataFrame) -> pd.DataFrame:
    keys = zip(part["method"], part["protocol"], strict=True)
    methods = [f"{key[0]} (may be another test)" if key in WARNINGS else key[0] for key in keys]
    numbers = part.assign(text=part["value"].map("{:.2f}".format), method=methods)
    order = list(dict.fromkeys(part["setting"]))
    wide = numbers.pivot_table(
        index=["method", "source", "standing"], columns="setting", values="text", aggfunc="first", sort=False
    )
    wide = wide[[c for c in order if c != AVERAGE] + [c for c in order if c == AVERAGE]].fillna("")
    wide = wide.rename_axis(columns=None).reset_index()
    return wide[["method", *[c for c in order if c in wide.columns], "source", "standing"]]
