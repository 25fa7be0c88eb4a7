"""FLIP (Srivatsan et al., "FLIP: Cross-domain Face Anti-spoofing with Language Guidance", ICCV 2023, arXiv 2309.16649).

A face is live if it resembles what CLIP's text side says of live faces. Ours is a peer of MMDG++ on its frozen trunk
(see PEERS.md); the paper trains all of CLIP.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Batch, second_view
from mmdg_lite.models.clip import encode_text, tokenize
from mmdg_lite.models.outputs import Output
from mmdg_lite.models.peer import Peer, joined
from mmdg_lite.models.peer_losses import precise, simclr

SPOOF_PROMPTS = (
    "a fake human face",
    "a presentation attack",
    "a spoof face",
    "a picture of a replayed face",
    "a false face of plastic",
    "an imitation of a face",
)
LIVE_PROMPTS = (
    "a real human face",
    "the face of a live person",
    "a bona fide face",
    "a picture of a genuine person",
    "a true face of skin",
    "a genuine face",
)
"""Our wording, in words that the tiny CLIP was trained on; the paper also has six of each."""


class FLIP(Peer):
    """FLIP-IT: classification by CLIP's similarity to the mean embeddings of six live and six spoof prompts.

        L = CE(scale * mean over present modalities m of cos(z_m, t_y)),   scale: CLIP's own, frozen

    Args:
        clip, source_domains, options: see `Peer`.
        token_ids: own prompts as token ids, 2 (spoof, live) x prompts x length.
    """

    def __init__(
        self, clip: CLIP, source_domains: Sequence[str], *, token_ids: Tensor | None = None, **options: Any
    ) -> None:
        super().__init__(clip, source_domains, adapters="none", **options)
        self.head = nn.Identity()  # nothing but similarities decides
        if token_ids is None:
            token_ids = torch.stack([tokenize(list(p), clip.context_length) for p in (SPOOF_PROMPTS, LIVE_PROMPTS)])
        with torch.no_grad():
            encoded = encode_text(clip, rearrange(token_ids, "c t l -> (c t) l"))  # (2 t) x D
        self.register_buffer("prompts_encoded", rearrange(encoded, "(c t) d -> c t d", c=2), persistent=False)
        self.prompts_encoded: Tensor

    def decide(self, unit: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Logits B x 2, spoof and live."""
        texts = self.prompts_encoded.mean(dim=1)  # 2 x D
        return self.clip.logit_scale.exp() * similarity(unit, present, texts)


class FLIPMCL(FLIP):
    """FLIP-MCL: FLIP-IT with multimodal contrastive learning, over two views z' and z'' of each sample.

        L = L of FLIP-IT + SimCLR(MLP(z'), MLP(z''), tau 0.1) + MSE(cos(z', t'), cos(z'', t''))

    z', z'': the joined features. t', t'': mean embeddings of two halves of the prompts of the sample's class, divided
    at random in every step. cos: the mean over present modalities. Arguments: see `FLIP`.
    """

    def __init__(self, clip: CLIP, source_domains: Sequence[str], **options: Any) -> None:
        super().__init__(clip, source_domains, **options)
        width, hidden = len(MODALITIES) * self.embed_dim, self.embed_dim
        self.projector = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def extra_loss(self, output: Output, batch: Batch) -> Tensor:
        """The two losses over views, a scalar."""
        other, label = self(second_view(batch)), batch["label"]
        first, second = (self.projector(joined(view.features)) for view in (output, other))
        contrast = simclr(first, second, temperature=self.settings.temperature)
        device = label.device if self.generator is None else self.generator.device
        shuffled = torch.randperm(self.prompts_encoded.shape[1], generator=self.generator, device=device)
        halves = [self.prompts_encoded[:, part].mean(dim=1) for part in shuffled.to(label.device).chunk(2)]  # 2 x D
        cosines = [
            similarity(functional.normalize(view.features, dim=-1), view.present, half).gather(1, label[:, None])
            for view, half in zip((output, other), halves, strict=True)
        ]  # each B x 1
        return contrast + functional.mse_loss(precise(cosines[0]), precise(cosines[1]))


def similarity(unit: Tensor, present: Tensor, texts: Tensor) -> Tensor:
    """Mean over present modalities of cos(z_m, t): unit features B x 3 x D (zero where missing) and k x D to B x k."""
    cosine = unit @ functional.normalize(texts, dim=-1).to(unit.dtype).mT  # B x 3 x k
    return cosine.sum(dim=1) / present.sum(dim=1, keepdim=True)
