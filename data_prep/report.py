"""What a conversion ends with: counts against the lists, what was skipped and why, and what to know about the rest."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_prep.journal import Converted
from data_prep.worker import Failure
from mmdg_lite.data.real.lists import PUBLISHED_COUNTS, ListRow, check_splits, dataset_name

REPORT = "report.json"
SHOWN = 20


@dataclass(frozen=True)
class SplitCounts:
    """(live, spoof) of one split."""

    listed: tuple[int, int]
    converted: tuple[int, int]
    published: tuple[int, int] | None  # None for data of the user's own


@dataclass(frozen=True)
class Report:
    """The outcome of one conversion."""

    domain: str
    counts: dict[str, SplitCounts]
    species: dict[str, dict[str, int]]  # split -> species -> converted samples
    kept: int  # samples that an earlier run had converted
    failures: tuple[str, ...]  # split, line of the list, reason
    missing: tuple[str, ...]  # modalities without which a sample was kept, and why
    notes: tuple[str, ...]  # what was done that the user should know, such as frames paired by rank
    splits: tuple[str, ...]  # findings of the check across splits
    warnings: tuple[str, ...]  # splits of which no live face, or no attack, was converted
    holes: dict[str, float]  # mean and largest fraction of depth without a measurement
    saturated: dict[str, float]  # mean and largest fraction of infrared that is as good as white

    @property
    def complete(self) -> bool:
        """Whether every listed sample was converted."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """The report as a person reads it."""
        lines = [
            f"{dataset_name(self.domain)} (domain {self.domain})",
            "  split   converted live / spoof   of listed   published",
        ]
        for split, counts in self.counts.items():
            live, spoof = counts.converted
            published = "-"
            if counts.published is not None:
                note = "" if counts.listed == counts.published else "  (not the published list)"
                published = f"{counts.published[0]} / {counts.published[1]}{note}"
            lines.append(f"  {split:<6}  {live:>6} / {spoof:<6}           {sum(counts.listed):>6}      {published}")
        lines.append(f"  {self.kept} of them had been converted before")
        for title, items in (
            ("WARNING", self.warnings),
            ("skipped", self.failures),
            ("kept without a modality", self.missing),
            ("notes", self.notes),
            ("the splits", self.splits),
        ):
            if items:
                lines.append(f"{title} ({len(items)}):")
                lines.extend(f"  {item}" for item in items[:SHOWN])
                if len(items) > SHOWN:
                    lines.append(f"  ... and {len(items) - SHOWN} more in {REPORT}")
        for title, values in (("holes in depth", self.holes), ("saturated infrared", self.saturated)):
            if values:
                mean, largest = 100 * values["mean"], 100 * values["largest"]
                lines.append(f"{title}: {mean:.1f} % of pixels on average, {largest:.1f} % at worst")
        return "\n".join(lines)


def make_report(
    domain: str,
    lists: Mapping[str, Sequence[ListRow]],
    finished: Sequence[Converted],
    failures: Sequence[Failure],
    *,
    kept: int,
) -> Report:
    """Put a conversion's outcome together."""
    counts = {
        split: SplitCounts(
            listed=_live_spoof([row.label for row in rows]),
            converted=_live_spoof([entry.row.label for entry in finished if entry.row.split == split]),
            published=PUBLISHED_COUNTS[domain][split] if domain in PUBLISHED_COUNTS else None,
        )
        for split, rows in lists.items()
    }
    return Report(
        domain=domain,
        counts=counts,
        species={
            split: dict(sorted(Counter(entry.row.species for entry in finished if entry.row.split == split).items()))
            for split in lists
        },
        kept=kept,
        failures=tuple(f"{failure.task.split}, line {failure.task.row.line}: {failure.reason}" for failure in failures),
        missing=tuple(
            f"{entry.row.split}, line {entry.row.list_line}: {reason}"
            for entry in finished
            for reason in entry.problems.values()
        ),
        notes=tuple(
            f"{entry.row.split}, line {entry.row.list_line}: {note}" for entry in finished for note in entry.notes
        ),
        splits=tuple(check_splits(lists).lines()),
        warnings=tuple(
            warning for split, found in counts.items() if (warning := one_class(split, *found.converted)) is not None
        ),
        holes=_summary([entry.holes for entry in finished if entry.holes is not None]),
        saturated=_summary([entry.saturated for entry in finished if entry.saturated is not None]),
    )


def one_class(split: str, live: int, spoof: int) -> str | None:
    """What is wrong with a split that lacks live faces, attacks or both; None if it has both."""
    lacking = [name for name, count in (("live face", live), ("attack", spoof)) if not count]
    if not lacking:
        return None
    return f"{split}: no {' and no '.join(lacking)}; nothing can be trained or measured on this list alone"


def _live_spoof(labels: Sequence[int]) -> tuple[int, int]:
    return sum(labels), len(labels) - sum(labels)


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {"mean": round(statistics.fmean(values), 4), "largest": max(values)} if values else {}
