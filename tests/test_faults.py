"""The released code's faults, one by one: each switch changes what it names and nothing else."""

import pytest
import torch

from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.configuration import from_dict, to_dict
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.outputs import losses
from mmdg_lite.prompts import tokenize_sentences
from mmdg_lite.regrad.rule import regrad
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.released import FAULTS, faults, released_positions
from mmdg_lite.runs.config import RunConfig, configure
from tests.support.tiny import batch, tiny_model

CERTAINTY = (0.3, 0.7, 0.9)


def test_true_is_all_of_them_and_false_none() -> None:
    assert faults(True) == set(FAULTS)
    assert faults(False) == faults(()) == frozenset()
    assert faults(["D1", "D2"]) == {"D1", "D2"}


@pytest.mark.parametrize("wrong", [["D1", "D9"], "D1", ["d1"]])
def test_unknown_faults(wrong: object) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        faults(wrong)  # type: ignore[arg-type]


def test_configurations_hold_either_form() -> None:
    for released in (True, False, ("D1", "D15")):
        config = configure("quick", model={"released": released if isinstance(released, bool) else list(released)})
        assert config.model.released == released
        assert from_dict(RunConfig, to_dict(config)) == config


def attention(*released: str) -> CertaintyAttention:
    torch.manual_seed(1)
    return CertaintyAttention(8, samples=6, released=released)


def test_sender_always_and_drawn_evaluation_are_two_switches() -> None:
    sender, receiver = torch.randn(2, 3, 10, 8)
    late = torch.full((3, 10, 1), 1 - 1e-6)
    for fault, unused in (("D2", True), ("D12", False)):
        layer = attention(fault).train()
        layer(sender, receiver, selection=late)[0].square().sum().backward()
        gradient = layer.query_receiver.weight.grad
        assert (gradient is None or not gradient.any()) == unused
        layer.eval()
        same = torch.equal(layer(sender, receiver)[1], layer(sender, receiver)[1])
        assert same == (fault == "D2")


def test_faults_of_the_step() -> None:
    own, other = torch.tensor([1e-4, 0.0]), torch.tensor([1e-4, 0.0])
    args = ([own, other, None], Modality.RGB, None, (1.0, 1.0, 1.0))
    halved = regrad(*args, released=("D15",))
    torch.testing.assert_close(halved, torch.tensor([1.5e-4, 0.0]), atol=0, rtol=1e-3)
    torch.testing.assert_close(regrad(*args, released=("D21",)), torch.tensor([2e-4, 0.0]))
    alone = ([own, None, None], Modality.RGB, Modality.RGB, CERTAINTY)
    assert torch.equal(regrad(*alone, released=("D15",)), own)
    assert not torch.equal(regrad(*alone, released=("D21",)), own)


def test_growing_averages_and_the_missing_modality_are_two_switches() -> None:
    growing, decaying = ReGrad(released=("D3",)), ReGrad(released=("D20",))
    losses_ = [torch.tensor(value) for value in (1.0, 0.9, 0.8)]
    for _ in range(10):
        growing.update(losses_)
        decaying.update(losses_)
    assert growing.averages[0] > 50
    assert decaying.averages[0] < 1
    without = [losses_[0], None, losses_[2]]
    assert [decaying.update(without) for _ in range(3)][-1] is Modality.DEPTH
    assert ReGrad().update(without) is Modality.INFRARED


@pytest.mark.parametrize("released", [("D1",), ("D15",), (), ("D17",)])
def test_one_by_one_and_at_once_agree_where_the_fault_does_not_bite(released: tuple[str, ...]) -> None:
    """No parameter is missed where all come before the frozen ones; and gradients here are far above 1e-8."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(4)) for _ in MODALITIES]
    pairs = list(zip(parameters, MODALITIES, strict=True))

    def step(which: tuple[str, ...]) -> list[torch.Tensor]:
        mixed = torch.stack(list(parameters)).sum(dim=0)
        given = [(mixed * (i + 1)).sin().sum() + parameters[i].square().sum() for i in range(3)]
        ReGrad(released=which).step(given, mixed.cos().sum(), pairs, CERTAINTY)
        return [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]

    for a, b in zip(step(released), step(()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_sticking_index_alone_leaves_the_adapters_unmodulated() -> None:
    model, given = tiny_model().train(), batch()

    def gradients(which: tuple[str, ...], *, total_only: bool = False) -> dict[str, torch.Tensor]:
        model.generator = torch.Generator().manual_seed(0)
        output = model(given)
        found = losses(output, given)
        parts = [None, None, None] if total_only else found.modalities
        ReGrad(released=which).step(parts, found.total, model.branches(), output.mean_certainty())
        named = model.named_parameters()
        return {n: p.grad.clone() for n, p in named if n.startswith("adapters") and p.grad is not None}

    alone, sticking, default = gradients((), total_only=True), gradients(("D1",)), gradients(())
    assert alone.keys() == sticking.keys()
    assert all(torch.allclose(alone[n], sticking[n]) for n in alone)
    assert not all(torch.allclose(default[n], sticking[n]) for n in sticking)


def test_misplaced_context_and_own_class_token_and_fixed_classes() -> None:
    assert tiny_model(released=("D7",)).class_tokens["rgb"] is not tiny_model().class_tokens["rgb"]
    shared = tiny_model(released=("D7",))
    assert shared.class_tokens["rgb"] is shared.clip.visual.class_embedding
    assert tiny_model(released=("D8",)).prompts.classes == 5  # type: ignore[union-attr]
    assert tiny_model(released=("D13",)).prompts.classes == 4  # type: ignore[union-attr]


def test_a_missing_sender_counts_in_the_released_certainty_only() -> None:
    present = [[True, True, False]] * 4
    given = batch(present=present)
    ours, theirs = (tiny_model(released=r).eval() for r in ((), ("D24",)))
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        a, b = ours(given), theirs(given)
    torch.testing.assert_close(a.token_certainty[-1], b.token_certainty[-1])
    calls = a.token_certainty[-1][:, 0, :, 0]  # B x 2 senders: depth, infrared
    torch.testing.assert_close(a.certainty[:, 0], calls[:, 0])
    torch.testing.assert_close(b.certainty[:, 0], calls.mean(dim=1))


def test_released_positions_miss_placeholders_of_our_own_sentences_too() -> None:
    from mmdg_lite.prompts import placeholder_positions

    ids = tokenize_sentences(5)
    wrong, right = released_positions(ids, 5), placeholder_positions(ids, 5)
    assert wrong.shape == right.shape
    assert bool((wrong <= right).all())
    assert bool((wrong != right).any())
