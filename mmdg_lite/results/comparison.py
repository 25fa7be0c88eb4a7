"""Finished runs side by side: what notebook 07 and the committed figures are made of.

Committed results hold what tables and figures need of each run and nothing else (`score_archive`); everything here is
computed from them again. Sentences about the results are computed too, so that they cannot outlive the numbers.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mmdg_lite.results.cells import POINTS, PROTOCOL_NAMES
from mmdg_lite.results.collect import collect, read_list
from mmdg_lite.results.components import COMPONENTS, Effect, all_effects
from mmdg_lite.results.paired_test import SIGNIFICANT, Comparison, compare, pairs_in_common
from mmdg_lite.results.table_text import grid
from mmdg_lite.results.tables import METRICS, Table, display_name, in_order
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.folder import finished_runs, read_run
from mmdg_lite.runs.scores import Scores


def results(committed: str | Path, runs: str | Path | None = None) -> pd.DataFrame:
    """Rows of `results.collect` of the committed runs and of the reader's own ones, told apart by `profile`.

    Profiles read "full (committed)" and "quick (yours)"; the reader's come first. Either folder may be absent or empty.

    Raises:
        FileNotFoundError: there is no finished run of P1 in either; the message says how to make some.
    """
    frames = []
    for folder, whose in ((runs, "yours"), (committed, "committed")):
        if folder and finished_runs(folder):
            frame = collect(folder)
            place = {name: number for number, name in enumerate(in_order(frame["method"]))}
            frame = frame.iloc[frame["method"].map(place).argsort(kind="stable")]
            frames.append(frame.assign(profile=frame["profile"] + f" ({whose})"))
    if not any((frame["protocol"] == "P1").any() for frame in frames):
        raise FileNotFoundError(
            f"no finished run of protocol P1 in {Path(committed)}"
            + (f" nor in {Path(runs)}" if runs else "")
            + ": run "
            "`make reproduce` (quick), or `python -m mmdg_lite reproduce --profile full --out runs/full`, and give its "
            "folder of runs as the parameter `runs`"
        )
    return pd.concat(frames, ignore_index=True)


def profiles(frame: pd.DataFrame) -> list[str]:
    """The sets of runs that hold protocol P1, by profile, the reader's own first."""
    return list(dict.fromkeys(frame.loc[frame["protocol"] == "P1", "profile"]))


def table_markdown(table: Table, start: str, *, metric: str = "") -> str:
    """The blocks of a table whose caption begins with `start`, as Markdown; `metric`: only that one of ours."""
    title = METRICS[metric] if metric else ""
    blocks = [(caption, block) for caption, block in table.blocks if caption.startswith(start) and title in caption]
    return "\n\n".join(f"**{caption}**\n\n{grid(block)}" for caption, block in blocks)


def means(frame: pd.DataFrame, metric: str) -> dict[str, dict[str, float]]:
    """Average of a metric over P1's targets and seeds, a fraction, by profile and method."""
    rows = p1_rows(frame)
    return {
        str(profile): {str(method): float(values.mean()) for method, values in part.groupby("method")[metric]}
        for profile, part in rows.groupby("profile", sort=False)
    }


def one_run(frame: pd.DataFrame, method: str, *, seed: int | None = None) -> Path:
    """Folder of one P1 run of a method: of the first setting, and of `seed` if there is one.

    Raises ValueError when the method was not run.
    """
    rows = p1_rows(frame)
    rows = rows[rows["method"] == method].sort_values(["seed", "setting"])
    if rows.empty:
        raise ValueError(f"no run of {method} on P1; there are {', '.join(sorted(set(frame['method'])))}")
    mine = rows[rows["seed"] == seed]
    return Path((rows if mine.empty else mine)["run"].iloc[0])


def cost(frame: pd.DataFrame) -> pd.DataFrame:
    """How long runs took: a row per profile, method and device with the number of runs, seeds, median steps and
    seconds."""
    runs = frame.drop_duplicates("run")
    runs = runs.assign(device=runs["run"].map(device_of))
    rows = runs.groupby(["profile", "method", "device"], sort=False)
    table = rows.agg(
        runs=("run", "size"), seeds=("seed", "nunique"), steps=("steps", "median"), seconds=("seconds", "median")
    )
    return table.astype({"steps": int}).reset_index().assign(method=lambda t: t["method"].map(display_name))


def device_of(run: str | Path) -> str:
    """ "GPU" for a run that has memory of a CUDA device in its result, else "CPU"."""
    _, result = read_run(Path(run))
    return "GPU" if result.get("device_memory_mib") else "CPU"


def curves(frame: pd.DataFrame, target: str, *, seed: int | None = None) -> dict[str, Scores]:
    """Test scores of each method on one target domain with nothing missing, by the method's printed name.

    `frame`: rows of one profile. `seed`: whose run; None or an absent one takes the lowest.
    """
    folders = _one_seed(frame, target, seed=seed)["run"]
    return {display_name(method): read_list(folders[method], f"test_{target}") for method in in_order(folders.index)}


def differences(frame: pd.DataFrame, *, method: str = "mmdg++") -> pd.DataFrame:
    """Paired differences of P1, `method` minus each other method, in percentage points, a row per reference and metric.

    `low` and `high` are the 95 % interval over targets, `p` the two-sided sign-flip test over (target, seed) pairs.
    """
    p1, rows = p1_rows(frame), []
    for reference in [name for name in in_order(p1["method"]) if name != method]:
        for metric in POINTS:
            c = compare(p1, method, reference, metric=metric)
            rows.append(
                {
                    "against": display_name(reference),
                    "metric": POINTS[metric],
                    "difference": round(100 * c.difference, 2),
                    "low": round(100 * c.low, 2),
                    "high": round(100 * c.high, 2),
                    "pairs": c.pairs,
                    "p": round(c.p_value, 4),
                    "reading": verdict_of(c),
                }
            )
    return pd.DataFrame(rows)


def verdict_of(comparison: Comparison) -> str:
    """Verdict of a comparison: better or worse where interval and test agree on it, else undecided."""
    if not comparison.decided:
        return "undecided"
    lower = comparison.difference < 0
    return "better" if lower == (comparison.metric != "auc") else "worse"


def findings(frame: pd.DataFrame, *, method: str = "mmdg++") -> list[str]:
    """Findings of one profile, as sentences that are computed from its results.

    Of P1, with the components' effects on every protocol that has all their combinations (`decided_effects`). `frame`:
    rows of `results.collect` of one profile and one kind of data.
    """
    rows = p1_rows(frame)
    (profile,), (data,) = rows["profile"].unique(), rows["data"].unique()
    seeds, targets = rows["seed"].nunique(), rows["target"].nunique()
    size = int((rows["live"] + rows["spoof"]).median())
    sentences = [
        f"{profile}: {seeds} seed{'s' if seeds > 1 else ''}, {targets} target domains, {size} test faces each, all of "
        f"them {data}. " + ("Nothing here speaks of real faces." if data == "synthetic" else "")
    ]
    others = [name for name in in_order(rows["method"]) if name != method]
    if method in set(rows["method"]):
        known = [name for name in others if pairs_in_common(rows, method, name) > 1]
        sentences += [_sentence(compare(rows, method, name)) for name in known]
    sentences += decided_effects(all_effects(frame))
    means = rows.pivot_table(index="target", columns="method", values="hter")
    best = means.idxmin(axis=1)
    lowest = means.min(axis=1)
    winners = "; ".join(
        f"{t}: {display_name(str(m))} ({100 * h:.1f} %)" for t, m, h in zip(best.index, best, lowest, strict=True)
    )
    sentences.append(f"Lowest mean HTER per target domain: {winners}.")
    gap = 100 * (rows["hter"] - rows["hter_at_eer"])
    sentences.append(
        f"HTER at the threshold fixed on the sources minus HTER at the target's own equal-error point: "
        f"{gap.mean():.1f} points on average, from {gap.min():.1f} to {gap.max():.1f} in single runs; the second needs "
        "the target's labels and cannot be deployed."
    )
    if seeds > 1:
        spread = 100 * rows.groupby(["method", "target"])["hter"].std().mean()
        sentences.append(f"Between seeds, HTER on the same target varies by {spread:.1f} points (standard deviation).")
    if seeds * targets < 6:
        sentences.append(
            f"{seeds * targets} pairs are too few for the sign-flip test to fall below {SIGNIFICANT}: whatever the "
            "differences, this run alone decides nothing."
        )
    return sentences


def decided_effects(found: Iterable[Effect]) -> list[str]:
    """Which effects of the components are decided, a sentence per protocol; no sentence where there are no effects.

    `found`: as of `factorial.all_effects`.
    """
    found, sentences = list(found), []
    for protocol in dict.fromkeys(e.protocol for e in found):
        mine = [e for e in found if e.protocol == protocol]
        by_metric = {
            POINTS[metric]: ", ".join(
                f"{e.name} {100 * e.comparison.difference:+.1f}"
                for e in mine
                if e.metric == metric and e.comparison.decided
            )
            for metric in dict.fromkeys(e.metric for e in mine)
        }
        decided = "; ".join(f"{metric}: {names}" for metric, names in by_metric.items() if names)
        number = sum(e.comparison.decided for e in mine)
        sentences.append(
            f"Effects of {', '.join(COMPONENTS)} and their interactions on "
            f"{PROTOCOL_NAMES[protocol].replace(': ', ' (')}), not corrected for the number of tests: "
            f"{number or 'none'} of {len(mine)} decided" + (f", in percentage points: {decided}." if number else ".")
        )
    return sentences


def differences_from(frame: pd.DataFrame, reference: str) -> list[str]:
    """A sentence per other method on its HTER on P1 against the reference, where they have more than one pair."""
    rows = p1_rows(frame)
    others = [name for name in in_order(rows["method"]) if name != reference]
    return [_sentence(compare(rows, m, reference)) for m in others if pairs_in_common(rows, m, reference) > 1]


def long_enough(doubled: pd.DataFrame, frame: pd.DataFrame, config: RunConfig) -> list[str]:
    """Which methods were trained long enough, by the rule of `convergence.doubling`, as sentences.

    Args:
        doubled: what `convergence.doubling` gives.
        frame: rows of `results.collect`; its trained methods are the ones that are spoken of.
        config: how they were trained: faces per source, batch and steps.
    """
    faces, batch, steps = config.data.train_samples, config.training.batch_size, config.training.steps
    at = (doubled["faces per source"] == faces) & (doubled["batch"] == batch) & (doubled["steps"] == steps)
    tested = doubled[at].set_index("method")
    sentences = [f"With {faces} faces per source, batches of {batch} and {steps} steps, by this rule:"]
    for name, row in tested.iterrows():
        sentences.append(
            f"{name} was {'' if row['long enough'] else 'not '}trained long enough: twice the steps gain "
            f"{row['EER gained']:+.2f} points of EER and {row['cross-entropy gained, %']:+.1f} % of cross-entropy."
        )
    trained = [display_name(method) for method in in_order(frame.loc[frame["steps"] > 0, "method"])]
    if unknown := [name for name in trained if name not in tested.index]:
        sentences.append(f"Not tested at this size: {', '.join(unknown)}.")
    return sentences


def hardest(frame: pd.DataFrame) -> str:
    """The target domain with the highest mean HTER over all methods on P1."""
    return str(p1_rows(frame).groupby("target")["hter"].mean().idxmax())


def p1_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of protocol P1 with nothing missing."""
    return frame[(frame["protocol"] == "P1") & (frame["missing"] == "")]


def _one_seed(frame: pd.DataFrame, target: str, *, seed: int | None) -> pd.DataFrame:
    """Rows of P1 on one target with nothing missing, of one seed (the lowest for None or an absent one), by method."""
    rows = p1_rows(frame)
    rows = rows[rows["target"] == target]
    chosen = seed if seed in set(rows["seed"]) else rows["seed"].min()
    return rows[rows["seed"] == chosen].set_index("method")


def thresholds_by_method(frame: pd.DataFrame, target: str, *, seed: int | None) -> dict[str, float]:
    """Of each method's run that `curves` takes: the threshold fixed on its validation scores, by printed name."""
    return {display_name(str(name)): at for name, at in _one_seed(frame, target, seed=seed)["threshold"].items()}


def _sentence(c: Comparison) -> str:
    points, word = 100 * c.difference, verdict_of(c)
    direction = "lower" if points < 0 else "higher"
    verdict = "no difference that this evidence supports" if word == "undecided" else f"it is {word}"
    return (
        f"{display_name(c.method)} against {display_name(c.reference)}: HTER {abs(points):.1f} points {direction} "
        f"(95 % interval {100 * c.low:.1f} to {100 * c.high:.1f} over targets, p = {c.p_value:.3f}, {c.pairs} pairs): "
        f"{verdict}."
    )
