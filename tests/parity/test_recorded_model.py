"""Parity of a whole tiny MMDG++ with recorded outputs, losses, gradients and ReGrad's result."""

import functools
from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.builder import MMDGPlusPlus, NoiseSource
from mmdg_lite.models.outputs import Batch, Losses, Output, losses
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.released import class_order, convert_state_dict, released_positions
from tests.support.plain import plain_regrad
from tests.support.recorded import (
    CARRIED,
    FULL,
    Recording,
    assert_matches,
    carried_and_full,
    full_only,
    load,
    model_images,
    model_noise,
    model_weights,
)

IO = "B_mmdgpp_tiny_io"
SPOKEN = {Modality.RGB: "RGB", Modality.DEPTH: "depth", Modality.INFRARED: "ir"}
MISSING = {
    "none": (),
    "D": (Modality.DEPTH,),
    "IR": (Modality.INFRARED,),
    "D_IR": (Modality.DEPTH, Modality.INFRARED),
    "RGB": (Modality.RGB,),
}
DOMAINS = ("0", "2", "3", "4")  # recorded class 1 is live
ORDER = class_order(1 + len(DOMAINS))
DOMAIN_OF_RECORDED_CLASS = {0: 0, 1: 0, 2: 1, 3: 2, 4: 3}


def empty_clip(sizes: dict[str, int]) -> open_clip.CLIP:
    """A CLIP of the recorded sizes; its weights are about to be replaced."""
    vision = {
        "image_size": sizes["image"],
        "patch_size": sizes["patch"],
        "width": sizes["vision_width"],
        "layers": sizes["vision_layers"],
        "head_width": sizes["vision_width"] // sizes["vision_heads"],
    }
    text = {
        "context_length": sizes["context"],
        "vocab_size": sizes["vocab"],
        "width": sizes["text_width"],
        "heads": sizes["text_heads"],
        "layers": sizes["text_layers"],
    }
    return open_clip.CLIP(sizes["embed_dim"], vision, text, quick_gelu=True)


def recorded_sentences(folder: Path) -> Tensor | None:
    """The released prompt sentences as token ids, modalities x 2 x 9 x 77; only the full recordings hold them."""
    recording = load(folder, IO)
    if "tokens.real_RGB" not in recording:
        return None
    return torch.stack(
        [torch.stack([recording[f"tokens.{kind}_{SPOKEN[m]}"] for kind in ("real", "spoof")]) for m in MODALITIES]
    ).long()


def recorded_text(recording: Recording, kind: str = "text") -> Tensor:
    """Class features before normalisation, modalities x 5 x D, live first."""
    return torch.stack(
        [torch.cat([recording[f"{kind}.real_{SPOKEN[m]}"], recording[f"{kind}.spoof_{SPOKEN[m]}"]]) for m in MODALITIES]
    )


def recorded_model(folder: Path, *, samples: int = 50, placed: bool = False) -> MMDGPlusPlus:
    """The recorded model. Without the sentences it takes the recorded text features instead of computing them."""
    token_ids = recorded_sentences(folder)
    positions = None if token_ids is None or placed else released_positions(token_ids, 5)
    model = MMDGPlusPlus(
        empty_clip(load(folder, "B_mmdgpp_tiny_weights").facts["model"]),
        DOMAINS,
        released=True,
        samples=samples,
        rate=2.5,
        token_ids=token_ids,
        positions=positions,
    )
    model.load_state_dict(convert_state_dict(model_weights(folder)))
    if token_ids is None:
        text = functional.normalize(recorded_text(load(folder, IO)), dim=-1)
        model.prompts.by_modality = lambda: list(text)
    return model


def noise_of(samples: int) -> NoiseSource:
    return functools.partial(model_noise, samples=samples)


def batch_of(folder: Path, missing: tuple[Modality, ...] = ()) -> Batch:
    recording = load(folder, IO)
    classes = recording["train.domain_label"].flatten().int().tolist()
    return {
        **model_images(folder),
        "present": torch.tensor([[m not in missing for m in MODALITIES]] * 2),
        "label": recording["train.spoof_label"].flatten().long(),
        "domain": torch.tensor([DOMAIN_OF_RECORDED_CLASS[c] for c in classes]),
    }


def assert_output(output: Output, recording: Recording, case: str) -> None:
    """Every recorded output of one forward pass."""
    assert_matches(output.logits, recording[f"{case}.out_all"])
    certainty = output.mean_certainty()
    for m in MODALITIES:
        number = m.index + 1
        assert_matches(output.modality_logits[:, m.index], recording[f"{case}.out_{number}"][:, ORDER])
        assert_matches(certainty[m.index].reshape(1), recording[f"{case}.uc_{number}"])
        if f"{case}.visual_{number}" in recording:
            assert_matches(output.features[:, m.index], recording[f"{case}.visual_{number}"])
    for name, expected in recording.group(f"{case}.uc_tokens.").items():
        layer, receiver, sender = int(name[1]), MODALITIES[int(name[-2]) - 1], MODALITIES[int(name[-1]) - 1]
        actual = output.token_certainty[layer][:, receiver.index, receiver.others.index(sender)]
        if output.present[:, receiver.index].all():
            assert_matches(actual, expected)
        else:  # recorded before the released adapter multiplies a missing receiver's by zero
            assert not actual.any()


@carried_and_full
@pytest.mark.parametrize("case", MISSING)
def test_forward_with_missing_modalities(folder: Path, case: str) -> None:
    model = recorded_model(folder).eval()
    with torch.no_grad():
        output = model(batch_of(folder, MISSING[case]), noise=noise_of(50))
    assert_output(output, load(folder, IO), f"eval_{case}")


@carried_and_full
def test_forward_with_four_samples(folder: Path) -> None:
    model = recorded_model(folder, samples=4).eval()
    with torch.no_grad():
        output = model(batch_of(folder), noise=noise_of(4))
    assert_output(output, load(folder, IO), "evalK4_none")


@full_only
@pytest.mark.parametrize("placed", [False, True], ids=["released", "on the placeholders"])
def test_text_features(placed: bool) -> None:
    """Released: by counting words; by default on the placeholder tokens (D4)."""
    recording = load(FULL, IO)
    with torch.no_grad():
        features = recorded_model(FULL, placed=placed).prompts.mean_features()
    assert_matches(features, recorded_text(recording, "text_fixed_placement" if placed else "text"))


def trained_step(
    folder: Path, model: MMDGPlusPlus, balance: ReGrad, *, missing: tuple[Modality, ...] = (), mended: bool = False
) -> tuple[Output, Losses]:
    """One ReGrad step over the recorded batch. `mended`: what no modality's loss reaches comes last (D1)."""
    model.train()
    batch = batch_of(folder, missing)
    output = model(batch, noise=noise_of(50))
    result = losses(output, batch)
    branches = model.branches()
    if mended:
        branches = [pair for pair in branches if pair[0].requires_grad]
        no_text = {id(p) for p in model.prompts.parameters()} if folder == CARRIED else set()
        branches.sort(key=lambda pair: id(pair[0]) in no_text or pair[1] in (*missing, None))
    balance.step(result.modalities, result.total, branches, output.mean_certainty())
    return output, result


def parameters_of(model: MMDGPlusPlus) -> dict[str, torch.nn.Parameter]:
    """Trainable parameters by name; in the released model RGB's class token has two names (D7)."""
    return {n: p for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}


def recorded_gradients(folder: Path, group: str) -> dict[str, Tensor]:
    """Gradients under our names; without those of the prompts where text features are taken from the recording."""
    converted = convert_state_dict(load(folder, IO).group(f"train_none.{group}."))
    return {n: g for n, g in converted.items() if not (folder == CARRIED and n.startswith("prompts."))}


def assert_gradient(name: str, actual: Tensor | None, expected: Tensor) -> None:
    """The recordings hold the first rows of the positional embeddings' gradients only."""
    assert actual is not None, name
    assert_matches(actual, expected, part=name.startswith("positions."))


@carried_and_full
def test_training_outputs_and_losses(folder: Path) -> None:
    recording = load(folder, IO)
    output, result = trained_step(folder, recorded_model(folder), ReGrad(released=True))
    assert_output(output, recording, "train_none")
    expected = recording.facts["results"]["train_none."]["loss"]
    assert result.total.item() == pytest.approx(expected["total"], abs=1e-5)
    for m in MODALITIES:
        loss = result.modalities[m.index]
        assert loss is not None
        assert loss.item() == pytest.approx(expected[f"m{m.index + 1}"], abs=1e-5)


@carried_and_full
def test_gradients_of_every_loss(folder: Path) -> None:
    """Where the released code has no gradient at all, computing all modalities in one batch may give zeros."""
    model = recorded_model(folder).train()
    batch = batch_of(folder)
    result = losses(model(batch, noise=noise_of(50)), batch)
    parameters = parameters_of(model)
    stepped = recorded_gradients(folder, "official_grad")
    for group, loss in zip(("total", "m1", "m2", "m3"), (result.total, *result.modalities), strict=True):
        assert loss is not None
        gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
        actual = dict(zip(parameters, gradients, strict=True))
        expected = recorded_gradients(folder, f"grad.{group}")
        assert len(expected) >= 4
        for name, gradient in expected.items():
            assert_gradient(name, actual[name], gradient)
        if folder == FULL:
            for name in stepped.keys() - expected.keys():
                assert actual[name] is None or not actual[name].any(), name


@carried_and_full
@pytest.mark.parametrize("index", ["official", "fixed"])
def test_gradients_of_a_whole_step(folder: Path, index: str) -> None:
    recording, model = load(folder, IO), recorded_model(folder)
    balance = ReGrad(released=True)
    trained_step(folder, model, balance, mended=index == "fixed")
    parameters = parameters_of(model)
    expected = recorded_gradients(folder, f"{index}_grad")
    assert len(expected) >= 30
    for name, gradient in expected.items():
        assert_gradient(name, parameters[name].grad, gradient)
    averages = recording.facts["results"]["train_none."]["official"]["mont"]
    assert_matches(torch.tensor(balance.averages), torch.tensor(averages))


@carried_and_full
def test_gradients_of_a_default_step(folder: Path) -> None:
    """The rule applied to the recorded gradients of each loss (D1, D15, D21)."""
    model, balance = recorded_model(folder), ReGrad()
    output, _ = trained_step(folder, model, balance)
    groups = {group: recorded_gradients(folder, f"grad.{group}") for group in ("m1", "m2", "m3", "total")}
    parameters = parameters_of(model)
    branch_of = {id(p): branch for p, branch in model.branches()}
    certainty = [float(value) for value in output.mean_certainty()]
    compared = 0
    for name, total in groups["total"].items():
        if name.startswith("positions."):  # recorded in part, which does not do for a projection
            continue
        branch = branch_of[id(parameters[name])]
        of_losses = [groups[group].get(name) for group in ("m1", "m2", "m3")]
        expected = total.double()
        if branch is not None and any(g is not None for g in of_losses):
            expected = expected + plain_regrad(of_losses, branch.index, Modality.DEPTH.index, certainty)
            compared += 1
        assert_gradient(name, parameters[name].grad, expected.float())
    assert compared >= 20


@full_only
@pytest.mark.parametrize("case", MISSING)
@pytest.mark.parametrize("index", ["official", "fixed"])
def test_which_parameters_a_step_modulates(case: str, index: str) -> None:
    """How many gradients are not the total loss's own: the released loop stops early (D1)."""
    facts = load(FULL, IO).facts["results"][f"regrad_missing_{case}"][index]
    missing = MISSING[case]
    model, balance = recorded_model(FULL), ReGrad(released=True)
    output, result = trained_step(FULL, model, balance, missing=missing, mended=index == "fixed")
    assert result.total.item() == pytest.approx(facts["losses"]["total"], abs=1e-5)
    for m in MODALITIES:
        loss = result.modalities[m.index]
        assert (loss is None) == (m in missing)
        if loss is not None:
            assert loss.item() == pytest.approx(facts["losses"][f"m{m.index + 1}"], abs=1e-5)
        assert output.mean_certainty()[m.index].item() == pytest.approx(facts["uc"][m.index], abs=1e-5)
    assert_matches(torch.tensor(balance.averages), torch.tensor(facts["mont"]))
    alone = recorded_model(FULL).train()
    batch = batch_of(FULL, missing)
    losses(alone(batch, noise=noise_of(50)), batch).total.backward()
    of_total = {name: p.grad for name, p in parameters_of(alone).items()}
    modulated = set()
    for name, parameter in parameters_of(model).items():
        if name.startswith("clip."):  # the class token's second name
            continue
        stepped = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        total = torch.zeros_like(parameter) if of_total[name] is None else of_total[name]
        if not torch.allclose(stepped, total, rtol=1e-5, atol=1e-12):
            modulated.add(name)
    assert len(modulated) == facts["n_modulated"]
    expected = {ours(name) for name in facts["modulated_top_level"]}
    assert {name for name in modulated if name.split(".")[0] != "adapters"} == {n for n in expected if n[-1] != "*"}
    assert {".".join(n.split(".")[:2]) for n in modulated if n.startswith("adapters")} == {
        n.removesuffix(".*") for n in expected if n[-1] == "*"
    }


def ours(released: str) -> str:
    """Our name of a released top-level name; adapters as a whole end in an asterisk."""
    if released.startswith("conv_pass_"):
        return f"adapters.{MODALITIES[int(released[-1]) - 1].value}.*"
    return next(iter(convert_state_dict({released: torch.zeros(5)})))


@full_only
def test_weights_drawn_anew_are_the_recorded_weights() -> None:
    """Clones without the full recordings draw the weights from their seeds."""
    recorded = model_weights(FULL)
    drawn = model_weights(CARRIED)
    assert set(drawn) == set(recorded)
    for name, value in drawn.items():
        if name != "model.token_embedding.weight":
            assert torch.equal(value, recorded[name]), name
