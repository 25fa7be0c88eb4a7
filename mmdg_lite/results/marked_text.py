"""Pages written by hand with a measured part in them: what stands between two marks is rewritten from numbers."""

from pathlib import Path

from mmdg_lite.configuration import write_text

START, END = "<!-- measured: start -->", "<!-- measured: end -->"


def measured_part(page: str | Path) -> str:
    """What stands between a page's marks, without the space around it. Raises ValueError if a mark is absent."""
    return _split(page)[1].strip()


def rewrite_measured_part(page: str | Path, text: str) -> None:
    """Replace what stands between a page's marks. Raises ValueError if a mark is absent."""
    before, _, after = _split(page)
    write_text(page, f"{before}{START}\n{text}\n{END}{after}")


def _split(page: str | Path) -> tuple[str, str, str]:
    text = Path(page).read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    middle, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{page} lacks the marks {START} and {END}: put them where the measured part belongs")
    return before, middle, after
