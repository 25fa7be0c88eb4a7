"""SA-FAS (Sun et al., "Rethinking Domain Generalization for Face Anti-Spoofing: Separability and Alignment", CVPR 2023,
arXiv 2303.13662).

Domains may separate; the direction from spoof to live has to agree between them. Ours is a peer of MMDG++ on its frozen
trunk (see PEERS.md), not the paper's network.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Batch, second_view
from mmdg_lite.models.outputs import Output
from mmdg_lite.models.peer import Peer, joined, mean_where
from mmdg_lite.models.peer_losses import precise, supervised_contrastive


class SAFAS(Peer):
    """Plain fusion with a classifier per source domain, whose directions are drawn together.

        L = mean over domains d of BCE(w_d . z, y over the samples of d) + 0.1 SupCon(z of two views; classes (d, y))

    After every step, from one fifth of training on, the directions are aligned (see `aligned`). The score is the mean
    of the S probabilities sigmoid(w_d . z). Options: see `Peer`.
    """

    def __init__(self, clip: CLIP, source_domains: Sequence[str], **options: Any) -> None:
        super().__init__(clip, source_domains, **options)
        self.head_weight = 0  # the cross-entropy of the mean probability is not trained
        self.head = nn.Linear(len(MODALITIES) * self.embed_dim, len(self.source_domains), bias=False)

    def decide(self, unit: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Logarithms B x 2 of the mean probabilities of spoof and live."""
        logits = precise(self.head(joined(unit)))  # B x S
        both = torch.stack([functional.logsigmoid(-logits), functional.logsigmoid(logits)], dim=1)  # B x 2 x S
        return both.logsumexp(dim=-1) - math.log(len(self.source_domains))

    def extra_loss(self, output: Output, batch: Batch) -> Tensor:
        """L, a scalar."""
        label, domain = batch["label"], batch["domain"]
        first, second = joined(output.features), joined(self(second_view(batch)).features)  # each B x (3 D)
        groups = (2 * domain + label).repeat(2)  # 2 B
        apart = supervised_contrastive(torch.cat([first, second]), groups, temperature=self.settings.temperature)
        return domain_loss(self.head(first), label, domain) + self.settings.contrast_weight * apart

    def after_step(self) -> None:
        """Align the classifiers' directions, once that share of training is over."""
        if self.progress >= self.settings.alignment_start:
            weight = self.head.get_parameter("weight")
            weight.copy_(aligned(weight, self.settings.alignment_step))


def domain_loss(logits: Tensor, label: Tensor, domain: Tensor) -> Tensor:
    """Mean over the batch's domains d of the mean BCE of their samples by the classifier of d.

    `logits`: B x S, of live; `label`, `domain`: B.
    """
    own = precise(logits).gather(1, domain[:, None])[:, 0]  # B
    each = functional.binary_cross_entropy_with_logits(own, label.to(own.dtype), reduction="none")
    return torch.stack([mean_where(each, domain == d) for d in domain.unique()]).mean()


def aligned(weights: Tensor, step: float) -> Tensor:
    """Each row w_d of S x D turned a little towards the one that it agrees with least; its length stays.

    b_d = w_d / |w_d|; j minimises b_d . b_j; w_d becomes |w_d| normalise((1 - step) b_d + step b_j).
    """
    directions = functional.normalize(weights, dim=-1)  # over features
    farthest = (directions @ directions.mT).argmin(dim=-1)  # S
    turned = functional.normalize((1 - step) * directions + step * directions[farthest], dim=-1)
    return weights.norm(dim=-1, keepdim=True) * turned
