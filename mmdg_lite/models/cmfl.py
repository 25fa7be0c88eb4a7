"""CMFL (George and Marcel, "Cross Modal Focal Loss for RGBD Face Anti-Spoofing", CVPR 2021, arXiv 2103.00948).

A modality's loss is weakened where another modality is already sure of an attack, so that nobody has to learn what it
cannot see. Ours is a peer of MMDG++ on its frozen trunk (see PEERS.md), not the paper's network of two branches.
"""

from collections.abc import Sequence
from typing import Any

import torch
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Batch, Modality
from mmdg_lite.models.outputs import Output
from mmdg_lite.models.peer import Peer
from mmdg_lite.models.peer_losses import precise


class CMFL(Peer):
    """Plain fusion with a head per modality under the cross-modal focal loss. For each sample:

        L = 0.5 CE(head(z), y) + 0.5 sum over its modalities m of CMFL_m

    CMFL_m: the mean over the other modalities that the sample has of `cross_modal_focal`; the plain cross-entropy if it
    has no other. Options: see `Peer`.
    """

    def __init__(self, clip: CLIP, source_domains: Sequence[str], **options: Any) -> None:
        super().__init__(clip, source_domains, **options)
        self.head_weight = 1 - self.settings.branch_weight
        self.heads = nn.ModuleDict({modality.value: nn.Linear(self.embed_dim, 2) for modality in MODALITIES})

    def branches(self) -> list[tuple[nn.Parameter, Modality | None]]:
        """Those of `Peer`, the modalities' own heads to their modalities."""
        owners = {id(p): m for m in MODALITIES for p in self.heads[m.value].parameters()}
        return [(parameter, owners.get(id(parameter), branch)) for parameter, branch in super().branches()]

    def extra_loss(self, output: Output, batch: Batch) -> Tensor:
        """The weighted sum of CMFL_m, averaged over samples; a scalar."""
        label, unit = batch["label"], functional.normalize(output.features, dim=-1)  # B, B x 3 x D
        logits = torch.stack([self.heads[m.value](unit[:, m.index]) for m in MODALITIES], dim=1)  # B x 3 x 2
        log_truth = precise(logits).log_softmax(dim=-1)[torch.arange(len(label), device=label.device), :, label]
        losses = branch_losses(log_truth, output.present, label == 0, focus=self.settings.focus)  # B x 3
        return self.settings.branch_weight * losses.sum(dim=1).mean()


def branch_losses(log_truth: Tensor, present: Tensor, attack: Tensor, *, focus: float) -> Tensor:
    """CMFL_m of each sample and modality, B x 3, zero where the modality is missing.

    Args:
        log_truth: log p_t, the logarithm of each modality's probability of the true class, B x 3.
        present: B x 3 bools.
        attack: B bools.
        focus: the exponent gamma.
    """
    losses = []
    for modality in MODALITIES:
        own, others = log_truth[:, modality.index, None], [other.index for other in modality.others]
        against = cross_modal_focal(own, log_truth[:, others], attack[:, None], focus=focus)  # B x 2
        there = present[:, others]  # B x 2
        mean = torch.where(there, against, 0).sum(dim=1) / there.sum(dim=1).clamp(min=1)
        losses.append(torch.where(there.any(dim=1), mean, -own[:, 0]))
    return torch.where(present, torch.stack(losses, dim=1), 0)


def cross_modal_focal(log_p: Tensor, log_q: Tensor, attack: Tensor, *, focus: float) -> Tensor:
    """CMFL(p, q) = -(1 - w)^gamma log p_t, w = q_t * 2 p_t q_t / (p_t + q_t) for attacks, 0 for live faces.

    `log_p`, `log_q`: logarithms of the own and of the other modality's probability of the true class; `attack`: bools;
    `focus`: gamma. All are broadcast together, which is the result's shape.
    """
    p, q = log_p.exp(), log_q.exp()
    harmonic = 2 * p * q / (p + q).clamp(min=torch.finfo(p.dtype).tiny)
    w = torch.where(attack, q * harmonic, 0)
    return -((1 - w) ** focus) * log_p
