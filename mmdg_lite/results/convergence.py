"""Convergence of the training runs on the sources' validation lists; no target is looked at."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmdg_lite.results.cells import display_name
from mmdg_lite.results.collect import read_history
from mmdg_lite.results.one_run import validations
from mmdg_lite.runs.command import changed_settings
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.methods import method as find_method

SAME = ["setting", "method", "seed", "faces per source", "batch", "learning rate"]
"""What trainings of different length have in common; with the steps, what makes them the same training."""
LITTLE = (1.0, 3.0)
"""Long enough is what twice the steps improve by at most so many points of EER and percent of cross-entropy."""


def second_half(frame: pd.DataFrame) -> pd.DataFrame:
    """Gain of the second half of training on the sources' validation lists, a row per profile and trained method.

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


def trainings(folder: str | Path) -> pd.DataFrame:
    """What trainings of different sizes come to on their sources' validation lists, a row each.

    `folder`: run folders at any depth, of which only config.json and metrics.jsonl are read; runs that are fitted and
    not trained are passed over. Columns: setting, method, seed, faces per source, batch, learning rate, steps and
    epochs; the lowest validation EER (percent) and cross-entropy (nats) with the step of each. Raises FileNotFoundError
    when there is none, and ValueError, naming the folder, for one that was not trained to its end.
    """
    rows = []
    for path in sorted(Path(folder).rglob("config.json")):
        config = RunFolder(path.parent).read_config()
        if find_method(config.method).kind != "trained":
            continue
        settings, faces = config.training, config.data.train_samples
        rows.append(
            {
                "setting": config.setting,
                "method": display_name(config.method),
                "seed": config.seed,
                "faces per source": faces,
                "batch": settings.batch_size,
                "learning rate": settings.learning_rate,
                "steps": settings.steps,
                "epochs": round(settings.steps * settings.batch_size / (faces * len(config.domains.sources)), 1),
                **lowest(path.parent, config),
            }
        )
    if not rows:
        raise FileNotFoundError(f"no run folder (with config.json) in {Path(folder).resolve()}")
    order = ["setting", "method", "seed", "faces per source", "batch", "learning rate", "steps"]
    return pd.DataFrame(rows).sort_values(order, kind="stable").reset_index(drop=True)


def lowest(run: Path, config: RunConfig) -> dict[str, float | int]:
    """The lowest validation EER (percent) and cross-entropy (nats) of a training, with the step of each.

    Raises ValueError, naming the folder, for one that was not trained to its end.
    """
    looks, steps = read_history(run, event="validation"), config.training.steps
    if looks.empty or looks["step"].max() != steps:
        raise ValueError(f"{run} was not trained to its last step, {steps}: go on with it, or delete it")
    at = {name: int(looks[name].to_numpy().argmin()) for name in ("eer", "loss")}
    return {
        "EER": round(100 * float(looks["eer"].iloc[at["eer"]]), 2),
        "at step": int(looks["step"].iloc[at["eer"]]),
        "cross-entropy": round(float(looks["loss"].iloc[at["loss"]]), 3),
        "its step": int(looks["step"].iloc[at["loss"]]),
    }


def twice_the_steps(folder: str | Path) -> pd.DataFrame:
    """What doubling the steps changes: a row per pair of trainings below `folder` that differ in nothing else.

    Columns: setting, method, seed, faces per source, batch, learning rate, steps of the shorter one; EER (percentage
    points) and cross-entropy (nats) of both, the lowest on the sources' validation lists, and `gained`, by how much
    the longer one's is lower. Errors as of `trainings`.
    """
    table = trainings(folder)
    values = ["EER", "cross-entropy"]
    longer = table[[*SAME, "steps", *values]].assign(steps=table["steps"] / 2)
    pairs = table[[*SAME, "steps", *values]].merge(longer, on=[*SAME, "steps"], suffixes=("", ", twice the steps"))
    for value in values:
        pairs[f"{value} gained"] = (pairs[value] - pairs[f"{value}, twice the steps"]).round(3)
    order = [f"{value}{part}" for value in values for part in ("", ", twice the steps", " gained")]
    return pairs[[*SAME, "steps", *order]]


def doubling(folder: str | Path) -> pd.DataFrame:
    """`twice_the_steps` averaged over settings and seeds: a row per method, size of the training and number of steps.

    Columns: method, faces per source, batch, steps, pairs, EER gained (percentage points), cross-entropy gained
    (percent of the shorter trainings'), and whether that is `LITTLE` enough for the shorter ones to be long enough.
    """
    rows = []
    sizes = ["method", "faces per source", "batch", "steps"]
    for size, part in twice_the_steps(folder).groupby(sizes):
        points = part["EER gained"].mean()
        percent = 100 * part["cross-entropy gained"].mean() / part["cross-entropy"].mean()
        rows.append(
            {
                **dict(zip(sizes, size, strict=True)),
                "pairs": len(part),
                "EER gained": round(points, 2),
                "cross-entropy gained, %": round(percent, 1),
                "long enough": bool(points <= LITTLE[0] and percent <= LITTLE[1]),
            }
        )
    return pd.DataFrame(rows)


def made_twice(folder: str | Path, others: str | Path) -> pd.DataFrame:
    """The trainings below `folder` that were made again, below `others`, with the same settings and seed.

    On a CPU they are equal; on a GPU some sums run in no fixed order, and what it comes to is chance. Columns: setting,
    method, seed, steps; EER (percent) and cross-entropy (nats) of both, the lowest on the sources' validation lists.
    """
    values = ["EER", "cross-entropy"]
    first, again = (trainings(place)[[*SAME, "steps", *values]] for place in (folder, others))
    pairs = first.merge(again, on=[*SAME, "steps"], suffixes=("", ", made again"))
    order = [f"{value}{part}" for value in values for part in ("", ", made again")]
    return pairs[["setting", "method", "seed", "steps", *order]]


def _late_gain(looks: pd.DataFrame) -> tuple[float, float]:
    """Best EER and cross-entropy up to the middle of training minus those of the whole."""
    early = looks[looks["step"] <= looks["step"].max() / 2]
    early = looks.head(1) if early.empty else early
    return float(early["eer"].min() - looks["eer"].min()), float(early["loss"].min() - looks["loss"].min())


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
