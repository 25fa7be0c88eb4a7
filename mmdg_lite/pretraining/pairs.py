"""Image-caption pairs for contrastive pre-training, rendered on demand: batches are pure functions of their number."""

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mmdg_lite.data.renderer.scenes import Scenes, draw_scenes
from mmdg_lite.data.renderer.sensors import random_profile
from mmdg_lite.data.synthetic import render_scenes
from mmdg_lite.modality import MODALITIES
from mmdg_lite.pretraining.captions import Facts, facts_of, write_caption


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Images beside a caption each; position 3 i + m is scene i in modality m."""

    images: NDArray[np.uint8]  # n x 3 x S x S, single channels repeated
    captions: tuple[str, ...]  # n
    matches: NDArray[np.bool_]  # images x captions: the caption holds for the image too (always for its own)
    facts: tuple[Facts, ...]  # n, what each image shows


class PairBatches(Dataset[Pairs]):
    """Numbered batches of pairs, never the same scene twice. Sensors are drawn at random for every scene.

    Args:
        seed: of everything.
        faces, objects: scenes of each kind per batch; each gives one image per modality.
        size: pixels.
    """

    def __init__(self, *, seed: int, faces: int, objects: int, size: int = 64) -> None:
        self.seed, self.faces, self.objects, self.size = seed, faces, objects, size

    def __getitem__(self, number: int) -> Pairs:
        rng = np.random.default_rng([self.seed, number])
        scenes = Scenes.concatenate(
            [draw_scenes(self.faces, rng, kind="face"), draw_scenes(self.objects, rng, kind="object")]
        )
        profiles = [random_profile(rng) for _ in range(len(scenes))]
        rendered = render_scenes(scenes, profiles, [self.seed, number], size=self.size)
        images = np.empty((len(scenes), len(MODALITIES), 3, self.size, self.size), np.uint8)
        for m, modality in enumerate(MODALITIES):
            images[:, m] = rendered[modality.value]  # one channel fills all three
        facts = []
        for i, profile in enumerate(profiles):
            attributes = scenes.attributes(i)
            facts += [facts_of(attributes, profile, modality) for modality in MODALITIES]
        captions = [write_caption(known, rng) for known in facts]
        return Pairs(
            images=rearrange(images, "n m c h w -> (n m) c h w"),
            captions=tuple(caption.text for caption in captions),
            matches=_matches(facts, [caption.stated for caption in captions]),
            facts=tuple(facts),
        )


def _matches(facts: list[Facts], stated: list[frozenset[tuple[str, str]]]) -> NDArray[np.bool_]:
    """Which captions hold for which images: all that a caption states is among the facts of the image."""
    number: dict[tuple[str, str], int] = {}
    shown = np.zeros((len(facts), sum(map(len, facts))), np.float32)  # images x facts
    said = np.zeros((len(stated), shown.shape[1]), np.float32)  # captions x facts
    for row, known in enumerate(facts):
        shown[row, [number.setdefault(fact, len(number)) for fact in known.items()]] = 1
    for row, claims in enumerate(stated):
        said[row, [number[claim] for claim in claims]] = 1
    holds: NDArray[np.bool_] = shown @ said.T == said.sum(axis=1)
    return holds
