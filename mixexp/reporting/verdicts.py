"""The evidence of several seeds on a claim: its effect, the tests for it and against it, and the power."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from mixexp.reporting.stats import LEVEL, POWER, Interval, alike, detectable, deviation, students, ties
from mixexp.settings import MIN_SEEDS

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"


@dataclass(frozen=True)
class Evidence:
    """The evidence of n seeds: the effect with its interval, and p for and against the claim, each one-sided.

    error: the standard error of the effect; 0 where all seeds give the same number and no step is given, so that the
    test is the sign test. noticed: the kind of effect of ``detectable``: contrast, equivalence or order. items: the
    length of an order.
    """

    n: int
    effect: float
    interval: Interval | None
    supporting: float
    opposing: float
    error: float
    noticed: str = "contrast"
    items: int = 0

    @property
    def p(self) -> float:
        """The two-sided p: twice the smaller of both."""
        return min(1.0, 2 * min(self.supporting, self.opposing))

    @property
    def spread(self) -> bool:
        """True where the seeds differ, so that there is a test by their spread."""
        return self.error > 0

    def verdict(self, adjusted: float) -> str:
        """The verdict on the claim, from p after the correction for several tests."""
        if adjusted >= 1 - LEVEL:
            return UNDECIDED
        return SUPPORTED if self.supporting < self.opposing else CONTRADICTED

    def detectable(self, tests: int) -> float | None:
        """The smallest effect that these seeds detect with probability POWER at Holm's first step over all tests.

        For a contrast, it is the distance from the boundary; for an equivalence, the smallest margin that would be
        shown for two equal cells; for an order, the mean rank correlation, by the normal approximation of its
        distribution without an order (mean 0, variance 1 / (n (items − 1)); Page 1963). None where nothing could be
        detected.
        """
        if self.noticed == "order":
            normal = special.ndtri(1 - (1 - LEVEL) / (2 * tests)) + special.ndtri(POWER)
            perfect = 2 / float(math.factorial(self.items)) ** self.n
            return (
                min(1.0, float(normal) / math.sqrt(self.n * (self.items - 1)))
                if perfect < (1 - LEVEL) / tests
                else None
            )
        if not self.spread:
            return None
        both = self.noticed == "equivalence"  # it has to pass at both ends
        return detectable(self.n, self.error, tests, power=(1 + POWER) / 2 if both else POWER)


def contrast(
    values: Sequence[float], scale: Sequence[float], sign: int = 1, boundary: float = 0.0, step: float = 0.0
) -> Evidence:
    """The evidence that sign × (the mean of independent values − boundary) > 0: the one-sample t-test, both ways.

    scale: the numbers from which the values are computed; relative to them, a difference between seeds may be rounding.
    step: for values counted in steps, the least standard deviation in the test, since values that are all rounded to
    one multiple of it may spread by that much (less, with a confidence of 94 % from three values on). Without a step or
    a spread, a t-test would call the smallest difference certain, so the sign test is used, whose p is 2⁻ⁿ. Raises
    ValueError for fewer than MIN_SEEDS values.
    """
    _require(values)
    error = _error(values, scale, step)
    above, below = _sides(values, scale, boundary, error)
    supporting, opposing = (above, below) if sign > 0 else (below, above)
    return Evidence(
        len(values), statistics.fmean(values), students(values, error) if error else None, supporting, opposing, error
    )


def equivalence(values: Sequence[float], scale: Sequence[float], margin: float, step: float = 0.0) -> Evidence:
    """The evidence that the mean of differences is within ± margin: two one-sided t-tests (Schuirmann 1987).

    The evidence against it is the smaller p of the opposite tests. step: as for ``contrast``. Raises ValueError for
    fewer than MIN_SEEDS values.
    """
    _require(values)
    error = _error(values, scale, step)
    (above_low, below_low), (above_high, below_high) = (
        _sides(values, scale, boundary, error) for boundary in (-margin, margin)
    )
    inside, outside = max(above_low, below_high), min(below_low, above_high)
    interval = students(values, error) if error else None
    return Evidence(len(values), statistics.fmean(values), interval, inside, outside, error, "equivalence")


def order(rows: Sequence[Sequence[float]], sign: int = 1) -> Evidence:
    """The evidence that sign × a seed's numbers, a row, rise from item to item: Page's trend test (1963), both ways.

    Rows are the blocks of the test. The effect is the mean over the rows of Spearman's rank correlation with the
    claimed order, 0 for a row of equal numbers. Where all rows have the same numbers, the seeds change nothing, and the
    sign test is used. Raises ValueError for fewer than MIN_SEEDS rows.
    """
    # importing it takes a second, which only orders need
    from scipy import stats

    _require(rows)
    signed_rows = [[sign * value for value in ties(row, row)] for row in rows]
    places = range(1, len(signed_rows[0]) + 1)
    ranks = stats.rankdata(signed_rows, axis=1).tolist()
    effect = statistics.fmean(0.0 if len(set(row)) == 1 else statistics.correlation(row, places) for row in ranks)
    if all(alike(column, [value for row in rows for value in row]) for column in zip(*rows, strict=True)):
        supporting, opposing = (_same_sign(len(rows), sign * effect > 0) for sign in (1, -1))
        return Evidence(len(rows), effect, None, supporting, opposing, 0.0, "order", len(places))
    supporting, opposing = (
        float(stats.page_trend_test([row[::step] for row in signed_rows]).pvalue) for step in (1, -1)
    )
    return Evidence(len(rows), effect, None, supporting, opposing, math.inf, "order", len(places))


def best(values: Sequence[float], rivals: Sequence[Sequence[float]], sign: int = 1) -> Evidence:
    """The evidence that sign × values are above sign × each rival's, seed by seed: an intersection-union test.

    The test is Berger's (1982). p for the claim is the largest of the paired t-tests' one-sided p; p against it is the
    smallest p of a rival that is ahead, with Bonferroni's correction. The effect is the difference to the nearest
    rival. Raises ValueError for fewer than MIN_SEEDS values.
    """
    _require(values)
    scale = [*values, *(value for rival in rivals for value in rival)]
    contrasts = [contrast([a - b for a, b in zip(values, rival, strict=True)], scale, sign) for rival in rivals]
    nearest = min(contrasts, key=lambda evidence: sign * evidence.effect)
    opposing = min(1.0, len(contrasts) * min(evidence.opposing for evidence in contrasts))
    supporting = max(evidence.supporting for evidence in contrasts)
    return Evidence(nearest.n, nearest.effect, nearest.interval, supporting, opposing, nearest.error)


def _require(values: Sequence) -> None:
    if len(values) < MIN_SEEDS:
        raise ValueError(f"{len(values)} seeds; a test needs {MIN_SEEDS}")


def _sides(values: Sequence[float], scale: Sequence[float], boundary: float, error: float) -> tuple[float, float]:
    """The one-sided p of a mean above the boundary, and of one below it."""
    n, centre = len(values), statistics.fmean(values) - boundary
    if error:
        return float(special.stdtr(n - 1, -centre / error)), float(special.stdtr(n - 1, centre / error))
    at = alike([centre, 0.0], [*scale, boundary])
    return _same_sign(n, centre > 0 and not at), _same_sign(n, centre < 0 and not at)


def _same_sign(n: int, all_of_them: bool) -> float:
    """The sign test's one-sided p where n values are all on one side, or none is."""
    return 0.5**n if all_of_them else 1.0


def _error(values: Sequence[float], scale: Sequence[float], step: float) -> float:
    """The standard error of the mean."""
    return max(step, 0.0 if alike(values, scale) else deviation(values)) / math.sqrt(len(values))
