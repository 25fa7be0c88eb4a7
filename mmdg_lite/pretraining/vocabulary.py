"""The part of CLIP's vocabulary that captions use."""

import re

import torch
from torch import Tensor

from mmdg_lite.models.clip import tokenize
from mmdg_lite.pretraining.captions import caption_words


class Vocabulary:
    """The tokens that captions are made of, numbered from 0 in the order of CLIP's own ids.

    The order keeps padding first and the end of text last, which CLIP's text pooling relies on.
    """

    def __init__(self) -> None:
        self.row_ids: list[int] = tokenize(caption_words()).unique().tolist()

    def __call__(self, texts: list[str] | tuple[str, ...]) -> Tensor:
        """Numbers of the tokens, texts x length of the longest. Raises ValueError for a text with another token."""
        ids = tokenize(list(texts))
        ids = ids[:, : int(ids.argmax(dim=-1).max()) + 1]
        known = torch.tensor(self.row_ids)
        numbers = torch.searchsorted(known, ids.contiguous()).clamp(max=len(known) - 1)
        foreign = (known[numbers] != ids).any(dim=1).nonzero().flatten().tolist()
        if foreign:
            raise ValueError(f"a caption has words that `caption_words` does not list: {texts[foreign[0]]!r}")
        return numbers

    def unknown_words(self, texts: list[str]) -> list[str]:
        """The words of these texts with a token that no caption has, in alphabetical order."""
        known = set(self.row_ids)
        words = sorted({word for text in texts for word in re.findall(r"\w+", text.lower())})
        return [word for word, ids in zip(words, tokenize(words).tolist(), strict=True) if not known.issuperset(ids)]
