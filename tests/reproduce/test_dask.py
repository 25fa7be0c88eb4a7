"""The grid on Dask workers in processes of their own, one of which is killed in the middle of a run."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
from distributed import Client

from mmdg_lite.configuration import to_dict
from mmdg_lite.reproduce.dask import LOOPBACK, on_dask
from mmdg_lite.reproduce.execution import FAILURE, PlannedRun
from mmdg_lite.reproduce.grid import TRAINING_NOTEBOOK, run_grid
from mmdg_lite.results.collect import read_history
from tests.support.small_runs import STEPS, small_config, small_run

ROOT = Path(__file__).parents[2]
PARTS = ("data", "model", "training")
# trains a small run, slowly, and notes every step that is really made and every result that is written
BODY = """
import time
from pathlib import Path
from mmdg_lite.training import run as training
from mmdg_lite.training.trainer import Trainer
from tests.support.small_runs import small_run

made, make, write = Path(out_dir), Trainer._log, training.write_json

def note(name, text):
    with open(made / name, "a") as file:
        file.write(text)

def step(trainer, record, bar):
    note("steps_made", f"{trainer.step}\\n")
    time.sleep(0.15)
    make(trainer, record, bar)

def written(path, values):
    if path.name == "result.json":
        note("results_written", "x")
    write(path, values)

made.mkdir(parents=True, exist_ok=True)
note("executions", "x")
Trainer._log, training.write_json = step, written
small_run(out_dir, method, seed=seed, training=changes["training"])
"""
SLOW = {"checkpoint_every": 1}


@pytest.fixture
def notebooks(tmp_path):
    names = ("profile", "device", "data_root", "out_dir", "protocol", "setting", "method", "cache", "teach")
    assignments = "\n".join(f"{name} = ''" for name in names) + "\nseed = 0\nchanges = {}"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (assignments, BODY)])
    book.cells[0].metadata["tags"] = ["parameters"]
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(book, folder / TRAINING_NOTEBOOK)
    return folder


def small_plan(folder, seeds):
    runs = []
    for seed in seeds:
        config = small_config("fusion", seed=seed, training=SLOW)
        parts = {part: values for part, values in to_dict(config).items() if part in PARTS}
        notebook = folder / f"executed{seed}.ipynb"
        runs.append(PlannedRun(config=config, folder=folder / f"run{seed}", notebook=notebook, changes=parts))
    return runs


@pytest.fixture
def processes(monkeypatch):
    """A function that starts Dask's own commands; what still runs at the end is killed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started = []

    def start(command, *arguments):
        line = [sys.executable, "-W", "ignore", "-m", f"distributed.cli.dask_{command}", *arguments]
        started.append(subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def started_scheduler(processes, file):
    """The address of a scheduler on a port that the system chose, once it listens there."""
    options = ("--host", LOOPBACK, "--port", "0", "--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0")
    process = processes("scheduler", *options, "--scheduler-file", str(file))
    while True:
        assert process.poll() is None, "the scheduler ended"
        with suppress(FileNotFoundError, json.JSONDecodeError):  # not there yet, or not whole
            return json.loads(file.read_text())["address"]
        time.sleep(0.02)


def kill_in_the_middle(folder, workers, killed):
    """Kill the worker that executes the first run to have made a third of its steps."""
    numbers = {worker.pid: worker for worker in workers}
    while not killed:
        for current in folder.glob("run*/execution.json"):
            made = current.with_name("steps_made")
            if made.is_file() and len(made.read_text().split()) >= STEPS // 3:
                pid = int(re.fullmatch(r".*:(\d+)", json.loads(current.read_text())["worker"])[1])
                os.kill(pid, signal.SIGKILL)
                killed.append((current.parent.name, numbers[pid]))
                return
        time.sleep(0.02)


def test_a_killed_worker_loses_nothing_and_nothing_is_made_twice(notebooks, processes, tmp_path):
    address = started_scheduler(processes, tmp_path / "scheduler.json")
    options = ("--no-nanny", "--nthreads", "1", "--host", LOOPBACK, "--no-dashboard")
    workers = [processes("worker", address, *options, "--local-directory", str(tmp_path / f"dask{n}")) for n in (0, 1)]
    with Client(address, timeout=600) as client:  # workers may take long to start on a loaded machine
        client.wait_for_workers(len(workers), timeout=600)
    runs, killed = small_plan(tmp_path, seeds=range(3)), []
    killer = threading.Thread(target=kill_in_the_middle, args=(tmp_path, workers, killed), daemon=True)
    killer.start()
    outcomes = run_grid(runs, notebooks=notebooks, workers=2, scheduler=address, progress=False)

    [(victim, worker)] = killed
    assert worker.wait(timeout=600) == -signal.SIGKILL
    assert sorted(outcome.name for outcome in outcomes) == sorted(run.config.name for run in runs)
    assert not any(outcome.error for outcome in outcomes)
    for run in runs:
        hit = run.folder.name == victim
        assert (run.folder / "results_written").read_text() == "x"
        assert (run.folder / "executions").read_text() == ("xx" if hit else "x")
        made = Counter(map(int, (run.folder / "steps_made").read_text().split()))
        assert sorted(made) == list(range(1, STEPS + 1))
        # a step whose state had not reached the disk is made again, once
        assert made.total() - STEPS <= (1 if hit else 0)
        logged = list(read_history(run.folder)["step"])
        assert logged == sorted(set(logged)) and logged[-1] == STEPS // 5 * 5
    undisturbed = small_run(tmp_path / "undisturbed", "fusion", seed=int(victim[-1]), training=SLOW)
    for path in sorted((undisturbed / "scores").iterdir()):
        assert path.read_bytes() == (tmp_path / victim / "scores" / path.name).read_bytes()
    assert run_grid(runs, notebooks=notebooks, workers=2, scheduler=address, progress=False) == []


def greets_strangers(address):
    """Whether a server offers Dask's protocol, which can carry code, to a client without a certificate."""
    with socket.create_connection(address, timeout=10) as client:
        client.settimeout(1)
        try:
            return b"compression" in client.recv(1000)  # the first message of Dask's servers says what they can do
        except (TimeoutError, ConnectionError):
            return False


def test_the_local_cluster_listens_on_the_loopback_interface_to_who_has_its_certificate(notebooks, tmp_path):
    """The first tick comes while the cluster works; a run whose notebook fails is an outcome."""
    [run] = small_plan(tmp_path, seeds=[0])
    nowhere = PlannedRun(config=run.config, folder=run.folder, notebook=run.notebook, changes={"training": {"x": 1}})
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    reports = on_dask([nowhere], notebooks / TRAINING_NOTEBOOK, workers=1, environment=environment)
    assert next(reports) is None
    here = psutil.Process()
    listening = [
        connection.laddr
        for process in (here, *here.children(recursive=True))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {LOOPBACK}
    assert not [address for address in listening if greets_strangers(address)]
    [outcome] = [report for report in reports if report]
    assert "unknown key 'x'" in outcome.error


def test_an_address_without_a_scheduler_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("mmdg_lite.reproduce.dask.PATIENCE", 1)
    address = f"tcp://{LOOPBACK}:{free_port()}"
    with pytest.raises(ConnectionError, match=f"no Dask scheduler answers at {address}"):
        next(on_dask(small_plan(tmp_path, seeds=[0]), tmp_path / "none.ipynb", workers=1, scheduler=address))


def test_runs_begin_in_the_order_given(tmp_path):
    missing = tmp_path / "no_such_notebook.ipynb"  # every run fails at once, and leaves its folder's traceback behind
    runs = small_plan(tmp_path, seeds=(4, 0, 3, 1, 2, 5, 7, 6))
    outcomes = [outcome for outcome in on_dask(runs, missing, workers=1) if outcome]
    assert sorted(outcome.name for outcome in outcomes) == sorted(run.config.name for run in runs)
    written = [(run.folder / FAILURE).stat().st_mtime_ns for run in runs]
    assert written == sorted(written)
