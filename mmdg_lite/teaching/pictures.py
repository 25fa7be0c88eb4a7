"""Pictures of what a student's plots should look like, made by the solutions: python -m mmdg_lite.teaching.pictures.

A cell of text that links `pictures/NAME.png` stands below the cell that draws it.
"""

import base64
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

from mmdg_lite.configuration import write_bytes
from mmdg_lite.reproduce.notebooks import execute
from mmdg_lite.teaching.assignments import PICTURES, SOURCES

LINK = re.compile(rf"!\[[^\]]+\]\({PICTURES}/(\w+)\.png\)")
WIDTH = 640
"""Pixels across of a picture; it is looked at beside the student's own."""
COLOURS = 64


def linked(book: NotebookNode) -> Iterator[tuple[str, int]]:
    """Name of every picture that a notebook links, and the position of the cell of code above, which draws it."""
    for position, cell in enumerate(book.cells):
        for name in LINK.findall(cell.source) if cell.cell_type == "markdown" else ():
            yield name, max(i for i in range(position) if book.cells[i].cell_type == "code")


def renew(path: Path) -> list[Path]:
    """Execute the solutions at `path` as far as their last picture and write its pictures; returns the files."""
    book = nbformat.read(path, as_version=4)
    drawn_by = dict(linked(book))
    if not drawn_by:
        return []
    book.cells = book.cells[: 1 + max(drawn_by.values())]
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / path.name
        nbformat.write(book, part)
        done = execute(part, parameters={"out_dir": folder}, out=Path(folder) / "executed.ipynb", progress=False)
        cells = [c for c in nbformat.read(done, as_version=4).cells if "injected-parameters" not in c.metadata.tags]
    written = []
    for name, position in drawn_by.items():
        [picture] = [o.data["image/png"] for o in cells[position].outputs if "image/png" in o.get("data", {})]
        written.append(path.parent / PICTURES / f"{name}.png")
        write_bytes(written[-1], _small(base64.b64decode(picture)))
    return written


def _small(png: bytes) -> bytes:
    """A picture at `WIDTH` and with few colours, so that it takes some ten kilobytes."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.quantize(COLOURS).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    for source in sorted(SOURCES.glob("*.ipynb")):
        for written in renew(source):
            print(written, f"{written.stat().st_size / 1024:.0f} kB")
