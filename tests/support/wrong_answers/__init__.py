"""Wrong answers to the assignments, each a whole function as a student would hand it in, with words of its feedback.

They are written from the questions, apart from the checks: none of them is called by a check.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WrongAnswer:
    """A function that is wrong, and words that the feedback on it must hold."""

    task: str  # name of the function asked for
    says: str
    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """What pytest calls it: the task and what is wrong."""
        return f"{self.task}-{self.function.__name__}"


WRONG_ANSWERS: list[WrongAnswer] = []


def wrong(task: str, *, says: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function into the table."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        WRONG_ANSWERS.append(WrongAnswer(task, says, function))
        return function

    return add
