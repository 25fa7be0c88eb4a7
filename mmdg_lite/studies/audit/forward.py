"""What the released code's faults do to MMDG++'s forward pass, in numbers: the demonstrations of notebook 09.

Every function returns numbers by name, of the released behaviour and of ours, in seconds on a CPU. Models are the tiny
CLIP with fresh adapters whose projections are woken up: what is shown is what the code computes, not what training
makes of it.
"""

import copy
from collections.abc import Sequence

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from mmdg_lite.adapters import CentralDifferenceConv2d, CrossAdapter
from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.synthetic import render
from mmdg_lite.models.builder import MMDGPlusPlus
from mmdg_lite.models.clip import load_clip
from mmdg_lite.models.divergence import mean_divergence, watched_divergence
from mmdg_lite.models.outputs import Batch, losses
from mmdg_lite.prompts import placeholder_positions, tokenize_sentences
from mmdg_lite.released import Released, released_positions
from mmdg_lite.training.evaluation import batches
from mmdg_lite.uncertainty import DropoutCertainty

SOURCES = ("C", "P", "S")
Numbers = dict[str, float]
AUTHORS_OFFSETS = {0: 12, -1: 27, -2: 12, -3: 3}
"""The authors' own sentences by how many tokens their learnable tokens miss the placeholders (D4), as recorded from
running the released code. The sentences themselves carry no licence and are not here."""


def specimen(released: Released = False, *, seed: int = 0) -> MMDGPlusPlus:
    """A small MMDG++ whose adapters act; the same weights for every `released` and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = MMDGPlusPlus(load_clip("tiny"), SOURCES, released=released)
        for adapter in (module for module in model.modules() if isinstance(module, CrossAdapter)):
            nn.init.normal_(adapter.up.weight, std=0.1)
    model.generator = torch.Generator().manual_seed(seed)
    model.train()
    return model


def faces(count: int = 12, *, missing: Sequence[str] = (), seed: int = 0) -> Batch:
    """A batch of rendered faces of the three source domains; missing modalities' images stay in the batch."""
    domains = [render(letter, count // 3, seed) for letter in SOURCES]
    parts = [ArrayDataset.from_faces(f, domain=d, split="test") for f, d in zip(domains, SOURCES, strict=True)]
    loaded = [next(iter(batches(p, source_domains=SOURCES, batch_size=count, progress=False))) for p in parts]
    batch = {name: torch.cat([part[name] for part in loaded]) for name, value in loaded[0].items() if _is_tensor(value)}
    for column, name in enumerate(("rgb", "depth", "infrared")):
        if name in missing:
            batch["present"][:, column] = False
    return batch


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def sender_share() -> Numbers:
    """D2: share of tokens that take the sender's query in training."""
    return {"released": _share_of_senders(("D2",)), "ours": _share_of_senders(False)}


def _share_of_senders(released: Released, *, training: bool = True) -> float:
    """Share of tokens that take the sender's query and with it the sender's certainty, of made-up variances."""
    chance = torch.Generator().manual_seed(0)
    log_variances = torch.randn(2, 200, 16, 8, generator=chance)
    up, down = torch.ones(200, 16, 8), -torch.ones(200, 16, 8)
    layer = CertaintyAttention(8, sampling="expected", released=released).train(training)
    query, _ = layer.choose((up, log_variances[0]), (down, log_variances[1]), generator=chance)
    return float((query[..., 0] > 0).float().mean())


def placement() -> Numbers:
    """D4: sentences whose learnable tokens do not land on their placeholders, and by how much ours miss."""
    ids = tokenize_sentences(5)
    offset = (released_positions(ids, 5) - placeholder_positions(ids, 5))[..., 0]
    return {
        "released: sentences missed": float((offset != 0).float().mean()),
        "released: mean offset in tokens": float(offset.float().mean()),
        "released: sentences of the authors": sum(AUTHORS_OFFSETS.values()),
        "released: sentences of the authors missed": sum(n for by, n in AUTHORS_OFFSETS.items() if by),
        "ours: sentences missed": 0.0 if specimen().prompts is not None and _on_placeholders(specimen()) else 1.0,
    }


def _on_placeholders(model: MMDGPlusPlus) -> bool:
    assert model.prompts is not None
    kept = model.prompts.token_ids
    return bool((model.prompts.positions == placeholder_positions(kept, 5)).all())


def spread_of_dropout() -> Numbers:
    """D5: certainty by standard deviation (released) and by variance (paper) of the same features of size about 0.3."""
    x = 0.3 * torch.randn(8, 64, 32, generator=torch.Generator().manual_seed(0))
    by = {kind: DropoutCertainty(spread=kind)(x).flatten() for kind in ("std", "variance")}
    return {
        "released: mean certainty": float(by["std"].mean()),
        "ours: mean certainty": float(by["variance"].mean()),
        "rank correlation": float(spearmanr(by["std"].numpy(), by["variance"].numpy()).statistic),
    }


def clip_token_change() -> Numbers:
    """D7: how far one step of gradient descent moves CLIP's own class token, relative to its norm."""

    def change(released: Released) -> float:
        model, batch = specimen(released), faces()
        token = model.clip.visual.class_embedding
        before = token.detach().clone()
        trainable = [p for p in model.parameters() if p.requires_grad]
        losses(model(batch), batch).total.backward()
        torch.optim.SGD(trainable, lr=1.0).step()
        return float((token.detach() - before).norm() / before.norm())

    return {"released": change(("D7",)), "ours": change(False)}


def unused_classes() -> Numbers:
    """D8: classes of three source domains, and the probability that those without a domain get before training."""

    def look(released: Released) -> tuple[int, float]:
        model = specimen(released).eval()
        with torch.no_grad():
            probability = model(faces()).modality_logits.softmax(dim=-1)
        return probability.shape[-1], float(probability[..., 1 + len(SOURCES) :].sum(dim=-1).mean())

    (many, mass), (few, none) = look(("D8",)), look(False)
    return {
        "released: classes": many,
        "released: probability of unused ones": mass,
        "ours: classes": few,
        "ours: probability of unused ones": none,
    }


def text_length() -> Numbers:
    """D10: tokens of text per step at 77 a sentence and cut at the longest sentence, for five classes of nine sentences
    in three modalities."""
    ids = tokenize_sentences(5)  # 3 x 2 x 9 x 77
    sentences, whole = ids.shape[0] * 5 * ids.shape[2], ids.shape[3]
    longest = int(ids.argmax(dim=-1).max()) + 1
    return {"released: tokens": sentences * whole, "ours, at most: tokens": sentences * longest}


def log_variance_signal(draws: int = 16) -> Numbers:
    """D11: norm of the mean gradient of a log-variance head over noise draws, relative to the mean norm.

    1 / sqrt(draws) is what pure noise leaves; 1 is a gradient that does not depend on the draw. Last: the same of the
    divergence from N(0, 1), and of the mean's head.
    """
    model, batch = specimen(), faces(6)
    attention = model.adapters["rgb"][0].attention  # type: ignore[index]
    heads = [attention.log_variance_sender.weight, attention.mean_sender.weight]
    collected: list[list[Tensor]] = [[], [], []]
    for _ in range(draws):
        with watched_divergence(model) as divergences:
            output = model(batch)
        of_loss = torch.autograd.grad(losses(output, batch).total, heads, retain_graph=True)
        (of_divergence,) = torch.autograd.grad(mean_divergence(divergences), heads[:1])
        for kept, gradient in zip(collected, (*of_loss, of_divergence), strict=True):
            kept.append(gradient)
    loss, mean, divergence = (_coherence(gradients) for gradients in collected)
    return {
        "log-variance head": loss,
        "pure noise": draws**-0.5,
        "mean head": mean,
        "log-variance head by the divergence": divergence,
    }


def _coherence(gradients: Sequence[Tensor]) -> float:
    together = torch.stack(list(gradients))
    return float(together.mean(dim=0).norm() / together.flatten(1).norm(dim=1).mean())


@torch.no_grad()
def two_evaluations() -> Numbers:
    """D12: two evaluations of the same faces: largest difference of a score, median relative one of a certainty."""

    def differences(released: Released) -> tuple[float, float]:
        model, batch = specimen(released).eval(), faces()
        first, second = model(batch), model(batch)
        a, b = (torch.stack(o.token_certainty) for o in (first, second))
        return float((first.score() - second.score()).abs().max()), float(((a - b).abs() / a).median())

    (score, certainty), (none, nothing) = differences(("D12",)), differences(False)
    return {
        "released: score": score,
        "released: certainty": certainty,
        "ours: score": none,
        "ours: certainty": nothing,
    }


@torch.no_grad()
def junk_in_a_missing_modality() -> Numbers:
    """D13: share of finite scores when the missing depth images hold NaN."""

    def finite(released: Released) -> float:
        batch = faces(missing=("depth",))
        batch["depth"] = torch.full_like(batch["depth"], torch.nan)
        return float(specimen(released).eval()(batch).score().isfinite().float().mean())

    return {"released": finite(("D13",)), "ours": finite(False)}


def certainty_in_both_modes() -> Numbers:
    """D16: share of tokens for which the certainty that weighs gradients is the sender's, by mode."""
    return {
        f"{name}: {mode}": _share_of_senders(released, training=mode == "training")
        for name, released in (("released", ("D2",)), ("ours", ()))
        for mode in ("training", "evaluation")
    }


def batch_of_one() -> Numbers:
    """D18: the total loss of a batch of one face."""
    batch = {name: value[:1] for name, value in faces().items()}
    found = losses(specimen()(batch), batch)
    return {"ours: total loss": float(found.total.detach())}


def convolution_bias() -> Numbers:
    """D22: what a bias of 1 adds to every value, at theta 0.5; the recordings show (1 - theta) b."""
    layer = CentralDifferenceConv2d(1, theta=0.5, bias=True)
    nn.init.ones_(layer.conv.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        return {"ours": float(layer(torch.zeros(1, 1, 3, 3)).mean())}


@torch.no_grad()
def missing_sender_counts() -> Numbers:
    """D24: certainty of RGB with infrared missing, and its two calls' certainties, the second on RGB's own tokens."""
    ours, batch = specimen().eval(), faces(missing=("infrared",))
    theirs = specimen(("D24",)).eval()
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    calls = ours(batch).token_certainty[-1][:, 0, :, 0].mean(dim=0)
    return {
        "released": float(theirs(batch).certainty[:, 0].mean()),
        "ours": float(ours(batch).certainty[:, 0].mean()),
        "call with depth": float(calls[0]),
        "call without infrared": float(calls[1]),
    }
