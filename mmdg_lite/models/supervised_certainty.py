"""MMDG++ whose certainty is taught: a token's certainty is the probability that its patch is not spoilt. Ours.

In MMDG++ no loss asks anything of certainty: it is detached from the graph, and log-variances are moved by sampling
noise alone. A corruption that training makes itself (`data.spoiling`) has a known place, so certainty can be taught by
it, and can then act where it helps: on the keys, on what a sender says as a whole, and on a modality's share in the
head. It acts detached, so that nothing but its own loss teaches it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from einops import rearrange, reduce
from open_clip import CLIP
from torch import Tensor

from mmdg_lite.adapters import CrossAdapter
from mmdg_lite.attention import CertaintyAttention, Trust
from mmdg_lite.modality import Batch
from mmdg_lite.models.config import CertaintyConfig
from mmdg_lite.models.exchange import of_senders
from mmdg_lite.models.mmdgplusplus import MMDGPlusPlus, NoiseSource
from mmdg_lite.models.outputs import Output
from mmdg_lite.uncertainty import Sampling, certainty

LEAST = 1e-4
"""The least share of a key, beside the most certain one of its sample."""
SHUFFLE_SEED = 0


class SupervisedAttention(CertaintyAttention):
    """Attention of U-Adapter++ with a certainty of each side's tokens that a loss can reach.

    A side's doubt is the expected uncertainty of its queries, u = mean over channels of exp(S q), and its certainty
    exp(-rate u), in training and in evaluation. Queries are chosen and scaled as in MMDG++.

    Args:
        settings: what certainty acts on.
        options: of `CertaintyAttention`.

    `doubts`: None, or a list to which every call adds both sides' doubt, sender's and receiver's, ... x N each.
    """

    def __init__(self, *, settings: CertaintyConfig, **options: Any) -> None:
        super().__init__(**options)
        self.settings = settings
        self.doubts: list[tuple[Tensor, Tensor]] | None = None

    def trust(self, sender: Tensor, receiver: Tensor) -> Trust:
        """Shares of the receiver's keys, and the sender's mean certainty, from log-variances ... x N x d."""
        u_b, u_a = (_expected_uncertainty(side) for side in (sender, receiver))  # ... x N each
        if self.doubts is not None:
            self.doubts.append((u_b, u_a))
        of_sender, of_receiver = (certainty(u.detach(), self.rate) for u in (u_b, u_a))  # ... x N
        keys = message = None
        if self.settings.keys:
            share = of_receiver[..., shuffled(of_receiver.shape[-1])] if self.settings.shuffled else of_receiver
            keys = (share / share.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(share.dtype).tiny)).clamp(min=LEAST)
        if self.settings.message:
            message = reduce(of_receiver if self.settings.shuffled else of_sender, "... n -> ... 1 1", "mean")
        return Trust(keys=keys, message=message)


class SupervisedCertainty(MMDGPlusPlus):
    """MMDG++ with taught certainty.

        L = L_total + weight * BCE(certainty of each token, share of its patch that is not spoilt)

    BCE is a mean over samples, and for each over blocks and over the tokens of both sides of its adapter calls, as far
    as the modalities are there. The class token's target is the share of the whole image that is not spoilt.

    What certainty acts on, each a switch of `CertaintyConfig`:

    * keys: attention's weights are proportional to U_n exp(q k_n), so that it turns away from doubtful tokens;
    * message: what attention gives is multiplied by the mean certainty of the sender's tokens;
    * head: a modality's unit feature is multiplied by the certainty of its class token in the last block, over the mean
      of those that are there.

    The control `shuffled` takes the same certainties from elsewhere: keys from other tokens of the image, in a fixed
    order; a message's from its receiver; a modality's share from the next one that follows it.

    Args:
        clip: open_clip's CLIP; it is frozen here.
        source_domains: names of the S training domains, in the order of the batch's `domain` numbers.
        settings: weight and switches.
        dim, heads, samples, rate, theta, sampling: of the adapters, see `UAdapterPP`.
        options: further ones of `MMDGPlusPlus`.
    """

    def __init__(
        self,
        clip: CLIP,
        source_domains: Sequence[str],
        *,
        settings: CertaintyConfig | None = None,
        dim: int = 8,
        heads: int = 8,
        samples: int = 50,
        rate: float = 2.5,
        theta: float = 0.5,
        sampling: Sampling = "moments",
        **options: Any,
    ) -> None:
        kept = settings or CertaintyConfig()

        def adapter(width: int) -> CrossAdapter:
            attention = SupervisedAttention(
                settings=kept, dim=dim, heads=heads, samples=samples, rate=rate, sampling=sampling
            )
            return CrossAdapter(width, dim=dim, heads=heads, theta=theta, attention=attention)

        super().__init__(clip, source_domains, adapters=adapter, **options)
        self.settings, self.rate = kept, rate
        self._doubts: list[tuple[Tensor, Tensor]] = []

    def forward(self, batch: Batch, *, noise: NoiseSource | None = None) -> Output:
        """As MMDG++'s; what every block doubts stays until the next forward pass, for the head and for the loss."""
        self._doubts = []
        parts = [part for part in self.adapters.modules() if isinstance(part, SupervisedAttention)]
        try:
            for part in parts:
                part.doubts = self._doubts
            return super().forward(batch, noise=noise)
        finally:  # blocks that are computed again in backward passes add nothing
            for part in parts:
                part.doubts = None

    def decide(self, unit: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Logits B x 2 of the head, each modality with its share."""
        if self.settings.head:
            own = self.class_certainty()  # B x 3
            share = own.roll(1, dims=1) if self.settings.shuffled else own
            there = torch.where(present, share, torch.zeros_like(share))
            mean = there.sum(dim=1, keepdim=True) / present.sum(dim=1, keepdim=True).clamp(min=1)
            unit = unit * (there / mean.clamp(min=torch.finfo(mean.dtype).tiny))[..., None].to(unit.dtype)
        return super().decide(unit, tokens, present)

    def class_certainty(self) -> Tensor:
        """Certainty of each modality's class token in the last block of the last forward pass, B x 3, detached."""
        _, of_receiver = self._doubts[-1]  # 3 x 2 x B x N, the same beside both senders
        return certainty(rearrange(of_receiver[:, 0, :, 0], "m b -> b m").detach(), self.rate)

    def patch_certainties(self) -> list[Tensor]:
        """Certainty of each modality's own patches in the last forward pass: a tensor B x 3 x P per block, detached."""
        return [
            certainty(rearrange(of_receiver[:, 0, :, 1:], "m b p -> b m p").detach(), self.rate)
            for _, of_receiver in self._doubts
        ]

    def extra_loss(self, output: Output, batch: Batch) -> Tensor | None:
        """The weighted loss of certainty, a scalar; None for a batch that nothing is known of (no key `spoilt`)."""
        if self.settings.weight == 0 or "spoilt" not in batch:
            return None
        intact = intact_share(batch["spoilt"], tokens=self._doubts[-1][1].shape[-1])  # B x 3 x N
        present = output.present.to(intact.dtype)  # B x 3
        both = of_senders(present) * present[..., None]  # B x 3 x 2
        sent_intact = of_senders(intact)  # B x 3 x 2 x N
        losses = []
        for of_sender, of_receiver in self._doubts:
            own = self._error(rearrange(of_receiver[:, 0], "m b n -> b m n"), intact)  # B x 3
            sent = self._error(rearrange(of_sender, "m s b n -> b m s n"), sent_intact)  # B x 3 x 2
            total = (own * present).sum(dim=1) + (sent * both).sum(dim=(1, 2))
            losses.append((total / (present.sum(dim=1) + both.sum(dim=(1, 2)))).mean())
        return self.settings.weight * torch.stack(losses).mean()

    def _error(self, doubt: Tensor, intact: Tensor) -> Tensor:
        """Cross-entropy of certainties exp(-rate u) for shares of intact pixels, ... x N each, mean over tokens."""
        x = (self.rate * doubt).clamp(min=1e-6, max=1e3)  # -log certainty
        return (intact * x - (1 - intact) * torch.log(-torch.expm1(-x))).mean(dim=-1)


def intact_share(spoilt: Tensor, *, tokens: int) -> Tensor:
    """Share of each token's pixels that is not spoilt: B x 3 x H x W bools to B x 3 x tokens, float32.

    The class token comes first and stands for the whole image; the others are a square of patches.
    """
    grid = round((tokens - 1) ** 0.5)
    patches = reduce((~spoilt).float(), "b m (h p) (w q) -> b m (h w)", "mean", h=grid, w=grid)
    return torch.cat([patches.mean(dim=-1, keepdim=True), patches], dim=-1)


@lru_cache
def shuffled(tokens: int) -> Tensor:
    """The order in which the control takes tokens: the class token stays, the patches change places, always alike."""
    generator = torch.Generator().manual_seed(SHUFFLE_SEED)
    return torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(tokens - 1, generator=generator)])


def _expected_uncertainty(log_variance: Tensor) -> Tensor:
    """Variance of the queries averaged over channels, ... x N x d to ... x N, in float32 at least."""
    precise = torch.promote_types(log_variance.dtype, torch.float32)
    return log_variance.to(precise).exp().mean(dim=-1)
