"""What there is to see of one run: its command, its batches, how it learned, what was chosen, how it does on tests.

Every method has the same functions, whether it was trained step by step or fitted to convergence.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from einops import rearrange
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mmdg_lite.data.loader import loader
from mmdg_lite.modality import CLIP_MEAN, CLIP_STD, MODALITIES
from mmdg_lite.plots.curves import score_histogram
from mmdg_lite.plots.faces import contact_sheet
from mmdg_lite.plots.style import new_figure, styled
from mmdg_lite.plots.training import OF_ONE_RUN, learned, picture
from mmdg_lite.results.collect import read_history
from mmdg_lite.results.one_run import test_lists, threshold, validations
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.folder import RunFolder, read_run
from mmdg_lite.runs.setting_data import SettingData


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
                balanced=config.training.balanced_batches,
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
    batch = first_batch(config, data)
    shown = batch.label[:columns]
    figure = contact_sheet([("", batch)], columns=columns)
    title = f"First training batch of {config.setting}: {shown.sum()} of these {len(shown)} faces are live"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def learning(run: str | Path) -> Figure:
    """How a run learned: its training curves, or for a run fitted to convergence the choice of its strength."""
    history = read_history(run)
    if not len(history):
        return choice(run)
    config, _ = read_run(Path(run))
    name = f"{config['setting']}, seed {config['seed']}"
    return picture({name: history}, window=max(1, len(history) // 40), panels=OF_ONE_RUN, title=learned(history))


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
        axes.plot(looks[axis][kept], values[kept], "o", color="#E69F00", markersize=9, label="kept")
        axes.set(ylabel=title, xlabel=axis, xscale="log" if axis == "strength" else "linear")
        axes.set_ylim(0, 1.12 * values.max())
    axes.legend()
    best = looks[looks["kept"]].iloc[0]
    said = f"Kept: {axis} {best[axis]:g}, with a validation EER of {100 * best['eer']:.1f} %"
    figure.suptitle(said, x=0.01, ha="left", fontsize=10)
    return figure


def histogram(run: str | Path) -> Figure:
    """Scores of the first target domain with everything present, and the threshold fixed on the sources."""
    target = RunFolder(run).read_config().domains.targets[0]
    return score_histogram(test_lists(run)[target, ""], threshold=threshold(run))


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Normalised images B x 3 x H x W back to uint8."""
    mean, std = (rearrange(np.asarray(values), "c -> c 1 1") for values in (CLIP_MEAN, CLIP_STD))
    return np.clip(255 * (images.numpy() * std + mean), 0, 255).round().astype(np.uint8)
