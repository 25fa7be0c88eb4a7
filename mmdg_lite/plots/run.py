"""What there is to see of one run: its command, its batches, how it learned, what was chosen, how it does on tests.

Every method has the same functions, whether it was trained step by step or fitted to convergence.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from einops import rearrange
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mmdg_lite.configuration import from_dict, to_dict
from mmdg_lite.data.loader import CLIP_MEAN, CLIP_STD, loader
from mmdg_lite.metrics import bootstrap_interval
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.curves import score_histogram, training_balance
from mmdg_lite.plots.faces import contact_sheet
from mmdg_lite.plots.style import new_figure, styled
from mmdg_lite.results.collect import TEST, list_names, read_history, read_list
from mmdg_lite.runs.config import RunConfig, configure
from mmdg_lite.runs.folder import FREE_TO_CHANGE, RunFolder
from mmdg_lite.runs.scores import Scores
from mmdg_lite.runs.setting_data import SettingData

PARTS = ("data", "model", "training")


def changed_settings(config: RunConfig) -> dict[str, Any]:
    """Where a run differs from its profile in something that matters: new values by name, "training.steps" and so on.

    Not the folder of the data and not what is free to change (`run_folder.FREE_TO_CHANGE`).
    """
    own, usual = to_dict(config), to_dict(_of_the_profile(config))
    return {
        f"{part}.{name}": value
        for part in PARTS
        for name, value in own[part].items()
        if value != usual[part][name] and f"{part}.{name}" not in FREE_TO_CHANGE
    }


def as_commanded(config: RunConfig) -> RunConfig:
    """The configuration that `command_line` asks for: what is free to change is as in the profile, whatever it was."""
    own, usual = to_dict(config), to_dict(_of_the_profile(config))
    for name in FREE_TO_CHANGE:
        part, _, field = name.rpartition(".")
        values, plain = (own[part], usual[part]) if part else (own, usual)
        values[field] = plain[field]
    return from_dict(RunConfig, own)


def command_line(config: RunConfig, *, out: str = "FOLDER") -> str:
    """The command that makes a run of this configuration in the folder `out`."""
    changed = [f"'{name}={json.dumps(value)}'" for name, value in changed_settings(config).items()]
    root = [f'--data-root "{config.data.root}"'] if config.data.root else []
    plugins = [f'"{plugin.path}"' for plugin in config.plugins.values()]
    words = [
        f"python -m mmdg_lite train --profile {config.profile} --protocol {config.protocol}",
        f'--setting "{config.setting}" --method {config.method} --seed {config.seed}',
        *root,
        *(["--set", *changed] if changed else []),
        *(["--plugin", *plugins] if plugins else []),
        f"--out {out}",
    ]
    return " ".join(words)


def settings(config: RunConfig) -> pd.DataFrame:
    """Every number that a run depends on: columns part, name and value, in the order of the dataclasses."""
    plain = to_dict(config)
    plugins = plain.pop("plugins")
    rows = [("run", name, value) for name, value in plain.items() if name not in PARTS]
    rows += [("run", "plugins", ", ".join(plugins))] if plugins else []
    rows += [(part, name, value) for part in PARTS for name, value in plain[part].items()]
    return pd.DataFrame([(part, name, str(value)) for part, name, value in rows], columns=["part", "name", "value"])


def samples(data: SettingData) -> pd.DataFrame:
    """How many live faces and attacks there are to train, validate and test on, a row per list."""
    lists = {"train": data.train, "validation": data.validation}
    lists |= {f"test {letter}": dataset for letter, dataset in data.tests.items()}
    rows = [
        {
            "list": name,
            "domains": " ".join(sorted(set(dataset.domains))),
            "live": int((dataset.labels == 1).sum()),
            "spoof": int((dataset.labels == 0).sum()),
            "species": len(set(dataset.species) - {"live"}),
        }
        for name, dataset in lists.items()
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Images of a batch as they go into the model, back in 0..255."""

    rgb: NDArray[np.uint8]  # n x 3 x H x W
    depth: NDArray[np.uint8]  # n x 1 x H x W
    infrared: NDArray[np.uint8]  # n x 1 x H x W
    label: NDArray[np.int64]  # n
    species: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


def first_batch(config: RunConfig, data: SettingData) -> Pixels:
    """The first training batch of a run, augmented as in training, as pixels again."""
    batch = next(
        iter(
            loader(
                data.train,
                batch_size=config.training.batch_size,
                seed=config.seed,
                epoch=0,
                augment=config.augmentation(),
                source_domains=config.domains.sources,
                shuffle=True,
            )
        )
    )
    rgb, depth, infrared = (_pixels(batch[modality.value]) for modality in MODALITIES)
    return Pixels(
        rgb=rgb,
        depth=depth[:, :1],
        infrared=infrared[:, :1],
        label=batch["label"].numpy(),
        species=tuple(batch["species"]),
    )


def batch_picture(config: RunConfig, data: SettingData, *, columns: int = 8) -> Figure:
    """The first faces of the first training batch, as the model sees them."""
    return contact_sheet([(f"batch of {config.setting}", first_batch(config, data))], columns=columns)


def learning(run: str | Path) -> Figure:
    """How a run learned: its training curves, or for a run fitted to convergence the choice of its strength."""
    history = read_history(run)
    return training_balance(history) if len(history) else choice(run)


@styled
def choice(run: str | Path) -> Figure:
    """What was validated on the sources' lists, cross-entropy and EER, and which candidate was kept.

    Candidates are steps of the training, or regularisation strengths of a linear probe.
    """
    looks = validations(run)
    axis = "strength" if "strength" in looks else "step"
    figure = new_figure((7.2, 2.8))
    for axes, column, title in zip(
        figure.subplots(1, 2), ("loss", "eer"), ("validation cross-entropy, nats", "validation EER, %"), strict=True
    ):
        values = looks[column] * (100 if column == "eer" else 1)
        axes.plot(looks[axis], values, color="black", marker=".")
        kept = looks["kept"]
        axes.plot(looks[axis][kept], values[kept], "o", color="#D55E00", markersize=9, label="kept")
        axes.set(title=title, xlabel=axis, xscale="log" if axis == "strength" else "linear", ylim=(0, None))
    axes.legend()
    return figure


def validations(run: str | Path) -> pd.DataFrame:
    """The validation lines of a run, with a column `kept` that is true for the candidate whose parameters tested.

    Trained methods keep the lowest EER, ties broken by cross-entropy; the linear probe the lowest cross-entropy.
    """
    looks = read_history(run, event="validation")
    order = ["loss"] if "strength" in looks else ["eer", "loss"]
    best = looks.sort_values(order, kind="stable").index[0]
    return looks.assign(kept=looks.index == best)


def test_lists(run: str | Path) -> dict[tuple[str, str], Scores]:
    """Scores of every test of a run by (target domain, what is missing, "" for nothing), in the files' order."""
    matches = [match for name in list_names(run) if (match := TEST.fullmatch(name)) is not None]
    return {(match["target"], match["missing"] or ""): read_list(run, match[0]) for match in matches}


def threshold(run: str | Path) -> float:
    """The threshold that a run fixed on its sources' validation scores."""
    return float(json.loads(RunFolder(run).result.read_text(encoding="utf-8"))["threshold"])


def histogram(run: str | Path) -> Figure:
    """Scores of the first target domain with everything present, and the threshold fixed on the sources."""
    target = RunFolder(run).read_config().domains.targets[0]
    return score_histogram(test_lists(run)[target, ""], threshold=threshold(run))


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
                "missing": missing.replace("_", " and ") or "nothing",
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
    """The numbers of a finished run that a grid or a test looks at: fractions, averaged over targets."""
    folder = RunFolder(run)
    config, result = folder.read_config(), json.loads(folder.result.read_text(encoding="utf-8"))
    kept = validations(run).query("kept").iloc[0]
    complete = [result["metrics"][f"test_{letter}"] for letter in config.domains.targets]
    names = ("hter", "hter_at_eer", "auc", "far", "frr")
    return {
        "method": config.method,
        "protocol": config.protocol,
        "setting": config.setting,
        "seed": config.seed,
        "steps": result["steps"],
        "kept_step": int(kept["step"]),
        "seconds": result["seconds"],
        "threshold": result["threshold"],
        "validation_eer": result["metrics"]["validation"]["eer"],
        **{name: float(np.mean([metrics[name] for metrics in complete])) for name in names},
        "hter_per_test": {name: metrics["hter"] for name, metrics in result["metrics"].items() if name != "validation"},
    }


def _of_the_profile(config: RunConfig) -> RunConfig:
    """The same run with every setting as in its profile."""
    return configure(
        config.profile,
        protocol=config.protocol,
        setting=config.setting,
        method=config.method,
        seed=config.seed,
        data_root=config.data.root,
    )


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Normalised images B x 3 x H x W back to uint8."""
    mean, std = (rearrange(np.asarray(values), "c -> c 1 1") for values in (CLIP_MEAN, CLIP_STD))
    return np.clip(255 * (images.numpy() * std + mean), 0, 255).round().astype(np.uint8)
