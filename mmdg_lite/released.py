"""From the parameter names of the code released by the authors to those of this package.

With these a checkpoint saved by the released code can be loaded: `model.load_state_dict(convert_state_dict(state))` for
`MMDGPlusPlus(clip, source_domains, released=True)`. Read such files with `torch.load(path, weights_only=True)` only.
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mmdg_lite.modality import MODALITIES

if TYPE_CHECKING:  # names of faults are needed where models are not
    from torch import Tensor

LIVE_CLASS = 1
"""Where live stands among the released classes: spoof, live, spoof, spoof, spoof. Here it always comes first."""

_ADAPTER_MODULES = {
    "adapter_conv.conv": "convolution.conv",
    "adapter_down_k_v": "down_receiver",
    "adapter_down_q": "down_sender",
    "adapter_down_1": "down_receiver",
    "adapter_down_2": "down_sender",
    "adapter_mlp": "mlp",
    "adapter_up": "up",
    "ln_k_v": "norm_receiver",
    "ln_q": "norm_sender",
    "ln_before": "norm",
    "cross_attention.q_linear": "attention.query_sender",
    "cross_attention.q_linear_1": "attention.query_sender",
    "cross_attention.q_linear_2": "attention.query_receiver",
    "cross_attention.k_linear": "attention.key",
    "cross_attention.v_linear": "attention.value",
    "cross_attention.proj": "attention.out",
    "cross_attention.mean_mlp_1": "attention.mean_sender",
    "cross_attention.mean_mlp_2": "attention.mean_receiver",
    "cross_attention.std_mlp_1": "attention.log_variance_sender",
    "cross_attention.std_mlp_2": "attention.log_variance_receiver",
}

_OWN_PARTS = frozenset(
    {"fc_all"} | {f"{part}_{n}" for part in ("conv_pass", "class_token", "prompts") for n in (1, 2, 3)}
)
"""First parts of released names that tell a whole released model from a frozen CLIP alone."""

_MODALITY_PARAMETERS = {
    "class_token": "class_tokens",
    "pos": "positions",
    "visual_proj": "projections",
    "prompts": "prompts.contexts",
}


WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of a parameter's dotted name that DataParallel, torch.compile, FSDP and activation checkpointing put in."""


NESTED = ("state_dict", "model_state_dict", "model", "module", "weights")
"""Keys under which training checkpoints keep the parameters that are meant, first those that are preferred."""


def parameters(content: Mapping[Any, Any]) -> dict[str, "Tensor"]:
    """The parameters in what a checkpoint holds: at its top, or below the keys that training code puts them under.

    Raises `TypeError` for what is no dictionary; `ValueError` if there are no parameters, or several sets of them (a
    student and a teacher, say) and none under a key of NESTED.
    """
    from torch import Tensor

    _check_mapping(content)
    if content and all(isinstance(value, Tensor) for value in content.values()):
        if not all(isinstance(key, str) for key in content):
            raise ValueError("its tensors are numbered, where names of parameters are needed")
        return dict(content)
    inner = {}
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):  # an optimiser's state is numbered
            with suppress(ValueError):
                inner[key] = parameters(value)
    preferred = next((key for key in NESTED if key in inner), None)
    if preferred is None and len(inner) > 1:
        raise ValueError(f"it holds several sets of tensors, {', '.join(map(str, inner))}: save the one that is meant")
    if not inner:
        raise ValueError("it holds no dictionary of tensors")
    return inner[preferred if preferred is not None else next(iter(inner))]


def _check_mapping(content: object) -> None:
    """Raise `TypeError` that says what is taken unless this is a dictionary."""
    if not isinstance(content, Mapping):
        raise TypeError(
            "a dictionary of names and tensors is taken, such as model.state_dict() or what torch.load(path, "
            f"weights_only=True) gives; got {type(content).__name__}"
        )


def unwrapped(state: Mapping[str, "Tensor"], *, own: Collection[str] = ()) -> dict[str, "Tensor"]:
    """Parameters without what wrappers put into their names: `module.`, `_orig_mod.` and others anywhere.

    own: first parts of names by which the model is known. Parts that all names begin with, such as `student.` or
        `net.model.`, are taken off too if one of these then stands first: attributes that held the model.

    Raises `ValueError` if two parameters then have one name.
    """
    names = {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in state}
    inside = names
    while inside and not {name.partition(".")[0] for name in inside.values()} & set(own):
        if len({name.partition(".")[0] for name in inside.values()}) > 1 or not all("." in n for n in inside.values()):
            inside = {}
        inside = {old: new.partition(".")[2] for old, new in inside.items()}
    names = inside or names
    short = {names[old]: value for old, value in state.items()}
    if len(short) < len(state):
        raise ValueError(f"{len(state) - len(short)} parameters stand there twice, with and without a wrapper's prefix")
    return short


def class_order(classes: int) -> list[int]:
    """Indices that bring the released order of classes into this package's: live first, then the spoofs in order."""
    return [LIVE_CLASS, *(c for c in range(classes) if c != LIVE_CLASS)]


def convert_adapter_state_dict(state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Parameters of one released adapter, renamed for `UAdapterPP` (or MMDG's for `UAdapter`).

    Also takes the released attention alone (its `cross_attention.` prefix left out), for `CertaintyAttention`.

    Raises:
        KeyError: a name that no released adapter has.
        TypeError: no dictionary.
    """
    _check_mapping(state)
    return {_adapter_name(name): value for name, value in unwrapped(state).items()}


def convert_state_dict(state: Mapping[str, Any]) -> dict[str, "Tensor"]:
    """Parameters of a whole released MMDG++, renamed for `MMDGPlusPlus`; prompts reordered to live first.

    The released model shares one tensor between RGB's class token and CLIP's (D7); it is given under both names. What
    wrappers put into names (`module.` of DataParallel, `_orig_mod.` of torch.compile, the attribute of a trainer that
    held the model) is removed, and `state` may be a whole training checkpoint.

    Raises:
        KeyError: a name that the released model does not have.
        ValueError: no parameters, or two sets of them.
        TypeError: no dictionary.
    """
    converted = {}
    for name, value in unwrapped(parameters(state), own=_OWN_PARTS).items():
        new = _model_name(name)
        converted[new] = value[class_order(len(value))] if new.startswith("prompts.") else value
    token = f"class_tokens.{MODALITIES[0].value}"
    if token in converted:
        converted.setdefault("clip.visual.class_embedding", converted[token])
    return converted


def released_positions(token_ids: "Tensor", context: int) -> "Tensor":
    """Where the released code puts the context vectors: the last `context` *words* counted as if each were one token.

    Wherever a word splits into several BPE tokens this is too early (D4).

    Args:
        token_ids: ... x length, with start- and end-of-text tokens.
        context: number of context vectors.

    Returns:
        ... x context token indices.
    """
    import torch
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    ends_word = torch.zeros(tokenizer.vocab_size, dtype=torch.bool)
    ends_word[[i for token, i in tokenizer.encoder.items() if token.endswith("</w>") and token[0].isalnum()]] = True
    end = token_ids.argmax(dim=-1, keepdim=True)
    inside = torch.arange(token_ids.shape[-1]) < end  # ... x length
    words = (ends_word[token_ids] & inside).sum(dim=-1, keepdim=True)  # ... x 1
    return words - context + 1 + torch.arange(context)


def _adapter_name(name: str) -> str:
    module, _, parameter = name.rpartition(".")
    if module in _ADAPTER_MODULES:
        return f"{_ADAPTER_MODULES[module]}.{parameter}"
    attention = _ADAPTER_MODULES.get(f"cross_attention.{module}")
    if attention is None:
        raise KeyError(f"{name!r} is not a parameter of the released adapters")
    return f"{attention.removeprefix('attention.')}.{parameter}"


def _model_name(name: str) -> str:
    if name.startswith("model."):
        return "clip." + name.removeprefix("model.")
    if name.startswith("fc_all.0."):
        return "head." + name.removeprefix("fc_all.0.")
    if match := re.fullmatch(r"(class_token|pos|visual_proj|prompts)_([123])", name):
        return f"{_MODALITY_PARAMETERS[match[1]]}.{MODALITIES[int(match[2]) - 1].value}"
    if match := re.fullmatch(r"conv_pass_([123])\.(\d+)\.(.+)", name):
        return f"adapters.{MODALITIES[int(match[1]) - 1].value}.{match[2]}.{_adapter_name(match[3])}"
    raise KeyError(f"{name!r} is not a parameter of the released MMDG++")


Released = bool | Collection[str]
"""True: every fault of the released code; False: none; or a collection such as ("D1", "D2")."""


FORWARD = ("D2", "D4", "D7", "D8", "D12", "D13", "D24")
"""Faults of MMDG++'s forward pass."""


STEP = ("D1", "D3", "D15", "D17", "D20", "D21")
"""Faults of ReGrad's step."""


MMDG = ("D5",)
"""Faults of MMDG alone; D12 is one of both models."""


FAULTS = tuple(sorted((*FORWARD, *STEP, *MMDG), key=lambda fault: int(fault[1:])))


def faults(released: Released) -> frozenset[str]:
    """The faults meant. Raises `ValueError` naming those there are if one is not among them."""
    if isinstance(released, bool):
        return frozenset(FAULTS if released else ())
    unknown = sorted(set(released) - set(FAULTS)) if not isinstance(released, str) else [released]
    if unknown:
        raise ValueError(f"unknown fault {unknown[0]!r}: give True, False, or a list of {', '.join(FAULTS)}")
    return frozenset(released)
