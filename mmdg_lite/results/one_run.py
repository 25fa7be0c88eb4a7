"""Results of one finished run: its validations, its threshold, and its error rates on every test."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmdg_lite.metrics import bootstrap_interval
from mmdg_lite.results.collect import list_names, read_history, read_list
from mmdg_lite.runs.folder import RunFolder, read_run, read_threshold
from mmdg_lite.runs.scores import TEST, Scores, missing_words, of_p6


def validations(run: str | Path) -> pd.DataFrame:
    """The validation lines of a run, with a column `kept` that is true for the candidate whose parameters tested.

    Trained methods keep the lowest EER, ties broken by cross-entropy; the linear probe the lowest cross-entropy.
    Raises ValueError, naming the file, for a log without validations, or a damaged one.
    """
    looks = read_history(run, event="validation")
    if looks.empty:
        raise ValueError(f"{Path(run) / 'metrics.jsonl'} holds no validation; restore the file, or run again")
    order = ["loss"] if "strength" in looks else ["eer", "loss"]
    best = looks.sort_values(order, kind="stable").index[0]
    return looks.assign(kept=looks.index == best)


def test_lists(run: str | Path) -> dict[tuple[str, str], Scores]:
    """Scores of every test of a run by (target domain, what is missing, "" for nothing), in the files' order.

    Without the lists that protocol P6 adds to it.
    """
    found = [TEST.fullmatch(name) for name in list_names(run)]
    matches = [match for match in found if match is not None and not of_p6(match)]
    return {(match["target"], match["missing"] or ""): read_list(run, match[0]) for match in matches}


def threshold(run: str | Path) -> float:
    """The threshold that a run fixed on its sources' validation scores."""
    return read_threshold(run)


def test_table(run: str | Path) -> pd.DataFrame:
    """A row per test: error rates in percent, HTER with its 95 % bootstrap interval, worst species by APCER."""
    at = threshold(run)
    rows = []
    for (target, missing), scores in test_lists(run).items():
        metrics = scores.metrics(threshold=at)
        low, high = bootstrap_interval(scores.scores, scores.labels, metric="hter", threshold=at)
        worst = max(metrics.apcer_per_species, key=metrics.apcer_per_species.__getitem__)
        rows.append(
            {
                "target": target,
                "missing": missing_words(missing),
                "HTER": 100 * metrics.hter,
                "95 % interval": f"{100 * low:.1f} to {100 * high:.1f}",
                "HTER at EER point": 100 * metrics.hter_at_eer,
                "AUC": 100 * metrics.auc,
                "BPCER": 100 * metrics.bpcer,
                "APCER": 100 * metrics.apcer,
                "worst species": worst.replace("_", " "),
            }
        )
    return pd.DataFrame(rows).round(2)


def run_findings(run: str | Path) -> dict[str, Any]:
    """The numbers of a finished run that a grid or a test looks at: fractions, averaged over targets.

    Raises ValueError, naming the file, for a result without them, or another damaged file.
    """
    folder = RunFolder(run)
    config, result = folder.read_config(), read_run(run)[1]
    kept = validations(run).query("kept").iloc[0]
    names = ("hter", "hter_at_eer", "auc", "far", "frr")

    def number(*keys: str) -> float:
        value: Any = result
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if type(value) not in (int, float):
            raise ValueError(f"{folder.result}: {'.'.join(keys)} is {str(value)[:40]!r}, must be a number")
        return value

    listed = result["metrics"] if isinstance(result.get("metrics"), dict) else {}
    per_test = {name: number("metrics", name, "hter") for name in listed if name != "validation"}
    return {
        "method": config.method,
        "protocol": config.protocol,
        "setting": config.setting,
        "seed": config.seed,
        "steps": number("steps"),
        "kept_step": int(kept["step"]),
        "seconds": number("seconds"),
        "threshold": number("threshold"),
        "validation_eer": number("metrics", "validation", "eer"),
        **{
            name: float(np.mean([number("metrics", f"test_{letter}", name) for letter in config.domains.targets]))
            for name in names
        },
        "hter_per_test": per_test,
    }
