"""What `make reproduce` ends with: ten lines that compare a reader's runs with the committed ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import pandas as pd
from scipy.stats import t as student_t
from tqdm.auto import tqdm

from mmdg_lite.results.cells import display_name, in_order
from mmdg_lite.results.collect import collect
from mmdg_lite.results.tables import tables
from mmdg_lite.runs.config import setting_folder

PROBE, FUSION, WHOLE = "linear_probe", "fusion", "mmdg++"
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Compared:
    """HTER of the reader's run of a method beside the committed runs of the same profile; fractions in 0..1."""

    method: str
    mine: float
    low: float  # 95 % prediction interval for one more run, from the committed seeds
    high: float
    longer: float  # mean of the committed runs of the full profile on the same target

    @property
    def inside(self) -> bool:
        """True if the reader's run lies in the interval."""
        return self.low <= self.mine <= self.high


def prediction_interval(values: Sequence[float], *, resolution: float = 0.0) -> tuple[float, float]:
    """Where one more value of the same normal distribution lies with a probability of 95 %.

    It is mean -+ t(n - 1) * s * sqrt(1 + 1/n) of n values with standard deviation s. `resolution` widens both ends: the
    least step that a value can take. Raises ValueError for fewer than two values.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval needs at least two values, not {n}")
    half = float(student_t.ppf((1 + LEVEL) / 2, n - 1)) * stdev(values) * math.sqrt(1 + 1 / n) + resolution
    return mean(values) - half, mean(values) + half


def compared(mine: pd.DataFrame, committed: pd.DataFrame, longer: pd.DataFrame) -> list[Compared]:
    """Each of the reader's runs on protocol P1 beside the committed ones on the same target.

    Args:
        mine: rows of `results.collect` of the reader's runs, of one setting and seed.
        committed: rows of the committed runs of the same profile, at least two seeds of every method.
        longer: rows of the committed runs of the full profile.
    """
    found = []
    for row in _nothing_missing(mine).to_dict("records"):
        seeds, full = (
            part.loc[(part["method"] == row["method"]) & (part["target"] == row["target"]), "hter"]
            for part in map(_nothing_missing, (committed, longer))
        )
        one_face = 0.5 / min(row["live"], row["spoof"])  # what one face more on the wrong side adds to HTER
        low, high = prediction_interval(seeds.tolist(), resolution=one_face)
        found.append(
            Compared(
                method=row["method"], mine=row["hter"], low=max(low, 0), high=min(high, 1), longer=float(full.mean())
            )
        )
    order = in_order(row.method for row in found)
    return sorted(found, key=lambda row: order.index(row.method))


def rebuild(committed: Path, out: Path, *, progress: bool = True) -> tuple[int, list[str]]:
    """Rebuild the tables of every profile from the committed scores and compare them with the committed tables.

    Args:
        committed: the folder "figures": scores/PROFILE beside the tables PROFILE/*.md.
        out: where the rebuilt tables go, by profile.
        progress: show a bar.

    Returns:
        How many tables there are, and the names of those that differ, such as "full/P1.md".
    """
    names = [path.name for path in sorted((committed / "scores").iterdir()) if path.is_dir()]
    pages = []
    for name in tqdm(names, desc="committed tables, rebuilt from scores", unit="profile", disable=not progress):
        tables(committed / "scores" / name, out=out / name, progress=False)
        pages += [Path(name, page.name) for page in sorted((committed / name).glob("*.md"))]
    differ = [p for p in pages if not (out / p).is_file() or (out / p).read_text("utf-8") != _text(committed / p)]
    return len(pages), [page.as_posix() for page in differ]


def last_screen(runs: Path, *, committed: Path, out: Path, progress: bool = True) -> str:
    """Ten lines: the reader's runs beside the committed ones, the tables rebuilt, what this shows, where to read on.

    Args:
        runs: the reader's runs, of one setting of P1, one seed and one profile that has committed seeds.
        committed: the folder "figures".
        out: the reader's folder; rebuilt tables go to out/committed.
        progress: show a bar while the tables are rebuilt.
    """
    mine = collect(runs)
    first = mine.iloc[0]
    setting = Path("P1", setting_folder(first["setting"]))
    same, full = (
        collect(committed / "scores" / name / setting, methods=set(mine["method"]))
        for name in (first["profile"], "full")
    )
    found = compared(mine, same, full)
    count, differ = rebuild(committed, out / "committed", progress=progress)
    sources, target = first["setting"].split("->")
    title = f"HTER on {target} in %, trained on {', '.join(sources)}"
    width = max(len(title), *(len(display_name(row.method)) for row in found))
    rows = pd.DataFrame(
        {
            title.ljust(width): [display_name(row.method).ljust(width) for row in found],
            f"seed {first['seed']}, {first['steps']} steps": [f"{100 * row.mine:.1f}" for row in found],
            f"expected by {same['seed'].nunique()} seeds": [
                f"{100 * row.low:.1f} to {100 * row.high:.1f}" for row in found
            ],
            "": ["inside" if row.inside else "OUTSIDE" for row in found],
            f"{full['steps'].max()} steps": [f"{100 * row.longer:.1f}" for row in found],
        }
    )
    lines = [rows.to_string(index=False, col_space=[0, *[len(name) + 2 for name in rows.columns[1:]]])]
    lines += [
        _against_the_probe(found),
        f"Tables of all protocols, rebuilt from the committed scores: {count - len(differ)} of {count} equal the "
        f"committed ones{'' if not differ else '; different: ' + ', '.join(differ)}",
        _shown(found, differ),
        _not_shown(same),
        f"Read on: {_near(committed / 'REPORT.md')} (the paper's claims), README.md, `make lab` (notebooks)",
        f"This run: {_near(out)} (tables, figures, runs, executed notebooks and their logs)",
    ]
    return "\n".join(lines)


def _against_the_probe(found: Sequence[Compared]) -> str:
    """One line: do adapters beat the linear probe in these runs?"""
    by_name = {row.method: row for row in found}
    gains = [
        f"{display_name(name)} {'beats' if gain > 0 else 'does not beat'} the probe ({gain:+.1f} points)"
        for name in (FUSION, WHOLE)
        if {PROBE, name} <= by_name.keys()
        for gain in [100 * (by_name[PROBE].mine - by_name[name].mine)]
    ]
    return "; ".join(gains) if gains else "No linear probe, fusion and MMDG++ to compare"


def _shown(found: Sequence[Compared], differ: Sequence[str]) -> str:
    """One line: what the reader has seen now."""
    if differ or not all(row.inside for row in found):
        return "Shown: something differs here. `python -m mmdg_lite doctor` checks the installation"
    return "Shown: on this machine the method trains and tests as committed, and every table follows from its scores"


def _not_shown(committed: pd.DataFrame) -> str:
    """One line: what these runs cannot decide."""
    wide = _nothing_missing(committed).pivot(index="seed", columns="method", values="hter")
    text = "nothing about real faces: all are synthetic"
    if {FUSION, WHOLE} <= set(wide.columns):
        low, high = (100 * bound for bound in prediction_interval((wide[WHOLE] - wide[FUSION]).dropna().tolist()))
        decides = "tell" if low > 0 or high < 0 else "cannot tell"
        text = f"single seeds {decides} MMDG++ from fusion (difference {low:+.1f} to {high:+.1f} points); {text}"
    return f"Not shown: {text}"


def _nothing_missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["protocol"] == "P1") & (frame["missing"] == "")]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _near(path: Path) -> Path:
    """A path from the working directory if it lies below it, else the whole path."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
