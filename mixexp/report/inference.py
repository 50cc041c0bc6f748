"""What runs with different seeds let one say: intervals, paired tests, Holm's correction, the smallest difference that could be seen."""

from __future__ import annotations

import functools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from mixexp.report.scores import deviation
from mixexp.settings import MIN_SEEDS

FEWEST_OF_MEDIANS = 6
"""Seeds without which a median has no interval at LEVEL, and no p of Wilcoxon's test can be below 1 − LEVEL."""
LEVEL = 0.95
"""Coverage of every interval; tests are at 1 − LEVEL."""
POWER = 0.8
"""Probability with which the smallest detectable difference would have been found."""
BOOTSTRAPPED = 10
"""Values from which on the bootstrap covers what it says, if no more than half of them are the same: below, and where accuracies on
a small test set coincide, it covers 60 to 90 % in simulations, Student's t 93 to 97 %."""
RESAMPLES = 10_000
NOTHING = 1e-12
"""Of the numbers that a difference is of, the part that is rounding."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval at LEVEL, and by which method."""

    low: float
    high: float
    method: str

    def holds(self, value: float) -> bool:
        """Whether a value lies within, or at an end but for rounding."""
        rounding = NOTHING * max(abs(self.low), abs(self.high), abs(value))
        return self.low - rounding <= value <= self.high + rounding


@dataclass(frozen=True)
class Paired:
    """Two settings compared on the seeds they share: the centre of the differences, its interval, p, and the number of pairs.

    interval: of means, that which the test inverts, so that it holds 0 where p > 1 − LEVEL; bootstrapped: that of ``interval``, beside it.
    detectable: the smallest difference of means that as many pairs with this spread would have shown with probability POWER.
    """

    n: int
    difference: float
    interval: Interval | None = None
    p: float | None = None
    detectable: float | None = None
    bootstrapped: Interval | None = None


def interval(values: Sequence[float], statistic: str) -> Interval | None:
    """The confidence interval of the mean or the median of independent values; None where there are too few or they are all alike.

    mean: from BOOTSTRAPPED values on the bootstrap-t (Efron and Tibshirani 1993, eq. 12.22: RESAMPLES studentised means of resamples,
    always the same ones), which skewed values do not mislead; of fewer, Student's t.
    median: between order statistics (David and Nagaraja 2003, eq. 7.1.2), which needs six values.
    """
    if len(values) < MIN_SEEDS or alike(values, values):
        return None
    if statistic == "median":
        return _of_median(sorted(values))
    centre, error = statistics.fmean(values), deviation(values) / math.sqrt(len(values))
    if not _many(values):
        return students(centre, error, len(values) - 1)
    low, high = _studentised(np.asarray(values, dtype=float))
    return Interval(centre - high * error, centre - low * error, "bootstrap-t")


def paired(ours: Sequence[float], theirs: Sequence[float], statistic: str, tests: int = 1) -> Paired:
    """Compare values pair by pair, ours − theirs, with the paired t-test (mean) or Wilcoxon's signed-rank test (median), two-sided.

    tests: how many there are in the table, since the smallest of their p has to pass Holm's first step, (1 − LEVEL) / tests.
    There is no p where there are too few pairs for one below 1 − LEVEL, or where all differences are the same.
    Raises ValueError where the two differ in length or are empty.
    """
    differences = ties([a - b for a, b in zip(ours, theirs, strict=True)], (*ours, *theirs))
    centre = statistics.median(differences) if statistic == "median" else statistics.fmean(differences)
    n = len(differences)
    if n < MIN_SEEDS or alike(differences, (*ours, *theirs)):
        # differences that are all alike are a matter of arithmetic, such as no run having changed, and not of chance
        return Paired(n, centre)
    error = deviation(differences) / math.sqrt(n)
    if statistic == "median":
        # n differences of one sign have the smallest p, 2 / 2^n
        testable = 2 / 2**n < 1 - LEVEL
        return Paired(n, centre, interval(differences, statistic), _wilcoxon(differences) if testable else None)
    p = 2 * float(special.stdtr(n - 1, -abs(centre) / error))
    bootstrapped = interval(differences, statistic) if _many(differences) else None
    return Paired(n, centre, students(centre, error, n - 1), p, detectable(n, error, tests), bootstrapped)


def welch(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Compare the means of values that have no pairs, by Welch's t-test; n is the smaller number, without a detectable difference.

    Raises statistics.StatisticsError where either is empty.
    """
    centre, n = statistics.fmean(ours) - statistics.fmean(theirs), min(len(ours), len(theirs))
    if n < MIN_SEEDS or (alike(ours, ours) and alike(theirs, theirs)):
        return Paired(n, centre)
    parts = [deviation(values) ** 2 / len(values) for values in (ours, theirs)]
    error = math.sqrt(sum(parts))
    freedom = error**4 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True))
    p = 2 * float(special.stdtr(freedom, -abs(centre) / error))
    return Paired(n, centre, students(centre, error, freedom, "Welch's t"), p)


def holm(ps: Sequence[float]) -> list[float]:
    """p adjusted for being several, in the order given (Holm 1979): max over the smaller ones of (m − rank) p, at most 1."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


def students(centre: float, error: float, freedom: float, method: str = "Student's t") -> Interval:
    reach = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * error
    return Interval(centre - reach, centre + reach, method)


def _many(values: Sequence[float]) -> bool:
    """Whether there are enough different values for the bootstrap."""
    return len(values) >= BOOTSTRAPPED and max(Counter(values).values()) <= len(values) / 2


def alike(values: Sequence[float], scale: Sequence[float]) -> bool:
    """Whether values differ by nothing but rounding, beside the numbers they come from."""
    return max(values) - min(values) <= NOTHING * max(map(abs, scale))


def ties(values: Sequence[float], scale: Sequence[float]) -> list[float]:
    """The values with those that differ by nothing but rounding made equal, for a test that ranks them."""
    step = NOTHING * max(map(abs, scale), default=0.0)
    return [round(value / step) * step for value in values] if step else list(values)


def _studentised(values: np.ndarray) -> tuple[float, float]:
    """The two outer quantiles of (mean of a resample − mean) / its standard error."""
    n, centred = len(values), values - values.mean()
    counts = _counts(n)
    means = counts @ centred / n
    squares = counts @ centred**2 / n - means**2
    # one value drawn n times has no error to divide by
    valid = squares > 1e-12 * (centred**2).max()
    low, high = np.quantile(means[valid] / np.sqrt(squares[valid] / (n - 1)), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@functools.lru_cache(maxsize=16)  # the cells of a table have the same few numbers of seeds
def _counts(n: int) -> np.ndarray:
    """How often each of n values is in each resample: float [RESAMPLES, n]."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float)


def _of_median(ordered: Sequence[float]) -> Interval | None:
    n = len(ordered)
    # P(the k-th smallest exceeds the median) = P(Binomial(n, ½) < k)
    depths = [k for k in range(1, n // 2 + 1) if special.bdtr(k - 1, n, 0.5) <= (1 - LEVEL) / 2]
    return Interval(ordered[depths[-1] - 1], ordered[-depths[-1]], "order statistics") if depths else None


def _wilcoxon(differences: Sequence[float]) -> float:
    from scipy import stats  # a second of importing, which only tables of medians have to pay

    return float(stats.wilcoxon(differences).pvalue)


def detectable(n: int, error: float, tests: int, power: float = POWER) -> float:
    """The difference at which the paired t-test has the power, where the standard error is the one seen; of the noncentral t."""
    threshold = float(special.stdtrit(n - 1, 1 - (1 - LEVEL) / (2 * tests)))
    return float(special.nctdtrinc(n - 1, 1 - power, threshold)) * error
