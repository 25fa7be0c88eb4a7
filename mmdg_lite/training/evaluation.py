"""Scores of a model on a data set, and of a finished run on its validation and test lists."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from mmdg_lite.data.dataset import FaceDataset, RandomlyMissing, with_any_left
from mmdg_lite.data.loader import loader
from mmdg_lite.data.protocols import RANDOM_MISSING
from mmdg_lite.metrics import looks_inverted, threshold_at_eer
from mmdg_lite.modality import Modality
from mmdg_lite.runs.config import DataConfig, Precision
from mmdg_lite.runs.scores import Pattern, Scores, score_file

TEST_MISSING: tuple[Pattern, ...] = (
    (),
    (Modality.DEPTH,),
    (Modality.INFRARED,),
    (Modality.DEPTH, Modality.INFRARED),
)
"""Every run is tested with everything present and, for protocol P2, without depth, without infrared, without both."""

BATCH = 32
"""Faces at a time. What 64 faces need in a block of the tiny CLIP no longer fits a core's cache: half as long again."""

Scorer = Callable[[dict[str, Any]], Tensor]
"""A batch to P(live), B."""


def possible_tests(dataset: FaceDataset) -> Iterator[tuple[Pattern, FaceDataset]]:
    """What is taken away in each test of a data set, and the samples to test on: those that still have a modality.

    A test that would be left without live faces, or without attacks, is passed over: it has no error rates.
    """
    for missing in TEST_MISSING:
        left = with_any_left(dataset, missing)
        if len(set(left.labels.tolist())) == 2:
            yield missing, left


def target_tests(config: DataConfig, letter: str, dataset: FaceDataset) -> Iterator[tuple[str, Pattern, FaceDataset]]:
    """Every test of a target domain: its score file's name, what is taken from all samples, and the samples.

    With `config.random_missing`, tests with modalities missing at random follow those of `possible_tests`.
    """
    for missing, left in possible_tests(dataset):
        yield score_file(letter, missing), missing, left
    if config.random_missing:
        for missing, left in possible_tests(dataset):
            if missing:
                thinned = RandomlyMissing(left, missing, rate=RANDOM_MISSING, seed=config.seed)
                yield score_file(letter, missing, at_random=True), (), thinned


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager:
    """The autocast context for a precision: "auto" is bfloat16 on CUDA devices that have it, float32 elsewhere."""
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on a device."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


def batches(
    dataset: FaceDataset,
    *,
    source_domains: Sequence[str],
    batch_size: int = BATCH,
    missing: Sequence[Modality] = (),
    workers: int = 0,
    description: str = "evaluating",
    progress: bool = True,
) -> Iterator[dict[str, Any]]:
    """Batches of a data set in its own order, unaugmented, with a progress bar."""
    source = loader(
        dataset,
        batch_size=batch_size,
        seed=0,
        epoch=0,
        augment=None,
        source_domains=source_domains,
        shuffle=False,
        workers=workers,
        missing=missing,
    )
    for batch in tqdm(source, desc=description, leave=False, disable=not progress):
        yield dict(batch)


def score(
    scorer: Scorer,
    dataset: FaceDataset,
    *,
    source_domains: Sequence[str],
    batch_size: int = BATCH,
    missing: Sequence[Modality] = (),
    workers: int = 0,
    description: str = "evaluating",
    progress: bool = True,
) -> Scores:
    """Scores of every sample of a data set, with some modalities taken away."""
    ids: list[str] = []
    species: list[str] = []
    labels, scores = [], []
    for batch in batches(
        dataset,
        source_domains=source_domains,
        batch_size=batch_size,
        missing=missing,
        workers=workers,
        description=description,
        progress=progress,
    ):
        scores.append(scorer(batch).cpu().double().numpy())
        labels.append(batch["label"].numpy())
        ids += batch["id"]
        species += batch["species"]
    return Scores(ids=tuple(ids), labels=np.concatenate(labels), species=tuple(species), scores=np.concatenate(scores))


def model_scorer(model: nn.Module, device: torch.device, *, precision: Precision = "auto") -> Scorer:
    """Scores by a model's head, in evaluation mode and without gradients; "float64" makes the model one of float64."""
    if precision == "float64":
        model.double()

    @torch.inference_mode()
    def scorer(batch: dict[str, Any]) -> Tensor:
        model.eval()
        with autocast(device, precision):
            return model(to_device(batch, device)).score()

    return scorer


@torch.inference_mode()
def clip_features(
    clip: CLIP,
    dataset: FaceDataset,
    *,
    device: torch.device,
    missing: Sequence[Modality] = (),
    batch_size: int = BATCH,
    description: str = "features",
    progress: bool = True,
) -> NDArray[np.float64]:
    """Frozen CLIP features of the three modalities, each of unit length, zero where missing, joined: samples x 3 D."""
    rows = []
    for batch in batches(
        dataset, source_domains=(), batch_size=batch_size, missing=missing, description=description, progress=progress
    ):
        batch = to_device(batch, device)
        images = torch.cat([batch[modality.value] for modality in Modality])  # (3 B) x 3 x H x W
        features = functional.normalize(clip.encode_image(images).float(), dim=-1)  # (3 B) x D
        joined = torch.stack(features.chunk(len(Modality)), dim=1) * batch["present"][..., None]  # B x 3 x D
        rows.append(joined.flatten(1).cpu().double().numpy())
    return np.concatenate(rows)


def summarise(validation: Scores, tests: dict[str, Scores]) -> dict[str, Any]:
    """The threshold fixed on the validation scores, and every metric of every test at it.

    Warns (`UserWarning`) where the validation AUC is so far below 0.5 that the labels may be inverted.
    """
    threshold = threshold_at_eer(validation.scores, validation.labels)
    scored = {"validation": validation, **tests}
    metrics = {name: item.metrics(threshold=threshold) for name, item in scored.items()}
    if looks_inverted(metrics["validation"]):
        warnings.warn(
            f"the validation AUC is {metrics['validation'].auc:.3f}, far below 0.5: are the labels inverted? "
            "1 must mean live and 0 spoof, in the training lists and in the validation lists alike",
            stacklevel=2,
        )
    return {"threshold": threshold, "metrics": {name: values.to_dict() for name, values in metrics.items()}}
