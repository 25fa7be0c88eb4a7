"""Checks of assignment 1: the threshold of equal errors, and what leaks through it."""

from typing import Any

import numpy as np

from mmdg_lite.metrics import evaluate_scores, threshold_at_eer
from mmdg_lite.teaching.checks.metrics import Array, draw_scores, error_rates
from mmdg_lite.teaching.checks.task import Inputs, Task


def _gap_at(threshold: Any, inputs: Inputs) -> float:
    """|FAR - FRR| at a threshold: many thresholds are equally right."""
    if threshold is None:
        raise TypeError("FAR and FRR of finitely many scores are rarely equal exactly: take where they are closest")
    far, frr = error_rates(inputs["scores"], inputs["labels"], float(threshold))
    return abs(far - frr)


def _apart() -> tuple[Array, Array]:
    """Ten scores from 0.2 to 0.8, live ones among the higher."""
    return np.linspace(0.2, 0.8, 10), np.array([0, 0, 0, 1, 0, 1, 0, 1, 1, 1])


def _fewest_errors(scores: Array, labels: Array) -> float:
    return min(np.unique(scores), key=lambda t: float(np.mean((scores >= t) != (labels == 1))))


def _lowest_hter(scores: Array, labels: Array) -> float:
    return min(np.unique(scores), key=lambda t: sum(error_rates(scores, labels, t)))


def _without_threshold(rng: np.random.Generator) -> Inputs:
    scores, labels = draw_scores(rng)
    return {"scores": scores, "labels": labels}


check_equal_error_threshold = Task(
    name="equal_error_threshold",
    reference=threshold_at_eer,
    draw=_without_threshold,
    judge=_gap_at,
    judged="|FAR - FRR| at your threshold",
    trials=25,
    mistakes={
        "this is the equal error rate itself; the threshold at which it occurs is asked for": (
            lambda scores, labels: evaluate_scores(scores, labels).eer
        ),
        "your threshold makes the fewest errors, which favours the larger class; FAR and FRR should be equal": (
            _fewest_errors
        ),
        "your threshold minimises FAR + FRR; at the equal-error point it is their difference that is smallest": (
            _lowest_hter
        ),
        "0.5 is a threshold, but not one where FAR and FRR of these scores are equal": lambda scores, labels: 0.5,
        "the mean score is not where FAR and FRR are equal": lambda scores, labels: float(np.mean(scores)),
        "the middle between the two means is the right place only if both classes spread alike": (
            lambda scores, labels: float(np.mean([scores[labels == 1].mean(), scores[labels == 0].mean()]))
        ),
    },
    symptoms={
        "your threshold lies outside of the scores; is it an index in the place of a score?": (
            lambda answer: not 0.2 <= float(answer(*_apart())) <= 0.8
        ),
        "all faces fall on one side of your threshold: look for the smallest difference of FAR and FRR, not the "
        "largest": lambda answer: (
            _gap_at(answer(*_apart()), dict(zip(("scores", "labels"), _apart(), strict=True))) == 1
        ),
    },
)


def _two_lists(rng: np.random.Generator) -> Inputs:
    scores, labels = draw_scores(rng)
    test_scores, test_labels = draw_scores(rng, shift=float(rng.uniform(0.1, 0.3)))
    # thresholds between two possible scores, so that they do not depend on how ties are resolved
    return {
        "validation_scores": scores + rng.uniform(-0.04, 0.04, len(scores)),
        "validation_labels": labels,
        "test_scores": test_scores + rng.uniform(-0.04, 0.04, len(test_scores)),
        "test_labels": test_labels,
        "equal_error_threshold": threshold_at_eer,
    }


def hter_two_ways(
    validation_scores: Array, validation_labels: Array, test_scores: Array, test_labels: Array, **_: Any
) -> tuple[float, float]:
    """(HTER at the threshold of the validation list, HTER at the test list's own equal-error point)."""
    found = evaluate_scores(test_scores, test_labels, threshold=threshold_at_eer(validation_scores, validation_labels))
    return found.hter, found.hter_at_eer


def _pooled(
    validation_scores: Array, validation_labels: Array, test_scores: Array, test_labels: Array, **_: Any
) -> tuple[float, float]:
    threshold = threshold_at_eer(
        np.concatenate([validation_scores, test_scores]), np.concatenate([validation_labels, test_labels])
    )
    found = evaluate_scores(test_scores, test_labels, threshold=threshold)
    return found.hter, found.hter_at_eer


def _of_all_faces(scores: Array, labels: Array, threshold: float) -> float:
    return float(np.mean((scores >= threshold) != (labels == 1)))


def _wrong_decisions(
    validation_scores: Array, validation_labels: Array, test_scores: Array, test_labels: Array, **_: Any
) -> tuple[float, float]:
    lists = ((validation_scores, validation_labels), (test_scores, test_labels))
    shares = [_of_all_faces(test_scores, test_labels, threshold_at_eer(*each)) for each in lists]
    return shares[0], shares[1]


def _at_half(test_scores: Array, test_labels: Array, **_: Any) -> tuple[float, float]:
    found = evaluate_scores(test_scores, test_labels)
    return found.hter_at_half, found.hter_at_eer


def _thresholds(
    validation_scores: Array, validation_labels: Array, test_scores: Array, test_labels: Array, **_: Any
) -> tuple[float, float]:
    return threshold_at_eer(validation_scores, validation_labels), threshold_at_eer(test_scores, test_labels)


def _on_validation(
    validation_scores: Array, validation_labels: Array, test_scores: Array, test_labels: Array, **_: Any
) -> tuple[float, float]:
    return (
        evaluate_scores(validation_scores, validation_labels).hter_at_eer,
        evaluate_scores(test_scores, test_labels).hter_at_eer,
    )


check_hter_two_ways = Task(
    name="hter_two_ways",
    reference=hter_two_ways,
    draw=_two_lists,
    mistakes={
        "the two numbers are in the wrong order: the deployable one comes first": (
            lambda **inputs: hter_two_ways(**inputs)[::-1]
        ),
        "both thresholds come from the test list: this is the leak; the first is fixed on the validation list": (
            lambda **inputs: (hter_two_ways(**inputs)[1],) * 2
        ),
        "your first threshold has seen the test list together with the validation list: it leaks": _pooled,
        "the first number is measured on the validation list; its threshold comes from there, its errors from the test "
        "list": _on_validation,
        "you add FAR and FRR; HTER is half of the sum": (
            lambda **inputs: tuple(2 * value for value in hter_two_ways(**inputs))
        ),
        "both thresholds come from the validation list; the second one is the test list's own": (
            lambda **inputs: (hter_two_ways(**inputs)[0],) * 2
        ),
        "your first threshold is 0.5; it is the equal-error threshold of the validation list": _at_half,
        "this is the share of wrong decisions; HTER counts both classes alike, whatever their numbers": (
            _wrong_decisions
        ),
        "these are the thresholds themselves; the HTER of the test list at each of them is asked for": _thresholds,
    },
)

TASKS = (check_equal_error_threshold, check_hter_two_ways)
