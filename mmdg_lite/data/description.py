"""What the data of a run are, as plain values: by them two people see whether they trained and tested on the same."""

import hashlib
import json
from collections import Counter
from typing import Any

import numpy as np

from mmdg_lite.data.dataset import FaceDataset
from mmdg_lite.modality import MODALITIES


def describe_list(dataset: FaceDataset) -> dict[str, Any]:
    """Counts and a digest for each domain of a list of samples.

    For each domain the numbers of live and spoof samples, of samples per species, and of samples without a modality.
    `digest`: SHA-256 over id, label, species and present modalities of its samples, in the order of their ids. It does
    not cover the pictures: digests of manifests do, and the renderer's version and seed.
    """
    domains = np.asarray(dataset.domains)
    return {domain: _describe(dataset, np.flatnonzero(domains == domain)) for domain in sorted(set(dataset.domains))}


def _describe(dataset: FaceDataset, rows: Any) -> dict[str, Any]:
    live = int(dataset.labels[rows].sum())
    present = dataset.present[rows]  # n x 3
    lines = sorted(
        [dataset.ids[row], int(dataset.labels[row]), dataset.species[row], *dataset.present[row].astype(int).tolist()]
        for row in rows
    )
    return {
        "live": live,
        "spoof": len(rows) - live,
        "species": dict(sorted(Counter(dataset.species[row] for row in rows).items())),
        "without": {m.value: int((~present[:, m.index]).sum()) for m in MODALITIES},
        "digest": digest(lines),
    }


def digest(values: Any) -> str:
    """SHA-256 of plain values, written as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
