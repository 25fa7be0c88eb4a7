"""PEERS.md names every peer, its file, its source and its settings as they are."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mmdg_lite.data.protocols import PROTOCOLS
from mmdg_lite.models.peer import PeerConfig
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.methods import GROUPS, METHODS, PEER

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "PEERS.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` (.*)$", TEXT, flags=re.MULTILINE))


def test_there_is_a_row_for_every_peer():
    assert tuple(ROWS) == GROUPS["peers"]


@pytest.mark.parametrize("name", GROUPS["peers"])
def test_a_row_has_title_file_and_source_and_the_file_has_the_source_too(name):
    title, _, file, source = (cell.strip() for cell in ROWS[name].strip("|").split("|"))
    assert METHODS[name].title == f"{title} {PEER}"
    assert f"**{title}.**" in TEXT
    number = re.search(r"\[arXiv (\d+\.\d+)\]\(https://arxiv\.org/abs/(\d+\.\d+)\)", source)
    assert number[1] == number[2]
    assert number[1] in (ROOT / "mmdg_lite" / file.strip("`")).read_text(encoding="utf-8")


def test_numbers_in_the_text_are_the_defaults():
    settings = PeerConfig()
    assert f"out of {settings.modality_dropout:.0%} of the samples".replace("%", " %") in TEXT
    assert settings.modality_dropout == PROTOCOLS["P5"]["CPS->W"].modality_dropout
    assert f"plain fusion's width ({configure('quick').model.dim})" in TEXT


def test_the_example_changes_a_setting():
    [values] = re.findall(r"--set 'model\.peer=(.*?)'", TEXT)
    changed = configure("quick", method="ssdg", model={"peer": json.loads(values)}).model.peer
    differing = {f.name for f in fields(changed) if getattr(changed, f.name) != getattr(PeerConfig(), f.name)}
    assert differing == {"margin"}
    with pytest.raises(ValueError, match=r"model\.peer.*unknown key 'margins'"):
        configure("quick", method="ssdg", model={"peer": {"margins": 0.3}})
