"""MMDG++ assembled: a frozen CLIP, three modalities' own tokens, adapters between them, prompts and a joint head.

The same class without one or the other part gives the baselines.
"""

import enum
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import cast

import torch
from einops import rearrange
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.adapters import CrossAdapter, UAdapterPP
from mmdg_lite.attention import Suppression
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.exchange import all_at_once, of_senders, one_by_one
from mmdg_lite.models.multimodal import MultimodalModel, copies, stack_images, stacked
from mmdg_lite.models.outputs import Batch, Output
from mmdg_lite.models.trunk import OpenClipTrunk
from mmdg_lite.prompts import AsymmetricDomainPrompts, tokenize_sentences
from mmdg_lite.registry import AdapterKind, PromptKind
from mmdg_lite.released import Released, faults, released_positions
from mmdg_lite.speed.quick_gelu import replace_quick_gelu
from mmdg_lite.uncertainty import Sampling

RELEASED_SPOOF_CLASSES = 4


class Stream(enum.IntEnum):
    """Whose query a noise tensor is for, in the order in which an adapter takes the pair."""

    SENDER = 1
    RECEIVER = 2


NoiseSource = Callable[[int, Modality, Modality, Stream], Tensor]
"""(block from 0, receiver, sender, stream) to standard normal draws K x B x N x d."""


class MMDGPlusPlus(MultimodalModel):
    """MMDG++ over a frozen CLIP (MMDG++, sections on the trunk, U-Adapter++ and ADPs).

    Per modality trainable: class token, positional embedding and visual projection (copies of CLIP's), one adapter per
    block shared by its two senders, and prompts; for all: a linear head over the L2-normalised, concatenated features.

    Args:
        clip: open_clip's CLIP; it is frozen here and kept as `self.clip`.
        source_domains: names of the S training domains, in the order of the batch's `domain` numbers.
        released: reproduce the released code's faults in the forward pass, all or those named in `faults.FORWARD`.
        adapters: "uncertainty" (U-Adapter++), "plain" (the same without uncertainty) or "none"; or a function from the
            trunk's width to an adapter of one's own, for which dim to suppression mean nothing.
        prompts: "asymmetric" (ADPs), "shared" (one live and one spoof class for all domains) or "none" (a linear
            classifier of live against spoof per modality).
        train_tokens: whether class tokens, positional embeddings and projections are trained.
        dim, heads, samples, rate, theta, sampling, suppression: of the adapters, see `UAdapterPP`.
        context, context_std: learnable context vectors per class and modality, and how widely they are spread at first.
        token_ids, positions: own sentences, see `AsymmetricDomainPrompts`.
    """

    def __init__(
        self,
        clip: CLIP,
        source_domains: Sequence[str],
        *,
        released: Released = False,
        adapters: AdapterKind | Callable[[int], CrossAdapter] = "uncertainty",
        prompts: PromptKind = "asymmetric",
        train_tokens: bool = True,
        dim: int = 8,
        heads: int = 8,
        samples: int = 50,
        rate: float = 2.5,
        theta: float = 0.5,
        sampling: Sampling = "moments",
        suppression: Suppression = "query",
        context: int = 5,
        context_std: float = 1.0,
        token_ids: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> None:
        super().__init__(source_domains, frozen="clip")
        self.clip = replace_quick_gelu(clip.requires_grad_(False))
        self.faults = faults(released)
        self.suppression: Suppression = suppression
        visual = clip.visual
        self._view = OpenClipTrunk(visual)
        width, layers = self._view.width, self._view.layers
        self.class_tokens = copies(visual.class_embedding)  # each C
        self.positions = copies(visual.positional_embedding)  # each N x C
        self.projections = copies(visual.proj)  # each C x D
        if "D7" in self.faults:  # the released code trains CLIP's own class token as RGB's (D7)
            self.class_tokens[Modality.RGB.value] = visual.class_embedding
        for parameter in (*self.class_tokens.values(), *self.positions.values(), *self.projections.values()):
            parameter.requires_grad_(train_tokens)
        embed_dim = visual.proj.shape[1]
        self.prompts: AsymmetricDomainPrompts | None = None
        self.classifiers: nn.ModuleDict | None = None
        if prompts == "none":
            self.classifiers = nn.ModuleDict({modality.value: nn.Linear(embed_dim, 2) for modality in MODALITIES})
        else:
            if "D4" in self.faults and positions is None and token_ids is None and context:
                positions = released_positions(tokenize_sentences(context, length=clip.context_length), context)
            self.prompts = AsymmetricDomainPrompts(
                clip,
                _spoof_classes(self.source_domains, prompts, "D8" in self.faults),
                context=context,
                context_std=context_std,
                token_ids=token_ids,
                positions=positions,
            )

        def adapter() -> CrossAdapter:
            if callable(adapters):
                return adapters(width)
            if adapters == "plain":
                return CrossAdapter(width, dim=dim, heads=heads, theta=theta, released=released)
            return UAdapterPP(
                width,
                dim=dim,
                heads=heads,
                samples=samples,
                rate=rate,
                theta=theta,
                sampling=sampling,
                suppression=suppression,
                released=released,
            )

        depth = 0 if adapters == "none" else layers
        self.adapters = nn.ModuleDict(
            {modality.value: nn.ModuleList(adapter() for _ in range(depth)) for modality in MODALITIES}
        )
        self.head: nn.Module = nn.Linear(len(MODALITIES) * embed_dim, 2)

    def branches(self) -> list[tuple[nn.Parameter, Modality | None]]:
        """Every parameter with the modality that it belongs to, None for the head and the frozen CLIP.

        The order is that of the released code (its ReGrad depends on it, D1): tokens, positions, projections, prompts,
        frozen CLIP, adapters, head.
        """
        return list(self._branches())

    def _branches(self) -> Iterator[tuple[nn.Parameter, Modality | None]]:
        for group in (self.class_tokens, self.positions, self.projections):
            yield from ((group[modality.value], modality) for modality in MODALITIES)
        if self.prompts is not None:
            yield from ((self.prompts.contexts[modality.value], modality) for modality in MODALITIES)
        tokens = {id(parameter) for parameter in self.class_tokens.values()}
        yield from ((parameter, None) for parameter in self.clip.parameters() if id(parameter) not in tokens)
        for modality in MODALITIES:
            yield from ((parameter, modality) for parameter in self.adapters[modality.value].parameters())
        if self.classifiers is not None:
            for modality in MODALITIES:
                yield from ((parameter, modality) for parameter in self.classifiers[modality.value].parameters())
        yield from ((parameter, None) for parameter in self.head.parameters())

    def forward(self, batch: Batch, *, noise: NoiseSource | None = None) -> Output:
        """Classify a batch of face triplets.

        Args:
            batch: see `outputs.Batch`; a missing modality's image may hold anything, or its key may be absent.
            noise: draws for the adapters' queries instead of random ones.

        Raises:
            ValueError: images of different sizes, or a sample without any modality.
        """
        images, present = stack_images(batch, keep_missing="D13" in self.faults, check=not self.static)
        # images 3 x B x 3 x H x W, present B x 3
        complete = not self.static and bool(present.all())
        images = images.to(self.positions[Modality.RGB.value].dtype)
        trunk = self.trunk_view
        x = trunk.embed(images, stacked(self.class_tokens), stacked(self.positions))  # (3 B) x N x C
        token_certainty = []
        for layer in range(trunk.layers):
            x, certainty = self.run_block(partial(self._block, layer, present, complete, noise), x)
            if certainty is not None:
                token_certainty.append(certainty)
        class_token = rearrange(trunk.leave(x[:, 0]), "(m b) c -> m b c", m=len(MODALITIES))
        features = rearrange(class_token @ stacked(self.projections).to(class_token.dtype), "m b d -> b m d")
        if "D13" in self.faults:
            unit = functional.normalize(features, dim=-1) * present[..., None].to(features.dtype)
        else:
            features = torch.where(present[..., None], features, torch.zeros_like(features))
            unit = functional.normalize(features, dim=-1)
        modality_logits = self._modality_logits(features)
        return Output(
            logits=self.decide(unit, x, present),
            modality_logits=None if modality_logits is None else torch.stack(modality_logits, dim=1),
            features=features,
            certainty=self._modality_certainty(token_certainty, present),
            token_certainty=tuple(token_certainty),
            present=present,
            separate_logits=modality_logits,
        )

    def decide(self, unit: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Logits B x 2, spoof and live, of all modalities together; what a peer overrides.

        Args:
            unit: features of unit length, B x 3 x D, zero where the modality is missing.
            tokens: of the last block, (3 B) x N x C.
            present: B x 3 bools.
        """
        return self.head(rearrange(unit, "b m d -> b (m d)"))

    def _block(
        self, layer: int, present: Tensor, complete: bool, noise: NoiseSource | None, x: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One block: tokens (3 B) x N x C, and certainties B x 3 x 2 x N if there are adapters."""
        trunk = self.trunk_view
        x = x + trunk.attention(layer, x)
        h, fed = trunk.feed_forward(layer, x)
        x = x + fed
        if not len(self._adapters(Modality.RGB)):
            return x, None
        update, certainty = self._exchange(layer, h, present, complete, noise)
        return x + update, certainty

    def _adapters(self, receiver: Modality) -> nn.ModuleList:
        """A receiver's adapters, one per block, or none."""
        return cast(nn.ModuleList, self.adapters[receiver.value])

    def _exchange(
        self, layer: int, h: Tensor, present: Tensor, complete: bool, noise: NoiseSource | None
    ) -> tuple[Tensor, Tensor]:
        """Adapters of one block: update (3 B) x N x C and certainties B x 3 x 2 x N."""

        def drawn(receiver: Modality, sender: Modality) -> tuple[Tensor, Tensor]:
            assert noise is not None
            return noise(layer, receiver, sender, Stream.SENDER), noise(layer, receiver, sender, Stream.RECEIVER)

        # what all_at_once does not know is left to the plain way
        plainly = "D13" in self.faults or self.suppression == "key"
        exchange = one_by_one if plainly else partial(all_at_once, complete=complete)
        update, certainty = exchange(
            [cast(CrossAdapter, self._adapters(receiver)[layer]) for receiver in MODALITIES],
            rearrange(h, "(m b) n c -> m b n c", m=len(MODALITIES)),
            present,
            noise=None if noise is None else drawn,
            generator=self.generator,
        )
        return rearrange(update, "m b n c -> (m b) n c"), rearrange(certainty, "m s b n -> b m s n")

    def _modality_certainty(self, token_certainty: list[Tensor], present: Tensor) -> Tensor:
        """Certainty of each modality's class token in the last block, averaged over its present senders, B x 3."""
        if not token_certainty:
            return present.float()
        of_class_token = token_certainty[-1][..., 0]  # B x 3 x 2
        counted = of_senders(present)  # B x 3 x 2
        if "D24" in self.faults:
            counted = torch.ones_like(counted)
        counted = counted | ~counted.any(dim=-1, keepdim=True)  # without any sender: the calls on its own tokens
        weight = counted.to(of_class_token.dtype)
        return (of_class_token * weight).sum(dim=-1) / weight.sum(dim=-1)

    def _modality_logits(self, features: Tensor) -> list[Tensor] | None:
        """One classifier's logits per modality, B x 3 x D to three tensors B x classes, class 0 live; None without."""
        unit = functional.normalize(features, dim=-1).unbind(dim=1)  # each B x D
        if self.prompts is not None:
            scale = self.clip.logit_scale.exp()
            texts = self.prompts.by_modality() if torch.is_grad_enabled() else self.prompts()
            return [scale * own @ text.to(own.dtype).mT for own, text in zip(unit, texts, strict=True)]
        if self.classifiers is None:
            return None
        return [self.classifiers[m.value](own) for m, own in zip(MODALITIES, unit, strict=True)]


def _spoof_classes(source_domains: tuple[str, ...], prompts: PromptKind, fixed_number: bool) -> tuple[str, ...]:
    """Names of the spoof classes: the source domains, one for all, or the released code's fixed number (D8)."""
    if prompts == "shared":
        return ("all",)
    if not fixed_number:
        return source_domains
    if len(source_domains) > RELEASED_SPOOF_CLASSES:
        raise ValueError(f"the released model has {RELEASED_SPOOF_CLASSES} spoof classes, got {source_domains}")
    unused = range(len(source_domains), RELEASED_SPOOF_CLASSES)
    return source_domains + tuple(f"unused-{i}" for i in unused)
