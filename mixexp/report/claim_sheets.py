"""Decided claims as tables of text and as records; markdown, the page and claim_text only set them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mixexp.report.claims import CANNOT, UNCLEAR, UNDECIDED, VERDICTS, Answer, Check, Decided, counts
from mixexp.report.sheets import Sheet, chance, number, signed, span
from mixexp.report.stats import POWER
from mixexp.spec.articles import ARTICLES

METHOD = (
    "Effects are means over the seeds that all cells of a claim share, with 95 % intervals by Student's t, not corrected. Two-sided p: of differences, "
    "slopes and levels by the t-test on a number for each seed, of equivalences by two one-sided t-tests, of orders by Page's trend test, of the best "
    "by the weakest of its comparisons. An order is of the ranks on the whole: two neighbours can stand the other way round. Seeds differ in what "
    "training draws and not in the images, of which all intervals and p are therefore no statement. p (Holm) is corrected over all claims of an article that the edition is to decide, where one that is not run counts as p = 1; below 0.05 a claim is supported or "
    f"contradicted. Detectable: what these runs would have shown with probability {POWER} at the first step of Holm's correction: of a difference the "
    "smallest, counted from the margin or the number where the claim has one, of an equivalence the smallest margin for two equal cells, of an order "
    "the smallest mean rank correlation."
)
IN_A_REPORT = "Here only the report's own runs count; mixexp claims has those of the article's other experiments too, so that its p can be smaller."
ORDER = {"decimals": 2}
"""How rank correlations are shown."""


def sheet(answers: Sequence[Answer]) -> Sheet:
    """A row for each claim and edition that has runs; of a claim without any, one row."""
    head = ["claim", "what it says", "edition", "verdict", "compared", "effect, 95 % interval", "n", "p (Holm)", "detectable"]
    return Sheet(head, [row for one in _told(answers) for row in [_row(*one)]], 5)


def checks(outcomes: Iterable[Check]) -> list[str]:
    """A sentence for each check: met or not, with its numbers."""
    return [f"{one.name}, {one.edition}: {one.says} {standing(one)}" for one in outcomes]


def by_article(decided: Decided) -> Iterator[tuple[str, list[Answer], list[Check]]]:
    """A heading, the answers and the checks of each article that has claims."""
    for letter in sorted({one.article for one in decided.answers}):
        answers = [one for one in decided.answers if one.article == letter]
        own = {one.name.partition(".")[0] for one in answers}
        heading = f"Article {letter}: {ARTICLES[letter]}" if letter in ARTICLES else "Others"
        yield heading, answers, [one for one in decided.checks if one.name.partition(".")[0] in own]


def sections(decided: Decided) -> list[tuple[str, list[str], Sheet]]:
    """A heading, what is said of the checks, and the sheet for each article that has claims."""
    return [(heading, checks(premises), sheet(answers)) for heading, answers, premises in by_article(decided)]


def totals(decided: Decided) -> list[str]:
    """How many claims have which verdict in each edition, and how many runs were no evidence."""
    lines = []
    for edition, verdicts in sorted(counts(decided.answers).items(), key=lambda pair: not pair[0]):  # what no run can decide comes last
        told = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
        lines.append(f"{edition}: {told}" if edition else told)
    return [*(lines or ["no claim"]), *no_evidence(decided)]


def no_evidence(decided: Decided) -> list[str]:
    """A sentence for each reason why runs are no evidence, nothing where all are."""
    return [f"{number} run{'s' * (number != 1)}, no evidence since each {reason}." for reason, number in sorted(decided.left_out.items())]


def records(decided: Decided) -> list[dict[str, Any]]:
    """One record for each claim and edition, in displayed units."""
    rows = []
    for one in decided.answers:
        known = one.evidence
        interval = known.interval if known else None
        record = {
            "claim": one.name, "article": one.article, "source": one.source, "says": one.says, "edition": one.edition, "verdict": one.verdict,
            "reason": reason_of(one), "compared": one.test.words if one.test else None, "measured": one.quantity, "rule": one.spec["rule"],
            "effect": known and known.effect, "interval_low": interval and interval.low, "interval_high": interval and interval.high,
        }  # fmt: skip
        rounded = {key: round(value, one.spec["decimals"] + 4) if isinstance(value, float) else value for key, value in record.items()}
        chances = {"p": _six(known and known.p), "p_holm": _six(one.adjusted), "tests": one.tests if known else None}
        rows.append({**rounded, "n": one.seeds, **chances, "detectable": _six(one.detectable), "runs_without_a_number": one.lost})
    return rows


def check_records(outcomes: Iterable[Check]) -> list[dict[str, Any]]:
    """One record for each check."""
    return [
        {"check": one.name, "edition": one.edition, "says": one.says, "compared": one.test.words, "met": one.met, "values": list(one.values), "reason": one.problem}
        for one in outcomes
    ]


def _told(answers: Sequence[Answer]) -> list[tuple[Answer, str]]:
    """The answers that are shown, each with the names of its editions."""
    pairs = []
    for name in dict.fromkeys(one.name for one in answers):
        own = [one for one in answers if one.name == name]
        told = [one for one in own if one.seeds or one.verdict in (CANNOT, UNCLEAR)]
        waiting = [one for one in own if one not in told]
        pairs += [(one, one.edition) for one in told]
        if waiting and not any(one.edition for one in told):
            pairs.append((waiting[0], ", ".join(one.edition for one in waiting)))
    return pairs


def _row(one: Answer, edition: str) -> list[str]:
    says = f"{one.says} ({one.source})"
    compared = f"{one.quantity}: {one.test.words}" if one.test else ""
    reason = reason_of(one)
    verdict = f"{one.verdict}: {reason}" if reason else one.verdict
    if one.evidence is None:
        return [one.name, says, edition, verdict, compared, "", str(one.seeds) if one.test else "", "", ""]
    return [one.name, says, edition, verdict, compared, effect_of(one), str(one.evidence.n), chance(one.adjusted), detectable_of(one)]


def effect_of(one: Answer) -> str:
    """A tested claim's effect with its interval."""
    spec, evidence = _shown(one), one.evidence
    effect = number(evidence.effect, spec) if one.test.level or one.test.kind == "order" else signed(evidence.effect, spec)
    return effect if evidence.interval is None else f"{effect} {span(evidence.interval.low, evidence.interval.high, spec)}"


def detectable_of(one: Answer) -> str:
    """The smallest effect that would have been shown, empty where there is none."""
    return "" if one.detectable is None else number(one.detectable, _shown(one))


def _shown(one: Answer) -> Mapping[str, Any]:
    return ORDER if one.test.kind == "order" else one.spec


def reason_of(one: Answer) -> str:
    """What is to be said beside a verdict."""
    same = "all seeds give the same number" if one.verdict == UNDECIDED and one.evidence is not None and not one.evidence.spread else ""
    return "; ".join(filter(None, [one.problem, same]))


def standing(one: Check) -> str:
    """Whether a check is met, with its numbers."""
    if one.met is None:
        return f"– {one.problem}."
    seeds = f"{len(one.values)} seed{'s' * (len(one.values) != 1)}"
    shown = [number(value, one.spec) for value in (statistics.fmean(one.values), min(one.values), max(one.values))] if one.values else []
    numbers = f": {shown[0]} on average, {shown[1]} to {shown[2]}, {seeds}" if shown else f": {one.problem}" if one.problem else ""
    return f"– {'met' if one.met else 'not met'}{numbers}."


def _six(value: float | None) -> float | None:
    """A number to six figures; the last ones depend on the library that found it."""
    return None if value is None else float(f"{value:.6g}")
