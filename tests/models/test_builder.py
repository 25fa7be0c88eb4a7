"""The assembled MMDG++: where it starts, what is trained, how it is saved and built."""

import copy
import itertools

import pytest
import torch
from torch.nn import functional

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.builder import MMDG, MMDGPlusPlus, ModelConfig, build
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.outputs import losses
from mmdg_lite.released import faults
from tests.support.tiny import DOMAINS, SIZE, assert_same, batch, evaluated, tiny_clip, tiny_model

R, D, I = MODALITIES  # noqa: E741
KINDS = {
    "mmdg++": {},
    "plain adapters": {"adapters": "plain"},
    "no adapters": {"adapters": "none"},
    "shared prompts": {"prompts": "shared"},
    "linear classifiers": {"prompts": "none"},
    "head only": {"adapters": "none", "prompts": "none", "train_tokens": False},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


# --- the start ---


@pytest.mark.parametrize("adapters", ["uncertainty", "plain", "none"])
@pytest.mark.parametrize("training", [False, True])
def test_first_forward_pass_is_clip_s_own(adapters: str, training: bool) -> None:
    """For each modality: adapters start at zero, tokens and projections as copies."""
    model = tiny_model(awake=False, adapters=adapters).train(training)
    given = batch()
    with torch.no_grad():
        features = model(given).features
        for modality in MODALITIES:
            expected = tiny_reference(model).encode_image(given[modality.value])
            torch.testing.assert_close(features[:, modality.index], expected, atol=1e-6, rtol=1e-5)


def tiny_reference(model: MMDGPlusPlus) -> torch.nn.Module:
    """A CLIP of the model's weights, as open_clip runs it."""
    clip = tiny_clip()
    clip.load_state_dict(model.clip.state_dict())
    return clip


def test_modality_logits_are_scaled_cosines_with_the_prompts() -> None:
    model = tiny_model()
    output = evaluated(model, batch())
    with torch.no_grad():
        text, scale = model.prompts(), model.clip.logit_scale.exp()
    assert scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    for m, c in itertools.product(range(3), range(1 + len(DOMAINS))):
        expected = scale * functional.cosine_similarity(output.features[:, m], text[m, c], dim=-1)
        torch.testing.assert_close(output.modality_logits[:, m, c], expected)


def test_head_sees_unit_features_side_by_side() -> None:
    model = tiny_model()
    output = evaluated(model, batch())
    unit = [functional.normalize(output.features[:, m], dim=-1) for m in range(3)]
    torch.testing.assert_close(output.logits, model.head(torch.cat(unit, dim=-1)))


@pytest.mark.parametrize("awake", [False, True])
def test_adapters_let_every_modality_see_the_others_once_they_act(awake: bool) -> None:
    model, given = tiny_model(awake=awake), batch()
    before = evaluated(model, given).features
    for modality in MODALITIES:
        changed = {**given, modality.value: given[modality.value].flip(0)}
        difference = (evaluated(model, changed).features - before).abs().amax(dim=(0, 2))
        seen = [awake or m is modality for m in MODALITIES]
        assert (difference > 1e-5).tolist() == seen


@pytest.mark.parametrize("channels", [1, 3])
def test_single_channels_are_repeated(channels: int) -> None:
    model, given = tiny_model(), batch()
    single = {**given, "depth": given["depth"][:, :1], "infrared": given["infrared"][:, :1]}
    repeated = {**given, "depth": single["depth"].repeat(1, channels, 1, 1), "infrared": single["infrared"]}
    expected = {
        **given,
        "depth": single["depth"].expand(-1, 3, -1, -1),
        "infrared": single["infrared"].expand(-1, 3, -1, -1),
    }
    assert_same(evaluated(model, repeated), evaluated(model, expected))


# --- what is trained ---


@every_kind
@pytest.mark.parametrize("released", [False, True])
def test_branches_cover_every_parameter_once(kind: str, released: bool) -> None:
    model = tiny_model(released=released, **KINDS[kind])
    pairs = model.branches()
    assert sorted(id(p) for p, _ in pairs) == sorted(id(p) for p in model.parameters())
    names = {id(p): name for name, p in model.named_parameters()}
    for parameter, branch in pairs:
        name = names[id(parameter)]
        if released and parameter is model.clip.visual.class_embedding:
            assert branch is R
        elif name.startswith(("head.", "clip.")):
            assert branch is None
        else:
            assert branch is not None
            assert branch.value in name.split(".")


@every_kind
def test_what_must_receive_gradients_does_and_the_trunk_does_not(kind: str) -> None:
    model, given = tiny_model(**KINDS[kind]).train(), batch()
    result = losses(model(given), given)
    (result.total + sum(result.modalities)).backward()
    for name, parameter in model.named_parameters():
        frozen = name.startswith("clip.") or (
            kind == "head only" and name.startswith(("class_tokens", "positions", "projections"))
        )
        assert parameter.requires_grad != frozen, name
        if frozen:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_through_the_adapters_every_loss_reaches_every_branch() -> None:
    model, given = tiny_model().train(), batch()
    result = losses(model(given), given)
    first_adapters = [model.adapters[m.value][0].down_receiver.weight for m in MODALITIES]
    for loss in (*result.modalities, result.total):
        for gradient in torch.autograd.grad(loss, first_adapters, retain_graph=True):
            assert gradient.any()
    prompts = [model.prompts.contexts[m.value] for m in MODALITIES]
    for m, loss in enumerate(result.modalities):
        gradients = torch.autograd.grad(loss, prompts, retain_graph=True, allow_unused=True)
        assert [g is not None and bool(g.any()) for g in gradients] == [i == m for i in range(3)]
    assert all(g is None for g in torch.autograd.grad(result.total, prompts, allow_unused=True))


def test_training_mode_is_not_for_the_frozen_clip() -> None:
    model = tiny_model().train()
    assert model.training
    assert model.adapters["rgb"][0].attention.training
    assert not any(module.training for module in model.clip.modules())


def test_tokens_are_copies_unless_released() -> None:
    """The released code trains CLIP's own class token (D7)."""
    model = tiny_model()
    assert model.class_tokens["rgb"] is not model.clip.visual.class_embedding
    pointers = {p.data_ptr() for p in (*model.class_tokens.values(), model.clip.visual.class_embedding)}
    assert len(pointers) == 4
    released = tiny_model(released=True)
    assert released.class_tokens["rgb"] is released.clip.visual.class_embedding
    assert released.class_tokens["rgb"].requires_grad
    assert released.class_tokens["depth"] is not released.class_tokens["rgb"]


@pytest.mark.parametrize("domains", [("C",), ("C", "P"), ("C", "P", "S")])
def test_number_of_classes(domains: tuple[str, ...]) -> None:
    """One spoof class per source domain; in the released code always four (D8)."""
    given = {**batch(), "domain": torch.zeros(4, dtype=torch.long)}
    assert evaluated(tiny_model(domains), given).modality_logits.shape == (4, 3, 1 + len(domains))
    assert evaluated(tiny_model(domains, released=True), given).modality_logits.shape == (4, 3, 5)
    assert evaluated(tiny_model(domains, prompts="shared"), given).modality_logits.shape == (4, 3, 2)
    assert evaluated(tiny_model(domains, prompts="none"), given).modality_logits.shape == (4, 3, 2)


def test_released_model_takes_four_domains_at_most() -> None:
    with pytest.raises(ValueError, match="4 spoof classes"):
        tiny_model(("C", "P", "S", "W", "X"), released=True)


# --- checkpoints, building, faults ---


@every_kind
def test_checkpoint_holds_all_but_the_frozen_clip(kind: str) -> None:
    model = tiny_model(**KINDS[kind])
    state = copy.deepcopy(model.trainable_state_dict())
    assert not [name for name in state if name.startswith("clip.")]
    other = tiny_model(**KINDS[kind])
    other.clip.load_state_dict(model.clip.state_dict())
    assert not torch.equal(evaluated(other, batch()).logits, evaluated(model, batch()).logits)
    other.load_trainable_state_dict(state)
    assert_same(evaluated(other, batch()), evaluated(model, batch()))


def test_foreign_checkpoints_are_refused_by_name() -> None:
    model = tiny_model()
    state = model.trainable_state_dict()
    removed = {name: value for name, value in state.items() if name != "head.bias"}
    with pytest.raises(ValueError, match=r"missing head\.bias"):
        model.load_trainable_state_dict(removed)
    with pytest.raises(ValueError, match=r"unexpected extra"):
        model.load_trainable_state_dict({**state, "extra": torch.ones(1)})
    with pytest.raises(ValueError, match=r"head\.bias has shape \(3,\), expected \(2,\)"):
        model.load_trainable_state_dict({**state, "head.bias": torch.ones(3)})


def test_a_deep_copy_stands_alone() -> None:
    model = tiny_model()
    expected = evaluated(model, batch())
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    assert_same(evaluated(twin, batch()), expected)


def test_faults_of_a_batch() -> None:
    model, given = tiny_model().eval(), batch(2)
    with pytest.raises(ValueError, match="at least one of the images rgb, depth, infrared"):
        model({"label": given["label"]})
    with pytest.raises(ValueError, match="sample without any modality"):
        model({**given, "present": torch.tensor([[True, True, True], [False, False, False]])})
    with pytest.raises(ValueError, match=r"depth is \(8, 8\), another is \(16, 16\)"):
        model({**given, "depth": given["depth"][..., :8, :8]})
    with pytest.raises(ValueError, match=rf"takes \({SIZE}, {SIZE}\) images, got \(8, 8\)"):
        model({name: given[name][..., :8, :8] for name in ("rgb", "depth", "infrared")})


def config(**options: object) -> ModelConfig:
    return ModelConfig(source_domains=DOMAINS, clip="tiny", clip_checkpoint="random", **options)  # type: ignore[arg-type]


def test_build_is_decided_by_the_configuration_and_its_seed() -> None:
    state = torch.get_rng_state()
    first, again, other = (build(config(seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(first, MMDGPlusPlus)
    for (name, a), b in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(first.head.weight, other.head.weight)


def test_build_passes_every_option_on() -> None:
    options = {"dim": 4, "heads": 2, "samples": 7, "rate": 1.5, "theta": 0.3, "sampling": "expected", "context": 2}
    options["suppression"] = "key"
    model = build(config(released=True, train_tokens=False, **options))
    assert isinstance(model, MMDGPlusPlus)
    adapter = model.adapters["depth"][-1]
    attention = adapter.attention
    assert (attention.heads, attention.samples, attention.rate, attention.sampling) == (2, 7, 1.5, "expected")
    assert adapter.convolution.theta == 0.3
    assert adapter.up.in_features == 4
    assert model.prompts.contexts["rgb"].shape == (5, 2, 128)
    assert model.faults == attention.faults == faults(True)
    assert model.suppression == attention.suppression == "key"
    assert not model.positions["rgb"].requires_grad


def test_build_makes_every_architecture() -> None:
    bare = build(config(adapters="none", prompts="none"))
    assert isinstance(bare, MMDGPlusPlus)
    assert not any(len(bare.adapters[modality.value]) for modality in MODALITIES)
    assert bare.prompts is None
    mmdg = build(config(architecture="mmdg"))
    assert isinstance(mmdg, MultimodalModel)
    assert not isinstance(mmdg, MMDGPlusPlus)


def test_build_passes_mmdgs_own_options_on() -> None:
    usual = build(config(architecture="mmdg"))
    assert isinstance(usual, MMDG)
    assert usual.descriptors
    assert usual.modality_weight == 0.3
    changed = build(config(architecture="mmdg", descriptors=False, prototype_weight=0.0))
    assert isinstance(changed, MMDG)
    assert not changed.descriptors
    assert changed.modality_weight == 0.0
