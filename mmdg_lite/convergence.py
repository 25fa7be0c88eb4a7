"""Whether training was long enough, by the sources' validation lists alone: no target is looked at."""

from pathlib import Path

import numpy as np
import pandas as pd

from mmdg_lite.aggregation import display_name
from mmdg_lite.results import finished_runs, read_run
from mmdg_lite.run_report import validations


def second_half(frame: pd.DataFrame) -> pd.DataFrame:
    """Whether more steps still helped on the sources' validation lists, a row per profile and trained method.

    Columns: median step of the kept parameters, steps made, and how far validation EER (percentage points) and
    cross-entropy (nats) fell from the middle of training to its end; about zero or negative means converged.
    """
    rows = []
    for (profile, method), part in frame.drop_duplicates("run").groupby(["profile", "method"], sort=False):
        looks = [validations(run) for run in part["run"]]
        if any("strength" in look for look in looks):
            continue  # solved to tolerance: no steps
        kept = [int(look.loc[look["kept"], "step"].iloc[0]) for look in looks]
        gains = [_late_gain(look) for look in looks]
        rows.append(
            {
                "profile": profile,
                "method": display_name(str(method)),
                "kept step (median)": int(np.median(kept)),
                "steps": int(part["steps"].median()),
                "EER gained in the second half": round(100 * float(np.mean([gain[0] for gain in gains])), 2),
                "cross-entropy gained": round(float(np.mean([gain[1] for gain in gains])), 3),
            }
        )
    return pd.DataFrame(rows)


def longer(runs: str | Path, longer_runs: str | Path) -> pd.DataFrame:
    """The same training with more steps: a row per run below `longer_runs` that has its like in `runs`.

    Alike are runs of one protocol, setting, method and seed. Columns: what was run, both numbers of steps, and the
    lowest validation EER (percent) and cross-entropy (nats) of both.
    """
    shorter = {_what(run): run for run in finished_runs(runs)}
    rows = []
    for run in finished_runs(longer_runs):
        if (like := shorter.get(_what(run))) is None:
            continue
        _, setting, method, seed = _what(run)
        row = {"setting": setting, "method": display_name(method), "seed": seed}
        for steps, looks in sorted((int(read_run(r)[1]["steps"]), validations(r)) for r in (like, run)):
            row[f"EER, {steps} steps"] = round(100 * float(looks["eer"].min()), 2)
            row[f"cross-entropy, {steps} steps"] = round(float(looks["loss"].min()), 3)
        rows.append(row)
    return pd.DataFrame(rows)


def _what(run: Path) -> tuple[str, str, str, int]:
    config, _ = read_run(run)
    return config["protocol"], config["setting"], config["method"], config["seed"]


def _late_gain(looks: pd.DataFrame) -> tuple[float, float]:
    """Best EER and cross-entropy up to the middle of training minus those of the whole."""
    early = looks[looks["step"] <= looks["step"].max() / 2]
    early = looks.head(1) if early.empty else early
    return float(early["eer"].min() - looks["eer"].min()), float(early["loss"].min() - looks["loss"].min())
