"""Tables of text as Markdown and LaTeX, and numbers as the field writes them (percent, mean ± standard
deviation)."""

import math
import re
from collections.abc import Sequence
from typing import Literal

import pandas as pd

Layout = Literal["csv", "markdown", "latex"]
LAYOUTS: dict[Layout, str] = {"csv": "csv", "markdown": "md", "latex": "tex"}  # and the file's ending
Blocks = Sequence[tuple[str, pd.DataFrame]]
TAG = re.compile(r"<(?=[A-Za-z/!?])")
"""What opens a tag of HTML."""
NUMBERS = re.compile(r"(?:[-+0-9.,%± ]|e(?=[-+]?\d)|to )+")
"""Numbers as tables write them, such as "-1.20 ± 0.30" and "-3.0 to 1.5"."""
SPECIAL = {"\\": r"\textbackslash{}", "±": r"$\pm$", "→": r"$\to$", ">": r"$>$", "<": r"$<$"}
SPECIAL |= {c: "\\" + c for c in "&%$#_{}"} | {"^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}


def percent(mean: float, sd: float = math.nan) -> str:
    """A fraction in percent with two decimals, "± sd" behind it where there is one; "" for NaN."""
    if math.isnan(mean):
        return ""
    return f"{100 * mean:.2f}" if math.isnan(sd) else f"{100 * mean:.2f} ± {100 * sd:.2f}"


def interval(low: float, high: float) -> str:
    """Bounds, fractions, in percent: "12.00 to 14.50"; "" where one is NaN."""
    return "" if math.isnan(low + high) else f"{100 * low:.2f} to {100 * high:.2f}"


def grid(frame: pd.DataFrame) -> str:
    """A frame of text as a Markdown table, columns padded so that it reads well in a terminal too."""
    rows = [[_markdown(v) for v in row] for row in [list(frame.columns), *frame.itertuples(index=False, name=None)]]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, in which no name is a formula: spreadsheets execute cells that begin with = + - or @.

    Such texts get an apostrophe in front, unless they are numbers.
    """
    plain = frame.copy()
    for name in frame.select_dtypes(exclude="number"):
        plain[name] = pd.Series([_no_formula(value) for value in frame[name]], index=frame.index, dtype=object)
    return plain.rename(columns=_no_formula).to_csv(index=False)


def _no_formula(value: object) -> object:
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula and not NUMBERS.fullmatch(str(value)) else value


def markdown(title: str, blocks: Blocks, notes: Sequence[str] = ()) -> str:
    """Headings, captions, tables and notes as Markdown."""
    parts = [f"## {_markdown(title)}"]
    for caption, frame in blocks:
        parts += [f"**{_markdown(caption)}**", grid(frame)]
    parts += list(notes)
    return "\n\n".join(parts) + "\n"


def latex(title: str, blocks: Blocks, notes: Sequence[str] = ()) -> str:
    """One table environment per block (booktabs), notes as comments."""
    parts = [f"% {note}" for note in notes]
    for caption, frame in blocks:
        escaped = frame.map(lambda value: _escape(_cell(value))).rename(columns=lambda name: _escape(str(name)))
        aligned = "l" + "r" * (len(frame.columns) - 1)
        caption = f"{_escape(title)}: {_escape(caption)}"
        parts.append(escaped.to_latex(index=False, column_format=aligned, caption=caption).rstrip())
    return "\n".join(parts) + "\n"


def _cell(value: object) -> str:
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    return text.replace("|", "/").replace("\n", " ")


def _markdown(value: object) -> str:
    """A cell that is shown as it is: names in files are no HTML, and no links or pictures."""
    return TAG.sub("&lt;", _cell(value)).replace("](", r"]\(")


def _escape(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
