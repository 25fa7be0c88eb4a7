"""SSDG (Jia et al., "Single-Side Domain Generalization for Face Anti-Spoofing", CVPR 2020, arXiv 2004.14043).

Live faces of all domains are made indistinguishable; spoofs are kept apart domain by domain. Ours is a peer of MMDG++
on its frozen trunk (see PEERS.md), not the paper's network.
"""

from collections.abc import Sequence
from typing import Any

from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Batch
from mmdg_lite.models.outputs import Output, class_targets
from mmdg_lite.models.peer import Peer, joined, mean_where
from mmdg_lite.models.peer_losses import precise, reversal_factor, reverse_gradient, triplet
from mmdg_lite.uncertainty import SeededDropout


class SSDG(Peer):
    """Plain fusion with a triplet loss and an adversary.

        L = CE(head(z), y) + 2.0 Triplet(z; classes c, margin 0.1) + 0.1 CE(D(GRL(z_live)), d)

    z: the joined features as one unit vector. The head has no bias, its two weight vectors are normalised too, each
    over the features, and the cosines that it gives are multiplied by CLIP's own scale. c: 0 for live, 1 + d for a
    spoof of domain d. D: linear, ReLU, dropout 0.5, linear; it guesses the domain of live faces. GRL: reverses the
    gradient, by a factor that grows from 0 to 1. Batches are balanced. Options: see `Peer`.
    """

    def __init__(self, clip: CLIP, source_domains: Sequence[str], **options: Any) -> None:
        super().__init__(clip, source_domains, **options)
        width, hidden = len(MODALITIES) * self.embed_dim, self.embed_dim
        self.head = nn.Linear(width, 2, bias=False)
        self.dropout = SeededDropout(0.5)
        self.adversary = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), self.dropout, nn.Linear(hidden, len(self.source_domains))
        )

    def decide(self, unit: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Logits B x 2 of the head from z."""
        weight = functional.normalize(self.head.get_parameter("weight"), dim=-1)  # 2 x (3 D)
        return self.clip.logit_scale.exp() * functional.linear(direction(unit), weight)

    def extra_loss(self, output: Output, batch: Batch) -> Tensor:
        """Triplet loss and adversary's loss, weighted; a scalar."""
        label, domain, settings = batch["label"], batch["domain"], self.settings
        z = direction(output.features)  # B x (3 D)
        classes = class_targets(label, domain, 1 + len(self.source_domains))
        apart = triplet(z, classes, margin=settings.margin)
        return settings.triplet_weight * apart + settings.adversary_weight * self.adversarial(z, label, domain)

    def adversarial(self, z: Tensor, label: Tensor, domain: Tensor) -> Tensor:
        """Mean over live faces of CE(D(GRL(z)), d); z B x (3 D), label and domain B."""
        self.dropout.generator = self.generator
        guessed = self.adversary(reverse_gradient(z, reversal_factor(self.progress))[:, None])[:, 0]  # B x S
        return mean_where(functional.cross_entropy(precise(guessed), domain, reduction="none"), label == 1)


def direction(features: Tensor) -> Tensor:
    """The joined features B x 3 x D as one unit vector, B x (3 D), however many modalities there are."""
    return functional.normalize(precise(joined(features)), dim=-1)
