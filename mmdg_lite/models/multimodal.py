"""What the models of three modalities share: how a batch comes in, what is frozen, what a checkpoint holds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.outputs import Batch, Output
from mmdg_lite.models.trunk import CompiledTrunk, Trunk
from mmdg_lite.speed.recomputation import recomputed

T = TypeVar("T")


class MultimodalModel(nn.Module, ABC):
    """Base of the models; each sets `_view`, its trunk taken apart.

    Args:
        source_domains: names of the S training domains, in the order of the batch's `domain` numbers.
        frozen: name of the attribute that holds the frozen pre-trained part, None if nothing is frozen.
        modality_weight: weight of each modality's loss beside the total loss.
        head_weight: weight of the head's cross-entropy in the total loss; 0 leaves `extra_loss` alone in it.

    Attributes that training sets:
        generator: source of the model's random numbers; None draws from PyTorch's global generator.
        progress: share of the training that is behind the present step, (steps made) / (all steps), in [0, 1). It is
            set before each forward pass, holds until `after_step`, and follows from the step's number: a run that goes
            on from its state has the same.
        recompute: compute what happens inside a block again in every backward pass instead of keeping it: the same
            numbers in less memory and more time.
        static: do the same operations whatever a batch holds, and never wait for the device: nothing is checked, and
            masks are applied even where nothing is missing. MMDG++ knows how (see `cuda_graphs`).
    """

    def __init__(
        self,
        source_domains: Sequence[str],
        *,
        frozen: str | None,
        modality_weight: float = 1.0,
        head_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.source_domains = tuple(source_domains)
        self.frozen = frozen
        self.modality_weight = modality_weight
        self.head_weight = head_weight
        self.progress = 0.0
        self.generator: torch.Generator | None = None
        self.recompute = False
        self.static = False
        self._compiled: CompiledTrunk | None = None

    _view: Trunk

    @abstractmethod
    def branches(self) -> list[tuple[nn.Parameter, Modality | None]]:
        """Every parameter with the modality that it belongs to, None for those of no modality."""

    def extra_loss(self, output: Output, batch: Batch) -> Tensor | None:
        """A loss of the method's own, a scalar that training adds to the total loss; None adds nothing.

        Training calls it in every step, after the forward pass and under the same autocast. Random numbers come from
        `self.generator`. It must be finite for a batch of any size and composition.

        Args:
            output: of this batch.
            batch: on the model's device, see `modality.Batch`; with two views see `modality.second_view`.
        """
        return None

    def after_step(self) -> None:
        """Called without gradients after every optimiser step, but not after one that was passed over.

        Here a model moves what no optimiser moves, such as prototypes. What it keeps from the batch for this, it
        remembers in `forward` or `extra_loss`. What it keeps from step to step belongs in parameters or persistent
        buffers, which are written with the state of the run and restored when the run goes on.
        """

    def compile_trunk(self) -> None:
        """Compile the trunk's blocks for training; evaluation, with batches of all sizes, goes on as it is."""
        if not hasattr(self, "_view"):
            raise ValueError(f"{type(self).__name__} has no trunk to compile; set training.compile=false")
        self._compiled = CompiledTrunk(self._view)

    @property
    def trunk_view(self) -> Trunk:
        """The trunk taken apart, compiled if that is wanted now."""
        return self._view if self._compiled is None or not torch.is_grad_enabled() else self._compiled

    def run_block(self, block: Callable[[Tensor], T], x: Tensor) -> T:
        """block(x): one block of the trunk with what is exchanged in it, from tokens (3 B) x N x C."""
        if self.recompute and torch.is_grad_enabled():
            return recomputed(block, x, generator=self.generator)
        return block(x)

    def train(self, mode: bool = True) -> "MultimodalModel":
        """Training mode for everything but the frozen part."""
        super().train(mode)
        if self.frozen is not None:
            self.get_submodule(self.frozen).eval()
        return self

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """Everything that is not frozen: what a checkpoint of this model needs to hold."""
        start = f"{self.frozen}."
        return {name: value for name, value in self.state_dict().items() if not name.startswith(start)}

    def load_trainable_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what `trainable_state_dict` gave. Raises `ValueError` naming entries that do not fit."""
        own = self.trainable_state_dict()
        problems = [f"missing {name}" for name in own if name not in state]
        problems += [f"unexpected {name}" for name in state if name not in own]
        problems += [
            f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ]
        if problems:
            raise ValueError(f"these weights are not of this model: {'; '.join(problems[:5])}")
        self.load_state_dict(state, strict=False)


def copies(parameter: Tensor) -> nn.ParameterDict:
    """One trainable copy of a pre-trained parameter per modality."""
    return nn.ParameterDict({m.value: nn.Parameter(parameter.detach().clone()) for m in MODALITIES})


def stacked(parameters: nn.ParameterDict) -> Tensor:
    """A parameter of the three modalities as one tensor, 3 x ..."""
    return torch.stack([parameters[modality.value] for modality in MODALITIES])


def stack_images(batch: Batch, *, keep_missing: bool = False, check: bool = True) -> tuple[Tensor, Tensor]:
    """The three images stacked, 3 x B x 3 x H x W, and presence, B x 3 bools.

    Args:
        batch: see `outputs.Batch`. A missing modality's image may hold anything, or its key may be absent.
        keep_missing: leave the images of missing modalities as they are, instead of making them zeros (D13).
        check: see that every sample has a modality, for which the device has to be waited for.

    Raises:
        ValueError: no image at all, images of different sizes, or a sample without any modality.
    """
    given = next((batch[m.value] for m in MODALITIES if batch.get(m.value) is not None), None)
    if given is None:
        raise ValueError(f"a batch needs at least one of the images {', '.join(m.value for m in MODALITIES)}")
    present = batch.get("present")
    if present is None:
        present = torch.ones(len(given), len(MODALITIES), dtype=torch.bool, device=given.device)
    images = []
    for modality in MODALITIES:
        image = batch.get(modality.value)
        if image is None:
            image = torch.zeros_like(given)
            present = present & (torch.arange(len(MODALITIES), device=present.device) != modality.index)
        if image.shape[-2:] != given.shape[-2:]:
            raise ValueError(f"{modality.value} is {tuple(image.shape[-2:])}, another is {tuple(given.shape[-2:])}")
        images.append(repeat(image, "b 1 h w -> b 3 h w") if image.shape[1] == 1 else image)
    if check:
        check_present(present)
    together = torch.stack(images)
    if not keep_missing:
        together = torch.where(rearrange(present, "b m -> m b 1 1 1"), together, torch.zeros_like(together))
    return together, present


def check_present(present: Tensor) -> None:
    """Raise `ValueError` if a sample of B x 3 bools has no modality. A compiler has no values and checks nothing."""
    if not torch.compiler.is_compiling() and not bool(present.any(dim=1).all()):
        raise ValueError("a sample without any modality cannot be classified")
