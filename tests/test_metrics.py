"""Error rates by hand, by scikit-learn, and by properties that any correct metric has."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import det_curve, roc_auc_score

from mmdg_lite.metrics import bootstrap_interval, evaluate_scores, looks_inverted, threshold_at_eer

# four live (0.9 0.8 0.4 0.3) and five spoof (0.7 0.35 0.2 0.1 0.05)
SCORES = [0.9, 0.8, 0.4, 0.3, 0.7, 0.35, 0.2, 0.1, 0.05]
LABELS = [1, 1, 1, 1, 0, 0, 0, 0, 0]
SPECIES = ["live"] * 4 + ["print", "replay", "print", "replay", "replay"]


def test_rates_at_a_given_threshold_by_hand():
    m = evaluate_scores(SCORES, LABELS, threshold=0.5, species=SPECIES)
    assert m.far == pytest.approx(1 / 5)
    assert m.frr == m.bpcer == pytest.approx(2 / 4)
    assert m.hter == m.hter_at_half == pytest.approx(0.35)
    assert m.apcer_per_species == {"print": pytest.approx(1 / 2), "replay": 0.0}
    assert m.apcer == pytest.approx(1 / 2)
    assert m.acer == pytest.approx(1 / 2)
    assert (m.live, m.spoof) == (4, 5)
    # of the 20 pairs the live sample wins 10 + (0.4: 4) + (0.3: 3)
    assert m.auc == pytest.approx(17 / 20)


def test_equal_error_point_by_hand():
    # accepting everything >= 0.4: FAR 1/5, FRR 1/4, the closest the two come; the threshold lies midway to 0.35
    assert threshold_at_eer(SCORES, LABELS) == pytest.approx(0.375)
    m = evaluate_scores(SCORES, LABELS)
    assert m.threshold == m.eer_threshold == pytest.approx(0.375)
    assert m.hter == m.hter_at_eer == pytest.approx((1 / 5 + 1 / 4) / 2)
    # the ROC curve steps from (FAR 1/5, FRR 1/4) to (2/5, 1/4): far = frr = 1/4 lies on that step
    assert m.eer == pytest.approx(1 / 4)


def test_bpcer_at_apcer_by_hand():
    # 1 %: no attack may pass, so the threshold is above 0.7 and two of four live samples are rejected
    assert evaluate_scores(SCORES, LABELS, species=SPECIES).bpcer_at_apcer_1 == pytest.approx(1 / 2)
    scores = np.concatenate([np.arange(20) / 20 + 0.001, [0.9, 0.97]])
    labels = np.concatenate([np.zeros(20, int), np.ones(2, int)])
    m = evaluate_scores(scores, labels)
    # 5 % of 20 attacks: the one at 0.951 may pass, the one at 0.901 may not; 1 %: none may
    assert m.bpcer_at_apcer_5 == pytest.approx(1 / 2)
    assert m.bpcer_at_apcer_1 == pytest.approx(1 / 2)
    # per species the same attack is half of its kind, so none of that kind may pass
    species = ["print"] * 18 + ["mask"] * 2 + ["live"] * 2
    assert evaluate_scores(scores, labels, species=species).bpcer_at_apcer_5 == pytest.approx(1 / 2)
    lower = np.where(labels == 1, scores - 0.03, scores)  # live at 0.87 and 0.94, between the two highest attacks
    assert evaluate_scores(lower, labels).bpcer_at_apcer_5 == pytest.approx(1 / 2)
    assert evaluate_scores(lower, labels).bpcer_at_apcer_1 == 1.0


def test_score_equal_to_the_threshold_is_accepted():
    m = evaluate_scores([0.5, 0.5], [1, 0], threshold=0.5)
    assert (m.far, m.frr) == (1.0, 0.0)


def test_separable_and_reversed_scores():
    assert evaluate_scores([0.9, 0.8, 0.1], [1, 1, 0]).hter == 0.0
    reversed_ = evaluate_scores([0.1, 0.2, 0.9], [1, 1, 0])
    assert reversed_.auc == 0.0
    assert reversed_.eer == 1.0


def test_all_scores_equal_is_chance():
    m = evaluate_scores([0.3] * 6, [1, 1, 0, 0, 0, 0])
    assert m.auc == m.hter_at_eer == m.eer == 0.5


def test_neighbouring_floating_point_numbers_are_still_told_apart():
    scores, labels = [math.nextafter(0.7, 1), 0.7], [1, 0]
    assert evaluate_scores(scores, labels, threshold=threshold_at_eer(scores, labels)).hter == 0.0


# multiples of 1/64 are exact in floating point, so that maps of the scores neither join nor part any two of them
scored_lists = st.lists(st.tuples(st.integers(0, 64).map(lambda k: k / 64), st.integers(0, 1)), min_size=2, max_size=60)


@given(scored_lists)
def test_properties(pairs):
    scores, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    assume(0 < labels.sum() < len(labels))
    m = evaluate_scores(scores, labels, threshold=0.5)
    fraction_names = [
        n for n in m.to_dict() if n not in ("apcer_per_species", "live", "spoof", "threshold", "eer_threshold")
    ]
    assert all(0 <= m[name] <= 1 for name in fraction_names)
    assert m.auc == pytest.approx(roc_auc_score(labels, scores))
    assert m.bpcer_at_apcer_1 >= m.bpcer_at_apcer_5
    # no threshold brings the two rates closer together than the equal-error one
    far, frr, _ = det_curve(labels, scores, drop_intermediate=False)
    at_eer = evaluate_scores(scores, labels, threshold=m.eer_threshold)
    assert abs(at_eer.far - at_eer.frr) <= np.abs(far - frr).min() + 1e-9
    assert at_eer.hter == m.hter_at_eer
    assert min(at_eer.far, at_eer.frr) - 1e-9 <= m.eer <= max(at_eer.far, at_eer.frr) + 1e-9
    # the order of samples is of no consequence
    order = np.argsort(scores)[::-1]
    assert evaluate_scores(scores[order], labels[order], threshold=0.5) == m


@given(scored_lists, st.sampled_from([0.125, 0.5, 2.0, 16.0]), st.integers(-3, 3))
def test_rising_maps_of_the_scores_change_no_ranking_metric(pairs, scale, shift):
    scores, labels = np.array([p[0] for p in pairs], dtype=float), np.array([p[1] for p in pairs])
    assume(0 < labels.sum() < len(labels))
    a, b = evaluate_scores(scores, labels), evaluate_scores(scores * scale + shift, labels)
    for name in ("auc", "eer", "hter_at_eer", "hter", "bpcer_at_apcer_1", "bpcer_at_apcer_5"):
        assert a[name] == pytest.approx(b[name])


@given(scored_lists)
def test_swapping_classes_and_negating_scores_swaps_the_rates(pairs):
    scores, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    assume(0 < labels.sum() < len(labels))
    assume(not np.any(scores == 0.5))
    a, b = evaluate_scores(scores, labels, threshold=0.5), evaluate_scores(1 - scores, 1 - labels, threshold=0.5)
    assert (a.far, a.frr) == (b.frr, b.far)
    assert a.auc == pytest.approx(b.auc)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    truth = 0.5 * math.erfc(0.5 / math.sqrt(2))  # error on either side of two unit normals one apart
    for trial in range(60):
        rng = np.random.default_rng(trial)
        scores = np.concatenate([rng.normal(1, 1, 150), rng.normal(0, 1, 150)])
        labels = np.repeat([1, 0], 150)
        low, high = bootstrap_interval(scores, labels, threshold=0.5, samples=200, seed=trial)
        assert low < high
        covered += low <= truth <= high
    assert 51 <= covered <= 60  # 95 % of 60 is 57; 51 or more has probability 0.99


@pytest.mark.parametrize("metric", ["hter", "hter_at_eer", "hter_at_half", "auc"])
def test_bootstrap_is_repeatable_and_holds_the_point_estimate(metric, rng):
    scores = np.concatenate([rng.normal(0.6, 0.2, 80), rng.normal(0.4, 0.2, 60)])
    labels = np.repeat([1, 0], [80, 60])
    first = bootstrap_interval(scores, labels, metric=metric, threshold=0.55, samples=100, seed=3)
    assert first == bootstrap_interval(scores, labels, metric=metric, threshold=0.55, samples=100, seed=3)
    assert first != bootstrap_interval(scores, labels, metric=metric, threshold=0.55, samples=100, seed=4)
    assert first[0] <= evaluate_scores(scores, labels, threshold=0.55)[metric] <= first[1]


@pytest.mark.parametrize(
    "scores, labels, message",
    [
        ([], [], "equally long"),
        ([0.1, 0.2], [1], "equally long"),
        ([0.1, math.nan], [1, 0], "not finite"),
        ([0.1, 0.2], [1, 2], "labels must be"),
        ([0.1, 0.2], [1, 1], "both classes"),
    ],
)
def test_bad_input_is_refused_with_a_reason(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate_scores(scores, labels)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="species has 1 names for 2"):
        evaluate_scores([0.1, 0.9], [0, 1], species=["print"])
    with pytest.raises(ValueError, match="threshold"):
        evaluate_scores([0.1, 0.9], [0, 1], threshold=math.nan)
    with pytest.raises(ValueError, match="no bootstrap"):
        bootstrap_interval([0.1, 0.9], [0, 1], metric="accuracy")
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([0.1, 0.9], [0, 1], confidence=95)
    with pytest.raises(KeyError, match="there are threshold, far"):
        evaluate_scores([0.1, 0.9], [0, 1])["HTER"]


def test_an_interval_at_no_threshold_or_of_no_resamples_is_refused():
    with pytest.raises(ValueError, match="threshold is nan"):
        bootstrap_interval([0.1, 0.9], [0, 1], threshold=math.nan)
    with pytest.raises(ValueError, match="at least 1 resample, got 0"):
        bootstrap_interval([0.1, 0.9], [0, 1], samples=0)


@pytest.mark.parametrize("live", ["none", "glasses", "live", "print"])
def test_apcer_counts_attacks_whatever_species_live_faces_carry(live):
    """No attack is accepted at 0.5; the accepted live faces carry an attack's name."""
    m = evaluate_scores(
        [0.9, 0.8, 0.7, 0.2, 0.3], [1, 1, 1, 0, 0], threshold=0.5, species=[live, live, "none", "glasses", "print"]
    )
    assert m.apcer == m.acer == m.bpcer_at_apcer_1 == 0
    assert m.apcer_per_species == {"glasses": 0.0, "print": 0.0}


def test_inverted_labels_are_told_from_bad_luck(rng):
    labels = np.arange(200) % 2
    good = 0.5 + 0.2 * (labels - 0.5) + 0.1 * rng.standard_normal(200)
    assert not looks_inverted(evaluate_scores(good, labels))
    assert looks_inverted(evaluate_scores(good, 1 - labels))
    few = evaluate_scores([0.2, 0.3, 0.6, 0.7], [1, 1, 0, 0])
    assert few.auc == 0 and not looks_inverted(few)  # four samples come out so by chance once in six times
    chance = [evaluate_scores(rng.random(200), labels) for _ in range(200)]
    assert not any(map(looks_inverted, chance))
