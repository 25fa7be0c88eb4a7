"""The record of a pre-training: what made a checkpoint, how training went, and what the result can do."""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip import CLIP

from mmdg_lite.configuration import write_json, write_text
from mmdg_lite.modality import MODALITIES
from mmdg_lite.pretraining.report import report
from mmdg_lite.pretraining.vocabulary import Vocabulary
from mmdg_lite.prompts import all_sentences

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


_INTRODUCTION = """\
A CLIP of {parameters:,} parameters (without the token table), trained from random weights on rendered pictures of faces
and objects with captions written from their scenes' attributes. Captions of faces name physical attributes only; words
such as real, fake and spoof stand on objects alone. No scene, subject or sensor of the evaluation domains was used.
"""


_RETRIEVAL = """\
A picture retrieves the value whose phrases are closest to it. Accuracy is averaged over the values of an attribute,
chance is one over their number. Scenes: {faces} faces and {objects} objects, none seen in training, sensors at random.
"""


_ZERO_SHOT = """\
Area under the ROC curve of live against spoof faces (chance 0.5). *Words*: the sentences that the prompts of the models
begin from (real, genuine, fake, spoof, ...), which training showed on objects only. *Materials*: sentences that name
skin on one side; paper, screen, cardboard, plastic, silicone and plaster on the other.
"""


_PROBE = """\
Converged logistic regression on the frozen features of the three modalities, {samples} faces per domain to fit and to
test, disjoint subjects. *Across*: fitted on the other domains; *inside*: on the same one. Beside it the same network
with random weights. Equal error rate and area under the ROC curve, in percent.
"""


def card(record: dict[str, Any]) -> str:
    """The page for a record that `pretraining.pretrain_clip` wrote."""
    report, config = record["report"], record["config"]
    made = [
        ("command", f"`{record['command']}`"),
        ("seed", config["seed"]),
        ("steps", config["steps"]),
        ("scenes, each seen once", f"{record['scenes']:,}"),
        ("image-caption pairs", f"{record['pairs']:,}"),
        ("time in training steps", f"{record['training_seconds'] / 60:.0f} minutes ({record['device']})"),
        ("loss, first and last stretch", f"{record['history'][0]['loss']:.2f}, {record['history'][-1]['loss']:.2f}"),
        ("trained rows of the token table", record["trained_rows_of_the_token_table"]),
        ("words of the prompts that no caption has", ", ".join(record["prompt_words_in_no_caption"]) or "none"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())),
        ("synthetic benchmark", f"version {report['benchmark_version']}"),
    ]
    return "\n".join(
        [
            "# The tiny CLIP",
            "",
            "Written from `tiny_clip_record.json` by the command below.",
            "",
            _INTRODUCTION.format(parameters=record["parameters_without_token_table"]),
            _table(("", ""), made),
            "## Retrieval by attribute",
            "",
            _RETRIEVAL.format(**report["held_out_scenes"]),
            *_retrieval_tables(report["retrieval"]),
            _not_learned(report["retrieval"]),
            "## Live or spoof by words alone",
            "",
            _ZERO_SHOT,
            _zero_shot_table(report["zero_shot"]),
            "## Linear probe",
            "",
            _PROBE.format(samples=report["linear_probe"]["samples_per_domain"]),
            _probe_table(report["linear_probe"]),
        ]
    )


def _retrieval_tables(entries: Sequence[dict[str, Any]]) -> list[str]:
    """One table per kind of scene; an attribute that a modality cannot show has an empty cell."""
    parts = []
    for kind in sorted({entry["kind"] for entry in entries}):
        found = {(e["attribute"], e["modality"]): e for e in entries if e["kind"] == kind}
        rows = []
        for attribute in sorted({name for name, _ in found}):
            here = [found.get((attribute, modality.value)) for modality in MODALITIES]
            cells = [_percent(entry["accuracy"]) if entry else "" for entry in here]
            rows.append((attribute, *cells, " / ".join(sorted({_percent(e["chance"]) for e in here if e}))))
        parts += [f"{kind.capitalize()}s, accuracy in percent:", ""]
        parts.append(_table(("attribute", *(m.value for m in MODALITIES), "chance"), rows))
    return parts


def _not_learned(entries: Sequence[dict[str, Any]], margin: float = 0.05) -> str:
    """Which attributes of faces no modality tells much better than chance."""
    faces = [entry for entry in entries if entry["kind"] == "face"]
    learned = {entry["attribute"] for entry in faces if entry["accuracy"] > entry["chance"] + margin}
    others = sorted({entry["attribute"] for entry in faces} - learned)
    return f"Not learned of faces (within {100 * margin:.0f} points of chance): {', '.join(others) or 'none'}.\n"


def _zero_shot_table(entries: Sequence[dict[str, Any]]) -> str:
    rows = [(e["domain"], e["modality"], f"{e['words']:.2f}", f"{e['materials']:.2f}", e["chance"]) for e in entries]
    return _table(("synthetic domain", "modality", "words", "materials", "chance"), rows)


def _probe_table(probe: dict[str, Any]) -> str:
    names = [f"{where}_{what}" for where in ("across", "inside") for what in ("eer", "auc")]
    rows = [
        (weights, entry["domain"], *(_percent(entry[name]) for name in names))
        for weights in ("trained", "random")
        for entry in probe[weights]
    ]
    return _table(("weights", "synthetic domain", "across, EER", "across, AUC", "inside, EER", "inside, AUC"), rows)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
