"""The forward and backward passes of one training step: of a whole batch, or of its parts, one after the other."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mmdg_lite.distributed import Joint, JointStep
from mmdg_lite.divergence import mean_divergence, watched_divergence
from mmdg_lite.draws import BatchGenerator
from mmdg_lite.evaluation import autocast, to_device
from mmdg_lite.multimodal import MultimodalModel
from mmdg_lite.outputs import Batch, Losses, Output, losses
from mmdg_lite.processes import count, number
from mmdg_lite.regrad import ReGrad
from mmdg_lite.runs import TrainingConfig


def passes(
    model: MultimodalModel,
    parameters: list[nn.Parameter],
    batch: dict[str, Any],
    *,
    device: torch.device,
    settings: TrainingConfig,
    apart: bool,
) -> tuple[Joint, Output, Batch]:
    """Losses, certainties and gradients of a step over all ranks.

    Args:
        model: in training mode, with a `BatchGenerator`.
        parameters: what is differentiated.
        batch: this rank's samples: of the whole batch those at places r, r + R, ... for rank r of R.
        device: where to compute.
        settings: how.
        apart: see `backward.gradients_by_loss`.

    Returns:
        (the step as a whole, output and batch of its last part on the device).
    """
    generator = model.generator
    assert isinstance(generator, BatchGenerator)
    step = JointStep(batch["present"].to(device), parameters, modality_weight=model.modality_weight, apart=apart)
    places = torch.arange(number(), step.size, count())  # in the whole batch
    parts, state = min(settings.accumulate, len(places)), generator.get_state()
    for part in range(parts):
        own = slice(part, None, parts)
        given = to_device({name: values[own] for name, values in batch.items()}, device)
        generator.set_state(state)  # every part draws what the whole batch needs
        # the backward pass too may run parts of the forward pass again
        with (
            generator.only(places[own], step.size),
            watched_divergence(model, wanted=settings.uncertainty_kl > 0) as watch,
        ):
            output, made = _forward(model, given, device, settings)
            watch.closed = True
            if settings.uncertainty_kl:
                made = replace(made, total=made.total + settings.uncertainty_kl * mean_divergence(watch))
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
    output, made = _forward(model, to_device(batch, device), device, settings)
    balance = ReGrad(rule=regrad.rule, released=regrad.faults)
    balance.step(made.modalities, made.total, model.branches(), output.mean_certainty())


def _forward(
    model: MultimodalModel, batch: dict[str, Any], device: torch.device, settings: TrainingConfig
) -> tuple[Output, Losses]:
    with autocast(device, settings.precision):
        output = model(batch)
        return output, losses(output, batch)
