"""The tables of the paper, rebuilt from scores: P1 to P5, the component ablation, and published numbers beside
them.

Numbers on the synthetic domains and published numbers (real data) are not comparable; they never share a column.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path

import pandas as pd

from mmdg_lite.configuration import write_text
from mmdg_lite.methods import METHODS
from mmdg_lite.results import KEYS, collect, collect_species
from mmdg_lite.table_text import LAYOUTS, Layout, latex, markdown, percent

# what each protocol's table shows: protocols whose runs it reads, whether of tests with missing modalities, its columns
PROTOCOLS = ("P1", "P2", "P3", "P4", "P5")
METRICS = {
    "hter": "HTER at the threshold fixed on the sources' validation lists",
    "hter_at_eer": "HTER at the target's own equal-error point (what papers report; not deployable)",
    "auc": "AUC",
}
MISSING = {"depth": "missing D", "infrared": "missing I", "depth_infrared": "missing D&I"}
COMPONENTS = ("U", "ReGrad", "ADP")  # uncertainty in the adapters, gradient modulation, asymmetric domain prompts
GROUP = ["profile", "data", "method"]
AVERAGE = "Average"


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
            buffer = StringIO()
            stacked.to_csv(buffer, index=False)
            return buffer.getvalue()
        draw = markdown if layout == "markdown" else latex
        return draw(self.title, self.blocks, self.notes)


def display_name(method: str) -> str:
    """A method's name as tables print it; unknown names print as they are."""
    return METHODS[method].title if method in METHODS else method


def in_order(methods: Iterable[str]) -> list[str]:
    """The distinct methods, known ones in the order of `METHODS` and others behind them by name."""
    there = set(methods)
    return [name for name in METHODS if name in there] + sorted(there - set(METHODS))


def select(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The rows of `collect` that a protocol's table is about, with a `column` that names where each number stands.

    P2 reads P1's runs tested with missing modalities. Raises ValueError for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
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


def table(frame: pd.DataFrame, protocol: str, *, published: pd.DataFrame | None = None) -> Table:
    """A protocol's table: per profile and metric a block of ours, then published numbers in blocks of their own.

    `frame`: from `collect`. `published`: from `published_results`; None takes what the package holds. Numbers are
    percentages, mean ± standard deviation over seeds.
    """
    cells = aggregate(frame, protocol)
    blocks = []
    for (profile, data), part in cells.groupby(["profile", "data"]):
        blocks += [(f"ours, {data} data, profile {profile}: {title}", _block(part, m)) for m, title in METRICS.items()]
    known = published_results() if published is None else published
    known = known[known["protocol"] == protocol]
    for metric, title in (("hter", "HTER at the equal-error point, as published"), ("auc", "AUC, as published")):
        if len(part := known[known["metric_percent"] == metric]):
            blocks.append((f"published, real data: {title}", _published_block(part)))
    notes = [
        "Percent, mean ± standard deviation over seeds. Synthetic and published (real) numbers are not comparable.",
        "second-hand: quoted by a later paper, not seen in the method's own.",
    ]
    if "MMDG++" not in set(known["method"]):
        notes.append(
            "MMDG++, published: not available; put the paper's numbers into a published_results.csv of your own."
        )
    return Table(title=f"Protocol {protocol}", blocks=tuple(blocks), notes=tuple(notes))


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


def components(frame: pd.DataFrame) -> pd.DataFrame:
    """The component ablation on P1: frozen head, cross-adapters, and uncertainty, ReGrad and ADPs in any combination.

    Columns: profile, data, method, one of each in COMPONENTS ("x" where the method has it), and the three metrics'
    averages in percent, as text; a row per method that was run, fewest components first.
    """
    cells = aggregate(frame, "P1")
    wide = cells[cells["column"] == AVERAGE]
    rows = []
    for (profile, data, method), part in wide.groupby(GROUP):
        parts = _components_of(str(method))
        if parts is None:
            continue
        row = {"profile": profile, "data": data, "method": display_name(str(method))}
        row |= {label: "x" if has else "" for label, has in zip(COMPONENTS, parts, strict=True)}
        row |= {m: percent(mean, sd) for m, mean, sd in part[["metric", "mean", "sd"]].itertuples(index=False)}
        rows.append(((profile, data, sum(parts), list(METHODS).index(str(method))), row))
    return pd.DataFrame([row for _, row in sorted(rows, key=lambda r: r[0])])


def published_results(path: str | Path | None = None) -> pd.DataFrame:
    """Published numbers: method, protocol, setting, metric_percent, value (percent), source, standing.

    `path`: a user's own file of the same columns, whose rows are added. Raises ValueError when its columns differ.
    """
    shipped = pd.read_csv(
        StringIO((files("mmdg_lite") / "assets" / "published_results.csv").read_text(encoding="utf-8"))
    )
    if path is None:
        return shipped
    own = pd.read_csv(path)
    if list(own.columns) != list(shipped.columns):
        raise ValueError(f"{path}: columns must be {', '.join(shipped.columns)}; they are {', '.join(own.columns)}")
    return pd.concat([shipped, own], ignore_index=True)


def tables(
    runs: str | Path, *, out: str | Path, protocols: Sequence[str] = PROTOCOLS, published: str | Path | None = None
) -> list[Path]:
    """Rebuild every table from the scores below `runs` into `out` (CSV, Markdown, LaTeX); returns the files
    written.

    Also written: runs.csv (every metric of every test), species.csv (APCER per species) and components.csv. A
    protocol without runs gets its published numbers only.
    """
    frame, out = collect(runs, progress=True), Path(out)
    known = published_results(published)
    written = []
    for protocol in protocols:
        made = table(frame, protocol, published=known)
        for layout, suffix in LAYOUTS.items():
            if made.blocks:
                written.append(_write(out / f"{protocol}.{suffix}", made.text(layout)))
    for name, extra in (("runs", frame), ("species", collect_species(runs)), ("components", components(frame))):
        written.append(_write(out / f"{name}.csv", extra.to_csv(index=False)))
    return written


def _write(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def _components_of(name: str) -> tuple[bool, bool, bool] | None:
    """Whether a method has each of COMPONENTS; None for methods that are no part of the ablation."""
    m = METHODS.get(name)
    if m is None or m.kind != "trained" or m.architecture != "mmdg++":
        return None
    return m.adapters == "uncertainty", m.rule == "regrad", m.prompts == "asymmetric"


def _block(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    part = cells[cells["metric"] == metric]
    text = [percent(mean, sd) for mean, sd in part[["mean", "sd"]].itertuples(index=False)]
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
    numbers = part.assign(text=part["value"].map("{:.2f}".format))
    order = list(dict.fromkeys(part["setting"]))
    wide = numbers.pivot_table(
        index=["method", "source", "standing"], columns="setting", values="text", aggfunc="first", sort=False
    )
    wide = wide[[c for c in order if c != AVERAGE] + [c for c in order if c == AVERAGE]].fillna("")
    wide = wide.rename_axis(columns=None).reset_index()
    return wide[["method", *[c for c in order if c in wide.columns], "source", "standing"]]
