"""Checks of assignment 1: error rates at a threshold, of both classes and of every species.

Scores are P(live), labels 1 live and 0 spoof; a face is accepted when its score is >= the threshold.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.teaching.checks.task import Inputs, Task

Array = NDArray[Any]
SPECIES = ("mask", "print", "replay")


def draw_scores(rng: np.random.Generator, *, shift: float = 0.0) -> tuple[Array, Array]:
    """A list with ties: scores rounded to one decimal, both classes, more spoof than live."""
    live, spoof = int(rng.integers(8, 25)), int(rng.integers(26, 60))
    labels = rng.permutation(np.repeat([1, 0], [live, spoof]))
    return np.clip(np.round(0.35 + shift + 0.3 * labels + rng.normal(0, 0.2, live + spoof), 1), 0, 1), labels


def _one_list(rng: np.random.Generator) -> Inputs:
    scores, labels = draw_scores(rng)
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


def _counts(scores: Array, labels: Array, threshold: float) -> tuple[int, int]:
    accepted = scores >= threshold
    return int(np.sum(accepted & (labels == 0))), int(np.sum(~accepted & (labels == 1)))


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
        "these are numbers of faces; divide by the number of attacks for FAR, by that of live faces for FRR": _counts,
        "these are rates in percent; fractions in 0..1 are asked for": (
            lambda scores, labels, threshold: tuple(100 * rate for rate in error_rates(scores, labels, threshold))
        ),
        "live and spoof are exchanged: label 1 is live, and a high score means live": (
            lambda scores, labels, threshold: error_rates(scores, 1 - labels, threshold)
        ),
    },
    symptoms={
        "a score equal to the threshold is accepted: an attack there is a false acceptance": (
            lambda answer: float(answer(np.array([0.5, 0.5]), np.array([0, 1]), 0.5)[0]) == 0
        ),
        "your FAR and FRR always add up to 1; FRR is counted on the live faces": (
            lambda answer: sum(answer(np.array([0.4, 0.3, 0.6, 0.2, 0.9]), np.array([0, 0, 0, 1, 1]), 0.5)) == 1
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


def _of_all_attacks(scores: Array, labels: Array, threshold: float, species: Array) -> tuple[float, float, float]:
    through = [float(np.sum((scores >= threshold) & (species == name))) for name in set(species[labels == 0])]
    apcer, bpcer = max(through) / float(np.sum(labels == 0)), error_rates(scores, labels, threshold)[1]
    return apcer, bpcer, (apcer + bpcer) / 2


def _most_often(scores: Array, labels: Array, threshold: float, species: Array) -> tuple[float, float, float]:
    names = sorted(set(species[labels == 0]))
    worst = max(names, key=lambda name: np.sum((scores >= threshold) & (species == name)))
    apcer, bpcer = float(np.mean(scores[species == worst] >= threshold)), error_rates(scores, labels, threshold)[1]
    return apcer, bpcer, (apcer + bpcer) / 2


def _live_accepted(scores: Array, labels: Array, threshold: float, species: Array) -> tuple[float, float, float]:
    apcer, bpcer, _ = attack_rates(scores, labels, threshold, species)
    return apcer, 1 - bpcer, (apcer + 1 - bpcer) / 2


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
        "BPCER is the share of live faces that are rejected; yours is that of the accepted ones": _live_accepted,
        "the worst species has the largest share, not the largest number of accepted attacks": _most_often,
        "APCER of a species divides by the number of attacks of that species, not by the number of all attacks": (
            _of_all_attacks
        ),
    },
)

TASKS = (check_error_rates, check_attack_rates)
