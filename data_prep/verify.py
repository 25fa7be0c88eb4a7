"""Check a converted data set: every row, every image, and the counts against the lists."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from data_prep.conversion import read_settings
from data_prep.report import one_class
from data_prep.worker import PARTIAL, OutputError
from mmdg_lite.data.real.lists import PUBLISHED_COUNTS, SPLITS, dataset_name, distinct, list_path, read_list
from mmdg_lite.data.real.manifest import MANIFEST, ManifestError, ManifestRow, image_problem, read_manifest
from mmdg_lite.modality import MODALITIES

SHOWN = 20


@dataclass(frozen=True)
class Verification:
    """The outcome for one domain's folder."""

    folder: Path
    counts: tuple[str, ...]  # one line per split
    findings: tuple[str, ...]  # true of the data, and no fault of the conversion
    problems: tuple[str, ...]  # what has to be put right

    def text(self) -> str:
        """As a person reads it."""
        lines = [f"{self.folder}: {'nothing wrong' if not self.problems else f'{len(self.problems)} problems'}"]
        lines.extend(f"  {line}" for line in self.counts)
        lines.extend(f"  note: {finding}" for finding in self.findings)
        lines.extend(f"  PROBLEM: {problem}" for problem in self.problems[:SHOWN])
        if len(self.problems) > SHOWN:
            lines.append(f"  ... and {len(self.problems) - SHOWN} more")
        return "\n".join(lines)


def domain_folders(folder: Path) -> list[Path]:
    """The folders with a manifest: this one, or those in it. Raises `OutputError` if there is none."""
    if (folder / MANIFEST).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    if not found:
        raise OutputError(f"{folder}: no {MANIFEST} in it or in a folder below it; convert a data set first")
    return found


def verify(folder: Path, *, lists: Path | None = None, progress: bool = True) -> Verification:
    """Check one domain's folder: the manifest's rows, the images' checksums, and the counts.

    Counts are compared with the lists if their folder is given, else with the numbers of the published ones; those of
    synthetic domains and of your own with nothing.
    """
    try:
        rows = read_manifest(folder)
        settings = read_settings(folder)
    except (ManifestError, OutputError) as error:
        return Verification(folder, (), (), (str(error),))
    problems: list[str] = []
    for row in tqdm(rows, desc=f"verifying {folder.name}", disable=not progress):
        problems.extend(problem for m in MODALITIES if (problem := image_problem(folder, row, m)) is not None)
    problems.extend(f"{path}: half-written; convert again to remove it" for path in folder.rglob(f".*{PARTIAL}"))
    domain, synthetic = rows[0].domain, settings.get("dataset") == "synthetic"
    if settings.get("domain") != domain:
        problems.append(
            f"{folder / MANIFEST}: domain {domain}, but the folder was converted as {settings.get('domain')}"
        )
    name = f"synthetic {domain}" if synthetic else f"{dataset_name(domain)} (domain {domain})"
    counts, findings = [name], _across_splits(rows)
    for split in SPLITS:
        part = [row for row in rows if row.split == split]
        live = sum(row.label for row in part)
        line = f"{split:<5} {live:>5} live, {len(part) - live:>5} spoof"
        if lists is not None and list_path(lists, domain, split).is_file():
            problems.extend(_against_list(part, lists, split, drop_repeated=bool(settings.get("drop_repeated"))))
        elif "leave_one_out" in settings:
            line += f"; of {settings['leave_one_out']}"
        elif settings.get("drop_repeated"):
            line += "; repeated rows were dropped, name the lists by --lists to compare"
        elif not synthetic and domain in PUBLISHED_COUNTS:
            expected = PUBLISHED_COUNTS[domain][split]
            line += f"; the published list: {expected[0]} live, {expected[1]} spoof"
            if (live, len(part) - live) != expected:
                problems.append(
                    f"{split}: {len(part)} samples, the published list has {sum(expected)}; "
                    "convert the rest, or name your own lists by --lists"
                )
        counts.append(line + _missing(part))
        if (warning := one_class(split, live, len(part) - live)) is not None:
            findings.append(warning)
    return Verification(folder, tuple(counts), tuple(findings), tuple(problems))


def _against_list(part: Sequence[ManifestRow], lists: Path, split: str, *, drop_repeated: bool) -> list[str]:
    """What a split lacks, or has too much, beside its list."""
    path = list_path(lists, part[0].domain, split) if part else None
    if path is None:
        return [f"{split}: listed, but nothing of it is converted"]
    rows = read_list(path, part[0].domain)
    wanted = {row.line: row for row in (distinct(rows) if drop_repeated else rows)}
    have = {row.list_line: row for row in part}
    problems = [f"{path}, line {line}: not converted" for line in wanted if line not in have]
    for line, row in have.items():
        if line not in wanted:
            problems.append(f"{row.id}: there is no line {line} in {path}")
        elif (wanted[line].label, wanted[line].species) != (row.label, row.species):
            problems.append(f"{path}, line {line}: {wanted[line].species}, but {row.id} was converted as {row.species}")
    return problems


def _missing(part: Sequence[ManifestRow]) -> str:
    """How many samples lack which modality."""
    counts = Counter(m.value for row in part for m, present in zip(MODALITIES, row.present, strict=True) if not present)
    return "".join(f"; {count} without {name}" for name, count in sorted(counts.items()))


def _across_splits(rows: Sequence[ManifestRow]) -> list[str]:
    """Subjects and identical images that two splits share."""
    findings = []
    for what, values in (
        ("subject", [(row.subject, row.split) for row in rows]),
        ("colour image", [(row.rgb_sha256, row.split) for row in rows]),
    ):
        where: dict[str, set[str]] = defaultdict(set)
        for value, split in values:
            where[value].add(split)
        shared = sorted(value for value, splits in where.items() if value and len(splits) > 1)
        if shared:
            shown = ", ".join(value[:16] for value in shared[:5])
            findings.append(f"{len(shared)} {what}{'s' * (len(shared) > 1)} in more than one split: {shown}")
    return findings
