"""The data sets of one protocol setting, synthetic or real: sources to train and validate on, targets to test on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from mmdg_lite.configuration import write_bytes
from mmdg_lite.data.dataset import (
    ArrayDataset,
    ConcatDataset,
    FaceDataset,
    Samples,
    live_and_species,
    without_species,
)
from mmdg_lite.data.deployments import FACES, VERSION, deployment_faces, deployments, fault_faces, fault_points
from mmdg_lite.data.real.stored import ManifestDataset
from mmdg_lite.data.synthetic import BENCHMARK_VERSION, benchmark_split
from mmdg_lite.modality import Modality
from mmdg_lite.runs.config import DataConfig, RunConfig
from mmdg_lite.runs.scores import deployment_file, fault_file


@dataclass(frozen=True)
class SettingData:
    """Training and validation samples of all source domains; test samples per target domain."""

    train: FaceDataset
    validation: FaceDataset
    tests: dict[str, FaceDataset]


def load_setting(config: RunConfig, *, progress: bool = True) -> SettingData:
    """Load or render what a run needs.

    Raises:
        FileNotFoundError: a domain's folder or manifest is missing (named).
        ValueError: a manifest that is damaged or of another domain, a domain without the left-out species, or a list
            without live faces or without attacks.
    """
    setting = config.domains
    parts = [(letter, split) for letter in setting.sources for split in ("train", "val")]
    parts += [(letter, "test") for letter in setting.targets]
    loaded = {}
    for letter, split in tqdm(parts, desc="loading domains", leave=False, disable=not progress):
        loaded[letter, split] = load_domain(config.data, letter, split)
    left_out = setting.left_out_species
    keep: Callable[[FaceDataset], FaceDataset] = (
        (lambda whole: without_species(whole, left_out)) if left_out else (lambda whole: whole)
    )
    data = SettingData(
        train=ConcatDataset([keep(loaded[letter, "train"]) for letter in setting.sources]),
        validation=ConcatDataset([keep(loaded[letter, "val"]) for letter in setting.sources]),
        tests={
            letter: live_and_species(loaded[letter, "test"], left_out) if left_out else loaded[letter, "test"]
            for letter in setting.targets
        },
    )
    check_setting(data)
    return data


def check_setting(data: SettingData) -> None:
    """Raise `ValueError` for a training, validation or test list without live faces or without attacks."""
    for dataset, what in ((data.train, "training"), (data.validation, "validation")):
        check_classes(dataset, what)
    for dataset in data.tests.values():
        check_classes(dataset, "test")


def check_classes(dataset: FaceDataset, what: str) -> None:
    """Raise `ValueError`, naming the domains, for a list without live faces or without attacks: nothing can be trained
    or measured on it."""
    if absent := [name for label, name in ((1, "live faces"), (0, "attacks")) if label not in dataset.labels]:
        raise ValueError(
            f"the {what} list of {' + '.join(sorted(set(dataset.domains)))} has no {' and no '.join(absent)} among "
            f"{len(dataset)} samples: both are needed"
        )


def load_domain(config: DataConfig, letter: str, split: str) -> FaceDataset:
    """One split ("train", "val" or "test") of one domain, from converted files or from the renderer.

    Raises `FileNotFoundError` naming what is not there, `ValueError` for a manifest that is damaged or of another
    domain.
    """
    if config.root is not None:
        stored = ManifestDataset(Path(config.root) / letter, split, size=config.size)
        if stored.domain != letter:
            raise ValueError(f"{stored.folder} holds domain {stored.domain}, not {letter}: rename the folder")
        return stored
    counts = {"train": config.train_samples, "val": config.validation_samples, "test": config.test_samples}
    count = counts[split]

    def rendered() -> ArrayDataset:
        faces = benchmark_split(letter, split, count, config.seed, size=config.size)
        return ArrayDataset.from_faces(faces, domain=letter, split=split)

    return _cached(config, f"{letter}-{split}-{count}-{config.seed}", rendered)


def p6_lists(config: RunConfig) -> Iterator[tuple[str, FaceDataset]]:
    """The lists that protocol P6 adds to a run, one after the other, by the names of their score files.

    They are the frozen deployments, then the reliability curves of every target. Each has `deployments.FACES` faces,
    or as many as a test list of the run if that has fewer.
    """
    data = config.data
    count = min(FACES, data.test_samples)

    def of_deployment(number: int) -> ArrayDataset:
        deployment = deployments()[number]
        faces = deployment_faces(deployment, count, size=data.size)
        return ArrayDataset.from_faces(faces, domain="P6", split=deployment.name)

    def of_fault(letter: str, modality: Modality, severity: int) -> ArrayDataset:
        faces = fault_faces(letter, modality, severity, count, seed=data.seed, size=data.size)
        return ArrayDataset.from_faces(faces, domain=letter, split="test")  # the same faces as in the test list

    for number, deployment in enumerate(deployments()):
        name = f"deployments-v{VERSION}-{deployment.name}-{count}"
        yield deployment_file(deployment.name), _cached(data, name, partial(of_deployment, number))
    for letter in config.domains.targets:
        for modality, severity in fault_points():
            name = f"{letter}-{modality.value}_fault{severity}-{count}-{data.seed}"
            faces = _cached(data, name, partial(of_fault, letter, modality, severity))
            yield fault_file(letter, modality, severity), faces


def p6_files(targets: Sequence[str]) -> list[str]:
    """Names of the score files of the lists that protocol P6 adds to a run with these targets, as of `p6_lists`."""
    curves = [fault_file(letter, *point) for letter in targets for point in fault_points()]
    return [deployment_file(deployment.name) for deployment in deployments()] + curves


def _cached(config: DataConfig, name: str, render: Callable[[], ArrayDataset]) -> ArrayDataset:
    """Samples from the cache, if the configuration names one; what is not there yet is rendered and put there."""
    if config.cache is None:
        return render()
    path = Path(config.cache) / f"synthetic-v{BENCHMARK_VERSION}-{name}-{config.size}.npz"
    if not path.is_file():
        _store(path, render())
    return _restore(path)


def _store(path: Path, dataset: ArrayDataset) -> None:
    """Write the samples as one uncompressed npz of plain arrays, under a temporary name first."""
    samples = dataset.read(range(len(dataset)))
    buffer = BytesIO()
    arrays: dict[str, Any] = {field.name: np.asarray(getattr(samples, field.name)) for field in fields(Samples)}
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def _restore(path: Path) -> ArrayDataset:
    """Read what `_store` wrote. Raises `ValueError` naming the file if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        lists: Sequence[str] = ("ids", "species", "domains")
        return ArrayDataset(Samples(**{k: v.tolist() if k in lists else v for k, v in arrays.items()}))
    except Exception as error:
        raise ValueError(f"{path} is not a readable cache of rendered samples ({error}); delete it") from error
