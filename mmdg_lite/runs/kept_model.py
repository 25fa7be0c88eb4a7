"""The model that a run kept: made as its configuration says, with its parameters. Both may come from anyone."""

from pathlib import Path

import torch

from mmdg_lite.configuration import ConfigurationError
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.builder import build
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.runs.checkpoints import CheckpointError, read_checkpoint
from mmdg_lite.runs.config import RunConfig


def kept_model(config: RunConfig, weights: str | Path, *, source: str | Path, device: torch.device) -> MultimodalModel:
    """A model in evaluation mode, after one pass over blank pictures.

    Args:
        config: the run's configuration.
        weights: the parameters, `model.safetensors`.
        source: the file that the configuration is from, for messages.
        device: where the model is put.

    Raises:
        ConfigurationError: no such model can be made, or it does not take pictures of the run's size (naming `source`).
        CheckpointError: the parameters are damaged, not of this model or not finite, or give no score (naming
            `weights`); or the weights of its CLIP cannot be read (naming their file).
        FileNotFoundError, ConnectionError: a file of weights is not there, or cannot be fetched.
    """
    try:
        model = build(config.model)
    except (OSError, CheckpointError):
        raise
    except Exception as error:  # architectures, the user's own too, raise anything for sizes that do not fit
        raise ConfigurationError(f"{source}: no model can be made as it says there ({error})") from error
    tensors = read_checkpoint(weights).tensors
    kinds = {name: value.is_floating_point() for name, value in model.state_dict().items()}
    for name, value in tensors.items():  # an integer tensor would silently become a parameter
        if kinds.get(name, True) != value.is_floating_point() or not value.isfinite().all():
            raise CheckpointError(f"{weights}: {name} is not made of finite numbers; restore the file, or run again")
    try:
        model.load_trainable_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{weights}: {error}") from error
    return _tried(model.to(device).eval(), config.data.size, weights, source)


@torch.inference_mode()
def _tried(model: MultimodalModel, size: int, weights: str | Path, source: str | Path) -> MultimodalModel:
    """The same after one pass, which also computes what all later ones share, such as features of sentences."""
    device = next(model.parameters()).device
    blank = torch.zeros(1, 3, size, size, device=device)
    try:
        with torch.random.fork_rng(devices=[]):  # the released code's D12 draws in evaluation too
            score = model({modality.value: blank for modality in MODALITIES}).score()
    except Exception as error:
        raise ConfigurationError(f"{source}: its model takes no pictures of {size} x {size} ({error})") from error
    if not score.isfinite().all():
        raise CheckpointError(f"{weights}: with {source} its model gives no finite score; restore both, or run again")
    return model
