"""Decided claims as tables of text and as records; markdown, the page and claim_text only format them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mixexp.reporting.claims import CANNOT, UNCLEAR, UNDECIDED, VERDICTS, Answer, Check, Decided, counts
from mixexp.reporting.csv_files import rounded, six_figures
from mixexp.reporting.sheets import Sheet, chance, number, signed, span
from mixexp.reporting.stats import POWER
from mixexp.spec.articles import ARTICLES

METHOD = (
    "Effects are means over the seeds that all cells of a claim share, with 95 % intervals by Student's t, not"
    " corrected. Two-sided p: of differences, slopes and levels by the t-test on a number for each seed, of"
    " equivalences by two one-sided t-tests, of orders by Page's trend test, of the best by the weakest of its"
    " comparisons. An order is of the ranks on the whole: two neighbours can stand the other way round. Seeds differ"
    " in what training draws and not in the images, of which all intervals and p are therefore no statement. p (Holm)"
    " is corrected over all claims of an article that the edition is to decide, where one that is not run counts as p"
    " = 1; below 0.05 a claim is supported or contradicted. Detectable: what these runs would have shown with"
    f" probability {POWER} at the first step of Holm's correction: of a difference the smallest, counted from the"
    " margin or the number where the claim has one, of an equivalence the smallest margin for two equal cells, of an"
    " order the smallest mean rank correlation."
)
IN_A_REPORT = (
    "Here only the report's own runs count; mixexp claims has those of the article's other experiments too, so that its"
    " p can be smaller."
)
ORDER = {"decimals": 2}
"""The format of rank correlations."""


def sheet(answers: Sequence[Answer]) -> Sheet:
    """A row for each claim and edition with runs; a claim without any has one row."""
    head = [
        "claim",
        "what it says",
        "edition",
        "verdict",
        "compared",
        "effect, 95 % interval",
        "n",
        "p (Holm)",
        "detectable",
    ]
    return Sheet(head, [_row(answer, editions) for answer, editions in _shown_answers(answers)], 5)


def by_article(decided: Decided) -> Iterator[tuple[str, list[Answer], list[Check]]]:
    """A heading, the answers and the checks of each article that has claims."""
    with_claims = {answer.article for answer in decided.answers}
    for article in (article for article in ("", *ARTICLES) if article in with_claims):
        answers = [answer for answer in decided.answers if answer.article == article]
        experiments = {answer.name.partition(".")[0] for answer in answers}
        heading = f"{article}: {ARTICLES[article]}" if article else "Others"
        yield heading, answers, [check for check in decided.checks if check.name.partition(".")[0] in experiments]


def sections(decided: Decided) -> list[tuple[str, list[str], Sheet]]:
    """A heading, the sentences about the checks, and the sheet for each article with claims."""
    return [
        (heading, list(map(sentence, premises)), sheet(answers)) for heading, answers, premises in by_article(decided)
    ]


def totals(decided: Decided) -> list[str]:
    """The number of claims with each verdict in each edition, and the number of runs that are not evidence."""
    lines = []
    # claims that no run can decide come last
    for edition, verdicts in sorted(counts(decided.answers).items(), key=lambda pair: not pair[0]):
        counted = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
        lines.append(f"{edition}: {counted}" if edition else counted)
    return [*(lines or ["no claim"]), *no_evidence(decided)]


def no_evidence(decided: Decided) -> list[str]:
    """A sentence for each reason why runs are not evidence; empty where all are."""
    return [
        f"{number} run{'s' * (number != 1)}, no evidence since each {reason}."
        for reason, number in sorted(decided.left_out.items())
    ]


def legend(decided: Decided) -> list[str]:
    """The sentences below a report's claims: runs that are not evidence, and the tests of claims."""
    return [*no_evidence(decided), f"{METHOD} {IN_A_REPORT}"]


def records(decided: Decided) -> list[dict[str, Any]]:
    """One record for each claim and edition, in displayed units."""
    rows = []
    for answer in decided.answers:
        known = answer.evidence
        interval = known.interval if known else None
        record = {
            "claim": answer.name,
            "article": answer.article,
            "source": answer.source,
            "says": answer.says,
            "edition": answer.edition,
            "verdict": answer.verdict,
            "reason": reason_of(answer),
            "compared": answer.test.words if answer.test else None,
            "measured": answer.quantity,
            "rule": answer.spec["rule"],
            "effect": known and known.effect,
            "interval_low": interval and interval.low,
            "interval_high": interval and interval.high,
        }
        chances = {
            "p": six_figures(known and known.p),
            "p_holm": six_figures(answer.adjusted),
            "tests": answer.tests if known else None,
        }
        chances["detectable"] = six_figures(answer.detectable)
        rows.append(
            {**rounded(record, answer.spec), "n": answer.seeds, **chances, "runs_without_a_number": answer.lost}
        )
    return rows


def check_records(outcomes: Iterable[Check]) -> list[dict[str, Any]]:
    """One record for each check."""
    return [
        {
            "check": check.name,
            "edition": check.edition,
            "says": check.says,
            "compared": check.test.words,
            "met": check.met,
            "values": list(check.values),
            "reason": check.problem,
        }
        for check in outcomes
    ]


def _shown_answers(answers: Sequence[Answer]) -> list[tuple[Answer, str]]:
    """The displayed answers, each with the names of its editions."""
    pairs = []
    for name in dict.fromkeys(answer.name for answer in answers):
        of_claim = [answer for answer in answers if answer.name == name]
        with_result = [answer for answer in of_claim if answer.seeds or answer.verdict in (CANNOT, UNCLEAR)]
        waiting = [answer for answer in of_claim if answer not in with_result]
        pairs += [(answer, answer.edition) for answer in with_result]
        if waiting and not any(answer.edition for answer in with_result):
            pairs.append((waiting[0], ", ".join(answer.edition for answer in waiting)))
    return pairs


def _row(answer: Answer, edition: str) -> list[str]:
    says = f"{answer.says} ({answer.source})"
    compared = f"{answer.quantity}: {answer.test.words}" if answer.test else ""
    reason = reason_of(answer)
    verdict = f"{answer.verdict}: {reason}" if reason else answer.verdict
    numbers = ["", str(answer.seeds) if answer.test else "", "", ""]
    if answer.evidence is not None:
        numbers = [effect_of(answer), str(answer.evidence.n), chance(answer.adjusted), detectable_of(answer)]
    return [answer.name, says, edition, verdict, compared, *numbers]


def effect_of(answer: Answer) -> str:
    """A tested claim's effect with its interval."""
    spec, evidence = _shown(answer), answer.evidence
    assert answer.test is not None and evidence is not None
    effect = (
        number(evidence.effect, spec)
        if answer.test.level or answer.test.kind == "order"
        else signed(evidence.effect, spec)
    )
    return (
        effect if evidence.interval is None else f"{effect} {span(evidence.interval.low, evidence.interval.high, spec)}"
    )


def detectable_of(answer: Answer) -> str:
    """The smallest effect that would have been detected; empty where there is none."""
    return "" if answer.detectable is None else number(answer.detectable, _shown(answer))


def _shown(answer: Answer) -> Mapping[str, Any]:
    return ORDER if answer.test is not None and answer.test.kind == "order" else answer.spec


def reason_of(answer: Answer) -> str:
    """The remark on a verdict."""
    same = answer.verdict == UNDECIDED and answer.evidence is not None and not answer.evidence.spread
    return "; ".join(filter(None, [answer.problem, "all seeds give the same number" * same]))


def sentence(check: Check) -> str:
    """A check and its outcome, met or not, with its numbers."""
    words = f"{check.name}, {check.edition}: {check.says} –"
    if check.met is None:
        return f"{words} {check.problem}."
    seeds = f"{len(check.values)} seed{'s' * (len(check.values) != 1)}"
    shown = [number(of(check.values), check.spec) for of in (statistics.fmean, min, max)] if check.values else []
    numbers = (
        f": {shown[0]} on average, {shown[1]} to {shown[2]}, {seeds}"
        if shown
        else f": {check.problem}"
        if check.problem
        else ""
    )
    return f"{words} {'met' if check.met else 'not met'}{numbers}."
