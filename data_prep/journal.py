"""What has been converted so far, one line per sample, so that a run killed at any moment goes on where it was.

A line is appended after the sample's images have their final names. It names the source rows and the images' checksums,
so on the next start a sample counts as done only if its images are on disk exactly as they were written.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from mmdg_lite.data.real.files import read_regular
from mmdg_lite.data.real.manifest import ManifestRow, check_row, image_problem
from mmdg_lite.modality import MODALITIES

JOURNAL = "journal.jsonl"
LARGEST_JOURNAL = 2**30
"""Bytes; a sample takes less than 2,000 of them."""


@dataclass(frozen=True)
class Converted:
    """One converted sample."""

    row: ManifestRow
    source: tuple[str, ...]  # what the list names: the conversion is redone if this changes
    problems: dict[str, str] = field(default_factory=dict)  # modality -> why it is missing
    notes: tuple[str, ...] = ()
    holes: float | None = None  # fraction of depth without a measurement
    saturated: float | None = None  # fraction of infrared that is as good as white
    shares: dict[str, dict[str, float]] = field(default_factory=dict)  # modality -> fields of `decode.Shares`

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def parse(cls, line: str) -> "Converted | None":
        """A line of the journal, or None if it is torn or was made by something else."""
        try:
            values: dict[str, Any] = json.loads(line)
            row = ManifestRow(**values.pop("row"))
            check_row(row)
            source, notes = tuple(values.pop("source")), tuple(values.pop("notes"))
            return cls(row=row, source=source, notes=notes, **values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def intact(self, folder: Path) -> bool:
        """True if all its images are on disk with the checksums they were written with."""
        return all(image_problem(folder, self.row, modality) is None for modality in MODALITIES)


class Journal:
    """The journal of one domain's folder, opened for appending. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self.entries: dict[str, Converted] = {}
        torn = False
        if self.path.exists():
            text = read_regular(self.path, limit=LARGEST_JOURNAL).decode("utf-8", errors="replace")
            torn = bool(text) and not text.endswith("\n")
            for line in text.split("\n"):
                entry = Converted.parse(line)
                if entry is not None:
                    self.entries[entry.row.id] = entry  # a later line replaces an earlier one of the same sample
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 (closed by __exit__)
        if torn:
            self._file.write("\n")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, entries: Iterable[Converted]) -> None:
        """Note samples as done, in the file first."""
        entries = list(entries)
        self._file.write("".join(entry.line() for entry in entries))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.entries.update((entry.row.id, entry) for entry in entries)
