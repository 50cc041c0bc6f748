"""Statistics of runs with different seeds: means, medians, intervals, tests, and the detectable difference."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import special

from mixexp.settings import MIN_SEEDS

LEVEL = 0.95
"""The coverage of every interval; tests are at 1 − LEVEL."""
POWER = 0.8
"""The probability with which the smallest detectable difference would be found."""
REL_TOL = 1e-12
"""The relative rounding error of numbers in a difference."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval at LEVEL, and its method."""

    low: float
    high: float
    method: str

    def holds(self, value: float) -> bool:
        """True for a value within the interval or at an end, up to rounding."""
        rounding = REL_TOL * max(abs(self.low), abs(self.high), abs(value))
        return self.low - rounding <= value <= self.high + rounding


@dataclass(frozen=True)
class Paired:
    """Two settings compared on shared seeds: the centre of the differences, its interval, p, and the number of pairs.

    difference: None without pairs. interval: for means, the inverse of the test, so that it holds 0 where p > 1 −
    LEVEL. error: for means, the standard error.
    """

    n: int
    difference: float | None
    interval: Interval | None = None
    p: float | None = None
    error: float | None = None

    def detectable(self, tests: int) -> float | None:
        """The smallest difference of means that this number of pairs with this spread detects with probability POWER.

        tests: the number of tests in the table, since the smallest p has to pass Holm's first step, (1 − LEVEL) /
        tests.
        """
        return None if self.error is None else detectable(self.n, self.error, tests)


@dataclass(frozen=True)
class Statistic:
    """The statistic of a cell's runs, with the words for it.

    least: the fewest values for an interval and a test. band: the reach of the spread below and above the centre. All
    functions except centre and band need at least two values; error is for means alone.
    """

    name: str
    heading: str
    centres: str
    reach: str
    test: str
    method: str
    least: int
    centre: Callable[[Sequence[float]], float]
    band: Callable[[Sequence[float]], tuple[float, float]]
    spread: Callable[[Sequence[float]], float]
    bounds: Callable[[Sequence[float]], Interval]
    p_value: Callable[[Sequence[float]], float]
    error: Callable[[Sequence[float]], float | None]

    def interval(self, values: Sequence[float]) -> Interval | None:
        """The confidence interval of the centre of independent values; None for too few values or equal ones."""
        return None if len(values) < self.least or alike(values, values) else self.bounds(values)

    def paired(self, ours: Sequence[float], theirs: Sequence[float]) -> Paired:
        """Compare values pair by pair, ours − theirs, two-sided.

        There is no p where there are too few pairs for one below 1 − LEVEL, or where all differences are the same.
        Raises ValueError where the two differ in length or are empty.
        """
        differences = ties([a - b for a, b in zip(ours, theirs, strict=True)], (*ours, *theirs))
        n, centre = len(differences), self.centre(differences)
        # equal differences result from arithmetic, such as an unchanged run, and not from chance
        if n < self.least or alike(differences, (*ours, *theirs)):
            return Paired(n, centre)
        return Paired(n, centre, self.interval(differences), float(self.p_value(differences)), self.error(differences))


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation of at least two values.

    The standard library computes in fractions, which takes ten times as long.
    """
    centre = statistics.fmean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean of at least two values."""
    return deviation(values) / math.sqrt(len(values))


def students(values: Sequence[float], error: float) -> Interval:
    """Student's interval of the mean of values with this standard error."""
    centre, reach = statistics.fmean(values), float(special.stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * error
    return Interval(centre - reach, centre + reach, "Student's t")


def _deviations(values: Sequence[float]) -> tuple[float, float]:
    spread = deviation(values) if len(values) > 1 else 0.0
    return spread, spread


def _extremes(values: Sequence[float]) -> tuple[float, float]:
    middle = statistics.median(values)
    return middle - min(values), max(values) - middle


def _between_order_statistics(values: Sequence[float]) -> Interval:
    """David and Nagaraja 2003, eq. 7.1.2: P(the k-th smallest exceeds the median) = P(Binomial(n, ½) < k)."""
    ordered, n = sorted(values), len(values)
    depth = max(k for k in range(1, n // 2 + 1) if special.bdtr(k - 1, n, 0.5) <= (1 - LEVEL) / 2)
    return Interval(ordered[depth - 1], ordered[-depth], "order statistics")


def _t_test(differences: Sequence[float]) -> float:
    # importing it takes a second, which only comparisons need
    from scipy import stats

    found: Any = stats.ttest_1samp(differences, 0)
    return found.pvalue  # of differences, it is the paired test


def _wilcoxon(differences: Sequence[float]) -> float:
    from scipy import stats

    found: Any = stats.wilcoxon(differences)
    return found.pvalue


MEAN = Statistic(
    "mean",
    "mean ± sd over seeds (number of runs)",
    "means over seeds",
    "± the sample standard deviation",
    "paired t-test",
    "Student's t",
    MIN_SEEDS,
    statistics.fmean,
    _deviations,
    deviation,
    lambda values: students(values, standard_error(values)),
    _t_test,
    standard_error,
)
# Fewer than six values give no interval with coverage LEVEL and no p below 1 − LEVEL:
# the smallest p of n differences, all of one sign, is 2 / 2ⁿ.
MEDIAN = Statistic(
    "median",
    "median [min–max] over seeds (number of runs)",
    "medians over seeds",
    "from the smallest to the largest run",
    "Wilcoxon's signed-rank test",
    "order statistics",
    6,
    statistics.median,
    _extremes,
    lambda values: max(values) - min(values),
    _between_order_statistics,
    _wilcoxon,
    lambda values: None,
)
STATISTICS = {statistic.name: statistic for statistic in (MEAN, MEDIAN)}


def welch(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Compare the means of values without pairs by Welch's t-test; n is the smaller number.

    There is no detectable difference. Raises statistics.StatisticsError where either is empty.
    """
    centre, n = statistics.fmean(ours) - statistics.fmean(theirs), min(len(ours), len(theirs))
    if n < MIN_SEEDS or (alike(ours, ours) and alike(theirs, theirs)):
        return Paired(n, centre)
    from scipy import stats

    with warnings.catch_warnings():
        # a warning that the values of one side are equal, which Welch's test allows
        warnings.simplefilter("ignore", RuntimeWarning)
        result: Any = stats.ttest_ind(ours, theirs, equal_var=False)
    bounds = result.confidence_interval(LEVEL)
    return Paired(n, centre, Interval(float(bounds.low), float(bounds.high), "Welch's t"), float(result.pvalue))


def holm(ps: Sequence[float]) -> list[float]:
    """p adjusted for multiple tests, in the given order (Holm 1979).

    It is the maximum over the smaller ones of (m − rank) p, at most 1.
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


def alike(values: Sequence[float], scale: Sequence[float]) -> bool:
    """True for values that differ only by rounding, relative to the numbers they come from."""
    return max(values) - min(values) <= REL_TOL * max(map(abs, scale))


def ties(values: Sequence[float], scale: Sequence[float]) -> list[float]:
    """The values, with those that differ only by rounding made equal, for a test by ranks."""
    step = REL_TOL * max(map(abs, scale), default=0.0)
    return [round(value / step) * step for value in values] if step else list(values)


def detectable(n: int, error: float, tests: int, power: float = POWER) -> float:
    """The difference at which the paired t-test has the power, given this standard error, by the noncentral t."""
    threshold = float(special.stdtrit(n - 1, 1 - (1 - LEVEL) / (2 * tests)))
    return float(special.nctdtrinc(n - 1, 1 - power, threshold)) * error
