"""Contrastive pre-training of the tiny CLIP on rendered image-caption pairs.

The loss is CLIP's (Radford et al., ICML 2021) with the targets of UniCL (Yang et al., "Unified Contrastive Learning in
Image-Text-Label Space", CVPR 2022): a caption that also holds for another image of the batch is a match there too.
Most of the training drops half of the patches, the rest sees them all (Li et al., "Scaling Language-Image Pre-training
via Masking", CVPR 2023). No scene is seen twice.
"""

import io
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import CLIP
from open_clip.transformer import PatchDropout
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from mmdg_lite.configuration import from_dict, write_bytes
from mmdg_lite.models.clip import encode_text, load_clip, normalise
from mmdg_lite.models.clip_weights import TOKEN_TABLE, untrained_rows, write_compact
from mmdg_lite.pretraining.pairs import PairBatches, Pairs
from mmdg_lite.pretraining.record import write_record
from mmdg_lite.pretraining.report import HELD_OUT_SEED, report
from mmdg_lite.pretraining.vocabulary import Vocabulary

__all__ = [
    "PretrainingConfig",
    "contrastive_loss",
    "pretrain_clip",
    "read_state",
    "report",
]

CHECKPOINT_NAME = "tiny_clip.safetensors"
STATE_NAME = "state.pt"
MAXIMUM_SCALE = math.log(100)


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """Everything that decides the weights."""

    steps: int = 2600  # optimiser steps
    seed: int = 0  # of the initial weights, the scenes, the captions and the dropped patches
    faces: int = 30  # scenes with a face per step; each gives three pairs, one per modality
    objects: int = 14  # scenes with an object per step, likewise
    learning_rate: float = 1e-3  # the highest, after warm-up
    warmup: int = 130  # steps of linear warm-up; cosine decay to zero after it
    weight_decay: float = 0.1  # on matrices alone, not on embeddings, biases and norms
    patch_dropout: float = 0.5  # fraction of patches dropped at first
    masked: float = 0.8  # fraction of the steps that drop patches

    def __post_init__(self) -> None:
        if not 0 <= self.seed < HELD_OUT_SEED:
            raise ValueError(f"seed is {self.seed}: choose 0 to {HELD_OUT_SEED - 1} (above, scenes are held out)")
        if min(self.steps, self.faces, self.objects, self.warmup) < 1:
            raise ValueError("steps, faces, objects and warmup must be at least 1")
        if not 0 <= self.patch_dropout < 1 or not 0 <= self.masked <= 1:
            raise ValueError("patch_dropout must be in [0, 1) and masked in [0, 1]")


def pretrain_clip(
    *,
    out: str | Path = "runs/pretrain_clip",
    config: PretrainingConfig | None = None,
    device: str = "cpu",
    workers: int = 1,
    save_every: int = 200,
    stop_after: int | None = None,
    measure: bool = True,
) -> Path:
    """Trains the tiny CLIP and returns the path of its checkpoint, `out`/tiny_clip.safetensors.

    When training is complete, its record (command, configuration, versions, loss, measured report) is written beside it
    as JSON and as a page to read. Called again on a complete training it only measures again.

    Interrupted and started again with the same configuration it goes on from the last saved state, on a CPU bit for bit
    as if it had not been interrupted. The checkpoint is usable whenever it exists.

    Args:
        out: folder for the state, the checkpoint and the history.
        config: what decides the weights; default: as the checkpoint in this package was made.
        device: "cpu" or "cuda" (then in bfloat16).
        workers: processes that render; 0 renders in this one. The result does not depend on it.
        save_every: steps between two saved states.
        stop_after: stop (resumably) after this many steps of this call.
        measure: write the record.

    Raises:
        ValueError: `out` holds the state of another configuration, or a damaged one.
    """
    config = config or PretrainingConfig()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    trainee = _Trainee(config, torch.device(device))
    if (folder / STATE_NAME).exists():
        trainee.restore(folder / STATE_NAME)
    last = config.steps if stop_after is None else min(config.steps, trainee.step + stop_after)
    batches = PairBatches(seed=config.seed, faces=config.faces, objects=config.objects)
    stream: Iterator[Pairs] = iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=range(trainee.step, last),
            num_workers=workers,
            generator=torch.Generator().manual_seed(config.seed),
        )
    )
    with tqdm(total=config.steps, initial=trainee.step, desc="pre-training CLIP", unit="step") as bar:
        for pairs in stream:
            record = trainee.learn(pairs)
            bar.update()
            bar.set_postfix(loss=f"{record['loss']:.3f}", matched=f"{record['matched']:.2f}", refresh=False)
            if trainee.step % save_every == 0 or trainee.step == last:
                trainee.save(folder)
    if measure and trainee.step == config.steps:
        clip = load_clip("tiny", checkpoint=folder / CHECKPOINT_NAME, device=device)
        write_record(folder, clip, config=config, history=trainee.history, vocabulary=trainee.vocabulary)
    return folder / CHECKPOINT_NAME


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, matches: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy, each row's and column's target spread evenly over its matches.

    Args:
        images, texts: unit-length features, n x D.
        scale: the inverse temperature, a scalar.
        matches: n x n bool, images x captions; at least one per row and column.

    With matches on the diagonal alone this is CLIP's loss.
    """
    logits = scale * images @ texts.T  # images x captions
    targets = matches.to(logits.dtype)
    by_image = functional.cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True))
    by_text = functional.cross_entropy(logits.T, targets.T / targets.T.sum(dim=1, keepdim=True))
    return (by_image + by_text) / 2


class _Trainee:
    """The model in training: its token table holds the vocabulary of the captions alone."""

    def __init__(self, config: PretrainingConfig, device: torch.device) -> None:
        self.config, self.device, self.step = config, device, 0
        self.history: list[dict[str, float]] = []
        self.vocabulary = Vocabulary()
        clip: CLIP = load_clip("tiny", checkpoint="random", seed=config.seed)
        clip.token_embedding = nn.Embedding.from_pretrained(clip.token_embedding.weight[self.vocabulary.row_ids])
        clip.visual.patch_dropout = PatchDropout(config.patch_dropout)
        self.clip = clip.requires_grad_(True).train().to(device)
        embedding = ("token_embedding.weight", "positional_embedding", "visual.positional_embedding")
        decayed = [p for name, p in clip.named_parameters() if p.ndim >= 2 and name not in embedding]
        others = [p for name, p in clip.named_parameters() if p.ndim < 2 or name in embedding]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )

    def learn(self, pairs: Pairs) -> dict[str, float]:
        """One step; returns what is worth recording of it."""
        config, started = self.config, time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = _learning_rate(self.step, config)
        self.clip.visual.patch_dropout.prob = config.patch_dropout if self.step < config.masked * config.steps else 0.0
        images, tokens = normalise(pairs.images, self.device), self.vocabulary(pairs.captions).to(self.device)
        matches = torch.from_numpy(pairs.matches).to(self.device)
        with torch.random.fork_rng(devices=[]):  # the dropped patches are a function of the step
            torch.manual_seed(int(np.random.SeedSequence([config.seed, self.step]).generate_state(1)[0]))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type != "cpu"):
                seen = self.clip.encode_image(images)
                read = encode_text(self.clip, tokens)
        seen, read = (functional.normalize(features.float(), dim=-1) for features in (seen, read))
        loss = contrastive_loss(seen, read, self.clip.logit_scale.exp(), matches)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.clip.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.clip.logit_scale.clamp_(0, MAXIMUM_SCALE)
            best = (seen @ read.T).argmax(dim=1)
        self.step += 1
        record = {
            "step": self.step,
            "loss": loss.item(),
            "matched": matches[torch.arange(len(best)), best].float().mean().item(),
            "scale": self.clip.logit_scale.exp().item(),
        }
        self.history.append(record | {"seconds": time.perf_counter() - started})
        return record

    def weights(self) -> dict[str, Tensor]:
        """The state of the full model, all tokens included."""
        state = self.clip.state_dict()
        trained = state[TOKEN_TABLE].cpu()
        table = untrained_rows(self.clip.vocab_size, trained.shape[1], self.config.seed)
        table[self.vocabulary.row_ids] = trained
        return {name: value.cpu() for name, value in state.items()} | {TOKEN_TABLE: table}

    def save(self, folder: Path) -> None:
        """Writes the checkpoint, then the state from which training can go on."""
        write_compact(folder / CHECKPOINT_NAME, self.weights(), self.vocabulary.row_ids, seed=self.config.seed)
        state = {
            "config": asdict(self.config),
            "step": self.step,
            "history": self.history,
            "clip": self.clip.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(folder / STATE_NAME, buffer.getvalue())

    def restore(self, path: Path) -> None:
        """Goes on from a saved state. Raises ValueError if it is damaged or of another configuration."""
        state = read_state(path)
        saved = from_dict(PretrainingConfig, state["config"], where=str(path))
        for name, value in asdict(saved).items():
            if getattr(self.config, name) != value:
                raise ValueError(
                    f"{path} was made with {name} = {value!r}, now it is {getattr(self.config, name)!r}: "
                    "give the same value, or another folder as `out`"
                )
        self.clip.load_state_dict(state["clip"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.history = state["step"], state["history"]


def read_state(path: Path) -> dict[str, Any]:
    """A saved state of pre-training. Raises ValueError with the cure if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return {name: state[name] for name in ("config", "step", "history", "clip", "optimizer")}
    except Exception as error:  # whatever torch's reader raises for a damaged or foreign file
        raise ValueError(f"{path} is no usable state of pre-training ({type(error).__name__}): delete it") from error


def _learning_rate(step: int, config: PretrainingConfig) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
