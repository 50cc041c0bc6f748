"""Decided claims as text for a terminal: by article and verdict, with claims without runs as counts."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from mixexp.reporting.claim_sheets import by_article, detectable_of, effect_of, reason_of, sentence, totals
from mixexp.reporting.claims import NOT_RUN, UNDECIDED, VERDICTS, Answer, Decided
from mixexp.reporting.sheets import chance

NARROWEST, WIDEST = 60, 120
ABOUT = (
    "Effects are means over seeds with 95 % intervals; p is corrected over an article's claims in an edition."
    " docs/claims.md says how each is tested, --json has every number, and mixexp claims NAME tells more of a claim or"
    " an experiment."
)


def as_text(decided: Decided, asked: Collection[str] = ()) -> str:
    """The totals, then each article's unmet premises and its claims by verdict; asked: claims to write in full."""
    width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size((100, 24)).columns))
    lines = [f"in all: {line}" if place == 0 else f"        {line}" for place, line in enumerate(totals(decided))]
    for article, answers, checks in by_article(decided):
        lines += ["", article, *_premises(checks)]
        for verdict in VERDICTS:
            for edition in dict.fromkeys(answer.edition for answer in answers):
                members = [answer for answer in answers if (answer.verdict, answer.edition) == (verdict, edition)]
                lines += _group(verdict, edition, members, bool(asked)) if members else []
    return "\n".join(_wrapped([*lines, "", ABOUT], width)) + "\n"


def _premises(checks: Sequence) -> Iterator[str]:
    """The number of the editions' checks that are met, and each that is not."""
    tried = [check for check in checks if check.met is not None]
    missed = [check for check in tried if not check.met]
    if tried:
        yield f"  premises: {len(tried) - len(missed)} of {len(tried)} are met"
    yield from (f"    not met: {sentence(check)}" for check in missed)


def _group(verdict: str, edition: str, answers: Sequence[Answer], in_full: bool) -> Iterator[str]:
    """The claims of an article with one verdict in one edition."""
    yield f"  {verdict}{f', {edition}' if edition else ''} ({len(answers)})"
    waiting = [answer for answer in answers if verdict == NOT_RUN and not answer.seeds]
    if waiting and not in_full:
        counts = Counter(answer.name.partition(".")[0] for answer in waiting)
        yield f"    {', '.join(f'{name} ({number})' for name, number in counts.items())}"
        answers = [answer for answer in answers if answer.seeds]
    for answer in answers:
        yield f"    {answer.name}: {answer.says}"
        if answer.evidence is not None:
            least = detectable_of(answer)
            seen = f"; detectable {least}" if verdict == UNDECIDED and least else ""
            p = chance(answer.adjusted)
            equation = f"p {p}" if p.startswith("<") else f"p = {p}"
            tested = f"n = {answer.seeds}, {equation} after Holm's correction over {answer.tests} claims"
            yield f"      {answer.quantity}: {effect_of(answer)}, {tested}{seen}"
        if reason := reason_of(answer):
            yield f"      {reason}"
        if in_full:
            yield f"      source: {answer.source}"
            if answer.test is not None:
                yield f"      compared, {answer.spec['rule']}: {answer.test.words}"


def _wrapped(lines: Sequence[str], width: int) -> Iterator[str]:
    """The lines, long ones continued with four more columns of indent."""
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        yield from textwrap.wrap(
            line, width, subsequent_indent=indent + "    ", break_on_hyphens=False, break_long_words=False
        ) or [""]
