"""One run: its complete configuration, and the profiles that configurations start from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmdg_lite.configuration import from_dict, to_dict
from mmdg_lite.data.augmentation import Augmentation, Dropout
from mmdg_lite.data.protocols import OWN, PROTOCOLS, Setting, own_setting
from mmdg_lite.runs.methods import method as find_method
from mmdg_lite.models.config import ModelConfig
from mmdg_lite.runs.plugins import Plugin, load_plugin, plugins_behind
from mmdg_lite.registry import ARCHITECTURES, WEIGHINGS, check_name, check_path_name, find

if TYPE_CHECKING:
    import torch

Profile = Literal["quick", "short", "full", "paper"]
Precision = Literal["auto", "float32", "bfloat16", "float64"]
Optimiser = Literal["adamw", "adam", "sgd"]
NonFinite = Literal["stop", "skip"]
Jitter = Literal["shared", "each"]


LARGEST_SIDE = 1024
"""Pixels; CLIP's largest vision transformers take 448."""
MOST_PIXELS = 2**32
"""Pixels of all faces of a synthetic list, which are rendered into memory: a million faces of 64 x 64, 20 GB."""
MOST_WORKERS = 256
LARGEST_SEED = 2**63 - 1
"""What every generator of random numbers takes."""


def at_most(values: Any, highest: int, *names: str, part: str) -> None:
    """Raise `ValueError`, naming the setting, if one of them is above `highest`: configurations come from anyone."""
    for name in names:
        if getattr(values, name) > highest:
            raise ValueError(f"{part}.{name} must be at most {highest}, got {getattr(values, name)}")


def at_least(values: Any, lowest: float, *names: str, part: str) -> None:
    """Raise `ValueError`, naming the setting, if one of them is not a finite number of at least `lowest`."""
    for name in names:
        if not lowest <= getattr(values, name) < math.inf:
            raise ValueError(f"{part}.{name} must be at least {lowest:g}, got {getattr(values, name)}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where samples come from and how many."""

    root: str | None = None  # folder with one converted data set per domain; None: the synthetic domains
    size: int = 64  # pixels, height and width
    train_samples: int = 240  # per synthetic source domain
    validation_samples: int = 120  # per synthetic source domain
    test_samples: int = 400  # per synthetic target domain
    seed: int = 2026  # of the synthetic samples, the same for every run so that all methods see the same faces
    augment: bool = True  # flip and jitter in training
    # "shared": depth as it is, and one jitter for the three equal channels of infrared; "each": also of depth, and
    # an offset for each channel, as in a sibling work of the paper's authors
    jitter: Jitter = "shared"
    # in training, protocol P5: "each" drops every modality by itself, "together" depth and infrared at once and RGB
    # never, as in a sibling work
    dropout: Dropout = "each"
    # test also with modalities missing at random: from a sample each with probability 0.7, as in a sibling work, where
    # protocol P2 takes them from every sample
    random_missing: bool = False
    spoilt: float = 0.0  # probability that a region of one modality of a training sample is spoilt (`data.spoiling`)
    workers: int = 0  # processes that load batches; 0: the training process itself
    cache: str | None = None  # folder for rendered samples; None: render them anew
    deployments: bool = False  # test on the deployments and reliability curves of protocol P6 too (synthetic only)

    def __post_init__(self) -> None:
        at_least(self, 1, "size", "train_samples", "validation_samples", "test_samples", part="data")
        at_least(self, 0, "seed", "workers", part="data")
        at_most(self, LARGEST_SIDE, "size", part="data")
        at_most(self, MOST_PIXELS // self.size**2, "train_samples", "validation_samples", "test_samples", part="data")
        at_most(self, MOST_WORKERS, "workers", part="data")
        at_most(self, LARGEST_SEED, "seed", part="data")
        if not 0 <= self.spoilt <= 1:
            raise ValueError(f"data.spoilt is a probability, got {self.spoilt}")
        if self.jitter == "each" and not self.augment:
            raise ValueError('data.jitter: "each" needs data.augment; without it there is no jitter')
        if self.deployments and self.root is not None:
            raise ValueError("data.deployments: protocol P6 is synthetic; use false, or leave out data.root")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the trainable parameters are fitted."""

    steps: int = 60  # optimiser steps at most
    batch_size: int = 24  # triplets per step, over all ranks and micro-batches
    balanced_batches: bool = False  # every batch holds live faces and attacks of each source domain in equal numbers
    views: int = 1  # augmented views of a sample: 1, or 2 for methods that compare two
    accumulate: int = 1  # micro-batches that a step is made of, one after the other: the same step in less memory
    activation_checkpointing: bool = False  # compute blocks again in backward passes: the same step in less memory
    compile: bool = False  # torch.compile for the trunk's blocks in training: the same step, to rounding, in less time
    cuda_graphs: bool = False  # record the step's passes once and play them back: the same step, to rounding (CUDA)
    learning_rate: float = 6e-3  # after warm-up; chosen on the synthetic sources' validation lists
    weight_decay: float = 5e-5
    # "adam" normalises weight decay with the gradient: heads that hardly get one vanish; "sgd" is without momentum
    optimiser: Optimiser = "adamw"
    warmup: int = 10  # steps of linear warm-up
    validate_every: int = 20  # steps between two looks at the sources' validation lists
    patience: int = 0  # validations without improvement after which training stops; 0: never
    rule: str = "regrad"  # how the modalities' gradients are balanced; "none": their plain sum
    momentum: float = 0.5  # of ReGrad's loss averages
    uncertainty_kl: float = 0.0  # weight of the divergence of the adapters' queries from N(0, 1); 0: none (D11)
    checkpoint_every: int = 50  # steps between two resumable states
    precision: Precision = (
        "auto"  # "auto": bfloat16 autocast on CUDA where the device has it, float32 elsewhere; "float64" to compare
    )
    non_finite: NonFinite = "stop"  # at a loss or gradient that is not finite: stop, or pass over that batch

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "batch_size", "accumulate", "validate_every", "checkpoint_every", part="training")
        at_least(self, 0, "learning_rate", "weight_decay", "warmup", "patience", "uncertainty_kl", part="training")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"training.momentum must be at least 0 and below 1, got {self.momentum}")
        if self.views not in (1, 2):
            raise ValueError(f"training.views must be 1 or 2, got {self.views}")
        check_name(WEIGHINGS, self.rule, what="rule")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that determines a run."""

    profile: Profile  # what the numbers below started from
    protocol: str  # "P1" .. "P6", or "own"
    setting: str  # such as "CPS->W"
    method: str  # see `methods.METHODS`
    seed: int = 0  # of initialisation, order, augmentation and sampling
    device: str = "auto"  # "auto": cuda, else mps, else cpu
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig
    training: TrainingConfig = field(default_factory=TrainingConfig)
    plugins: dict[str, Plugin] = field(default_factory=dict)  # the user's own files that it needs, by their names

    def __post_init__(self) -> None:
        at_least(self, 0, "seed", part="run")
        at_most(self, LARGEST_SEED, "seed", part="run")
        check_path_name(self.method, what="method")
        if self.model.source_domains != self.domains.sources:
            given, wanted = (", ".join(names) for names in (self.model.source_domains, self.domains.sources))
            raise ValueError(f"model.source_domains is {given}, but {self.setting} trains on {wanted}; leave it out")
        if self.data.dropout == "together" and not self.domains.modality_dropout:
            raise ValueError('data.dropout: "together" is for protocol P5; no other drops modalities in training')
        if self.training.accumulate > 1 and self.undivided:
            raise ValueError(f"training.accumulate: {self.undivided}; use 1")
        if self.training.cuda_graphs and (reason := self._unrecordable()):
            raise ValueError(f"training.cuda_graphs: {reason}; use false, which gives the same results")

    def _unrecordable(self) -> str | None:
        """Why the steps of this run cannot be recorded, None if they can."""
        if self.model.architecture != "mmdg++":
            return f"only MMDG++ and its parts do the same operations for every batch, not {self.model.architecture!r}"
        if self.training.accumulate > 1 or self.training.activation_checkpointing:
            return "a step in parts, or with activation checkpointing, sets random numbers back on the way"
        return None

    @property
    def undivided(self) -> str:
        """Why micro-batches or ranks cannot take the step of a whole batch; empty if they can."""
        reason = find(ARCHITECTURES, self.model.architecture, what="architecture").whole_batch
        return reason and f"{reason}, which cannot be divided"

    @property
    def domains(self) -> Setting:
        """The protocol's setting: sources, targets, what is missing or left out."""
        return find_setting(self.protocol, self.setting)

    @property
    def deployments(self) -> bool:
        """True if the run is tested on the deployments and reliability curves of protocol P6."""
        return self.data.deployments or (self.domains.deployments and self.data.root is None)

    @property
    def name(self) -> str:
        """Path of the run below the folder of its grid: protocol/setting/method/seed."""
        return f"{self.protocol}/{setting_folder(self.setting)}/{self.method}/seed{self.seed}"

    def augmentation(self) -> Augmentation | None:
        """What is done to training samples; protocol P5 also drops modalities, some methods spoil regions."""
        rate, dropout, each = self.domains.modality_dropout, self.data.dropout, self.data.jitter == "each"
        always = Augmentation(modality_dropout=rate, dropout=dropout, spoilt=self.data.spoilt)
        if self.data.augment:
            return replace(always, jitter_depth=each, per_copy=each)
        return replace(always, flip=0, offset=0, gamma=(1, 1)) if rate or self.data.spoilt else None


PROFILES: dict[str, tuple[DataConfig, TrainingConfig, str]] = {
    # a minute per run: shows that everything works, not what it is worth; for notebooks and tests
    "quick": (DataConfig(), TrainingConfig(), "tiny"),
    # minutes per run on one CPU core, enough for adapters to learn: what `make reproduce` runs, on one setting
    "short": (
        DataConfig(test_samples=1000),
        TrainingConfig(steps=300, warmup=20, validate_every=50, precision="float32"),
        "tiny",
    ),
    # minutes per run on one CPU core; whether more steps would help on the sources' validation lists is in notebook 07.
    # float32 everywhere, so that one grid may be made on CPUs and GPUs; at this size bfloat16 would gain no time
    "full": (
        DataConfig(validation_samples=400, test_samples=2000),
        TrainingConfig(steps=800, warmup=20, validate_every=160, precision="float32"),
        "tiny",
    ),
    # ViT-B/16 on converted data sets. Known from a sibling work of the same authors: Adam, learning rate and weight
    # decay 5e-5, batch 16 to 32, up to 80 epochs, flip and jitter. Our choice: number of steps, warm-up, validation.
    "paper": (
        DataConfig(size=224, workers=4),
        TrainingConfig(
            steps=30_000, batch_size=32, learning_rate=5e-5, optimiser="adam", warmup=0, validate_every=500,
            patience=10, checkpoint_every=250,
        ),
        "ViT-B-16",
    ),
}  # fmt: skip


def setting_folder(setting: str) -> str:
    """A setting's name as that of a folder: "CPS-to-W" for "CPS->W", "W_without_print" for "W without print"."""
    return setting.replace("->", "-to-").replace(" ", "_")


def find_setting(protocol: str, name: str) -> Setting:
    """A setting of a protocol. Raises `ValueError` listing what there is."""
    if protocol == OWN:
        return own_setting(name)
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; choose one of {', '.join([*PROTOCOLS, OWN])}")
    if name not in PROTOCOLS[protocol]:
        raise ValueError(f"protocol {protocol} has no setting {name!r}; choose one of {', '.join(PROTOCOLS[protocol])}")
    return PROTOCOLS[protocol][name]


def configure(
    profile: str,
    *,
    protocol: str = "P1",
    setting: str = "CPS->W",
    method: str = "mmdg++",
    seed: int = 0,
    device: str = "auto",
    data_root: str | None = None,
    data: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
) -> RunConfig:
    """The configuration of one run: a profile, with whatever is given here changed.

    Args:
        profile: "quick", "short", "full" or "paper".
        protocol, setting, method, seed, device: see `RunConfig`.
        data_root: folder with the converted data sets, required by "paper"; recorded by its absolute name, so that the
            run can be continued and evaluated from any working directory.
        data, training, model: fields of `DataConfig`, `TrainingConfig` and `ModelConfig` to change.
        plugins: your own files to load first; the configuration records those that the run needs.

    Raises:
        ValueError: an unknown profile, protocol, setting or method (naming those there are), an unknown field or a
            value of the wrong type (naming it), or "paper" without data.
        plugins.PluginError: a plugin that cannot be loaded.
    """
    for path in plugins:
        load_plugin(path)
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if profile == "paper" and data_root is None:
        raise ValueError("the paper profile needs the folder of your converted data sets (data_root); see data_prep/")
    base_data, base_training, clip = PROFILES[profile]
    parts = find_method(method)
    model_config = ModelConfig(
        source_domains=find_setting(protocol, setting).sources,
        architecture=parts.architecture,
        clip=clip,
        adapters=parts.adapters,
        prompts=parts.prompts,
        train_tokens=parts.train_tokens,
        certainty=parts.certainty,
        seed=seed,
    )
    of_method = {"rule": parts.rule, "balanced_batches": parts.balanced_batches, "views": parts.views}
    values: dict[str, Any] = {
        "profile": profile,
        "protocol": protocol,
        "setting": setting,
        "method": method,
        "seed": seed,
        "device": device,
        "data": _one_name(to_dict(base_data) | {"root": data_root, "spoilt": parts.spoilt} | (data or {})),
        "model": to_dict(model_config) | (model or {}),
        "training": to_dict(base_training) | of_method | (training or {}),
    }
    names = {
        "method": method,
        "architecture": str(values["model"]["architecture"]),
        "rule": str(values["training"]["rule"]),
    }
    return from_dict(RunConfig, values | {"plugins": plugins_behind(names)})


def _one_name(data: dict[str, Any]) -> dict[str, Any]:
    """The same fields with the data's folder under its absolute name."""
    root = data["root"]
    return data | {"root": str(Path(root).resolve())} if isinstance(root, str | Path) else data


def resolve_device(name: str) -> "torch.device":
    """The device that "auto" stands for here, or the one named. Raises `ValueError` if it is not available."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; choose auto, cpu, cuda or mps") from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (device.index or 0) >= there.get(device.type, 0):
        raise ValueError(f"device {name!r} is not available here; use device='auto' or 'cpu'")
    return device
