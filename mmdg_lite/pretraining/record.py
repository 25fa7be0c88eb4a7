"""The record of a pre-training: what made a checkpoint, how training went, and what the result can do."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip import CLIP

from mmdg_lite.configuration import write_json, write_text
from mmdg_lite.modality import MODALITIES
from mmdg_lite.pretraining.card import card
from mmdg_lite.pretraining.report import report
from mmdg_lite.pretraining.vocabulary import Vocabulary
from mmdg_lite.templates import all_sentences

RECORD_NAME = "tiny_clip_record.json"
CARD_NAME = "TINY_CLIP.md"


def versions() -> dict[str, str]:
    """What the weights depend on beside the configuration."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "numpy": np.__version__,
    }


def write_record(
    folder: Path, clip: CLIP, *, config: Any, history: Sequence[dict[str, float]], vocabulary: Vocabulary
) -> None:
    """Measures a finished checkpoint and writes its record to a folder, as JSON and as a page to read.

    Args:
        folder: where `RECORD_NAME` and `CARD_NAME` go.
        clip: the trained model.
        config: the dataclass that decided the weights, with a number of `faces` and `objects` per step.
        history: one entry per step with "step", "loss", "matched", "scale" and "seconds".
        vocabulary: the tokens that were trained.
    """
    scenes = len(history) * (config.faces + config.objects)
    table = clip.token_embedding.weight.numel()
    record = {
        "command": _command(config),
        "config": asdict(config),
        "versions": versions(),
        "device": clip.logit_scale.device.type,
        "parameters_without_token_table": sum(p.numel() for p in clip.parameters()) - table,
        "trained_rows_of_the_token_table": len(vocabulary.row_ids),
        "prompt_words_in_no_caption": vocabulary.unknown_words(_prompt_texts()),
        "scenes": scenes,
        "pairs": scenes * len(MODALITIES),
        "training_seconds": sum(entry["seconds"] for entry in history),
        "history": _thinned(history),
        "report": report(clip),
    }
    write_json(folder / RECORD_NAME, record)
    write_text(folder / CARD_NAME, card(record))


def _command(config: Any) -> str:
    given = [f"--{f.name} {getattr(config, f.name)}" for f in fields(config) if getattr(config, f.name) != f.default]
    return " ".join(["python -m mmdg_lite pretrain-clip", *given])


def _prompt_texts() -> list[str]:
    """Every sentence that the model's prompts begin from."""
    return [text for groups in all_sentences(1) for group in groups for text in group]


def _thinned(history: Sequence[dict[str, float]], points: int = 50) -> list[dict[str, float]]:
    """Means over equal stretches of the history."""
    parts = np.array_split(np.arange(len(history)), min(points, len(history)))
    return [
        {"step": int(history[part[-1]]["step"])}
        | {name: float(np.mean([history[i][name] for i in part])) for name in ("loss", "matched", "scale")}
        for part in parts
    ]
