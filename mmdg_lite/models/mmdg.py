"""MMDG assembled: a frozen vision transformer, U-Adapters between RGB and the two others, single-side prototypes.

Lin et al., "Suppress and Rebalance: Towards Generalized Multi-Modal Face Anti-Spoofing", CVPR 2024 ("MMDG paper").
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn

from mmdg_lite.adapters import UAdapter
from mmdg_lite.modality import CLIP_MEAN, CLIP_STD, MODALITIES, Batch, Modality
from mmdg_lite.models.infrared_channels import infrared_channels
from mmdg_lite.models.multimodal import MultimodalModel, copies, stack_images, stacked
from mmdg_lite.models.outputs import Output, class_targets
from mmdg_lite.models.trunk import Trunk, take_apart
from mmdg_lite.prototypes import SingleSidePrototypes
from mmdg_lite.released import Released, faults
from mmdg_lite.speed.quick_gelu import replace_quick_gelu
from mmdg_lite.uncertainty import SAMPLING_METHODS, DropoutCertainty, Sampling, SeededDropout, Spread

SENDERS: dict[Modality, tuple[Modality, ...]] = {
    Modality.RGB: (Modality.DEPTH, Modality.INFRARED),
    Modality.DEPTH: (Modality.RGB,),
    Modality.INFRARED: (Modality.RGB,),
}
"""Senders of each receiving modality: depth and infrared never fuse directly."""

EVALUATION_SEED = 0
"""Of the generator that every forward pass in evaluation makes anew, if it samples at all."""


class MMDG(MultimodalModel):
    """MMDG over a frozen vision transformer (MMDG paper, sections on the U-Adapter, UEM and SSP).

    Per modality trainable: class token, positional embedding, and one U-Adapter per block and sender; for all: a linear
    head over the concatenated class tokens. Each block of modality m computes

        a = Attn(LN1(x)),   U = UEM(a),   x = x + a,   h = LN2(x),
        x = x + MLP(h) + sum over senders j of U-Adapter(h_m, h_j, U_j).

    The modality classifiers are prototypes: `modality_logits` are minus the distances to them. In training, a class
    that has no prototype yet gets one from the first batch with labels that shows it, before that batch's loss.

    The infrared image of a batch comes as that of any model, one channel repeated and normalised as for CLIP. It is
    brought back to values of 0..1 here, completed to [infrared, HOG, PLGF] and normalised again.

    Args:
        trunk: a whole CLIP of open_clip, or its visual trunk, which is kept as `self.trunk`.
        source_domains: names of the S training domains, in the order of the batch's `domain` numbers.
        released: reproduce the released code: standard deviations for the spread (D5), and masks drawn in evaluation
            too, from `generator`, so that two evaluations differ (D12).
        train_tokens: whether class tokens and positional embeddings are trained.
        train_trunk: train the transformer as well (its parameters belong to no branch).
        dim, heads, theta, bottleneck_dropout: of the adapters, see `UAdapter`.
        draws, dropout, rate, spread: of the uncertainty estimation, see `DropoutCertainty`.
        sampling: how the masks' spread is drawn in training, see `dropout_spread`.
        evaluation_sampling: the same in evaluation. "expected" draws nothing; the others draw from a generator that
            every forward pass seeds anew, so that the same batch always gets the same result (but a sample not the same
            in another place of a batch).
        momentum: of the prototypes.
        modality_weight: weight of the modality losses beside the head's.
        descriptors: give the infrared trunk [infrared, HOG, PLGF]; otherwise the image three times.
    """

    def __init__(
        self,
        trunk: nn.Module | Trunk,
        source_domains: Sequence[str],
        *,
        released: Released = False,
        train_tokens: bool = True,
        train_trunk: bool = False,
        dim: int = 8,
        heads: int = 8,
        theta: float = 0.5,
        bottleneck_dropout: float = 0.2,
        draws: int = 20,
        dropout: float = 0.3,
        rate: float = 2.25,
        spread: Spread = "variance",
        sampling: Sampling = "moments",
        evaluation_sampling: Sampling = "expected",
        momentum: float = 0.2,
        modality_weight: float = 0.3,
        descriptors: bool = True,
    ) -> None:
        super().__init__(source_domains, frozen=None if train_trunk else "trunk", modality_weight=modality_weight)
        for method in (sampling, evaluation_sampling):
            if method not in SAMPLING_METHODS:
                raise ValueError(f"unknown sampling method {method!r}; choose one of {', '.join(SAMPLING_METHODS)}")
        view = take_apart(trunk)
        self._view = view
        self.trunk = replace_quick_gelu(view.module.requires_grad_(train_trunk))
        self.faults = faults(released)
        self.sampling: Sampling = sampling
        self.evaluation_sampling: Sampling = evaluation_sampling
        self.descriptors = descriptors
        self.class_tokens = copies(view.class_token).requires_grad_(train_tokens)  # each C
        self.positions = copies(view.positions).requires_grad_(train_tokens)  # each N x C
        self.uncertainty = DropoutCertainty(
            p=dropout, draws=draws, rate=rate, spread="std" if "D5" in self.faults else spread
        )

        def adapter() -> UAdapter:
            made = UAdapter(view.width, dim=dim, heads=heads, theta=theta)
            made.dropout = SeededDropout(bottleneck_dropout)
            return made

        self.adapters = nn.ModuleDict(
            {
                receiver.value: nn.ModuleDict(
                    {sender.value: nn.ModuleList(adapter() for _ in range(view.layers)) for sender in senders}
                )
                for receiver, senders in SENDERS.items()
            }
        )
        self.prototypes = SingleSidePrototypes(1 + len(self.source_domains), view.width, momentum=momentum)
        self._last: tuple[Tensor, Tensor, Tensor] | None = None  # features, classes and presence of the training batch
        self.head = nn.Linear(len(MODALITIES) * view.width, 2)
        for name, values in (("mean", CLIP_MEAN), ("std", CLIP_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)  # 3 x 1 x 1
        self.mean: Tensor
        self.std: Tensor

    def branches(self) -> list[tuple[nn.Parameter, Modality | None]]:
        """Every parameter with the modality that it belongs to, None for the head and the trunk.

        The order is that of the released code (its ReGrad depends on it, D1): tokens, positions, trunk, adapters, head.
        An adapter belongs to its receiver.
        """
        return list(self._branches())

    def _branches(self) -> Iterator[tuple[nn.Parameter, Modality | None]]:
        for group in (self.class_tokens, self.positions):
            yield from ((group[modality.value], modality) for modality in MODALITIES)
        yield from ((parameter, None) for parameter in self.trunk.parameters())
        for modality in MODALITIES:
            yield from ((parameter, modality) for parameter in self.adapters[modality.value].parameters())
        yield from ((parameter, None) for parameter in self.head.parameters())

    def forward(self, batch: Batch) -> Output:
        """Classify a batch of face triplets; `features` are the class tokens, B x 3 x C.

        Args:
            batch: see `outputs.Batch`; a missing modality's image may hold anything, or its key may be absent.

        Raises:
            ValueError: images of different sizes or not the trunk's, or a sample without any modality.
        """
        images, present = stack_images(batch)  # 3 x B x 3 x H x W, B x 3
        view = self.trunk_view
        x = view.embed(self._trunk_inputs(images), stacked(self.class_tokens), stacked(self.positions))  # (3 B) x N x C
        sampling, generator = self._randomness()
        for module in self.adapters.modules():
            if isinstance(module, SeededDropout):
                module.generator = self.generator
        token_certainty = []
        modality_certainty = torch.zeros_like(present, dtype=torch.float32)
        for layer in range(view.layers):
            x, certainty = self.run_block(partial(self._block, layer, present, sampling, generator), x)
            of_modality = rearrange(certainty, "(m b) n 1 -> b m n", m=len(MODALITIES))
            of_modality = torch.where(present[..., None], of_modality, torch.zeros_like(of_modality))
            modality_certainty = of_modality[..., 0]  # B x 3, of the class token
            token_certainty.append(_of_senders(of_modality, present))
        features = rearrange(view.leave(x[:, 0]), "(m b) c -> b m c", m=len(MODALITIES))
        features = torch.where(present[..., None], features, torch.zeros_like(features))
        return Output(
            logits=self.head(rearrange(features, "b m c -> b (m c)")),
            modality_logits=self._modality_logits(features, batch, present),
            features=features,
            certainty=modality_certainty,
            token_certainty=tuple(token_certainty),
            present=present,
        )

    def after_step(self) -> None:
        """Move the prototypes towards the class means of the last training batch (MMDG paper, eq. 6)."""
        if self._last is not None:
            self.prototypes.update(*self._last)
            self._last = None

    def _block(
        self, layer: int, present: Tensor, sampling: Sampling, generator: torch.Generator | None, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One block: tokens (3 B) x N x C, and the certainty of their attention (3 B) x N x 1."""
        view = self.trunk_view
        attended = view.attention(layer, x)
        certainty = self.uncertainty(attended, sampling=sampling, generator=generator)
        x = x + attended
        h, fed = view.feed_forward(layer, x)
        return x + fed + self._exchange(layer, h, certainty, present), certainty

    def _exchange(self, layer: int, h: Tensor, certainty: Tensor, present: Tensor) -> Tensor:
        """Updates of one block: tokens (3 B) x N x C and certainties (3 B) x N x 1 to (3 B) x N x C."""
        tokens, certainties = (
            dict(zip(MODALITIES, rearrange(x, "(m b) n c -> m b n c", m=len(MODALITIES)).unbind(), strict=True))
            for x in (h, certainty)
        )  # each B x N x C, and each B x N x 1
        updates = []
        for receiver, senders in SENDERS.items():
            update = torch.zeros_like(tokens[receiver])
            for sender in senders:
                adapter = self.get_submodule(f"adapters.{receiver.value}.{sender.value}.{layer}")
                update = update + adapter(
                    tokens[receiver],
                    tokens[sender],
                    certainties[sender],
                    receiver_present=present[:, receiver.index],
                    sender_present=present[:, sender.index],
                )
            updates.append(update)
        return torch.cat(updates)

    def _modality_logits(self, features: Tensor, batch: Batch, present: Tensor) -> Tensor:
        """Minus the distances to the prototypes, B x 3 x classes; zeros for a modality that has no prototype at all."""
        precise = features.to(torch.promote_types(features.dtype, torch.float32))
        if self.training and batch.get("label") is not None:
            classes = class_targets(batch["label"], batch["domain"], 1 + len(self.source_domains))
            self._last = features.detach(), classes, present
            unseen = present & ~self.prototypes.seen.T[classes]  # B x 3
            self.prototypes.update(precise.detach(), classes, unseen)
        logits = self.prototypes.logits(precise)
        return torch.where(self.prototypes.seen.any(dim=1)[:, None], logits, torch.zeros_like(logits))

    def _randomness(self) -> tuple[Sampling, torch.Generator | None]:
        """How the uncertainty is drawn in this forward pass, and from what."""
        if self.training:
            return self.sampling, self.generator
        if "D12" in self.faults:
            return "monte_carlo", self.generator
        return self.evaluation_sampling, torch.Generator().manual_seed(EVALUATION_SEED)

    def _trunk_inputs(self, images: Tensor) -> Tensor:
        """Images 3 x B x 3 x H x W to what the trunk takes: infrared with its descriptors, if they are wanted."""
        if not self.descriptors:
            return images
        infrared = (images[Modality.INFRARED.index, :, 0] * CLIP_STD[0] + CLIP_MEAN[0]).clamp(0, 1)  # B x H x W
        channels = (infrared_channels(infrared) - self.mean) / self.std  # B x 3 x H x W
        return torch.cat([images[: Modality.INFRARED.index], channels[None].to(images.dtype)])


def _of_senders(certainty: Tensor, present: Tensor) -> Tensor:
    """Certainties of the senders' tokens, where each receiver uses them: B x 3 x N to B x 3 receivers x 2 senders x N.

    Zero where there is no adapter between the two (depth and infrared), or the receiver is missing.
    """
    rows = [
        torch.stack(
            [certainty[:, s.index] if s in SENDERS[m] else torch.zeros_like(certainty[:, 0]) for s in m.others], dim=1
        )
        for m in MODALITIES
    ]
    used = torch.stack(rows, dim=1)  # B x 3 x 2 x N
    return torch.where(present[..., None, None], used, torch.zeros_like(used))
