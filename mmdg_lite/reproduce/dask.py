"""Runs handed to Dask: a local cluster, or any scheduler that is running already.

The local cluster listens on the loopback interface and takes only who has its certificate, which is made for it and
never written: a Dask scheduler or worker executes whatever it is sent, and other users of the machine reach its ports.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from mmdg_lite.reproduce.execution import Outcome, PlannedRun, execute_run

if TYPE_CHECKING:
    from distributed import Client

LOOPBACK = "127.0.0.1"
TICK = 1.0  # seconds between two signs of life
PATIENCE = 30  # seconds to wait for a scheduler, and for its first worker


def on_dask(
    runs: Sequence[PlannedRun],
    notebook: Path,
    *,
    workers: int,
    scheduler: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Outcome | None]:
    """Execute runs on Dask workers; yields outcomes as they come, and None about once a second in between.

    Runs begin in the order given, so that what is cut short has its first runs finished.
    A run whose worker dies is given to another one, which goes on from the run's last state. Dask gives a run up, as
    a failed outcome, when several workers have died of it (`distributed.scheduler.allowed-failures`).

    Args:
        runs: what to execute; folders must be the same for this process and all workers.
        notebook: the training notebook.
        workers: processes of the local cluster, one run each.
        scheduler: address such as "tcp://127.0.0.1:8786", instead of a local cluster. Whoever reaches it or one of its
            workers can run code as the user who started it: keep it to a network that you trust, or behind TLS.
        environment: of the local cluster's processes.

    Raises:
        ConnectionError: no scheduler answers at the address, or it has no worker.
    """
    from distributed import wait  # slow to import

    with _client(workers, scheduler, environment or {}) as client:
        group = uuid4().hex  # of one group, the runs wait at the scheduler and are taken in their order
        submitted = {
            client.submit(
                execute_run, run, notebook, key=(group, run.config.name, place), priority=-place, pure=False
            ): run
            for place, run in enumerate(runs)
        }
        pending = set(submitted)
        try:
            while pending:
                try:
                    done = wait(pending, timeout=TICK, return_when="FIRST_COMPLETED").done
                except TimeoutError:
                    yield None
                    continue
                pending -= done
                for future in done:
                    error = future.exception()
                    if error is None:
                        yield future.result()
                    else:
                        reason = f"{type(error).__name__}: {error}"
                        yield Outcome(name=submitted[future].config.name, seconds=0.0, error=reason)
        finally:
            client.cancel(list(pending))  # those that have not begun


@contextmanager
def _client(workers: int, scheduler: str | None, environment: Mapping[str, str]) -> "Iterator[Client]":
    from distributed import Client, LocalCluster, Security

    if scheduler is None:
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                worker_dashboard_address=f"{LOOPBACK}:0",
                memory_limit=0,
                silence_logs=logging.ERROR,
                security=Security.temporary(),
                env=dict(environment),
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {scheduler} ({error})") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            start = f"dask worker {scheduler} --nthreads 1"
            raise ConnectionError(f"the scheduler at {scheduler} has no worker; start some: {start}") from error
        yield client
