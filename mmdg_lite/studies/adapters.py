"""What the adapters of a trained MMDG++ do: certainty under corruption, and attention under certainty.

Measurements for notebooks 02 and 03. All are made in evaluation mode, where certainty is deterministic.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
import torch
from einops import rearrange, reduce
from numpy.typing import NDArray
from scipy.stats import sem
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.data.corruption import CORRUPTIONS, corrupt, patch_share, random_rectangles
from mmdg_lite.data.synthetic import Faces
from mmdg_lite.metrics import stratified_resamples
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.builder import MMDGPlusPlus
from mmdg_lite.models.clip import describe, normalise
from mmdg_lite.runs.scores import Scores
from mmdg_lite.speed.quick_gelu import quick_gelu
from mmdg_lite.studies.quickstart import Answer, Quickstart


def token_certainty(answer: Answer, modality: Modality) -> NDArray[np.float64]:
    """Certainty of every patch of a receiving modality in the last block, mean over its senders: n x P, in [0, 1]."""
    last = answer.output.patch_certainty()[:, modality.index]  # n x 2 senders x P
    return cast(NDArray[np.float64], reduce(last, "n s p -> n p", "mean").cpu().double().numpy())


def corruption_auc(
    shipped: Quickstart, faces: Faces, *, seed: int, kinds: Sequence[str] = CORRUPTIONS
) -> tuple[pd.DataFrame, dict[tuple[str, str], Faces]]:
    """Does certainty fall where a sensor is spoilt?

    In every face one random rectangle of one modality is spoilt. AUC: how often a spoilt patch (at least half of it in
    the rectangle) is less certain than an untouched one (none of it) of the same face; mean over faces. 0.5 is chance,
    below it certainty rises.

    Args:
        shipped: the model to ask.
        faces: at least two.
        seed: of the rectangles, the same for every row, and of the noise.
        kinds: some of `data.corruption.CORRUPTIONS`.

    Returns:
        A row per modality and kind: `auc`; `auc_untouched`, the same tokens' AUC in the images before they were spoilt
        (what position alone does); `margin`, half of the 95 % interval of their difference (normal, over faces);
        `change_inside` and `change_outside`, mean change of certainty in both kinds of patches. And the spoilt faces by
        (modality's value, kind).

    Raises:
        ValueError: fewer than two faces, or a model that is no MMDG++.
    """
    if len(faces) < 2:
        raise ValueError(f"an interval over faces needs at least two faces, got {len(faces)}")
    size = faces.rgb.shape[-1]
    regions = random_rectangles(len(faces), size, np.random.default_rng(seed))  # n x H x W
    share = patch_share(regions, describe(_model(shipped).clip).patch_size)  # n x P
    spoilt, untouched = share >= 0.5, share == 0
    before = shipped.answer(faces)
    rows, made = [], {}
    for modality in MODALITIES:
        clean = token_certainty(before, modality)
        for kind in kinds:
            changed, _ = corrupt(faces, modality, regions, kind, np.random.default_rng([seed, 1 + modality.index]))
            after = token_certainty(shipped.answer(changed), modality)
            made[modality.value, kind] = changed
            auc, control = _auc_per_face(after, spoilt, untouched), _auc_per_face(clean, spoilt, untouched)
            rows.append(
                {
                    "modality": modality.title,
                    "kind": kind,
                    "auc": float(auc.mean()),
                    "auc_untouched": float(control.mean()),
                    "margin": float(1.96 * sem(auc - control)),
                    "change_inside": float((after - clean)[spoilt].mean()),
                    "change_outside": float((after - clean)[untouched].mean()),
                }
            )
    return pd.DataFrame(rows), made


@torch.inference_mode()
def attention_entropy(shipped: Quickstart, faces: Faces) -> pd.DataFrame:
    """Entropy of every token's attention in every block and pair, with its certainty.

    Columns: layer, receiver, sender, certainty U in [0, 1], `entropy` in nats (mean over heads; the uniform has log N),
    `entropy_unscaled`: the same query's with certainty 1.
    """
    model = _model(shipped)
    seen: list[Tensor] = []
    blocks = model.clip.visual.transformer.resblocks
    hooks = [block.ln_2.register_forward_hook(lambda _module, _inputs, h: seen.append(h)) for block in blocks]
    try:
        model({m.value: normalise(faces[m.value], shipped.device) for m in MODALITIES})
    finally:
        for hook in hooks:
            hook.remove()
    frames = []
    for layer, h in enumerate(seen):
        tokens = h.chunk(len(MODALITIES))  # each B x N x C
        for receiver in MODALITIES:
            adapter = _adapter(model, receiver, layer)
            for sender in receiver.others:
                certainty, scaled, unscaled = _entropies(adapter, tokens[receiver.index], tokens[sender.index])
                columns = {"certainty": certainty, "entropy": scaled, "entropy_unscaled": unscaled}
                frame = pd.DataFrame({name: column.flatten().cpu().numpy() for name, column in columns.items()})
                frames.append(frame.assign(layer=layer, receiver=receiver.title, sender=sender.title))
    return pd.concat(frames, ignore_index=True)


def changed_model(shipped: Quickstart, change: Callable[[CrossAdapter, Modality], None]) -> Quickstart:
    """A copy of the shipped model in which `change` was made to every adapter (given with its receiving modality)."""
    model = copy.deepcopy(_model(shipped))
    for modality in MODALITIES:
        for adapter in cast(nn.ModuleList, model.adapters[modality.value]):
            change(cast(CrossAdapter, adapter), modality)
    return replace(shipped, model=model)


def paired_change(
    changed: Scores, reference: Scores, *, threshold: float, rounds: int = 300, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """By how much AUC and HTER of two models on the same faces differ, changed - reference, in percentage points.

    The interval is a paired bootstrap: live faces and attacks are redrawn separately, the same ones for both models.

    Args:
        changed, reference: scores of the same faces in the same order.
        threshold: where both decide.
        rounds: how often faces are redrawn.
        seed: of the draws.

    Returns:
        Difference, lower and upper bound of its 95 % interval, by "AUC" and "HTER".

    Raises:
        ValueError: the two are of different faces.
    """
    if changed.ids != reference.ids:
        raise ValueError("a paired difference needs scores of the same faces in the same order")
    whole = np.arange(len(reference.labels))
    draws = stratified_resamples(reference.labels, samples=rounds, rng=np.random.default_rng(seed))
    found = {}
    for metric in ("AUC", "HTER"):
        first, second = ([_percent(metric, s, d, threshold) for d in (whole, *draws)] for s in (changed, reference))
        difference, *redrawn = np.subtract(first, second)
        low, high = np.quantile(redrawn, [0.025, 0.975])
        found[metric] = (float(difference), float(low), float(high))
    return found


def _percent(metric: str, scores: Scores, drawn: NDArray[np.int64], threshold: float) -> float:
    """AUC or HTER at a threshold, in percent, of some of the faces, repeated or not."""
    values, labels = scores.scores[drawn], scores.labels[drawn]
    if metric == "AUC":
        return 100 * float(roc_auc_score(labels, values))
    wrong = (values >= threshold) != (labels == 1)
    return 50 * float(wrong[labels == 0].mean() + wrong[labels == 1].mean())


def _auc_per_face(
    certainty: NDArray[np.float64], spoilt: NDArray[np.bool_], untouched: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How often a spoilt patch is less certain than an untouched one, n; all arguments n x P."""
    counted = spoilt | untouched
    faces = zip(certainty, spoilt, counted, strict=True)
    return np.array([roc_auc_score(truth[use], -values[use]) for values, truth, use in faces])


def _model(shipped: Quickstart) -> MMDGPlusPlus:
    if not isinstance(shipped.model, MMDGPlusPlus):
        raise ValueError(f"adapters are studied in an MMDG++, not in {type(shipped.model).__name__}")
    return shipped.model


def _adapter(model: MMDGPlusPlus, receiver: Modality, layer: int) -> CrossAdapter:
    return cast(CrossAdapter, cast(nn.ModuleList, model.adapters[receiver.value])[layer])


def _entropies(adapter: CrossAdapter, receiver: Tensor, sender: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of B x N x C tokens: certainty, entropy with it and without it, each B x N."""
    part = adapter.attention
    if not isinstance(part, CertaintyAttention):
        raise ValueError("these adapters have no certainty: choose a model with adapters='uncertainty'")
    a = adapter.norm_receiver(quick_gelu(adapter.down_receiver(receiver)))  # B x N x d
    b = adapter.norm_sender(quick_gelu(adapter.down_sender(sender)))
    query_b, query_a = part.query_sender(b), part.query_receiver(a)
    query, certainty = part.choose(
        (part.mean_sender(query_b), part.log_variance_sender(query_b)),
        (part.mean_receiver(query_a), part.log_variance_receiver(query_a)),
    )  # B x N x d, already scaled; B x N x 1
    q, k = (rearrange(x, "b n (h e) -> b h n e", h=part.heads) for x in (query, part.key(a)))
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # B x heads x N x N
    unscaled = logits / certainty.clamp(min=torch.finfo(certainty.dtype).tiny)[:, None]
    return certainty[..., 0], _entropy(logits), _entropy(unscaled)


def _entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the softmax over the last axis, mean over heads: B x heads x N x N to B x N."""
    of_rows = torch.distributions.Categorical(logits=logits).entropy()  # B x heads x N
    return reduce(of_rows, "b h n -> b n", "mean")
