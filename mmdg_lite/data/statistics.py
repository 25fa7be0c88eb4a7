"""What pictures of a data set look like in numbers, so that a picture unlike all of them can be told from them.

`train` records these numbers of its training samples in every run's folder; `inference` compares pictures with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.dataset import FaceDataset, Images
from mmdg_lite.data.real.quality import SATURATED
from mmdg_lite.modality import MODALITIES, Modality

FEATURES = ("mean", "deviation", "black", "white", "detail", "relief", "prominence", "redness", "levels")
"""mean, deviation: of the grey levels 0..255. black: share of pixels that are 0 (in depth: holes). white: share of
pixels of 250 and above. detail: mean absolute difference of horizontal neighbours. relief: mean of the centre, a
quarter of the picture wide and high, minus mean of the ring around it, half as wide and high as the picture, without
pixels that are 0; 0 where less than half of either is seen. A nose is nearer than cheeks, so depth has a positive one
where near is bright. prominence: the same of the middle half of the picture and of its border, an eighth wide; 0 where
less than a tenth of either is seen. A face is nearer than what is behind it. redness: mean of red minus blue in centre
and ring, 0 for one channel. levels: number of distinct values of the first channel."""

CLOUD = ("mean", "deviation", "black", "white", "detail", "relief", "redness")
"""Features whose joint distribution tells one sensor from another."""

TAIL = 0.001
MARGIN = 0.25
WITHOUT_MARGIN = ("prominence",)
"""Features that differ so much between domains that a share of their spread would hide a reversed sign."""
NEAREST_LIMIT = 1.0
"""Least limit of the distance: pictures that are all alike, or a single one, would set it to 0."""
LARGEST = 3000  # samples that are looked at, evenly spaced: more would not change the limits much


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Mean and inverse covariance of the features CLOUD of one domain's pictures."""

    mean: tuple[float, ...]
    inverse: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if {len(self.mean), len(self.inverse), *map(len, self.inverse)} != {len(CLOUD)}:
            raise ValueError(f"mean and inverse must be of {len(CLOUD)} features")

    def distance(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mahalanobis distance of n x len(CLOUD) features, n."""
        off = features - np.asarray(self.mean)
        return np.sqrt(np.einsum("ni,ij,nj->n", off, np.asarray(self.inverse), off).clip(min=0))


@dataclass(frozen=True, kw_only=True)
class ModalityStatistics:
    """The training pictures of one modality.

    Limits lie MARGIN interquartile ranges beyond the quantiles TAIL and 1 - TAIL of the training pictures, those of
    WITHOUT_MARGIN at the quantiles. Records of earlier versions lack some features.
    """

    pictures: int
    low: dict[str, float]  # by feature
    high: dict[str, float]  # by feature
    domains: dict[str, Cloud]
    farthest: float  # limit of the distance to the nearest domain

    def __post_init__(self) -> None:
        if not set(self.low) == set(self.high) == set(FEATURES):
            raise ValueError(f"low and high must name {', '.join(FEATURES)}")
        if not 0 < self.farthest < np.inf:
            raise ValueError(f"farthest must be a finite number above 0, got {self.farthest}")
        if not self.domains or self.pictures < 1:
            raise ValueError("statistics need a domain and a picture at least")

    def distance(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mahalanobis distance of pictures to the nearest training domain, n x len(FEATURES) to n."""
        columns = _cloud_columns(features)
        return np.min([cloud.distance(columns) for cloud in self.domains.values()], axis=0)


@dataclass(frozen=True, kw_only=True)
class PictureStatistics:
    """The pictures that a model was trained on, by modality's name; modalities that had none are absent."""

    size: int  # pixels, height and width
    modalities: dict[str, ModalityStatistics]

    def __post_init__(self) -> None:
        known = [modality.value for modality in MODALITIES]
        if self.size < 1 or set(self.modalities) - set(known):
            raise ValueError(f"size must be at least 1, and modalities among {', '.join(known)}")


def features(images: Images) -> NDArray[np.float64]:
    """Pictures B x C x H x W, C 1 or 3, as numbers B x len(FEATURES)."""
    values = images.astype(np.float32)
    grey = values.mean(axis=1)  # B x H x W
    middle, centre = _window(grey, 4), _window(grey, 8, 3)
    seen = grey > 0
    flat = grey.reshape(len(grey), -1)
    redness = (values[:, 0] - values[:, -1])[:, middle].mean(axis=1)
    columns = [
        flat.mean(axis=1),
        flat.std(axis=1),
        (flat == 0).mean(axis=1),
        (flat >= SATURATED).mean(axis=1),
        np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2)),
        _relief(grey, seen, centre, middle & ~centre, least=0.5),
        _relief(grey, seen, middle, ~_window(grey, 8), least=0.1),
        redness,
        np.array([len(np.unique(image[0])) for image in images]),
    ]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def picture_statistics(dataset: FaceDataset) -> PictureStatistics:
    """Statistics of a data set's pictures, unaugmented; of at most LARGEST samples, evenly spaced."""
    count = len(dataset)
    rows = np.unique(np.linspace(0, count - 1, min(count, LARGEST)).astype(np.int64))
    found: dict[Modality, list[NDArray[np.float64]]] = {modality: [] for modality in MODALITIES}
    domains: dict[Modality, list[str]] = {modality: [] for modality in MODALITIES}
    size = 0
    for start in range(0, len(rows), 64):
        samples = dataset.read(rows[start : start + 64])
        size = samples.rgb.shape[-1]
        for modality in MODALITIES:
            there = np.flatnonzero(samples.present[:, modality.index])
            if len(there):
                found[modality].append(features(getattr(samples, modality.value)[there]))
                domains[modality] += [samples.domains[row] for row in there]
    return PictureStatistics(
        size=size,
        modalities={
            modality.value: _of_modality(np.concatenate(found[modality]), domains[modality])
            for modality in MODALITIES
            if found[modality]
        },
    )


def _of_modality(values: NDArray[np.float64], domains: Sequence[str]) -> ModalityStatistics:
    low, quarter, three, high = np.quantile(values, [TAIL, 0.25, 0.75, 1 - TAIL], axis=0)
    spread = MARGIN * (three - quarter) * [name not in WITHOUT_MARGIN for name in FEATURES]
    clouds = {name: _cloud(values[np.array(domains) == name]) for name in sorted(set(domains))}
    columns = _cloud_columns(values)
    distances = np.min([cloud.distance(columns) for cloud in clouds.values()], axis=0)
    near, far, high_d = np.quantile(distances, [0.25, 0.75, 1 - TAIL])
    return ModalityStatistics(
        pictures=len(values),
        low=dict(zip(FEATURES, (low - spread).tolist(), strict=True)),
        high=dict(zip(FEATURES, (high + spread).tolist(), strict=True)),
        domains=clouds,
        farthest=max(NEAREST_LIMIT, float(high_d + MARGIN * (far - near))),
    )


def _cloud(values: NDArray[np.float64]) -> Cloud:
    columns = _cloud_columns(values)
    floor = np.array([1.0, 1.0, 0.03, 0.03, 0.3, 1.0, 1.0])  # differences that no sensor is told by
    covariance = (np.cov(columns, rowvar=False) if len(columns) > 1 else np.zeros((len(CLOUD),) * 2)) + np.diag(
        floor**2
    )
    return Cloud(
        mean=tuple(columns.mean(axis=0).tolist()),
        inverse=tuple(tuple(row) for row in np.linalg.inv(covariance).tolist()),
    )


def _cloud_columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features CLOUD, shares as their square roots, whose spread depends less on how large they are."""
    columns = values[:, [FEATURES.index(name) for name in CLOUD]].copy()
    shares = [CLOUD.index("black"), CLOUD.index("white")]
    columns[:, shares] = np.sqrt(columns[:, shares])
    return columns


def _window(grey: NDArray[np.float32], of: int, from_: int = 1) -> NDArray[np.bool_]:
    """True inside a margin of `from_` of `of` parts of the picture's height and width, H x W."""
    height, width = grey.shape[1:]
    top, left = from_ * height // of, from_ * width // of
    window = np.zeros((height, width), dtype=bool)
    window[top : height - top, left : width - left] = True
    return window


def _relief(
    grey: NDArray[np.float32],
    seen: NDArray[np.bool_],
    inner: NDArray[np.bool_],
    outer: NDArray[np.bool_],
    *,
    least: float,
) -> NDArray[np.float64]:
    """Mean of the seen pixels inside minus that outside, B x H x W to B; 0 where less than `least` of one is seen."""
    means, enough = [], np.ones(len(grey), dtype=bool)
    for window in (inner, outer):
        chosen = seen & window
        counts = chosen.sum(axis=(1, 2))
        means.append(np.where(chosen, grey, 0).sum(axis=(1, 2), dtype=np.float64) / np.maximum(counts, 1))
        enough &= counts >= least * window.sum()
    return np.where(enough, means[0] - means[1], 0.0)
