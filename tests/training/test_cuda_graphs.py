"""A recorded step is the plain step: on a stand-in that repeats operations as a CUDA graph does, and on a GPU."""

from dataclasses import replace

import pytest
import torch

from mmdg_lite.configuration import ConfigurationError
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.training import cuda_graphs
from mmdg_lite.training.cuda_graphs import GraphedPasses
from mmdg_lite.training.trainer import Trainer
from tests.support import recording
from tests.support.small_runs import small_config, small_data
from tests.training.test_step import EXACT, assert_same_training

METHODS = ["mmdg++", "fusion", "head", "mmdg++_without_prompts"]


def graphed_trainer(folder, config, recorder):
    """A trainer whose passes are recorded by `recorder`, and their `GraphedPasses`."""
    plain = replace(config, training=replace(config.training, cuda_graphs=False))
    trainer = Trainer(plain, RunFolder(folder), small_data(plain), progress=False)
    graphed = GraphedPasses(
        trainer.model, trainer.parameters, device=trainer.device, settings=config.training, recorder=recorder
    )
    trainer.graphed = graphed
    return trainer, graphed


def both(tmp_path, config, recorder):
    """Trained plainly, and from recordings."""
    plain = Trainer(config, RunFolder(tmp_path / "plain"), small_data(config), progress=False)
    plain.fit()
    trainer, graphed = graphed_trainer(tmp_path / "graphed", config, recorder)
    trainer.fit()
    return plain, trainer, graphed


@pytest.mark.parametrize(
    "method, rule, kl",
    [(method, "regrad", 0.0) for method in METHODS]
    + [("mmdg++", "none", 0.0), ("mmdg++", "pcgrad", 0.0), ("mmdg++", "regrad", 0.1)],
)
def test_repeated_operations_take_the_same_steps(method, rule, kl, tmp_path):
    """P5's batches lack modalities, and validation in between draws nothing and moves nothing."""
    options = EXACT | {"rule": rule, "uncertainty_kl": kl, "steps": 5, "validate_every": 2}
    plain, again, graphed = both(tmp_path, small_config(method, protocol="P5", training=options), recording.record)
    assert list(graphed.recorded) == [rule != "none"]
    assert_same_training(plain, again, bound=1e-10)


@pytest.mark.parametrize("sampling", ["monte_carlo", "moments", "expected"])
def test_a_recording_goes_on_with_the_generator(sampling, tmp_path):
    config = small_config("mmdg++", training={"precision": "float64", "steps": 4})
    config = replace(config, model=replace(config.model, sampling=sampling))
    plain, again, _ = both(tmp_path, config, recording.record)
    assert_same_training(plain, again, bound=1e-10)


def test_other_batches_go_the_plain_way(tmp_path):
    config = small_config("mmdg++", training={"batch_size": 7, "steps": 2})
    trainer, graphed = graphed_trainer(tmp_path, config, recording.record)
    trainer.model.train()
    batch = next(iter(trainer._epoch(0, 0)))
    fewer = {name: values[:5] for name, values in batch.items()}
    without_depth = batch | {"present": batch["present"] & torch.tensor([True, False, True])}
    for other in (fewer, without_depth):
        assert graphed(other, apart=True) is None and not graphed.recorded
    graphed(batch, apart=True)
    assert list(graphed.recorded) == [True]


@pytest.mark.parametrize(
    "spoiled, message",
    [
        ({"present": torch.tensor([[True, True, True]] * 7 + [[False] * 3])}, "without any modality"),
        ({"domain": torch.full((8,), 9), "label": torch.zeros(8, dtype=torch.long)}, "must be positions among"),
    ],
)
def test_a_bad_batch_is_refused_before_it_is_played_back(spoiled, message, tmp_path):
    config = small_config("mmdg++", training={"steps": 2})
    trainer, graphed = graphed_trainer(tmp_path, config, recording.record)
    trainer.model.train()
    batch = next(iter(trainer._epoch(0, 0)))
    graphed(batch, apart=True)
    with pytest.raises(ValueError, match=message):
        graphed(batch | spoiled, apart=True)


def test_the_stand_in_refuses_what_a_graph_cannot_hold():
    x = torch.arange(4.0)
    for waiting in (lambda: x[x > 1], lambda: bool(x.any()), lambda: x + torch.tensor([1.0]), lambda: x.sum().item()):
        with pytest.raises(RuntimeError, match="waits for the device"), recording.Recording():
            waiting()


def test_a_plain_model_waits_for_the_device(tmp_path):
    """What `static` is for."""
    config = small_config("mmdg++", training={"steps": 2})
    trainer, graphed = graphed_trainer(tmp_path, config, recording.record)
    batch = next(iter(trainer._epoch(0, 0)))
    with pytest.raises(RuntimeError, match="waits for the device"), recording.Recording():
        graphed._passes({name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}, True)


@pytest.mark.parametrize(
    "method, options, message",
    [
        ("mmdg", {}, r"training\.cuda_graphs: only MMDG\+\+ and its parts"),
        ("mmdg++", {"accumulate": 2}, r"training\.cuda_graphs: a step in parts"),
        ("mmdg++", {"activation_checkpointing": True}, r"training\.cuda_graphs: .* activation checkpointing"),
    ],
)
def test_runs_that_cannot_be_recorded_are_refused(method, options, message):
    with pytest.raises(ConfigurationError, match=message):
        small_config(method, training={"cuda_graphs": True} | options)


def test_without_cuda_training_says_so(tmp_path):
    config = small_config("mmdg++", training={"cuda_graphs": True})
    with pytest.raises(RuntimeError, match=r"needs a CUDA device, and this run computes on cpu: set .*=false"):
        Trainer(config, RunFolder(tmp_path), small_data(config), progress=False)


def test_several_ranks_are_refused(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "world_size", lambda: 2)
    with pytest.raises(RuntimeError, match=r"training\.cuda_graphs is for one process: set .*=false"):
        cuda_graphs.check_graphs(torch.device("cuda"))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::UserWarning:torch.*")  # the compiler's own, of some versions
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_cuda_graph_takes_the_same_steps(method, compiled, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    options = EXACT | {"steps": 5, "validate_every": 2, "compile": compiled}
    config = replace(small_config(method, protocol="P5", training=options), device="cuda")
    plain, again, graphed = both(tmp_path, config, cuda_graphs.record)
    assert list(graphed.recorded) == [plain.regrad.takes_apart]
    assert_same_training(plain, again, bound=1e-10)
