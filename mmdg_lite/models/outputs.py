"""A model's output for a batch, and the losses that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Batch


@dataclass(frozen=True)
class Output:
    """Result of a forward pass; modalities in the order RGB, depth, infrared.

    logits: B x 2, spoof and live, of the head over all modalities.
    modality_logits: B x 3 x classes, class 0 live, the others spoof; one classifier per modality. None for a
        method that classifies all modalities together only: it has no modality losses.
    features: B x 3 x D, projected features before normalisation; zero where the modality is missing.
    certainty: B x 3 in [0, 1], certainty of each modality's class token in the last block; zero where it is missing.
    token_certainty: one tensor per block, B x 3 receivers x 2 senders x N (senders in the usual order); empty for
        models without adapters.
    present: B x 3 bools.
    separate_logits: `modality_logits` as one tensor B x classes per modality. What goes back from one of them passes
        its own classifier only, where from the joined tensor it would take zeros through the others'.
    """

    logits: Tensor
    modality_logits: Tensor | None
    features: Tensor
    certainty: Tensor
    token_certainty: tuple[Tensor, ...]
    present: Tensor
    separate_logits: Sequence[Tensor] | None = None

    def score(self) -> Tensor:
        """P(live) by the head, B, in [0, 1]."""
        return self.logits.float().softmax(dim=-1)[:, 1]

    def modality_scores(self) -> Tensor:
        """P(live) by each modality's classifier, B x 3: live against the closest spoof.

        NaN where the modality is missing, and everywhere if the method has no modality classifiers.
        """
        if self.modality_logits is None:
            return torch.full_like(self.present, torch.nan, dtype=torch.float32)
        logits = self.modality_logits.float()
        margin = logits[..., 0] - logits[..., 1:].amax(dim=-1)  # B x 3
        return margin.sigmoid().masked_fill(~self.present, torch.nan)

    def text_score(self) -> Tensor:
        """P(live) by the modality classifiers, B: mean of `modality_scores` over present modalities.

        NaN if the method has no modality classifiers.
        """
        scores = self.modality_scores()
        probability = torch.where(self.present, scores, torch.zeros_like(scores))
        return probability.sum(dim=-1) / self.present.sum(dim=-1).clamp(min=1)

    def patch_certainty(self) -> Tensor:
        """Certainty of the patches in the last block: B x 3 receivers x 2 senders x P, in [0, 1].

        Raises `ValueError` if the model has no adapters, and so no certainty of tokens.
        """
        if not self.token_certainty:
            raise ValueError("this model has no adapters between its modalities, and so no certainty of patches")
        return self.token_certainty[-1][..., 1:]  # the class token comes first

    def mean_certainty(self) -> list[Tensor]:
        """U_R, U_D, U_I: certainty averaged over the samples that have the modality (0 if none has); three scalars."""
        total = torch.where(self.present, self.certainty, torch.zeros_like(self.certainty)).sum(dim=0)  # 3
        return list((total / self.present.sum(dim=0).clamp(min=1)).unbind())


@dataclass(frozen=True)
class Losses:
    """Losses of one batch.

    total: the head's cross-entropy, and whatever training adds to it.
    modalities: cross-entropy of each modality's classifier; None where no sample has the modality, or the method has no
        modality classifiers.
    """

    total: Tensor
    modalities: tuple[Tensor | None, Tensor | None, Tensor | None]

    def weighted(self, weight: float) -> list[Tensor | None]:
        """The modality losses times a weight."""
        return [None if loss is None else weight * loss for loss in self.modalities]


def class_targets(label: Tensor, domain: Tensor, classes: int, *, check: bool = True) -> Tensor:
    """Class of each sample for the modality classifiers: 0 live, else 1 + source domain (1 if spoof is one class).

    `check`: see that every class exists, for which the device has to be waited for.

    Raises:
        ValueError: a spoof sample whose domain has no class.
    """
    if classes == 2:
        return 1 - label
    target = torch.where(label == 1, torch.zeros_like(domain), 1 + domain)
    wrong = (target < 0) | (target >= classes) | ((label == 0) & (target == 0))
    if check and bool(wrong.any()):
        raise ValueError(f"domains must be positions among the {classes - 1} source domains, got {domain.tolist()}")
    return target


def losses(output: Output, batch: Batch, *, static: bool = False) -> Losses:
    """Losses of one batch (MMDG++, L_total and L_m): each modality's is averaged over the samples that have it.

    `static`: the same operations whatever the batch holds, without checks, and without waiting for the device; each
    modality must be there in some sample.
    """
    label, head = batch["label"], functional.cross_entropy(_precise(output.logits), batch["label"])
    if output.modality_logits is None:
        return Losses(head, (None, None, None))
    classes = output.modality_logits.shape[-1]
    target = class_targets(label, batch["domain"], classes, check=not static)  # B
    separate = output.separate_logits or output.modality_logits.unbind(dim=1)
    per_modality: list[Tensor | None] = []
    for m in range(len(MODALITIES)):
        members = output.present[:, m]
        if static:
            each = functional.cross_entropy(_precise(separate[m]), target, reduction="none")  # B
            per_modality.append(torch.where(members, each, torch.zeros_like(each)).sum() / members.sum())
        elif bool(members.any()):
            per_modality.append(functional.cross_entropy(_precise(separate[m][members]), target[members]))
        else:
            per_modality.append(None)
    r, d, i = per_modality
    return Losses(head, (r, d, i))


def _precise(logits: Tensor) -> Tensor:
    """In float32 at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
