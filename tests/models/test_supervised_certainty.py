"""Taught certainty: its loss by hand, what it acts on, and what must not change."""

import math
from dataclasses import replace

import pytest
import torch

from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.models.builder import ModelConfig, build
from mmdg_lite.models.config import CertaintyConfig
from mmdg_lite.models.exchange import all_at_once, one_by_one
from mmdg_lite.models.outputs import losses
from mmdg_lite.models.supervised_certainty import SupervisedAttention, intact_share, shuffled
from mmdg_lite.runs.methods import GROUPS, METHODS
from tests.support.slow_adapters import randomised

ON = CertaintyConfig()
OFF = CertaintyConfig(keys=False, message=False, head=False)


def model_of(settings=ON, *, seed=0):
    """A model on the shipped CLIP whose adapters do something."""
    model = build(ModelConfig(source_domains=("C", "P"), architecture="mmdg++_supervised", certainty=settings))
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.adapters.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=chance)
    return model.eval()


@pytest.fixture
def batch(generator):
    images = {name: torch.randn(4, 3, 64, 64, generator=generator) for name in ("rgb", "depth", "infrared")}
    spoilt = torch.zeros(4, 3, 64, 64, dtype=torch.bool)
    spoilt[1, 2, :32] = True
    spoilt[2, 0] = True
    labels = {"label": torch.tensor([1, 0, 1, 0]), "domain": torch.tensor([0, 1, 1, 0])}
    return images | labels | {"spoilt": spoilt, "present": torch.ones(4, 3, dtype=torch.bool)}


def test_share_of_intact_pixels_by_hand():
    spoilt = torch.zeros(1, 3, 16, 16, dtype=torch.bool)
    spoilt[0, 0, :8, :8] = True  # the first of four patches
    spoilt[0, 1, 8:, :4] = True  # half of the third
    wanted = torch.tensor([[[0.75, 0, 1, 1, 1], [0.875, 1, 1, 0.5, 1], [1, 1, 1, 1, 1]]])
    assert torch.equal(intact_share(spoilt, tokens=5), wanted)


def test_loss_by_hand(batch):
    """Where every doubt is log(2) / rate all certainties are a half: the loss is log 2, whatever is spoilt."""
    model = model_of(CertaintyConfig(weight=3.0))
    output = model(batch)
    half = math.log(2) / model.rate
    model._doubts = [tuple(torch.full_like(u, half) for u in pair) for pair in model._doubts]
    assert model.extra_loss(output, batch).item() == pytest.approx(3 * math.log(2), rel=1e-6)
    right = intact_share(batch["spoilt"], tokens=65).clamp(1e-3, 1 - 1e-3)  # B x 3 x N
    of_receiver = (-right.log() / model.rate).transpose(0, 1)[:, None].expand(3, 2, 4, 65)
    senders = torch.tensor([[1, 2], [0, 2], [0, 1]])
    model._doubts = [(of_receiver[:, 0][senders], of_receiver)]
    best = model.extra_loss(output, batch).item()
    assert best < 0.1  # certainties that say what is: only the entropy of patches at an edge is left
    model._doubts = [(of_receiver[:, 0][senders].flip(2), of_receiver.flip(2))]  # of other samples
    assert model.extra_loss(output, batch).item() > best + 0.5


def test_the_loss_counts_what_is_there(batch):
    """A missing modality's tokens, and messages to or from it, teach nothing."""
    model = model_of()
    batch["present"] = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=torch.bool)
    losses = []
    for content in (0.0, 5.0):
        changed = batch | {"rgb": batch["rgb"].clone(), "infrared": batch["infrared"].clone()}
        changed["rgb"][2:], changed["infrared"][1] = content, content
        changed["spoilt"] = batch["spoilt"].clone()
        changed["spoilt"][2, 0], changed["spoilt"][1, 2] = bool(content), bool(content)
        losses.append(model.extra_loss(model(changed), changed))
    assert torch.equal(*losses) and losses[0].isfinite()


def test_nothing_but_its_loss_teaches_certainty(batch):
    """The sources' losses do not reach the log-variances where draws do not (in evaluation); the extra loss does."""
    model = model_of()
    variances = [p for name, p in model.named_parameters() if "log_variance" in name]
    output = model(batch)
    total = sum(loss for loss in (losses(output, batch).total, *losses(output, batch).modalities))
    assert all(g is None for g in torch.autograd.grad(total, variances, retain_graph=True, allow_unused=True))
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(model.extra_loss(output, batch), variances))


def test_extremely_certain_and_doubtful_tokens_have_a_finite_loss(batch):
    model = model_of()
    output = model(batch)
    for value in (0.0, 1e-30, 1e30, math.inf):
        model._doubts = [tuple(torch.full_like(u, value) for u in pair) for pair in model._doubts]
        assert model.extra_loss(output, batch).isfinite()


def test_without_switches_it_is_mmdgplusplus(batch):
    """Same weights, same outputs: the taught certainty alone changes nothing in a forward pass."""
    supervised = model_of(OFF)
    plain = build(ModelConfig(source_domains=("C", "P"))).eval()
    plain.load_state_dict(supervised.state_dict())
    with torch.no_grad():
        ours, theirs = supervised(batch), plain(batch)
    assert torch.equal(ours.logits, theirs.logits)
    for one, other in zip(ours.token_certainty, theirs.token_certainty, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("switch", ["keys", "message", "head"])
def test_each_switch_acts_and_shuffling_acts_in_another_way(batch, switch):
    found = []
    with torch.no_grad():
        for settings in (OFF, replace(OFF, **{switch: True}), replace(OFF, **{switch: True}, shuffled=True)):
            found.append(model_of(settings)(batch).logits)
    off, on, elsewhere = found
    assert not torch.allclose(off, on, atol=1e-5)
    assert not torch.allclose(on, elsewhere, atol=1e-5)


def test_shares_in_the_head_by_hand(batch):
    """Certainties 0.2, 0.4, 0.6 of modalities that are there have shares 0.5, 1, 1.5; of two, 0.4 and 0.8: 2/3, 4/3."""
    model = model_of(replace(OFF, head=True))
    model.head = torch.nn.Identity()
    values = torch.tensor([[0.2, 0.4, 0.6], [0.4, 0.8, 0.9]])
    doubts = (-values.log() / model.rate).T[:, None, :, None].expand(3, 2, 2, 65)
    model._doubts = [(doubts, doubts)]
    unit, present = torch.ones(2, 3, 1), torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    shares = model.decide(unit * present[..., None], torch.empty(0), present)
    torch.testing.assert_close(shares, torch.tensor([[0.5, 1, 1.5], [2 / 3, 4 / 3, 0]]))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_one_batch_equals_six_adapter_calls(generator, training, shuffle):
    settings = CertaintyConfig(shuffled=shuffle)

    def adapter():
        attention = SupervisedAttention(settings=settings, dim=8, heads=8, sampling="expected")
        return randomised(CrossAdapter(6, attention=attention))

    adapters = torch.nn.ModuleList(adapter() for _ in range(3)).train(training)
    given = torch.randn(3, 4, 10, 6, generator=generator, dtype=torch.float64).requires_grad_(True)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0]], dtype=torch.bool)
    selection = torch.rand(3, 2, 4, 10, 1, generator=generator, dtype=torch.float64)
    plain, fast = (way(adapters, given, present, selection=selection) for way in (one_by_one, all_at_once))
    for a, b in zip(plain, fast, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)
    slopes = [torch.autograd.grad(update.square().sum(), given)[0] for update, _ in (plain, fast)]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-8)


def test_doubtful_keys_are_looked_at_less():
    """One token's log-variance far above the others': its share of attention vanishes."""
    layer = SupervisedAttention(settings=replace(OFF, keys=True), dim=2, heads=2).double().eval()
    log_variance = torch.full((1, 5, 2), -9.0, dtype=torch.float64)
    log_variance[0, 3] = 2.0
    share = layer.trust(log_variance, log_variance).keys
    assert share[0, 3].item() == pytest.approx(1e-4) and share[0, 0] == 1


def test_the_shuffled_order_is_fixed_and_keeps_the_class_token():
    order = shuffled(65)
    assert order[0] == 0 and sorted(order.tolist()) == list(range(65)) and (order[1:] != torch.arange(1, 65)).any()
    assert torch.equal(order, shuffled(65))


def test_a_step_with_recomputed_blocks_is_the_same_step(batch):
    """Blocks that backward passes compute again teach nothing twice."""
    gradients = []
    for again in (False, True):
        model = model_of().train()
        model.recompute, model.generator = again, torch.Generator().manual_seed(0)
        loss = model.extra_loss(model(batch), batch)
        wanted = [p for name, p in model.named_parameters() if "log_variance" in name]
        gradients.append([loss, *torch.autograd.grad(loss, wanted)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_of_unknown_regions_teaches_nothing(batch):
    model = model_of()
    del batch["spoilt"]
    assert model.extra_loss(model(batch), batch) is None


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"certainty\.weight must be at least 0, got -1"):
        CertaintyConfig(weight=-1)


def test_controls_differ_from_the_method_in_what_they_are_named_for():
    method = METHODS["mmdg++_supervised"]
    assert METHODS["mmdg++_supervised_shuffled"].certainty == replace(method.certainty, shuffled=True)
    assert METHODS["mmdg++_supervised_unused"].certainty == OFF
    for name in GROUPS["certainty"]:
        assert METHODS[name].spoilt == (0 if name in ("fusion", "mmdg++") else method.spoilt), name
