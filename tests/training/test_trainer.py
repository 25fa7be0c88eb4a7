"""Training: the same bits for the same seed, however often it was interrupted; what it logs, keeps and refuses."""

import errno
import json
import math
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdg_lite.__main__ import main
from mmdg_lite.data.dataset import Subset
from mmdg_lite.modality import Modality
from mmdg_lite.models.builder import build
from mmdg_lite.models.outputs import Losses
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.runs.checkpoints import CheckpointError, read_checkpoint, write_checkpoint
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.methods import GROUPS
from mmdg_lite.runs.scores import Scores
from mmdg_lite.training import step as training_step
from mmdg_lite.training.evaluation import model_scorer, score
from mmdg_lite.training.log import TrainingLog
from mmdg_lite.training.run import train
from mmdg_lite.training.trainer import Interrupted, NonFiniteLoss, OutOfMemory, Trainer
from tests.support.small_runs import SMALLEST_STATE, STEPS, small_config, small_data, small_run

ROOT = Path(__file__).resolve().parents[2]
STOPS = [("mmdg++", 5), ("mmdg", 7), ("fusion", 1), ("fusion", 3), ("fusion", 4), ("fusion", 13), ("fusion", STEPS)]
PEERS = [*GROUPS["peers"], "flip_mcl"]


class PowerCut(BaseException):
    """Ends a run at once, without anything being written."""


def at_step(monkeypatch, number, action):
    """Do something as soon as the trainer has made a step."""
    log_step = Trainer._log

    def step(trainer, record, bar):
        if trainer.step == number:
            action()
        log_step(trainer, record, bar)

    monkeypatch.setattr(Trainer, "_log", step)


def raise_(error):
    raise error


def outcome(folder):
    """Everything that a run leaves and that must not depend on how it came about."""
    run = RunFolder(folder)
    model = read_checkpoint(run.model)
    result = json.loads(run.result.read_text())
    for cost in ("seconds", "memory_mib", "device_memory_mib"):
        result.pop(cost)
    return {
        "log": run.metrics.read_text(),
        "weights": {name: value.numpy().tobytes() for name, value in model.tensors.items()},
        "values": model.values,
        "scores": {path.name: path.read_bytes() for path in sorted(run.scores.iterdir())},
        "result": result,
    }


def log(folder, event):
    lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A function from a method to the outcome of a run that nothing disturbed."""
    known = {}

    def of(method):
        if method not in known:
            known[method] = outcome(small_run(tmp_path_factory.mktemp("reference") / "run", method))
        return known[method]

    return of


# --- the same bits ---------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bits(uninterrupted, tmp_path):
    assert outcome(small_run(tmp_path / "run", "fusion")) == uninterrupted("fusion")


def test_another_seed_gives_another_run(uninterrupted, tmp_path):
    other = outcome(small_run(tmp_path / "run", "fusion", seed=1))
    assert other["log"] != uninterrupted("fusion")["log"]


@pytest.mark.parametrize("method, step", [*STOPS, *((peer, 7) for peer in PEERS)])
def test_a_run_that_was_asked_to_stop_goes_on_to_the_same_bits(method, step, uninterrupted, tmp_path, monkeypatch):
    torch.manual_seed(987)  # the global generators are not what a run draws from
    np.random.seed(987)  # noqa: NPY002
    random.seed(987)
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match=rf"step {step} of {STEPS}.*same command goes on.*state\.safetensors"):
            small_run(tmp_path / "run", method)
    assert read_checkpoint(tmp_path / "run" / "state.safetensors").values["step"] == step
    assert not RunFolder(tmp_path / "run").finished
    small_run(tmp_path / "run", method)
    assert outcome(tmp_path / "run") == uninterrupted(method)


def test_a_run_that_broke_off_again_and_again_ends_in_the_same_bits(uninterrupted, tmp_path, monkeypatch, rng):
    for step in sorted(rng.choice(np.arange(1, STEPS + 1), size=4, replace=False).tolist()):
        with monkeypatch.context() as patch:
            at_step(patch, step, lambda: raise_(PowerCut))
            with pytest.raises(PowerCut):
                small_run(tmp_path / "run", "fusion")
    small_run(tmp_path / "run", "fusion")
    assert outcome(tmp_path / "run") == uninterrupted("fusion")


def test_a_run_that_broke_off_while_testing_ends_in_the_same_bits(uninterrupted, tmp_path, monkeypatch):
    write = Scores.write
    with monkeypatch.context() as patch:
        patch.setattr(
            Scores, "write", lambda self, path: raise_(PowerCut) if "test" in path.name else write(self, path)
        )
        with pytest.raises(PowerCut):
            small_run(tmp_path / "run", "fusion")
    small_run(tmp_path / "run", "fusion")
    assert outcome(tmp_path / "run") == uninterrupted("fusion")


def killed(folder, method, what, number):
    """Run in a process of its own that SIGKILL ends."""
    command = [sys.executable, "-m", "tests.support.small_runs", str(folder), method, what, str(number)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert process.returncode == -signal.SIGKILL, process.stderr


@pytest.mark.parametrize("what, number, kept", [("step", 8, 6), ("writing", 2, 3)])
def test_a_killed_run_goes_on_to_the_same_bits(what, number, kept, uninterrupted, tmp_path):
    killed(tmp_path / "run", "fusion", what, number)
    assert read_checkpoint(tmp_path / "run" / "state.safetensors").values["step"] == kept
    small_run(tmp_path / "run", "fusion")
    assert outcome(tmp_path / "run") == uninterrupted("fusion")


@pytest.mark.slow
def test_a_full_method_killed_at_five_random_points_goes_on_to_the_same_bits(uninterrupted, tmp_path, rng):
    for step in sorted(rng.choice(np.arange(1, STEPS), size=4, replace=False).tolist()):
        killed(tmp_path / "run", "mmdg++", "step", step)
    killed(tmp_path / "run", "mmdg++", "writing", 1)
    small_run(tmp_path / "run", "mmdg++")
    assert outcome(tmp_path / "run") == uninterrupted("mmdg++")


def test_dropout_augmentation_and_workers_repeat_too(tmp_path):
    """MMDG draws dropout masks, P5 drops modalities, two processes load; the global generators differ."""
    made = []
    for number in range(2):
        torch.manual_seed(number)
        folder = small_run(tmp_path / str(number), "mmdg", protocol="P5", data={"workers": 2})
        made.append(outcome(folder))
    assert made[0] == made[1]


def test_several_workers_see_what_one_process_sees(uninterrupted, tmp_path):
    assert outcome(small_run(tmp_path / "run", "fusion", data={"workers": 2})) == uninterrupted("fusion")


# --- interruption and failure ----------------------------------------------------------------------------------------


def test_the_signals_mean_what_they_meant_once_training_is_over(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    small_run(tmp_path / "run", "fusion")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_command_line_reports_an_interruption(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mmdg_lite.training.run.train", lambda *_: raise_(Interrupted("stopped at step 3 of 9; go on")))
    assert main(["train", "--out", str(tmp_path)]) == 130
    assert "stopped at step 3 of 9" in capsys.readouterr().err


def test_a_second_ctrl_c_breaks_off_at_once(tmp_path, monkeypatch):
    def impatient():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    at_step(monkeypatch, 5, impatient)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        small_run(tmp_path / "run", "fusion")
    assert read_checkpoint(tmp_path / "run" / "state.safetensors").values["step"] == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_a_full_disk_keeps_the_last_state_and_the_run_goes_on_from_it(uninterrupted, tmp_path, monkeypatch):
    flush, states = os.fsync, []

    def full(descriptor):
        states.append(os.fstat(descriptor).st_size > SMALLEST_STATE)
        if sum(states) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left.*state\.safetensors"):
            small_run(tmp_path / "run", "fusion")
    assert read_checkpoint(tmp_path / "run" / "state.safetensors").values["step"] == 3
    small_run(tmp_path / "run", "fusion")
    assert outcome(tmp_path / "run") == uninterrupted("fusion")


@pytest.mark.parametrize("room, cure", [(3, "batches of 2 fit"), (4, "batches of 4 fit"), (0, "not even one sample")])
def test_too_little_memory_is_told_with_the_batch_size_that_fits(room, cure, tmp_path, monkeypatch):
    """A device that holds `room` samples, from the sixth step on."""
    trainer, plain = prepared(tmp_path), training_step.losses

    def losses(output, batch, **options):
        if trainer.step >= 5 and len(batch["label"]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return plain(output, batch, **options)

    monkeypatch.setattr(training_step, "losses", losses)
    with pytest.raises(OutOfMemory, match=rf"step 6 with batches of 8: {cure}.*state is kept in .*9 GiB"):
        trainer.fit()
    assert read_checkpoint(tmp_path / "state.safetensors").values["step"] == 3


def test_other_errors_are_not_taken_for_a_lack_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(training_step, "losses", lambda *_, **__: raise_(RuntimeError("shapes do not fit")))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        prepared(tmp_path).fit()


def poisoned(monkeypatch, call):
    """Make the depth loss NaN at one call."""
    calls, plain = [], training_step.losses

    def losses(output, batch, **options):
        calls.append(None)
        made = plain(output, batch, **options)
        rgb, depth, infrared = made.modalities
        return Losses(made.total, (rgb, depth * float("nan"), infrared)) if len(calls) == call else made

    monkeypatch.setattr(training_step, "losses", losses)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_state(uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        poisoned(patch, 8)
        with pytest.raises(NonFiniteLoss) as stop:
            small_run(tmp_path / "run", "fusion")
    message = str(stop.value)
    assert "the depth loss is nan at step 8" in message and "-train-00" in message
    assert str(tmp_path / "run" / "state.safetensors") in message and "learning_rate" in message
    assert read_checkpoint(tmp_path / "run" / "state.safetensors").values["step"] == 6
    small_run(tmp_path / "run", "fusion")
    assert outcome(tmp_path / "run") == uninterrupted("fusion")


def test_a_fault_before_the_first_state_does_not_promise_one(tmp_path, monkeypatch):
    poisoned(monkeypatch, 2)
    with pytest.raises(NonFiniteLoss, match="no state was written yet"):
        small_run(tmp_path / "run", "fusion")


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_parameters_move(tmp_path, monkeypatch):
    make = ReGrad.apply

    def apply(self, gradients, losses, branches, certainty):
        report = make(self, gradients, losses, branches, certainty)
        parameter = next(p for p, branch in branches if branch is Modality.INFRARED and p.grad is not None)
        parameter.grad.flatten()[0] = math.inf
        return report

    monkeypatch.setattr(ReGrad, "apply", apply)
    trainer = prepared(tmp_path)
    before = {name: value.clone() for name, value in trainer.model.trainable_state_dict().items()}
    with pytest.raises(NonFiniteLoss, match="a gradient of the infrared branch is not finite at step 1"):
        trainer.fit()
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.trainable_state_dict().items())


def test_batches_with_a_fault_are_passed_over_and_counted_if_so_configured(tmp_path, monkeypatch):
    poisoned(monkeypatch, 8)
    small_run(tmp_path / "run", "fusion", training={"non_finite": "skip"})
    [line] = log(tmp_path / "run", "skipped")
    assert line["step"] == 8 and line["fault"] == "the depth loss is nan" and len(line["ids"]) == 8
    assert json.loads((tmp_path / "run" / "result.json").read_text())["skipped_steps"] == 1
    assert all(
        value.isfinite().all() for value in read_checkpoint(tmp_path / "run" / "model.safetensors").tensors.values()
    )


def prepared(folder, method="head", *, protocol="P1", **training):
    """A trainer before its first step."""
    config = small_config(method, protocol=protocol, training=training)
    return Trainer(config, RunFolder(folder), small_data(config), progress=False)


def test_scores_that_are_not_finite_stop_the_run_and_name_a_sample(tmp_path, monkeypatch):
    trainer = prepared(tmp_path)
    with torch.no_grad():
        trainer.model.head.weight.fill_(math.nan)
    with pytest.raises(NonFiniteLoss, match="a score is not finite at step 0 for samples C-val-000"):
        trainer._validate()


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda tensors, values: tensors.pop("model/head.bias"), "head.bias is missing"),
        (lambda tensors, values: values.pop("best_key"), "best_key"),
        (lambda tensors, values: values.update(device="cuda"), "was written on cuda"),
        (lambda tensors, values: tensors.update({"optimiser/999/exp_avg": torch.zeros(1)}), "more parameters"),
        *(
            (lambda _, values, step=step: values.update(step=step), "step is .* integer")
            for step in (-1, "3", 2.7, 99, True)
        ),
        (lambda _, values: values.update(waited=-2), "waited is -2"),
        (lambda _, values: values.update(regrad={"averages": [0.0], "updates": [1]}), "one average and one number"),
        (lambda _, values: values["regrad"].update(averages=["0.5"] * 3), "averages .* finite numbers"),
        (lambda _, values: values["regrad"].update(updates=[-1, 2, 3]), "updates .* counts"),
        (lambda _, values: values["regrad"].update(updates=[1, 2.5, 3]), "updates .* counts"),
        (lambda _, values: values.update(seconds=-5), "seconds is -5"),
        (lambda _, values: values.update(seconds=True), "seconds is True"),
        *(
            (lambda tensors, _, part=part: tensors[next(n for n in tensors if part in n)].fill_(math.nan), "not finite")
            for part in ("model/", "best/", "/exp_avg")
        ),
        (lambda tensors, _: tensors["optimiser/0/exp_avg_sq"].fill_(-1), "a square, or .* is negative"),
        (lambda tensors, _: tensors["optimiser/0/step"].fill_(-3), "a square, or .* is negative"),
        (lambda tensors, _: [tensors.pop(n) for n in list(tensors) if n.startswith("optimiser/")], "state is missing"),
        (lambda tensors, _: tensors.update({"model/head.bias": tensors["model/head.bias"].long()}), "bias is int64"),
        (lambda tensors, _: tensors.update({"model/head.bias": tensors["model/head.bias"].half()}), "bias is float16"),
        (
            lambda tensors, _: tensors.update({"best/head.bias": tensors["best/head.bias"].half()}),
            "best: .* is float16",
        ),
        (
            lambda tensors, _: [tensors.pop(n) for n in list(tensors) if n.startswith("best/")],
            "best step, 4, are missing",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(change, reason, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        at_step(patch, 8, lambda: raise_(PowerCut))  # after validating at step 4 and writing the state of step 6
        with pytest.raises(PowerCut):
            small_run(tmp_path / "run", "fusion")
    path = tmp_path / "run" / "state.safetensors"
    state = read_checkpoint(path)
    change(state.tensors, state.values)
    write_checkpoint(path, state.tensors, state.values)
    with pytest.raises(CheckpointError, match=reason) as stop:
        small_run(tmp_path / "run", "fusion")
    assert str(path) in str(stop.value)


def test_a_pipe_in_the_place_of_the_log_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(OSError, match=r"not a regular file.*metrics\.jsonl"):
        TrainingLog(tmp_path / "metrics.jsonl").shorten(3)


@pytest.mark.parametrize("left", ['{"event": "train", "st', "\0" * 300, '{"event": "tr\0\0\0', '{"ev\0\n\0\0'])
def test_what_a_loss_of_power_left_of_a_log_line_is_made_again(left, uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        at_step(patch, 11, lambda: raise_(PowerCut))
        with pytest.raises(PowerCut):
            small_run(tmp_path / "run", "fusion")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write(left)
    small_run(tmp_path / "run", "fusion")
    assert outcome(tmp_path / "run") == uninterrupted("fusion")


def test_a_damaged_line_within_the_log_is_named(tmp_path):
    log = TrainingLog(tmp_path / "metrics.jsonl")
    log.path.write_text('{"step": 1}\n{"step": 2.5}\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: not a line of a log \(step is 2\.5\)"):
        log.shorten(3)


def test_a_full_disk_is_told_by_the_log_s_name():
    with pytest.raises(OSError, match=r"No space left.*same command goes on.*'/dev/full'"):
        TrainingLog(Path("/dev/full")).add({"step": 1})


@pytest.mark.parametrize("what", ["train", "validation", "tests"])
def test_data_that_are_handed_over_are_checked_like_loaded_ones(what, tmp_path):
    config = small_config("fusion")
    data = small_data(config)
    given = {"W": data.tests["W"]} if what == "tests" else {"": getattr(data, what)}
    spoofs = {name: Subset(of, np.flatnonzero(np.asarray(of.labels) == 0)) for name, of in given.items()}
    lacking = replace(data, **{what: spoofs if what == "tests" else spoofs[""]})
    with pytest.raises(ValueError, match=r"list of .* has no live faces"):
        train(config, tmp_path / "run", progress=False, data=lacking)
    assert not (tmp_path / "run" / "state.safetensors").exists()


# --- what is chosen, and by what -------------------------------------------------------------------------------------


def test_no_test_sample_is_touched_before_the_best_parameters_are_fixed(tmp_path, monkeypatch):
    config = small_config("fusion")
    data, fixed, early = small_data(config), [], []
    for dataset in data.tests.values():
        read = dataset.read
        monkeypatch.setattr(dataset, "read", lambda rows, read=read: (early.append(not fixed), read(rows))[1])
    load = Trainer.load_best
    monkeypatch.setattr(Trainer, "load_best", lambda self: (load(self), fixed.append(True)))
    train(config, tmp_path / "run", progress=False, data=data)
    assert early and not any(early)


def test_the_kept_parameters_are_those_that_validated_best(tmp_path):
    folder = small_run(tmp_path / "run", "fusion")
    lines = log(folder, "validation")
    best = min(lines, key=lambda line: (line["eer"], line["loss"]))
    kept = read_checkpoint(folder / "model.safetensors")
    assert kept.values["step"] == best["step"] == json.loads((folder / "result.json").read_text())["best_step"]
    config = small_config("fusion")
    model = build(config.model)
    model.load_trainable_state_dict(kept.tensors)
    scorer = model_scorer(model, torch.device("cpu"))
    scored = score(scorer, small_data(config).validation, source_domains=config.domains.sources, progress=False)
    assert scored.cross_entropy == pytest.approx(best["loss"], rel=1e-5)


def validations(monkeypatch, eers):
    """Make the validations come out with these equal-error rates (of 10 live and 10 spoof samples)."""
    remaining = list(eers)

    def scored(self):
        wrong = round(10 * remaining.pop(0))
        scores = np.r_[np.full(10 - wrong, 0.9), np.full(wrong, 0.1), np.full(10 - wrong, 0.1), np.full(wrong, 0.9)]
        return Scores(
            ids=tuple(f"{i}" for i in range(20)),
            labels=np.repeat([1, 0], 10),
            species=("live",) * 10 + ("print",) * 10,
            scores=scores,
        )

    monkeypatch.setattr(Trainer, "_score_validation", scored)


def test_the_lowest_equal_error_rate_wins_and_the_first_of_equals(tmp_path, monkeypatch):
    validations(monkeypatch, [0.4, 0.2, 0.3, 0.2])
    trainer = prepared(tmp_path)
    trainer.fit()
    assert trainer.best_step == 8
    assert [line["improved"] for line in log(tmp_path, "validation")] == [True, True, False, False]


@pytest.mark.parametrize("patience, last", [(0, STEPS), (1, 12), (2, STEPS)])
def test_training_stops_once_patience_is_spent(patience, last, tmp_path, monkeypatch):
    validations(monkeypatch, [0.4, 0.2, 0.3, 0.2])
    trainer = prepared(tmp_path, patience=patience)
    trainer.fit()
    assert (trainer.step, trainer.is_finished()) == (last, True)
    assert read_checkpoint(tmp_path / "state.safetensors").values["step"] == last


def test_the_learning_rate_warms_up_and_falls_along_half_a_cosine(tmp_path, monkeypatch):
    trainer, rates = prepared(tmp_path, warmup=4, learning_rate=0.01), []
    step = trainer.optimiser.step
    monkeypatch.setattr(
        trainer.optimiser, "step", lambda: (rates.append(trainer.optimiser.param_groups[0]["lr"]), step())
    )
    trainer.fit()
    warm = [0.25, 0.5, 0.75] + [1.0] * 11
    expected = [0.01 * w * (1 + math.cos(math.pi * step / 14)) / 2 for step, w in enumerate(warm)]
    assert rates == pytest.approx(expected)
    assert rates[0] == pytest.approx(0.0025) and rates[7] == pytest.approx(0.005)


# --- what is written -------------------------------------------------------------------------------------------------


def test_the_log_holds_what_tables_and_plots_read(tmp_path):
    folder = small_run(tmp_path / "run", "mmdg++")
    lines = log(folder, "train")
    assert [line["step"] for line in lines] == [1, 5, 10]
    names = ("loss", "average", "certainty", "gradient_norm")
    keys = {f"{name}_{modality.value}" for name in names for modality in Modality}
    for line in lines:
        assert set(line) == keys | {"event", "step", "loss_total", "fastest", "conflict_rate"}
        assert line["fastest"] in ("rgb", "depth", "infrared", None)
        assert all(0 <= line[f"certainty_{modality.value}"] <= 1 for modality in Modality)
    assert all(0 <= line["conflict_rate"] <= 1 for line in lines[1:])
    assert [set(line) for line in log(folder, "validation")] == [{"event", "step", "eer", "loss", "improved"}] * 4


@pytest.mark.parametrize("protocol, rate", [("P1", 0.0), ("P5", 0.3)])
def test_modality_dropout_of_the_protocol_reaches_the_batches(protocol, rate, tmp_path, monkeypatch):
    seen, log_step = [], Trainer._log
    monkeypatch.setattr(
        Trainer, "_log", lambda self, *record: (seen.append(self.batch["present"]), log_step(self, *record))
    )
    prepared(tmp_path, protocol=protocol).fit()
    present = torch.cat(seen).float()  # (14 * 8) x 3
    assert bool(present.any(dim=1).all())
    if rate == 0:
        assert bool((present == 1).all())
    else:
        assert (1 - present).mean(dim=0) == pytest.approx(rate, abs=0.12)
