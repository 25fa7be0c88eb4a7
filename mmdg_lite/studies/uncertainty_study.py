"""Does certainty mean anything? Against spoilt regions of known place, against errors, and as calibration.

The command `uncertainty-study` measures every model there is: the shipped one (profile full) and the finished
runs of `audit_runs` (60 steps), and writes a JSON file for each below figures/uncertainty. What is there is not
measured again. `read` reads them, `by_detector` and `errors` make tables of them, `verdicts` says what these show;
notebook 09 prints and draws them.
"""

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from mmdg_lite.configuration import REPOSITORY, write_json
from mmdg_lite.data.corruption import CORRUPTIONS
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.builder import build
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.results.calibration import expected_calibration_error, risk_coverage
from mmdg_lite.runs.checkpoints import read_checkpoint
from mmdg_lite.runs.folder import RunFolder, read_threshold
from mmdg_lite.studies import quickstart
from mmdg_lite.studies.audit.runs import RUNS, SEEDS, VARIANTS, run_folder
from mmdg_lite.studies.regions import (
    Detector,
    auc_of_region,
    distance_to_clean,
    outputs,
    spoil,
    uncertainty_of,
    unusual_contrast,
)

OUT = REPOSITORY / "figures" / "uncertainty"
TARGET, SOURCES = "W", "CPS"
PATCH = 8  # pixels, of the tiny CLIP
FACES, CLEAN, TESTED = 40, 20, 400  # faces spoilt, clean faces per source for the baselines, faces for errors
SEED = 7
BASELINES = "baselines"
DETECTS = 0.8
"""Mean AUC from which on a certainty is said to detect spoilt regions."""


def localisation(detector: Detector, *, faces: int = FACES) -> dict[str, dict[str, dict[str, float]]]:
    """AUC for spoilt patches on faces of the unseen domain, by detector's name, modality and kind of corruption."""
    clean = render(TARGET, faces, SEED)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for modality in MODALITIES:
        for kind in CORRUPTIONS:
            spoilt = spoil(clean, modality, kind, patch=PATCH, seed=SEED)
            for name, doubt in detector(spoilt.faces, modality).items():
                by_kind = found.setdefault(name, {}).setdefault(modality.value, {})
                by_kind[kind] = auc_of_region(doubt, spoilt.share)
    return found


def predictions(model: MultimodalModel, threshold: float, *, faces: int = TESTED) -> dict[str, Any]:
    """Errors against confidence on the unseen domain: AURC by each confidence, rank correlation, and ECE.

    A random order has an AURC equal to the error rate.
    """
    tested = render(TARGET, faces, SEED + 1)
    made = outputs(model, tested)
    score = torch.cat([o.score() for o in made]).double().numpy()
    of_class_tokens = torch.cat([o.certainty for o in made]).double().mean(dim=1).numpy()
    of_all_tokens = torch.cat([o.token_certainty[-1] for o in made]).double().mean(dim=(1, 2, 3)).numpy()
    correct = (score >= threshold) == (tested.label == 1)
    confidences = {
        "certainty of class tokens": of_class_tokens,
        "certainty of all tokens": of_all_tokens,
        "|p - 0.5|": np.abs(score - 0.5),
        "|p - threshold|": np.abs(score - threshold),
    }
    return {
        "faces": faces,
        "error_rate": float(1 - correct.mean()),
        "ece": expected_calibration_error(score, tested.label),
        "aurc": {name: risk_coverage(correct, values).area for name, values in confidences.items()},
        "rank_correlation": {name: _spearman(correct, values) for name, values in confidences.items()},
    }


def _spearman(correct: np.ndarray, confidence: np.ndarray) -> float:
    """Rank correlation of being right with confidence; 0 where one of them does not vary."""
    if len(set(correct)) < 2 or np.ptp(confidence) == 0:
        return 0.0
    return float(spearmanr(correct, confidence).statistic)


def measure(model: MultimodalModel, threshold: float) -> dict[str, Any]:
    """Everything about one model, with the range of its certainties on clean faces."""
    patches = torch.cat([o.patch_certainty() for o in outputs(model, render(TARGET, FACES, SEED))])
    acting = patches[patches > 0]  # pairs without an adapter hold zeros
    return {
        "certainty": {name: float(np.quantile(acting, q)) for name, q in (("low", 0.05), ("high", 0.95))},
        "regions": localisation(uncertainty_of(model)),
        "predictions": predictions(model, threshold),
    }


def trained(run: Path) -> tuple[MultimodalModel, float]:
    """A finished run's model and its threshold."""
    folder = RunFolder(run)
    model = build(folder.read_config().model)
    model.load_trainable_state_dict(read_checkpoint(folder.model).tensors)
    return model, read_threshold(run)


def study(*, runs: Path = RUNS, out: Path = OUT, progress: bool = True) -> list[Path]:
    """Measure what has not been measured; returns all files."""
    work: dict[str, Callable[[], dict[str, Any]]] = {BASELINES: _baselines, "shipped": _shipped}
    for name, seed in product(VARIANTS, SEEDS):
        run = run_folder(name, seed, runs=runs)
        if RunFolder(run).finished:
            work[f"{name}-seed{seed}"] = partial(_of_run, run)
    files = []
    for name, make in tqdm(work.items(), desc="uncertainty", disable=not progress):
        path = out / f"{name}.json"
        if not path.is_file():
            write_json(path, make())
        files.append(path)
    return files


def _of_run(run: Path) -> dict[str, Any]:
    return measure(*trained(run))


def _shipped() -> dict[str, Any]:
    model = quickstart.load()
    return measure(model.model, model.record.threshold)


def _baselines() -> dict[str, Any]:
    clean = [render(letter, CLEAN, SEED) for letter in SOURCES]
    return {"regions": localisation(distance_to_clean(clean)) | localisation(unusual_contrast(clean, PATCH))}


def read(out: Path = OUT) -> dict[str, dict[str, Any]]:
    """What was measured, by model. Raises `FileNotFoundError` naming the command if there is nothing."""
    files = sorted(out.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"nothing in {out}: run `python -m mmdg_lite uncertainty-study`")
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def regions(found: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """A row per detector, modality and kind of corruption, with its AUC."""
    rows = [
        {"model": model, "detector": detector, "modality": modality, "corruption": kind, "auc": auc}
        for model, values in found.items()
        for detector, by_modality in values["regions"].items()
        for modality, by_kind in by_modality.items()
        for kind, auc in by_kind.items()
    ]
    return pd.DataFrame(rows)


def errors(found: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """A row per model: certainty's range, error rate in percent (the AURC of a random order), AURCs in percent, ECE."""
    rows = []
    for name, values in found.items():
        if name == BASELINES:
            continue
        p = values["predictions"]
        row = {"model": name, "certainty, 5 %": values["certainty"]["low"], "95 %": values["certainty"]["high"]}
        row |= {"random order": 100 * p["error_rate"]} | {k: 100 * v for k, v in p["aurc"].items()}
        rows.append(row | {"ECE": p["ece"]})
    return pd.DataFrame(rows).set_index("model")


def printed_order(frame: pd.DataFrame) -> dict[str, str]:
    """Every (model, detector) of `regions` joined by "/", with its printed name: baselines, then models."""
    pairs = dict.fromkeys(zip(frame["model"], frame["detector"], strict=True))
    ordered = sorted(pairs, key=lambda pair: (pair[0] != BASELINES, pair[0] != "shipped"))
    names = {}
    for model, detector in ordered:
        names[f"{model}/{detector}"] = detector if model == BASELINES else f"{model}: {detector}"
    return names


def by_detector(frame: pd.DataFrame, order: dict[str, str]) -> pd.DataFrame:
    """A row per detector: its AUC for each corruption, averaged over modalities, and their mean and lowest value."""
    named = frame.assign(detector=(frame["model"] + "/" + frame["detector"]).map(order))
    kinds = list(dict.fromkeys(frame["corruption"]))
    table = named.pivot_table(index="detector", columns="corruption", values="auc").loc[list(order.values()), kinds]
    lowest = named.groupby("detector")["auc"].min().reindex(table.index)
    return table.assign(**{"mean AUC": table.mean(axis=1), "lowest": lowest}).round(3)


def verdicts(summary: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """What certainty finds, as sentences computed from `by_detector` and `errors`.

    Spoilt regions are detected by a mean AUC of `DETECTS`. For errors, both certainties of a model are compared with
    |p - 0.5| and with a random order; the last sentence takes the better one of each model.
    """
    own = summary[summary.index.str.contains(": ")]["mean AUC"]
    simple = summary.drop(own.index)["mean AUC"]
    best, known = own.idxmax(), simple.idxmax()
    sentences = [
        f"Spoilt regions: the {len(own)} certainties have mean AUCs from {own.min():.2f} to {own.max():.2f} (best: "
        f"{best}); the best simple detector, {known}, has {simple.max():.2f}."
    ]
    plain, by_chance = table["|p - 0.5|"], table["random order"]
    kinds = ["certainty of class tokens", "certainty of all tokens"]
    for kind in kinds:
        sentences.append(
            f"Errors: {kind} orders faces better than a random order in {int((table[kind] < by_chance).sum())} of "
            f"{len(table)} models, better than |p - 0.5| in {int((table[kind] < plain).sum())}."
        )
    detecting, weaker = int((own >= DETECTS).sum()), int((table[kinds].min(axis=1) >= plain).sum())
    sentences.append(
        f"So on these data {detecting or 'none'} of the {len(own)} certainties can find spoilt regions (a mean AUC of "
        f"{DETECTS} or more), and even the better one of a model orders its decisions no better than |p - 0.5| in "
        f"{weaker} of {len(table)} models."
    )
    return sentences
