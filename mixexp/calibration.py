"""How far a classifier's confidence is its accuracy, and the temperature that brings them together.

Everything is float64 NumPy. N images, C classes; probabilities: float [N, C], rows sum to 1; labels: int [N] in
0…C−1; scores: float [N, C], logits or what softmax takes in their place. The confidence of an image is its largest
probability p̂, its prediction the class that has it (the first of several). Where a number is not finite, everything but
the accuracy is nan. All functions raise ValueError for no images.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15
"""Bins of the calibration errors where nothing else is said, as in Guo et al. 2017."""
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0
"""The range in which a temperature is fitted."""
TOLERANCE = 1e-6
"""Of the fitted temperature's logarithm."""


class Reliability(NamedTuple):
    """Equal-width bins of the confidence, each array [bins]: ends, images, and their mean confidence and accuracy.

    confidence and accuracy are nan in a bin without images.
    """

    lower: np.ndarray
    upper: np.ndarray
    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


class Temperature(NamedTuple):
    """A fitted temperature, and whether it is inside the range searched or at one of its ends."""

    value: float
    minimum: Literal["inside", "lowest", "highest", ""]


def probabilities_of(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(scores / T), float64 [N, C] (Guo et al. 2017)."""
    return softmax(np.asarray(scores, dtype=np.float64) / temperature, axis=1)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The fraction of the images whose likeliest class is the label."""
    _, right = _judged(probabilities, labels)
    return float(right.mean())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """The bins ((m − 1)/M, m/M] of a reliability diagram (Guo et al. 2017).

    A confidence on an edge is in the bin below it, as in scikit-learn; torchmetrics puts it into the bin above.
    """
    confidence, right = _judged(probabilities, labels)
    edges = np.arange(bins + 1) / bins
    return Reliability(edges[:-1], edges[1:], *_means(_equal_width(confidence, bins), bins, confidence, right))


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error Σ_m |B_m|/N · |acc(B_m) − conf(B_m)| over equal-width bins (Guo et al. 2017)."""
    confidence, right = _judged(probabilities, labels)
    return _gap(_equal_width(confidence, bins), bins, confidence, right)


def adaptive_ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The same error over bins of equally many images (Nguyen and O'Connor 2015; AdaECE of Mukhoti et al. 2020).

    The image of rank r, from 0, in order of confidence is in bin ⌊r·M/N⌋; equal confidences share the bin of the first
    of them, so that the order of the images does not count. Codes that cut the sorted list anywhere differ with ties.
    """
    confidence, right = _judged(probabilities, labels)
    rank = np.searchsorted(np.sort(confidence), confidence, side="left")
    return _gap(rank * bins // len(rank), bins, confidence, right)


def classwise_ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean over the classes of the calibration error of p_c against 1[y = c], equal-width bins (Kull et al. 2019).

    Nixon et al. 2019 call it the static calibration error. Many classes make it small, since most p_c are near 0:
    compare it only between networks of as many classes.
    """
    probabilities, labels = _checked(probabilities, labels)
    each = [
        _gap(_equal_width(p, bins), bins, p, (labels == label).astype(np.float64))
        for label, p in enumerate(probabilities.T)
    ]
    return float(np.mean(each))


def nll(scores: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood −log softmax(scores / T)_y, natural logarithm; from scores, so that none is cut off.

    scikit-learn's log_loss takes probabilities, and cuts those that have rounded to 0.
    """
    scores, labels = _checked(scores, labels)
    log_p = log_softmax(scores / temperature, axis=1)
    return float(-log_p[np.arange(len(labels)), labels].mean())


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the images of Σ_c (p_c − 1[y = c])², from 0 to 2 (Brier 1950).

    It is the sum over all classes: for two classes twice scikit-learn's brier_score_loss, and C times a mean over them.
    """
    probabilities, labels = _checked(probabilities, labels)
    return float(np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(1).mean())


def aurc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Area under the risk–coverage curve: mean over k of the error among the k most confident images, k = 1…N.

    Source: Geifman and El-Yaniv 2017; Geifman et al. 2019, with the confidence as the score. Equal confidences count by
    the mean over all their orders. It is the plain mean of the N risks; a trapezoid over the curve, as some packages
    take, is smaller by (r_1 + r_N)/2N.
    """
    confidence, right = _judged(probabilities, labels)
    if np.isnan(confidence).any():
        return math.nan
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    errors = np.bincount(group, weights=1 - right)
    before, errors_before = np.cumsum(sizes) - sizes, np.cumsum(errors) - errors
    first = np.repeat(before, sizes)
    covered = np.arange(1, len(confidence) + 1)
    # among equally confident images, each has the mean error of all
    missed = np.repeat(errors_before, sizes) + (covered - first) * np.repeat(errors / sizes, sizes)
    return float((missed / covered).mean())


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> Temperature:
    """The temperature T of the smallest nll of softmax(scores / T) (Guo et al. 2017).

    The nll is convex in 1/T, so that it has one minimum, which scipy's bounded Brent method finds over log T. Where all
    images are right, no finite T is best, and the lowest of the range is taken; where confidence does not help at all,
    the highest. T is 1 where no other is better, as with equal scores.
    """
    scores, labels = _checked(scores, labels)
    if not np.isfinite(scores).all():  # the network has diverged
        return Temperature(math.nan, "")
    low, high = math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE)
    found: Any = minimize_scalar(
        lambda position: nll(scores, labels, math.exp(position)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": TOLERANCE, "maxiter": 200},
    )
    if not found.success:
        raise ArithmeticError(f"the temperature has not converged: {found.message}")
    # the method does not try the ends themselves
    position = min((0.0, low, high, float(found.x)), key=lambda place: nll(scores, labels, math.exp(place)))
    minimum = "lowest" if position - low <= TOLERANCE else "highest" if high - position <= TOLERANCE else "inside"
    return Temperature(math.exp(position), minimum)


def _checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float64 values [N, C] and int labels [N]."""
    values, labels = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if values.ndim != 2 or labels.shape != values.shape[:1]:
        raise ValueError(f"there are values {list(values.shape)} for labels {list(labels.shape)}; [N, C] and [N] fit")
    if len(values) == 0:
        raise ValueError("no images have no calibration")
    return values, labels


def _judged(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, and 1 where the prediction is right, else 0, both float64 [N]."""
    probabilities, labels = _checked(probabilities, labels)
    return probabilities.max(1), (probabilities.argmax(1) == labels).astype(np.float64)


def _equal_width(values: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each value in [0, 1], int [N], bins closed on the right; 0 is in the first."""
    return np.searchsorted(np.arange(1, bins) / bins, values, side="left")


def _means(
    where: np.ndarray, bins: int, predicted: np.ndarray, observed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every bin the number of values, and the means of both, nan in an empty one."""
    counts = np.bincount(where, minlength=bins)
    confidence, accuracy = (
        np.divide(
            np.bincount(where, weights=values, minlength=bins), counts, out=np.full(bins, math.nan), where=counts > 0
        )
        for values in (predicted, observed)
    )
    return counts, confidence, accuracy


def _gap(where: np.ndarray, bins: int, predicted: np.ndarray, observed: np.ndarray) -> float:
    """Σ_m |B_m|/N · |mean predicted − mean observed|: a bin's weight times its gap is the gap of its sums over N."""
    gaps = np.bincount(where, weights=predicted - observed, minlength=bins)
    return float(np.abs(gaps).sum() / len(where))
