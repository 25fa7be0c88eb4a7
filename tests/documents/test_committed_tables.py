"""Committed tables are what the committed scores give, and README.md quotes them as they stand."""

import re
from pathlib import Path

import pytest

from mmdg_lite.results.tables import tables

ROOT = Path(__file__).parents[2]
AVERAGE = "Average"


def cells(line: str) -> list[str]:
    """Of a row of a table in Markdown. A deviation of zero is left out: README.md gives none of equal runs."""
    return [cell.strip().removesuffix(" ± 0.00") for cell in line.strip("|").split("|")]


def found_tables(path: Path) -> list[dict[str, dict[str, str]]]:
    """The tables of a Markdown file in their order, cells by the row's first cell and the column's name."""
    blocks = re.findall(r"(?:^\|.*\n)+", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    made = []
    for block in blocks:
        names, _, *rows = map(cells, block.splitlines())
        made.append({row[0]: dict(zip(names, row, strict=True)) for row in rows})
    return made


def results(profile: str) -> list[dict[str, dict[str, str]]]:
    """Committed tables of P1: HTER at the validation threshold, HTER at the equal-error point, AUC."""
    return found_tables(ROOT / "figures" / profile / "P1.md")[:3]


@pytest.fixture(scope="module")
def quoted() -> list[dict[str, dict[str, str]]]:
    """README.md's tables of results: short, full."""
    return [table for table in found_tables(ROOT / "README.md") if "MMDG++" in table]


@pytest.mark.parametrize("profile", ["quick", "short", "full"])
def test_committed_tables_follow_from_the_committed_scores(profile, tmp_path):
    tables(ROOT / "figures" / "scores" / profile, out=tmp_path)
    committed = sorted((ROOT / "figures" / profile).glob("*.md"))
    assert "P1.md" in [path.name for path in committed]
    outdated = [path.name for path in committed if (tmp_path / path.name).read_text("utf-8") != path.read_text("utf-8")]
    assert not outdated


def test_readme_quotes_the_table_of_the_main_job(quoted):
    hter = results("short")[0]
    assert quoted[0] == {name: {c: v for c, v in row.items() if c != "seeds"} for name, row in hter.items()}


def test_readme_quotes_the_full_table(quoted):
    hter, at_eer, auc = results("full")
    assert len(quoted) == 2 and len(quoted[1]) >= 3
    for name, row in quoted[1].items():
        averages = {"at EER point": at_eer[name][AVERAGE], "AUC": auc[name][AVERAGE]}
        assert row == {c: v for c, v in (hter[name] | averages).items() if c != "seeds"}
