"""What single settings are worth on the sources' validation lists: trainings that differ from their profile in them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from mmdg_lite.plots.run import changed_settings
from mmdg_lite.results.cells import display_name
from mmdg_lite.results.convergence import lowest
from mmdg_lite.runs.folder import RunFolder

AS_IS = "as in the profile"
# nothing is tested in a search; a training has as many steps as its counterpart, whatever their profile's; "auto" is
# float32 where a search without a GPU was made
UNTOLD = ("data.test_samples", "training.steps", "training.validate_every", "training.precision")


def changes(folder: str | Path) -> pd.DataFrame:
    """A row per method, number of steps and change of settings, beside the same trainings without it.

    `folder`: run folders at any depth, of which only config.json and metrics.jsonl are read. Columns: method, steps,
    change, trainings (how many have a counterpart), EER (percent) and cross-entropy (nats), the lowest on the sources'
    validation lists, means over these trainings, and how much lower each is than without the change (`gained`, with
    the gain of each training in `EER gains`).

    Raises:
        FileNotFoundError: no run below the folder.
        ValueError: naming the folder, for a run that was not trained to its end, or has no counterpart.
    """
    rows = [_row(path.parent) for path in sorted(Path(folder).rglob("config.json"))]
    if not rows:
        raise FileNotFoundError(f"no run folder (with config.json) in {Path(folder).resolve()}")
    frame = pd.DataFrame(rows)
    keys = ["method", "setting", "seed", "steps"]
    usual = frame[frame["change"] == AS_IS].drop(columns=["change", "run"])
    pairs = frame.merge(usual, on=keys, how="left", suffixes=("", " before"), validate="many_to_one")
    alone = pairs[pairs["EER before"].isna()]
    if len(alone):
        raise ValueError(f"{alone['run'].iloc[0]} has no counterpart: the same training {AS_IS}")
    table = []
    for (method, steps, change), part in pairs.groupby(["method", "steps", "change"], sort=False):
        gains = part["EER before"] - part["EER"]
        table.append(
            {
                "method": display_name(str(method)),
                "steps": steps,
                "change": change,
                "trainings": len(part),
                "EER": round(part["EER"].mean(), 2),
                "EER gained": round(gains.mean(), 2),
                "EER gains": ", ".join(f"{gain:+.1f}" for gain in gains),
                "cross-entropy": round(part["cross-entropy"].mean(), 3),
                "cross-entropy gained": round((part["cross-entropy before"] - part["cross-entropy"]).mean(), 3),
            }
        )
    order = sorted(table, key=lambda row: (row["method"], row["steps"], row["change"] != AS_IS, row["change"]))
    return pd.DataFrame(order)


def _row(run: Path) -> dict[str, Any]:
    config = RunFolder(run).read_config()
    changed = {name: value for name, value in changed_settings(config).items() if name not in UNTOLD}
    told = ", ".join(f"{name} = {json.dumps(value)}" for name, value in changed.items())
    keys = {"method": config.method, "setting": config.setting, "seed": config.seed, "steps": config.training.steps}
    return {**keys, "change": told or AS_IS, "run": str(run), **lowest(run, config)}
