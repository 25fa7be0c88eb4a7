"""`python -m data_prep.difficulty`: how hard the synthetic domains are for plain baselines.

Small CNNs on one, two and three modalities and a converged logistic regression on the frozen tiny CLIP, inside each
domain and with each domain left out, over fresh seeds of samples and training. Writes `difficulty.json` after every
cell (an interrupted run goes on), then the figure and the tables of the data card.
"""

import argparse
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from data_prep.difficulty_card import difficulty_figure, tables
from data_prep.small_cnn import cnn_scores, train_small_cnn
from mmdg_lite.configuration import write_text
from mmdg_lite.data.renderer.domains import DOMAINS
from mmdg_lite.data.synthetic import BENCHMARK_VERSION, Faces, benchmark_split
from mmdg_lite.metrics import evaluate_scores, threshold_at_eer
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.clip import load_clip, normalise
from mmdg_lite.plots.style import save
from mmdg_lite.results.marked_text import rewrite_measured_part

FRESH_SEEDS = (101, 102, 103)
"""Not the development seeds (1000, 2000, 3000) with which the domains were tuned."""

SIZES = {"train": 1500, "val": 200, "test": 500}
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
SINGLES, PAIRS, ALL = (tuple(combinations(MODALITIES, k)) for k in (1, 2, 3))
PLAN = (  # what is measured, the most telling first
    ("cnn", ("across",), ALL),
    ("cnn", ("inside",), ALL),
    ("cnn", ("across",), SINGLES),
    ("probe", ("inside", "across"), (*ALL, *SINGLES)),
    ("cnn", ("inside",), SINGLES),
    ("cnn", ("across",), PAIRS),
)
Array = NDArray[Any]


def difficulty(
    folder: Path,
    card: Path,
    *,
    seeds: Sequence[int] = FRESH_SEEDS,
    samples_seen: int = 10_000,
    redraw: bool = False,
) -> Path:
    """Measures every cell that `folder/difficulty.json` lacks; returns that file.

    `samples_seen` by a CNN in training, twice as many inside a domain. The sources of a left-out domain give 500
    samples each, a domain tested on itself gives 1500. `redraw`: measure nothing, only rewrite the figure and the
    tables. Raises ValueError if the file belongs to another version of the benchmark.
    """
    path = folder / "difficulty.json"
    settings = {"benchmark_version": BENCHMARK_VERSION, "samples_seen": samples_seen, **SIZES}
    report: dict[str, Any] = {"settings": settings, "cells": {}}
    if path.exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["settings"] != settings:
            raise ValueError(f"{path} was measured with {report['settings']}, not {settings}: remove it to start anew")
    folder.mkdir(parents=True, exist_ok=True)
    plan = [
        (seed, method, target, subset, scope)
        for method, scopes, subsets in PLAN
        for seed in seeds
        for target in DOMAINS
        for scope in scopes
        for subset in subsets
    ]
    for seed, method, target, subset, scope in tqdm(plan, desc="difficulty", unit="cell"):
        names = "+".join(modality.value for modality in subset)
        key = f"{seed}/{method}/{scope}/{target}/{names}"
        if key not in report["cells"] and not redraw:
            sources = (target,) if scope == "inside" else tuple(letter for letter in DOMAINS if letter != target)
            report["cells"][key] = _cell(method, sources, target, subset, seed, samples_seen)
            write_text(path, json.dumps(report, indent=1) + "\n")
    save(difficulty_figure(report), folder / "difficulty.png")
    rewrite_measured_part(card, tables(report))
    return path


def _cell(
    method: str, sources: tuple[str, ...], target: str, subset: tuple[Modality, ...], seed: int, samples_seen: int
) -> dict[str, Any]:
    """Trains on the sources, fixes the threshold on their validation samples, and tests on the target."""
    inside = len(sources) == 1
    used, seen = (SIZES["train"], 2 * samples_seen) if inside else (SIZES["train"] // 3, samples_seen)
    scorer = _fit_cnn if method == "cnn" else _fit_probe
    validation, tested = scorer(sources, target, subset, seed, used, seen)
    labels = np.concatenate([_faces(letter, "val", seed).label for letter in sources])
    faces = _faces(target, "test", seed)
    species = np.array(faces.species)
    metrics = evaluate_scores(tested, faces.label, threshold=threshold_at_eer(validation, labels))
    live = tested[faces.label == 1]
    aucs = {}
    for name in sorted({*faces.species} - {"live"}):
        spoof = tested[species == name]
        aucs[name] = float(roc_auc_score(np.r_[np.ones(len(live)), np.zeros(len(spoof))], np.r_[live, spoof]))
    return {
        "hter": metrics.hter,
        "hter_at_eer": metrics.hter_at_eer,
        "auc": metrics.auc,
        "far": metrics.far,
        "frr": metrics.frr,
        "auc_per_species": aucs,
    }


@lru_cache(maxsize=12)
def _faces(letter: str, split: str, seed: int) -> Faces:
    return benchmark_split(letter, split, SIZES[split], seed)


def _fit_cnn(
    sources: tuple[str, ...], target: str, subset: tuple[Modality, ...], seed: int, used: int, samples_seen: int
) -> tuple[Array, Array]:
    train = [_faces(letter, "train", seed).select(range(used)) for letter in sources]
    model = train_small_cnn(train, subset, seed=seed, samples_seen=samples_seen)
    validation = np.concatenate([cnn_scores(model, _faces(letter, "val", seed)) for letter in sources])
    return validation, cnn_scores(model, _faces(target, "test", seed))


def _fit_probe(
    sources: tuple[str, ...], target: str, subset: tuple[Modality, ...], seed: int, used: int, samples_seen: int
) -> tuple[Array, Array]:
    """Logistic regression run to convergence; its strength is chosen by the sources' validation cross-entropy."""

    def features(letter: str, split: str) -> Array:
        return np.concatenate([_features(letter, split, seed, modality) for modality in subset], axis=1)

    x = np.concatenate([features(letter, "train")[:used] for letter in sources])
    y = np.concatenate([_faces(letter, "train", seed).label[:used] for letter in sources])
    x_val = np.concatenate([features(letter, "val") for letter in sources])
    y_val = np.concatenate([_faces(letter, "val", seed).label for letter in sources])
    fitted = []
    for strength in STRENGTHS:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=10_000)).fit(x, y)
        fitted.append((-np.mean(probe.predict_log_proba(x_val)[np.arange(len(y_val)), y_val]), strength, probe))
    best = min(fitted, key=lambda item: item[:2])[2]
    return best.predict_proba(x_val)[:, 1], best.predict_proba(features(target, "test"))[:, 1]


@lru_cache(maxsize=36)
@torch.no_grad()
def _features(letter: str, split: str, seed: int, modality: Modality) -> Array:
    clip = _clip()
    images = torch.from_numpy(_faces(letter, split, seed)[modality.value])
    return np.concatenate([clip.encode_image(normalise(part)).numpy() for part in images.split(100)])


@lru_cache(maxsize=1)
def _clip() -> Any:
    return load_clip("tiny")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the default measures everything and rewrites the committed figure and card."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.difficulty", description=difficulty.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("figures/synthetic"), help="where JSON and figure go")
    parser.add_argument("--card", type=Path, default=Path("data_prep/SYNTHETIC.md"), help="whose tables are rewritten")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(FRESH_SEEDS))
    parser.add_argument("--samples-seen", type=int, default=10_000, help="by each CNN in training")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, rewrite the figure and the tables")
    options = parser.parse_args(arguments)
    chosen = {"seeds": options.seeds, "samples_seen": options.samples_seen, "redraw": options.redraw}
    print(difficulty(options.folder, options.card, **chosen))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
