"""One planned run, executed by papermill on notebook 06, whoever asks for it and however often.

A worker may be killed while its notebook's kernel lives on for a moment, and a scheduler may give one run to two
workers when it has lost sight of the first. Two locks make that harmless: `.execution.lock` is held by whoever
executes a run, `.lock` by the process that trains it (`RunFolder.claimed`). Whoever comes second waits, and finds a
finished run, or one to go on from. Run folders on several machines must therefore lie on one file system with locks.
"""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from mmdg_lite.configuration import write_json, write_text
from mmdg_lite.reproduce.notebooks import NotebookFailed, execute
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.folder import RunFolder

CURRENT, FAILURE = "execution.json", "failure.txt"  # in a run's folder


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run that has still to be made, or is finished already."""

    config: RunConfig
    folder: Path
    notebook: Path  # where its executed notebook goes
    changes: dict[str, dict[str, object]]  # of the profile's settings, by part: data, model, training

    @property
    def finished(self) -> bool:
        """True once its result is written."""
        return RunFolder(self.folder).finished


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run: `error` is empty if it finished."""

    name: str
    seconds: float
    error: str = ""


def execute_run(run: PlannedRun, notebook: Path) -> Outcome:
    """Execute one run by papermill unless it is finished; an error becomes part of the outcome.

    The folder's `execution.json` says where and since when, `failure.txt` has the traceback of a failure.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder / ".execution.lock"):
        with FileLock(run.folder / ".lock"):  # until nobody trains this run, such as a killed worker's kernel
            pass
        if run.finished:
            return Outcome(name=run.config.name, seconds=0.0)
        return _executed(run, notebook)


def _executed(run: PlannedRun, notebook: Path) -> Outcome:
    started = time.time()
    write_json(run.folder / CURRENT, {"worker": f"{socket.gethostname()}:{os.getpid()}", "started": started})
    (run.folder / FAILURE).unlink(missing_ok=True)
    error = trace = ""
    try:
        execute(notebook, parameters=_parameters(run), out=run.notebook, progress=False)
    except NotebookFailed as failure:
        error, trace = str(failure), failure.traceback
    except Exception as failure:  # such as a kernel that ran out of memory: the other runs go on
        error = f"{type(failure).__name__}: {failure}"
    if not error and not run.finished:
        error = f"the notebook came to its end, but {run.folder} has no result"
    if error:
        write_text(run.folder / FAILURE, f"{error}\n\n{trace}\n")
    (run.folder / CURRENT).unlink(missing_ok=True)
    return Outcome(name=run.config.name, seconds=time.time() - started, error=error)


def _parameters(run: PlannedRun) -> dict[str, object]:
    """Of notebook 06."""
    config = run.config
    parameters: dict[str, object] = {
        "profile": config.profile,
        "seed": config.seed,
        "device": config.device,
        "data_root": config.data.root or "",
        "out_dir": str(run.folder.resolve()),
        "protocol": config.protocol,
        "setting": config.setting,
        "method": config.method,
        "cache": str(Path(config.data.cache).resolve()) if config.data.cache else "",
        "teach": False,  # a lesson for readers, not for a run of a grid
    }
    parameters |= {"changes": run.changes} if run.changes else {}
    return parameters | ({"plugins": [plugin.path for plugin in config.plugins.values()]} if config.plugins else {})
