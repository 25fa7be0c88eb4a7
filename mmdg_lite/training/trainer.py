"""The training loop: losses, ReGrad, optimiser, validation; its state can be written and taken up at any step."""

import math
import time
from functools import partial
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
    load_optimiser_tensors,
    optimiser_tensors,
    read_checkpoint,
    write_checkpoint,
)
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.ranks import Interrupted, any_rank, count, from_first, gathered, number, stop_requests
from mmdg_lite.runs.setting_data import SettingData
from mmdg_lite.training.cuda_graphs import GraphedPasses, check_graphs
from mmdg_lite.training.evaluation import Scored, model_scorer, score
from mmdg_lite.training.log import TrainingLog, plain, training_record
from mmdg_lite.training.step import Passes, passes, try_passes
from mmdg_lite.training.stops import (
    NonFiniteLoss,
    OutOfMemory,
    explain,
    gradient_fault,
    is_out_of_memory,
    largest_that_fits,
    loss_fault,
)

__all__ = ["Interrupted", "NonFiniteLoss", "OutOfMemory", "Trainer"]

LOG_EVERY = 5
"""Steps between two lines of the training log."""


class Trainer:
    """A model in training, with everything that has to survive an interruption.

    Under torchrun every rank has one of its own; they hold the same parameters, averages and random numbers all along.
    The first validates, logs and writes.

    Args:
        config: the run's configuration.
        run: its folder; a state found there is taken up.
        data: its data sets.
        progress: show a progress bar.

    Raises:
        ValueError: fewer samples in a batch than ranks.
        RuntimeError: ranks that do not see the same files.
        checkpoints.CheckpointError: the written state is damaged or not of this run (naming the file).
    """

    def __init__(self, config: RunConfig, run: RunFolder, data: SettingData, *, progress: bool = True) -> None:
        self.config, self.run, self.data, self.progress = config, run, data, progress and number() == 0
        if (smallest := min(config.training.batch_size, len(data.train))) < count():
            raise ValueError(f"batches of {smallest} samples cannot be divided among {count()} ranks; start fewer")
        self.log = TrainingLog(run.metrics)
        self.device = resolve_device(config.device)
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
        if settings.cuda_graphs:
            check_graphs(self.device)
            self.passes: Passes = GraphedPasses(self.model, self.parameters, device=self.device, settings=settings)
        else:
            self.passes = partial(passes, self.model, self.parameters, device=self.device, settings=settings)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings.optimiser]
        self.optimiser = kind(self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.regrad = ReGrad(
            momentum=settings.momentum, rule=settings.rule, released=config.model.released, seed=config.seed
        )
        self.batches_per_epoch = len(self._epoch(0, 0))
        self.step = 0
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

    def fit(self) -> None:
        """Train until the last step, or until validation has not improved for `patience` looks.

        Raises:
            Interrupted: SIGINT or SIGTERM arrived; the state is written.
            NonFiniteLoss: a loss, gradient or score is not finite; the last written state is kept.
            OutOfMemory: the device cannot hold a step; the message says which batch size it could.
        """
        settings = self.config.training
        started = time.perf_counter() - self.seconds
        with (
            stop_requests() as requested,
            tqdm(
                total=settings.steps, initial=self.step, desc=self.config.method, unit="step", disable=not self.progress
            ) as bar,
        ):
            while not self.is_finished():
                epoch, start = divmod(self.step, self.batches_per_epoch)
                for batch in self._epoch(epoch, start):
                    record = self._step_in_memory(batch)
                    self.seconds = time.perf_counter() - started
                    bar.update()
                    if record["event"] == "skipped":
                        self.log.add(record)
                    elif self.step % LOG_EVERY == 0 or self.step == 1:
                        bar.set_postfix(loss=f"{record['loss_total']:.3f}")
                        self.log.add(record)
                    if self.step % settings.validate_every == 0 or self.step == settings.steps:
                        self._validate()
                    if any_rank(bool(requested), self.device):
                        self.write_state()
                        raise Interrupted(
                            f"stopped at step {self.step} of {settings.steps}; the same command goes on from there "
                            f"(state in {self.run.state})"
                        )
                    if self.step % settings.checkpoint_every == 0 or self.is_finished():
                        self.write_state()
                    if self.is_finished():
                        break

    def is_finished(self) -> bool:
        """Whether all steps are made, or validation has stopped improving."""
        settings = self.config.training
        return self.step >= settings.steps or bool(settings.patience and self.waited >= settings.patience)

    def load_best(self) -> None:
        """Put the best validated parameters back into the model, and write them as the run's model."""
        self.model.load_trainable_state_dict(self.best)
        if number() > 0:
            return
        write_checkpoint(self.run.model, self.best, {"step": self.best_step, "method": self.config.method})

    def write_state(self) -> None:
        """Write everything that the next step depends on; it is the same on every rank, whatever their number."""
        if number() > 0:
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
        state = read_checkpoint(self.run.state)
        written_on = state.values.get("device")
        if written_on != self.device.type:
            raise CheckpointError(
                f"{self.run.state} was written on {written_on} and its random numbers do not go on on "
                f"{self.device.type}; choose that device again, or delete the file to start anew"
            )
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{self.run.state} is not a state of this run ({error}); delete it") from error
        self.log.shorten(self.step)

    def _restore(self, state: Checkpoint) -> None:
        self.model.load_trainable_state_dict(state.part("model"))
        load_optimiser_tensors(self.optimiser, state.part("optimiser"))
        self.generator.set_state(state.tensors["generator"])
        self.regrad.load_state_dict(state.values["regrad"])
        eer, loss = (math.inf if value is None else float(value) for value in state.values["best_key"])
        self.best, self.best_key = state.part("best"), (eer, loss)
        self.step, self.best_step, self.waited, self.skipped = (
            int(state.values[name]) for name in ("step", "best_step", "waited", "skipped")
        )
        self.seconds = float(state.values["seconds"])

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
            share=(number(), count()),
            balanced=settings.balanced_batches,
            views=settings.views,
            pin_memory=self.device.type == "cuda",
        )

    def _step_in_memory(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A step, or `OutOfMemory` with the batch size that would fit, found by trying."""
        try:
            return self._train_step(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else "no memory left"
        # outside the handler: while the error lives, so do the tensors of the step
        size, parts = len(batch["id"]), self.config.training.accumulate
        fitting = largest_that_fits(lambda some: self._try_step(batch, some), math.ceil(size / parts))
        if fitting is None:
            cure = "not even one sample fits"
        elif not self.config.undivided:
            cure = f"batches of {fitting} fit: go on with training.accumulate={math.ceil(size / fitting)}"
        else:
            cure = f"batches of {fitting} fit (training.batch_size), which is another run in another folder"
        raise OutOfMemory(
            f"{self.device} has too little memory for step {self.step + 1} with batches of {math.ceil(size / parts)}: "
            f"{cure}; {self._kept_state()} ({reason})"
        )

    def _try_step(self, batch: dict[str, Any], some: int) -> None:
        first = {name: values[:some] for name, values in batch.items()}
        try_passes(self.model, self.regrad, first, device=self.device, settings=self.config.training)

    def _train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One optimiser step; returns its line for the log.

        A step whose losses or gradients are not finite changes no parameter: it raises, or is passed over and counted.
        """
        settings = self.config.training
        self.model.train()
        self.model.progress = self.step / settings.steps
        joint = self.passes(batch, apart=self.regrad.takes_apart)
        if fault := loss_fault(joint.losses):
            return self._skip(fault, batch["id"])
        weighted = joint.losses.weighted(self.model.modality_weight)
        report = self.regrad.apply(joint.gradients, weighted, self.branches, joint.certainty)
        if fault := gradient_fault(self.branches):
            return self._skip(fault, batch["id"])
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * self._rate(self.step)
        self.optimiser.step()
        with torch.no_grad():
            self.model.after_step()
        self.step += 1
        return training_record(self.step, joint, report)

    def _rate(self, step: int) -> float:
        """Learning rate at a step, as a share of its maximum: linear warm-up, then half a cosine down to zero."""
        settings = self.config.training
        warm = min(1.0, (step + 1) / max(1, settings.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))

    def _skip(self, fault: str, ids: list[str]) -> dict[str, Any]:
        """Pass over a batch with a fault, or stop, as configured; returns the line for the log."""
        ids = [name for of_rank in gathered(ids) for name in of_rank]
        if self.config.training.non_finite == "stop":
            raise self._non_finite(explain(fault, step=self.step + 1, ids=ids))
        self.step += 1
        self.skipped += 1
        return {"event": "skipped", "step": self.step, "fault": fault, "ids": ids}

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

    def _score_validation(self) -> Scored:
        return score(
            model_scorer(self.model, self.device, precision=self.config.training.precision),
            self.data.validation,
            source_domains=self.config.domains.sources,
            workers=self.config.data.workers,
            description="validating",
            progress=self.progress,
        )
