"""The training loop: losses, ReGrad, optimiser, validation; its state can be written and taken up at any step."""

import json
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from mmdg_lite.checkpoints import (
    Checkpoint,
    CheckpointError,
    load_optimiser_tensors,
    optimiser_tensors,
    read_checkpoint,
    write_checkpoint,
)
from mmdg_lite.configuration import write_text
from mmdg_lite.data.loader import loader
from mmdg_lite.divergence import mean_divergence, watched_divergence
from mmdg_lite.evaluation import Scored, autocast, model_scorer, score, to_device
from mmdg_lite.finite import NonFiniteLoss, explain, gradient_fault, loss_fault
from mmdg_lite.interruption import Interrupted, stop_requests
from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models import build
from mmdg_lite.out_of_memory import OutOfMemory, is_out_of_memory, largest_that_fits
from mmdg_lite.outputs import Losses, Output, losses
from mmdg_lite.regrad import ReGrad, Report
from mmdg_lite.runs import RunConfig, RunFolder, resolve_device
from mmdg_lite.setting_data import SettingData

__all__ = ["Interrupted", "NonFiniteLoss", "OutOfMemory", "Trainer"]

LOG_EVERY = 5
"""Steps between two lines of the training log."""


class Trainer:
    """A model in training, with everything that has to survive an interruption.

    Args:
        config: the run's configuration.
        run: its folder; a state found there is taken up.
        data: its data sets.
        progress: show a progress bar.
    """

    def __init__(self, config: RunConfig, run: RunFolder, data: SettingData, *, progress: bool = True) -> None:
        self.config, self.run, self.data, self.progress = config, run, data, progress
        self.device = resolve_device(config.device)
        self.model = build(config.model).to(self.device)
        self.model.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.branches = self.model.branches()
        trainable = [parameter for parameter, _ in self.branches if parameter.requires_grad]
        settings = config.training
        kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
        self.optimiser = kind(trainable, lr=settings.learning_rate, weight_decay=settings.weight_decay)
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
            write_text(run.metrics, "")

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
                        self._log(record)
                    elif self.step % LOG_EVERY == 0 or self.step == 1:
                        bar.set_postfix(loss=f"{record['loss_total']:.3f}")
                        self._log(record)
                    if self.step % settings.validate_every == 0 or self.step == settings.steps:
                        self._validate()
                    if requested:
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
        write_checkpoint(self.run.model, self.best, {"step": self.best_step, "method": self.config.method})

    def write_state(self) -> None:
        """Write everything that the next step depends on."""
        assert self.model.generator is not None
        tensors = {f"model/{name}": value for name, value in self.model.trainable_state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= {f"optimiser/{name}": value for name, value in optimiser_tensors(self.optimiser).items()}
        tensors["generator"] = self.model.generator.get_state()
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
        self._shorten_log()

    def _restore(self, state: Checkpoint) -> None:
        assert self.model.generator is not None
        self.model.load_trainable_state_dict(state.part("model"))
        load_optimiser_tensors(self.optimiser, state.part("optimiser"))
        self.model.generator.set_state(state.tensors["generator"])
        self.regrad.load_state_dict(state.values["regrad"])
        eer, loss = (math.inf if value is None else float(value) for value in state.values["best_key"])
        self.best, self.best_key = state.part("best"), (eer, loss)
        self.step, self.best_step, self.waited, self.skipped = (
            int(state.values[name]) for name in ("step", "best_step", "waited", "skipped")
        )
        self.seconds = float(state.values["seconds"])

    def _shorten_log(self) -> None:
        """Drop log lines made after the state, since they will be made again, and one that was cut off."""
        kept = []
        for line in self.run.metrics.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n") or json.loads(line)["step"] > self.step:
                break
            kept.append(line)
        write_text(self.run.metrics, "".join(kept))

    def _epoch(self, epoch: int, start: int) -> Any:
        """Batches of one epoch from number `start` on, the same for every process that asks."""
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
        size = len(batch["id"])
        fitting = largest_that_fits(lambda count: self._try_step(batch, count), size)
        cure = "not even one sample fits" if fitting is None else f"batches of {fitting} fit (training.batch_size)"
        raise OutOfMemory(
            f"{self.device} has too little memory for step {self.step + 1} with batches of {size}: {cure}. "
            f"Another batch size is another run and needs another folder; {self._kept_state()} ({reason})"
        )

    def _try_step(self, batch: dict[str, Any], count: int) -> None:
        """Forward and backward passes over a batch's first samples, for their memory only."""
        first = to_device({name: values[:count] for name, values in batch.items()}, self.device)
        with autocast(self.device, self.config.training.precision):
            output = self.model(first)
            made = losses(output, first)
        balance = ReGrad(rule=self.regrad.rule, released=self.regrad.faults)
        balance.step(made.modalities, made.total, self.branches, output.mean_certainty())

    def _train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One optimiser step; returns its line for the log.

        A step whose losses or gradients are not finite changes no parameter: it raises, or is passed over and counted.
        """
        settings = self.config.training
        self.model.train()
        on_device = to_device(batch, self.device)
        watch = watched_divergence(self.model, wanted=settings.uncertainty_kl > 0)
        with autocast(self.device, settings.precision), watch as divergences:
            output = self.model(on_device)
            batch_losses = losses(output, on_device)
        if settings.uncertainty_kl:
            regularised = batch_losses.total + settings.uncertainty_kl * mean_divergence(divergences)
            batch_losses = replace(batch_losses, total=regularised)
        if fault := loss_fault(batch_losses):
            return self._skip(fault, batch["id"])
        weighted = [None if loss is None else self.model.modality_weight * loss for loss in batch_losses.modalities]
        report = self.regrad.step(weighted, batch_losses.total, self.branches, output.mean_certainty())
        if fault := gradient_fault(self.branches):
            return self._skip(fault, batch["id"])
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * self._rate(self.step)
        self.optimiser.step()
        self.model.update_prototypes(output, on_device)
        self.step += 1
        return self._record(output, batch_losses, report)

    def _rate(self, step: int) -> float:
        """Learning rate at a step, as a share of its maximum: linear warm-up, then half a cosine down to zero."""
        settings = self.config.training
        warm = min(1.0, (step + 1) / max(1, settings.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))

    def _skip(self, fault: str, ids: list[str]) -> dict[str, Any]:
        """Pass over a batch with a fault, or stop, as configured; returns the line for the log."""
        if self.config.training.non_finite == "stop":
            raise self._non_finite(explain(fault, step=self.step + 1, ids=ids))
        self.step += 1
        self.skipped += 1
        return {"event": "skipped", "step": self.step, "fault": fault, "ids": list(ids)}

    def _non_finite(self, reason: str) -> NonFiniteLoss:
        return NonFiniteLoss(f"{reason}. Nothing was written at this step; {self._kept_state()}")

    def _kept_state(self) -> str:
        if self.run.state.is_file():
            return f"the last state is kept in {self.run.state}"
        return "no state was written yet"

    def _record(self, output: Output, batch_losses: Losses, report: Report) -> dict[str, Any]:
        record: dict[str, Any] = {"event": "train", "step": self.step, "loss_total": _number(batch_losses.total)}
        certainty = output.mean_certainty()
        for m, modality in enumerate(MODALITIES):
            record[f"loss_{modality.value}"] = _number(batch_losses.modalities[m])
            record[f"average_{modality.value}"] = _number(report.averages[m])
            record[f"certainty_{modality.value}"] = _number(certainty[m])
            record[f"gradient_norm_{modality.value}"] = _number(report.gradient_norms[m])
        record["fastest"] = report.fastest.value if report.fastest is not None else None
        record["conflict_rate"] = _number(report.conflict_rate)
        return record

    def _validate(self) -> None:
        """Score the sources' validation lists; keep the parameters whose EER, then cross-entropy, is the lowest."""
        scored = self._score_validation()
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
        self._log(
            {"event": "validation", "step": self.step, "eer": _number(eer), "loss": _number(loss), "improved": improved}
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

    def _log(self, record: dict[str, Any]) -> None:
        with self.run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _number(value: torch.Tensor | float | None) -> float | None:
    """A float of six significant digits for the log; None for what is missing or not a number."""
    if value is None:
        return None
    plain = float(value.detach()) if isinstance(value, torch.Tensor) else float(value)
    return float(f"{plain:.6g}") if math.isfinite(plain) else None
