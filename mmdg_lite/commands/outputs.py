"""What a command may write: never over a file that it reads, and over other files only when the user says so."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmdg_lite.configuration import ConfigurationError, read_values
from mmdg_lite.data.real.files import read_regular

KEYS = {"predictions", "not_decided"}
"""What a JSON file of `predict` holds."""
COLUMNS = {"id", "not_decided"}
"""Columns that every CSV file of `predict` has."""
FORMER_COLUMNS = {"id", "decision", "score", "threshold_source"}
"""Columns by which a CSV file of an earlier version is known."""


def check_outputs(outputs: Mapping[str, Sequence[Path]], inputs: Iterable[Path], *, force: bool = False) -> None:
    """Raise before anything is written where writing would destroy something.

    Args:
        outputs: files that will be written, by the option that names them.
        inputs: files and folders that the command reads.
        force: overwrite files that are there; inputs are never overwritten.

    Raises:
        ValueError: an output is an input, another output or a folder, by whatever name or link.
        FileExistsError: an output is there, is no former result of `predict`, and `force` is not set.
    """
    read = {_identity(path): path for path in inputs}
    taken: dict[object, str] = {}
    for option, paths in outputs.items():
        for path in paths:
            identity = _identity(path)
            if identity in read:
                raise ValueError(
                    f"{option} {path} would overwrite {read[identity]}, which the command reads: name another file"
                )
            if identity in taken:
                raise ValueError(f"{option} {path} is what {taken[identity]} writes already: name two files")
            taken[identity] = option
            if path.is_dir():
                raise ValueError(f"{option} {path} is a folder: name a file")
            if path.exists() and not force and not is_former_result(path):
                raise FileExistsError(
                    f"{option} {path} is there already and no former result of this command: name another file, or "
                    "overwrite it with --force"
                )


def is_former_result(path: Path) -> bool:
    """True for a JSON or CSV file that `predict` wrote, told by its keys or columns. Figures cannot be told."""
    if path.suffix.casefold() == ".csv":
        try:
            line = read_regular(path).split(b"\n", 1)[0].decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        columns = set(line.strip().split(","))
        return columns >= COLUMNS or columns >= FORMER_COLUMNS
    try:
        values = read_values(path)
    except ConfigurationError:
        return False
    return "predictions" in values and set(values) <= KEYS


def model_files(model: Path | None) -> list[Path]:
    """The files that a model is opened from; those of the package for the shipped model."""
    from mmdg_lite.runs.folder import RunFolder
    from mmdg_lite.runs.shipped import ASSETS, PICTURES, RECORD, WEIGHTS

    if model is None:
        return [ASSETS / name for name in (WEIGHTS, RECORD, PICTURES)]
    run = RunFolder(model.parent if model.is_file() else model)
    return [model, run.config, run.model, run.result, run.pictures]


def _identity(path: Path) -> object:
    """Equal for two names of one file: links of both kinds, and file systems that ignore case."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
