"""The peers over the tiny CLIP, with adapters that act already."""

from typing import Any

import torch
from torch import nn

from mmdg_lite.modality import SECOND, Batch
from mmdg_lite.models.ama import AMA, AdaptiveMultimodalAdapter
from mmdg_lite.models.cmfl import CMFL
from mmdg_lite.models.flex_modal import FlexModal
from mmdg_lite.models.flip import FLIP, FLIPMCL
from mmdg_lite.models.outputs import Output
from mmdg_lite.models.peer import Peer
from mmdg_lite.models.sa_fas import SAFAS
from mmdg_lite.models.ssdg import SSDG
from tests.support.tiny import DOMAINS, awaken, batch, tiny_clip, tiny_sentences

PEERS: dict[str, type[Peer]] = {
    "flip": FLIP,
    "flip_mcl": FLIPMCL,
    "ssdg": SSDG,
    "sa_fas": SAFAS,
    "ama": AMA,
    "cmfl": CMFL,
    "flex_modal": FlexModal,
}


def peer(name: str, **options: Any) -> Any:
    """A peer in evaluation mode. FLIP's prompts are two sentences of the tiny vocabulary for each class."""
    torch.manual_seed(0)
    if name.startswith("flip"):
        options = {"token_ids": tiny_sentences()["token_ids"][0]} | options
    model = PEERS[name](tiny_clip(), DOMAINS, **options)
    awaken(model)
    for module in model.modules():
        if isinstance(module, AdaptiveMultimodalAdapter):
            nn.init.normal_(module.up.weight)
            nn.init.normal_(module.up.bias)
    model.generator = torch.Generator().manual_seed(0)
    return model.eval()


def two_views(size: int = 12, **options: Any) -> Batch:
    """A batch of `tiny.batch` with a second view of each sample: its images with noise, the same presence."""
    first, other = batch(size, **options), batch(size, seed=1)
    present = first.setdefault("present", torch.ones(size, 3, dtype=torch.bool))
    views = {SECOND + name: first[name] + 0.2 * other[name] for name in ("rgb", "depth", "infrared")}
    return first | views | {f"{SECOND}present": present}


def output_of(features: torch.Tensor, present: torch.Tensor | None = None) -> Output:
    """What a model says whose features B x 3 x D are these; only losses look at it."""
    present = features.any(dim=-1) if present is None else present
    nothing = torch.zeros(len(features), 2)
    return Output(nothing, None, features, present.float(), (), present)
