"""What a conversion ends with: counts against the lists, what was skipped and why, and what to know about the rest."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_prep.journal import Converted
from data_prep.worker import Failure
from mmdg_lite.data.real.files import printable
from mmdg_lite.data.real.lists import PUBLISHED_COUNTS, ListRow, check_splits, dataset_name
from mmdg_lite.modality import MODALITIES

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
    warnings: tuple[str, ...]  # splits without live faces or attacks, exchanged labels, ranges that hold little
    holes: dict[str, float]  # mean and largest fraction of depth without a measurement
    saturated: dict[str, float]  # mean and largest fraction of infrared that is as good as white
    ranges: dict[str, dict[str, float]]  # modality -> mean shares beside the given range, and a range that holds most

    @property
    def empty(self) -> bool:
        """True if no sample is converted."""
        return not any(sum(counts.converted) for counts in self.counts.values())

    @property
    def complete(self) -> bool:
        """True if there were samples, and every one of them was converted."""
        return not self.failures and not self.empty

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
                lines.extend(f"  {printable(item)}" for item in items[:SHOWN])
                if len(items) > SHOWN:
                    lines.append(f"  ... and {len(items) - SHOWN} more in {REPORT}")
        for split, found in self.species.items():
            if found:
                lines.append(f"{split}: " + ", ".join(f"{count} {species}" for species, count in found.items()))
        for modality, shares in self.ranges.items():
            parts = ", ".join(f"{shares[part]:.1%} {part}" for part in ("hole", "below", "inside", "above"))
            lines.append(f"{modality} beside the given range: {parts} (means over files)")
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
    ranges = {
        modality.value: _mean_shares(shares)
        for modality in MODALITIES
        if (shares := [entry.shares[modality.value] for entry in finished if modality.value in entry.shares])
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
        warnings=(
            *filter(None, (one_class(split, *found.converted) for split, found in counts.items())),
            *_exchanged(counts),
            *filter(None, (_outside(modality, shares) for modality, shares in ranges.items())),
        ),
        holes=_summary([entry.holes for entry in finished if entry.holes is not None]),
        saturated=_summary([entry.saturated for entry in finished if entry.saturated is not None]),
        ranges=ranges,
    )


def one_class(split: str, live: int, spoof: int) -> str | None:
    """What is wrong with a split that lacks live faces, attacks or both; None if it has both."""
    lacking = [name for name, count in (("live face", live), ("attack", spoof)) if not count]
    if not lacking:
        return None
    return f"{split}: no {' and no '.join(lacking)}; nothing can be trained or measured on this list alone"


def _exchanged(counts: Mapping[str, SplitCounts]) -> list[str]:
    """Splits with as many live rows as the published list has attacks, and the reverse."""
    return [
        f"{split}: the list has as many live rows as the published one has attacks, and the reverse: are the labels "
        "exchanged? Live is 1"
        for split, found in counts.items()
        if found.published is not None and found.listed == found.published[::-1] != found.published
    ]


def _mean_shares(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over files; of the percentiles, the medians."""
    means = {name: round(statistics.fmean(s[name] for s in shares), 6) for name in ("hole", "below", "inside", "above")}
    return means | {name: statistics.median(s[name] for s in shares) for name in ("low", "high")}


def _outside(modality: str, shares: Mapping[str, float]) -> str | None:
    """What to say of a range that holds less than half of what was measured; None if it holds more."""
    seen = 1 - shares["hole"]
    if not seen or shares["inside"] >= 0.5 * seen:
        return None
    return (
        f"{modality}: only {shares['inside'] / seen:.0%} of the measured values lie inside the given range; most of "
        f"them lie from {shares['low']:.4g} to {shares['high']:.4g}"
    )


def _live_spoof(labels: Sequence[int]) -> tuple[int, int]:
    return sum(labels), len(labels) - sum(labels)


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {"mean": round(statistics.fmean(values), 4), "largest": max(values)} if values else {}
