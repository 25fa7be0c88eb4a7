"""All readers of untrusted files."""

from collections.abc import Callable
from pathlib import Path

from tests.support.fuzz.data import data_readers
from tests.support.fuzz.reader import Reader
from tests.support.fuzz.runs import run_readers
from tests.support.fuzz.weights import weight_readers

GROUPS: dict[str, Callable[[Path], dict[str, Reader]]] = {
    "data": data_readers,
    "runs": run_readers,
    "weights": weight_readers,
}
"""Readers by what they read; each function gives them by their names, with their files below a folder."""


def readers(folder: Path) -> dict[str, Reader]:
    """Every reader by its name, with its files below a folder."""
    made = {}
    for name, group in GROUPS.items():
        (folder / name).mkdir()
        made |= group(folder / name)
    return made
