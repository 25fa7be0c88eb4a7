"""The models by name: what a configuration says of one, and building it. `register_model` adds one of your own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from open_clip import CLIP

from mmdg_lite.attention import Suppression
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.ama import AMA
from mmdg_lite.models.clip import Activation, Normalisation, load_clip, renormalise
from mmdg_lite.models.cmfl import CMFL
from mmdg_lite.models.flex_modal import FlexModal
from mmdg_lite.models.flip import FLIP, FLIPMCL
from mmdg_lite.models.mmdg import MMDG
from mmdg_lite.models.mmdgplusplus import MMDGPlusPlus, NoiseSource, Stream
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.peer import Peer, PeerConfig
from mmdg_lite.models.sa_fas import SAFAS
from mmdg_lite.models.ssdg import SSDG
from mmdg_lite.registry import AdapterKind, PromptKind, add, find
from mmdg_lite.released import faults
from mmdg_lite.uncertainty import Sampling

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


@dataclass(frozen=True)
class ModelConfig:
    """Which model, made of which parts."""

    source_domains: tuple[str, ...]  # names of the training domains
    # of what follows, MMDG takes clip, train_tokens, dim, heads, theta, released and seed, and the peers take these
    # except released
    architecture: str = "mmdg++"
    clip: str = "tiny"  # "tiny", "ViT-B-16", or another open_clip architecture
    clip_checkpoint: str | None = None  # local weights for it; None: the shipped or published ones; "random": none
    clip_activation: Activation | None = None  # "quick_gelu" or "gelu"; None: as the weights have it
    normalisation: Normalisation = "clip"  # of pixels: CLIP's statistics, or "centred", (x - 127.5) / 128 (E3)
    adapters: AdapterKind = "uncertainty"  # U-Adapter++, the same without uncertainty, or none
    prompts: PromptKind = "asymmetric"  # ADPs, one spoof class for all domains, or linear classifiers
    train_tokens: bool = True  # train class tokens, positional embeddings and projections
    dim: int = 8  # width of the adapters
    heads: int = 8  # attention heads of the adapters
    samples: int = 50  # Monte Carlo samples K of each query
    rate: float = 2.5  # certainty rate r
    theta: float = 0.5  # share of the central difference
    sampling: Sampling = "moments"  # how the samples' statistics are drawn in training
    suppression: Suppression = "query"  # what certainty scales: rows (queries) or columns (keys) of the logits
    context: int = 5  # learnable context vectors per class and modality
    context_std: float = 1.0  # standard deviation of their start; 1: the released code's; the tiny CLIP's words: 0.02
    descriptors: bool = True  # MMDG alone: infrared as [infrared, HOG, PLGF]; false: the image three times
    prototype_weight: float = 0.3  # MMDG alone: of the modalities' losses, by prototypes, beside the head's
    peer: PeerConfig = field(default_factory=PeerConfig)  # the peers alone: weights, margins, temperatures
    released: bool | tuple[str, ...] = False  # reproduce the released code's faults: all, none, or these (`faults`)
    seed: int = 0  # of the initialisation

    def __post_init__(self) -> None:
        find(ARCHITECTURES, self.architecture, what="architecture")
        faults(self.released)
        if self.architecture == "mmdg" and self.normalisation != "clip":
            raise ValueError("model.normalisation: MMDG normalises for its own trunk; leave it at 'clip'")


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


def _mmdgpp(clip: CLIP, config: ModelConfig) -> MMDGPlusPlus:
    return MMDGPlusPlus(
        clip,
        config.source_domains,
        released=config.released,
        adapters=config.adapters,
        prompts=config.prompts,
        train_tokens=config.train_tokens,
        dim=config.dim,
        heads=config.heads,
        samples=config.samples,
        rate=config.rate,
        theta=config.theta,
        sampling=config.sampling,
        suppression=config.suppression,
        context=config.context,
        context_std=config.context_std,
    )


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


ARCHITECTURES: dict[str, Architecture] = {
    "mmdg++": Architecture(_mmdgpp),
    "mmdg": Architecture(_mmdg, whole_batch="MMDG moves its prototypes by the class means of a whole batch"),
    "flip": Architecture(_peer(FLIP)),
    "flip_mcl": Architecture(_peer(FLIPMCL), whole_batch="FLIP-MCL compares the samples of a whole batch"),
    "ssdg": Architecture(_peer(SSDG), whole_batch="SSDG compares the samples of a whole batch"),
    "sa_fas": Architecture(_peer(SAFAS), whole_batch="SA-FAS compares the samples of a whole batch"),
    "ama": Architecture(_peer(AMA)),
    "cmfl": Architecture(_peer(CMFL)),
    "flex_modal": Architecture(_peer(FlexModal), whole_batch="Flex-Modal normalises over a whole batch"),
}
