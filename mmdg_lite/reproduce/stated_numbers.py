"""Numbers in a notebook's sentences: each is marked with the finding that it states, so that it cannot go stale.

In a Markdown cell, `the error is 24.6<!--=hter/fusion*100:.1f--> %` reads "the error is 24.6 %": the comment is
invisible. Its parts are the path of a finding (names and list positions, joined by "/"), optionally a factor, and
Python's format for the number. `fill_numbers` writes the numbers anew from the findings.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MARK = re.compile(
    r"(?P<number>[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)<!--=(?P<path>[^*:>]+)(?:\*(?P<factor>[\d.]+))?:(?P<format>[^>]*?)-->"
)


def stated_numbers(text: str, findings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every marked number of a text: its path, the number as written, and as the findings have it.

    Raises ValueError for a path that the findings do not have, or whose value is not a number.
    """
    for match in MARK.finditer(text):
        yield match["path"], match["number"], _formatted(match, findings)


def fill_numbers(text: str, findings: Mapping[str, Any]) -> str:
    """The text with every marked number as the findings have it. Raises ValueError as `stated_numbers` does."""

    def written(match: re.Match[str]) -> str:
        return _formatted(match, findings) + match[0][len(match["number"]) :]

    return MARK.sub(written, text)


def _formatted(match: re.Match[str], findings: Mapping[str, Any]) -> str:
    value: Any = findings
    for name in match["path"].split("/"):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"no finding {match['path']!r}, which a sentence states: {name!r} is missing") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"the finding {match['path']!r} is {value!r}, and a sentence states it as a number")
    return format(value * float(match["factor"]) if match["factor"] else value, match["format"])
