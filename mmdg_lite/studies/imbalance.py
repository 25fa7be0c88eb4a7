"""A network of three linear branches over frozen CLIP features: small enough to train while somebody watches.

z_m = A_m f_m + coupling sum over j != m of A_j f_j, and a fixed classifier reads z_m, so that all three losses reach
every branch A_m, as through the model's adapters. Everything that could make one modality dominate is a knob: the size
of its features, how many of them belong to other faces, the coupling, the certainties.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.clip import load_clip
from mmdg_lite.regrad.balancing import BalancingRule, Moment, balancing_weights
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.training.evaluation import clip_features

Array = NDArray[np.float64]
Triple = tuple[float, float, float]
CLASSIFIER: Array = 4 * np.eye(2)  # 2 x 2; fixed, reads the two entries of z


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Frozen features of training and test faces. features: n x 3 x D; labels: n, 1 live."""

    features: dict[str, Array]
    labels: dict[str, NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """What may make the modalities unequal; each triple is RGB, depth, infrared.

    scale: factor of the features. spoilt: share of faces whose feature is another face's. certainty: U_R, U_D, U_I.
    coupling: how much of the other branches each modality sees. Raises ValueError for a share outside of 0..1.
    """

    scale: Triple = (1.0, 1.0, 1.0)
    spoilt: Triple = (0.0, 0.0, 0.0)
    certainty: Triple = (0.6, 0.6, 0.6)
    coupling: float = 0.2

    def __post_init__(self) -> None:
        for name, values in {"spoilt": self.spoilt, "certainty": self.certainty}.items():
            if not 0 <= min(values) <= max(values) <= 1:
                raise ValueError(f"{name} must be three numbers from 0 to 1, got {values}")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One training: losses before each step, steps x 3; the fastest of each step; accuracies on test faces, 3."""

    losses: Array
    fastest: tuple[Modality | None, ...]
    accuracy: Array

    @property
    def gap(self) -> float:
        """Mean over the steps of the slowest loss minus the fastest one, nats."""
        return float(np.ptp(self.losses, axis=1).mean())


def toy(*, faces: int = 120, seed: int = 0) -> Toy:
    """Features of `faces` faces of domain C to train on, and as many of W to test."""
    clip, features, labels = load_clip("tiny"), {}, {}
    for part, letter in (("train", "C"), ("test", "W")):
        group = ArrayDataset.from_faces(render(letter, faces, seed), domain=letter, split=part)
        joined = clip_features(clip, group, device=torch.device("cpu"), progress=False)  # n x 3 D
        features[part] = rearrange(np.asarray(joined, dtype=np.float64), "n (m d) -> n m d", m=len(MODALITIES))
        labels[part] = np.asarray(group.labels)
    return Toy(features=features, labels=labels)


def train(
    data: Toy, rule: BalancingRule, knobs: Knobs, *, steps: int = 150, rate: float = 0.1, seed: int = 0
) -> Trained:
    """Gradient descent on the three branches under a balancing rule.

    Raises ValueError for an unknown rule, ImportError for one of TorchJD where it is not installed.
    """
    rng = np.random.default_rng(seed)
    seen = {part: _seen(data.features[part], knobs, rng) for part in ("train", "test")}  # n x 3 x D
    target = np.eye(2)[data.labels["train"]]  # n x 2
    branches = 0.1 * rng.standard_normal((3, len(CLASSIFIER), seen["train"].shape[2]))
    mix = knobs.coupling + (1 - knobs.coupling) * np.eye(3)  # how much of branch k modality j sees
    pace, losses, holders = ReGrad(), [], []
    for step in range(steps):
        logits = _logits(branches, seen["train"], mix)  # n x 3 x 2
        shares = _softmax(logits)
        losses.append(-np.log((shares * target[:, None]).sum(axis=2)).mean(axis=0))  # 3
        holders.append(pace.update(tuple(torch.tensor(loss) for loss in losses[-1])))
        error = (shares - target[:, None]) @ CLASSIFIER / len(target)  # n x 3 x 2
        products = np.tensordot(error, seen["train"], axes=(0, 0))  # loss j x 2 x branch k x D
        pulls = rearrange(products * mix[:, None, :, None], "j o k d -> k j o d")
        flat = rearrange(pulls, "k j o d -> k j (o d)")
        w = _weights(flat, rule, holders[-1], losses[-1], knobs, step)  # 3 branches x 3 losses
        branches = branches - rate * np.einsum("kj,kjod->kod", w, pulls)
    right = _logits(branches, seen["test"], mix).argmax(axis=2) == data.labels["test"][:, None]
    return Trained(losses=np.stack(losses), fastest=tuple(holders), accuracy=right.mean(axis=0))


def _seen(features: Array, knobs: Knobs, rng: np.random.Generator) -> Array:
    """The features as the knobs have them: some rows of a modality are those of other faces, all are scaled."""
    seen, n = features.copy(), len(features)
    for m in MODALITIES:
        order = rng.permutation(n)
        rows = order[: round(knobs.spoilt[m.index] * n)]
        seen[rows, m.index] = features[np.roll(rows, 1), m.index]
    return seen * np.asarray(knobs.scale)[:, None]


def _logits(branches: Array, seen: Array, mix: Array) -> Array:
    known = np.einsum("mod,nmd->nmo", branches, seen)  # n x 3 x 2
    return np.einsum("jk,nko->njo", mix, known) @ CLASSIFIER.T


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _weights(
    flat: Array, rule: BalancingRule, fastest: Modality | None, losses: Array, knobs: Knobs, step: int
) -> Array:
    """Weights of the three losses' gradients in each branch, 3 x 3."""
    grams: Mapping[int, torch.Tensor] = {
        m.index: torch.from_numpy(flat[m.index] @ flat[m.index].T)[None] for m in MODALITIES
    }
    place = None if fastest is None else fastest.index
    moment = Moment(losses=losses.tolist(), fastest=place, certainty=knobs.certainty, seed=step)
    found = balancing_weights(grams, rule, moment)
    return np.stack([found[m.index][0].double().numpy() for m in MODALITIES])
