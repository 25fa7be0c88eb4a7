"""The last ten lines of `make reproduce`: intervals by hand, rebuilt tables, and what is said of differences."""

import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mmdg_lite.reproduce.last_screen import compared, last_screen, prediction_interval
from mmdg_lite.results.tables import tables

METHODS = ("linear_probe", "fusion", "mmdg++")


def rows(method: str, hter: list[float], *, faces: int = 100) -> pd.DataFrame:
    """What `compared` reads of made-up runs, one per seed."""
    common = {"protocol": "P1", "missing": "", "target": "W", "method": method, "live": faces, "spoof": 2 * faces}
    return pd.DataFrame([{**common, "seed": seed, "hter": value} for seed, value in enumerate(hter)])


def test_the_interval_of_three_values_by_hand():
    low, high = prediction_interval([0.1, 0.2, 0.3])
    half = 4.30265 * 0.1 * math.sqrt(4 / 3)  # Student's t with two degrees of freedom, 97.5 %
    assert low == pytest.approx(0.2 - half, abs=1e-6) and high == pytest.approx(0.2 + half, abs=1e-6)
    assert prediction_interval([0.2, 0.2], resolution=0.01) == pytest.approx((0.19, 0.21))
    with pytest.raises(ValueError, match="at least two values, not 1"):
        prediction_interval([0.2])


@pytest.mark.parametrize(("hter", "inside"), [(0.2, True), (0.2049, True), (0.206, False), (0.19, False)])
def test_equal_seeds_allow_for_one_face(hter, inside):
    (found,) = compared(rows("fusion", [hter]), rows("fusion", [0.2, 0.2, 0.2]), rows("fusion", [0.1, 0.3]))
    assert found.inside is inside and found.longer == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.195, 0.205))  # a live face of 100 is half a point of HTER


@pytest.fixture
def committed(make_run, tmp_path) -> Path:
    """A folder like "figures": three seeds of two profiles, and their tables."""
    figures = tmp_path / "figures"
    for profile in ("short", "full"):
        for place, method in enumerate(METHODS):
            for seed in range(3):
                _keep(make_run, figures / "scores" / profile, profile, method, seed=seed, skill=0.1 + 0.2 * place)
        for path in tables(figures / "scores" / profile, out=tmp_path / "made" / profile, progress=False):
            if path.suffix == ".md":
                (figures / profile).mkdir(exist_ok=True)
                shutil.copy(path, figures / profile)
    return figures


def _keep(make_run, folder: Path, profile: str, method: str, *, seed: int, skill: float) -> None:
    run = make_run(method=method, setting="CPS->W", targets="W", seed=seed, skill=skill, profile=profile, samples=120)
    place = folder / "P1" / "CPS-to-W" / method / f"seed{seed}"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(run, place)


@pytest.fixture
def mine(make_run, tmp_path) -> Path:
    """The reader's runs: those of the committed seed 0."""
    for place, method in enumerate(METHODS):
        _keep(make_run, tmp_path / "mine", "short", method, seed=0, skill=0.1 + 0.2 * place)
    return tmp_path / "mine"


def test_the_screen_compares_runs_and_tables_with_the_committed_ones(committed, mine, make_run, tmp_path, monkeypatch):
    def screen() -> list[str]:
        return last_screen(mine, committed=committed, out=tmp_path / "out", progress=False).splitlines()

    monkeypatch.chdir(tmp_path)
    count = sum(1 for path in committed.glob("*/*.md"))
    assert count >= 4
    lines = screen()
    assert len(lines) == 10 and max(map(len, lines)) < 140
    assert lines[0].startswith("HTER on W in %, trained on C, P, S  ")
    assert "seed 0, 8 steps" in lines[0] and "expected by 3 seeds" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:4]] == ["Linear probe (converged)", "Plain fusion", "MMDG++"]
    assert all("inside" in line for line in lines[1:4])
    assert lines[4].startswith("Plain fusion beats the probe (+") and "MMDG++ beats the probe (+" in lines[4]
    assert f"{count} of {count} equal the committed ones" in lines[5]
    assert lines[6].startswith("Shown: on this machine") and lines[7].startswith("Not shown: single seeds ")
    assert lines[8].startswith("Read on: figures/REPORT.md") and lines[9].startswith("This run: out ")

    shutil.rmtree(mine / "P1" / "CPS-to-W" / "mmdg++")
    _keep(make_run, mine, "short", "mmdg++", seed=0, skill=-0.9)
    page = committed / "full" / "P1.md"
    page.write_text(page.read_text("utf-8").replace("Plain fusion", "Plain  fusion"), "utf-8")
    (committed / "short" / "P9.md").write_text("a table of no protocol", "utf-8")
    lines = screen()
    assert "inside" in lines[2] and "OUTSIDE" in lines[3]
    assert "MMDG++ does not beat the probe (-" in lines[4]
    assert f"{count - 1} of {count + 1} equal" in lines[5] and lines[5].endswith("different: full/P1.md, short/P9.md")
    assert lines[6].startswith("Shown: something differs here")
