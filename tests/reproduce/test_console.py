"""What a user reads while a reproduction runs: progress and results, no chatter of kernels and libraries."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mmdg_lite.reproduce.everything import INTRODUCTION, NOTEBOOKS, TABLES_NOTEBOOK
from mmdg_lite.reproduce.grid import TRAINING_NOTEBOOK

ALARMING = re.compile(r"warn|(?<!equal-)error|exception|traceback|deprecat|fail|interrupt|critical", re.IGNORECASE)
COUNTS = re.compile(r"^ *method +waiting +running +finished +failed$", re.MULTILINE)  # the head of the progress table
PARAMETERS = "profile = seed = device = data_root = out_dir = runs = ''"
NOISY = "import sys, warnings\nwarnings.warn('from a kernel')\nprint('an error', file=sys.stderr)\nprint(1)"
PROGRAM = """
import sys
from pathlib import Path
from mmdg_lite.reproduce import everything

if __name__ == "__main__":
    everything.NOTEBOOKS = Path(sys.argv[1])
    small = {{"data": {{"train_samples": 12, "validation_samples": 12, "test_samples": 12}}, "training": {training}}}
    everything.reproduce(
        "quick", settings=["CPS->W"], methods=["fusion"], out=sys.argv[2], device="cpu", changes=small
    )
"""
TRAINING = {"steps": 2, "batch_size": 6, "validate_every": 1}


def alarming(text: str) -> list[str]:
    """Lines that look like a warning or an error."""
    return [line for line in COUNTS.sub("", text).splitlines() if ALARMING.search(line)]


def test_chatter_is_recognised():
    chatter = (
        "[IPKernelApp] WARNING | Kernel is running over TCP without encryption\nKeyboardInterrupt caught in kernel."
    )
    assert len(alarming(chatter)) == 2
    assert alarming("          method  waiting  running  finished  failed\nP1        fusion  0  0  2  0") == []


def test_a_small_reproduction_is_quiet(tmp_path):
    """The training notebook is the real one; the others say things that must not reach the console."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for name in (*INTRODUCTION, TABLES_NOTEBOOK):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (PARAMETERS, NOISY)])
        book.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(book, notebooks / name)
    (notebooks / TRAINING_NOTEBOOK).write_bytes((NOTEBOOKS / TRAINING_NOTEBOOK).read_bytes())
    (tmp_path / "program.py").write_text(PROGRAM.format(training=TRAINING), "utf-8")
    command = [sys.executable, "program.py", str(notebooks), str(tmp_path / "out")]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert made.returncode == 0, made.stderr[-3000:]
    assert alarming(made.stdout + made.stderr) == []
    assert "Plain fusion" in made.stdout and "1 of 1 runs finished" in made.stdout
    logs = sorted((tmp_path / "out" / "notebooks").glob("*.log"))
    assert len(logs) == 4


@pytest.mark.slow
def test_the_main_job_is_quiet(tmp_path):
    """Every notebook is the real one, in as few steps as possible."""
    command = [sys.executable, "-m", "mmdg_lite", "reproduce", "--profile", "quick", "--settings", "CPS->W"]
    command += ["--out", str(tmp_path / "out"), "--set", "training.steps=2", "data.test_samples=40"]
    made = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=1800)
    assert made.returncode == 0, made.stderr[-3000:]
    assert alarming(made.stdout + made.stderr) == []
