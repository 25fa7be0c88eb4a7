"""What a notebook of an assignment says about itself: a tick for a right answer, one line for a blank, a summary."""

import traceback
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


class NotAnswered(NotImplementedError):
    """A question is still blank; a notebook shows one line of it."""

    def _render_traceback_(self) -> list[str]:
        return [f"Not answered yet: {self}"]


@dataclass
class _Progress:
    points: dict[str, int] = field(default_factory=dict)
    by_hand: int = 0
    right: set[str] = field(default_factory=set)

    def reached(self) -> str:
        return f"{sum(self.points.get(name, 0) for name in self.right)} of {sum(self.points.values())} points"


_now = _Progress()


def begin(*, by_hand: int, **points: int) -> None:
    """Start an assignment: the points of every function that is checked, and of all questions in words together.

    In a notebook a blank answer then shows one line in the place of the traceback, whatever cell calls it.
    """
    global _now
    _now = _Progress(points, by_hand)
    from IPython import get_ipython

    if shell := get_ipython():
        shell.set_custom_exc((NotImplementedError,), _show_blank)


def passed(name: str, text: str) -> None:
    """Count an answer as right, and say so with the points reached so far."""
    _now.right.add(name)
    print(f"\N{WHITE HEAVY CHECK MARK} {name}: {text}" + (f" ({_now.reached()})" if name in _now.points else ""))


def failed(name: str) -> None:
    """Count an answer as not right, also if an earlier version of it was."""
    _now.right.discard(name)


def summary() -> None:
    """Print which functions have passed their checks, and the points."""
    width = max(map(len, _now.points), default=0)
    for name, points in _now.points.items():
        mark = "\N{WHITE HEAVY CHECK MARK}" if name in _now.right else "\N{WHITE LARGE SQUARE}"
        print(f"{mark} {name:{width}}  {points if name in _now.right else 0} of {points}")
    print(f"{_now.reached()} by the checks; {_now.by_hand} more are given by hand, for the answers in words")


def _show_blank(
    shell: Any, kind: type[BaseException], value: BaseException, trace: TracebackType | None, tb_offset: Any = None
) -> None:
    name = traceback.extract_tb(trace)[-1].name
    blank = NotAnswered(f"write `{name}` in its cell, run that cell, then this one")
    shell.showtraceback((NotAnswered, blank, trace))
