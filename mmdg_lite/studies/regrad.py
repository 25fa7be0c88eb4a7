"""A trained model, watched: what ReGrad and the other rules would be given, and what they would do with it.

Measurements for notebook 04.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmdg_lite.data.dataset import FaceDataset
from mmdg_lite.data.loader import loader
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.outputs import losses
from mmdg_lite.regrad.balancing import BalancingRule, Moment
from mmdg_lite.regrad.effects import TITLES, Effect, available, effect
from mmdg_lite.regrad.rule import is_shared, quotient
from mmdg_lite.regrad.step import ReGrad
from mmdg_lite.training.evaluation import to_device

CERTAIN = "ReGrad, certainty 1"
"""ReGrad where every certainty is 1, beside the rules by their titles."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a rule is given in one step: Gram matrices (T x 3 x 3) by branch, and the moment."""

    grams: Mapping[int, Tensor]
    moment: Moment


def gradient_snapshots(
    model: MultimodalModel,
    dataset: FaceDataset,
    *,
    source_domains: Sequence[str],
    seed: int,
    number: int = 4,
    batch_size: int = 24,
    progress: bool = True,
) -> tuple[Snapshot, ...]:
    """What a rule would be given if a model's training went on: `number` shuffled batches at its present parameters.

    The model is asked in training mode, with random numbers from `seed`, and left as it was: nothing is learned.
    """
    mode, generator = model.training, model.generator
    device = next(model.parameters()).device
    snapshots: list[Snapshot] = []
    balance = ReGrad(rule="none", watch=lambda _, grams, moment: snapshots.append(Snapshot(grams=grams, moment=moment)))
    source = loader(
        dataset,
        batch_size=batch_size,
        seed=seed,
        epoch=0,
        augment=None,
        source_domains=source_domains,
        shuffle=True,
    )
    model.train()
    model.generator = torch.Generator(device).manual_seed(seed)
    for batch in tqdm(islice(source, number), total=number, desc="gradients", disable=not progress):
        on_device = to_device(dict(batch), device)
        output = model(on_device)
        made = losses(output, on_device)
        weighted = made.weighted(model.modality_weight)
        balance.step(weighted, made.total, model.branches(), output.mean_certainty())
    model.zero_grad()
    model.train(mode)
    model.generator = generator
    return tuple(snapshots)


def pairs(snapshots: Sequence[Snapshot]) -> pd.DataFrame:
    """The gradients of the other modalities beside a branch's own, over the branch's shared parameters.

    A row per step, branch and other modality: `ratio`, the length of the other's gradient divided by that of the
    branch's own; `conflicts`, the share of parameter tensors in which the two have a negative product, among those
    where it is not zero; `dominant`, the share of tensors in which the other's gradient is the longer one.
    """
    rows = []
    for step, snapshot in enumerate(snapshots, start=1):
        for m in MODALITIES:
            if m.index not in snapshot.grams:
                continue
            gram = snapshot.grams[m.index]
            gram = gram[is_shared(gram)]  # T x 3 x 3
            own = gram[:, m.index, m.index]  # T
            for other in m.others:
                theirs, products = gram[:, other.index, other.index], gram[:, m.index, other.index]
                row = {
                    "ratio": quotient(theirs.sum(), own.sum()).sqrt(),
                    "conflicts": quotient((products < 0).sum().double(), (products != 0).sum().double()),
                    "dominant": (theirs > own).double().mean(),
                }
                where = {"step": step, "branch": m.value, "other": other.value}
                rows.append(where | {name: float(value) for name, value in row.items()})
    return pd.DataFrame(rows)


def effects(
    snapshots: Sequence[Snapshot], *, rules: Sequence[BalancingRule] | None = None, progress: bool = True
) -> pd.DataFrame:
    """Every rule's direction from the very same gradients, step by step; and ReGrad's with every certainty 1.

    A row per step and rule (its title): `length`, `to_plain`, `against`, `cosine_rgb` and so on, `raises_rgb` and so
    on (see `regrad.effects.Effect`), and `raised`, how many of the losses a small step would raise. Steps in which no
    parameter is shared (the first of a training, before anything crosses between modalities) are left out.
    """
    rows = []
    for step, snapshot in enumerate(tqdm(snapshots, desc="rules", disable=not progress), start=1):
        if not any(bool(is_shared(gram).any()) for gram in snapshot.grams.values()):
            continue
        found = {TITLES[r]: effect(snapshot.grams, r, snapshot.moment) for r in rules or available()}
        sure = replace(snapshot.moment, certainty=[1.0] * len(MODALITIES))
        found[CERTAIN] = effect(snapshot.grams, "regrad", sure)
        rows += [{"step": step, "rule": name} | _row(one) for name, one in found.items()]
    return pd.DataFrame(rows)


def by_rule(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `effects` over its steps, a row per rule; for each loss, the share of steps in which it would rise."""
    return table.drop(columns="step").groupby("rule", sort=False).mean()


def _row(one: Effect) -> dict[str, float]:
    row = {"length": one.length, "to_plain": one.to_plain, "against": one.against, "raised": float(one.raised.sum())}
    row |= {f"cosine_{m.value}": float(one.cosines[m.index]) for m in MODALITIES}
    return row | {f"raises_{m.value}": float(one.raised[m.index]) for m in MODALITIES}
