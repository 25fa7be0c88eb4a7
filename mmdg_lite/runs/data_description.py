"""The record of a run's data, `data_description.json`: counts per list and domain, and digests."""

from pathlib import Path
from typing import Any

from mmdg_lite.configuration import read_values, write_json
from mmdg_lite.data.description import describe_list, digest
from mmdg_lite.data.real.manifest import MANIFEST, describe, read_manifest
from mmdg_lite.data.synthetic import BENCHMARK_VERSION
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.setting_data import SettingData


def describe_data(config: RunConfig, data: SettingData) -> dict[str, Any]:
    """What a run trains, validates and tests on.

    Returns:
        `digest`: one text for all that follows; runs with equal ones have the same samples and pictures.
        `source`: of real data, each domain's whole manifest (`manifest.describe`), whose digest covers the SHA-256 of
            every picture; of synthetic data, what the renderer makes its pictures from.
        `lists`: for "train", "validation" and "test", each domain's counts and digest (`description.describe_list`).

    Raises ManifestError for a damaged manifest, and FileNotFoundError for one that is missing.
    """
    lists: dict[str, Any] = {"train": describe_list(data.train), "validation": describe_list(data.validation)}
    lists["test"] = {}
    for dataset in data.tests.values():
        lists["test"] |= describe_list(dataset)
    values = {"source": _source(config), "lists": lists}
    return {"digest": digest(values), **values}


def note_data(path: str | Path, described: dict[str, Any]) -> None:
    """Write a run's record of its data. Raises `RuntimeError` if the run began with other data than these."""
    path = Path(path)
    if not path.is_file():
        write_json(path, described)
        return
    began = read_values(path)
    if began.get("digest") != described["digest"]:
        raise RuntimeError(
            f"{path}: the run began with other data (digest {str(began.get('digest'))[:12]}) than there are now "
            f"({described['digest'][:12]}); restore them, or choose another folder"
        )


def _source(config: RunConfig) -> dict[str, Any]:
    """What the pictures come from, without names of folders, which differ between machines."""
    setting, data = config.domains, config.data
    domains = sorted({*setting.sources, *setting.targets})
    if data.root is None:
        return {"kind": "synthetic", "version": BENCHMARK_VERSION, "seed": data.seed, "size": data.size}
    folders = {domain: Path(data.root) / domain / MANIFEST for domain in domains}
    return {
        "kind": "files",
        "manifests": {domain: describe(read_manifest(folder)) for domain, folder in folders.items()},
    }
