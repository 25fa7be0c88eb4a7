"""Runs that take a second: a CLIP of two narrow blocks with random weights, images of 16 pixels, a few dozen samples.

As a script, `python -m tests.support.small_runs FOLDER METHOD step|writing N`, it trains one that is killed after step
N or in the middle of writing its N-th state.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

from mmdg_lite.data.dataset import ArrayDataset, ConcatDataset, Samples
from mmdg_lite.runs.config import RunConfig, configure
from mmdg_lite.runs.setting_data import SettingData
from mmdg_lite.training.run import train
from mmdg_lite.training.trainer import Trainer

CLIP = "mmdg_lite_test"
SIZE = 16
STEPS = 14
SMALLEST_STATE = 50_000  # bytes; everything else that a run writes with fsync is smaller


def small_config(method: str = "mmdg++", *, training: dict[str, Any] | None = None, **options: Any) -> RunConfig:
    """14 steps of 8 samples, so that an epoch of 24 ends after 3; validation after steps 4, 8, 12, 14."""
    open_clip.add_model_config(Path(__file__).with_name(f"{CLIP}.json"))
    short = {"steps": STEPS, "batch_size": 8, "warmup": 2, "validate_every": 4, "checkpoint_every": 3}
    return configure(
        "quick",
        method=method,
        device="cpu",
        data={"size": SIZE, "train_samples": 8, "validation_samples": 8, "test_samples": 8} | options.pop("data", {}),
        model={"clip": CLIP, "clip_checkpoint": "random"},
        training=short | (training or {}),
        **options,
    )


def small_dataset(domains: str, split: str, count: int = 8) -> ConcatDataset:
    """Noise, `count` samples per domain; live faces a little brighter in depth, so that there is something to learn."""
    parts = []
    for letter in domains:
        chance = np.random.default_rng([ord(letter), *split.encode()])
        label = np.arange(count) % 2
        depth = chance.integers(0, 200, (count, 1, SIZE, SIZE)) + 40 * label[:, None, None, None]
        parts.append(
            ArrayDataset(
                Samples(
                    rgb=chance.integers(0, 256, (count, 3, SIZE, SIZE)).astype(np.uint8),
                    depth=depth.astype(np.uint8),
                    infrared=chance.integers(0, 256, (count, 1, SIZE, SIZE)).astype(np.uint8),
                    present=np.ones((count, 3), dtype=bool),
                    label=label,
                    ids=[f"{letter}-{split}-{number:03}" for number in range(count)],
                    species=[
                        "live" if live else ("print", "replay")[number // 2 % 2] for number, live in enumerate(label)
                    ],
                    domains=[letter] * count,
                )
            )
        )
    return ConcatDataset(parts)


def small_data(config: RunConfig) -> SettingData:
    """What a small run trains, validates and tests on."""
    sources, targets = "".join(config.domains.sources), config.domains.targets
    return SettingData(
        train=small_dataset(sources, "train"),
        validation=small_dataset(sources, "val"),
        tests={letter: small_dataset(letter, "test") for letter in targets},
    )


def small_run(folder: str | Path, method: str = "mmdg++", **options: Any) -> Path:
    """Train and test a small run."""
    config = small_config(method, **options)
    return train(config, folder, progress=False, data=small_data(config))


def die() -> None:
    """What no process can object to."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_step(number: int) -> None:
    """Have this process killed once training has made that step."""
    log_step = Trainer._log

    def step(trainer: Trainer, record: dict[str, Any], bar: Any) -> None:
        if trainer.step == number:
            die()
        log_step(trainer, record, bar)

    Trainer._log = step  # type: ignore[method-assign]


def die_while_writing(number: int) -> None:
    """Have this process killed when half of that state has reached the disk."""
    flush, written = os.fsync, count(1)

    def half(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size > SMALLEST_STATE and next(written) == number:
            os.ftruncate(descriptor, size // 2)
            die()
        flush(descriptor)

    os.fsync = half  # type: ignore[assignment]


if __name__ == "__main__":
    folder, method, what, number = sys.argv[1:]
    torch.set_num_threads(1)
    {"step": die_after_step, "writing": die_while_writing}[what](int(number))
    small_run(folder, method)
