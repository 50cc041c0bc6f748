"""What numbers of seeds say of a claim, against scipy, and how often claims without any effect are decided."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixexp.reporting.stats import holm
from mixexp.reporting.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, Evidence, best, contrast, equivalence, order

VALUES = [1.2, 0.4, 0.9, 1.5, 0.8]


def one_sided(values, boundary, side):
    return stats.ttest_1samp(values, boundary, alternative=side).pvalue


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("boundary", [0.0, 0.9, 2.0])
def test_a_contrast_is_the_one_sample_t_test(sign, boundary):
    found = contrast(VALUES, VALUES, sign, boundary)
    expected = stats.ttest_1samp(VALUES, boundary)
    assert found.n == 5 and found.effect == pytest.approx(np.mean(VALUES))
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == (pytest.approx(low), pytest.approx(high))
    sides = one_sided(VALUES, boundary, "greater"), one_sided(VALUES, boundary, "less")
    assert (found.supporting, found.opposing) == pytest.approx(sides if sign > 0 else sides[::-1])


@pytest.mark.parametrize("margin", [0.5, 1.0, 1.5, 3.0])
def test_an_equivalence_is_two_one_sided_tests(margin):
    found = equivalence(VALUES, VALUES, margin)
    inside = max(one_sided(VALUES, -margin, "greater"), one_sided(VALUES, margin, "less"))
    outside = min(one_sided(VALUES, -margin, "less"), one_sided(VALUES, margin, "greater"))
    assert (found.supporting, found.opposing) == (pytest.approx(inside), pytest.approx(outside))
    supported = found.verdict(found.p) == SUPPORTED
    assert supported == (-margin < found.interval.low and found.interval.high < margin), "as the interval shown says"


@pytest.mark.parametrize("sign", [1, -1])
def test_an_order_is_pages_trend_test(sign):
    rows = np.random.default_rng(3).normal([0.0, 0.6, 1.2, 1.8], 0.5, (5, 4)).tolist()
    found = order(rows, sign)
    forwards = stats.page_trend_test(rows if sign > 0 else -np.array(rows)).pvalue
    backwards = stats.page_trend_test(-np.array(rows) if sign > 0 else rows).pvalue
    assert (found.supporting, found.opposing) == (pytest.approx(forwards), pytest.approx(backwards))
    assert found.effect == pytest.approx(sign * np.mean([stats.spearmanr(row, range(4)).statistic for row in rows]))
    assert found.interval is None
    assert found.verdict(found.p) == (SUPPORTED if sign > 0 else CONTRADICTED)


def test_numbers_of_an_order_that_differ_by_rounding_share_a_rank():
    rows = [[0.3, 0.1 + 0.2, 0.5], [0.2, 0.2, 0.6], [0.4, 0.4, 0.5]]
    assert order(rows).effect == pytest.approx(stats.spearmanr([1, 1, 2], [1, 2, 3]).statistic)
    assert order([[1, 1, 1], [2, 2, 2], [3, 3, 4]]).effect == pytest.approx(
        stats.spearmanr([1, 1, 2], [1, 2, 3]).statistic / 3
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_beats_each_of_the_others(sign):
    rng = np.random.default_rng(1)
    values, *rivals = (sign * rng.normal(mean, 0.3, 5) for mean in (2.0, 1.5, 1.0, -1.0))
    found = best(list(values), [list(rival) for rival in rivals], sign)
    ahead, behind = ("greater", "less") if sign > 0 else ("less", "greater")
    assert found.supporting == pytest.approx(max(one_sided(values - rival, 0, ahead) for rival in rivals))
    assert found.opposing == pytest.approx(min(1, 3 * min(one_sided(values - rival, 0, behind) for rival in rivals)))
    nearest = min((np.mean(values - rival) for rival in rivals), key=abs)
    assert found.effect == pytest.approx(nearest) and found.interval.holds(nearest)


def test_who_is_beaten_by_one_rival_is_not_the_best():
    found = best([1.0, 1.1, 0.9, 1.05], [[0.0, 0.1, 0.0, 0.2], [2.0, 2.3, 2.1, 2.2]])
    assert found.verdict(found.p) == CONTRADICTED and found.effect < -0.9


@pytest.mark.parametrize("n, decided", [(3, False), (5, False), (6, True), (10, True)])
@pytest.mark.parametrize(
    "value, sign, verdict",
    [(0.5, 1, SUPPORTED), (0.5, -1, CONTRADICTED), (-0.5, 1, CONTRADICTED), (-0.5, -1, SUPPORTED)],
)
def test_seeds_that_all_give_the_same_number_are_judged_by_the_sign_test(n, decided, value, sign, verdict):
    found = contrast([value] * n, [80.0] * n, sign)
    assert found.p == pytest.approx(stats.binomtest(n, n).pvalue) and found.interval is None
    assert found.verdict(found.p) == (verdict if decided else UNDECIDED)
    assert not found.spread and found.detectable(1) is None


@pytest.mark.parametrize("n", [3, 8, 20])
def test_seeds_that_all_give_the_boundary_say_nothing(n):
    for found in (
        contrast([0.0] * n, [80.0] * n),
        contrast([90.0] * n, [90.0] * n, 1, 90.0),
        contrast([1e-14] * n, [80.0] * n),
        order([[1, 1, 1]] * n),
    ):
        assert found.p == 1.0 and found.verdict(found.p) == UNDECIDED
    assert equivalence([1.0] * n, [80.0] * n, 1.0).p == 1.0, "at the margin"
    assert best([1.0] * n, [[1.0] * n, [0.0] * n]).p == 1.0, "no better than one"


def test_seeds_that_change_nothing_are_no_trend_of_many_blocks():
    assert order([[1, 2, 3, 4]] * 5).p == pytest.approx(stats.binomtest(5, 5).pvalue)
    assert order([[1, 2, 3, 4]] * 4 + [[1, 2, 3, 4.5]]).p < 0.001


def test_equal_differences_within_a_margin():
    assert equivalence([0.3] * 8, [80.0] * 8, 1.0).verdict(0.01) == SUPPORTED
    assert equivalence([3.0] * 8, [80.0] * 8, 1.0).verdict(0.01) == CONTRADICTED


def test_equal_numbers_without_a_step_need_six_seeds_and_twelve_for_the_first_of_63_claims():
    """As the README has it."""
    decided = {tests: next(n for n in range(3, 20) if contrast([1.0] * n, [1.0]).p < 0.05 / tests) for tests in (1, 63)}
    assert decided == {1: 6, 63: 12}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_seeds_are_no_evidence(n):
    for attempt in (
        lambda: contrast([1.0] * n, [1.0]),
        lambda: equivalence([1.0] * n, [1.0], 1),
        lambda: order([[1, 2, 3]] * n),
        lambda: best([1.0] * n, [[1.0] * n]),
    ):
        with pytest.raises(ValueError, match=f"{n} seeds; a test needs 3"):
            attempt()


# --- detectable effects ---


def power(decided) -> float:
    """How often something is decided in the wanted way, in 4,000 draws."""
    rng = np.random.default_rng(5)
    return float(np.mean([decided(rng) for _ in range(4000)]))


def test_a_detectable_contrast_is_found_with_the_power_stated():
    """With the spread known to be what was seen: the true one is another in each of the draws."""
    n, sd, tests = 5, 1.0, 8
    values = stats.zscore(np.arange(n), ddof=1) * sd
    least = contrast(list(values), [1.0]).detectable(tests)
    found = power(
        lambda rng: 2 * stats.ttest_1samp(rng.normal(least, sd, n), 0, alternative="greater").pvalue < 0.05 / tests
    )
    assert found == pytest.approx(0.8, abs=0.03)


def test_a_detectable_margin_is_one_within_which_equal_cells_are_shown_to_be():
    n, sd, tests = 6, 1.0, 3
    values = stats.zscore(np.arange(n), ddof=1) * sd
    margin = equivalence(list(values), [1.0], 1.0).detectable(tests)
    found = power(lambda rng: equivalence(list(rng.normal(0, sd, n)), [1.0], margin).p < 0.05 / tests)
    assert found == pytest.approx(0.8, abs=0.05)


def test_a_detectable_order_is_never_more_than_a_perfect_one():
    rng = np.random.default_rng(2)
    for n, items in ((3, 3), (5, 4), (10, 5)):
        found = order(rng.normal(size=(n, items)).tolist())
        least = found.detectable(1)
        assert 0 < least <= 1
        assert least == pytest.approx(
            min(1, (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / math.sqrt(n * (items - 1)))
        )
    assert order(rng.normal(size=(3, 3)).tolist()).detectable(20) is None, (
        "with p = 2 / 6³ at the least, no order passes 0.05 / 20"
    )


# --- the rate of false verdicts ---


def article(rng: np.random.Generator, seeds: int) -> list[tuple[str, Evidence]]:
    """Thirteen claims of every form on cells that do not differ but by noise, some cells in several claims;
    equivalences are true."""
    cells = rng.normal(80, 1, (8, seeds)) + rng.normal(0, 1, seeds)
    if rng.random() < 0.5:  # whole images of a small test set
        cells = np.round(cells, 0)
    a, b, c, d, e, f, g, h = cells
    places = np.log10([100, 200, 500, 1000])
    weights = (places - places.mean()) / ((places - places.mean()) ** 2).sum()

    def by_seed(values):
        return contrast(list(values), cells.ravel().tolist())

    return [
        ("higher", by_seed(a - b)), ("higher", by_seed(a - c)), ("higher", by_seed(d - e)), ("larger", by_seed((a - b) - (c - d))),
        ("rises", by_seed(weights @ cells[:4])), ("falls", by_seed(weights @ (cells[4:] - cells[:4]))),
        ("above", contrast(list(a), list(a), 1, 80.0)), ("increasing", order(cells[:5].T.tolist())), ("decreasing", order(cells[5:].T.tolist(), -1)),
        ("highest", best(list(a), [list(one) for one in (b, c, d)])), ("lowest", best(list(h), [list(f), list(g)], -1)),
        ("same", equivalence(list(e - f), cells.ravel().tolist(), 3.0)), ("not_lower", contrast(list(g - h), cells.ravel().tolist(), 1, -3.0)),
    ]  # fmt: skip


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_few_articles_without_an_effect_get_a_verdict(seeds):
    """At most 5 % of articles: with 1,000 articles, more than 6.6 % would be told from that at the 1 % level."""
    rng, articles, wrong = np.random.default_rng(seeds), 1000, 0
    for _ in range(articles):
        claims = article(rng, seeds)
        verdicts = [one.verdict(p) for (_, one), p in zip(claims, holm([one.p for _, one in claims]), strict=True)]
        true = [
            verdict == SUPPORTED and form in ("same", "not_lower")
            for (form, _), verdict in zip(claims, verdicts, strict=True)
        ]
        wrong += any(verdict != UNDECIDED and not is_true for verdict, is_true in zip(verdicts, true, strict=True))
    assert stats.binomtest(wrong, articles, 0.05, alternative="greater").pvalue > 0.01, f"{wrong} of {articles}"
    assert wrong > 0, "the simulation can fail"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.floats(-1e100, 1e100), min_size=4, max_size=4), min_size=3, max_size=6))
def test_whatever_the_numbers_p_is_a_probability(rows):
    columns = [list(column) for column in zip(*rows, strict=True)]
    scale = [value for row in rows for value in row]
    for found in (
        contrast(columns[0], scale),
        equivalence(columns[1], scale, 0.5),
        order(rows),
        best(columns[0], columns[1:], -1),
    ):
        assert 0 < found.p <= 1
        least = found.detectable(12)
        assert least is None or least > 0
