"""The assignments' checks: right answers pass, blanks stay blanks, each usual mistake gets its own message."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from mmdg_lite.teaching.checks import (
    CheckFailed,
    attention,
    convolution,
    metrics,
    projection,
    regrad,
    study,
    thresholds,
    uncertainty,
)

TASKS = [
    task
    for module in (metrics, thresholds, convolution, attention, uncertainty, projection, regrad, study)
    for task in module.TASKS
]
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def said(check, answer):
    with pytest.raises(CheckFailed) as caught:
        check(answer)
    return str(caught.value)


@every_task
def test_the_reference_passes(task, capsys):
    task(task.reference)
    assert capsys.readouterr().out.startswith(f"\N{WHITE HEAVY CHECK MARK} {task.name}: right on")


@every_task
def test_a_blank_stays_a_blank(task):
    def blank(**inputs):
        raise NotImplementedError("write your answer here")

    with pytest.raises(NotImplementedError):
        task(blank)


@every_task
def test_at_least_three_usual_mistakes_are_told_apart(task):
    assert len(task.mistakes) >= 3
    for message, mistake in task.mistakes.items():
        assert said(task, mistake) == f"{task.name}: {message}"


def rising(variance, rate):
    return 2 - torch.exp(-rate * variance)


def test_a_symptom_is_recognised_in_an_answer_that_no_mistake_equals():
    assert "rises with variance; it should fall" in said(uncertainty.check_certainty, rising)


def test_an_answer_written_by_hand_is_recognised():
    def unsafe(sender, receiver, rate):
        return (-rate * sender).exp() / ((-rate * sender).exp() + (-rate * receiver).exp())

    def strict(scores, labels, threshold):
        far = sum(s > threshold for s, y in zip(scores, labels, strict=True) if y == 0) / sum(labels == 0)
        frr = sum(s <= threshold for s, y in zip(scores, labels, strict=True) if y == 1) / sum(labels == 1)
        return far, frr

    assert "write it as a sigmoid" in said(uncertainty.check_sender_probability, unsafe)
    assert "use >=, not >" in said(metrics.check_error_rates, strict)


def test_other_faults_are_described():
    assert "raised TypeError" in said(uncertainty.check_certainty, lambda variance: variance)
    assert "None or not a number" in said(metrics.check_error_rates, lambda **_: (None, None))
    assert "2 results are expected" in said(metrics.check_error_rates, lambda **_: 0.5)
    assert "not str" in said(metrics.check_error_rates, lambda **_: "half")
    assert "should have shape" in said(uncertainty.check_certainty, lambda variance, rate: torch.zeros(7, 7))


def test_an_unrecognised_wrong_answer_shows_the_input_and_both_results():
    message = said(uncertainty.check_certainty, lambda variance, rate: (-rate * variance).exp() ** 3)
    first, *lines = message.split("\n")
    assert "is expected (input" in first and [line.split()[0] for line in lines if line[:2] == "  "] == [
        "variance",
        "rate",
    ]
    variance, rate, yours, expected = (np.array(re.findall(r"\d+\.\d*", text), float) for text in parts(message))
    assert np.allclose(yours, np.exp(-3 * rate * variance), atol=1e-3)
    assert np.allclose(expected, np.exp(-rate * variance), atol=1e-3)


def parts(message):
    """Of a message: the inputs variance and rate, what was given and what is expected."""
    return re.search(r"variance = (.*)rate = (.*)yours: (.*)expected: (.*)", message, flags=re.DOTALL).groups()


def test_a_notebook_breaks_long_lines_of_feedback():
    error = CheckFailed("word " * 100 + "\n" + "second line")
    lines = error._render_traceback_()
    assert max(map(len, lines)) <= 90 and lines[-1] == "second line" and len(lines) > 5


def test_a_notebook_shows_the_message_and_the_students_own_lines():
    def fails(variance, rate):
        return variance.no_such_method()

    with pytest.raises(CheckFailed) as caught:
        uncertainty.check_certainty(fails)
    first, *lines = caught.value._render_traceback_()
    assert first.startswith("CheckFailed: certainty: raised AttributeError") and "no_such_method" in " ".join(lines)
    assert any("in fails" in line for line in lines) and "task.py" not in "".join(lines)
    with pytest.raises(CheckFailed) as caught:
        uncertainty.check_certainty(rising)
    assert " ".join(map(str.strip, caught.value._render_traceback_())) == f"CheckFailed: {caught.value}"


@pytest.fixture
def results():
    rows = [(m, "all present", s, 0.4 + s / 10, 0.1 + s / 100) for m in ("fusion", "mmdg++") for s in range(3)]
    return pd.DataFrame(rows, columns=list(study.COLUMNS))


def test_results_in_order_pass(results, capsys):
    study.check_results(results, methods=("fusion", "mmdg++"), seeds=(0, 1, 2))
    assert "6 rows of 2 methods and 3 seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda t: t.drop(columns="threshold"), "column 'threshold' is missing"),
        (lambda t: t.iloc[1:], "fusion, seed 0 is missing"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "two rows for fusion, all present, seed 0"),
        (lambda t: t.assign(hter=100 * t["hter"]), "looks like percent"),
        (lambda t: t.assign(hter=-t["hter"]), "cannot be negative"),
        (lambda t: t.assign(hter=np.nan), "not a number"),
        (lambda t: t.assign(hter=0.2), "is the seed passed on"),
        (lambda t: t.assign(method=t["method"].replace("fusion", "head")), "head was not announced"),
        (lambda t: pd.concat([t, t.assign(condition="missing D", threshold=0.9)]), "several thresholds"),
    ],
)
def test_faults_of_a_result_table_are_told_apart(results, spoil, message):
    with pytest.raises(CheckFailed, match=message):
        study.check_results(spoil(results), methods=("fusion", "mmdg++"), seeds=(0, 1, 2))


def test_too_few_seeds_are_refused(results):
    with pytest.raises(CheckFailed, match="2 seeds are too few"):
        study.check_results(results[results["seed"] < 2], methods=("fusion", "mmdg++"), seeds=(0, 1))
