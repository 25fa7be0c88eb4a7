"""Pages written by hand with measured parts in them: what stands between two marks is rewritten from numbers.

A page has one part without a name, or several with names: `<!-- measured verdicts: start -->`.
"""

from pathlib import Path

from mmdg_lite.configuration import write_text


def marks(part: str = "") -> tuple[str, str]:
    """The two marks around a measured part of this name."""
    name = f"measured {part}".strip()
    return f"<!-- {name}: start -->", f"<!-- {name}: end -->"


def measured_part(page: str | Path, part: str = "") -> str:
    """What stands between a part's marks, without the space around it. Raises ValueError if a mark is absent."""
    return _split(page, part)[1].strip()


def rewrite_measured_part(page: str | Path, text: str, part: str = "") -> None:
    """Replace what stands between a part's marks. Raises ValueError if a mark is absent."""
    before, _, after = _split(page, part)
    start, end = marks(part)
    write_text(page, f"{before}{start}\n{text}\n{end}{after}")


def _split(page: str | Path, part: str) -> tuple[str, str, str]:
    text = Path(page).read_text(encoding="utf-8")
    start, end = marks(part)
    before, started, rest = text.partition(start)
    middle, ended, after = rest.partition(end)
    if not started or not ended:
        raise ValueError(f"{page} lacks the marks {start} and {end}: put them where the measured part belongs")
    return before, middle, after
