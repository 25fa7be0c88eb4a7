"""Checks of assignment 1: error rates, thresholds and what leaks through them.

Scores are P(live), labels 1 live and 0 spoof; a face is accepted when its score is >= the threshold.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.checks.task import Inputs, Task
from mmdg_lite.metrics import evaluate_scores, threshold_at_eer

Array = NDArray[Any]
SPECIES = ("mask", "print", "replay")


def _scores(rng: np.random.Generator, *, shift: float = 0.0) -> tuple[Array, Array]:
    """A list with ties: scores rounded to one decimal, both classes, more spoof than live."""
    live, spoof = int(rng.integers(8, 25)), int(rng.integers(26, 60))
    labels = rng.permutation(np.repeat([1, 0], [live, spoof]))
    return np.clip(np.round(0.35 + shift + 0.3 * labels + rng.normal(0, 0.2, live + spoof), 1), 0, 1), labels


def _one_list(rng: np.random.Generator) -> Inputs:
    scores, labels = _scores(rng)
    return {"scores": scores, "labels": labels, "threshold": float(rng.choice(scores))}


def error_rates(scores: Array, labels: Array, threshold: float) -> tuple[float, float]:
    """(FAR, FRR) by the package."""
    found = evaluate_scores(scores, labels, threshold=threshold)
    return found.far, found.frr


def _strict(scores: Array, labels: Array, threshold: float) -> tuple[float, float]:
    return float(np.mean(scores[labels == 0] > threshold)), float(np.mean(scores[labels == 1] <= threshold))


def _of_all(scores: Array, labels: Array, threshold: float) -> tuple[float, float]:
    accepted = scores >= threshold
    return float(np.mean(accepted & (labels == 0))), float(np.mean(~accepted & (labels == 1)))


def _of_accepted(scores: Array, labels: Array, threshold: float) -> tuple[float, float]:
    accepted = scores >= threshold
    return float(np.mean(labels[accepted] == 0)), float(np.mean(labels[~accepted] == 1)) if np.any(~accepted) else 0.0


check_error_rates = Task(
    name="error_rates",
    reference=error_rates,
    draw=_one_list,
    mistakes={
        "FAR and FRR are in the wrong order: FAR, the accepted attacks, comes first": (
            lambda scores, labels, threshold: error_rates(scores, labels, threshold)[::-1]
        ),
        "a score equal to the threshold is accepted: use >=, not >": _strict,
        "you divide by the number of all faces; FAR is a share of the attacks, FRR a share of the live faces": _of_all,
        "you divide by the number of faces decided so; FAR is a share of the attacks, FRR of the live faces": (
            _of_accepted
        ),
        "live and spoof are exchanged: label 1 is live, and a high score means live": (
            lambda scores, labels, threshold: error_rates(scores, 1 - labels, threshold)
        ),
    },
)


def _gap_at(threshold: Any, inputs: Inputs) -> float:
    """|FAR - FRR| at a threshold: many thresholds are equally right."""
    far, frr = error_rates(inputs["scores"], inputs["labels"], float(threshold))
    return abs(far - frr)


def _fewest_errors(scores: Array, labels: Array) -> float:
    return min(np.unique(scores), key=lambda t: float(np.mean((scores >= t) != (labels == 1))))


def _lowest_hter(scores: Array, labels: Array) -> float:
    return min(np.unique(scores), key=lambda t: sum(error_rates(scores, labels, t)))


def _without_threshold(rng: np.random.Generator) -> Inputs:
    scores, labels = _scores(rng)
    return {"scores": scores, "labels": labels}


check_equal_error_threshold = Task(
    name="equal_error_threshold",
    reference=threshold_at_eer,
    draw=_without_threshold,
    judge=_gap_at,
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
    },
)


def _two_lists(rng: np.random.Generator) -> Inputs:
    scores, labels = _scores(rng)
    test_scores, test_labels = _scores(rng, shift=float(rng.uniform(0.1, 0.3)))
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
    },
)


def _with_species(rng: np.random.Generator) -> Inputs:
    inputs = _one_list(rng)
    attack = rng.choice(SPECIES, len(inputs["labels"]), p=[0.2, 0.3, 0.5])
    attack[np.flatnonzero(inputs["labels"] == 0)[:3]] = SPECIES  # each species is there
    inputs["species"] = np.where(inputs["labels"] == 1, "live", attack)
    return inputs


def attack_rates(scores: Array, labels: Array, threshold: float, species: Array) -> tuple[float, float, float]:
    """(APCER of the worst species, BPCER, ACER) by the package."""
    found = evaluate_scores(scores, labels, threshold=threshold, species=list(species))
    return found.apcer, found.bpcer, found.acer


def _with_apcer(choose: Any) -> Any:
    """Attack rates with another way to make one APCER of the species' ones."""

    def wrong(scores: Array, labels: Array, threshold: float, species: Array) -> tuple[float, float, float]:
        found = evaluate_scores(scores, labels, threshold=threshold, species=list(species))
        apcer = float(choose(list(found.apcer_per_species.values()), found))
        return apcer, found.bpcer, (apcer + found.bpcer) / 2

    return wrong


def _acer_of_all(scores: Array, labels: Array, threshold: float, species: Array) -> tuple[float, float, float]:
    found = evaluate_scores(scores, labels, threshold=threshold, species=list(species))
    return found.apcer, found.bpcer, found.hter


check_attack_rates = Task(
    name="attack_rates",
    reference=attack_rates,
    draw=_with_species,
    mistakes={
        "your APCER pools all attacks, which is FAR; ISO/IEC 30107-3 takes the worst species": (
            _with_apcer(lambda rates, found: found.far)
        ),
        "your APCER is the mean over species; ISO/IEC 30107-3 takes the worst one": (
            _with_apcer(lambda rates, found: np.mean(rates))
        ),
        "your APCER is the best species'; an attacker chooses the worst one": (
            _with_apcer(lambda rates, found: min(rates))
        ),
        "live faces count as a species of yours: an accepted live face is no error": (
            _with_apcer(lambda rates, found: max(*rates, 1 - found.bpcer))
        ),
        "APCER and BPCER are right, but your ACER averages BPCER with the FAR of all attacks": _acer_of_all,
    },
)

TASKS = (check_error_rates, check_equal_error_threshold, check_hter_two_ways, check_attack_rates)
