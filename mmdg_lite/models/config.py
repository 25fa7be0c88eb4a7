"""What a configuration says of a model. It names parts and settings, and imports none of them."""

import math
from dataclasses import dataclass, field

from mmdg_lite.registry import (
    ARCHITECTURES,
    Activation,
    AdapterKind,
    Normalisation,
    PromptKind,
    Sampling,
    Suppression,
    check_name,
)
from mmdg_lite.released import faults


def _check_finite(config: object, where: str) -> None:
    """Raise `ValueError` naming a setting that is infinite or no number."""
    for name, value in vars(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where}.{name} must be a finite number, got {value}")


@dataclass(frozen=True)
class PeerConfig:
    """Settings of the peers, with their papers' values as defaults unless stated otherwise."""

    temperature: float = 0.1  # of the contrastive losses of FLIP-MCL and of SA-FAS
    triplet_weight: float = 2.0  # SSDG
    margin: float = 0.1  # SSDG, of the triplet loss
    adversary_weight: float = 0.1  # SSDG
    contrast_weight: float = 0.1  # SA-FAS
    alignment_start: float = 0.2  # SA-FAS: share of training after which directions are aligned
    alignment_step: float = 0.005  # SA-FAS: how far a direction moves towards its farthest at every step
    branch_weight: float = 0.5  # CMFL: of the single modalities' losses; the joint head's has the rest
    focus: float = 3.0  # CMFL: exponent gamma
    bottleneck_dropout: float = 0.1  # AMA
    modality_dropout: float = 0.3  # Flex-Modal: of depth and of infrared in training; ours, as in protocol P5

    def __post_init__(self) -> None:
        _check_finite(self, "peer")
        if self.temperature <= 0:
            raise ValueError(f"peer.temperature must be above 0, got {self.temperature}")
        for name in ("triplet_weight", "margin", "adversary_weight", "contrast_weight", "focus"):
            if getattr(self, name) < 0:
                raise ValueError(f"peer.{name} must be at least 0, got {getattr(self, name)}")
        for name in ("alignment_start", "alignment_step", "branch_weight", "bottleneck_dropout", "modality_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"peer.{name} must be in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True)
class CertaintyConfig:
    """Settings of MMDG++ with supervised certainty: what certainty is taught by, and what it acts on."""

    weight: float = 1.0  # of the loss that teaches certainty, beside the total loss
    keys: bool = True  # attention turns away from doubtful tokens
    message: bool = True  # a doubtful sender says less
    head: bool = True  # a doubtful modality has a smaller share in the head
    shuffled: bool = False  # a control: certainty acts on other tokens, and on other modalities, than its own

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"certainty.weight must be at least 0, got {self.weight}")


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
    certainty: CertaintyConfig = field(default_factory=CertaintyConfig)  # MMDG++ with supervised certainty alone
    peer: PeerConfig = field(default_factory=PeerConfig)  # the peers alone: weights, margins, temperatures
    released: bool | tuple[str, ...] = False  # reproduce the released code's faults: all, none, or these (`faults`)
    seed: int = 0  # of the initialisation

    def __post_init__(self) -> None:
        _check_finite(self, "model")
        check_name(ARCHITECTURES, self.architecture, what="architecture")
        faults(self.released)
        if self.architecture == "mmdg" and self.normalisation != "clip":
            raise ValueError("model.normalisation: MMDG normalises for its own trunk; leave it at 'clip'")
