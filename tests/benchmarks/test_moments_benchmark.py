"""The benchmark of sampling runs, and writes its section and no other."""

from pathlib import Path

import torch

from mmdg_lite.uncertainty import SAMPLING_METHODS
from tests.benchmarks import measuring, moments
from tests.support.sections import write_section


def test_table_at_small_sizes() -> None:
    sizes = moments.Sizes(batch=2, tokens=10, width=16, samples=40)
    text = moments.table(sizes, repeats=1)
    rows = [line.split("|")[1:-1] for line in text.splitlines()[2:]]
    assert len(rows) == 3 + 4 + 3
    assert {row[1].strip() for row in rows} == {*SAMPLING_METHODS, "without uncertainty"}
    assert all(float(cell) > 0 for row in rows for cell in row[2:])


def test_peak_memory_is_what_is_alive_at_once() -> None:
    def work() -> None:
        for _ in range(5):
            torch.ones(2**18)  # 1 MiB, given back every time

    assert measuring.peak_memory(work) == 1.0


def test_sections_are_replaced_in_place(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    for title, text in (("One", "1"), ("Two", "2"), ("Three", "3"), ("Two", r"2 \1 again"), ("Three", "3 again")):
        write_section(path, title, text)
    assert path.read_text() == "# Benchmarks\n\n## One\n\n1\n\n## Two\n\n2 \\1 again\n\n## Three\n\n3 again\n"
