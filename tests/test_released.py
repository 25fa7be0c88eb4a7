"""Names of the released code's parameters, and where it puts context vectors."""

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from mmdg_lite.adapters import UAdapter, UAdapterPP
from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.released import (
    class_order,
    convert_adapter_state_dict,
    convert_state_dict,
    released_positions,
    unwrapped,
)
from tests.support.tiny import tiny_model

OF_ADAPTER = {
    "adapter_down_k_v": "down_receiver",
    "adapter_down_q": "down_sender",
    "ln_k_v": "norm_receiver",
    "ln_q": "norm_sender",
    "adapter_mlp": "mlp",
    "adapter_conv.conv": "convolution.conv",
    "adapter_up": "up",
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
OF_MMDG = {
    "adapter_down_1": "down_receiver",
    "adapter_down_2": "down_sender",
    "ln_before": "norm",
    "adapter_conv.conv": "convolution.conv",
    "adapter_up": "up",
    "cross_attention.q_linear": "attention.query_sender",
    "cross_attention.k_linear": "attention.key",
    "cross_attention.v_linear": "attention.value",
    "cross_attention.proj": "attention.out",
}


def saved_as(state: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    """A state dict of ours under released names."""
    theirs = {ours: released for released, ours in names.items()}
    return {f"{theirs[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value for name, value in state.items()}


@pytest.mark.parametrize("adapter, names", [(UAdapterPP(16), OF_ADAPTER), (UAdapter(16), OF_MMDG)])
def test_adapters_there_and_back(adapter: torch.nn.Module, names: dict[str, str]) -> None:
    state = adapter.state_dict()
    converted = convert_adapter_state_dict(saved_as(state, names))
    assert converted.keys() == state.keys()
    assert all(converted[name] is value for name, value in state.items())
    adapter.load_state_dict(converted)


def test_attention_alone() -> None:
    attention = CertaintyAttention()
    names = {k.removeprefix("cross_attention."): v.removeprefix("attention.") for k, v in OF_ADAPTER.items()}
    converted = convert_adapter_state_dict(saved_as(attention.state_dict(), names))
    attention.load_state_dict(converted)


def test_class_order_brings_live_to_the_front() -> None:
    """Released: spoof, live, spoof, spoof, spoof."""
    assert class_order(5) == [1, 0, 2, 3, 4]
    assert class_order(3) == [1, 0, 2]


def released_state() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of a model of ours, and the same as the released code would save them."""
    model = tiny_model(released=True)
    ours = model.state_dict()
    numbers = {"rgb": 1, "depth": 2, "infrared": 3}
    theirs = {"fc_all.0.weight": ours["head.weight"], "fc_all.0.bias": ours["head.bias"]}
    for modality, number in numbers.items():
        theirs[f"class_token_{number}"] = ours[f"class_tokens.{modality}"]
        theirs[f"pos_{number}"] = ours[f"positions.{modality}"]
        theirs[f"visual_proj_{number}"] = ours[f"projections.{modality}"]
        theirs[f"prompts_{number}"] = ours[f"prompts.contexts.{modality}"][[1, 0, 2, 3, 4]]
        for layer, adapter in enumerate(model.adapters[modality]):
            saved = saved_as(adapter.state_dict(), OF_ADAPTER)
            theirs |= {f"conv_pass_{number}.{layer}.{name}": value for name, value in saved.items()}
    theirs |= {f"model.{n.removeprefix('clip.')}": value for n, value in ours.items() if n.startswith("clip.")}
    return ours, theirs


@pytest.mark.parametrize("given_twice", [True, False])
def test_whole_model_there_and_back(given_twice: bool) -> None:
    """RGB's class token is CLIP's own; a checkpoint may hold it under one name or both (D7)."""
    ours, theirs = released_state()
    if not given_twice:
        del theirs["model.visual.class_embedding"]
    converted = convert_state_dict(theirs)
    assert converted.keys() == ours.keys()
    for name, value in ours.items():
        assert torch.equal(converted[name], value), name
    fresh = tiny_model(released=True)
    fresh.load_state_dict(converted)
    assert torch.equal(fresh.class_tokens["rgb"], fresh.clip.visual.class_embedding)


def test_foreign_names() -> None:
    for name in ("conv_pass_4.0.adapter_up.weight", "class_token_0", "backbone.weight", "prompts"):
        with pytest.raises(KeyError, match=name):
            convert_state_dict({name: torch.ones(5)})
    with pytest.raises(KeyError, match=r"adapter_sideways\.weight"):
        convert_adapter_state_dict({"adapter_sideways.weight": torch.ones(5)})


def test_released_positions_count_words() -> None:
    """Right where no word splits, one too early for every further token of a word (D4)."""
    ids = SimpleTokenizer()(["a photo of x x", "a spoof of x x", "bonafide modality of x x"])
    assert released_positions(ids, 2).tolist() == [[4, 5], [4, 5], [4, 5]]
    assert ids.argmax(dim=-1).tolist() == [6, 7, 9]  # the placeholders are the two tokens before it


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "model.module.", "net.", "student.net."]
)
def test_what_wrappers_saved(prefix: str) -> None:
    """DataParallel, torch.compile and the trainers around them put prefixes into every name."""
    ours, theirs = released_state()
    converted = convert_state_dict({f"{prefix}{name}": value for name, value in theirs.items()})
    assert converted.keys() == ours.keys()
    assert all(torch.equal(converted[name], value) for name, value in ours.items())


def test_a_whole_training_checkpoint() -> None:
    ours, theirs = released_state()
    assert convert_state_dict({"epoch": 3, "net": {f"module.{n}": v for n, v in theirs.items()}}).keys() == ours.keys()


def test_wrapped_parts_inside_a_model() -> None:
    """FSDP and compile may wrap the trunk alone; an adapter may have been saved alone under DataParallel."""
    ours, theirs = released_state()
    inside = {name.replace("model.visual.", "model.visual._orig_mod."): value for name, value in theirs.items()}
    assert convert_state_dict(inside).keys() == ours.keys()
    adapter = UAdapterPP(16)
    saved = {f"module.{name}": value for name, value in saved_as(adapter.state_dict(), OF_ADAPTER).items()}
    adapter.load_state_dict(convert_adapter_state_dict(saved))
    with pytest.raises(ValueError, match="1 parameters stand there twice"):
        unwrapped({"head.weight": torch.ones(1), "module.head.weight": torch.ones(1)})


@pytest.mark.parametrize("given", [[1], None, "model.pt", torch.zeros(2)])
@pytest.mark.parametrize("convert", [convert_state_dict, convert_adapter_state_dict])
def test_what_is_no_dictionary_is_told_what_is_taken(convert, given) -> None:
    with pytest.raises(TypeError, match=rf"a dictionary of names and tensors is taken.*got {type(given).__name__}"):
        convert(given)


def test_tensors_without_names_are_refused() -> None:
    with pytest.raises(ValueError, match="its tensors are numbered, where names of parameters are needed"):
        convert_state_dict({0: torch.zeros(2)})
