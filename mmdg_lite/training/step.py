"""The parts of one training step: micro-batches, their forward pass and losses, and a trial of its memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmdg_lite.models.divergence import mean_divergence, watched_divergence
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.outputs import Batch, Losses, Output, losses
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.runs.config import TrainingConfig
from mmdg_lite.runs.ranks import rank, world_size
from mmdg_lite.training.evaluation import autocast, to_device


def micro_batches(
    batch: dict[str, Any], parts: int, *, size: int, device: torch.device
) -> Iterator[tuple[Batch, Tensor]]:
    """Parts of this rank's samples, on the device, and the places of each part's samples in the whole batch.

    Args:
        batch: this rank's samples: of the whole batch those at places r, r + R, ... for rank r of R.
        parts: how many parts, at most; none is empty.
        size: samples of the whole batch.
        device: where to compute.
    """
    places = torch.arange(rank(), size, world_size(), device=device)
    for part in range(parts := min(parts, len(places))):
        own = slice(part, None, parts)
        yield to_device({name: values[own] for name, values in batch.items()}, device), places[own]


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
