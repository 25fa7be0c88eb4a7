"""Tables of text as Markdown and LaTeX, and numbers as the field writes them (percent, mean ± standard
deviation)."""

import math
from collections.abc import Sequence
from typing import Literal

import pandas as pd

Layout = Literal["csv", "markdown", "latex"]
LAYOUTS: dict[Layout, str] = {"csv": "csv", "markdown": "md", "latex": "tex"}  # and the file's ending
Blocks = Sequence[tuple[str, pd.DataFrame]]
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
    rows = [[str(c) for c in frame.columns], *[[_cell(v) for v in row] for row in frame.itertuples(index=False)]]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def markdown(title: str, blocks: Blocks, notes: Sequence[str] = ()) -> str:
    """Headings, captions, tables and notes as Markdown."""
    parts = [f"## {title}"]
    for caption, frame in blocks:
        parts += [f"**{caption}**", grid(frame)]
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


def _escape(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
