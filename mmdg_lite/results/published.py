"""Published numbers with their sources: those that the package holds, and the user's own."""

from collections.abc import Mapping
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from mmdg_lite.data.real.files import read_regular
from mmdg_lite.results.cells import PROTOCOLS

COLUMNS = ("method", "protocol", "setting", "metric_percent", "value", "source", "standing")
ALLOWED = {"protocol": PROTOCOLS, "metric_percent": ("hter", "auc"), "standing": ("primary", "second-hand")}

WARNINGS = {
    ("DADM", "P2"): (
        "Warning on DADM: its P2 may be another test. Its public code takes samples from the target's training lists "
        "and drops modalities at random, with probability 0.7; here, as in the code of other works, P2 takes them from "
        "every sample of the test lists. data.random_missing=true also tests with modalities missing at random."
    )
}
"""What a reader of published numbers of (method, protocol) must know before comparing them with others."""


def published_results(path: str | Path | None = None) -> pd.DataFrame:
    """Published numbers, a row each, with the columns COLUMNS; values in percent.

    `standing` is "primary" for the method's own paper and "second-hand" for a later one that quotes it.
    `path`: a user's own file of the same columns, whose rows are added.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no CSV table in UTF-8, its columns differ, or a row is unusable; the message names file and
            line.
    """
    shipped = pd.read_csv(
        StringIO((files("mmdg_lite") / "assets" / "published_results.csv").read_text(encoding="utf-8"))
    )
    if path is None:
        return shipped
    try:
        own = pd.read_csv(StringIO(read_regular(path).decode("utf-8-sig")))
    except ValueError as error:  # of pandas too
        raise ValueError(f"{path} is no CSV table in UTF-8 ({error})") from error
    if tuple(own.columns) != COLUMNS:
        raise ValueError(f"{path}: columns must be {', '.join(COLUMNS)}; they are {', '.join(own.columns)}")
    for line, row in enumerate(own.to_dict("records"), start=2):
        _check(row, where=f"{path}, line {line}")
    return pd.concat([shipped, own], ignore_index=True)


def _check(row: Mapping[Any, Any], *, where: str) -> None:
    """Raises `ValueError` for a row that no table could use."""
    for column in ("method", "setting", "source"):
        if not isinstance(row[column], str):
            raise ValueError(f"{where}: {column} is empty; every number needs it")
    for column, allowed in ALLOWED.items():
        if row[column] not in allowed:
            raise ValueError(f"{where}: {column} is {row[column]!r}; write one of {', '.join(allowed)}")
    value = row["value"]
    if not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"{where}: value is {value!r}; write a percentage, 0 to 100")
