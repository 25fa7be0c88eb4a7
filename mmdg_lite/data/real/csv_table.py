"""CSV tables as people and spreadsheets write them."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmdg_lite.data.real.lists import ListError, list_text

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
SAVE_AS_UTF8 = "save the table as CSV in UTF-8"


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """A table whose header is read; `records` reads the rest."""

    path: Path
    columns: tuple[str, ...]  # in small letters, without spaces around them
    line: int  # of the header, counted from 1
    delimiter: str
    text: str  # what follows the header
    width: int  # fields of the header: spreadsheets write delimiters behind the last column

    @property
    def found(self) -> str:
        """The header in words, for messages."""
        return f"{','.join(self.columns)[:200] or 'nothing'} (divided by {DELIMITERS[self.delimiter]})"

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line and fields, without spaces around them, of every row that is not blank.

        Raises `ListError` for a row with another number of fields than the header, and for what is not CSV.
        """
        reader = csv.reader(io.StringIO(self.text, newline=""), strict=True, delimiter=self.delimiter)
        try:
            for row in reader:
                values = [value.strip() for value in row]
                if not any(values):
                    continue
                if len(values) != self.width or any(values[len(self.columns) :]):
                    reason = f"expected {len(self.columns)} fields, found {len(values)}"
                    raise ListError(self.path, self.line + reader.line_num, reason)
                yield self.line + reader.line_num, dict(zip(self.columns, values, strict=False))
        except csv.Error as error:
            cure = "look for a quotation mark without its partner, here or in a line above"
            raise ListError(self.path, self.line + reader.line_num, f"not CSV ({error}); {cure}") from error


def read_csv_table(path: str | Path, *, cure: str = SAVE_AS_UTF8) -> CsvTable:
    """A table in UTF-8, or in UTF-16 with a byte order mark; commas, semicolons or tabs divide its columns.

    Blank lines, and a line such as `sep=;` by which some spreadsheets name the delimiter, may stand before the header.
    Raises `ListError` (file, line, reason) for a file that is no text, saying the cure, and for a column that stands
    there twice; `OSError` if it cannot be read.
    """
    path = Path(path)
    text = list_text(path, cure=cure)
    before, nul, _ = text.partition("\0")
    if nul:
        raise ListError(path, before.count("\n") + 1, f"a NUL character: this is not text in UTF-8; {cure}")
    start = re.match(r"(?:[ \t]*(?:\r\n|\r|\n))*(?:sep=([,;\t])(?:\r\n|\r|\n))?", text)
    begin = start.end() if start else 0
    head = re.match(r"[^\r\n]*(?:\r\n|\r|\n)?", text[begin:])
    header = head[0] if head else ""
    delimiter = start[1] if start and start[1] else max(DELIMITERS, key=header.count)
    line = len(re.findall(r"\r\n|\r|\n", text[:begin])) + 1
    try:
        names = next(csv.reader([header.rstrip("\r\n")], strict=True, delimiter=delimiter), [])
    except csv.Error as error:
        raise ListError(path, line, f"not CSV ({error}): the header must fit in one line") from error
    columns = [name.strip().casefold() for name in names]
    while columns and not columns[-1]:
        columns.pop()
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise ListError(path, line, f"two columns are called {twice!r}")
    rest = text[begin + len(header) :]
    return CsvTable(path=path, columns=tuple(columns), line=line, delimiter=delimiter, text=rest, width=len(names))
