"""The log of a run in training: one JSON object per line, cut back to the state that a run goes on from."""

import json
import math
from pathlib import Path
from typing import Any

import torch

from mmdg_lite.configuration import parse_json, write_bytes, write_text
from mmdg_lite.data.real.files import read_regular
from mmdg_lite.modality import MODALITIES
from mmdg_lite.regrad.step import Report
from mmdg_lite.runs.ranks import rank
from mmdg_lite.training.joint_step import Joint

LARGEST_LOG = 2**30
"""Bytes; a line has less than 1,000, and there is one for five steps."""


class TrainingLog:
    """The file; of several ranks only the first writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """An empty log."""
        if rank() == 0:
            write_text(self.path, "")

    def add(self, record: dict[str, Any]) -> None:
        """One more line. Raises `OSError` naming the file if it cannot be written, such as on a full disk."""
        if rank() > 0:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            reason = f"{error.strerror or error} (the same command goes on from the last state)"
            raise OSError(error.errno, reason, str(self.path)) from error

    def shorten(self, step: int) -> None:
        """Drop lines of later steps, since they will be made again, and what a loss of power left of the last line.

        That is a line that was cut off, and zero bytes with what follows them. Raises `ValueError`, naming the file,
        for any other line that is not one of a log, and `OSError` for a pipe or a device.
        """
        if rank() > 0:
            return
        kept = []
        content = read_regular(self.path, limit=LARGEST_LOG).partition(b"\0")[0]
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            if not line.endswith(b"\n"):
                break
            try:
                of = parse_json(line)["step"]
                if type(of) is not int:
                    raise TypeError(f"step is {of!r}")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"{self.path}, line {number}: not a line of a log ({error}); restore the file, or delete the "
                    "run's folder to start anew"
                ) from error
            if of > step:
                break
            kept.append(line)
        write_bytes(self.path, b"".join(kept))


def training_record(step: int, joint: Joint, report: Report) -> dict[str, Any]:
    """The line of one training step."""
    record: dict[str, Any] = {"event": "train", "step": step, "loss_total": plain(joint.losses.total)}
    for m, modality in enumerate(MODALITIES):
        record[f"loss_{modality.value}"] = plain(joint.losses.modalities[m])
        record[f"average_{modality.value}"] = plain(report.averages[m])
        record[f"certainty_{modality.value}"] = plain(joint.certainty[m])
        record[f"gradient_norm_{modality.value}"] = plain(report.gradient_norms[m])
    record["fastest"] = report.fastest.value if report.fastest is not None else None
    record["conflict_rate"] = plain(report.conflict_rate)
    return record


def plain(value: torch.Tensor | float | None) -> float | None:
    """A float of six significant digits for the log; None for what is missing or not a number."""
    if value is None:
        return None
    found = float(value.detach()) if isinstance(value, torch.Tensor) else float(value)
    return float(f"{found:.6g}") if math.isfinite(found) else None
