"""The forward and backward passes of one training step: of a whole batch, or of its parts, one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mmdg_lite.draws import BatchGenerator
from mmdg_lite.models.divergence import mean_divergence, watched_divergence
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.outputs import Batch, Losses, Output, losses
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.runs.config import TrainingConfig
from mmdg_lite.runs.ranks import count, number
from mmdg_lite.training.evaluation import autocast, to_device
from mmdg_lite.training.joint_step import Joint, JointStep

Made = tuple[Joint, Output, Batch]
"""A step as a whole, and output and batch of its last part on the device."""
Passes = Callable[..., Made]
"""`passes` of a model: (this rank's samples, apart=...) to what they give."""


def passes(
    model: MultimodalModel,
    parameters: list[nn.Parameter],
    batch: dict[str, Any],
    *,
    device: torch.device,
    settings: TrainingConfig,
    apart: bool,
) -> Made:
    """Losses, certainties and gradients of a step over all ranks.

    Args:
        model: in training mode, with a `BatchGenerator`.
        parameters: what is differentiated.
        batch: this rank's samples: of the whole batch those at places r, r + R, ... for rank r of R.
        device: where to compute.
        settings: how.
        apart: see `backward.gradients_by_loss`.
    """
    generator = model.generator
    assert isinstance(generator, BatchGenerator)
    step = JointStep(batch["present"].to(device), parameters, modality_weight=model.modality_weight, apart=apart)
    places = torch.arange(number(), step.size, count(), device=device)  # in the whole batch
    parts, state = min(settings.accumulate, len(places)), generator.get_state()
    for part in range(parts):
        own = slice(part, None, parts)
        given = to_device({name: values[own] for name, values in batch.items()}, device)
        generator.set_state(state)  # every part draws what the whole batch needs
        with generator.only(places[own], step.size), forward(model, given, device, settings) as (output, made):
            step.add(made, output)
    return step.together(), output, given


def try_passes(
    model: MultimodalModel,
    regrad: ReGrad,
    batch: dict[str, Any],
    *,
    device: torch.device,
    settings: TrainingConfig,
) -> None:
    """Forward and backward passes over a batch, in this process alone, for their memory only."""
    balance = ReGrad(rule=regrad.rule, released=regrad.faults)
    with forward(model, to_device(batch, device), device, settings) as (output, made):
        balance.step(made.modalities, made.total, model.branches(), output.mean_certainty())


@contextmanager
def forward(
    model: MultimodalModel, batch: Batch, device: torch.device, settings: TrainingConfig
) -> Iterator[tuple[Output, Losses]]:
    """Output and losses of a batch that is on the device, with whatever the settings add to the total loss.

    Backward passes belong inside: they may run parts of the forward pass again, under the same watch.
    """
    with watched_divergence(model, wanted=settings.uncertainty_kl > 0) as watch:
        with autocast(device, settings.precision):
            output = model(batch)
            made = losses(output, batch, static=model.static)
        watch.closed = True
        if settings.uncertainty_kl:
            made = replace(made, total=made.total + settings.uncertainty_kl * mean_divergence(watch))
        yield output, made
