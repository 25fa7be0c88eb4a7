"""Face samples in memory: the interface of a data set, synthetic faces as one, and several data sets as one.

A sample is a dictionary: id, rgb (uint8 3 x H x W), depth and infrared (uint8 1 x H x W), present (three bools), label
(1 live, 0 spoof), species and domain. Data sets also read many samples at once, which is what batches are made from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.data.augmentation import DROP, sample_keys, uniforms
from mmdg_lite.data.real.species import LIVE
from mmdg_lite.modality import MODALITIES, Modality

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Samples:
    """B samples, stacked. Images of a missing modality are zeros, and False in `present`."""

    rgb: Images  # B x 3 x H x W
    depth: Images  # B x 1 x H x W
    infrared: Images  # B x 1 x H x W
    present: NDArray[np.bool_]  # B x 3
    label: NDArray[np.int64]  # B
    ids: list[str]
    species: list[str]
    domains: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def sample(self, index: int) -> dict[str, Any]:
        """One of them, as a dictionary."""
        images = {modality.value: getattr(self, modality.value)[index] for modality in MODALITIES}
        return images | {
            "id": self.ids[index],
            "present": self.present[index],
            "label": int(self.label[index]),
            "species": self.species[index],
            "domain": self.domains[index],
        }


def stack(samples: Sequence[dict[str, Any]]) -> Samples:
    """Stack sample dictionaries. Raises `ValueError` naming the sample whose image has another size than the first."""
    if not samples:
        raise ValueError("no samples to stack")
    for modality in MODALITIES:
        for sample in samples:
            if sample[modality.value].shape != samples[0][modality.value].shape:
                raise ValueError(
                    f"sample {sample['id']}: its {modality.value} image is {sample[modality.value].shape}, that of "
                    f"{samples[0]['id']} is {samples[0][modality.value].shape}; convert or load both at one size"
                )
    return Samples(
        **{modality.value: np.stack([sample[modality.value] for sample in samples]) for modality in MODALITIES},
        present=np.array([sample["present"] for sample in samples], dtype=bool).reshape(len(samples), 3),
        label=np.array([sample["label"] for sample in samples], dtype=np.int64),
        ids=[sample["id"] for sample in samples],
        species=[sample["species"] for sample in samples],
        domains=[sample["domain"] for sample in samples],
    )


class FaceDataset(Protocol):
    """What a batch can be made from. `domain` is one letter, or the letters of all parts."""

    ids: list[str]
    species: list[str]
    domains: list[str]
    labels: NDArray[np.int64]
    present: NDArray[np.bool_]  # n x 3
    domain: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Read several samples at once, in the order asked for."""

    @property
    def keys(self) -> NDArray[np.uint64]:
        """The 64-bit key of every sample, from which its random numbers follow."""


class DescribedDataset:
    """What every data set says about its samples: ids, labels, species, domains, and which modalities are there."""

    read: Callable[..., Samples]

    def __init__(
        self,
        *,
        ids: list[str],
        labels: NDArray[np.int64],
        species: list[str],
        domains: list[str],
        present: NDArray[np.bool_],
    ) -> None:
        counts = {len(ids), len(labels), len(species), len(domains), len(present)}
        if counts != {len(ids)}:
            raise ValueError(f"ids, labels, species, domains and present differ in number: {sorted(counts)}")
        wrong = sorted(set(np.unique(labels).tolist()) - {0, 1})
        if wrong:
            raise ValueError(f"labels are 1 (live) or 0 (spoof), got {wrong[0]}")
        self.ids, self.labels, self.species, self.domains = ids, labels.astype(np.int64), species, domains
        self.present = present  # n x 3
        self.domain = "".join(sorted(set(domains)))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self.read([index % len(self)]).sample(0)

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return sample_keys(self.ids)


class ArrayDataset(DescribedDataset):
    """Samples that are in memory already, as the renderer makes them."""

    def __init__(self, samples: Samples) -> None:
        super().__init__(
            ids=samples.ids,
            labels=samples.label,
            species=samples.species,
            domains=samples.domains,
            present=samples.present,
        )
        for field in fields(samples):
            if len(getattr(samples, field.name)) != len(samples):
                raise ValueError(f"{field.name} holds {len(getattr(samples, field.name))} of {len(samples)} samples")
        self._samples = samples

    @classmethod
    def from_faces(cls, faces: Any, *, domain: str, split: str) -> "ArrayDataset":
        """Synthetic faces (`mmdg_lite.data.synthetic.Faces`) as a data set; ids are `<domain>-<split>-<number>`."""
        count = len(faces.label)
        return cls(
            Samples(
                **{modality.value: np.asarray(getattr(faces, modality.value)) for modality in MODALITIES},
                present=np.ones((count, 3), dtype=bool),
                label=np.asarray(faces.label, dtype=np.int64),
                ids=[f"{domain}-{split}-{number:05d}" for number in range(count)],
                species=list(faces.species),
                domains=[domain] * count,
            )
        )

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Copies of the samples asked for."""
        whole, rows = self._samples, np.asarray(indices, dtype=np.int64)
        return Samples(
            rgb=whole.rgb[rows],
            depth=whole.depth[rows],
            infrared=whole.infrared[rows],
            present=whole.present[rows],
            label=whole.label[rows],
            ids=[whole.ids[row] for row in rows],
            species=[whole.species[row] for row in rows],
            domains=[whole.domains[row] for row in rows],
        )


class ConcatDataset(DescribedDataset):
    """Several data sets one after the other, such as the source domains of a protocol."""

    def __init__(self, parts: Sequence[FaceDataset]) -> None:
        if not parts:
            raise ValueError("no data sets to concatenate")
        super().__init__(
            ids=[name for part in parts for name in part.ids],
            labels=np.concatenate([part.labels for part in parts]),
            species=[name for part in parts for name in part.species],
            domains=[letter for part in parts for letter in part.domains],
            present=np.concatenate([part.present for part in parts]),
        )
        self.parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts])

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Read from every part what is asked of it, in the order asked for. All parts must have one image size."""
        rows = np.asarray(indices, dtype=np.int64)
        owner = np.searchsorted(self._ends, rows, side="right")
        pieces: list[tuple[NDArray[np.int64], Samples]] = []
        for number, part in enumerate(self.parts):
            places = np.flatnonzero(owner == number)
            if len(places):
                pieces.append((places, part.read(rows[places] - (self._ends[number] - len(part)))))
        order = np.argsort(np.concatenate([places for places, _ in pieces]))
        return _reorder([samples for _, samples in pieces], order)


class Subset(DescribedDataset):
    """Some samples of a data set, by their positions."""

    def __init__(self, whole: FaceDataset, indices: Sequence[int] | NDArray[np.int64]) -> None:
        self.whole, self.indices = whole, np.asarray(indices, dtype=np.int64)
        super().__init__(
            ids=[whole.ids[row] for row in self.indices],
            labels=whole.labels[self.indices],
            species=[whole.species[row] for row in self.indices],
            domains=[whole.domains[row] for row in self.indices],
            present=whole.present[self.indices],
        )

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Read from the whole what these positions of the subset stand for."""
        return self.whole.read(self.indices[np.asarray(indices, dtype=np.int64)])


class RandomlyMissing(DescribedDataset):
    """A data set in which some modalities are missing from some samples, chosen at random.

    Each of the `missing` modalities is taken from a sample with probability `rate`: a pure function of `seed` and the
    sample's id. Raises `ValueError` if a sample has none but those (`with_any_left` leaves such samples out).
    """

    def __init__(self, whole: FaceDataset, missing: Sequence[Modality], *, rate: float, seed: int) -> None:
        if with_any_left(whole, missing) is not whole:
            names = ", ".join(modality.value for modality in missing)
            raise ValueError(f"a sample of {whole.domain} has no other modality than {names}")
        self.whole = whole
        taken = [modality in missing for modality in MODALITIES]
        chance = uniforms(whole.keys, seed=seed, epoch=0, first=DROP, draws=len(MODALITIES))  # n x 3
        super().__init__(
            ids=whole.ids,
            labels=whole.labels,
            species=whole.species,
            domains=whole.domains,
            present=whole.present & ~(taken & (chance < rate)),
        )

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Read the samples asked for, without what is missing from them."""
        rows = np.asarray(indices, dtype=np.int64)
        samples, present = self.whole.read(rows), self.present[rows]
        kept = present[..., None, None, None]  # B x 3 x 1 x 1 x 1
        return replace(
            samples,
            rgb=np.where(kept[:, 0], samples.rgb, np.uint8(0)),
            depth=np.where(kept[:, 1], samples.depth, np.uint8(0)),
            infrared=np.where(kept[:, 2], samples.infrared, np.uint8(0)),
            present=present,
        )


def without_species(dataset: FaceDataset, species: str) -> Subset:
    """Everything but one attack species: what protocol P4 trains and validates on."""
    return Subset(dataset, [row for row, name in enumerate(dataset.species) if name != species])


def live_and_species(dataset: FaceDataset, species: str) -> Subset:
    """Live faces and one attack species: what protocol P4 tests on. Raises `ValueError` if it has no such attack."""
    if species not in dataset.species:
        known = ", ".join(sorted(set(dataset.species) - {LIVE}))
        raise ValueError(f"domain {dataset.domain} has no attack of species {species!r}; it has {known}")
    return Subset(dataset, [row for row, name in enumerate(dataset.species) if name in (LIVE, species)])


def with_any_left(dataset: FaceDataset, missing: Sequence[Modality]) -> FaceDataset:
    """The samples that have a modality besides the `missing` ones; the data set itself where all of them have."""
    others = [modality.index for modality in MODALITIES if modality not in missing]
    left = dataset.present[:, others].any(axis=1)
    return dataset if left.all() else Subset(dataset, np.flatnonzero(left))


def _reorder(pieces: list[Samples], order: NDArray[np.int64]) -> Samples:
    """Concatenate stacks and put their samples into another order."""
    shapes = {piece.rgb.shape[1:] for piece in pieces}
    if len(shapes) > 1:
        raise ValueError(f"data sets of different image sizes cannot share a batch: {sorted(shapes)}")
    arrays: dict[str, Any] = {}
    for field in fields(Samples):
        values = [getattr(piece, field.name) for piece in pieces]
        if isinstance(values[0], np.ndarray):
            arrays[field.name] = np.concatenate(values)[order]
        else:
            joined = [value for piece in values for value in piece]
            arrays[field.name] = [joined[place] for place in order]
    return Samples(**arrays)
