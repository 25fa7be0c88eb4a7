"""Which tokens look at a spoilt region? Certainties and simple baselines, measured against regions of known place.

Every detector gives each patch a number, high for doubtful. Baselines know clean faces of the source domains and
nothing of the corruption: the distance of a patch's frozen CLIP token from those of clean patches (Mahalanobis, as in
Lee et al., NeurIPS 2018), and how unusual the contrast inside the patch is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from open_clip import CLIP
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mmdg_lite.data.corruption import corrupt, patch_share, random_rectangles
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.synthetic import Faces
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.builder import MMDG, MMDGPlusPlus
from mmdg_lite.models.clip import load_clip
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.outputs import Output
from mmdg_lite.models.trunk import OpenClipTrunk
from mmdg_lite.training.evaluation import batches

Array = NDArray[np.float64]
Detector = Callable[[Faces, Modality], dict[str, Array]]
"""Faces and a modality to numbers per patch, n x P, high for doubtful, by the detector's name."""


def outputs(model: MultimodalModel, faces: Faces) -> list[Output]:
    """What a model says about faces in evaluation, batch by batch."""
    dataset = ArrayDataset.from_faces(faces, domain="W", split="test")
    model.eval()
    with torch.inference_mode():
        return [model(batch) for batch in batches(dataset, source_domains=model.source_domains, progress=False)]


def patch_certainty(certainty: Tensor, modality: Modality, side: str) -> Array:
    """Certainty of a modality's patches, n x P: mean over its calls as "receiver", or over those as "sender".

    `certainty`: n x 3 x 2 x N, `Output.token_certainty` of a block. Calls that do not exist (MMDG's between depth and
    infrared) are left out.
    """
    pairs = [(m, place, sender) for m in MODALITIES for place, sender in enumerate(m.others)]
    wanted = [(m, place) for m, place, sender in pairs if (m if side == "receiver" else sender) is modality]
    calls = torch.stack([certainty[:, m.index, place, 1:] for m, place in wanted])  # calls x n x P
    there = calls.flatten(1).any(dim=1)
    return calls[there].mean(dim=0).double().numpy()


def uncertainty_of(model: MultimodalModel) -> Detector:
    """The model's own doubt in its last block: one minus `patch_certainty`, of both sides where both have a meaning.

    Certainty is that of a call's chosen query, which may come from either side; that of the sender's tokens alone in
    MMDG, that of the receiver's alone where keys are suppressed.
    """
    sides = ("sender",) if isinstance(model, MMDG) else ("receiver", "sender")
    if isinstance(model, MMDGPlusPlus) and model.suppression == "key":
        sides = ("receiver",)

    def detector(faces: Faces, modality: Modality) -> dict[str, Array]:
        certainty = torch.cat([output.token_certainty[-1] for output in outputs(model, faces)])
        return {side: 1 - patch_certainty(certainty, modality, side) for side in sides}

    return detector


def patch_tokens(clip: CLIP, faces: Faces, modality: Modality) -> Array:
    """Patch tokens of the frozen CLIP after its last block, n x P x C."""
    trunk, rows = OpenClipTrunk(clip.visual), []
    dataset = ArrayDataset.from_faces(faces, domain="W", split="test")
    with torch.inference_mode():
        for batch in batches(dataset, source_domains=(), progress=False):
            x = trunk.embed(batch[modality.value][None], trunk.class_token[None], trunk.positions[None])
            for layer in range(trunk.layers):
                x = x + trunk.attention(layer, x)
                x = x + trunk.feed_forward(layer, x)[1]
            rows.append(x[:, 1:].double().numpy())
    return np.concatenate(rows)


def distance_to_clean(clean: Sequence[Faces]) -> Detector:
    """Mahalanobis distance of a patch's frozen token from those of clean faces, per modality, all places together."""
    clip = load_clip("tiny").eval()
    fitted = {}
    for m in MODALITIES:
        known = np.concatenate([patch_tokens(clip, faces, m) for faces in clean])  # n x P x C
        fitted[m] = LedoitWolf().fit(rearrange(known, "n p c -> (n p) c"))

    def detector(faces: Faces, modality: Modality) -> dict[str, Array]:
        tokens = patch_tokens(clip, faces, modality)
        squares: Array = fitted[modality].mahalanobis(rearrange(tokens, "n p c -> (n p) c"))
        return {"distance to clean tokens": rearrange(np.sqrt(squares), "(n p) -> n p", n=len(tokens))}

    return detector


def log_contrast(faces: Faces, modality: Modality, patch: int) -> Array:
    """Logarithm of the variance of the grey values inside each patch, n x P."""
    grey = faces[modality.value].astype(np.float64).mean(axis=1)  # n x H x W
    patches = rearrange(grey, "n (h p) (w q) -> n (h w) (p q)", p=patch, q=patch)
    contrast: Array = np.log1p(patches.var(axis=-1))
    return contrast


def unusual_contrast(clean: Sequence[Faces], patch: int) -> Detector:
    """How many standard deviations the log-contrast of a patch is away from that of clean faces at the same place."""
    known = {m: np.concatenate([log_contrast(faces, m, patch) for faces in clean]) for m in MODALITIES}

    def detector(faces: Faces, modality: Modality) -> dict[str, Array]:
        mean, deviation = known[modality].mean(axis=0), known[modality].std(axis=0) + 1e-3
        z: Array = np.abs(log_contrast(faces, modality, patch) - mean) / deviation
        return {"unusual contrast": z}

    return detector


@dataclass(frozen=True, kw_only=True)
class Spoilt:
    """Faces with one modality spoilt in a region, n x H x W truth values, and the share of each patch in it, n x P."""

    faces: Faces
    region: NDArray[np.bool_]
    share: Array


def spoil(faces: Faces, modality: Modality, kind: str, *, patch: int, seed: int) -> Spoilt:
    """Spoil a random rectangle of each face; the same regions for every kind and modality of a seed."""
    rng = np.random.default_rng(seed)
    size = faces[modality.value].shape[-1]
    spoilt, region = corrupt(faces, modality, random_rectangles(len(faces), size, rng), kind, rng)
    return Spoilt(faces=spoilt, region=region, share=patch_share(region, patch))


def auc_of_region(doubt: Array, share: Array) -> float:
    """AUC of a doubt per patch for patches wholly spoilt against those untouched; 0.5 is chance.

    Patches that the region's edge cuts are left out. NaN where no patch is wholly spoilt, or none is untouched.
    """
    inside, outside = share > 0.999, share == 0
    if not (inside.any() and outside.any()):
        return float("nan")
    values = np.concatenate([doubt[inside], doubt[outside]])
    return float(roc_auc_score(np.repeat([1, 0], [inside.sum(), outside.sum()]), values))
