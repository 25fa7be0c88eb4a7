"""The models by name: what a configuration says of one, and building it. `register_model` adds one of your own."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from open_clip import CLIP

from mmdg_lite.attention import Suppression
from mmdg_lite.models.clip import load_clip
from mmdg_lite.models.mmdg import MMDG
from mmdg_lite.models.mmdgplusplus import MMDGPlusPlus, NoiseSource, Stream
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.registry import AdapterKind, PromptKind, add, find
from mmdg_lite.released import faults
from mmdg_lite.uncertainty import Sampling

__all__ = [
    "ARCHITECTURES",
    "MMDG",
    "AdapterKind",
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
    architecture: str = "mmdg++"  # MMDG takes of what follows clip, train_tokens, dim, heads, theta, released, seed
    clip: str = "tiny"  # "tiny", "ViT-B-16", or another open_clip architecture
    clip_checkpoint: str | None = None  # local weights for it; None: the shipped or published ones; "random": none
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
    released: bool | tuple[str, ...] = False  # reproduce the released code's faults: all, none, or these (`faults`)
    seed: int = 0  # of the initialisation

    def __post_init__(self) -> None:
        find(ARCHITECTURES, self.architecture, what="architecture")
        faults(self.released)


Builder = Callable[[CLIP, ModelConfig], MultimodalModel]
"""From a pre-trained CLIP and the configuration to the model; PyTorch's global CPU generator is seeded already."""


def register_model(name: str, builder: Builder) -> None:
    """Add an architecture under a name that `ModelConfig.architecture` and `Method.architecture` can then give.

    Raises `ValueError` if the name is taken, or no name for a folder.
    """
    add(ARCHITECTURES, name, builder, what="architecture")


register = register_model  # its name until version 0.2, which plugins use


def build(config: ModelConfig) -> MultimodalModel:
    """The model that a configuration describes, initialised from its seed, in training mode.

    Raises whatever `clip.load_clip` raises when weights are missing or foreign.
    """
    clip = load_clip(config.clip, checkpoint=config.clip_checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return find(ARCHITECTURES, config.architecture, what="architecture")(clip, config)


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


ARCHITECTURES: dict[str, Builder] = {"mmdg++": _mmdgpp, "mmdg": _mmdg}
