"""Requests to stop, noted instead of obeyed, so that a step can be finished and its state written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
