"""What holds for every peer: missing modalities, batches, what is trained, what is frozen, that training works."""

import itertools
import math

import pytest
import torch

from mmdg_lite.modality import MODALITIES, SECOND
from mmdg_lite.models.outputs import losses
from mmdg_lite.models.peer import PeerConfig
from tests.support.peers import PEERS, peer, two_views
from tests.support.tiny import evaluated

COMBINATIONS = [present for present in itertools.product([True, False], repeat=3) if any(present)]
D = 12  # the tiny CLIP's
every_peer = pytest.mark.parametrize("name", PEERS)


def total(model, given):
    """The loss that training minimises."""
    output = model(given)
    loss = model.head_weight * losses(output, given).total
    extra = model.extra_loss(output, given)
    return output, loss if extra is None else loss + extra


@every_peer
def test_shapes(name):
    model, given = peer(name), two_views(5)
    output = evaluated(model, given)
    assert output.logits.shape == (5, 2) and output.features.shape == (5, 3, D)
    assert output.modality_logits is None
    assert bool(output.modality_scores().isnan().all())
    assert bool(((output.score() > 0) & (output.score() < 1)).all()) and len(set(output.score().tolist())) == 5


@every_peer
def test_a_sample_s_score_does_not_depend_on_the_others_of_its_batch(name):
    """All seven combinations of modalities in one batch: each sample as if alone, in any order, and without keys."""
    model, given = peer(name), two_views(len(COMBINATIONS), present=COMBINATIONS)
    together = evaluated(model, given).logits
    for i, present in enumerate(COMBINATIONS):
        one = {key: value[i : i + 1] for key, value in given.items()}
        torch.testing.assert_close(evaluated(model, one).logits, together[i : i + 1], atol=1e-5, rtol=1e-5)
        there = {m.value: one[m.value] for m, is_there in zip(MODALITIES, present, strict=True) if is_there}
        torch.testing.assert_close(evaluated(model, there).logits, together[i : i + 1], atol=1e-5, rtol=1e-5)
    order = torch.randperm(len(COMBINATIONS))
    permuted = evaluated(model, {key: value[order] for key, value in given.items()}).logits
    torch.testing.assert_close(permuted, together[order], atol=1e-5, rtol=1e-5)
    assert len(set(together[:, 1].tolist())) == len(COMBINATIONS)  # whatever is there counts


@every_peer
@pytest.mark.parametrize("junk", [math.nan, math.inf, 7.0])
def test_content_of_a_missing_modality_cannot_matter(name, junk):
    """Neither in the decision, nor in the loss, nor in any gradient."""
    given = two_views(12, present=(COMBINATIONS * 2)[:12])
    polluted = dict(given)
    for m in MODALITIES:
        there = given["present"][:, m.index, None, None, None]
        for key in (m.value, SECOND + m.value):
            polluted[key] = torch.where(there, given[key], junk)
    results = []
    for inputs in (given, polluted):
        model = peer(name).train()
        model.progress = 0.5
        output, loss = total(model, inputs)
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        results.append([output.logits, output.features, output.certainty, loss, *gradients])
    for clean, other in zip(*results, strict=True):
        assert bool(other.isfinite().all())
        assert torch.equal(clean, other)


@every_peer
def test_gradients_reach_what_is_trained_and_nothing_else(name):
    model, given = peer(name).train(), two_views()
    model.progress = 0.5
    total(model, given)[1].backward()
    for key, parameter in model.named_parameters():
        if key.startswith("clip."):
            assert not parameter.requires_grad and parameter.grad is None, key
        elif key.startswith("adapters.") and key.endswith("norm_sender.bias"):
            assert parameter.grad is not None, key  # may cancel
        else:
            assert parameter.requires_grad and parameter.grad is not None and bool(parameter.grad.any()), key


@every_peer
def test_every_parameter_is_listed_once_and_tokens_belong_to_their_modality(name):
    model = peer(name)
    listed = model.branches()
    assert sorted(id(p) for p, _ in listed) == sorted(id(p) for p in model.parameters())
    of = {id(p): branch for p, branch in listed}
    for m in MODALITIES:
        assert [of[id(group[m.value])] for group in (model.class_tokens, model.positions, model.projections)] == [m] * 3
    assert all(of[id(p)] is None for p in model.clip.parameters())


@every_peer
def test_steps_lower_the_loss_and_leave_clip_alone(name):
    model, given = peer(name).train(), two_views()
    frozen = {key: value.clone() for key, value in model.clip.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    first = float(losses(evaluated(model, given), given).total)
    for step in range(40):
        model.train().progress = step / 40
        optimiser.zero_grad()
        total(model, given)[1].backward()
        optimiser.step()
        with torch.no_grad():
            model.after_step()
    assert float(losses(evaluated(model, given), given).total) < 0.8 * first
    assert all(torch.equal(value, frozen[key]) for key, value in model.clip.state_dict().items())
    assert not model.clip.training


@every_peer
@pytest.mark.parametrize("present", [(True, True, True), (True, False, False), (False, False, True)])
@pytest.mark.parametrize("live", [0, 1])
def test_a_batch_of_one_can_be_trained_on(name, present, live):
    model, given = peer(name).train(), two_views(1, present=[present]) | {"label": torch.tensor([live])}
    loss = total(model, given)[1]
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@every_peer
def test_weights_can_be_taken_out_and_put_back(name):
    model, given = peer(name).train(), two_views()
    total(model, given)  # moves whatever averages there are
    state = {key: value.clone() for key, value in model.trainable_state_dict().items()}
    assert not any(key.startswith("clip.") for key in state)
    other = peer(name)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    other.load_trainable_state_dict(state)
    assert torch.equal(evaluated(other, given).logits, evaluated(model, given).logits)


@every_peer
def test_the_generator_decides_what_training_draws(name):
    given = two_views()

    def loss(seed):
        model = peer(name).train()
        model.progress = 0.5
        model.generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed + 100)  # the global generator is not what a run draws from
        return total(model, given)[1].item()

    assert loss(1) == loss(1)
    draws = {"flip_mcl", "ssdg", "ama", "flex_modal"}
    assert (len({loss(seed) for seed in range(4)}) > 1) == (name in draws)


@every_peer
def test_evaluation_draws_nothing(name):
    model, given = peer(name), two_views()
    model.generator = None
    state = torch.get_rng_state()
    assert torch.equal(evaluated(model, given).logits, evaluated(model, given).logits)
    assert torch.equal(torch.get_rng_state(), state)


@every_peer
@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_other_precisions(name, precision):
    given = two_views()
    reference = evaluated(peer(name), given).score().double()
    model = peer(name).double() if precision == "float64" else peer(name)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        scores = evaluated(model, given).score().double()
        assert bool(total(model.train(), given)[1].isfinite())
    torch.testing.assert_close(scores, reference, atol=1e-5 if precision == "float64" else 0.15, rtol=0)


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.0}, {"margin": -0.1}, {"focus": -1.0}, {"modality_dropout": 1.5}, {"branch_weight": -0.1}],
)
def test_settings_out_of_range_are_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        PeerConfig(**change)
