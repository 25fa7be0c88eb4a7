"""Runs notebooks with this very interpreter, and cleans executed ones so that they can be committed."""

import ast
import base64
import copy
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat import NotebookNode
from PIL import Image
from tqdm.auto import tqdm

from mmdg_lite.configuration import REPOSITORY, read_values, write_json, write_text
from mmdg_lite.reproduce.stated_numbers import fill_numbers

KERNEL = "python3"
# metadata that is kept on a cell; the rest belongs to tools (papermill's timings, editors' state)
CELL_KEYS = ("tags", "jupyter", "nbgrader")
WIDGET = "application/vnd.jupyter.widget-view+json"
SCRIPT = "application/javascript"
ADDRESS = re.compile(r"(?<= at )0x[0-9a-f]{6,}")
UNSEEN = 0.25
"""Mean change of a pixel's value, of 255, that a picture of fewer colours may have; charts stay far below it."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of IPython's tracebacks


class NotebookFailed(RuntimeError):
    """A cell raised. The message holds the cell's source and the error; `.path` is the notebook as far as it
    got, `.traceback` the whole way to the error as plain text."""

    def __init__(self, message: str, *, path: Path, traceback: str = "") -> None:
        super().__init__(message)
        self.path, self.traceback = path, traceback


@contextmanager
def temporary_environment(values: Mapping[str, str]) -> Iterator[None]:
    """While it lasts, these are the environment's values."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def own_kernel() -> Iterator[None]:
    """While it lasts, the kernel called python3 is the one of the running interpreter's own environment.

    Kernels that a user has registered elsewhere under the same name, and JUPYTER_PATH, would otherwise win.
    """
    wanted = {"JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"), "JUPYTER_PREFER_ENV_PATH": "1"}
    with temporary_environment(wanted):
        yield


def kernel_manager_with_log(path: Path) -> type[Any]:
    """A kernel manager whose kernel writes its own messages into a file and not onto the user's console."""
    from jupyter_client.manager import AsyncKernelManager

    class KernelManagerWithLog(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> Any:  # type: ignore[override]
            with path.open("a", encoding="utf-8") as log:
                return await super().start_kernel(stderr=log, **options)

    return KernelManagerWithLog


def execute(
    path: str | Path,
    *,
    parameters: Mapping[str, Any],
    out: str | Path,
    cwd: str | Path | None = None,
    cell_timeout: int = 3600,
    progress: bool = True,
) -> Path:
    """Execute the notebook at `path` by papermill with `parameters`, writing it to `out`; returns `out`.

    The notebook runs with this interpreter, in the folder `cwd`, by default its own. What its kernel says beside the
    cells' outputs goes into a file beside `out` that ends in `.log`. `cell_timeout` in seconds. Unknown parameters,
    those that the notebook's tagged cell does not set, raise ValueError. A cell that raises gives NotebookFailed, and
    `out` holds the notebook up to there.
    """
    import papermill  # slow to import, and not needed for cleaning

    path, out = Path(path).resolve(), Path(out).resolve()
    known = parameter_names(nbformat.read(path, as_version=4))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{path.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()}
    try:
        with own_kernel(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # papermill's and its dependencies' own
            papermill.execute_notebook(
                _literal(path),
                _literal(out),
                parameters=plain,
                kernel_name=KERNEL,
                language="python",
                cwd=str(cwd or path.parent),
                progress_bar={"desc": path.stem, "leave": True} if progress else False,
                execution_timeout=cell_timeout,
                request_save_on_cell_execute=True,
                log_output=False,
                kernel_manager_class=kernel_manager_with_log(out.with_suffix(".log")),
            )
    except papermill.PapermillExecutionError as error:
        where = f"{path.name}, cell {error.exec_count}: {error.ename}: {error.evalue}"
        message = f"{where}\n\n{error.source}\n\n(executed so far: {out})"
        raise NotebookFailed(message, path=out, traceback=COLOUR.sub("", "\n".join(error.traceback))) from error
    return out


def _literal(path: Path) -> str:
    """A path that papermill takes as it is: it fills in parameters between braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def parameter_names(notebook: NotebookNode) -> list[str]:
    """The names that the cell tagged "parameters" assigns, in order; none without such a cell."""
    cells = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    names = []
    for statement in (s for cell in cells for s in ast.parse(cell.source).body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def clean(notebook: NotebookNode, *, places: Sequence[str | Path] = ()) -> NotebookNode:
    """A copy of an executed notebook that is fit to be committed.

    Removed: widgets and their state (an explorer's picture stays, with its width and words), papermill's metadata and
    injected cell, tools' cell metadata, progress bars on stderr, memory addresses in outputs. Kept: sources, tags,
    outputs, execution counts (renumbered from 1). `places`: absolute folders whose mention in outputs is replaced by
    ".". Cell ids are numbered, so that cleaning twice changes nothing.
    """
    book = copy.deepcopy(notebook)
    kernelspec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": KERNEL}
    book.metadata = nbformat.from_dict({"kernelspec": kernelspec, "language_info": {"name": "python"}})
    book.cells = [cell for cell in book.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    count = 0
    for index, cell in enumerate(book.cells):
        cell["id"] = f"cell-{index:02}"
        cell.metadata = NotebookNode({key: cell.metadata[key] for key in CELL_KEYS if key in cell.metadata})
        if cell.cell_type != "code":
            continue
        executed = cell.execution_count is not None
        count += executed
        cell.execution_count = count if executed else None
        cell.outputs = [_clean_output(o, cell.execution_count, places) for o in cell.outputs if _is_kept(o)]
    nbformat.validate(book)
    return book


def _is_kept(output: NotebookNode) -> bool:
    """Not what goes to stderr, nor a widget that has no picture to stand for it, nor a script for live widgets."""
    data = output.get("data", {})
    live = SCRIPT in data or (WIDGET in data and "image/png" not in data)
    return output.get("name") != "stderr" and not live


def _clean_output(output: NotebookNode, count: int | None, places: Sequence[str | Path]) -> NotebookNode:
    if "execution_count" in output:
        output["execution_count"] = count
    if "metadata" in output:
        output["metadata"] = NotebookNode({k: v for k, v in output["metadata"].items() if k == "image/png"})

    def tidy(value: Any) -> Any:
        if isinstance(value, list):
            return [tidy(v) for v in value]
        if not isinstance(value, str):
            return value
        for place in sorted(map(str, places), key=len, reverse=True):
            value = value.replace(place, ".")
        return ADDRESS.sub("0x…", value)

    output.get("data", {}).pop(WIDGET, None)
    if "text" in output:
        output["text"] = tidy(output["text"])
    for kind in output.get("data", {}):
        if kind.startswith("text/"):
            output["data"][kind] = tidy(output["data"][kind])
    return output


def light_png(png: bytes) -> bytes:
    """A smaller PNG of the same picture on white: of 256 colours where that is not seen (`UNSEEN`), else of all.

    A picture that has a palette already is returned as it is.
    """
    picture = Image.open(io.BytesIO(png))
    if picture.mode == "P":
        return png
    whole = Image.new("RGBA", picture.size, "white")
    whole.alpha_composite(picture.convert("RGBA"))
    full = whole.convert("RGB")
    few = full.quantize(256, dither=Image.Dither.NONE)
    change = np.abs(np.asarray(few.convert("RGB"), dtype=float) - np.asarray(full))
    written = io.BytesIO()
    (few if change.mean() < UNSEEN else full).save(written, "PNG", optimize=True)
    return min(png, written.getvalue(), key=len)


def _lighten(book: NotebookNode) -> None:
    for output in (o for cell in book.cells for o in cell.get("outputs", [])):
        if encoded := output.get("data", {}).get("image/png"):
            output["data"]["image/png"] = base64.b64encode(light_png(base64.b64decode(encoded))).decode()


def write_findings(out_dir: str | Path, notebook: str, values: Mapping[str, Any]) -> Path:
    """What a notebook found, as `out_dir/<notebook>_findings.json`, for tests to assert on; returns that path.

    `values`: names to numbers, texts, truth values, None, and lists or objects of these; numpy's and torch's scalars
    become plain numbers. Raises ValueError for a number that is not finite and TypeError for anything else.
    """
    path = Path(out_dir) / f"{notebook}_findings.json"
    write_json(path, _plain(dict(values)))
    return path


def read_findings(out_dir: str | Path, notebook: str) -> dict[str, Any]:
    """What `write_findings` wrote.

    Raises FileNotFoundError when the notebook has not been run into `out_dir`, ConfigurationError for a damaged file.
    """
    path = Path(out_dir) / f"{notebook}_findings.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no findings; run the notebook first")
    return read_values(path)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # numpy's and torch's scalars and arrays
        return _plain(value.tolist())
    raise TypeError(f"a finding must be numbers or text, not {type(value).__name__}")


def numbered(folder: str | Path) -> list[Path]:
    """The numbered notebooks of a folder (00-..., 01-...), in order."""
    return sorted(p for p in Path(folder).glob("[0-9][0-9]*.ipynb"))


def refresh(paths: Sequence[Path], *, out: Path, parameters: Mapping[str, Any] | None = None) -> None:
    """Execute each notebook with its own default parameters (or `parameters`) and put the cleaned result in its place.

    Its findings go into `findings/NN.json` beside it, and the numbers that its sentences state are written from them
    (`stated_numbers`). Pictures are stored with as few colours as they need (`light_png`).
    """
    for path in tqdm(paths, desc="notebooks", unit="notebook"):
        own = out.resolve() / path.stem
        executed = execute(path, parameters={"out_dir": own, **(parameters or {})}, out=out / path.name)
        book = clean(nbformat.read(executed, as_version=4), places=(own, REPOSITORY, Path.home()))
        _lighten(book)
        findings = read_findings(own, path.name[:2])
        for cell in book.cells:
            if cell.cell_type == "markdown":
                cell.source = fill_numbers(cell.source, findings)
        write_json(path.parent / "findings" / f"{path.name[:2]}.json", findings)
        write_text(path, nbformat.writes(book) + "\n")
