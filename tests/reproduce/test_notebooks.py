"""Executing and cleaning notebooks, on small ones made here."""

import io
import json
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from mmdg_lite.__main__ import main
from mmdg_lite.configuration import ConfigurationError
from mmdg_lite.reproduce import notebooks


def written(path: Path, *cells: str) -> Path:
    """A notebook with a parameters cell (`number = 1`, `out_dir = "."`) and the given code cells."""
    parameters = new_code_cell('number = 1\nout_dir = "."', metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[parameters, new_markdown_cell("# Text"), *map(new_code_cell, cells)]), path)
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    report = """
import json, pathlib, sys
pathlib.Path(out_dir, "seen.json").write_text(json.dumps([number, sys.executable, str(pathlib.Path.cwd())]))
"""
    noisy = 'import sys\nprint("bar", file=sys.stderr)\nprint(number + 1, out_dir)\nobject()'
    source = written(folder / "00_small.ipynb", report, noisy)
    parameters = {"number": 41, "out_dir": folder}
    return notebooks.execute(source, parameters=parameters, out=folder / "out" / "00_small.ipynb", progress=False)


def test_a_notebook_runs_in_its_own_folder_with_this_interpreter_and_the_parameters(executed):
    folder = executed.parent.parent
    number, interpreter, place = json.loads((folder / "seen.json").read_text())
    assert number == 41
    assert Path(interpreter).resolve() == Path(sys.executable).resolve()
    assert Path(place) == folder.resolve()


def test_braces_in_folders_are_no_parameters(tmp_path):
    folder = tmp_path / "{number} {other}"
    folder.mkdir()
    source = written(folder / "00_{number}.ipynb", "x = number")
    out = notebooks.execute(source, parameters={"number": 2}, out=folder / "out" / "{x}.ipynb", progress=False)
    assert out.is_file() and sorted(path.name for path in tmp_path.iterdir()) == ["{number} {other}"]


def test_cleaning_leaves_sources_and_outputs_and_nothing_of_the_machine(executed):
    book = notebooks.clean(nbformat.read(executed, as_version=4), places=(executed.parent.parent,))
    text = nbformat.writes(book)
    assert str(executed.parent.parent) not in text
    for word in ("papermill", '"stderr"', "injected", "widgets", "0x7"):
        assert word not in text
    assert "42 ." in text
    assert [cell.execution_count for cell in book.cells if cell.cell_type == "code"] == [1, 2, 3]
    assert book.cells[0].metadata.tags == ["parameters"]
    assert book.metadata.kernelspec.name == "python3"


def test_cleaning_twice_changes_nothing(executed):
    once = notebooks.clean(nbformat.read(executed, as_version=4))
    assert nbformat.writes(notebooks.clean(once)) == nbformat.writes(once)


def test_widgets_are_removed_from_outputs_and_metadata():
    view = nbformat.v4.new_output(
        "display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "x"}
    )
    picture = nbformat.v4.new_output("display_data", data={"image/png": "aaaa", "text/plain": "<Figure>"})
    cell = new_code_cell("x", outputs=[view, picture], execution_count=7, metadata={"editable": True, "tags": ["a"]})
    book = notebooks.clean(new_notebook(cells=[cell], metadata={"widgets": {"state": {}}, "papermill": {}}))
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert [o.data.get("image/png") for o in book.cells[0].outputs] == ["aaaa"]
    assert book.cells[0].metadata == {"tags": ["a"]}


def test_a_widget_with_a_picture_leaves_its_picture():
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "image/png": "aaaa", "text/plain": "words"}
    cell = new_code_cell("x", outputs=[nbformat.v4.new_output("execute_result", data=data, execution_count=3)])
    book = notebooks.clean(new_notebook(cells=[cell]))
    assert book.cells[0].outputs[0].data == {"image/png": "aaaa", "text/plain": "words"}


def test_scripts_for_live_widgets_are_removed():
    script = nbformat.v4.new_output("display_data", {"application/javascript": "1"})
    cell = new_code_cell("x", outputs=[script], execution_count=1)
    assert notebooks.clean(new_notebook(cells=[cell])).cells[0].outputs == []


def test_a_chart_gets_few_colours_and_a_photograph_keeps_its_own():
    chart = np.full((90, 160, 4), 255, np.uint8)
    chart[20:40, 20:140] = (213, 94, 0, 255)
    chart[60:70, 20:140] = (0, 0, 0, 0)  # transparent: white on white
    y, x = np.mgrid[:90, :160]
    photograph = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)
    for pixels, mode in ((chart, "P"), (photograph, "RGB")):
        plain = io.BytesIO()
        Image.fromarray(pixels).save(plain, "PNG", compress_level=0)
        light = notebooks.light_png(plain.getvalue())
        assert len(light) < len(plain.getvalue())
        shown = Image.open(io.BytesIO(light))
        assert shown.mode == mode
        expected = pixels[..., :3] if mode == "RGB" else np.where(pixels[..., 3:] > 0, pixels[..., :3], 255)
        np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), expected)
        assert notebooks.light_png(light) == light


def test_unknown_parameters_are_errors(tmp_path):
    source = written(tmp_path / "00.ipynb", "number")
    with pytest.raises(ValueError, match=r"00\.ipynb has no parameter nubmer; it has number, out_dir$"):
        notebooks.execute(source, parameters={"nubmer": 2}, out=tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


def test_a_failing_cell_is_shown_and_the_notebook_kept_as_far_as_it_got(tmp_path):
    source = written(tmp_path / "00.ipynb", "print('so far')", "1 / 0", "print('never')")
    with pytest.raises(notebooks.NotebookFailed, match=r"00\.ipynb, cell 3: ZeroDivisionError") as failure:
        notebooks.execute(source, parameters={}, out=tmp_path / "out.ipynb", progress=False)
    assert "1 / 0" in str(failure.value)
    assert len(str(failure.value).splitlines()) < 40
    kept = failure.value.path.read_text()
    assert "so far" in kept
    assert '"never\\n"' not in kept


def test_what_a_kernel_says_beside_its_outputs_goes_into_a_log_and_not_onto_the_console(tmp_path, capfd):
    source = written(tmp_path / "00.ipynb", "import os\nos.write(2, b'chatter of the kernel')\nprint(6 * 7)")
    out = notebooks.execute(source, parameters={}, out=tmp_path / "out" / "00.ipynb", progress=False)
    assert "42" in out.read_text()
    assert capfd.readouterr() == ("", "")
    assert "chatter of the kernel" in out.with_suffix(".log").read_text()


def test_a_users_own_kernel_called_python3_is_passed_over(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    source = written(tmp_path / "00.ipynb", "print(6 * 7)")
    out = notebooks.execute(source, parameters={}, out=tmp_path / "out.ipynb", progress=False)
    assert "42" in out.read_text()


def test_refresh_puts_the_cleaned_result_in_place_with_the_numbers_that_it_found(tmp_path, monkeypatch):
    findings = (
        "from mmdg_lite.reproduce.notebooks import write_findings\nwrite_findings(out_dir, '03', {'n': number + 10})"
    )
    source = written(tmp_path / "03_x.ipynb", findings, "print(number + 10)")
    book = nbformat.read(source, as_version=4)
    book.cells.append(new_markdown_cell("We find 5<!--=n:d-->."))
    nbformat.write(book, source)
    monkeypatch.chdir(tmp_path)
    assert main(["notebooks", "03", "--folder", ".", "--out", "executed"]) == 0
    text = source.read_text()
    assert "11\\n" in text
    assert "papermill" not in text
    assert "We find 11<!--=n:d-->." in text
    assert json.loads((tmp_path / "findings" / "03.json").read_text()) == {"n": 11}
    assert main(["notebooks", "04", "--folder", "."]) == 1


def test_findings_are_plain_finite_values(tmp_path):
    values = {"a": np.float32(0.5), "b": torch.tensor([1, 2]), "c": {"d": (True, None, "x")}, "e": Path("p/q")}
    notebooks.write_findings(tmp_path, "06", values)
    assert notebooks.read_findings(tmp_path, "06") == {"a": 0.5, "b": [1, 2], "c": {"d": [True, None, "x"]}, "e": "p/q"}
    with pytest.raises(ValueError, match="JSON"):
        notebooks.write_findings(tmp_path, "06", {"a": float("nan")})
    with pytest.raises(TypeError, match="not object"):
        notebooks.write_findings(tmp_path, "06", {"a": object()})


def test_only_numbered_notebooks_are_chapters(tmp_path):
    for name in ("01_b.ipynb", "00_a.ipynb", "scratch.ipynb", "02_notes.md"):
        (tmp_path / name).write_text("")
    assert [p.name for p in notebooks.numbered(tmp_path)] == ["00_a.ipynb", "01_b.ipynb"]


@pytest.mark.parametrize("text", ["[1]", '{"x": 1', "[" * 100_000, "\ufffd", "NaN"])
def test_damaged_findings_are_named(tmp_path, text):
    (tmp_path / "00_findings.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"00_findings\.json"):
        notebooks.read_findings(tmp_path, "00")
    with pytest.raises(FileNotFoundError, match=r"01_findings\.json"):
        notebooks.read_findings(tmp_path, "01")
