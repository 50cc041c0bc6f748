"""Intervals, paired tests and corrections against SciPy, against naive computations, and by simulation."""

from __future__ import annotations

import itertools
import math
import statistics
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixexp.reporting.stats import LEVEL, MEAN, MEDIAN, POWER, STATISTICS, holm, welch
from mixexp.settings import MIN_SEEDS

OURS = [92.1, 93.4, 92.8, 93.9, 93.0, 92.2, 94.1, 92.6, 93.3, 95.0]
THEIRS = [91.0, 93.1, 92.9, 92.7, 92.0, 91.8, 92.4, 93.5, 92.5, 92.3]


@pytest.mark.parametrize("n", [3, 5, 10])
def test_paired_t_test_is_scipys(n):
    found, expected = MEAN.paired(OURS[:n], THEIRS[:n]), stats.ttest_rel(OURS[:n], THEIRS[:n])
    assert found.n == n
    assert found.difference == pytest.approx(np.mean(np.subtract(OURS[:n], THEIRS[:n])))
    assert found.p == pytest.approx(expected.pvalue)
    bounds = expected.confidence_interval(LEVEL)
    assert (found.interval.low, found.interval.high) == pytest.approx((bounds.low, bounds.high))


@pytest.mark.parametrize("n", [6, 8, 10])
def test_wilcoxons_test_is_every_assignment_of_signs_counted(n):
    found = MEDIAN.paired(OURS[:n], THEIRS[:n])
    differences = np.subtract(OURS[:n], THEIRS[:n])
    ranks = stats.rankdata(abs(differences))
    seen = sum(ranks[differences > 0])
    sums = [
        sum(rank for rank, up in zip(ranks, signs, strict=True) if up) for signs in itertools.product((0, 1), repeat=n)
    ]
    tail = min(np.mean([s <= seen for s in sums]), np.mean([s >= seen for s in sums]))
    assert found.p == pytest.approx(min(1, 2 * tail))
    assert found.difference == pytest.approx(np.median(differences))


def test_wilcoxons_test_sees_ties_through_rounding():
    differences = [0.3, -0.3, 0.3, 0.2, 0.2, -0.1, 0.4]
    theirs = [0.1, 0.7, 92.4, 3.3, 1e-3, 55.5, 0.9]
    ours = [a + b for a, b in zip(theirs, differences, strict=True)]
    assert MEDIAN.paired(ours, theirs).p == stats.wilcoxon([round(10 * d) for d in differences]).pvalue


@pytest.mark.parametrize("n", [3, 5])
def test_no_test_of_medians_that_could_not_reach_its_level(n):
    assert stats.wilcoxon([1.0 + 0.1 * k for k in range(n)]).pvalue > 1 - LEVEL
    assert MEDIAN.paired([1.0 + 0.1 * k for k in range(n)], [0.0] * n).p is None


def test_a_value_at_the_end_of_an_interval_but_for_rounding_is_within():
    assert MEDIAN.interval([100 * (1 - 0.95), 7.0, 8.0, 9.0, 10.0, 11.0]).holds(5.0)
    assert not MEDIAN.interval([5.001, 7.0, 8.0, 9.0, 10.0, 11.0]).holds(5.0)


def test_welchs_test_is_scipys():
    found, expected = welch(OURS, THEIRS[:4]), stats.ttest_ind(OURS, THEIRS[:4], equal_var=False)
    bounds = expected.confidence_interval(LEVEL)
    assert (found.p, found.interval.low, found.interval.high) == pytest.approx(
        (expected.pvalue, bounds.low, bounds.high)
    )


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_procedure(ps):
    adjusted = holm(ps)
    for level in (0.01, 0.05, 0.2):
        rejected: set[int] = set()
        for rank, index in enumerate(
            sorted(range(len(ps)), key=lambda i: ps[i])
        ):  # stops at the first that is not rejected
            if ps[index] > level / (len(ps) - rank):
                break
            rejected.add(index)
        edge = any(math.isclose(p, level, rel_tol=1e-9) for p in adjusted)
        assert edge or {i for i, p in enumerate(adjusted) if p <= level} == rejected
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))


@pytest.mark.parametrize(
    ("values", "statistic"),
    [([1.0, 2.0], "mean"), ([3.0] * 6, "mean"), ([0.1 + 0.2, 0.3, 0.3], "mean"), ([1, 2, 3, 4, 5], "median")],
)
def test_what_has_no_interval(values, statistic):
    assert STATISTICS[statistic].interval(values) is None


def test_no_test_with_fewer_than_three_pairs_or_without_spread():
    for ours, theirs in (
        ([2.0, 3.0], [1.0, 1.5]),
        ([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]),
        ([0.7, 0.8, 0.9], [0.6, 0.7, 0.8]),
    ):
        found = MEAN.paired(ours, theirs)
        assert found.difference == pytest.approx(np.mean(np.subtract(ours, theirs)))
        assert found.p is found.interval is found.detectable(1) is None
    assert welch([1.0, 2.0], [3.0, 4.0, 5.0]).p is None and welch([0.1] * 3, [0.2] * 3).p is None


def test_one_side_without_spread_is_tested_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = welch([100.0, 100.0, 100.0], [98.0, 97.0, 99.5])
    assert result.p == pytest.approx(stats.ttest_1samp([98.0, 97.0, 99.5], 100.0).pvalue)


@pytest.mark.parametrize("values", [OURS[:3], OURS, [1.0] * 6 + [2.0, 3.0, 4.0, 5.0]])
def test_interval_of_a_mean_is_students(values):
    low, high = stats.t.interval(LEVEL, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    found = MEAN.interval(values)
    assert (found.low, found.high, found.method) == (pytest.approx(low), pytest.approx(high), "Student's t")


def test_interval_of_the_median_is_the_smallest_between_order_statistics_that_covers():
    values = sorted(np.random.default_rng(0).normal(size=12))
    found = MEDIAN.interval(values)
    depth = values.index(found.low) + 1
    assert found.high == values[-depth]
    covered = [1 - 2 * stats.binom.cdf(k - 1, 12, 0.5) for k in (depth, depth + 1)]
    assert covered[0] >= LEVEL > covered[1]


@settings(max_examples=30)
@given(
    st.lists(st.integers(-1000, 1000), min_size=MIN_SEEDS, max_size=12),
    st.sampled_from(["mean", "median"]),
    st.integers(-5, 5),
    st.integers(1, 7),
)
def test_intervals_move_and_stretch_with_the_values(values, statistic, shift, factor):
    found, moved = (STATISTICS[statistic].interval(v) for v in (values, [factor * v + shift for v in values]))
    assert (found is None) == (moved is None)
    if found:
        assert (moved.low, moved.high) == pytest.approx(
            (factor * found.low + shift, factor * found.high + shift), abs=1e-6
        )
        middle = statistics.fmean(values) if statistic == "mean" else statistics.median(values)
        assert found.low <= middle <= found.high


def coincide(rng, size):
    """Accuracies on a small test set, in images: few different values."""
    return np.round(rng.normal(0.2, 0.7, size))


@pytest.mark.parametrize(
    ("statistic", "n", "draw", "true", "least"),
    [
        *(("mean", n, lambda rng, size: rng.normal(size=size), 0.0, 0.93) for n in (3, 4, 5, 9, 10, 20)),
        *(("mean", n, coincide, 0.2, 0.93) for n in (5, 10, 20)),
        # what is skewed misleads Student's t, the less the more values there are
        ("mean", 5, lambda rng, size: rng.exponential(size=size), 1.0, 0.86),
        ("mean", 10, lambda rng, size: rng.exponential(size=size), 1.0, 0.88),
        ("median", 7, lambda rng, size: rng.exponential(size=size), math.log(2), 0.95),
        ("median", 20, lambda rng, size: rng.normal(size=size), 0.0, 0.95),
    ],
)
def test_intervals_cover_what_they_say(statistic, n, draw, true, least):
    rng = np.random.default_rng(1)
    found = [
        STATISTICS[statistic].interval(list(sample)) for sample in draw(rng, (2000, n))
    ]  # of 2,000, the coverage is known to ± 0.01
    covered = np.mean([one.holds(true) for one in found if one is not None])
    # the median's order statistics cover more than 95 % where no two of them cover less
    assert least <= covered <= (0.99 if statistic == "median" else 0.975)


@pytest.mark.parametrize("tests", [1, 10])
def test_a_detectable_difference_is_found_with_the_power_stated(tests):
    rng, n, spread = np.random.default_rng(2), 5, 0.4
    noise = rng.normal(size=n)
    noise = spread * (noise - noise.mean()) / noise.std(ddof=1)
    detectable = MEAN.paired(list(noise), [0.0] * n).detectable(tests)
    drawn = rng.normal(detectable, spread, size=(20_000, n))
    assert np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < (1 - LEVEL) / tests) == pytest.approx(POWER, abs=0.015)


def test_paired_tests_hold_their_level():
    rng = np.random.default_rng(3)
    level = rng.normal(size=(2000, 5))
    # what a seed does to both settings alike does not count
    ours, theirs = (level + 0.3 * rng.normal(size=level.shape) for _ in range(2))
    rejected = np.mean([MEAN.paired(list(a), list(b)).p < 0.05 for a, b in zip(ours, theirs, strict=True)])
    assert 0.035 <= rejected <= 0.065
