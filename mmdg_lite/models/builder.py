"""The models by name: what a configuration says of one, and building it. `register_model` adds one of your own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from open_clip import CLIP

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.ama import AMA
from mmdg_lite.models.clip import load_clip, renormalise
from mmdg_lite.models.cmfl import CMFL
from mmdg_lite.models.config import ModelConfig
from mmdg_lite.models.flex_modal import FlexModal
from mmdg_lite.models.flip import FLIP, FLIPMCL
from mmdg_lite.models.mmdg import MMDG
from mmdg_lite.models.mmdgplusplus import MMDGPlusPlus, NoiseSource, Stream
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.peer import Peer
from mmdg_lite.models.sa_fas import SAFAS
from mmdg_lite.models.ssdg import SSDG
from mmdg_lite.models.supervised_certainty import SupervisedCertainty
from mmdg_lite.registry import ARCHITECTURES, AdapterKind, PromptKind, add, find

__all__ = [
    "ARCHITECTURES",
    "MMDG",
    "AdapterKind",
    "Architecture",
    "Builder",
    "MMDGPlusPlus",
    "ModelConfig",
    "NoiseSource",
    "PromptKind",
    "Stream",
    "build",
    "register",
    "register_model",
]


Builder = Callable[[CLIP, ModelConfig], MultimodalModel]
"""From a pre-trained CLIP and the configuration to the model; PyTorch's global CPU generator is seeded already."""


@dataclass(frozen=True)
class Architecture:
    """A kind of model.

    builder: makes it.
    whole_batch: why its training step needs a whole batch, as the end of a sentence; such a model is trained neither in
        micro-batches nor by several ranks. Empty: its losses are means over samples, and parts of a batch will do.
    """

    builder: Builder
    whole_batch: str = ""


def register_model(name: str, builder: Builder, *, whole_batch: str = "") -> None:
    """Add an architecture under a name that `ModelConfig.architecture` and `Method.architecture` can then give.

    Args:
        name: of the architecture.
        builder: makes the model.
        whole_batch: why a batch cannot be divided, such as "SSDG compares the samples of a whole batch"; see
            `Architecture`.

    Raises:
        ValueError: the name is taken, or no name for a folder.
    """
    add(ARCHITECTURES, name, Architecture(builder, whole_batch), what="architecture")


register = register_model  # its name until version 0.2, which plugins use


def build(config: ModelConfig) -> MultimodalModel:
    """The model that a configuration describes, initialised from its seed, in training mode.

    Batches are normalised with CLIP's statistics whatever the configuration says (`outputs.Batch`): with
    normalisation "centred" the model brings them to its own before it looks at them.

    Raises whatever `clip.load_clip` raises when weights are missing or foreign.
    """
    clip = load_clip(config.clip, checkpoint=config.clip_checkpoint, activation=config.clip_activation)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        model = find(ARCHITECTURES, config.architecture, what="architecture").builder(clip, config)
    if config.normalisation == "centred":
        model.register_forward_pre_hook(_centred)
    return model


def _centred(model: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a forward pass, the images of its batch under the normalisation "centred"."""
    batch, *others = arguments
    images = {m.value: renormalise(batch[m.value]) for m in MODALITIES if batch.get(m.value) is not None}
    return ({**batch, **images}, *others)


def _of_adapters(config: ModelConfig) -> dict[str, Any]:
    """The settings that MMDG++ and MMDG++ with supervised certainty share."""
    names = "prompts train_tokens dim heads samples rate theta sampling context context_std"
    return {name: getattr(config, name) for name in names.split()}


def _mmdgpp(clip: CLIP, config: ModelConfig) -> MMDGPlusPlus:
    return MMDGPlusPlus(
        clip,
        config.source_domains,
        released=config.released,
        adapters=config.adapters,
        suppression=config.suppression,
        **_of_adapters(config),
    )


def _supervised(clip: CLIP, config: ModelConfig) -> SupervisedCertainty:
    return SupervisedCertainty(clip, config.source_domains, settings=config.certainty, **_of_adapters(config))


def _mmdg(clip: CLIP, config: ModelConfig) -> MMDG:
    return MMDG(
        clip,
        config.source_domains,
        released=config.released,
        train_tokens=config.train_tokens,
        dim=config.dim,
        heads=config.heads,
        theta=config.theta,
        descriptors=config.descriptors,
        modality_weight=config.prototype_weight,
    )


def _peer(kind: type[Peer]) -> Builder:
    def make(clip: CLIP, config: ModelConfig) -> Peer:
        return kind(
            clip,
            config.source_domains,
            settings=config.peer,
            train_tokens=config.train_tokens,
            dim=config.dim,
            heads=config.heads,
            theta=config.theta,
        )

    return make


ARCHITECTURES.update(
    {
        "mmdg++": Architecture(_mmdgpp),
        "mmdg++_supervised": Architecture(_supervised),
        "mmdg": Architecture(_mmdg, whole_batch="MMDG moves its prototypes by the class means of a whole batch"),
        "flip": Architecture(_peer(FLIP)),
        "flip_mcl": Architecture(_peer(FLIPMCL), whole_batch="FLIP-MCL compares the samples of a whole batch"),
        "ssdg": Architecture(_peer(SSDG), whole_batch="SSDG compares the samples of a whole batch"),
        "sa_fas": Architecture(_peer(SAFAS), whole_batch="SA-FAS compares the samples of a whole batch"),
        "ama": Architecture(_peer(AMA)),
        "cmfl": Architecture(_peer(CMFL)),
        "flex_modal": Architecture(_peer(FlexModal), whole_batch="Flex-Modal normalises over a whole batch"),
    }
)
