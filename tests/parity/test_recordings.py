"""The carried recordings: small, without anybody's text, and a true part of the whole."""

import json

import pytest
import torch

from tests.support import carry
from tests.support.recorded import CARRIED, full_only, load


def test_carried_recordings_are_below_one_megabyte() -> None:
    assert sum(path.stat().st_size for path in CARRIED.iterdir()) < 1_000_000


@pytest.mark.parametrize("name", carry.CHOICE)
def test_carried_recordings_hold_no_sentences(name: str) -> None:
    recording = load(CARRIED, name)
    assert not [key for key in recording.tensors if key.startswith("tokens")]
    assert not {"prompt_summary", "prompts"} & set(recording.facts)


@full_only
@pytest.mark.parametrize("name", carry.CHOICE)
def test_carried_recordings_are_the_chosen_part(name: str) -> None:
    tensors, facts = carry.choose(name)
    recording = load(CARRIED, name)
    assert recording.facts == json.loads(json.dumps(facts))
    assert set(recording.tensors) == set(tensors)
    for key, value in tensors.items():
        assert torch.equal(recording[key], value), key
