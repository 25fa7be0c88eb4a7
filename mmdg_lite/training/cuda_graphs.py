"""A training step's forward and backward passes, recorded once as a CUDA graph and played back at every step.

A step is thousands of small kernels, which a GPU finishes faster than Python can launch them; a graph launches them
all at once. It repeats the same operations on the same memory. So a batch is copied to where the recorded one lay, no
operation may depend on what a batch holds, and none may wait for the device. Random numbers go on from the generator's
present state, as they would without a graph.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmdg_lite.models.multimodal import MultimodalModel, check_present
from mmdg_lite.models.outputs import Batch, class_targets
from mmdg_lite.regrad.gradients import gradients_by_loss
from mmdg_lite.runs.config import TrainingConfig
from mmdg_lite.runs.ranks import world_size
from mmdg_lite.training.evaluation import to_device
from mmdg_lite.training.joint_step import Joint
from mmdg_lite.training.step import forward

T = TypeVar("T")
Recorder = Callable[[Callable[[], T], torch.Generator], tuple[T, Callable[[], None]]]
"""(function, generator that it draws from) to (its result, a function that computes it anew in the same memory)."""

WARM_UP = 3
"""Executions before a recording, in which libraries set themselves up."""


def record(function: Callable[[], T], generator: torch.Generator) -> tuple[T, Callable[[], None]]:
    """Record what a function does on the present CUDA device; see `Recorder`."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator.graphsafe_get_state())
    # other threads, such as the one that pins batches, may go on meanwhile
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = function()
    return result, graph.replay


def check_graphs(device: torch.device) -> None:
    """Raise `RuntimeError` saying why if steps cannot be recorded here."""
    if device.type != "cuda":
        reason = f"needs a CUDA device, and this run computes on {device.type}"
    elif world_size() > 1:
        reason = "is for one process"
    else:
        return
    raise RuntimeError(f"training.cuda_graphs {reason}: set training.cuda_graphs=false, which gives the same results")


class GraphedPasses:
    """Forward and backward passes of whole batches by a recorded graph.

    A batch that is smaller, or in which no sample has one of the modalities, is another sequence of operations: it is
    left to the plain way. What comes back lies where the next call puts its own.

    Args:
        model: in training mode.
        parameters: what is differentiated.
        device: a CUDA device.
        settings: of the training.
        recorder: `record`, or what stands in for it.
    """

    def __init__(
        self,
        model: MultimodalModel,
        parameters: list[nn.Parameter],
        *,
        device: torch.device,
        settings: TrainingConfig,
        recorder: Recorder[Joint] = record,
    ) -> None:
        self.model, self.parameters, self.device, self.settings = model, parameters, device, settings
        self.recorder = recorder
        self.recorded: dict[bool, _Recorded] = {}  # by whether the losses' gradients are taken apart

    def __call__(self, batch: dict[str, Any], *, apart: bool) -> Joint | None:
        """Losses, certainties and gradients of a batch; None if it has to go the plain way.

        `apart`: see `gradients_by_loss`.
        """
        if len(batch["label"]) != self.settings.batch_size or not bool(batch["present"].any(dim=0).all()):
            return None
        check_present(batch["present"])
        class_targets(batch["label"], batch["domain"], 1 + len(self.model.source_domains))
        if apart not in self.recorded:
            self.recorded[apart] = self._record(batch, apart)
        return self.recorded[apart](batch)

    def _record(self, batch: dict[str, Any], apart: bool) -> "_Recorded":
        given = to_device({name: value for name, value in batch.items() if isinstance(value, Tensor)}, self.device)
        generator = self.model.generator
        assert generator is not None
        state = generator.get_state()
        with _static(self.model):
            made, replay = self.recorder(lambda: self._passes(given, apart), generator)
        generator.set_state(state)
        return _Recorded(given, made, replay)

    def _passes(self, given: Batch, apart: bool) -> Joint:
        """What is recorded: the plain step of one process and one part."""
        with forward(self.model, given, self.device, self.settings) as (output, made):
            weighted = made.weighted(self.model.modality_weight)
            gradients = gradients_by_loss(weighted, made.total, self.parameters, apart=apart)
        r, d, i = (None if loss is None else loss.detach() for loss in made.modalities)
        known = replace(made, total=made.total.detach(), modalities=(r, d, i))
        return Joint(known, [value.detach() for value in output.mean_certainty()], gradients)


class _Recorded:
    """One recording: where a batch has to be put, where the results lie, and what computes them."""

    def __init__(self, given: Batch, made: Joint, replay: Callable[[], None]) -> None:
        self.given, self.made, self.replay = given, made, replay

    def __call__(self, batch: dict[str, Any]) -> Joint:
        for name, place in self.given.items():
            place.copy_(batch[name], non_blocking=True)
        self.replay()
        return self.made


@contextmanager
def _static(model: MultimodalModel) -> Iterator[None]:
    """While it lasts, the model does the same operations for every batch."""
    model.static = True
    try:
        yield
    finally:
        model.static = False
