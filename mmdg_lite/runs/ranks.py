"""The processes (ranks) that torchrun starts to train one model together: how they meet, agree and end.

Every rank goes through the same collective calls in the same order. One that fails leaves word for the others before it
goes, so that each of them can say why it ended, unless torchrun ends it first.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long ranks wait for the first one, which validates and tests alone. One that ended is noticed at once."""

FAILURE = "failure"  # key under which the first rank that failed says why


class RankFailed(RuntimeError):
    """Another rank failed or was killed, and this one with it; the message says which and why, if that is known."""


def started() -> int:
    """How many processes torchrun started, by the environment; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def speaks() -> bool:
    """True if this process prints for all that torchrun started."""
    return started() == 1 or os.environ.get("RANK", "0") == "0"


@contextmanager
def ranks(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did; gives the device of this one.

    Args:
        device: what all of them compute on; of several CUDA devices each rank takes the one of its local number.

    Raises:
        ValueError: a device that several ranks cannot use.
        RankFailed: another rank failed first.
    """
    if started() == 1 or dist.is_initialized():
        yield device
        return
    device = _own_device(device)
    store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
    meeting = (store.add("mmdg_lite/joined", 1) - 1) // size  # what an earlier group left in the store is not read
    store = dist.PrefixStore(f"mmdg_lite/{meeting}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield device
    except Interrupted:  # all ranks agreed on it
        raise
    except Exception as error:
        if first := _first_failure(store, rank, error):
            raise RankFailed(first) from error
        raise
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Number of ranks R; 1 if torchrun started none."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This rank's number from 0; the first writes files and logs."""
    return dist.get_rank() if dist.is_initialized() else 0


def gathered(value: T) -> list[T]:
    """The values of all ranks, in their order."""
    if world_size() == 1:
        return [value]
    box: list[Any] = [None] * world_size()
    with _waiting():
        dist.all_gather_object(box, value)
    return box


def from_first(make: Callable[[], T]) -> T:
    """What the first rank makes, given to all of them; the others wait for it."""
    if world_size() == 1:
        return make()
    box: list[Any] = [make() if rank() == 0 else None]
    with _waiting():
        dist.broadcast_object_list(box, src=0)
    return box[0]


def sum_in_place(values: Tensor) -> Tensor:
    """A tensor of one shape on every rank, replaced by the sum over them."""
    if world_size() > 1:
        with _waiting():
            dist.all_reduce(values)
    return values


def any_rank(asked: bool, device: torch.device) -> bool:
    """True if it is so on one rank at least; the same answer everywhere."""
    return bool(sum_in_place(torch.tensor(int(asked), device=device)))


def _own_device(device: torch.device) -> torch.device:
    if device.type == "cpu":
        return device
    if str(device) != "cuda":
        raise ValueError(f"several ranks compute on cpu or cuda (each on a GPU of its own), not on {str(device)!r}")
    local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= there:
        raise ValueError(f"rank {os.environ['RANK']} finds no GPU: {there} here; start at most as many per node")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def _first_failure(store: dist.Store, rank: int, error: Exception) -> str | None:
    """Leave word of this rank's failure; if another failed before, or was killed, what is known of that."""
    gone = isinstance(error, RankFailed)
    own = f"rank {rank} failed: {type(error).__name__}: {error}"
    try:
        if gone:
            return store.get(FAILURE).decode() if store.check([FAILURE]) else str(error)
        first = store.compare_set(FAILURE, "", own).decode()
    except RuntimeError:  # the store went with the rank that held it
        return str(error) if gone else None
    return None if first == own else first


@contextmanager
def _waiting() -> Iterator[None]:
    """A collective call, which fails when another rank is gone."""
    try:
        yield
    except RuntimeError as error:
        raise RankFailed(
            "another rank is gone, killed perhaps (for want of memory?); torchrun's report below names it. The last "
            "state that was written is kept, and the same command goes on from it"
        ) from error


class Interrupted(RuntimeError):
    """The run was asked to stop; its state is written and the same command goes on from there."""


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """While it lasts, SIGINT and SIGTERM are noted in the list instead of ending the process (main thread only).

    A second SIGINT (Ctrl-C) raises KeyboardInterrupt at once.
    """
    requested: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in requested:
            raise KeyboardInterrupt
        requested.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
