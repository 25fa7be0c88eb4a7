"""Hidden tests: right answers pass, wrong ones fail, also when cells have replaced the checks of their own process."""

import io
import json

import numpy as np
import pytest

from mmdg_lite.teaching import hidden
from mmdg_lite.teaching.checks import CheckFailed, Task, metrics, regrad, study, task


@pytest.fixture(scope="module", autouse=True)
def the_process_ends():
    yield
    if hidden._process.cache_info().currsize:
        hidden._process().communicate()
        hidden._process.cache_clear()


def error_rates(scores, labels, threshold):
    accepted = scores >= threshold
    return np.mean(accepted[labels == 0]), np.mean(~accepted[labels == 1])


def test_right_answers_of_every_kind_pass():
    hidden.hidden_test("metrics", error_rates)
    hidden.hidden_test("study", study.results_table)  # a table
    hidden.hidden_test("regrad", regrad.fastest)  # an index or None


def test_wrong_answers_fail_without_the_expected_values():
    def fastest(losses, momentum):
        return 0

    with pytest.raises(CheckFailed, match=r"^fastest: \d+ of 40 hidden tests failed$"):
        hidden.hidden_test("regrad", fastest)


def test_replaced_checks_gain_nothing(monkeypatch):
    def error_rates(scores, labels, threshold):
        return 0.5, 0.5

    monkeypatch.setattr(Task, "__call__", lambda self, answer: None)
    monkeypatch.setattr(Task, "agrees", lambda self, outputs: [True] * len(outputs))
    monkeypatch.setattr(task, "_same", lambda *values: True)
    object.__setattr__(metrics.check_error_rates, "reference", error_rates)
    try:
        metrics.check_error_rates(error_rates)
        with pytest.raises(CheckFailed, match="40 of 40 hidden tests failed"):
            hidden.hidden_test("metrics", error_rates)
    finally:
        object.__setattr__(metrics.check_error_rates, "reference", metrics.error_rates)


def test_a_blank_stays_a_blank():
    def error_rates(scores, labels, threshold):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        hidden.hidden_test("metrics", error_rates)


def test_outputs_of_another_kind_are_wrong_and_not_an_error():
    asked = {"module": "study", "name": "results_table", "seed": 1, "trials": 2}
    answers = io.StringIO()
    requests = [json.dumps(asked | {"outputs": outputs}) for outputs in ([None, {"method": ["x"]}], [None])]
    hidden.serve(io.StringIO("\n".join(requests)), answers)
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [[False, False], [False, False]]
