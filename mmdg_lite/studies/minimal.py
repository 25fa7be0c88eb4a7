"""`minimal.py` at work: a short training on the synthetic domains, and a test on a domain that it has not seen.

The settings are those of the quick profile, but for fewer steps, smaller batches, a constant learning rate, and three
of the nine sentences for each class. They let the plain code finish in less than two minutes on one core.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor

from mmdg_lite import minimal
from mmdg_lite.data.loader import loader
from mmdg_lite.metrics import Metrics, threshold_at_eer
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.clip import load_clip
from mmdg_lite.prompts import sentences
from mmdg_lite.runs.config import RunConfig, configure
from mmdg_lite.runs.setting_data import SettingData, load_setting
from mmdg_lite.training.evaluation import score

SENTENCES = 9
"""Sentences that the package has for each class of a modality."""
LINE_EVERY = 5
"""Steps whose mean losses are printed in one line."""


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """A training of `minimal.py`.

    setting: of protocol P1, sources->target.
    losses: of each step in nats, by "rgb", "depth", "infrared" and "total".
    before, after: metrics on the target domain before and after training. The threshold is the equal-error threshold of
        the source domains' validation faces.
    seconds: the time that everything took, rendering included.
    """

    setting: str
    losses: tuple[dict[str, float], ...]
    before: Metrics
    after: Metrics
    seconds: float


def train_minimal(
    *,
    setting: str = "CPS->W",
    steps: int = 40,
    batch_size: int = 12,
    sentences_per_class: int = 3,
    train_samples: int = 120,
    validation_samples: int = 40,
    test_samples: int = 300,
    seed: int = 0,
    progress: bool = True,
) -> Demonstration:
    """Train `minimal.py` on the source domains of a setting and test it on the target domain.

    Args:
        setting: of protocol P1, sources->target.
        steps, batch_size: of the training.
        sentences_per_class: how many of the package's nine sentences describe each class of a modality.
        train_samples, validation_samples: faces of each source domain.
        test_samples: faces of the target domain.
        seed: of initialisation, order, augmentation and sampling. The same seed gives the same numbers.
        progress: print losses and results.

    Raises:
        ValueError: an unknown setting, or a number out of range.
    """
    started = time.perf_counter()
    if not 1 <= sentences_per_class <= SENTENCES:
        raise ValueError(f"sentences_per_class must be from 1 to {SENTENCES}, got {sentences_per_class}")
    samples = {"train_samples": train_samples, "validation_samples": validation_samples, "test_samples": test_samples}
    config = configure(
        "quick", setting=setting, seed=seed, data=samples, training={"steps": steps, "batch_size": batch_size}
    )
    data = load_setting(config, progress=False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = _model(config, sentences_per_class)
        optimiser = torch.optim.AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=config.training.learning_rate,
            weight_decay=config.training.weight_decay,
        )
        averages = dict.fromkeys(minimal.MODALITIES, 0.0)
        before = _tested(model, data, config)
        if progress:
            _print_start(config, data, before)
        model.train()
        losses: list[dict[str, float]] = []
        for batch in islice(_batches(data, config), steps):
            losses.append(minimal.train_step(model, optimiser, averages, batch))
            if progress and (len(losses) % LINE_EVERY == 0 or len(losses) == steps):
                _print_means(losses)
        after = _tested(model, data, config)
    made = Demonstration(
        setting=setting, losses=tuple(losses), before=before, after=after, seconds=time.perf_counter() - started
    )
    if progress:
        print(f"after training:   {_result(after)}")
        print(f"The threshold comes from validation faces of the source domains. Time: {made.seconds:.0f} s.")
    return made


def _model(config: RunConfig, number: int) -> minimal.MMDGPlusPlus:
    """`minimal.py`'s model over the tiny CLIP, with the first sentences of each class."""
    texts = {
        m.value: tuple(sentences(m, live=live, context=minimal.CONTEXT)[:number] for live in (True, False))
        for m in MODALITIES
    }
    return minimal.MMDGPlusPlus(load_clip(config.model.clip), texts, len(config.domains.sources))


def _batches(data: SettingData, config: RunConfig) -> Iterator[dict[str, Any]]:
    """Augmented training batches, epoch after epoch without end."""
    for epoch in count():
        for batch in loader(
            data.train,
            batch_size=config.training.batch_size,
            seed=config.seed,
            epoch=epoch,
            augment=config.augmentation(),
            source_domains=config.domains.sources,
            shuffle=True,
            drop_last=len(data.train) >= config.training.batch_size,
        ):
            yield dict(batch)


def _tested(model: minimal.MMDGPlusPlus, data: SettingData, config: RunConfig) -> Metrics:
    """Metrics on the target domain at the threshold of the source domains' validation faces."""

    @torch.no_grad()
    def scorer(batch: dict[str, Any]) -> Tensor:
        logits, _, _ = model(batch)
        return logits.softmax(dim=-1)[:, 1]  # B, P(live)

    model.eval()
    (target,) = data.tests.values()
    validation, test = (
        score(scorer, faces, source_domains=config.domains.sources, progress=False)
        for faces in (data.validation, target)
    )
    return test.metrics(threshold=threshold_at_eer(validation.scores, validation.labels))


def _print_start(config: RunConfig, data: SettingData, before: Metrics) -> None:
    training, (target,) = config.training, config.domains.targets
    trained_on = f"{training.steps} steps of {training.batch_size} out of {len(data.train)} faces"
    print(f"{config.setting}: {trained_on}, tested on {len(data.tests[target])} faces of domain {target}")
    print(f"before training:  {_result(before)}", flush=True)
    print("mean losses         " + "".join(f"{name:>10}" for name in (*minimal.MODALITIES, "total")))


def _print_means(losses: list[dict[str, float]]) -> None:
    first = (len(losses) - 1) // LINE_EVERY * LINE_EVERY
    recent = losses[first:]
    means = "".join(f"{sum(of_step[name] for of_step in recent) / len(recent):10.3f}" for name in recent[0])
    print(f"  steps {first + 1:>3} to {len(losses):>3}  {means}", flush=True)


def _result(metrics: Metrics) -> str:
    return f"AUC {100 * metrics.auc:.1f} %, HTER {100 * metrics.hter:.1f} %"
