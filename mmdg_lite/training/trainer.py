"""The training loop (`Trainer.fit`): forward pass, losses, ReGrad, optimiser; with validation and a resumable state."""

import math
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from mmdg_lite.data.loader import loader
from mmdg_lite.draws import BatchGenerator
from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.models.builder import build
from mmdg_lite.models.trunk import check_compiler
from mmdg_lite.regrad.step import ReGrad, trainable
from mmdg_lite.runs.checkpoints import (
    Checkpoint,
    CheckpointError,
    check_form,
    load_optimiser_tensors,
    optimiser_tensors,
    read_checkpoint,
    whole_number,
    write_checkpoint,
)
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.ranks import Interrupted, any_rank, from_first, gathered, rank, stop_requests, world_size
from mmdg_lite.runs.scores import Scores
from mmdg_lite.runs.setting_data import SettingData
from mmdg_lite.training.cuda_graphs import GraphedPasses, check_graphs
from mmdg_lite.training.evaluation import model_scorer, score
from mmdg_lite.training.joint_step import JointStep
from mmdg_lite.training.log import TrainingLog, plain, training_record
from mmdg_lite.training.step import forward, micro_batches, try_passes
from mmdg_lite.training.stops import (
    Fault,
    NonFiniteLoss,
    OutOfMemory,
    check_gradients,
    check_losses,
    explain,
    largest_that_fits,
    memory_shortage,
)

__all__ = ["Interrupted", "NonFiniteLoss", "OutOfMemory", "Trainer"]

LOG_EVERY = 5
"""Steps between two lines of the training log."""


def _with_faults_explained(fit: "Callable[[Trainer], None]") -> "Callable[[Trainer], None]":
    """Go on after a step that was passed over, and explain the errors that end a training."""

    @wraps(fit)
    def explained(trainer: "Trainer") -> None:
        with stop_requests() as trainer.requested:
            while not trainer.is_finished():
                fault = shortage = ""
                try:
                    fit(trainer)
                except (Fault, RuntimeError, MemoryError) as error:
                    fault = str(error) if isinstance(error, Fault) else ""
                    shortage = "" if fault else memory_shortage(error)
                # outside the handler: while the error lives, so do the tensors of the step
                if shortage:
                    raise trainer.out_of_memory(shortage)
                if fault:
                    trainer.pass_over(fault)

    return explained


class Trainer:
    """A model in training, with everything that has to survive an interruption.

    Under torchrun every rank has one of its own; they hold the same parameters, averages and random numbers all along.
    The first validates, logs and writes.

    Args:
        config: the run's configuration.
        run: its folder; a state found there is taken up.
        data: its data sets.
        device: where to train; None: what `config.device` stands for.
        progress: show a progress bar.

    Raises:
        ValueError: fewer samples in a batch than ranks.
        RuntimeError: ranks that do not see the same files.
        checkpoints.CheckpointError: the written state is damaged or not of this run (naming the file).
    """

    def __init__(
        self,
        config: RunConfig,
        run: RunFolder,
        data: SettingData,
        *,
        device: torch.device | None = None,
        progress: bool = True,
    ) -> None:
        self.config, self.run, self.data, self.progress = config, run, data, progress and rank() == 0
        if (smallest := min(config.training.batch_size, len(data.train))) < world_size():
            raise ValueError(f"batches of {smallest} samples cannot be divided among {world_size()} ranks; start fewer")
        self.log = TrainingLog(run.metrics)
        self.device = device or resolve_device(config.device)
        self.model = build(config.model).to(self.device)
        if config.training.precision == "float64":
            self.model.double()
        self.model.generator = self.generator = BatchGenerator(self.device)
        self.generator.manual_seed(config.seed)
        self.model.recompute = config.training.activation_checkpointing
        if config.training.compile:
            check_compiler(self.device)
            self.model.compile_trunk()
        self.branches = self.model.branches()
        self.parameters = trainable(self.branches)
        settings = config.training
        self.graphed: GraphedPasses | None = None
        if settings.cuda_graphs:
            check_graphs(self.device)
            self.graphed = GraphedPasses(self.model, self.parameters, device=self.device, settings=settings)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings.optimiser]
        self.optimiser = kind(self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.regrad = ReGrad(
            momentum=settings.momentum, rule=settings.rule, released=config.model.released, seed=config.seed
        )
        self.batches_per_epoch = len(self._epoch(0, 0))
        self.step = 0
        self.batch: dict[str, Any] = {}  # of the present step, this rank's share
        self.requested: list[int] = []  # signals that ask to stop
        self.best: dict[str, torch.Tensor] = {}
        self.best_key: tuple[float, float] = (math.inf, math.inf)
        self.best_step = 0
        self.waited = 0
        self.skipped = 0
        self.seconds = 0.0
        if run.state.is_file():
            self._take_up()
        else:
            self.log.begin()
        if len(set(gathered(self.step))) > 1:
            raise RuntimeError(f"{run.path}: not every rank sees the same state; put it where all nodes can read it")

    @_with_faults_explained
    def fit(self) -> None:
        """Train until the last step, or until validation has not improved for `patience` looks.

        Raises:
            Interrupted: SIGINT or SIGTERM arrived; the state is written.
            NonFiniteLoss: a loss, gradient or score is not finite; the last written state is kept.
            OutOfMemory: the device cannot hold a step; the message says which batch size it could.
        """
        settings, model, generator, device = self.config.training, self.model, self.generator, self.device
        apart = self.regrad.takes_apart
        started = time.perf_counter() - self.seconds
        with self._bar() as bar:
            for batch in self._batches():
                self.batch = batch
                model.train()
                model.progress = self.step / settings.steps
                step = self.graphed(batch, apart=apart) if self.graphed else None
                if step is None:
                    present, state = batch["present"].to(device), generator.get_state()
                    joint = JointStep(present, self.parameters, weight=model.modality_weight, apart=apart)
                    for part, places in micro_batches(batch, settings.accumulate, size=joint.size, device=device):
                        generator.set_state(state)  # every part draws what the whole batch needs
                        with generator.only(places, joint.size), forward(model, part, device, settings) as made:
                            output, losses = made
                            joint.add(losses, output)  # each loss's gradients
                    step = joint.together()
                check_losses(step.losses)
                weighted = step.losses.weighted(model.modality_weight)
                report = self.regrad.apply(step.gradients, weighted, self.branches, step.certainty)
                check_gradients(self.branches)
                self._set_learning_rate()
                self.optimiser.step()
                with torch.no_grad():
                    model.after_step()
                self.step += 1
                self.seconds = time.perf_counter() - started
                self._log(training_record(self.step, step, report), bar)
                del step  # each loss's gradients with it, before the next forward pass
                self._finish_step()

    def _bar(self) -> Any:
        """The progress bar of the training."""
        name, steps = self.config.method, self.config.training.steps
        return tqdm(total=steps, initial=self.step, desc=name, unit="step", disable=not self.progress)

    def _batches(self) -> Iterator[dict[str, Any]]:
        """This rank's share of the batches of all steps that are left, epoch after epoch."""
        while not self.is_finished():
            for batch in self._epoch(*divmod(self.step, self.batches_per_epoch)):
                yield batch
                if self.is_finished():
                    break

    def _log(self, record: dict[str, Any], bar: Any) -> None:
        """Move the progress bar, and log the first and every fifth step."""
        bar.update()
        if self.step % LOG_EVERY == 0 or self.step == 1:
            bar.set_postfix(loss=f"{record['loss_total']:.3f}")
            self.log.add(record)

    def _finish_step(self) -> None:
        """Validate and write the state where it is time to. Raises `Interrupted` if a stop is requested."""
        settings = self.config.training
        if self.step % settings.validate_every == 0 or self.step == settings.steps:
            self._validate()
        if any_rank(bool(self.requested), self.device):
            self.write_state()
            raise Interrupted(
                f"stopped at step {self.step} of {settings.steps}; the same command goes on from there "
                f"(state in {self.run.state})"
            )
        if self.step % settings.checkpoint_every == 0 or self.is_finished():
            self.write_state()

    def is_finished(self) -> bool:
        """True once all steps are made, or validation has stopped improving."""
        settings = self.config.training
        return self.step >= settings.steps or bool(settings.patience and self.waited >= settings.patience)

    def load_best(self) -> None:
        """Put the best validated parameters back into the model, and write them as the run's model."""
        self.model.load_trainable_state_dict(self.best)
        if rank() > 0:
            return
        write_checkpoint(self.run.model, self.best, {"step": self.best_step, "method": self.config.method})

    def write_state(self) -> None:
        """Write everything that the next step depends on; it is the same on every rank, whatever their number."""
        if rank() > 0:
            return
        tensors = {f"model/{name}": value for name, value in self.model.trainable_state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= {f"optimiser/{name}": value for name, value in optimiser_tensors(self.optimiser).items()}
        tensors["generator"] = self.generator.get_state()
        values = {
            "step": self.step,
            "device": self.device.type,
            "best_key": [None if math.isinf(value) else value for value in self.best_key],
            "best_step": self.best_step,
            "waited": self.waited,
            "skipped": self.skipped,
            "regrad": self.regrad.state_dict(),
            "seconds": self.seconds,
        }
        write_checkpoint(self.run.state, tensors, values)

    def _take_up(self) -> None:
        """Go on from the written state. Raises `CheckpointError`, naming the file, if it does not fit this run."""
        state = read_checkpoint(self.run.state, checksum_required=True)
        written_on = state.values.get("device")
        if written_on != self.device.type:
            raise CheckpointError(
                f"{self.run.state} was written on {written_on} and its random numbers do not go on on "
                f"{self.device.type}; choose that device again, or delete the file to start anew"
            )
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise CheckpointError(f"{self.run.state} is not a state of this run ({error}); delete it") from error
        self.log.shorten(self.step)

    def _restore(self, state: Checkpoint) -> None:
        values, model = state.values, self.model.trainable_state_dict()
        step = whole_number(values, "step", most=self.config.training.steps)
        best_step, waited, skipped = (
            whole_number(values, name, most=step) for name in ("best_step", "waited", "skipped")
        )
        check_form(state.part("model"), model, what="model")
        if best := state.part("best"):
            check_form(best, model, what="best")
        elif best_step:
            raise ValueError(f"the parameters of the best step, {best_step}, are missing")
        for name, value in state.tensors.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise ValueError(f"{name} is not finite")
        seconds = values["seconds"]
        if type(seconds) not in (int, float) or seconds < 0:
            raise ValueError(f"seconds is {seconds!r}, must be a number of at least 0")
        load_optimiser_tensors(self.optimiser, state.part("optimiser"), stepped=step > skipped)
        self.model.load_trainable_state_dict(state.part("model"))
        self.generator.set_state(state.tensors["generator"])
        self.regrad.load_state_dict(values["regrad"])
        eer, loss = (math.inf if value is None else float(value) for value in values["best_key"])
        self.best, self.best_key = best, (eer, loss)
        self.step, self.best_step, self.waited, self.skipped = step, best_step, waited, skipped
        self.seconds = float(seconds)

    def _epoch(self, epoch: int, start: int) -> Any:
        """This rank's share of the batches of one epoch from number `start` on, the same whenever it asks."""
        settings, dataset = self.config.training, self.data.train
        return loader(
            dataset,
            batch_size=settings.batch_size,
            seed=self.config.seed,
            epoch=epoch,
            augment=self.config.augmentation(),
            source_domains=self.config.domains.sources,
            shuffle=True,
            workers=self.config.data.workers,
            drop_last=len(dataset) >= settings.batch_size,
            start_batch=start,
            share=(rank(), world_size()),
            balanced=settings.balanced_batches,
            views=settings.views,
            pin_memory=self.device.type == "cuda",
        )

    def out_of_memory(self, reason: str) -> OutOfMemory:
        """The error to raise, with the batch size that would fit, found by trying."""
        size, parts = len(self.batch["id"]), self.config.training.accumulate
        fitting = largest_that_fits(self._try_step, math.ceil(size / parts))
        if fitting is None:
            cure = "not even one sample fits"
        elif not self.config.undivided:
            cure = f"batches of {fitting} fit: go on with training.accumulate={math.ceil(size / fitting)}"
        else:
            cure = f"batches of {fitting} fit (training.batch_size), which is another run in another folder"
        return OutOfMemory(
            f"{self.device} has too little memory for step {self.step + 1} with batches of {math.ceil(size / parts)}: "
            f"{cure}; {self._kept_state()} ({reason})"
        )

    def _try_step(self, some: int) -> None:
        first = {name: values[:some] for name, values in self.batch.items()}
        try_passes(self.model, self.regrad, first, device=self.device, settings=self.config.training)

    def _set_learning_rate(self) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.training.learning_rate * self._rate(self.step)

    def _rate(self, step: int) -> float:
        """Learning rate at a step, as a share of its maximum: linear warm-up, then half a cosine down to zero."""
        settings = self.config.training
        warm = min(1.0, (step + 1) / max(1, settings.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))

    def pass_over(self, fault: str) -> None:
        """Pass over the present batch because of a fault, or stop, as configured."""
        ids = [name for of_rank in gathered(self.batch["id"]) for name in of_rank]
        if self.config.training.non_finite == "stop":
            raise self._non_finite(explain(fault, step=self.step + 1, ids=ids))
        self.step += 1
        self.skipped += 1
        self.log.add({"event": "skipped", "step": self.step, "fault": fault, "ids": ids})
        self._finish_step()

    def _non_finite(self, reason: str) -> NonFiniteLoss:
        return NonFiniteLoss(f"{reason}. Nothing was written at this step; {self._kept_state()}")

    def _kept_state(self) -> str:
        if self.run.state.is_file():
            return f"the last state is kept in {self.run.state}"
        return "no state was written yet"

    def _validate(self) -> None:
        """Score the sources' validation lists; keep the parameters whose EER, then cross-entropy, is the lowest."""
        scored, state = from_first(lambda: (self._score_validation(), self.generator.get_state()))
        self.generator.set_state(state)  # evaluation draws too under D12, and on the first rank only
        if not np.isfinite(scored.scores).all():
            number = int(np.flatnonzero(~np.isfinite(scored.scores))[0])
            raise self._non_finite(explain("a score is not finite", step=self.step, ids=[scored.ids[number]]))
        eer = round(float(evaluate_scores(scored.scores, scored.labels).eer), 9)  # equal rates differ in the last bits
        loss = scored.cross_entropy
        improved = (eer, loss) < self.best_key
        if improved:
            self.best_key, self.best_step = (eer, loss), self.step
            self.best = {
                name: value.detach().cpu().clone() for name, value in self.model.trainable_state_dict().items()
            }
        self.waited = 0 if improved else self.waited + 1
        self.log.add(
            {"event": "validation", "step": self.step, "eer": plain(eer), "loss": plain(loss), "improved": improved}
        )

    def _score_validation(self) -> Scores:
        return score(
            model_scorer(self.model, self.device, precision=self.config.training.precision),
            self.data.validation,
            source_domains=self.config.domains.sources,
            workers=self.config.data.workers,
            description="validating",
            progress=self.progress,
        )
