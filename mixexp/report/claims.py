"""Claims decided by runs: of each claim and edition the effect, its uncertainty, p after Holm's correction, and a verdict."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixexp.report.articles import article_of
from mixexp.report.claimed import LIKE_THE_TABLE, Cell, Test, check_problems, claim_problems, read_test
from mixexp.report.described import DEFAULTS, of_metric, table_problems
from mixexp.report.experiments import Experiment
from mixexp.report.inference import FEWEST, holm
from mixexp.report.load import ASIDE, CIRCUMSTANCES, REPEATS, Run, canonical, lookup, once, other_data, unlike, varying
from mixexp.report.scores import better, scale, unit
from mixexp.report.tables import label, scored, spec_of
from mixexp.report.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, Evidence, best, contrast, equivalence, order

NOT_RUN, CANNOT, UNCLEAR = "not run", "cannot be decided here", "unclear"
VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN, UNCLEAR, CANNOT)
FULL = "full"
"""The edition of the runs that are as their experiment has them."""
HUGE = 1e100
"""Magnitude from which on a number counts as none, so that no square of a sum bursts."""


@dataclass(frozen=True)
class Answer:
    """A claim in one edition, and what its runs say of it; numbers in displayed units.

    name: the experiment and the claim's own name. edition: empty for a claim that no run can decide. spec: how its numbers are shown.
    tests: over how many tested claims p was adjusted. problem: why there is no verdict. lost: runs of its cells without a number.
    """

    name: str
    article: str
    says: str
    source: str
    edition: str
    spec: Mapping[str, Any]
    test: Test | None
    verdict: str = NOT_RUN
    problem: str = ""
    evidence: Evidence | None = None
    adjusted: float | None = None
    tests: int = 1
    seeds: int = 0
    lost: int = 0

    @property
    def detectable(self) -> float | None:
        """The smallest effect that these runs would have shown; None where there is no test."""
        return None if self.evidence is None else self.evidence.detectable(self.tests)

    @property
    def quantity(self) -> str:
        """What the effect is of, with the unit; empty where there is no test."""
        specs = [self.spec if cell.measure is None else _spec_of(self.spec, cell.measure) for cell in (self.test.cells if self.test else ())]
        units = ", ".join(dict.fromkeys(unit(spec, spec["metric"]) for spec in specs))
        if self.test is not None and self.test.kind == "order":
            return f"rank correlation of {units}"
        return f"{units} {self.test.per}" if self.test is not None and self.test.per else units


@dataclass(frozen=True)
class Check:
    """What an edition's runs have to show before its claims count: met where each seed shows it, None where there is no run."""

    name: str
    says: str
    edition: str
    spec: Mapping[str, Any]
    test: Test
    met: bool | None
    values: Sequence[float] = ()
    problem: str = ""


@dataclass(frozen=True)
class Decided:
    """All answers, the editions' checks, what is wrong with claims that are left out, and how many runs were no evidence."""

    answers: list[Answer]
    checks: list[Check]
    problems: list[str] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True)
class _Seeds:
    """The numbers of a test's cells in the seeds that all have, a list for each cell."""

    numbers: list[list[float]]
    lost: int = 0
    problem: str = ""

    @property
    def n(self) -> int:
        return len(self.numbers[0]) if self.numbers else 0


def decide(found: Iterable[Experiment], runs: Iterable[Run]) -> Decided:
    """The claims of some experiments decided by the runs of theirs among these; Holm's correction is over an article's claims in an edition.

    A claim that has something wrong with it is left out, and what it is said among the problems.
    """
    runs = list(runs)
    of: dict[str, list[Run]] = {}
    for run in runs:
        of.setdefault(str(lookup(run.config, "experiment")), []).append(run)
    answers: list[Answer] = []
    checks: list[Check] = []
    problems: list[str] = []
    left_out = 0
    for one in found:
        own = evidence(of.get(one.name, ()))
        left_out += len(own.pop("", ()))
        problems += problems_of(one)
        wrong = claim_problems(one.claims, one.editions)
        sound = {name: claim for name, claim in one.claims.items() if name not in wrong} if isinstance(one.claims, Mapping) else {}
        for name, claim in sound.items():
            answers += _answers(one, name, claim, own)
        for edition, block in one.editions.items():
            wrong, stated = check_problems(block.get("checks")), block.get("checks")
            sound = {name: check for name, check in stated.items() if name not in wrong} if isinstance(stated, Mapping) else {}
            checks += [_check(one, name, edition, check, own.get(edition, [])) for name, check in sound.items()]
    return Decided(_corrected(answers), checks, problems, left_out)


def only(decided: Decided, names: Collection[str]) -> Decided:
    """The part on some experiments, or on single claims, each called EXPERIMENT.CLAIM."""
    own = {name.partition(".")[0] for name in names}
    kept = [one for one in decided.answers if one.name in names or one.name.partition(".")[0] in names]
    return dataclasses.replace(decided, answers=kept, checks=[one for one in decided.checks if one.name.partition(".")[0] in own])


def articles(one: Experiment) -> list[str]:
    """The letters of the articles that an experiment's claims are counted to: its own, or of none those of its sources."""
    return [one.article] if one.article else sorted({article_of(claim["source"]) for claim in one.claims.values()})


def problems_of(one: Experiment, known: Mapping[str, Any] | None = None) -> list[str]:
    """What is wrong with the claims and checks of an experiment, each with its name; known: as for ``check_problems``."""
    blocks = [claim_problems(one.claims, one.editions, known), *(check_problems(block.get("checks"), known) for block in one.editions.values())]
    return [f"{one.name}: {problem}" for block in blocks for problem in block.values()]


def evidence(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Edition → its runs, each once; under "" those that are no evidence, since they depart from their experiment or edition by hand.

    A run's record has to say that it departs in nothing.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        edition = run.config.get("edition")
        departs = run.environment.get("differs_from_experiment" if edition is None else "differs_from_edition")
        found.setdefault(str(edition or FULL) if departs == {} else "", []).append(run)
    return {edition: once(members, CIRCUMSTANCES, of_table=lambda run: run.config.get("edition")) for edition, members in found.items()}


def counts(answers: Iterable[Answer]) -> dict[str, Counter[str]]:
    """Edition → verdict → how many claims; what no run can decide under an edition without a name."""
    found: dict[str, Counter[str]] = {}
    for one in answers:
        found.setdefault(one.edition, Counter())[one.verdict] += 1
    return found


def _answers(one: Experiment, name: str, claim: Mapping[str, Any], runs: Mapping[str, list[Run]]) -> Iterable[Answer]:
    """A claim's answer in every edition that is to decide it, before the correction."""
    article = one.article or article_of(claim["source"])
    shown = Answer(f"{one.name}.{name}", article, claim["says"], claim["source"], "", _spec(one, claim), None)
    if "cannot" in claim:
        yield dataclasses.replace(shown, verdict=CANNOT, problem=claim["cannot"])
    for edition in (FULL, *one.editions):
        stated = claim.get("test") if edition == FULL else claim.get(edition, claim.get("test"))
        if stated is not None:
            yield _answer(dataclasses.replace(shown, edition=edition, test=read_test(stated)), runs.get(edition, []))


def _answer(empty: Answer, runs: Sequence[Run]) -> Answer:
    test = empty.test
    found = _seeds(test, runs, empty.spec)
    answer = dataclasses.replace(empty, seeds=found.n, lost=found.lost, problem=found.problem)
    if found.problem:
        return dataclasses.replace(answer, verdict=UNCLEAR)
    if found.n < FEWEST:
        cells = [cell for cell in test.cells if not any(_in(cell, run) for run in runs)]
        absent = f"; no run with {cells[0]}" if cells and len(cells) < len(test.cells) else ""
        return dataclasses.replace(answer, problem=f"{found.n} seed{'s' * (found.n != 1)} in common, and {FEWEST} are needed{absent}" if runs else "no run")
    return dataclasses.replace(answer, evidence=_evidence(test, found.numbers))


def _evidence(test: Test, numbers: Sequence[Sequence[float]]) -> Evidence:
    if test.kind == "order":
        return order(list(zip(*numbers, strict=True)), test.sign)
    if test.kind == "best":
        return best(numbers[0], numbers[1:], test.sign)
    values, terms = _combined(test, numbers)
    if test.kind == "equivalence":
        return equivalence(values, terms, test.boundary)
    return contrast(values, terms, test.sign, test.boundary)


def _combined(test: Test, numbers: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Of each seed the weighted sum of its cells' numbers, and all the terms of these sums."""
    terms = [[weight * value for weight, value in zip(test.weights, row, strict=True)] for row in zip(*numbers, strict=True)]
    return [sum(row) for row in terms], [term for row in terms for term in row]


def _corrected(answers: Sequence[Answer]) -> list[Answer]:
    """The answers with p adjusted over the tested claims of each article in each edition, and their verdicts."""
    families: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(answers):
        if one.evidence is not None:
            families.setdefault((one.article, one.edition), []).append(place)
    found = list(answers)
    for places in families.values():
        adjusted = holm([answers[place].evidence.p for place in places])
        for place, p in zip(places, adjusted, strict=True):
            verdict = answers[place].evidence.verdict(p)
            found[place] = dataclasses.replace(answers[place], adjusted=p, tests=len(places), verdict=verdict)
    return found


def _check(one: Experiment, name: str, edition: str, check: Mapping[str, Any], runs: Sequence[Run]) -> Check:
    """Whether every seed shows what a check says: no p, since a premise is a matter of these runs and not of others like them."""
    test, spec = read_test(check["test"]), _spec(one, check)
    found = _seeds(test, runs, spec)
    empty = Check(f"{one.name}.{name}", check["says"], edition, spec, test, None)
    if found.problem or not found.n:
        return dataclasses.replace(empty, problem=found.problem or "no run")
    rows = list(zip(*found.numbers, strict=True))
    if test.kind in ("order", "best"):
        wanted = [[test.sign * value for value in row] for row in rows]
        met = [all(a < b for a, b in zip(row, row[1:], strict=False)) if test.kind == "order" else row[0] > max(row[1:]) for row in wanted]
        return dataclasses.replace(empty, met=all(met))
    values, _ = _combined(test, found.numbers)
    met = [abs(value) < test.boundary if test.kind == "equivalence" else test.sign * (value - test.boundary) > 0 for value in values]
    return dataclasses.replace(empty, met=all(met), values=values)


# --- from runs to numbers ---


def _seeds(test: Test, runs: Sequence[Run], spec: Mapping[str, Any]) -> _Seeds:
    """The numbers of a test's cells, seed by seed; those of a seed whose runs were made on different contents of the data are left out."""
    sides: list[dict[tuple, tuple[Run, float]]] = []
    lost: set[Path] = set()
    for cell in test.cells:
        members = [run for run in runs if _in(cell, run)]
        if problem := _mixed(cell, members):
            return _Seeds([], problem=problem)
        numbers = {}
        for run in members:
            value = _number(cell, run, spec)
            if value is not None:
                numbers[_seed(run)] = run, value
            elif run.outcome != "unfinished":
                lost.add(run.folder)
        sides.append(numbers)
    shared = [seed for seed in sides[0] if all(seed in side for side in sides)]
    sound = [seed for seed in shared if not any(other_data(sides[0][seed][0], side[seed][0]) for side in sides[1:])]
    return _Seeds([[side[seed][1] for seed in sound] for side in sides], len(lost))


def _in(cell: Cell, run: Run) -> bool:
    return all(run.setting(key) == canonical(value) for key, value in cell.conditions.items())


def _seed(run: Run) -> tuple:
    return tuple(run.setting(key) for key in REPEATS)


def _mixed(cell: Cell, members: Sequence[Run]) -> str:
    """What to say of a cell whose runs are not one a seed, or are unlike; empty when all is well."""
    several = len({_seed(run) for run in members}) < len(members)
    keys = varying(members, (*ASIDE, *REPEATS)) or (varying(members, (*CIRCUMSTANCES, *REPEATS)) if several else [])
    if not (several or keys or unlike(members)):
        return ""
    told = [f"{key} ({', '.join(dict.fromkeys(label(lookup(run.config, key)) for run in members))})" for key in keys[:3]] or unlike(members)
    return f"the runs with {cell} differ in {', '.join(told) or 'nothing that their records tell'}"


def _number(cell: Cell, run: Run, spec: Mapping[str, Any]) -> float | None:
    """A run's number in a cell, None where it has none."""
    if run.outcome != "finished":
        return None
    measure = cell.measure or {}
    own = _spec_of(spec, measure) if measure else spec
    value = scored(run, own, measure.get("where"))[0].get(own["rule"])
    return value if value is not None and abs(value) < HUGE else None


def _spec(one: Experiment, claim: Mapping[str, Any]) -> dict[str, Any]:
    """How a claim's numbers are chosen and shown: as its own keys say, else as the experiment's table."""
    table = {key: value for key, value in one.table.items() if key not in table_problems(one.table) and value is not None}
    spec = {**DEFAULTS, **table}
    own = {key: claim[key] for key in LIKE_THE_TABLE if claim.get(key) is not None}
    metric = own.get("metric", spec["metric"])
    if metric != spec["metric"]:
        usual = of_metric(metric)
        spec |= {"scale": scale(spec, metric), "better": better(spec, metric), "decimals": usual["decimals"]}
    return {**spec, **own}


def _spec_of(spec: Mapping[str, Any], measure: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a cell with a measure of its own."""
    return {**spec_of(spec, measure), "rule": measure.get("rule", spec["rule"])}
