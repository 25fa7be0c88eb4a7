"""A finished run's model on test lists again: other domains or samples, another device, the run's own threshold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdg_lite.configuration import write_json
from mmdg_lite.data.dataset import FaceDataset, live_and_species
from mmdg_lite.runs.config import DataConfig, RunConfig, resolve_device
from mmdg_lite.runs.folder import RunFolder, read_threshold
from mmdg_lite.runs.kept_model import kept_model
from mmdg_lite.runs.scores import Pattern
from mmdg_lite.runs.setting_data import check_classes, load_domain
from mmdg_lite.training.evaluation import Scorer, Scores, model_scorer, score, target_tests
from mmdg_lite.training.run import score_p6


def evaluate(
    run: str | Path,
    *,
    out: str | Path | None = None,
    domains: Sequence[str] | None = None,
    data_root: str | Path | None = None,
    samples: int | None = None,
    data_seed: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Score test lists with a finished run's best parameters, and judge them at the threshold that the run fixed.

    Args:
        run: folder of a finished run of a trained method.
        out: where scores and evaluation.json go; None: the folder "evaluation" inside the run's.
        domains: letters of the domains to test on; None: the run's targets.
        data_root: folder of converted data sets; None: where the run's own data came from.
        samples: test samples per synthetic domain; None: as many as the run had.
        data_seed: seed of the synthetic samples; None: the run's, which draws the run's own test faces.
        device: "auto", "cpu", "cuda" or "mps".
        progress: show progress bars.

    Returns:
        What evaluation.json holds: the run, the threshold, and by score file's name every metric (fractions).

    Raises:
        ValueError: the run is unfinished, or of a method that keeps no model (the linear probe).
        FileNotFoundError: a domain has no converted data.
        ValueError: a domain's test list without live faces, or without attacks.
        RuntimeError: without `out`, the folder inside the run's is a link to elsewhere.
    """
    folder = RunFolder(run)
    scorer, config = _kept_model(folder, device)
    threshold = read_threshold(folder.path)
    data = _data(config.data, data_root=data_root, samples=samples, seed=data_seed)
    left_out = config.domains.left_out_species
    target = Path(out) if out is not None else folder.path / "evaluation"
    if out is None:
        folder.check_inside(target / "scores")
    metrics = {}
    for letter in domains or config.domains.targets:
        dataset = load_domain(data, letter, "test")
        dataset = live_and_species(dataset, left_out) if left_out else dataset
        check_classes(dataset, "test")
        for name, missing, left in target_tests(data, letter, dataset):
            scored = score(
                scorer,
                left,
                source_domains=config.domains.sources,
                missing=missing,
                workers=data.workers,
                description=name.removesuffix(".csv.gz"),
                progress=progress,
            )
            scored.write(target / "scores" / name)
            metrics[name.removesuffix(".csv.gz")] = scored.metrics(threshold=threshold).to_dict()
    values = {"run": folder.path.name, "threshold": threshold, "metrics": metrics}
    write_json(target / "evaluation.json", values)
    return values


def add_p6(run: str | Path, *, device: str = "auto", cache: str | None = None, progress: bool = True) -> Path:
    """Score the lists of protocol P6 with a finished run's best parameters, into the run's own folder of scores.

    For runs that were made without `data.deployments`. Their result and threshold stay as they are.

    Args:
        run: folder of a finished run of a trained method on the synthetic domains.
        device: "auto", "cpu", "cuda" or "mps".
        cache: folder for rendered samples; None: render them anew.
        progress: show progress bars.

    Returns:
        The folder of scores.

    Raises:
        ValueError: the run is unfinished, of a method that keeps no model (the linear probe), or of real data.
        RuntimeError: the run's folder of scores is a link to elsewhere.
    """
    folder = RunFolder(run)
    scorer, config = _kept_model(folder, device)
    folder.check_inside(folder.scores)
    changed = replace(config, data=replace(config.data, deployments=True, cache=cache))

    def scored(dataset: FaceDataset, missing: Pattern) -> Scores:
        return score(scorer, dataset, source_domains=config.domains.sources, missing=missing, progress=False)

    score_p6(changed, folder.scores, scored, progress=progress)
    return folder.scores


def _kept_model(folder: RunFolder, device: str) -> tuple[Scorer, RunConfig]:
    """Scores by a finished run's best parameters, and the run's configuration."""
    if not folder.finished:
        raise ValueError(
            f"{folder.path} holds no finished run; `python -m mmdg_lite train --out {folder.path}` goes on"
        )
    if not folder.model.is_file():
        raise ValueError(f"{folder.path} has no model.safetensors: its method is fitted anew by every run, not kept")
    config = folder.read_config()
    where = resolve_device(device)
    model = kept_model(config, folder.model, source=folder.config, device=where)
    return model_scorer(model, where, precision=config.training.precision), config


def _data(data: DataConfig, *, data_root: str | Path | None, samples: int | None, seed: int | None) -> DataConfig:
    """The run's data with changes. The run's cache is not used: it is a path to write to that a run folder names."""
    changes: dict[str, Any] = {"cache": None}
    changes |= {"root": str(data_root)} if data_root is not None else {}
    changes |= {"test_samples": samples} if samples is not None else {}
    changes |= {"seed": seed} if seed is not None else {}
    return replace(data, **changes)
