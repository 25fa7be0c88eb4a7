"""One run from its configuration to its scores. The best parameters and the threshold are chosen on the sources'
validation lists, never on a target."""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from tqdm.auto import tqdm

from mmdg_lite.configuration import write_json
from mmdg_lite.data.dataset import FaceDataset
from mmdg_lite.data.statistics import picture_statistics
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.data_description import describe_data, note_data
from mmdg_lite.runs.environment import peak_memory
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.methods import method
from mmdg_lite.runs.plugins import check_recorded
from mmdg_lite.runs.ranks import from_first, gathered, rank, ranks, started, world_size
from mmdg_lite.runs.scores import Pattern, Scores, score_file
from mmdg_lite.runs.setting_data import SettingData, check_setting, load_setting, p6_lists
from mmdg_lite.training.evaluation import model_scorer, score, summarise, target_tests
from mmdg_lite.training.linear_probe import fit_probe
from mmdg_lite.training.trainer import Trainer

DatasetScorer = Callable[[FaceDataset, Pattern], Scores]


def train(config: RunConfig, folder: str | Path, *, progress: bool = True, data: SettingData | None = None) -> Path:
    """Train and evaluate one run in a folder, going on from where an earlier process stopped.

    Called by each of R processes that torchrun started, it is one run that they train together: every rank takes its
    share of each batch, so that a configuration means the same however many they are, to rounding; and a run can go on
    with another number of them. The first rank validates, tests and writes.

    Args:
        config: the run's configuration; a folder that holds another one is refused.
        folder: see `run_folder.RunFolder`; a finished run is left as it is.
        progress: show progress bars.
        data: the setting's data sets, if they are loaded already.

    Returns:
        The folder.

    Raises:
        ValueError: a method that several ranks cannot train, fewer samples in a batch than ranks, or a list without
            live faces or without attacks.
        RuntimeError: the folder is in use, belongs to another configuration, or the run began with other data.
        trainer.Interrupted: SIGINT or SIGTERM arrived, on one rank at least; the state was written.
        trainer.OutOfMemory: the device cannot hold a step; the message says which batch size it could.
        trainer.NonFiniteLoss: training diverged; the last state is kept.
        checkpoints.CheckpointError: the written state is damaged or not of this run (naming the file).
        plugins.PluginError: a file of the user's own that the run needs is not loaded, or was changed.
        ranks.RankFailed: another rank failed, and this one with it.
    """
    run = RunFolder(folder)
    check_recorded(config.plugins, where=f"the configuration for {run.path}")
    _check_ranks(config)
    with ranks(resolve_device(config.device)) as device:
        first = rank() == 0
        with run.claimed(config, device) if first else nullcontext():
            if from_first(lambda: run.finished):
                return run.path
            if first and world_size() > 1:
                print(
                    f"{world_size()} ranks train {run.path} together; if one ends, all end. The last state stays in "
                    f"{run.state}: the same command goes on from it, with any number of ranks",
                    file=sys.stderr,
                    flush=True,
                )  # said before anything happens: a rank that another one takes with it may not get to speak
            since = time.perf_counter()
            if data is None:
                data = load_setting(config, progress=progress and first)
            else:
                check_setting(data)
            if first:
                note_data(run.data, describe_data(config, data))
            if first and not run.pictures.is_file():
                write_json(run.pictures, picture_statistics(data.train))
            if method(config.method).kind == "linear_probe":
                scorer, made = fit_probe(config, run, data, device=device, progress=progress), {"steps": 0}
            else:
                trainer = Trainer(config, run, data, device=device, progress=progress)
                since -= trainer.seconds
                trainer.fit()
                trainer.load_best()
                scorer = _trained(trainer)
                made = {"steps": trainer.step, "best_step": trainer.best_step, "skipped_steps": trainer.skipped}
            if first:
                _test(config, run, data, scorer, made, since, device, progress=progress)
            gathered(None)  # nobody leaves before the first is ready
    return run.path


def _check_ranks(config: RunConfig) -> None:
    """Raise `ValueError`, before ranks even meet, for what several of them cannot train."""
    if started() == 1:
        return
    if method(config.method).kind == "linear_probe":
        raise ValueError(f"method {config.method!r} is solved by one process, not trained; start it without torchrun")
    if config.undivided:
        raise ValueError(f"method {config.method!r} cannot be trained by {started()} ranks: {config.undivided}")


def _test(
    config: RunConfig,
    run: RunFolder,
    data: SettingData,
    scorer: DatasetScorer,
    made: dict[str, int],
    since: float,
    device: torch.device,
    *,
    progress: bool,
) -> None:
    """Score the validation and test lists, and write the run's result."""
    validation = scorer(data.validation, ())
    validation.write(run.scores / score_file(None))
    tests = {}
    for letter, dataset in data.tests.items():
        for name, missing, left in target_tests(config.data, letter, dataset):
            scored = scorer(left, missing)
            scored.write(run.scores / name)
            tests[name.removesuffix(".csv.gz")] = scored
    begun = time.perf_counter()
    if config.deployments:
        score_p6(config, run.scores, scorer, progress=progress)
    now = time.perf_counter()
    cost = {"seconds": round(now - since, 1)} | peak_memory(device)
    if config.deployments:
        cost |= {"p6_seconds": round(now - begun, 1)}
    write_json(run.result, summarise(validation, tests) | made | cost)


def score_p6(config: RunConfig, scores: Path, scorer: DatasetScorer, *, progress: bool = True) -> None:
    """Score the lists that protocol P6 adds to a run into a folder of score files.

    Their error rates are no part of the run's result: tables compute them from the scores.
    """
    for name, dataset in tqdm(p6_lists(config), desc="protocol P6", unit="list", leave=False, disable=not progress):
        scorer(dataset, ()).write(scores / name)


def _trained(trainer: Trainer) -> DatasetScorer:
    """Scores by the trained model's head."""
    scorer = model_scorer(trainer.model, trainer.device, precision=trainer.config.training.precision)

    def scored(dataset: FaceDataset, missing: Pattern) -> Scores:
        return score(
            scorer,
            dataset,
            source_domains=trainer.config.domains.sources,
            missing=missing,
            workers=trainer.config.data.workers,
            description="testing",
            progress=trainer.progress,
        )

    return scored
