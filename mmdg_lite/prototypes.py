"""Single-side prototypes of MMDG: one centre per class and modality (MMDG paper, eq. 6 and 7)."""

import torch
from torch import Tensor, nn

from mmdg_lite.modality import MODALITIES


class SingleSidePrototypes(nn.Module):
    """Prototypes of live faces (one class, all domains) and of spoofs (one class per source domain), per modality.

    p_m^c is a moving average of the mean feature of modality m over class c. The modality's loss is
    L_m = -log softmax over classes of (-||feature - p_m^c||), the Euclidean distance.

    Args:
        classes: 1 + S: live first, then one per source domain.
        width: of the features.
        momentum: weight of the old prototype in the average; a class's first batch replaces the zeros.
    """

    def __init__(self, classes: int, width: int, *, momentum: float = 0.2) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.register_buffer("centres", torch.zeros(len(MODALITIES), classes, width))
        self.register_buffer("seen", torch.zeros(len(MODALITIES), classes, dtype=torch.bool))
        self.centres: Tensor
        self.seen: Tensor

    @torch.no_grad()
    def update(self, features: Tensor, classes: Tensor, present: Tensor) -> None:
        """Move the prototypes towards the class means of one batch.

        Args:
            features: B x modalities x width.
            classes: B, 0 live, 1..S spoof of a source domain.
            present: B x modalities bools; missing modalities do not count.
        """
        for modality in MODALITIES:
            m = modality.index
            for c in range(self.centres.shape[1]):
                members = present[:, m] & (classes == c)
                if not members.any():
                    continue
                mean = features[members, m].mean(dim=0).to(self.centres.dtype)  # width
                kept = self.momentum if self.seen[m, c] else 0.0
                self.centres[m, c] = kept * self.centres[m, c] + (1 - kept) * mean
                self.seen[m, c] = True

    def logits(self, features: Tensor) -> Tensor:
        """Minus the Euclidean distance to every prototype: B x modalities x width to B x modalities x classes.

        Classes that no sample has been seen of yet get minus infinity and so take no part in the softmax.
        """
        centres = self.centres.to(features.dtype)
        difference = features[:, :, None, :] - centres  # B x modalities x classes x width
        distance = (difference.square().sum(dim=-1) + torch.finfo(features.dtype).tiny).sqrt()
        return (-distance).masked_fill(~self.seen, float("-inf"))  # B x modalities x classes
