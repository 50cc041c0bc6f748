"""Measures of calibration against loops over images and bins, at their limits, and against scikit-learn's."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, auc, brier_score_loss, log_loss

from mixexp import calibration
from mixexp.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    adaptive_ece,
    aurc,
    brier,
    classwise_ece,
    ece,
    fit_temperature,
    nll,
    probabilities_of,
    reliability,
)

MEASURES = (calibration.accuracy, ece, adaptive_ece, classwise_ece, brier, aurc)


def drawn(images: int = 300, classes: int = 5, sharpness: float = 3.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a fair classifier with noise, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=images)
    return sharpness * (rng.normal(size=(images, classes)) + np.eye(classes)[labels]), labels


def with_ties(images: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with few different values, some on the edges of ten or fifteen bins, and the labels."""
    rng = np.random.default_rng(1)
    kinds = np.array([[0.2, 0.2, 0.6], [1.0, 0.0, 0.0], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]])
    return kinds[rng.integers(len(kinds), size=images)], rng.integers(3, size=images)


# --- loops ---


def confident(p: list[float]) -> tuple[float, int]:
    """The largest probability and the first class that has it."""
    best = 0
    for label, value in enumerate(p):
        if value > p[best]:
            best = label
    return p[best], best


def binned_gap(pairs: list[tuple[float, float]], bins: int) -> float:
    """Calibration error of (predicted, observed) pairs, bin by bin."""
    total = 0.0
    for k in range(bins):
        inside = [
            (predicted, observed)
            for predicted, observed in pairs
            if k / bins < predicted <= (k + 1) / bins or (k == 0 and predicted == 0)
        ]
        if inside:
            gap = sum(observed for _, observed in inside) / len(inside) - sum(p for p, _ in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(gap)
    return total


def naive_pairs(p: np.ndarray, labels: np.ndarray) -> list[tuple[float, float]]:
    pairs = []
    for row, label in zip(p.tolist(), labels.tolist(), strict=True):
        confidence, predicted = confident(row)
        pairs.append((confidence, float(predicted == label)))
    return pairs


def naive_ece(p, labels, bins=15):
    return binned_gap(naive_pairs(p, labels), bins)


def naive_adaptive_ece(p, labels, bins=15):
    pairs = naive_pairs(p, labels)
    members: dict[int, list[tuple[float, float]]] = {}
    for confidence, right in pairs:
        less = sum(other < confidence for other, _ in pairs)
        members.setdefault(math.floor(less * bins / len(pairs)), []).append((confidence, right))
    return sum(
        abs(sum(right for _, right in inside) - sum(confidence for confidence, _ in inside)) / len(pairs)
        for inside in members.values()
    )


def naive_classwise_ece(p, labels, bins=15):
    classes = p.shape[1]
    return (
        sum(
            binned_gap(
                [(row[c], float(label == c)) for row, label in zip(p.tolist(), labels.tolist(), strict=True)], bins
            )
            for c in range(classes)
        )
        / classes
    )


def naive_nll(scores, labels):
    total = 0.0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        total -= row[label] - math.log(sum(math.exp(z) for z in row))
    return total / len(labels)


def naive_brier(p, labels):
    total = 0.0
    for row, label in zip(p.tolist(), labels.tolist(), strict=True):
        for c, value in enumerate(row):
            total += (value - (c == label)) ** 2
    return total / len(labels)


def naive_aurc(pairs):
    """Without ties."""
    risks, errors = [], 0.0
    for k, (_, right) in enumerate(sorted(pairs, reverse=True), start=1):
        errors += 1 - right
        risks.append(errors / k)
    return sum(risks) / len(risks)


@pytest.mark.parametrize("bins", [1, 2, 10, 15, 500])
@pytest.mark.parametrize("data", ["drawn", "ties"])
def test_the_calibration_errors_are_those_of_loops(data, bins):
    p, labels = with_ties() if data == "ties" else (probabilities_of((of := drawn())[0]), of[1])
    assert ece(p, labels, bins) == pytest.approx(naive_ece(p, labels, bins), abs=1e-12)
    assert adaptive_ece(p, labels, bins) == pytest.approx(naive_adaptive_ece(p, labels, bins), abs=1e-12)
    assert classwise_ece(p, labels, bins) == pytest.approx(naive_classwise_ece(p, labels, bins), abs=1e-12)


def test_the_scores_are_those_of_loops_and_of_scikit_learn():
    scores, labels = drawn()
    p = probabilities_of(scores)
    assert calibration.accuracy(p, labels) == accuracy_score(labels, p.argmax(1))
    assert nll(scores, labels) == pytest.approx(naive_nll(scores, labels)) == pytest.approx(log_loss(labels, p))
    assert nll(scores, labels, 2.5) == pytest.approx(naive_nll(scores / 2.5, labels))
    assert brier(p, labels) == pytest.approx(naive_brier(p, labels))
    one_against_rest = [brier_score_loss(labels == c, p[:, c]) for c in range(5)]
    assert brier(p, labels) == pytest.approx(sum(one_against_rest))
    two = probabilities_of(scores[:, :2])
    assert brier(two, labels % 2) == pytest.approx(2 * brier_score_loss(labels % 2, two[:, 1]))


def test_the_area_under_risk_and_coverage_is_that_of_loops_and_of_scikit_learns_trapezoid():
    scores, labels = drawn()
    p = probabilities_of(scores)
    pairs = naive_pairs(p, labels)
    assert aurc(p, labels) == pytest.approx(naive_aurc(pairs))
    right = np.array([right for _, right in sorted(pairs, reverse=True)])
    covered = np.arange(1, len(right) + 1)
    risk = np.cumsum(1 - right) / covered
    assert aurc(p, labels) == pytest.approx(auc(covered / len(right), risk) + (risk[0] + risk[-1]) / 2 / len(right))


def test_with_ties_the_area_is_the_mean_over_their_orders():
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.7, 0.3], [0.5, 0.5]])
    labels = np.array([0, 0, 1, 0, 1])
    rights = [float(p[k].argmax() == labels[k]) for k in range(5)]
    orders = [[rights[0], *middle, rights[4]] for middle in itertools.permutations(rights[1:4])]
    areas = [naive_aurc([(-k, right) for k, right in enumerate(order)]) for order in orders]
    assert aurc(p, labels) == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_the_images_does_not_count(measure):
    p, labels = with_ties()
    order = np.random.default_rng(2).permutation(len(p))
    assert measure(p[order], labels[order]) == pytest.approx(measure(p, labels), abs=1e-14)


def test_perfect_calibration_has_no_error():
    p = np.tile([0.75, 0.25], (8, 1))
    labels = np.array([0, 0, 0, 1] * 2)
    assert ece(p, labels) == adaptive_ece(p, labels) == classwise_ece(p, labels) == 0
    assert aurc(p, labels) == pytest.approx(0.25), "equal confidences select nothing"
    sure = np.eye(3)
    assert [measure(sure, np.arange(3)) for measure in MEASURES] == [1, 0, 0, 0, 0, 0]


def test_all_sure_and_wrong_is_the_worst():
    p, labels = np.eye(4), np.array([1, 2, 3, 0])
    assert calibration.accuracy(p, labels) == 0
    assert ece(p, labels) == adaptive_ece(p, labels) == aurc(p, labels) == 1
    assert classwise_ece(p, labels) == pytest.approx(0.5), "a quarter of the images at 1, a quarter is the class"
    assert brier(p, labels) == 2
    assert nll(1000 * p, labels) == pytest.approx(1000), "where p is 0 in float64"


def test_one_bin_is_the_gap_of_the_means():
    scores, labels = drawn()
    p = probabilities_of(scores)
    gap = abs(p.max(1).mean() - (p.argmax(1) == labels).mean())
    assert ece(p, labels, 1) == pytest.approx(gap) == pytest.approx(adaptive_ece(p, labels, 1))


def test_the_bins_of_a_diagram_are_closed_on_the_right():
    p = np.array([[0.6, 0.4], [0.61, 0.39], [1.0, 0.0], [0.5, 0.5]])
    bins = reliability(p, np.array([0, 1, 0, 1]), 10)
    assert bins.images.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 1]
    assert bins.lower[5] == 0.5 and bins.upper[5] == 0.6
    assert bins.accuracy[[4, 5, 6, 9]].tolist() == [0, 1, 0, 1] and bins.confidence[5] == 0.6
    assert np.isnan(bins.accuracy[0]) and np.isnan(bins.confidence[0])
    scores, labels = drawn()
    bins = reliability(probabilities_of(scores), labels)
    gaps = np.nan_to_num(np.abs(bins.accuracy - bins.confidence))
    assert (bins.images * gaps).sum() / bins.images.sum() == pytest.approx(ece(probabilities_of(scores), labels))


def test_the_fitted_temperature_undoes_a_scale_and_has_the_smallest_loss():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(20_000, 4))
    labels = (probabilities_of(logits).cumsum(1) > rng.random((20_000, 1))).argmax(1)
    for scale in (0.25, 1.0, 7.0):
        found = fit_temperature(scale * logits, labels)
        assert found.minimum == "inside" and found.value == pytest.approx(scale, rel=0.03)
        grid = [nll(scale * logits, labels, found.value * factor) for factor in (0.9, 0.99, 1.01, 1.1)]
        assert nll(scale * logits, labels, found.value) < min(grid)
    p, fitted = probabilities_of(7 * logits), probabilities_of(7 * logits, fit_temperature(7 * logits, labels).value)
    assert ece(fitted, labels) < 0.02 < 0.2 < ece(p, labels)
    assert (fitted.argmax(1) == p.argmax(1)).all(), "no prediction changes"


def test_a_temperature_at_an_end_of_the_range_is_said_to_be_there():
    labels = np.array([0, 1, 2])
    assert fit_temperature(np.eye(3), labels) == (pytest.approx(LOWEST_TEMPERATURE), "lowest")
    assert fit_temperature(np.eye(3), labels[::-1] * 0 + [1, 2, 0]) == (pytest.approx(HIGHEST_TEMPERATURE), "highest")
    assert fit_temperature(np.zeros((3, 3)), labels) == (1.0, "inside"), "no temperature is better than another"
    diverged = fit_temperature(np.full((3, 3), np.nan), labels)
    assert math.isnan(diverged.value) and diverged.minimum == ""


def test_what_is_not_finite_has_no_calibration():
    scores, labels = drawn(20)
    scores[3, 2] = math.nan
    p = probabilities_of(scores)
    assert all(math.isnan(measure(p, labels)) for measure in MEASURES if measure is not calibration.accuracy)
    assert math.isnan(nll(scores, labels))


def test_no_images_and_other_shapes_are_refused():
    for measure in (*MEASURES, nll, reliability, fit_temperature):
        with pytest.raises(ValueError, match="no images"):
            measure(np.zeros((0, 3)), np.zeros(0, dtype=int))
        with pytest.raises(ValueError, match=r"values \[4, 3\] for labels \[5\]"):
            measure(np.zeros((4, 3)), np.zeros(5, dtype=int))
