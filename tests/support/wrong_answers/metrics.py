"""Assignment 1."""

import numpy as np
from sklearn.metrics import roc_curve

from tests.support.wrong_answers import wrong


@wrong("error_rates", says="label 1 is live")
def takes_one_for_an_attack(scores, labels, threshold):
    attacks, live = scores[labels == 1], scores[labels == 0]
    return (attacks >= threshold).mean(), (live < threshold).mean()


@wrong("error_rates", says="numbers of faces")
def counts(scores, labels, threshold):
    far = frr = 0
    for score, label in zip(scores, labels, strict=True):
        if label == 0 and score >= threshold:
            far += 1
        if label == 1 and score < threshold:
            frr += 1
    return far, frr


@wrong("error_rates", says="equal to the threshold is accepted")
def ties_are_nobodys(scores, labels, threshold):
    return np.mean(scores[labels == 0] > threshold), np.mean(scores[labels == 1] < threshold)


@wrong("error_rates", says="in percent")
def percent(scores, labels, threshold):
    predicted = (scores >= threshold).astype(int)
    false_live = ((predicted == 1) & (labels == 0)).sum()
    false_spoof = ((predicted == 0) & (labels == 1)).sum()
    return 100 * false_live / (labels == 0).sum(), 100 * false_spoof / (labels == 1).sum()


@wrong("error_rates", says="always add up to 1")
def rest_to_one(scores, labels, threshold):
    far = np.mean(scores[labels == 0] >= threshold)
    return far, 1 - far


@wrong("equal_error_threshold", says="rarely equal exactly")
def waits_for_equality(scores, labels):
    for threshold in np.unique(scores):
        if np.mean(scores[labels == 0] >= threshold) == np.mean(scores[labels == 1] < threshold):
            return threshold


@wrong("equal_error_threshold", says="an index")
def index_of_the_threshold(scores, labels):
    far, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return np.argmin(np.abs(far - (1 - tpr)))


@wrong("equal_error_threshold", says="on one side")
def largest_gap(scores, labels):
    gaps = {t: abs((scores[labels == 0] >= t).mean() - (scores[labels == 1] < t).mean()) for t in scores}
    return max(gaps, key=gaps.get)


@wrong("equal_error_threshold", says="between the two means")
def middle_of_the_means(scores, labels):
    return 0.5 * (scores[labels == 1].mean() + scores[labels == 0].mean())


@wrong("equal_error_threshold", says="|FAR - FRR| at your threshold")
def coarse_grid(scores, labels):
    grid = np.linspace(0, 1, 4)
    gaps = [abs((scores[labels == 0] >= t).mean() - (scores[labels == 1] < t).mean()) for t in grid]
    return grid[np.argmin(gaps)]


def _hter(scores, labels, threshold):
    return 0.5 * ((scores[labels == 0] >= threshold).mean() + (scores[labels == 1] < threshold).mean())


@wrong("hter_two_ways", says="this is the leak")
def test_threshold_twice(validation_scores, validation_labels, test_scores, test_labels, equal_error_threshold):
    threshold = equal_error_threshold(test_scores, test_labels)
    return _hter(test_scores, test_labels, threshold), _hter(test_scores, test_labels, threshold)


@wrong("hter_two_ways", says="the second one is the test list's own")
def validation_threshold_twice(validation_scores, validation_labels, test_scores, test_labels, equal_error_threshold):
    threshold = equal_error_threshold(validation_scores, validation_labels)
    return (_hter(test_scores, test_labels, threshold),) * 2


@wrong("hter_two_ways", says="0.5")
def half(validation_scores, validation_labels, test_scores, test_labels, equal_error_threshold):
    own = equal_error_threshold(test_scores, test_labels)
    return _hter(test_scores, test_labels, 0.5), _hter(test_scores, test_labels, own)


@wrong("hter_two_ways", says="whatever their numbers")
def share_of_wrong_decisions(validation_scores, validation_labels, test_scores, test_labels, equal_error_threshold):
    errors = []
    for scores, labels in ((validation_scores, validation_labels), (test_scores, test_labels)):
        predicted = test_scores >= equal_error_threshold(scores, labels)
        errors.append(np.mean(predicted != test_labels))
    return tuple(errors)


@wrong("hter_two_ways", says="the thresholds themselves")
def thresholds(validation_scores, validation_labels, test_scores, test_labels, equal_error_threshold):
    return equal_error_threshold(validation_scores, validation_labels), equal_error_threshold(test_scores, test_labels)


@wrong("attack_rates", says="takes the worst species")
def pooled(scores, labels, threshold, species):
    apcer = ((scores >= threshold) & (labels == 0)).sum() / (labels == 0).sum()
    bpcer = ((scores < threshold) & (labels == 1)).sum() / (labels == 1).sum()
    return apcer, bpcer, (apcer + bpcer) / 2


@wrong("attack_rates", says="BPCER is the share of live faces that are rejected")
def live_faces_accepted(scores, labels, threshold, species):
    rates = {name: np.mean(scores[species == name] >= threshold) for name in np.unique(species)}
    bpcer = rates.pop("live")
    return max(rates.values()), bpcer, (max(rates.values()) + bpcer) / 2


@wrong("attack_rates", says="largest number of accepted attacks")
def most_accepted(scores, labels, threshold, species):
    names = [name for name in np.unique(species) if name != "live"]
    worst = max(names, key=lambda name: np.sum(scores[species == name] >= threshold))
    apcer, bpcer = np.mean(scores[species == worst] >= threshold), np.mean(scores[labels == 1] < threshold)
    return apcer, bpcer, (apcer + bpcer) / 2


@wrong("attack_rates", says="of that species, not by the number of all attacks")
def share_of_all_attacks(scores, labels, threshold, species):
    through = species[(labels == 0) & (scores >= threshold)]
    apcer = max([np.sum(through == name) for name in set(species) - {"live"}]) / np.sum(labels == 0)
    bpcer = np.mean(scores[labels == 1] < threshold)
    return apcer, bpcer, (apcer + bpcer) / 2
