"""Student versions of the assignments, made from the notebooks with solutions. Markers and metadata are nbgrader's.

Between `### BEGIN SOLUTION` and `### END SOLUTION` stands what students write, between `### BEGIN HIDDEN TESTS` and
`### END HIDDEN TESTS` what they do not see. nbgrader makes the same of these notebooks; it is not needed for this.
"""

import copy
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mmdg_lite.configuration import REPOSITORY, write_text
from mmdg_lite.reproduce.notebooks import clean

SOURCES = REPOSITORY / "notebooks" / "assignments"
PICTURES = "pictures"
"""Folder beside the notebooks with what a student's plots should look like."""
SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN_TESTS = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
CODE_STUB = ("# YOUR CODE HERE", 'raise NotImplementedError("write your answer here")')
TEXT_STUB = ("YOUR ANSWER HERE",)


class MarkersBroken(ValueError):
    """A marker has no partner, or stands inside another pair; the message names the cell."""


@dataclass(frozen=True)
class Written:
    """Files of student versions: those written now, and those left alone since they hold something else."""

    files: tuple[Path, ...]
    left_alone: tuple[Path, ...]


def assignments(out: str | Path = "runs/assignments", *, sources: str | Path = SOURCES, force: bool = False) -> Written:
    """Write the student version of every assignment, and the pictures that they show, into the folder `out`.

    A notebook that is there and differs may hold answers: it is left alone, unless `force` is set. What does not need
    filling in (the study's notebook of one run) is copied. A file appears whole or not at all.

    Raises:
        FileNotFoundError: there are no assignments in `sources` (an installation without the repository).
        ValueError: `out` is the folder of the sources, whose solutions would be lost.
        MarkersBroken: a source's markers do not match.
    """
    sources, out = Path(sources), Path(out)
    found = sorted(sources.glob("*.ipynb"))
    if not found:
        raise FileNotFoundError(f"no assignments in {sources}: run from a clone of the repository (pip install -e .)")
    if out.resolve() == sources.resolve():
        raise ValueError(f"{out} holds the solutions; choose another folder for the student versions")
    texts = {out / path.name: nbformat.writes(student_version(nbformat.read(path, as_version=4))) for path in found}
    files, left_alone = [], []
    for path, text in texts.items():
        if not force and path.exists() and path.read_bytes() != (text + "\n").encode():
            left_alone.append(path)
            continue
        write_text(path, text + "\n")
        files.append(path)
    for picture in sorted((sources / PICTURES).glob("*.png")):
        (out / PICTURES).mkdir(exist_ok=True)
        shutil.copyfile(picture, out / PICTURES / picture.name)
    return Written(tuple(files), tuple(left_alone))


def student_version(book: NotebookNode) -> NotebookNode:
    """A copy without solutions, hidden tests and outputs. Raises `MarkersBroken` naming the cell."""
    book = clean(copy.deepcopy(book))
    for cell in book.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", cell["id"])
        stub = CODE_STUB if cell.cell_type == "code" else TEXT_STUB
        lines = list(_replaced(cell.source.splitlines(), SOLUTION, stub, name))
        cell.source = "\n".join(_replaced(lines, HIDDEN_TESTS, (), name)).rstrip()
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return book


def _replaced(lines: Sequence[str], markers: tuple[str, str], stub: Sequence[str], name: str) -> Iterator[str]:
    """The lines with every marked region, markers included, replaced by the stub at the region's indentation."""
    begin, end = markers
    inside = False
    for line in lines:
        text = line.strip()
        if text in (begin, end) and inside == (text == begin):
            raise MarkersBroken(f"cell {name!r}: {text!r} without its partner")
        if text == begin:
            inside = True
            yield from (line[: line.index(begin)] + new for new in stub)
        elif text == end:
            inside = False
        elif not inside:
            yield line
    if inside:
        raise MarkersBroken(f"cell {name!r}: {begin!r} without its partner")
