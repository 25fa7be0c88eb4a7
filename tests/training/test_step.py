"""A step divided into parts is the step of the whole batch; the ways to need less memory or time change no number."""

import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from mmdg_lite.configuration import ConfigurationError
from mmdg_lite.data.loader import loader
from mmdg_lite.draws import BatchGenerator
from mmdg_lite.models.builder import build
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.training.trainer import Trainer
from mmdg_lite.uncertainty import sample_moments
from tests.support.small_runs import small_config, small_data, small_dataset
from tests.support.tiny import batch

EXACT = {"precision": "float64", "optimiser": "sgd", "learning_rate": 0.05, "batch_size": 7, "steps": 5}


def trained(folder, method="mmdg++", *, protocol="P5", **training):
    """A trainer after its last step; P5's batches lack modalities."""
    config = small_config(method, protocol=protocol, training=training)
    trainer = Trainer(config, RunFolder(folder), small_data(config), progress=False)
    trainer.fit()
    return trainer


def assert_same_training(one, two, *, bound):
    assert one.step == two.step and one.regrad.updates == two.regrad.updates
    assert two.regrad.averages == pytest.approx(one.regrad.averages, abs=bound)
    assert torch.equal(one.generator.get_state(), two.generator.get_state())
    after = two.model.trainable_state_dict()
    for name, value in one.model.trainable_state_dict().items():
        torch.testing.assert_close(after[name], value, atol=bound, rtol=0)


@pytest.mark.parametrize("rule, accumulate, kl", [("regrad", 3, 0.0), ("none", 100, 0.1), ("ogm_ge", 2, 0.0)])
def test_micro_batches_take_the_steps_of_the_whole_batch(rule, accumulate, kl, tmp_path):
    """Seven samples in parts of 3, 2 and 2; in parts of one; in parts of 4 and 3."""
    options = EXACT | {"rule": rule, "uncertainty_kl": kl}
    whole, parts = trained(tmp_path / "1", **options), trained(tmp_path / "2", accumulate=accumulate, **options)
    assert_same_training(whole, parts, bound=1e-10)


@pytest.mark.parametrize("method", ["flip", "ama", "cmfl"])
def test_micro_batches_take_a_peer_s_steps(method, tmp_path):
    """AMA's dropout masks are drawn for the whole batch; CMFL is a mean over samples, whatever they lack."""
    whole, parts = trained(tmp_path / "1", method, **EXACT), trained(tmp_path / "2", method, accumulate=3, **EXACT)
    assert_same_training(whole, parts, bound=1e-10)


@pytest.mark.parametrize("method", ["flip_mcl", "ssdg", "sa_fas", "flex_modal"])
def test_peers_that_look_at_a_whole_batch_are_not_divided(method):
    with pytest.raises(ConfigurationError, match=r"training\.accumulate: .* whole batch, which cannot be divided"):
        small_config(method, training={"accumulate": 2})


def test_mmdg_needs_whole_batches():
    with pytest.raises(ConfigurationError, match=r"training\.accumulate: MMDG moves its prototypes"):
        small_config("mmdg", training={"accumulate": 2})


@pytest.mark.parametrize("method", ["monte_carlo", "moments"])
def test_a_part_of_a_batch_draws_what_it_would_have_drawn_in_the_whole(method):
    mean, log_variance = torch.randn(2, 4, 6, 5, 3, generator=torch.Generator().manual_seed(1))
    generator = BatchGenerator()
    whole = sample_moments(mean, log_variance, 9, method=method, generator=generator.manual_seed(0))
    ended, places = generator.get_state(), torch.tensor([1, 4, 5])
    generator.manual_seed(0)
    with generator.only(places, 6):
        part = sample_moments(mean[:, places], log_variance[:, places], 9, method=method, generator=generator)
        with pytest.raises(ValueError, match="2 samples draw where 3 of a batch are expected"):
            sample_moments(mean[:, :2], log_variance[:, :2], 9, method=method, generator=generator)
    for of_whole, of_part in zip(whole, part, strict=True):
        torch.testing.assert_close(of_whole[:, places], of_part, atol=1e-6, rtol=0)
    assert torch.equal(generator.get_state(), ended)


def test_ranks_share_every_batch_and_leave_nothing_out():
    def batches(share):
        made = loader(
            small_dataset("C", "train", 10), batch_size=4, seed=0, epoch=0, augment=None, source_domains=("C",),
            shuffle=True, share=share,
        )  # fmt: skip
        return [batch["id"] for batch in made]

    whole, first, second = batches((0, 1)), batches((0, 2)), batches((1, 2))
    assert [len(ids) for ids in whole] == [4, 4, 2]
    for ids, even, odd in zip(whole, first, second, strict=True):
        assert (ids[0::2], ids[1::2]) == (even, odd)


@pytest.mark.parametrize(
    "method, rule, kl", [("mmdg++", "regrad", 0.1), ("mmdg++", "none", 0.0), ("mmdg", "regrad", 0.0)]
)
def test_blocks_that_are_computed_again_give_the_same_bits(method, rule, kl, tmp_path):
    """Adapters' draws and dropout masks among what is repeated, four backward passes through one graph."""
    options = {"rule": rule, "uncertainty_kl": kl, "steps": 5}
    kept, again = (
        trained(tmp_path / "1", method, **options),
        trained(tmp_path / "2", method, activation_checkpointing=True, **options),
    )
    assert_same_training(kept, again, bound=0)


def saved_bytes(config):
    """Bytes that a training step's forward pass keeps for the backward passes, each storage counted once."""
    model = build(config.model)
    model.generator = torch.Generator().manual_seed(0)
    model.recompute = config.training.activation_checkpointing
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # kept, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(batch(6))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    assert output.logits.requires_grad
    return sum(storage.nbytes() for address, storage in storages.items() if address not in weights)


def test_blocks_that_are_computed_again_keep_little():
    kept, again = (
        saved_bytes(small_config("mmdg++_without_prompts", training={"activation_checkpointing": wanted}))
        for wanted in (False, True)
    )
    print(f"a forward pass keeps {kept} bytes, {again} with activation checkpointing")
    assert again < kept / 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile asks for it, and hides the warning itself
@pytest.mark.parametrize("method, again", [("mmdg++", False), ("mmdg++", True), ("mmdg", False)])
def test_a_compiled_trunk_takes_the_same_steps(method, again, tmp_path):
    """In float64, so that what compiling does to rounding is far below the bound; also with blocks computed again."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler, and neither g++ nor clang++ is on the path")
    options = EXACT | {"steps": 3, "activation_checkpointing": again}
    plain = trained(tmp_path / "1", method, **options)
    torch._dynamo.reset()  # graphs of another test would do for this one
    before = counters["stats"]["unique_graphs"]
    compiled = trained(tmp_path / "2", method, compile=True, **options)
    assert counters["stats"]["unique_graphs"] >= before + 2
    assert_same_training(plain, compiled, bound=1e-8)


def test_where_nothing_can_be_compiled_training_says_what_is_missing(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise RuntimeError("InvalidCxxCompiler: no working C++ compiler found")

    monkeypatch.setattr(torch, "compile", missing)
    with pytest.raises(
        RuntimeError, match=r"training\.compile needs .* a C\+\+ compiler such as g\+\+: install it, or"
    ):
        trained(tmp_path, compile=True)
