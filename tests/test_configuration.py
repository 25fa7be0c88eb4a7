"""Configurations: unknown keys and wrong types are refused by name, JSON there and back, files never half written."""

import dataclasses
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.configuration import (
    ConfigurationError,
    from_dict,
    read_json,
    read_values,
    to_dict,
    write_bytes,
    write_json,
    write_text,
)
from mmdg_lite.models.config import ModelConfig, PeerConfig


@dataclasses.dataclass(frozen=True)
class Adapter:
    rate: float = 2.5
    heads: int = 8

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError(f"heads must be positive, got {self.heads}")


@dataclasses.dataclass(frozen=True)
class Experiment:
    sources: tuple[str, ...]
    size: tuple[int, int] = (64, 64)
    adapter: Adapter = Adapter()
    method: Literal["fusion", "mmdg++"] = "mmdg++"
    checkpoint: str | None = None
    released: bool = False
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    left_out: tuple[tuple[str, ...], ...] = ()


FINITE = st.floats(allow_nan=False, allow_infinity=False)
EXPERIMENTS = st.builds(
    Experiment,
    sources=st.lists(st.text()).map(tuple),
    size=st.tuples(st.integers(), st.integers()),
    adapter=st.builds(Adapter, rate=FINITE, heads=st.integers(1, 64)),
    method=st.sampled_from(["fusion", "mmdg++"]),
    checkpoint=st.none() | st.text(),
    released=st.booleans(),
    weights=st.dictionaries(st.text(), FINITE),
    left_out=st.lists(st.lists(st.text()).map(tuple)).map(tuple),
)


@given(EXPERIMENTS)
def test_there_and_back(experiment: Experiment) -> None:
    assert from_dict(Experiment, to_dict(experiment)) == experiment
    assert from_dict(Experiment, json.loads(json.dumps(to_dict(experiment)))) == experiment


@given(EXPERIMENTS)
def test_there_and_back_through_a_file(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> None:
    path = tmp_path_factory.getbasetemp() / "experiment.json"
    write_json(path, experiment)
    assert read_json(Experiment, path) == experiment


def test_defaults_fill_what_is_not_given() -> None:
    assert from_dict(Experiment, {"sources": ["C"], "adapter": {"heads": 4}}) == Experiment(
        ("C",), adapter=Adapter(heads=4)
    )


def test_whole_numbers_do_for_floats() -> None:
    rate = from_dict(Adapter, {"rate": 3}).rate
    assert rate == 3.0
    assert isinstance(rate, float)


@pytest.mark.parametrize(
    "values, named",
    [
        ({"sauces": ["C"]}, "unknown key 'sauces'"),
        ({"sources": ["C"], "adapter": {"hedas": 4}}, r"adapter: unknown key 'hedas'"),
        ({}, "required key 'sources' is missing"),
        ({"sources": "CPS"}, r"\.sources: expected a list"),
        ({"sources": [1]}, r"\.sources\[0\]: expected str, got 1"),
        ({"sources": [], "size": [64]}, r"\.size: expected 2 values, got 1"),
        ({"sources": [], "size": [64, 6.4]}, r"\.size\[1\]: expected int, got 6.4"),
        ({"sources": [], "size": [64, True]}, r"\.size\[1\]: expected int, got True"),
        ({"sources": [], "adapter": 3}, r"\.adapter: expected an object"),
        ({"sources": [], "adapter": {"rate": "2.5"}}, r"\.adapter\.rate: expected float, got '2.5'"),
        ({"sources": [], "adapter": {"rate": True}}, r"\.adapter\.rate: expected float, got True"),
        ({"sources": [], "adapter": {"heads": 0}}, r"\.adapter: heads must be positive"),
        ({"sources": [], "method": "mmdg+"}, r"\.method: 'mmdg\+' is not one of 'fusion', 'mmdg\+\+'"),
        ({"sources": [], "checkpoint": 7}, r"\.checkpoint: expected str, got 7"),
        ({"sources": [], "released": 1}, r"\.released: expected bool, got 1"),
        ({"sources": [], "released": None}, r"\.released: expected bool, got None"),
        ({"sources": [], "weights": [1.0]}, r"\.weights: expected an object"),
        ({"sources": [], "weights": {"rgb": "much"}}, r"\.weights\.rgb: expected float"),
        ({"sources": [], "left_out": [["print"], "print"]}, r"\.left_out\[1\]: expected a list"),
        (["C"], "expected an object with named values, got list"),
    ],
)
def test_faults_are_named(values: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        from_dict(Experiment, values)


def test_faults_in_a_file_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(ConfigurationError, match=r"run\.json: no such configuration file"):
        read_json(Experiment, path)
    path.write_text('{"sources": [', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"run\.json: not valid JSON"):
        read_json(Experiment, path)
    path.write_text('{"sources": ["C"], "sead": 1}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"run\.json: unknown key 'sead'"):
        read_json(Experiment, path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "config.json"
    write_json(path, {"step": 1})

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {"step": 2})
    assert json.loads(path.read_text()) == {"step": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["config.json"]


def test_values_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "config.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_bytes_arrive_unchanged_and_readable(tmp_path: Path) -> None:
    content = bytes(range(256))
    write_bytes(tmp_path / "weights.bin", content)
    assert (tmp_path / "weights.bin").read_bytes() == content
    assert (tmp_path / "weights.bin").stat().st_mode & 0o444 == 0o444


@pytest.mark.parametrize(
    "content", [b"\xff{}", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"{", b"[1]"], ids=range(5)
)
def test_whatever_a_file_holds_it_is_named(content, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"run\.json: "):
        read_values(tmp_path / "run.json")


def test_pipes_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", tmp_path):
        with pytest.raises(ConfigurationError, match="not a file of at most"):
            read_values(path)


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_files_have_the_permissions_that_the_umask_leaves(mask, tmp_path):
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "values.json"
    path.write_text(f'{{"x": [{number}]}}')
    with pytest.raises(ConfigurationError, match=rf"values\.json: not valid JSON .*{number} is no finite number"):
        read_values(path)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_settings_of_a_model_are_finite(value):
    with pytest.raises(ConfigurationError, match=r"model\.rate: expected a finite number"):
        from_dict(ModelConfig, {"source_domains": ["C"], "rate": value}, where="model")
    with pytest.raises(ValueError, match=r"model\.rate must be a finite number"):
        ModelConfig(("C",), rate=value)
    with pytest.raises(ValueError, match=r"peer\.focus must be a finite number"):
        PeerConfig(focus=value)


def test_names_of_files_that_are_no_text_can_be_written(tmp_path):
    name = os.fsdecode(b"bad\xff.png")
    write_text(tmp_path / "a.csv", f"id\n{name}\n")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "id\nbad\\udcff.png\n"
