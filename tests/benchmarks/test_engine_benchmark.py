"""The engine's benchmark runs at the tiny CLIP, and its parts add up to the step."""

from dataclasses import replace
from itertools import count

import pytest
import torch

from tests.benchmarks import engine, growth, measuring
from tests.benchmarks.engine import Bench

BENCH = Bench(clip="tiny", image_size=32, batch=2, sources=("C", "P"))


def test_parts_add_up_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that goes one second on whenever it is read: a call of a part with no other part in it takes one."""
    clock = count()
    monkeypatch.setattr(engine, "clock", lambda device: next(clock))
    parts = engine.parts_of_a_step(engine.Step(BENCH))
    assert sum(parts.values()) == next(clock) - 1  # the first reading is 0
    blocks, passes = 4, 4  # the tiny CLIP's; three modality losses and the total
    assert parts == {
        "forward pass: adapters": blocks,
        "forward pass: prompts": 1,
        "forward pass: trunk": blocks + 1 + 1,  # before each of the calls above, and after the last
        "backward passes": passes,
        "ReGrad's modulation": 1,
        "optimiser": 1,
        "the rest": 1 + passes + 1 + 1 + 1,  # before the forward pass, then before each, and after the last
    }


def test_every_part_is_watched_only_while_it_lasts() -> None:
    step = engine.Step(BENCH)
    parts = engine.Parts(BENCH.device)
    with parts.watching(step):
        step.train()
    counted = dict(parts.seconds)
    step.train()
    assert parts.seconds == counted


def test_a_step_of_the_benchmark_trains() -> None:
    step = engine.Step(BENCH)
    before = step.model.head.weight.clone()
    step.train()
    assert not torch.equal(before, step.model.head.weight)


def test_the_trunk_alone_stays_frozen() -> None:
    plain = engine.PlainTrunk(BENCH)
    plain.forward_and_backward(2)
    assert not any(parameter.requires_grad for parameter in plain.clip.parameters())


def test_tables_at_tiny_size() -> None:
    rows = [line.split("|")[1:-1] for line in engine.time_table(BENCH, repeats=1).splitlines()]
    assert [row[0].strip() for row in rows[2:6]] == ["T", "F", "training step", "inference"]
    assert float(rows[2][2]) == 1 and float(rows[3][3]) == 1
    options = {name: given for name, given in engine.OPTIONS.items() if not given.get("compiled")}
    assert len(engine.options_table(BENCH, 1, options).splitlines()) == 2 + len(options)


def test_inference_of_few_faces_at_tiny_size() -> None:
    rows = [line.split("|")[1:-1] for line in engine.inference_table(BENCH, 1, (1, 2)).splitlines()[2:]]
    assert [int(row[0]) for row in rows] == [1, 2]
    for _, trunk, inference, times in rows:
        assert float(times) == pytest.approx(float(inference) / float(trunk), rel=0.02)


def test_memory_at_tiny_size() -> None:
    rows = engine.memory_table(replace(BENCH, image_size=64, batch=8)).splitlines()[2:]
    plain, step, checkpointed = (float(row.split("|")[3]) for row in rows)
    assert plain == 1 < step  # a step keeps what the trunk keeps, and more
    assert checkpointed < step


def test_every_point_of_the_curves_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [point for point in growth.points(replace(BENCH, image_size=None), patch=8) if point[1] in (1, 2, 50)]
    monkeypatch.setattr(growth, "points", lambda base: few)
    frame = growth.measure(BENCH, repeats=1)
    assert len(frame) == len(few) and (frame[["step", "trunk"]] > 0).all(axis=None)
    assert len(growth.growth(frame, title="tiny").axes) == 4
    assert growth.first_and_last(frame).count("\n") == 1 + len(frame.groupby(["varied", "sampling"]))


def test_the_fastest_of_several_executions_counts() -> None:
    calls: list[str] = []
    works = {"one": lambda: calls.append("one"), "two": lambda: calls.append("two")}
    seconds = measuring.fastest_of_each(works, 3, torch.device("cpu"))
    assert calls == ["one", "two"] + 3 * ["one", "two"] and set(seconds) == {"one", "two"}
