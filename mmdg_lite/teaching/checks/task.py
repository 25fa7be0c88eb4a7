"""A question of an assignment: the right answer, random inputs, the usual wrong answers and what to say to them."""

import copy
import math
import textwrap
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mmdg_lite.teaching.progress import failed, passed

Function = Callable[..., Any]
Inputs = dict[str, Any]
Values = list[NDArray[np.float64]]
WIDTH = 90
"""Characters in a line of feedback; nbgrader's pages do not break longer ones."""


class CheckFailed(AssertionError):
    """An answer is not right; the message says what is known about why."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message, and where the answer raised, without the lines of the check."""
        cause = self.__cause__
        frames = traceback.extract_tb(cause.__traceback__) if cause else []
        own = traceback.format_list([frame for frame in frames if frame.filename != __file__])
        said = f"{type(self).__name__}: {self}".split("\n")
        wrapped = [part for line in said for part in textwrap.wrap(line, WIDTH, subsequent_indent="  ")]
        return [*wrapped, *(line.rstrip("\n") for line in own)]


def _unchanged(output: Any, inputs: Inputs) -> Any:
    return output


@dataclass(frozen=True, kw_only=True)
class Task:
    """Checks one function that a student writes.

    An answer is compared on `trials` random inputs. If it differs, the mistakes that it agrees with on all of them tell
    what went wrong; then the symptoms, then a plain description of the difference.
    """

    name: str  # of the function asked for
    reference: Function  # the right answer
    draw: Callable[[np.random.Generator], Inputs]  # keyword arguments, arrays and tensors in float64
    mistakes: Mapping[str, Function]  # what to say about a wrong answer: a function that makes this mistake
    symptoms: Mapping[str, Callable[[Function], bool]] = field(default_factory=dict)  # likewise: does an answer show it
    judge: Callable[[Any, Inputs], Any] = _unchanged  # what is compared of an output, where several are right
    judged: str = "the result"  # what `judge` gives, in words
    trials: int = 12
    tolerance: float = 1e-9  # absolute and relative
    seed: int = 0

    def __call__(self, answer: Function) -> None:
        """Check an answer, say that it is right, and count its points as reached.

        Raises:
            CheckFailed: it is not; with a hint.
            NotImplementedError: the answer is still blank.
        """
        failed(self.name)  # until it has passed
        drawn = self.inputs()
        expected = [self._judged(self.reference, inputs) for inputs in drawn]
        given = [self._outputs(answer, inputs, trial) for trial, inputs in enumerate(drawn)]
        differing = [i for i in range(len(drawn)) if not _same(given[i], expected[i], self.tolerance)]
        if differing:
            smallest = min(differing, key=lambda trial: _amount(drawn[trial]))
            raise CheckFailed(f"{self.name}: {self._hint(answer, given, drawn, expected, smallest)}")
        passed(self.name, f"right on {len(drawn)} random inputs")

    def agrees(self, outputs: list[Any]) -> list[bool]:
        """For every input, whether the output that an answer gave on it is right."""
        drawn = self.inputs()
        if len(outputs) != len(drawn):
            return [False] * len(drawn)
        return [self._is_right(output, inputs) for output, inputs in zip(outputs, drawn, strict=True)]

    def _is_right(self, output: Any, inputs: Inputs) -> bool:
        try:
            given = flat(self.judge(output, inputs))
        except Exception:  # an output of another kind than the question asks for
            return False
        return _same(given, self._judged(self.reference, inputs), self.tolerance)

    def inputs(self) -> list[Inputs]:
        """The random inputs, the same at every call."""
        return [self.draw(np.random.default_rng([self.seed, trial])) for trial in range(self.trials)]

    def _judged(self, function: Function, inputs: Inputs) -> Values:
        return flat(self.judge(function(**copy.deepcopy(inputs)), inputs))

    def _outputs(self, answer: Function, inputs: Inputs, trial: int) -> Values:
        try:
            output = answer(**copy.deepcopy(inputs))
        except NotImplementedError:
            raise
        except Exception as error:
            raised = f"raised {type(error).__name__} ({error}) on input {trial}: {described(inputs)}"
            hint = self._symptom(answer)
            raise CheckFailed(f"{self.name}: {hint}; {raised}" if hint else f"{self.name}: {raised}") from error
        try:
            return flat(self.judge(output, inputs))
        except Exception as error:
            raise CheckFailed(f"{self.name}: returned {described({'output': output})}; {error}") from error

    def _hint(self, answer: Function, given: list[Values], drawn: list[Inputs], right: list[Values], first: int) -> str:
        for message, mistake in self.mistakes.items():
            if all(_same(g, self._judged(mistake, i), self.tolerance) for g, i in zip(given, drawn, strict=True)):
                return message
        if hint := self._symptom(answer):
            return hint
        difference = _difference(given[first], right[first], self.judged)
        lines = [f"  {name} = {shown(value)}" for name, value in drawn[first].items()]
        lines += [f"yours: {shown_values(given[first])}", f"expected: {shown_values(right[first])}"]
        return "\n".join([f"{difference} (input {first} of {len(drawn)}):", *lines])

    def _symptom(self, answer: Function) -> str | None:
        """What to say about the first symptom that an answer shows."""
        return next((message for message, shows in self.symptoms.items() if _shows(shows, answer)), None)


def flat(output: Any) -> Values:
    """An output as arrays in float64: of a tuple its parts, of None a NaN. Raises TypeError if it holds no numbers."""
    if output is None:
        return [np.array(np.nan)]
    if isinstance(output, tuple | list):
        return [array for part in output for array in flat(part)]
    if isinstance(output, torch.Tensor):
        output = output.detach().cpu().numpy()
    try:
        return [np.asarray(output, dtype=np.float64)]
    except (TypeError, ValueError) as error:
        raise TypeError(f"numbers, arrays or tensors are expected, not {type(output).__name__}") from error


def described(inputs: Inputs) -> str:
    """Names with shapes, or values where there is only one, in one line."""

    def one(value: Any) -> str:
        if isinstance(value, np.ndarray | torch.Tensor) and value.ndim:
            return f"of shape {tuple(value.shape)}"
        if isinstance(value, list | tuple) and len(value) > 3:
            return f"of length {len(value)}"
        return str(value) if len(str(value)) < 60 else f"of type {type(value).__name__}"

    return ", ".join(f"{name} {one(value)}" for name, value in inputs.items())


def _amount(inputs: Inputs) -> int:
    """How many numbers the arrays among the inputs hold."""
    return sum(math.prod(getattr(value, "shape", ())) for value in inputs.values())


def shown(value: Any) -> str:
    """A value to be read: small arrays and tables in full, long ones by their ends, a function by its kind."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=4, threshold=12, edgeitems=3, max_line_width=WIDTH - 10)
        return text.replace("\n", "\n    ")
    if isinstance(value, pd.DataFrame):
        return "\n    " + value.to_string(max_rows=12).replace("\n", "\n    ")
    if callable(value):
        return type(value).__name__
    return f"{value:.6g}" if isinstance(value, float) else textwrap.shorten(str(value), 3 * WIDTH, placeholder=" ...")


def shown_values(values: Values) -> str:
    """Results as `shown` writes them, several of them numbered."""
    texts = [shown(array if array.ndim else float(array)) for array in values]
    return texts[0] if len(texts) == 1 else "; ".join(f"({i}) {text}" for i, text in enumerate(texts, 1))


def _same(first: Values, second: Values, tolerance: float) -> bool:
    return len(first) == len(second) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )


def _shows(symptom: Callable[[Function], bool], answer: Function) -> bool:
    try:
        return bool(symptom(answer))
    except Exception:
        return False


def _difference(given: Values, expected: Values, what: str) -> str:
    """In words: other number of results, other shapes, not finite, or how far the numbers are apart."""
    if len(given) != len(expected):
        return f"{len(expected)} results are expected, yours are {len(given)}"
    for position, (mine, right) in enumerate(zip(given, expected, strict=True)):
        which = f"result {position + 1} of {len(given)}" if len(given) > 1 else what
        if mine.shape != right.shape:
            return f"{which} should have shape {right.shape}, yours has {mine.shape}"
        if np.any(np.isnan(mine) & ~np.isnan(right)):
            return f"{which} is None or not a number where a number is expected"
        if not np.allclose(mine, right, equal_nan=True):
            place = int(np.nanargmax(np.where(np.isnan(right), np.inf, np.abs(mine - right))))
            return f"{which} differs most where yours is {mine.flat[place]:.6g} and {right.flat[place]:.6g} is expected"
    return "the numbers are close, but not equal to 1e-9: compute in the inputs' own float64"
