"""One run from its configuration to its scores. The best parameters and the threshold are chosen on the sources'
validation lists, never on a target."""

import time
from collections.abc import Callable
from pathlib import Path

from mmdg_lite.configuration import write_json
from mmdg_lite.data.dataset import FaceDataset
from mmdg_lite.evaluation import TEST_MISSING, Scored, model_scorer, score, score_file, summarise
from mmdg_lite.linear_probe import fit_probe
from mmdg_lite.memory import peak_memory
from mmdg_lite.methods import method
from mmdg_lite.modality import Modality
from mmdg_lite.plugins import load_recorded
from mmdg_lite.runs import RunConfig, RunFolder, resolve_device
from mmdg_lite.setting_data import SettingData, load_setting
from mmdg_lite.trainer import Trainer

DatasetScorer = Callable[[FaceDataset, tuple[Modality, ...]], Scored]


def train(config: RunConfig, folder: str | Path, *, progress: bool = True, data: SettingData | None = None) -> Path:
    """Train and evaluate one run in a folder, going on from where an earlier process stopped.

    Args:
        config: the run's configuration; a folder that holds another one is refused.
        folder: see `runs.RunFolder`; a finished run is left as it is.
        progress: show progress bars.
        data: the setting's data sets, if they are loaded already.

    Returns:
        The folder.

    Raises:
        RuntimeError: the folder is in use or belongs to another configuration.
        trainer.Interrupted: SIGINT or SIGTERM arrived; the state was written.
        trainer.OutOfMemory: the device cannot hold a step; the message says which batch size it could.
        trainer.NonFiniteLoss: training diverged; the last state is kept.
        checkpoints.CheckpointError: the written state is damaged or not of this run (naming the file).
        plugins.PluginError: a file of the user's own that the run needs is gone, or was changed.
    """
    load_recorded(config.plugins.values())
    run = RunFolder(folder)
    with run.claimed(config):
        if run.finished:
            return run.path
        started = time.perf_counter()
        data = data or load_setting(config, progress=progress)
        if method(config.method).kind == "linear_probe":
            scorer, made = fit_probe(config, run, data, progress=progress), {"steps": 0}
        else:
            trainer = Trainer(config, run, data, progress=progress)
            started -= trainer.seconds
            trainer.fit()
            trainer.load_best()
            scorer = _trained(trainer)
            made = {"steps": trainer.step, "best_step": trainer.best_step, "skipped_steps": trainer.skipped}
        validation = scorer(data.validation, ())
        validation.write(run.scores / score_file(None))
        tests = {}
        for letter, dataset in data.tests.items():
            for missing in TEST_MISSING:
                name = score_file(letter, missing)
                scored = scorer(dataset, missing)
                scored.write(run.scores / name)
                tests[name.removesuffix(".csv.gz")] = scored
        seconds = round(time.perf_counter() - started, 1)
        cost = {"seconds": seconds} | peak_memory(resolve_device(config.device))
        write_json(run.result, summarise(validation, tests) | made | cost)
    return run.path


def _trained(trainer: Trainer) -> DatasetScorer:
    """Scores by the trained model's head."""
    scorer = model_scorer(trainer.model, trainer.device, precision=trainer.config.training.precision)

    def scored(dataset: FaceDataset, missing: tuple[Modality, ...]) -> Scored:
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
