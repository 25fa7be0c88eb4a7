"""What training logs say about the modalities: how far apart, who was ahead, what conflicted, what was certain."""

import pandas as pd

from mmdg_lite.modality import MODALITIES
from mmdg_lite.results.cells import display_name, in_order
from mmdg_lite.results.collect import read_history

LOSSES = [f"loss_{modality.value}" for modality in MODALITIES]
CERTAINTIES = [f"certainty_{modality.value}" for modality in MODALITIES]


def imbalance(history: pd.DataFrame) -> float:
    """How far the modalities' losses lie apart: their standard deviation over their mean, averaged over a log's lines.

    `history`: from `results.read_history`. Lines without all three losses do not count; NaN if none has them.
    """
    if not set(LOSSES) <= set(history.columns):
        return float("nan")
    losses = history[LOSSES].astype(float).dropna()
    return float((losses.std(axis=1, ddof=0) / losses.mean(axis=1)).mean())


def dynamics(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per trained method, averages over its runs on P1 (`frame`: rows of `results.collect` of one profile).

    Columns: runs; imbalance (see there); share of steps with a fastest modality that each was it; share of
    (parameter, other modality) pairs whose gradients conflict, of two unrelated ones it would be 0.5; mean certainty
    over the first and over the last tenth of the log; each modality's training loss over the last tenth. Empty where a
    method has no such thing.
    """
    rows = []
    p1 = frame[frame["protocol"] == "P1"].drop_duplicates("run")
    for method in in_order(p1["method"]):
        logs = [log for run in p1.loc[p1["method"] == method, "run"] if len(log := read_history(run))]
        if logs:
            means = pd.DataFrame([_of_one(log) for log in logs]).mean()
            rows.append({"method": display_name(method), "runs": len(logs)} | dict(means))
    return pd.DataFrame(rows)


def _of_one(log: pd.DataFrame) -> dict[str, float]:
    tenth = max(1, len(log) // 10)
    certainty = log.reindex(columns=CERTAINTIES).astype(float).mean(axis=1)
    losses = log.reindex(columns=LOSSES).astype(float)
    fastest = log["fastest"].dropna() if "fastest" in log else pd.Series(dtype=object)
    shares = {f"fastest {m.value}": float((fastest == m.value).mean()) for m in MODALITIES}
    return {
        "imbalance": imbalance(log),
        **shares,
        "conflict rate": float(log.reindex(columns=["conflict_rate"]).astype(float).mean().iloc[0]),
        "certainty, start": float(certainty.head(tenth).mean()),
        "certainty, end": float(certainty.tail(tenth).mean()),
        **{f"loss {m.value}, end": float(losses[f"loss_{m.value}"].tail(tenth).mean()) for m in MODALITIES},
    }
