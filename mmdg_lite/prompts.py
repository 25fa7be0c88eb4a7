"""Asymmetric Domain Prompts (MMDG++): what live and spoof mean to CLIP's text side, learned per domain.

Live faces look alike in every domain and share one class; spoofs differ from domain to domain and form one class per
source domain. Each class of each modality owns a few learnable context vectors, which stand in for the placeholder
tokens of hand-written sentences (`templates.py`).
"""

from collections.abc import Sequence

import torch
from einops import reduce, repeat
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.speed.causal_text import CausalText


class AsymmetricDomainPrompts(nn.Module):
    """Text features of the classes: index 0 live, 1..S spoof in the order of `source_domains`.

    Args:
        clip: a frozen CLIP (open_clip's) with a causal text transformer. It is used, not owned: its parameters do not
            become parameters of this module.
        source_domains: names of the S training domains.
        context: n, learnable vectors per class and modality. 0 leaves the plain sentences.
        context_std: standard deviation of the normal numbers that they start from; 1 in the released code. The
            tiny CLIP's own token embeddings have about 0.02.
        token_ids: own sentences as token ids, modalities x 2 (live, spoof) x sentences x length, zero-padded. Default:
            the nine of `templates.py`.
        positions: where the context vectors go in them, modalities x 2 x sentences x context. Default: on the
            placeholder tokens (D4).

    Raises:
        ValueError: shapes that do not fit, or a sentence without `context` placeholder tokens.
    """

    def __init__(
        self,
        clip: CLIP,
        source_domains: Sequence[str],
        *,
        context: int = 5,
        context_std: float = 1.0,
        token_ids: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not source_domains or len(set(source_domains)) != len(source_domains):
            raise ValueError(f"source domains must be distinct and at least one, got {tuple(source_domains)}")
        self._clip = [clip]  # in a list, so that the frozen model is not registered as part of this module
        # autocast's precision, contexts, and the features that they gave
        self._kept: tuple[torch.dtype | None, list[Tensor], Tensor] | None = None
        self.source_domains = tuple(source_domains)
        self.classes = 1 + len(source_domains)
        if token_ids is None:
            token_ids = tokenize_sentences(context, length=clip.context_length)
        if token_ids.ndim != 4 or token_ids.shape[:2] != (len(MODALITIES), 2):
            raise ValueError(f"token_ids must be modalities x 2 x sentences x length, got {tuple(token_ids.shape)}")
        token_ids = token_ids.long()
        if positions is None:
            positions = placeholder_positions(token_ids, context)
        if positions.shape != (*token_ids.shape[:3], context):
            raise ValueError(
                f"positions must have shape {(*token_ids.shape[:3], context)}, got {tuple(positions.shape)}"
            )
        last = int(token_ids.argmax(dim=-1).max())  # the end-of-text token has the largest id
        token_ids = token_ids[..., : last + 1]  # tokens after the end of text cannot be seen by it (D10)
        self.register_buffer("token_ids", token_ids, persistent=False)
        self.register_buffer("positions", positions.long(), persistent=False)
        self.token_ids: Tensor
        self.positions: Tensor
        self._texts = [self._causal_text(m) for m in range(len(MODALITIES))]
        width = clip.token_embedding.embedding_dim
        shape = (self.classes, context, width)
        self.contexts = nn.ParameterDict(
            {modality.value: nn.Parameter(context_std * torch.randn(shape)) for modality in MODALITIES}
        )  # each classes x context x text width

    def forward(self) -> Tensor:
        """Unit-length class features, modalities x (1 + S) x D.

        Without gradients they are computed once and kept until a context vector or the precision changes.
        """
        if torch.is_grad_enabled():
            return torch.stack(self.by_modality())
        contexts, device = list(self.contexts.values()), self.token_ids.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        if self._kept is None or self._kept[0] != precision or not all(map(_same, self._kept[1], contexts)):
            copies = [context.detach().clone() for context in contexts]
            self._kept = precision, copies, torch.stack(self.by_modality())
        return self._kept[2]

    def by_modality(self) -> list[Tensor]:
        """What `forward` gives, computed anew, as one tensor (1 + S) x D per modality.

        A loss on one of them goes back through that modality's sentences only; through the joined tensor it would take
        zeros through the others'.
        """
        return [functional.normalize(self._modality_features(m), dim=-1) for m in range(len(MODALITIES))]

    def mean_features(self) -> Tensor:
        """Class features before normalisation: the mean over the sentences, modalities x (1 + S) x D."""
        return torch.stack([self._modality_features(m) for m in range(len(MODALITIES))])

    def embedded(self, m: int) -> Tensor:
        """Token embeddings of one modality's sentences, contexts in place, (classes sentences) x length x width."""
        ids, places = self._of_classes(self.token_ids[m]), self._of_classes(self.positions[m])
        context = self.contexts[MODALITIES[m].value]  # classes x context x width
        tokens = self._clip[0].token_embedding(ids).to(context.dtype)  # (c t) x length x width
        target = repeat(places, "s n -> s n w", w=tokens.shape[-1])
        return tokens.scatter(1, target, repeat(context, "c n w -> (c t) n w", t=self.token_ids.shape[2]))

    def _modality_features(self, m: int) -> Tensor:
        """Class features of one modality before normalisation, (1 + S) x D."""
        return reduce(self._texts[m].encode(self.embedded(m)), "(c t) d -> c d", "mean", c=self.classes)

    def _causal_text(self, m: int) -> CausalText:
        """The encoder of one modality's sentences, which change from the first context vector on."""
        end = self._of_classes(self.token_ids[m]).argmax(dim=-1)  # (c t)
        places = self._of_classes(self.positions[m])  # (c t) x context
        return CausalText(self._clip[0], places.amin(dim=-1) if places.shape[-1] else end, end)

    def _of_classes(self, values: Tensor) -> Tensor:
        """2 x sentences x ... (live, spoof) to (classes sentences) x ..., the spoofs' once for every spoof class."""
        live, spoof = values
        return torch.cat([live, repeat(spoof, "t ... -> (s t) ...", s=self.classes - 1)])


def _same(first: Tensor, second: Tensor) -> bool:
    """Equality of two tensors in values, device and type. (Versions of tensors miss changes of `.data`.)"""
    return first.device == second.device and first.dtype == second.dtype and torch.equal(first, second)


def encode_embedded(clip: CLIP, embedded: Tensor, end: Tensor) -> Tensor:
    """CLIP's text transformer from token embeddings on, read at the end-of-text position.

    Args:
        clip: open_clip's CLIP with a causal text transformer.
        embedded: sentences x length x width, without positional embedding; length at most the context length.
        end: index of the end-of-text token of each sentence.

    Returns:
        Text features, sentences x D, not normalised.
    """
    length = embedded.shape[1]
    x = embedded + clip.positional_embedding[:length].to(embedded.dtype)
    x = clip.transformer(x, attn_mask=clip.attn_mask[:length, :length])  # sentences x length x width
    x = clip.ln_final(x)
    x = x[torch.arange(len(x), device=x.device), end]  # sentences x width
    return x @ clip.text_projection.to(x.dtype)


def tokenize_sentences(context: int, *, length: int = 77) -> Tensor:
    """Token ids of the sentences of `templates.py`, modalities x 2 x 9 x length."""
    tokenizer = SimpleTokenizer(context_length=length)
    return torch.stack([torch.stack([tokenizer(group) for group in groups]) for groups in all_sentences(context)])


def placeholder_positions(token_ids: Tensor, context: int) -> Tensor:
    """Indices of the last `context` placeholder tokens of each sentence.

    Args:
        token_ids: ... x length.
        context: number of placeholders expected.

    Returns:
        ... x context.

    Raises:
        ValueError: a sentence has fewer placeholder tokens.
    """
    (placeholder,) = SimpleTokenizer().encode(PLACEHOLDER)
    is_placeholder = token_ids == placeholder
    fewest = int(is_placeholder.sum(dim=-1).min())
    if fewest < context:
        raise ValueError(f"a sentence has {fewest} placeholder tokens ({PLACEHOLDER!r}), {context} are needed")
    order = torch.arange(token_ids.shape[-1], device=token_ids.device).expand_as(token_ids)
    ranked = torch.where(is_placeholder, order, torch.full_like(order, -1)).sort(dim=-1).values
    return ranked[..., ranked.shape[-1] - context :]


PLACEHOLDER = "x"


LIVE_TEMPLATES: tuple[str, ...] = (
    "a photo of a real face in the {name} modality, captured by {article} {name} camera",
    "{article} {name} photo of the face of a live person",
    "a real human face, seen by {article} {name} camera",
    "this is a genuine face in the {name} modality",
    "a bona fide face, recorded by {article} {name} sensor",
    "{article} {name} image of a real living person",
    "a true face of skin in {article} {name} picture",
    "the {name} camera shows a real face, not a fake one",
    "an authentic face in a photo of the {name} modality",
)


SPOOF_TEMPLATES: tuple[str, ...] = (
    "a photo of a spoof face in the {name} modality, captured by {article} {name} camera",
    "{article} {name} photo of a fake face",
    "a fake human face, seen by {article} {name} camera",
    "this is a presentation attack in the {name} modality",
    "a spoof face, recorded by {article} {name} sensor",
    "{article} {name} image of a printed, replayed or masked face",
    "a false face of paper or plastic in {article} {name} picture",
    "the {name} camera shows a fake face, not a real one",
    "an imitation of a face in a photo of the {name} modality",
)


SUFFIX = "within the deployment environment of {placeholders}"


_SPOKEN = {Modality.RGB: ("an", "RGB"), Modality.DEPTH: ("a", "depth"), Modality.INFRARED: ("an", "infrared")}


def sentences(modality: Modality, *, live: bool, context: int = 0) -> list[str]:
    """The nine sentences for one modality and class, each with `context` placeholders at its end (none: no suffix)."""
    article, name = _SPOKEN[modality]
    templates = LIVE_TEMPLATES if live else SPOOF_TEMPLATES
    bare = [template.format(article=article, name=name) for template in templates]
    if context == 0:
        return bare
    suffix = SUFFIX.format(placeholders=" ".join([PLACEHOLDER] * context))
    return [f"{sentence}, {suffix}" for sentence in bare]


def all_sentences(context: int) -> list[list[list[str]]]:
    """Sentences indexed by modality, then 0 live / 1 spoof, then template."""
    return [[sentences(modality, live=live, context=context) for live in (True, False)] for modality in MODALITIES]
