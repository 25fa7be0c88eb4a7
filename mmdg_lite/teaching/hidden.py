"""Hidden tests: numbers that an answer gives are compared in a process of their own.

Cells of a notebook can replace whatever lives in the notebook's own process, the checks among it. The answer has to run
there, but what is right is computed, and compared, by `python -m mmdg_lite.teaching.hidden`, which reads a line of JSON
per test and answers with a line.
"""

import atexit
import contextlib
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any, TextIO, cast

import numpy as np
import pandas as pd

from mmdg_lite.teaching.checks.task import CheckFailed, Task, flat


def hidden_test(module: str, answer: Callable[..., Any], *, seed: int = 1, trials: int = 40) -> None:
    """Compare an answer with the right values on other random inputs than the visible check's.

    `module` of `mmdg_lite.teaching.checks` holds the task, whose name is the answer's.

    Raises:
        CheckFailed: the answer differs; the message says on how many inputs, not on which.
        NotImplementedError: it is still blank.
    """
    name = answer.__name__
    inputs = replace(_task(module, name), seed=seed, trials=trials).inputs()
    outputs = [_plain(answer(**copy.deepcopy(one))) for one in inputs]
    request = {"module": module, "name": name, "seed": seed, "trials": trials, "outputs": outputs}
    right = _ask(request)
    if not all(right):
        raise CheckFailed(f"{name}: {right.count(False)} of {len(right)} hidden tests failed")


def _task(module: str, name: str) -> Task:
    return cast(Task, getattr(import_module(f"mmdg_lite.teaching.checks.{module}"), f"check_{name}"))


def _plain(output: Any) -> Any:
    """An output as JSON can hold it: None, a table's columns, or per array its shape and values."""
    if output is None:
        return None
    if isinstance(output, pd.DataFrame):
        return {str(name): output[name].tolist() for name in output.columns}
    return [{"shape": array.shape, "values": array.ravel().tolist()} for array in flat(output)]


def _restored(output: Any) -> Any:
    """An output from what `_plain` made of it: None, a table, a number, an array or several arrays."""
    if output is None:
        return None
    if isinstance(output, dict):
        return pd.DataFrame(output)
    arrays = [np.array(one["values"], dtype=np.float64).reshape(one["shape"]) for one in output]
    return (arrays[0] if arrays[0].ndim else float(arrays[0])) if len(arrays) == 1 else arrays


@cache
def _process() -> "subprocess.Popen[str]":
    """The process that compares, started at the first hidden test; it ends with the notebook's."""
    command = [sys.executable, "-P", "-m", "mmdg_lite.teaching.hidden"]  # -P: nothing from the submission's folder
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # an interrupted cell does not end it
    )
    atexit.register(process.communicate)  # closes its input, at which it ends
    return process


def _ask(request: dict[str, Any]) -> list[bool]:
    process = _process()
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the process of the hidden tests has ended; its message is in the server's log")
    return [value is True for value in json.loads(line)]


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer every line of `requests` by one with a list of truth values, until the input ends."""
    for line in requests:
        asked = json.loads(line)
        task = replace(_task(asked["module"], asked["name"]), seed=asked["seed"], trials=asked["trials"])
        print(json.dumps(task.agrees([_restored(output) for output in asked["outputs"]])), file=answers, flush=True)


if __name__ == "__main__":
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what an import prints is no answer
        serve(sys.stdin, out)
