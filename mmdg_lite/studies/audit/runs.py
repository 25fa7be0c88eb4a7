"""Short trainings with the released code's faults, and with other ways of being uncertain, for notebook 09.

The command `audit-runs` makes the runs that are not finished yet, below runs/audit, and copies what tables need
of them to figures/audit/scores. Every run is MMDG++ at the quick profile, 60 steps: enough to see a fault that ruins
training, not enough to rank methods.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from mmdg_lite.configuration import REPOSITORY
from mmdg_lite.results.collect import collect
from mmdg_lite.results.paired_test import compare
from mmdg_lite.runs.config import RunConfig, configure
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.setting_data import SettingData, load_setting
from mmdg_lite.training.run import train

RUNS, COMMITTED = Path("runs/audit"), REPOSITORY / "figures" / "audit" / "scores"
SETTING = "CPS->W"
DEFAULT = "default"
SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is changed against the default configuration of MMDG++."""

    title: str
    method: str = "mmdg++"
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def _with(*faults: str) -> dict[str, Any]:
    return {"released": list(faults)}


VARIANTS: dict[str, Variant] = {
    DEFAULT: Variant(title="our default"),
    "released": Variant(title="all faults of the released code", model={"released": True}),
    "mmdg": Variant(title="MMDG (dropout uncertainty)", method="mmdg"),
    "kl": Variant(title="divergence of queries, weight 0.1", training={"uncertainty_kl": 0.1}),
    "key": Variant(title="keys suppressed", model={"suppression": "key"}),
    "rate0.5": Variant(title="rate 0.5", model={"rate": 0.5}),
    "rate5": Variant(title="rate 5", model={"rate": 5.0}),
    "D1": Variant(title="D1 alone", model=_with("D1")),
    "D2": Variant(title="D2 alone", model=_with("D2")),
    "D8": Variant(title="D8 alone", model=_with("D8")),
    "D15": Variant(title="D15 alone", model=_with("D15")),
    "D4": Variant(title="D4 alone", model=_with("D4")),
    "D3": Variant(title="D3 alone", model=_with("D3")),
    "D21": Variant(title="D21 alone", model=_with("D21")),
    "D12": Variant(title="D12 alone", model=_with("D12")),
}
"""In the order in which they are made."""


def configuration(name: str, seed: int, *, cache: str | None = None) -> RunConfig:
    """The run of a variant and a seed. Raises `KeyError` for an unknown variant."""
    variant = VARIANTS[name]
    return configure(
        "quick", protocol="P1", setting=SETTING, method=variant.method, seed=seed, device="cpu",
        data={"cache": cache}, model=variant.model, training=variant.training,
    )  # fmt: skip


def run_folder(name: str, seed: int, *, runs: Path = RUNS) -> Path:
    """Where the run of a variant and a seed is."""
    return runs / name / f"seed{seed}"


def make_runs(names: Sequence[str] = tuple(VARIANTS), *, runs: Path = RUNS, progress: bool = True) -> list[Path]:
    """Train what is not finished; returns the folders of all."""
    cache, data = str(runs / "cache"), None
    planned = [(name, seed) for name in names for seed in SEEDS]
    for name, seed in tqdm(planned, desc="audit", unit="run", disable=not progress):
        folder = run_folder(name, seed, runs=runs)
        if not RunFolder(folder).finished:
            config = configuration(name, seed, cache=cache)
            data = data or _data(config)
            train(config, folder, progress=False, data=data)
    return [run_folder(name, seed, runs=runs) for name, seed in planned]


def _data(config: RunConfig) -> SettingData:
    return load_setting(config, progress=False)


def scores(committed: Path = COMMITTED) -> pd.DataFrame:
    """Rows of `results.collect` of the committed runs, with nothing missing, `method` being the variant's name."""
    frames = [collect(folder).assign(method=folder.name) for folder in sorted(committed.iterdir())]
    together = pd.concat(frames, ignore_index=True)
    return together[together["missing"] == ""]


def ablation(frame: pd.DataFrame, *, reference: str = DEFAULT) -> pd.DataFrame:
    """Every variant with two seeds or more against the default: mean HTER and AUC, paired differences in points.

    `low`, `high`: 95 % Student interval of the mean difference over seeds, of one target; `p`: sign-flip test.
    """
    return pd.DataFrame(
        [
            _against(frame, name, reference)
            for name in VARIANTS
            if (frame["method"] == name).sum() > 1 and name != reference
        ]
    )


def verdicts(table: pd.DataFrame) -> list[str]:
    """What the ablation does and does not show, a sentence per variant and one on what was not trained."""
    sentences = []
    for row in table.to_dict("records"):
        parts = []
        for metric in ("hter", "auc"):
            low, high = row[f"{metric}_low"], row[f"{metric}_high"]
            decided = "the interval excludes zero" if low > 0 or high < 0 else "undecided"
            difference = row[f"{metric}_difference"]
            parts.append(f"{metric.upper()} {difference:+.1f} points ({low:.1f} to {high:.1f}, {decided})")
        sentences.append(f"{row['what']}, {row['seeds']} seeds: {'; '.join(parts)}.")
    missing = [name for name in VARIANTS if name not in {DEFAULT, *table["variant"]}]
    if missing:
        sentences.append(f"Not trained with enough seeds, so nothing is said about: {', '.join(missing)}.")
    return sentences


def _against(frame: pd.DataFrame, name: str, reference: str) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": name, "what": VARIANTS[name].title}
    for metric in ("hter", "auc"):
        wide = frame[frame["method"].isin([name, reference])].pivot(index="seed", columns="method", values=metric)
        difference = 100 * (wide[name] - wide[reference]).dropna()
        half = student_half_width(difference)
        row |= {
            "seeds": len(difference),
            f"{metric}": round(100 * wide[name].mean(), 1),
            f"{metric}_difference": round(difference.mean(), 1),
            f"{metric}_low": round(difference.mean() - half, 1),
            f"{metric}_high": round(difference.mean() + half, 1),
        }
    row["p"] = round(compare(frame, name, reference).p_value, 3)
    return row


def student_half_width(values: pd.Series, *, level: float = 0.95) -> float:
    """Half of the Student interval of a mean, for independent values; NaN for fewer than two."""
    from scipy.stats import t

    n = len(values)
    return float(t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else float("nan")
