"""Which modality's branch a parameter belongs to, and values per modality, in any of the forms that are accepted."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from mmdg_lite.modality import MODALITIES, Modality

Branch = Modality | None
Assignment = Sequence[tuple[nn.Parameter, Branch]]
Branches = Assignment | Sequence[Iterable[nn.Parameter]] | Mapping[Branch, Iterable[nn.Parameter]]
PerModality = Sequence[Tensor | None] | Mapping[Modality, Tensor | None]


def per_modality(values: Sequence | Mapping) -> list:
    """Three values in the usual order, from a sequence or a mapping by `Modality` (absent keys become None)."""
    if isinstance(values, Mapping):
        return [values.get(modality) for modality in MODALITIES]
    if len(values) != len(MODALITIES):
        raise ValueError(f"expected one value per modality ({len(MODALITIES)}), got {len(values)}")
    return list(values)


def as_pairs(branches: Branches) -> list[tuple[nn.Parameter, Branch]]:
    """Any of the accepted forms as (parameter, branch) pairs."""
    if isinstance(branches, Mapping):
        return [(parameter, branch) for branch, group in branches.items() for parameter in group]
    entries = list(branches)
    if entries and isinstance(entries[0], tuple) and len(entries[0]) == 2 and _is_branch(entries[0][1]):
        return entries  # type: ignore[return-value]
    if len(entries) not in (len(MODALITIES), len(MODALITIES) + 1):
        raise ValueError("branches must be (parameter, modality) pairs, or one collection of parameters per modality")
    owners: tuple[Branch, ...] = (*MODALITIES, None)
    return [(parameter, owner) for group, owner in zip(entries, owners, strict=False) for parameter in group]  # type: ignore[misc]


def _is_branch(value: object) -> bool:
    return value is None or isinstance(value, Modality)
