"""MMDG against a slow transcription; missing modalities, prototypes, gradients, determinism, some training."""

import copy

import numpy as np
import open_clip
import pytest
import torch
from torch import nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.infrared_channels import infrared_channels
from mmdg_lite.models.mmdg import MMDG
from mmdg_lite.models.outputs import losses
from mmdg_lite.regrad.step import ReGrad

SOURCES = ("C", "P", "S")
SIZE, WIDTH, PATCH = 16, 16, 8
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
R, D, IR = range(3)


def visual(layers=2):
    return open_clip.transformer.VisionTransformer(
        image_size=SIZE, patch_size=PATCH, width=WIDTH, layers=layers, heads=2, mlp_ratio=2, output_dim=12
    )


def build(*, layers=2, adapted=True, seed=0, **options):
    """A model in evaluation mode; `adapted` gives the adapters weights under which they do something."""
    torch.manual_seed(seed)
    model = MMDG(visual(layers), SOURCES, **options).eval()
    if adapted:
        for name, parameter in model.named_parameters():
            if ".up." in name:
                nn.init.normal_(parameter, std=0.3)
    return model


def images(batch, generator, dtype=torch.float32):
    """Grey values of 0..1 normalised as batches are: depth and infrared one channel repeated."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    channels = {"rgb": 3, "depth": 1, "infrared": 1}
    return {
        name: ((torch.rand(batch, count, SIZE, SIZE, generator=generator) - mean) / std).to(dtype)
        for name, count in channels.items()
    }


def training_batch(batch, generator):
    label = torch.arange(batch) % 2
    domain = torch.arange(batch) % len(SOURCES)
    return images(batch, generator) | {"label": label, "domain": domain}


# --- what is computed -----------------------------------------------------------------------------------------------


def linear(module, x):
    y = x @ module.weight.detach().double().numpy().T
    return y if module.bias is None else y + module.bias.detach().double().numpy()


def layer_norm(module, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + module.eps)
    return scaled * module.weight.detach().double().numpy() + module.bias.detach().double().numpy()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def quick_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def slow_adapter(adapter, receiver, sender, certainty):
    """MMDG paper, eq. 4, for one sample: tokens N x C, certainties of the sender's tokens N."""
    r, s = quick_gelu(linear(adapter.down_receiver, receiver)), quick_gelu(linear(adapter.down_sender, sender))
    q, k, v = (
        linear(module, side)
        for module, side in (
            (adapter.attention.query_sender, s),
            (adapter.attention.key, r),
            (adapter.attention.value, r),
        )
    )
    width = q.shape[-1] // adapter.attention.heads
    attended = np.zeros_like(r)
    for head in range(adapter.attention.heads):
        part = slice(head * width, (head + 1) * width)
        logits = q[:, part] @ k[:, part].T
        for row in range(len(logits)):
            logits[row] *= certainty[row]
        attended[:, part] = softmax(logits / np.sqrt(width)) @ v[:, part]
    y = layer_norm(adapter.norm, r + linear(adapter.attention.out, attended))
    return linear(adapter.up, quick_gelu(slow_convolution(adapter.convolution, y)))


def slow_convolution(module, tokens):
    kernel = module.conv.weight.detach().double().numpy()  # d x d x 3 x 3
    summed = kernel.sum(axis=(2, 3))
    grid = int(np.sqrt(len(tokens) - 1))
    out = np.zeros_like(tokens)
    out[0] = (kernel[:, :, 1, 1] - module.theta * summed) @ tokens[0]
    patches = tokens[1:].reshape(grid, grid, -1)
    for y in range(grid):
        for x in range(grid):
            total = -module.theta * summed @ patches[y, x]
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if 0 <= y + dy < grid and 0 <= x + dx < grid:
                        total = total + kernel[:, :, dy + 1, dx + 1] @ patches[y + dy, x + dx]
            out[1 + y * grid + x] = total
    return out


def slow_attention(block, x):
    """Two heads of the trunk's own attention, for one sample."""
    weight, bias = (p.detach().double().numpy() for p in (block.attn.in_proj_weight, block.attn.in_proj_bias))
    q, k, v = np.split(layer_norm(block.ln_1, x) @ weight.T + bias, 3, axis=-1)
    width = WIDTH // 2
    heads = [
        softmax(q[:, part] @ k[:, part].T / np.sqrt(width)) @ v[:, part]
        for part in (slice(0, width), slice(width, None))
    ]
    return linear(block.attn.out_proj, np.concatenate(heads, axis=-1))


def gelu(x):
    return torch.nn.functional.gelu(torch.from_numpy(x)).numpy()


def slow_mlp(block, h):
    return linear(block.mlp.c_proj, gelu(linear(block.mlp.c_fc, h)))


def slow_forward(model, batch, sample):
    """Class tokens 3 x C and class-token certainties 3 of one sample with all modalities, block by block."""
    trunk = model.trunk
    x = []
    for modality in MODALITIES:
        image = batch[modality.value][sample].double()
        if modality is Modality.INFRARED:
            mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (MEAN, STD))
            image = (infrared_channels(image[:1] * STD[0] + MEAN[0])[0] - mean) / std
        patches = functional.conv2d(image[None], trunk.conv1.weight.detach().double(), stride=PATCH)
        tokens = torch.cat(
            [model.class_tokens[modality.value].detach().double()[None], patches[0].flatten(1).T]
        )  # N x C
        x.append(layer_norm(trunk.ln_pre, (tokens + model.positions[modality.value].detach().double()).numpy()))
    for layer, block in enumerate(trunk.transformer.resblocks):
        attended = [slow_attention(block, tokens) for tokens in x]
        certainty = [np.exp(-2.25 * a**2 * 0.3 / 0.7).mean(axis=-1) for a in attended]
        x = [tokens + a for tokens, a in zip(x, attended, strict=True)]
        h = [layer_norm(block.ln_2, tokens) for tokens in x]

        def update(receiver, sender, h=h, certainty=certainty, layer=layer):
            adapter = model.adapters[MODALITIES[receiver].value][MODALITIES[sender].value][layer]
            return slow_adapter(adapter, h[receiver], h[sender], certainty[sender])

        x = [tokens + slow_mlp(block, tokens_h) for tokens, tokens_h in zip(x, h, strict=True)]
        x[R] = x[R] + update(R, D) + update(R, IR)
        x[D] = x[D] + update(D, R)
        x[IR] = x[IR] + update(IR, R)
    class_tokens = np.stack([layer_norm(trunk.ln_post, tokens[0]) for tokens in x])
    return class_tokens, np.array([u[0] for u in certainty])


def test_forward_is_its_slow_transcription(generator):
    model = build().double()
    batch = images(2, generator, torch.float64)
    output = model(batch)
    for sample in range(2):
        class_tokens, certainty = slow_forward(model, batch, sample)
        np.testing.assert_allclose(output.features[sample].detach().numpy(), class_tokens, atol=1e-5)
        np.testing.assert_allclose(output.certainty[sample].numpy(), certainty, atol=1e-5)
        logits = linear(model.head, class_tokens.reshape(1, -1))[0]
        np.testing.assert_allclose(output.logits[sample].detach().numpy(), logits, atol=1e-5)


def test_training_starts_at_the_plain_transformer(generator):
    model = build(adapted=False, descriptors=False)
    batch = images(3, generator)
    output = model(batch)
    for m, modality in enumerate(MODALITIES):
        whole = model.trunk(batch[modality.value])  # projected class token
        torch.testing.assert_close(output.features[:, m] @ model.trunk.proj, whole, atol=1e-5, rtol=1e-5)


def test_infrared_enters_with_its_descriptors_and_nothing_else_changes(generator):
    batch = images(2, generator)
    with_them, without = build(), build(descriptors=False)
    assert torch.equal(with_them.class_tokens["rgb"], without.class_tokens["rgb"])
    stack = torch.stack([batch[modality.value] for modality in MODALITIES])
    inputs = with_them._trunk_inputs(stack)
    torch.testing.assert_close(inputs[:2], stack[:2])
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    grey = (batch["infrared"] * std + mean)[:, 0].clamp(0, 1)
    torch.testing.assert_close(inputs[IR] * std + mean, infrared_channels(grey), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(inputs[IR][:, 0], batch["infrared"][:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(without._trunk_inputs(stack), stack)


def test_depth_and_infrared_never_fuse_directly(generator):
    model = build(layers=1)
    batch, other = images(2, generator), images(2, generator)
    base = model(batch).features
    changed = model(batch | {"infrared": other["infrared"]}).features
    assert torch.equal(base[:, D], changed[:, D]) and not torch.allclose(base[:, R], changed[:, R])
    changed = model(batch | {"depth": other["depth"]}).features
    assert torch.equal(base[:, IR], changed[:, IR]) and not torch.allclose(base[:, R], changed[:, R])
    changed = model(batch | {"rgb": other["rgb"]}).features
    assert not torch.allclose(base[:, D], changed[:, D]) and not torch.allclose(base[:, IR], changed[:, IR])


def test_certainties_are_given_where_they_are_used(generator):
    model = build()
    output = model(images(3, generator))
    assert len(output.token_certainty) == 2 and output.token_certainty[0].shape == (3, 3, 2, 5)
    for block in output.token_certainty:
        assert torch.equal(block[:, D, 0], block[:, IR, 0])  # both are RGB's tokens
        assert not block[:, D, 1].any() and not block[:, IR, 1].any()  # depth and infrared
        assert (block[:, R] > 0).all() and (block <= 1).all()
    last = output.token_certainty[-1][..., 0]
    torch.testing.assert_close(output.certainty, torch.stack([last[:, D, 0], last[:, R, 0], last[:, R, 1]], dim=1))
    assert not output.certainty.requires_grad


# --- missing modalities ---------------------------------------------------------------------------------------------

COMBINATIONS = [(True, True, True), (True, False, True), (True, True, False), (True, False, False), (False, True, True)]


@pytest.mark.parametrize("content", [float("nan"), float("inf"), 0.0])
def test_what_a_missing_modality_holds_cannot_matter(generator, content):
    model = build().train()
    batch = training_batch(len(COMBINATIONS), generator) | {"present": torch.tensor(COMBINATIONS)}
    spoiled = dict(batch)
    for m, modality in enumerate(MODALITIES):
        spoiled[modality.value] = batch[modality.value].clone()
        spoiled[modality.value][~batch["present"][:, m]] = content
    results = []
    for given in (batch, spoiled):
        twin = copy.deepcopy(model)
        twin.generator = torch.Generator().manual_seed(1)
        output = twin(given)
        both = losses(output, given)
        (both.total + sum(both.modalities)).backward()
        twin.after_step()
        gradients = [p.grad for p in twin.parameters() if p.grad is not None]
        results.append([output.logits, output.certainty, output.features, twin.prototypes.centres, *gradients])
        assert all(value.isfinite().all() for value in results[-1])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_missing_is_decided_sample_by_sample(generator):
    model = build()
    batch = images(len(COMBINATIONS), generator) | {"present": torch.tensor(COMBINATIONS)}
    together = model(batch)
    for row, combination in enumerate(COMBINATIONS):
        alone = model({name: value[row : row + 1] for name, value in batch.items()})
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
        absent = [m for m, there in enumerate(combination) if not there]
        assert not together.features[row, absent].any() and not together.certainty[row, absent].any()
        assert (together.certainty[row] > 0).tolist() == list(combination)
        assert not together.token_certainty[-1][row, absent].any()
        keys = {modality.value: batch[modality.value][row : row + 1] for modality in MODALITIES}
        without = {name: value for name, value in keys.items() if combination[Modality(name).index]}
        torch.testing.assert_close(model(without).logits, alone.logits, atol=1e-5, rtol=1e-5)


def test_without_its_senders_a_modality_is_the_plain_transformer(generator):
    model = build(descriptors=False)
    batch = images(2, generator)
    present = torch.tensor([[True, False, False], [False, True, True]])
    output = model(batch | {"present": present})
    for row, m in ((0, R), (1, D), (1, IR)):
        whole = model.trunk(batch[MODALITIES[m].value][row : row + 1])
        torch.testing.assert_close(output.features[row : row + 1, m] @ model.trunk.proj, whole, atol=1e-5, rtol=1e-5)


# --- prototypes -----------------------------------------------------------------------------------------------------


def test_a_fresh_model_classifies_by_no_prototypes(generator):
    output = build()(images(2, generator))
    assert not output.modality_logits.any() and output.modality_logits.shape == (2, 3, 4)
    assert torch.equal(output.text_score(), torch.full((2,), 0.5))


def test_first_batch_gives_the_prototypes_and_the_next_ones_move_them(generator):
    model = build().train()
    batch = training_batch(6, generator)
    live = batch["label"] == 1
    output = model(batch)
    centres = model.prototypes.centres.clone()
    classes = [live] + [~live & (batch["domain"] == d) for d in range(3)]
    for c, members in enumerate(classes):
        torch.testing.assert_close(centres[:, c], output.features[members].mean(dim=0).detach())
    distance = torch.cdist(output.features.transpose(0, 1), centres).transpose(0, 1)  # B x 3 x classes
    torch.testing.assert_close(output.modality_logits, -distance, atol=1e-4, rtol=1e-4)
    model.after_step()
    torch.testing.assert_close(model.prototypes.centres, centres)  # the same batch again: the same means
    batch = training_batch(6, generator)
    output = model(batch)
    torch.testing.assert_close(model.prototypes.centres, centres)  # a forward pass moves none that is there
    model.after_step()
    mean = output.features[live].mean(dim=0).detach()
    torch.testing.assert_close(model.prototypes.centres[:, 0], 0.2 * centres[:, 0] + 0.8 * mean)


def test_a_class_that_appears_later_has_a_finite_loss_at_once(generator):
    model = build().train()
    batch = training_batch(6, generator) | {"domain": torch.zeros(6, dtype=torch.long)}
    model(batch)
    assert model.prototypes.seen[:, :2].all() and not model.prototypes.seen[:, 2:].any()
    late = training_batch(6, generator)
    both = losses(model(late), late)
    assert all(loss.isfinite() for loss in both.modalities)
    assert model.prototypes.seen.all()


def test_evaluation_leaves_the_prototypes_alone(generator):
    model = build()
    model(training_batch(6, generator))
    assert not model.prototypes.seen.any()


@pytest.mark.parametrize("label", [0, 1])
def test_one_sample_of_one_modality_can_be_trained_on(generator, label):
    model = build().train()
    batch = images(1, generator) | {
        "label": torch.tensor([label]),
        "domain": torch.tensor([2]),
        "present": torch.tensor([[False, True, False]]),
    }
    output = model(batch)
    both = losses(output, batch)
    assert both.modalities[R] is None and both.modalities[IR] is None
    assert both.modalities[D].isfinite() and both.total.isfinite()
    ReGrad().step(both.modalities, both.total, model.branches(), output.mean_certainty())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


# --- gradients and training -----------------------------------------------------------------------------------------


def test_branches_name_every_parameter_once_and_adapters_belong_to_their_receiver():
    model = build()
    branches = model.branches()
    assert [id(p) for p, _ in branches] != [] and len({id(p) for p, _ in branches}) == len(branches)
    assert {id(p) for p, _ in branches} == {id(p) for p in model.parameters()}
    owner = {id(p): branch for p, branch in branches}
    for name, parameter in model.named_parameters():
        group, _, rest = name.partition(".")
        expected = None if group in ("trunk", "head") else Modality(rest.split(".")[0])
        assert owner[id(parameter)] is expected, name
    assert list(model.adapters) == ["rgb", "depth", "infrared"]
    assert [sorted(model.adapters[m.value]) for m in MODALITIES] == [["depth", "infrared"], ["rgb"], ["rgb"]]


def test_every_trainable_parameter_learns_and_the_trunk_does_not(generator):
    model = build(bottleneck_dropout=0.0).train()
    batch = training_batch(6, generator)
    output = model(batch)
    losses(output, batch).total.backward()
    for name, parameter in model.named_parameters():
        if name.startswith("trunk."):
            assert parameter.grad is None and not parameter.requires_grad, name
        else:
            assert parameter.grad is not None and parameter.grad.any(), name


def test_a_modality_loss_reaches_the_other_branches_through_the_adapters(generator):
    model = build(layers=2).train()
    batch = training_batch(6, generator)
    modalities = losses(model(batch), batch).modalities
    tokens = [model.class_tokens[m.value] for m in MODALITIES]
    for loss in modalities:
        reached = torch.autograd.grad(loss, tokens, retain_graph=True, allow_unused=True)
        assert all(gradient is not None and gradient.any() for gradient in reached)
    fresh = build(layers=2, adapted=False).train()
    modalities = losses(fresh(batch), batch).modalities
    tokens = [fresh.class_tokens[m.value] for m in MODALITIES]
    reached = torch.autograd.grad(modalities[D], tokens, allow_unused=True)
    assert reached[D].any() and not reached[R].any() and (reached[IR] is None or not reached[IR].any())


def test_the_trunk_can_be_trained_too(generator):
    model = build(train_trunk=True).train()
    batch = training_batch(4, generator)
    losses(model(batch), batch).total.backward()
    assert model.trunk.conv1.weight.grad.any() and model.trunk.training
    assert any(name.startswith("trunk.") for name in model.trainable_state_dict())
    frozen = build(train_tokens=False)
    assert not any(p.requires_grad for p in (*frozen.class_tokens.parameters(), *frozen.positions.parameters()))


def test_a_few_steps_through_regrad_lower_the_losses(generator):
    model = build(adapted=False).train()
    model.generator = torch.Generator().manual_seed(0)
    batch = training_batch(12, generator)
    for name in ("rgb", "depth", "infrared"):  # live faces are brighter
        batch[name] += (2 * batch["label"] - 0.5 * batch["domain"])[:, None, None, None]
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    regrad = ReGrad()
    history = []
    for _ in range(15):
        output = model(batch)
        both = losses(output, batch)
        weighted = both.weighted(model.modality_weight)
        history.append((both.total.item(), sum(loss.item() for loss in both.modalities)))
        report = regrad.step(weighted, both.total, model.branches(), output.mean_certainty())
        optimiser.step()
        model.after_step()
    assert history[-1][0] < 0.3 * history[0][0] and history[-1][1] < 0.7 * history[0][1]
    assert all(np.isfinite(report.gradient_norms)) and min(report.gradient_norms) > 0


def test_training_in_bfloat16_is_finite_and_near(generator):
    model = build(bottleneck_dropout=0.0, sampling="expected").train()
    batch = training_batch(6, generator)
    exact = copy.deepcopy(model)(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(batch)
    both = losses(output, batch)
    (both.total + sum(both.modalities)).backward()
    model.after_step()
    assert output.certainty.dtype == torch.float32 and output.modality_logits.dtype == torch.float32
    torch.testing.assert_close(output.features.float(), exact.features, atol=0.1, rtol=0.1)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


# --- determinism and state ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["expected", "moments", "monte_carlo"])
def test_evaluation_is_deterministic(generator, sampling):
    model = build(evaluation_sampling=sampling)
    batch = images(2, generator)
    before = torch.random.get_rng_state()
    first, second = model(batch), model(batch)
    assert torch.equal(first.logits, second.logits) and torch.equal(first.certainty, second.certainty)
    assert torch.equal(before, torch.random.get_rng_state())
    exact = build(evaluation_sampling="expected")(batch)
    assert torch.equal(first.certainty, exact.certainty) == (sampling == "expected")
    torch.testing.assert_close(first.certainty, exact.certainty, atol=0.1, rtol=0.2)


def test_released_evaluation_samples_and_spreads_by_standard_deviations(generator):
    model = build(released=True)
    model.generator = torch.Generator().manual_seed(0)
    batch = images(2, generator)
    assert not torch.equal(model(batch).certainty, model(batch).certainty)
    expected = build(spread="std")(batch).certainty
    torch.testing.assert_close(model(batch).certainty, expected, atol=0.1, rtol=0.2)
    assert (build()(batch).certainty - expected).abs().max() > 0.1


def test_training_repeats_from_its_generator_and_touches_no_other(generator):
    model, batch = build().train(), images(3, generator)
    before = torch.random.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        model.generator = torch.Generator().manual_seed(seed)
        results.append(model(batch).logits)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    still = build(bottleneck_dropout=0.0, sampling="expected").train()
    assert torch.equal(still(batch).logits, still.eval()(batch).logits)


def test_a_checkpoint_holds_all_but_the_trunk(generator):
    model = build().train()
    model(training_batch(6, generator))
    state = model.trainable_state_dict()
    assert not any(name.startswith("trunk.") for name in state) and state["prototypes.seen"].all()
    assert {name for name, _ in model.named_parameters() if not name.startswith("trunk.")} <= set(state)
    other = build(seed=0, adapted=False)
    other.load_trainable_state_dict(state)
    batch = images(2, generator)
    assert torch.equal(model.eval()(batch).modality_logits, other(batch).modality_logits)
    state.pop("head.bias")
    with pytest.raises(ValueError, match=r"missing head\.bias"):
        other.load_trainable_state_dict(state)


def test_training_mode_leaves_the_frozen_trunk_in_evaluation():
    model = build().train()
    assert model.training and model.adapters.training and not model.trunk.training
    assert not model.eval().training


def test_unknown_sampling_and_wrong_images_are_refused(generator):
    with pytest.raises(ValueError, match="unknown sampling method 'exact'"):
        build(evaluation_sampling="exact")
    with pytest.raises(ValueError, match=r"takes \(16, 16\) images, got \(24, 24\)"):
        build()({"rgb": torch.zeros(1, 3, 24, 24)})
    with pytest.raises(ValueError, match="without any modality"):
        build()(images(1, generator) | {"present": torch.zeros(1, 3, dtype=torch.bool)})
