"""Vision transformers with their weights, by name: CLIP's trunks, timm's and torchvision's."""

from collections.abc import Callable
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

from mmdg_lite.models.clip import load_clip
from mmdg_lite.models.clip_weights import CheckpointError, read_weights
from mmdg_lite.models.trunk import Trunk, take_apart

RANDOM = "random"
PUBLISHED = "IMAGENET1K_V1"  # torchvision's name of its first ImageNet weights


def load_trunk(name: str = "tiny", *, checkpoint: str | Path | None = None, seed: int = 0) -> Trunk:
    """A frozen vision transformer in evaluation mode, taken apart.

    Args:
        name: "tiny", "ViT-B-16" or another CLIP of `clip.load_clip` (its visual trunk); "torchvision/vit_b_16" and
            its like (ImageNet weights, as MMDG's); "timm/vit_base_patch16_224" and its like.
        checkpoint: None for the published weights, which are fetched and cached; a local file (safetensors or a PyTorch
            state dict); "random" for random weights.
        seed: of random weights.

    Raises:
        ValueError: no such model, or not a plain vision transformer.
        FileNotFoundError: no file at `checkpoint`.
        CheckpointError: (a ValueError) the file is damaged or belongs to another model.
        ConnectionError: the weights could not be fetched.
    """
    library, _, model = name.rpartition("/")
    if not library:
        return take_apart(load_clip(name, checkpoint=checkpoint, seed=seed))
    create = _maker(library, model, name)
    if checkpoint is None:
        built = _fetched(create, name)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            built = create(False)
        if checkpoint != RANDOM:
            _fill(built, checkpoint, name)
    return take_apart(built.requires_grad_(False).eval())


def _maker(library: str, model: str, name: str) -> Callable[[bool], nn.Module]:
    """What builds the model, given whether its published weights are wanted."""
    if library == "timm" and timm.is_model(model):
        return lambda pretrained: timm.create_model(model, pretrained=pretrained)
    if library == "torchvision" and model in torchvision.models.list_models(include="vit_*"):
        return lambda pretrained: torchvision.models.get_model(model, weights=PUBLISHED if pretrained else None)
    raise ValueError(
        f"unknown trunk {name!r}: choose 'tiny', a CLIP such as 'ViT-B-16', 'torchvision/vit_b_16' and its like, or "
        f"'timm/vit_base_patch16_224' and its like"
    )


def _fetched(create: Callable[[bool], nn.Module], name: str) -> nn.Module:
    try:
        return create(True)
    except Exception as error:  # whatever the network, the proxy or the cache raises
        reason = str(error).strip().split("\n")[0][:300]
        raise ConnectionError(
            f"the weights of {name!r} could not be fetched ({reason}). With network they come by themselves; without, "
            f"copy the file from a machine that has it and give its path as `checkpoint`, or use the trunk 'tiny'."
        ) from error


def _fill(model: nn.Module, path: str | Path, name: str) -> None:
    state, wanted = read_weights(path), model.state_dict()
    problems = [f"missing {key}" for key in wanted if key not in state]
    problems += [f"unknown {key}" for key in state if key not in wanted]
    problems += [
        f"{key} has shape {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if problems:
        raise CheckpointError(f"{path} does not hold the weights of {name!r}: {'; '.join(problems[:3])}")
    model.load_state_dict(state)
