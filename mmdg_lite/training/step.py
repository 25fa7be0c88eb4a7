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

Passes = Callable[..., Joint]
"""`passes` of a model: (this rank's samples, apart=...) to the step as a whole."""


def passes(
    model: MultimodalModel,
    parameters: list[nn.Parameter],
    batch: dict[str, Any],
    *,
    device: torch.device,
    settings: TrainingConfig,
    apart: bool,
) -> Joint:
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
    return step.together()


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
        weighted = made.weighted(model.modality_weight)
        balance.step(weighted, made.total, model.branches(), output.mean_certainty())


@contextmanager
def forward(
    model: MultimodalModel, batch: Batch, device: torch.device, settings: TrainingConfig
) -> Iterator[tuple[Output, Losses]]:
    """Output and losses of a batch that is on the device; its total loss is what the optimiser gets.

    total = head_weight * (cross-entropy of the head) + `extra_loss` of the model + uncertainty_kl * divergence

    Backward passes belong inside: they may run parts of the forward pass again, under the same watch.
    """
    with watched_divergence(model, wanted=settings.uncertainty_kl > 0) as watch:
        with autocast(device, settings.precision):
            output = model(batch)
            watch.closed = True
            made = losses(output, batch, static=model.static)
            extra = model.extra_loss(output, batch)
        total = model.head_weight * made.total
        if extra is not None:
            total = total + extra
        if settings.uncertainty_kl:
            total = total + settings.uncertainty_kl * mean_divergence(watch)
        yield output, replace(made, total=total)
