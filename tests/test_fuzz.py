"""Damaged and hostile files, by any reader: valid content, or a refusal that names the file; never another exception.

`make fuzz` tries 20,000 of them and prints a table.
"""

from functools import partial

import pytest

from tests.support.fuzz.every import GROUPS
from tests.support.fuzz.reader import OTHER, REFUSED, Case, Outcomes, Reader, fuzz, shares, table


def check(made: dict[str, Outcomes]) -> None:
    others = [f"{name}: {example}" for name, outcomes in made.items() for example in outcomes.others[:3]]
    assert not others, "\n".join(others)
    assert (
        sum(outcomes.counts[REFUSED] for outcomes in made.values())
        > sum(sum(outcomes.counts.values()) for outcomes in made.values()) / 4
    )  # mutations that no reader minds would show nothing


FEW = [(GROUPS["data"], 900), (partial(GROUPS["runs"], method="fusion"), 120), (GROUPS["weights"], 35)]


@pytest.mark.parametrize("group, cases", FEW, ids=list(GROUPS))
def test_mutated_files(group, cases, tmp_path):
    readers = group(tmp_path)
    check({name: fuzz(readers[name], share, seed=1) for name, share in shares(readers, cases).items()})


@pytest.mark.slow
@pytest.mark.parametrize("group, cases", [("data", 5_000), ("runs", 1_500), ("weights", 800)])
def test_many_mutated_files(group, cases, tmp_path, capsys):
    readers = GROUPS[group](tmp_path)
    made = {name: fuzz(readers[name], share, seed=2) for name, share in shares(readers, cases).items()}
    with capsys.disabled():
        print(f"\n{table(made.items())}")
    check(made)


def test_what_is_counted_as_other(tmp_path):
    path = tmp_path / "file"

    def outcomes(read, **options):
        return fuzz(Reader((Case(path, b"abc"),), read, (ValueError,), **options), 20, seed=0).counts

    def refuse(error):
        if path.read_bytes() != b"abc":
            raise error
        return 1

    assert outcomes(lambda: refuse(ValueError(f"{path} is damaged")))[REFUSED] == 20
    assert outcomes(lambda: refuse(ValueError("no name")))[OTHER] == 20
    assert outcomes(lambda: refuse(ValueError("the folder")), names=("folder",))[REFUSED] == 20
    assert outcomes(lambda: refuse(KeyError(f"{path}")))[OTHER] == 20
    assert outcomes(lambda: refuse(AssertionError(f"{path}")))[OTHER] == 20
    assert outcomes(path.read_bytes)["accepted, other"] == 20
    assert outcomes(lambda: 1)["accepted and equal"] == 20
