"""YOUR_DATA.md does what it says: from pictures in a folder to a trained model and its error rates."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from einops import rearrange
from PIL import Image

from mmdg_lite.data.real.manifest import read_manifest
from mmdg_lite.data.synthetic import render
from mmdg_lite.results.collect import collect
from mmdg_lite.runs.folder import read_run
from tests.support.pages import ROOT, blocks, follow

PAGE = ROOT / "YOUR_DATA.md"
PEOPLE = ("anna", "ben", "chen", "dana", "emil")
SAMPLES = ("live_1", "live_2", "print_1", "replay_1")
NEAR, FAR = 400, 900  # millimetres, as the page says


def take_pictures(folder: Path) -> None:
    """Rendered faces, as two cameras of a stranger would have stored them: depth in millimetres, 16 bits."""
    for number, (domain, letter) in enumerate((("kiosk", "W"), ("office", "C"))):
        species = [name.split("_")[0] for name in SAMPLES] * len(PEOPLE)
        faces = render(letter, len(species), number, species=species, size=40)
        for n in range(len(species)):
            person = folder / "faces" / domain / PEOPLE[n // len(SAMPLES)]
            person.mkdir(parents=True, exist_ok=True)
            name = SAMPLES[n % len(SAMPLES)]
            Image.fromarray(rearrange(faces.rgb[n], "c h w -> h w c")).save(person / f"{name}_rgb.png")
            grey = faces.depth[n, 0].astype(np.int64)
            distance = np.where(grey == 0, 0, FAR - (grey - 1) * (FAR - NEAR) // 254)
            Image.fromarray(distance.astype(np.uint16)).save(person / f"{name}_depth.png")
            if (domain, n) != ("kiosk", 1):  # one picture was never taken
                Image.fromarray(faces.infrared[n, 0]).save(person / f"{name}_infrared.png")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which the page's commands were executed, and what they printed."""
    folder = tmp_path_factory.mktemp("your_data")
    take_pictures(folder)
    return folder, follow(PAGE, folder)


@pytest.mark.timeout(1800)
def test_the_tables_become_manifests(followed):
    folder, printed = followed
    assert "kiosk 20 samples" in printed and printed.count("nothing wrong") == 2
    for domain in ("kiosk", "office"):
        rows = read_manifest(folder / "data" / domain)
        assert {row.domain for row in rows} == {domain} and len(rows) == len(PEOPLE) * len(SAMPLES)
        assert {row.split: row.subject for row in rows} == {"train": "chen", "val": "dana", "test": "emil"}
        assert {row.species for row in rows} == {"live", "print", "replay"}
        assert sum(not row.infrared for row in rows) == (domain == "kiosk")


@pytest.mark.timeout(1800)
def test_the_run_has_scores_and_the_table_their_error_rate(followed):
    folder, printed = followed
    run = folder / "runs" / "kiosk_to_office"
    config, result = read_run(run)
    assert config["model"]["source_domains"] == ["kiosk"] and result["steps"] == 2
    frame = collect(folder / "runs")
    assert set(frame["target"]) == {"office"} and set(frame["data"]) == {"real"} and len(frame) == 4
    hter = 100 * frame.loc[frame["missing"] == "", "hter"].item()
    assert re.search(rf"\| MMDG\+\+ +\| {hter:.2f} +\|", printed)
    tested = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert "test_kiosk" in tested["metrics"] and tested["threshold"] == result["threshold"]


def test_one_picture_becomes_a_decision_first_and_by_the_trained_model_last(followed):
    _, printed = followed
    first, last = re.findall(r"^(\S.*): (?:live|spoof), score \d\.\d{3}, .* ms$", printed, flags=re.MULTILINE)
    assert "predict" in "".join(PAGE.read_text(encoding="utf-8").splitlines()[:5])
    assert printed.index(first) < printed.index("kiosk 20 samples") < printed.rindex(last)


def test_the_page_names_the_columns_that_are_read():
    from data_prep.table import COLUMNS

    [(_, script)] = blocks(PAGE, "python")
    assert re.search(r"^COLUMNS = (.*)$", script, flags=re.MULTILINE)[1] == str(COLUMNS).replace("'", '"')
