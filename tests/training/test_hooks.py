"""A method's own loss, what it does after a step, its two views and its balanced batches, in training."""

from math import isnan

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmdg_lite.configuration import ConfigurationError
from mmdg_lite.modality import second_view
from mmdg_lite.models import builder
from mmdg_lite.models.multimodal import MultimodalModel, stack_images
from mmdg_lite.models.outputs import Output
from mmdg_lite.plots import training
from mmdg_lite.plots.run import learning
from mmdg_lite.results.collect import collect, read_history
from mmdg_lite.results.dynamics import dynamics
from mmdg_lite.runs import methods
from mmdg_lite.runs.checkpoints import read_checkpoint
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.training.trainer import Interrupted, Trainer
from mmdg_lite.uncertainty import SeededDropout
from tests.support.small_runs import STEPS, small_config, small_data, small_run


class Hooked(MultimodalModel):
    """A linear head over pooled images, a loss on two views with dropout, and a counter of steps in a buffer."""

    def __init__(self, source_domains, *, head_weight=1.0):
        super().__init__(source_domains, frozen=None, head_weight=head_weight)
        self.head = nn.Linear(9, 2)
        self.dropout = SeededDropout(0.5)
        self.register_buffer("seen", torch.zeros(2))
        self.calls = []

    def branches(self):
        return [(parameter, None) for parameter in self.head.parameters()]

    def forward(self, batch):
        images, present = stack_images(batch)
        z = images.to(self.head.weight.dtype).mean(dim=(-2, -1)).permute(1, 0, 2)  # B x 3 x 3
        return Output(
            logits=self.head(z.flatten(1)),
            modality_logits=None,
            features=z,
            certainty=present.float(),
            token_certainty=(),
            present=present,
        )

    def extra_loss(self, output, batch):
        self.dropout.generator = self.generator
        other = self(second_view(batch))
        self.calls.append((self.progress, batch, output, other))
        return functional.mse_loss(self.dropout(output.logits), other.logits)

    def after_step(self):
        assert not torch.is_grad_enabled()
        self.seen += torch.tensor([1.0, self.progress])
        self.head.bias.mul_(0.5)


@pytest.fixture(autouse=True)
def hooked(monkeypatch):
    """The architecture and method "hooked", for the length of a test."""
    made = builder.Architecture(lambda clip, config: Hooked(config.source_domains), "Hooked compares whole batches")
    monkeypatch.setitem(builder.ARCHITECTURES, "hooked", made)
    method = methods.Method(title="Hooked", architecture="hooked", rule="none", balanced_batches=True, views=2)
    monkeypatch.setitem(methods.METHODS, "hooked", method)


def trainer_of(folder, **training):
    config = small_config("hooked", training={"batch_size": 12} | training)
    return Trainer(config, RunFolder(folder), small_data(config), progress=False)


def state_of(trainer):
    return {name: value.clone() for name, value in trainer.model.trainable_state_dict().items()}


def test_the_extra_loss_is_part_of_the_total_and_of_the_gradient(tmp_path):
    """One step by hand: the same batch, the same dropout mask, plain gradient descent."""
    trainer = trainer_of(tmp_path, steps=1, optimiser="sgd", precision="float64", warmup=0, weight_decay=0)
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    state = trainer.generator.get_state()
    trainer.fit()
    [(_, batch, output, other)] = trainer.model.calls
    weight, bias = (start[f"head.{name}"].requires_grad_() for name in ("weight", "bias"))
    kept = torch.rand(12, 2, generator=torch.Generator().set_state(state)) >= 0.5
    z, z2 = (view.features.detach().flatten(1) for view in (output, other))
    logits, logits2 = z @ weight.T + bias, z2 @ weight.T + bias
    total = functional.cross_entropy(logits, batch["label"]) + (logits * kept * 2 - logits2).square().mean()
    total.backward()
    torch.testing.assert_close(trainer.model.head.weight, weight - 6e-3 * weight.grad)
    torch.testing.assert_close(trainer.model.head.bias, (bias - 6e-3 * bias.grad) / 2)
    line = trainer.log.path.read_text()
    assert f'"loss_total": {total.item():.6g}' in line and '"loss_rgb": null' in line


def test_progress_is_the_share_of_steps_made_and_batches_are_balanced(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.fit()
    assert [progress for progress, *_ in trainer.model.calls] == [step / STEPS for step in range(STEPS)]
    assert trainer.model.seen[0] == STEPS
    for _, batch, output, other in trainer.model.calls:
        groups = torch.bincount(2 * batch["domain"] + batch["label"], minlength=6)
        assert groups.tolist() == [2] * 6
        assert not torch.equal(output.features, other.features)


@pytest.mark.parametrize("stop", [1, 5, 9])
def test_a_run_with_hooks_goes_on_to_the_same_bits(stop, tmp_path, monkeypatch):
    whole = trainer_of(tmp_path / "1")
    whole.fit()
    with monkeypatch.context() as patched:
        patched.setattr("mmdg_lite.training.trainer.any_rank", lambda asked, device: broken.step == stop)
        broken = trainer_of(tmp_path / "2")
        with pytest.raises(Interrupted):
            broken.fit()
    assert float(read_checkpoint(RunFolder(tmp_path / "2").state).tensors["model/seen"][0]) == stop
    again = trainer_of(tmp_path / "2")
    again.fit()
    assert again.step == whole.step == STEPS
    after = state_of(again)
    assert all(torch.equal(value, after[name]) for name, value in state_of(whole).items())
    assert whole.log.path.read_text() == again.log.path.read_text()


def test_without_weight_the_head_s_loss_leaves_the_total(tmp_path, monkeypatch):
    made = builder.Architecture(lambda clip, config: Hooked(config.source_domains, head_weight=0.0))
    monkeypatch.setitem(builder.ARCHITECTURES, "hooked", made)
    trainer = trainer_of(tmp_path, steps=1)
    seen = []
    monkeypatch.setattr(
        trainer.model, "extra_loss", lambda output, batch: seen.append(0) or output.logits.sum() * 0 + 7
    )
    trainer.fit()
    assert seen and '"loss_total": 7.0' in trainer.log.path.read_text()


@pytest.mark.filterwarnings("ignore:the validation AUC is")  # two steps teach little
def test_a_whole_run_is_tested_scored_and_drawn_like_any_other(tmp_path):
    run = RunFolder(small_run(tmp_path, "hooked"))
    assert run.finished and (run.scores / "validation.csv.gz").is_file()
    history = read_history(tmp_path)
    assert history["loss_total"].notna().all() and history["loss_depth"].isna().all()
    assert len(learning(tmp_path).axes) == 2  # losses and certainty; the other columns are empty
    assert "no losses of single modalities" in training.description({"hooked": history})
    assert len(training.picture({"hooked": history}, window=2, panels=("loss", "average")).axes) == 1
    with pytest.raises(ValueError, match="recorded nothing"):
        training.picture({"hooked": history}, panels=("average",))
    [row] = dynamics(collect(tmp_path)).to_dict("records")
    assert row["runs"] == 1 and isnan(row["imbalance"]) and isnan(row["loss depth, end"])


def test_rules_that_take_gradients_apart_accept_a_method_without_modality_losses(tmp_path):
    plain, apart = trainer_of(tmp_path / "1", steps=3), trainer_of(tmp_path / "2", steps=3, rule="regrad")
    plain.fit()
    apart.fit()
    after = state_of(apart)
    assert all(torch.equal(value, after[name]) for name, value in state_of(plain).items())
    assert apart.regrad.updates == [0, 0, 0]


def test_a_method_of_whole_batches_is_not_divided(tmp_path):
    with pytest.raises(ConfigurationError, match=r"accumulate: Hooked compares whole batches, which cannot be divided"):
        small_config("hooked", training={"accumulate": 2})


def test_two_views_are_asked_for_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"training\.views must be 1 or 2, got 3"):
        small_config("hooked", training={"views": 3})
    with pytest.raises(ValueError, match=r"no second_rgb: train with two views"):
        trainer_of(tmp_path, views=1).fit()


def test_micro_batches_take_the_steps_of_the_whole_batch_without_modality_losses(tmp_path, monkeypatch):
    """The mean over samples of an extra loss is divided like any other."""
    made = builder.Architecture(lambda clip, config: Hooked(config.source_domains))
    monkeypatch.setitem(builder.ARCHITECTURES, "hooked", made)
    monkeypatch.setattr(
        Hooked, "extra_loss", lambda self, output, batch: (output.logits - self(second_view(batch)).logits).abs().mean()
    )
    options = {"precision": "float64", "optimiser": "sgd", "batch_size": 9, "steps": 4}
    whole, parts = trainer_of(tmp_path / "1", **options), trainer_of(tmp_path / "2", accumulate=4, **options)
    whole.fit()
    parts.fit()
    after = state_of(parts)
    for name, value in state_of(whole).items():
        torch.testing.assert_close(after[name], value, atol=1e-12, rtol=0)
