"""Loading a frozen CLIP through open_clip: the tiny one of this package, or ViT-B/16 with OpenAI's weights.

CLIP: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
OpenAI's weights were trained with the activation QuickGELU, x * sigmoid(1.702 x), most others with the exact GELU. With
the other activation weights are silently worse, so the activation follows the weights.
"""

import copy
import json
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn import functional

from mmdg_lite.configuration import ASSETS
from mmdg_lite.modality import CLIP_MEAN, CLIP_STD
from mmdg_lite.models.clip_weights import Activation, CheckpointError, read_clip, read_weights, untrained_rows
from mmdg_lite.prompts import encode_embedded
from mmdg_lite.registry import Normalisation

__all__ = [
    "CENTRED",
    "CLIP_MEAN",
    "CLIP_STD",
    "Activation",
    "CheckpointError",
    "ClipShape",
    "Normalisation",
    "clip_config",
    "describe",
    "encode_text",
    "load_clip",
    "normalise",
    "tokenize",
]

CENTRED = 127.5, 128.0
"""Offset and scale of pixels 0..255 under the normalisation "centred"."""

TINY = "tiny"
CONTEXT_LENGTH = 77
RANDOM = "random"
REBUILD = "rebuild it with `python -m mmdg_lite pretrain-clip`"

_HUGGING_FACE = re.compile(r"(^|\.)(vision_model|text_model)\.|pre_layrnorm|encoder\.layers\.\d+\.self_attn")
"""Parts of parameters' names by which files of the library transformers are known."""

TINY_CHECKPOINT = ASSETS / "tiny_clip.safetensors"


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """Sizes of a CLIP."""

    image_size: int  # pixels, height and width of its input
    patch_size: int  # pixels
    grid: int  # patches per side
    width: int  # C, of the vision trunk
    layers: int  # of the vision trunk
    heads: int  # of the vision trunk
    embed_dim: int  # D, of the common space of images and texts
    text_width: int
    text_layers: int
    context_length: int  # tokens


def load_clip(
    name: str = TINY,
    *,
    checkpoint: str | Path | None = None,
    activation: Activation | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
) -> CLIP:
    """A frozen CLIP in evaluation mode, in float32.

    Args:
        name: "tiny", or the name of an open_clip configuration with a plain vision transformer, such as "ViT-B-16".
        checkpoint: None for the weights that belong to the name: the checkpoint in this package for "tiny", OpenAI's,
            which open_clip fetches and caches, for any other. A path to a local file (safetensors or a PyTorch state
            dict; OpenAI's own archives are converted first, see `clip_weights.convert_torchscript`). "random" for
            random weights.
        activation: "quick_gelu" or "gelu", what the weights were trained with. None: as the weights have it. That is
            QuickGELU for the shipped and for OpenAI's weights, for random ones, and for names that end in
            "-quickgelu"; of a local file, what its header or a configuration beside it says. Where nothing says,
            QuickGELU is taken for weights that are 16-bit numbers, as OpenAI's are, and else the exact GELU, each with
            a warning.
        device: where the model goes.
        seed: of the random weights.

    Raises:
        ValueError: no such configuration or activation, or not a plain vision and text transformer.
        FileNotFoundError: no file at `checkpoint`.
        CheckpointError: (a ValueError) the file is damaged or belongs to another model.
        ConnectionError: OpenAI's weights could not be fetched.
    """
    if activation is not None and activation not in get_args(Activation):
        raise ValueError(f"unknown activation {activation!r}: choose {' or '.join(get_args(Activation))}, or None")
    config = clip_config(name)
    if checkpoint == RANDOM:
        clip = _build(_with(config, activation), seed)
    elif checkpoint is not None:
        weights = read_clip(checkpoint)
        if activation is None:
            activation = weights.activation or _likely_activation(name, weights.state, checkpoint)
        clip = _fill(_build(_with(config, activation), seed), weights.state, checkpoint, name)
    elif name == TINY:
        if not TINY_CHECKPOINT.is_file():
            raise FileNotFoundError(f"the tiny CLIP's checkpoint is missing at {TINY_CHECKPOINT}: {REBUILD}")
        clip = _fill(_build(_with(config, activation), seed), read_weights(TINY_CHECKPOINT), TINY_CHECKPOINT, name)
    else:
        clip = _fetch_openai(name, quick=activation != "gelu")
    return clip.requires_grad_(False).eval().to(device)


def clip_config(name: str) -> dict[str, Any]:
    """The keyword arguments of `open_clip.CLIP` for a name, QuickGELU on (see `load_clip` for local weights).

    Raises ValueError for an unknown name, and for a model whose towers are not plain transformers.
    """
    if name == TINY:
        return dict(json.loads((ASSETS / "tiny_clip.json").read_text(encoding="utf-8")))
    known = open_clip.list_models()
    if name not in known:
        raise ValueError(f"unknown CLIP {name!r}: choose 'tiny' or one of open_clip's, such as {_examples(known)}")
    config = copy.deepcopy(open_clip.get_model_config(name))
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    plain = isinstance(vision.get("layers"), int) and "hf_model_name" not in text and "timm_model_name" not in vision
    if not plain or config.get("custom_text") or "multimodal_cfg" in config:
        raise ValueError(f"{name!r} is not a CLIP of two plain transformers: choose one such as {_examples(known)}")
    return config | {"quick_gelu": True}


def describe(clip: CLIP) -> ClipShape:
    """Sizes of a CLIP with a plain vision transformer."""
    visual = clip.visual
    patch, image = visual.conv1.kernel_size[0], visual.image_size
    size = image[0] if isinstance(image, tuple | list) else image
    return ClipShape(
        image_size=size,
        patch_size=patch,
        grid=size // patch,
        width=visual.conv1.out_channels,
        layers=len(visual.transformer.resblocks),
        heads=visual.transformer.resblocks[0].attn.num_heads,
        embed_dim=visual.proj.shape[1],
        text_width=clip.token_embedding.embedding_dim,
        text_layers=len(clip.transformer.resblocks),
        context_length=clip.context_length,
    )


def tokenize(texts: str | list[str], context_length: int = CONTEXT_LENGTH) -> Tensor:
    """Token ids of texts, texts x context_length, zero after the end-of-text token. Works without network.

    Raises ValueError naming the first text that is too long.
    """
    given = [texts] if isinstance(texts, str) else list(texts)
    ids: Tensor = _tokenizer()(given, context_length + 1)
    too_long = (ids[:, -1] != 0).nonzero().flatten().tolist()
    if too_long:
        raise ValueError(f"a text has more than {context_length} tokens: {given[too_long[0]]!r}")
    return ids[:, :context_length]


def encode_text(clip: CLIP, tokens: Tensor, *, normalize: bool = False) -> Tensor:
    """The same as `clip.encode_text`, texts x D, at less cost: sequences are cut at the longest text.

    Attention is causal and the feature is read at the end-of-text token, so what follows it cannot matter.
    """
    end = tokens.argmax(dim=-1)  # the end-of-text token has the largest id
    tokens = tokens[:, : int(end.max()) + 1]
    features = encode_embedded(clip, clip.token_embedding(tokens), end)
    return functional.normalize(features, dim=-1) if normalize else features


def normalise(
    images: NDArray[np.uint8] | Tensor, device: torch.device | str = "cpu", *, normalisation: Normalisation = "clip"
) -> Tensor:
    """uint8 images, n x 3 x H x W or n x 1 x H x W (then repeated), to CLIP's input, float n x 3 x H x W."""
    x = torch.as_tensor(images).to(device).float() / 255
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    x = (x - mean) / std
    return renormalise(x) if normalisation == "centred" else x


def renormalise(images: Tensor) -> Tensor:
    """Images ... x 3 x H x W normalised by CLIP's mean and deviation, to the normalisation "centred" (E3)."""
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    offset, scale = CENTRED
    factor, shift = 255 * std / scale, (255 * mean - offset) / scale
    return images * factor.to(images.dtype) + shift.to(images.dtype)


@lru_cache(maxsize=1)
def _tokenizer() -> SimpleTokenizer:
    """CLIP's byte-pair tokenizer; its vocabulary is a file in open_clip's wheel."""
    return SimpleTokenizer()


def _build(config: dict[str, Any], seed: int) -> CLIP:
    """The architecture with random weights from the seed; the global generators are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        clip = CLIP(**config)
    with torch.no_grad():
        clip.token_embedding.weight.copy_(untrained_rows(clip.vocab_size, clip.token_embedding.embedding_dim, seed))
    return clip


def _with(config: dict[str, Any], activation: Activation | None) -> dict[str, Any]:
    """The arguments of `open_clip.CLIP` with an activation; None leaves QuickGELU."""
    return config | {"quick_gelu": activation != "gelu"}


def _likely_activation(name: str, state: dict[str, Tensor], path: str | Path) -> Activation:
    """The activation of weights of which nothing says it, with a warning unless the model's name says it."""
    if name == TINY or name.casefold().endswith("quickgelu"):
        return "quick_gelu"
    products = [value for key, value in state.items() if key.endswith(("in_proj_weight", "c_fc.weight"))]
    half = bool(products) and all(torch.equal(value, value.half().to(value.dtype)) for value in products)
    taken, why = (
        ("QuickGELU", "are 16-bit numbers, as OpenAI's are") if half else ("the exact GELU", "are not OpenAI's")
    )
    warnings.warn(
        f"{path} does not say whether it was trained with QuickGELU or with the exact GELU; its weights {why}, so "
        f"{taken} is taken. Say activation='quick_gelu' or 'gelu' (of a run: model.clip_activation) to be sure",
        stacklevel=3,
    )
    return "quick_gelu" if half else "gelu"


def _fill(clip: CLIP, state: dict[str, Tensor], path: str | Path, name: str) -> CLIP:
    wanted = clip.state_dict()
    missing, foreign = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if any(map(_HUGGING_FACE.search, foreign)):
        raise CheckpointError(
            f"{path} has Hugging Face's names ({next(filter(_HUGGING_FACE.search, foreign))}), where open_clip's are "
            "expected (visual.transformer.resblocks.0...): files of the library transformers are not read; fetch the "
            "same CLIP in open_clip's form, open_clip_model.safetensors or open_clip_pytorch_model.bin"
        )
    if missing or foreign:
        raise CheckpointError(
            f"{path} does not hold the weights of CLIP {name!r}: {_list('missing', missing)}, "
            f"{_list('unknown', foreign)}; choose the model that the file belongs to"
        )
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise CheckpointError(
                f"{path} does not fit CLIP {name!r}: {key} has shape {tuple(value.shape)} instead of "
                f"{tuple(wanted[key].shape)}; choose the model that the file belongs to"
            )
        if not value.is_floating_point():
            raise CheckpointError(
                f"{path} holds {key} as {str(value.dtype).removeprefix('torch.')}, where floating-point numbers are "
                "needed: save the weights as they were trained, not rounded or quantised"
            )
        if not torch.isfinite(value.float()).all():
            raise CheckpointError(f"{path} holds values that are not finite in {key}: fetch or rebuild it")
    clip.load_state_dict(state)
    return clip


def _fetch_openai(name: str, *, quick: bool) -> CLIP:
    if "openai" not in open_clip.list_pretrained_tags_by_model(name):
        raise ValueError(f"OpenAI published no weights for {name!r}: give a local file as `checkpoint`")
    try:
        clip: CLIP = open_clip.create_model(name, pretrained="openai", force_quick_gelu=quick)
    except Exception as error:  # whatever the network, the proxy or the cache raises
        reason = str(error).strip().split("\n")[0][:300]
        raise ConnectionError(
            f"OpenAI's weights of CLIP {name!r} could not be fetched ({reason}). With network they come by themselves; "
            f"without, copy the file from a machine that has it and give its path as `checkpoint`, or use 'tiny'."
        ) from error
    return clip


def _list(what: str, names: list[str]) -> str:
    return f"{len(names)} {what}" + (f" (such as {names[0]})" if names else "")


def _examples(known: list[str]) -> str:
    return ", ".join(name for name in ("ViT-B-32", "ViT-B-16", "ViT-L-14") if name in known)
