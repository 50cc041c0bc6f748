"""Decided claims as text for a terminal: by article and verdict, what is not run folded to counts."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from mixexp.report.claim_sheets import by_article, detectable_of, effect_of, reason_of, standing, totals
from mixexp.report.claims import NOT_RUN, UNDECIDED, VERDICTS, Answer, Decided
from mixexp.report.sheets import chance

NARROWEST, WIDEST = 60, 120
ABOUT = (
    "Effects are means over seeds with 95 % intervals; p is corrected over an article's claims in an edition. "
    "docs/claims.md says how each is tested, --json has every number, and mixexp claims NAME tells more of a claim or an experiment."
)


def text(decided: Decided, asked: Collection[str] = ()) -> str:
    """The totals, then of each article the premises that are not met and its claims by verdict; asked: names whose claims are told in full."""
    width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size((100, 24)).columns))
    lines = [f"in all: {line}" if place == 0 else f"        {line}" for place, line in enumerate(totals(decided))]
    for article, answers, checks in by_article(decided):
        lines += ["", article, *_premises(checks)]
        for verdict in VERDICTS:
            for edition in dict.fromkeys(one.edition for one in answers):
                own = [one for one in answers if (one.verdict, one.edition) == (verdict, edition)]
                lines += _group(verdict, edition, own, bool(asked)) if own else []
    return "\n".join(_wrapped([*lines, "", ABOUT], width)) + "\n"


def _premises(checks: Sequence) -> Iterator[str]:
    """How many of the editions' checks are met, and each that is not."""
    tried = [one for one in checks if one.met is not None]
    missed = [one for one in tried if not one.met]
    if tried:
        yield f"  premises: {len(tried) - len(missed)} of {len(tried)} are met"
    for one in missed:
        yield f"    not met: {one.name}, {one.edition}: {one.says} {standing(one)}"


def _group(verdict: str, edition: str, answers: Sequence[Answer], in_full: bool) -> Iterator[str]:
    """The claims of an article with one verdict in one edition."""
    yield f"  {verdict}{f', {edition}' if edition else ''} ({len(answers)})"
    waiting = [one for one in answers if verdict == NOT_RUN and not one.seeds]
    if waiting and not in_full:
        counts = Counter(one.name.partition(".")[0] for one in waiting)
        yield f"    {', '.join(f'{name} ({number})' for name, number in counts.items())}"
        answers = [one for one in answers if one.seeds]
    for one in answers:
        yield f"    {one.name}: {one.says}"
        if one.evidence is not None:
            least = detectable_of(one)
            seen = f"; detectable {least}" if verdict == UNDECIDED and least else ""
            p = chance(one.adjusted)
            said = f"p {p}" if p.startswith("<") else f"p = {p}"
            yield f"      {one.quantity}: {effect_of(one)}, n = {one.seeds}, {said} after Holm's correction over {one.tests} claims{seen}"
        if reason := reason_of(one):
            yield f"      {reason}"
        if in_full:
            yield f"      source: {one.source}"
            if one.test is not None:
                yield f"      compared, {one.spec['rule']}: {one.test.words}"


def _wrapped(lines: Sequence[str], width: int) -> Iterator[str]:
    """The lines, long ones continued four columns further in."""
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        yield from textwrap.wrap(line, width, subsequent_indent=indent + "    ", break_on_hyphens=False, break_long_words=False) or [""]
