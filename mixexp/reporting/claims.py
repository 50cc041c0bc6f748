"""Claims decided by runs: for each claim and edition the effect, its uncertainty, p after Holm, and a verdict."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixexp.reporting.entries import label
from mixexp.reporting.runs import grouped, made_otherwise, once, other_test_images, seeds_of, unlike, varying
from mixexp.reporting.scoring import scored
from mixexp.reporting.stats import holm
from mixexp.reporting.tables import spec_of
from mixexp.reporting.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, Evidence, best, contrast, equivalence, order
from mixexp.settings import CIRCUMSTANCES, MIN_SEEDS, REPEATS, SAME_RESULT, comparable, lookup
from mixexp.spec.articles import article_of
from mixexp.spec.claims import LIKE_THE_TABLE, Cell, Test, check_problems, claim_problems, edition_problems, read_test
from mixexp.spec.experiments import Experiment, Repeats, missing, states
from mixexp.spec.table import better, completed, of_metric, scale, table_problems, unit
from mixexp.training.reader import Run

NOT_RUN, CANNOT, UNCLEAR = "not run", "cannot be decided here", "unclear"
VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN, UNCLEAR, CANNOT)
BY_HAND = "departs by hand from its experiment or edition, or has no record of it"
NOT_STATED = "has settings or a seed that its experiment's file does not state today"
FULL = "full"
"""The edition of the runs that follow their experiment."""
SAME = (*CIRCUMSTANCES, "dataset.root")
"""Settings in which copies of a run may differ.

A published copy has another data folder, whose contents its record states.
"""
HUGE = 1e100
"""The magnitude from which a number counts as none, so that no square of a sum overflows."""


@dataclass(frozen=True)
class Answer:
    """A claim in one edition, and its runs' evidence on it; numbers in displayed units.

    name: the experiment and the claim's own name. edition: empty for a claim that no run can decide. spec: the format
    of its numbers. tests: the number of tested claims in p's adjustment. problem: the reason why there is no verdict.
    lost: runs of its cells without a number.
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
        """The smallest effect that these runs could have detected; None where there is no test."""
        return None if self.evidence is None else self.evidence.detectable(self.tests)

    @property
    def quantity(self) -> str:
        """The quantity of the effect, with the unit; empty where there is no test."""
        specs = [
            self.spec if cell.measure is None else spec_of(self.spec, cell.measure)
            for cell in (self.test.cells if self.test else ())
        ]
        units = ", ".join(dict.fromkeys(unit(spec, spec["metric"]) for spec in specs))
        if self.test is not None and self.test.kind == "order":
            return f"rank correlation of {units}"
        return f"{units} {self.test.per}" if self.test is not None and self.test.per else units


@dataclass(frozen=True)
class Check:
    """A premise that an edition's runs have to meet before its claims count.

    met: True where each seed shows it, None where there is no run.
    """

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
    """All answers and the editions' checks.

    wrong: experiment → errors of its claims, which are left out. no_evidence: experiment → reason why runs of it are no
    evidence → their number.
    """

    answers: list[Answer]
    checks: list[Check]
    wrong: Mapping[str, Sequence[str]] = field(default_factory=dict)
    no_evidence: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """The errors of the claims of all experiments."""
        return [problem for problems in self.wrong.values() for problem in problems]

    @property
    def left_out(self) -> dict[str, int]:
        """Reason why runs of any experiment are not evidence → their number."""
        return dict(sum((Counter(reasons) for reasons in self.no_evidence.values()), Counter()))


@dataclass(frozen=True)
class _Seeds:
    """The numbers of a test's cells in the seeds that all cells have, a list for each cell.

    there: these seeds, each with its data_seed. lost: finished or diverged runs without a number, of seeds that all
    cells should have; why_lost: the reason of the first. problem: the reason why there is nothing to test.
    """

    numbers: list[list[float]]
    there: frozenset = frozenset()
    lost: int = 0
    why_lost: str = ""
    problem: str = ""

    @property
    def n(self) -> int:
        return len(self.numbers[0]) if self.numbers else 0


def decide(experiments: Iterable[Experiment], runs: Iterable[Run]) -> Decided:
    """The claims of some experiments, decided by these experiments' runs.

    Holm's correction is over all claims of an article that an edition is to decide, run or not, so that a verdict stays
    as more claims are run. A claim with an error is left out, and the error is among the problems.
    """
    of = grouped(runs, lambda run: str(lookup(run.config, "experiment")))
    answers: list[Answer] = []
    checks: list[Check] = []
    all_wrong: dict[str, list[str]] = {}
    no_evidence: dict[str, Counter[str]] = {}
    for experiment in experiments:
        evidence_runs, no_evidence[experiment.name] = evidence(experiment, of.get(experiment.name, ()))
        all_wrong[experiment.name] = problems_of(experiment)
        for name, claim in _sound(experiment.claims, claim_problems(experiment.claims, experiment.editions)):
            answers += _answers(experiment, name, claim, evidence_runs)
        for edition, block in experiment.editions.items():
            sound = _sound(block.get("checks"), check_problems(block.get("checks")))
            checks += [
                _check(experiment, name, edition, check, evidence_runs.get(edition, [])) for name, check in sound
            ]
    return Decided(_corrected(answers), checks, all_wrong, no_evidence)


def _sound(stated: Any, wrong: Mapping[str, str]) -> list[tuple[str, Mapping[str, Any]]]:
    """The valid claims or checks of a block, with their names."""
    return [(name, item) for name, item in stated.items() if name not in wrong] if isinstance(stated, Mapping) else []


def only(decided: Decided, names: Collection[str]) -> Decided:
    """The part on some experiments, or on single claims, each named EXPERIMENT.CLAIM."""
    experiments = {name.partition(".")[0] for name in names}
    answers = [answer for answer in decided.answers if answer.name in names or answer.name.partition(".")[0] in names]
    checks = [check for check in decided.checks if check.name.partition(".")[0] in experiments]
    wrong = {name: held for name, held in decided.wrong.items() if name in experiments}
    no_evidence = {name: held for name, held in decided.no_evidence.items() if name in experiments}
    return Decided(answers, checks, wrong, no_evidence)


def family(some: Iterable[Experiment], known: Iterable[Experiment]) -> list[Experiment]:
    """The experiments of one correction: the given ones, and all known ones of the same articles."""
    by_name = {experiment.name: experiment for experiment in some}
    articles = set().union(*map(_articles, by_name.values()))
    return [
        *by_name.values(),
        *(experiment for experiment in known if experiment.name not in by_name and articles & _articles(experiment)),
    ]


def _articles(experiment: Experiment) -> set[str]:
    """The articles of an experiment's claims: its own, or else those of its sources."""
    if experiment.article:
        return {experiment.article}
    claims = experiment.claims.values() if isinstance(experiment.claims, Mapping) else ()
    return {
        article_of(claim["source"])
        for claim in claims
        if isinstance(claim, Mapping) and isinstance(claim.get("source"), str)
    }


def problems_of(experiment: Experiment, known: Mapping[str, Any] | None = None) -> list[str]:
    """The errors of the claims and checks of an experiment, each with its name; known: as for ``check_problems``."""
    blocks = [
        edition_problems(experiment.settings.get("editions")),
        claim_problems(experiment.claims, experiment.editions, known),
    ]
    blocks += [check_problems(block.get("checks"), known) for block in experiment.editions.values()]
    return [f"{experiment.name}: {problem}" for block in blocks for problem in block.values()]


def evidence(experiment: Experiment, runs: Iterable[Run]) -> tuple[dict[str, list[Run]], Counter[str]]:
    """Edition → the runs of an experiment that are evidence in it, each once; and reason → the number of other runs.

    A run is evidence if its record states that nothing departs by hand, and if it has the settings that the
    experiment's file states today.
    """
    by_edition: dict[str, list[Run]] = {}
    others: Counter[str] = Counter()
    asked = {edition: experiment.stated(str(edition)) for edition in (None, *experiment.editions)}
    for run in runs:
        edition = run.config.get("edition")
        if run.environment.get("differs_from_experiment" if edition is None else "differs_from_edition") != {}:
            others[BY_HAND] += 1
        elif edition not in asked or not asked[edition].has(run):
            others[NOT_STATED] += 1
        else:
            by_edition.setdefault(str(edition or FULL), []).append(run)
    return {
        edition: once(members, SAME, of_table=lambda run: run.config.get("edition"))
        for edition, members in by_edition.items()
    }, others


def counts(answers: Iterable[Answer]) -> dict[str, Counter[str]]:
    """Edition → verdict → number of claims; the edition is empty for claims that no run can decide."""
    verdicts: dict[str, Counter[str]] = {}
    for answer in answers:
        verdicts.setdefault(answer.edition, Counter())[answer.verdict] += 1
    return verdicts


def _answers(
    experiment: Experiment, name: str, claim: Mapping[str, Any], runs: Mapping[str, list[Run]]
) -> Iterable[Answer]:
    """A claim's answer in every edition that is to decide it, before the correction."""
    article = experiment.article or article_of(claim["source"])
    shown = Answer(
        f"{experiment.name}.{name}", article, claim["says"], claim["source"], "", _spec(experiment, claim), None
    )
    if "cannot" in claim:
        yield dataclasses.replace(shown, verdict=CANNOT, problem=claim["cannot"])
    for edition in (FULL, *experiment.editions):
        stated = claim.get("test") if edition == FULL else claim.get(edition, claim.get("test"))
        if stated is not None:
            test = read_test(stated)
            answer = dataclasses.replace(shown, edition=edition, test=test, spec=_shown_as(shown.spec, test))
            yield _answer(answer, runs.get(edition, []), _required(experiment, edition, test))


def _required(experiment: Experiment, edition: str, test: Test) -> Repeats | None:
    """The seeds that the file states for all cells of a test, each with its data_seed; None where any seed counts."""
    repeats = [experiment.stated(edition).repeats(cell.conditions) for cell in test.cells]
    stated = [each for each in repeats if each is not None]
    return frozenset.intersection(*stated) if len(stated) == len(repeats) else None


def _answer(empty: Answer, runs: Sequence[Run], required: Repeats | None) -> Answer:
    """The answer of some runs before the correction; required: the seeds that all cells need, None where any counts."""
    test = empty.test
    assert test is not None, "a claim without a test has no runs"
    if required is not None and len(required) < MIN_SEEDS:
        problem = (
            f"the file states {len(required)} seed{'s' * (len(required) != 1)} that all its cells have, and {MIN_SEEDS}"
            " are needed"
        )
        return dataclasses.replace(empty, verdict=UNCLEAR if runs else NOT_RUN, problem=problem)
    by_seed = _seeds(test, runs, empty.spec, required)
    answer = dataclasses.replace(empty, seeds=by_seed.n, lost=by_seed.lost, problem=by_seed.problem)
    if by_seed.problem:
        return dataclasses.replace(answer, verdict=UNCLEAR)
    # leaving out a diverged run would favour the settings that made it diverge
    if by_seed.lost:
        problem = f"{by_seed.lost} run{'s' * (by_seed.lost != 1)} without a number: {by_seed.why_lost}"
        return dataclasses.replace(answer, verdict=UNCLEAR, problem=problem)
    cells = [cell for cell in test.cells if not any(_in(cell, run) for run in runs)]
    absent = f"; no run with {cells[0]}" if cells and len(cells) < len(test.cells) else ""
    if by_seed.n < MIN_SEEDS or (required is not None and missing(required, by_seed.there)):
        few = f"{by_seed.n} seed{'s' * (by_seed.n != 1)} in common, and {MIN_SEEDS} are needed"
        needed = f"{by_seed.n} of {len(required)} seeds" if required else few
        return dataclasses.replace(answer, problem=f"{needed}{absent}" if runs else "no run")
    return dataclasses.replace(answer, evidence=_evidence(test, by_seed.numbers))


def _evidence(test: Test, numbers: Sequence[Sequence[float]]) -> Evidence:
    if test.kind == "order":
        return order(list(zip(*numbers, strict=True)), test.sign)
    if test.kind == "best":
        return best(numbers[0], numbers[1:], test.sign)
    values, terms = _combined(test, numbers)
    step = test.step * math.hypot(*test.weights)
    if test.kind == "equivalence":
        return equivalence(values, terms, test.boundary, step)
    return contrast(values, terms, test.sign, test.boundary, step)


def _combined(test: Test, numbers: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """The weighted sum of the cells' numbers for each seed, and all the terms of these sums."""
    terms = [
        [weight * value for weight, value in zip(test.weights, row, strict=True)] for row in zip(*numbers, strict=True)
    ]
    return [sum(row) for row in terms], [term for row in terms for term in row]


def _corrected(answers: Sequence[Answer]) -> list[Answer]:
    """The answers with verdicts, and p adjusted over the claims of each article in each edition.

    A claim without runs counts as p = 1.
    """
    tested = [place for place, answer in enumerate(answers) if answer.test is not None]
    corrected = list(answers)
    for places in grouped(tested, lambda place: (answers[place].article, answers[place].edition)).values():
        known = [answers[place].evidence for place in places]
        for place, evidence, p in zip(
            places, known, holm([1.0 if evidence is None else evidence.p for evidence in known]), strict=True
        ):
            if evidence is not None:
                corrected[place] = dataclasses.replace(
                    answers[place], adjusted=p, tests=len(places), verdict=evidence.verdict(p)
                )
    return corrected


def _check(experiment: Experiment, name: str, edition: str, check: Mapping[str, Any], runs: Sequence[Run]) -> Check:
    """The outcome of a check, met where every seed shows it.

    It has no p, since a premise is about these runs and not about others like them.
    """
    test, spec = read_test(check["test"]), _spec(experiment, check)
    required = _required(experiment, edition, test)
    by_seed = _seeds(test, runs, spec, required)
    empty = Check(f"{experiment.name}.{name}", check["says"], edition, _shown_as(spec, test), test, None)
    if by_seed.lost:
        return dataclasses.replace(
            empty, met=False, problem=f"{by_seed.lost} of its runs without a number: {by_seed.why_lost}"
        )
    if by_seed.problem or not by_seed.n:
        return dataclasses.replace(empty, problem=by_seed.problem or "no run")
    if required is not None and missing(required, by_seed.there):
        return dataclasses.replace(empty, problem=f"{by_seed.n} of {len(required)} seeds")
    rows = list(zip(*by_seed.numbers, strict=True))
    if test.kind in ("order", "best"):
        signed = [[test.sign * value for value in row] for row in rows]
        met = [
            all(a < b for a, b in itertools.pairwise(row)) if test.kind == "order" else row[0] > max(row[1:])
            for row in signed
        ]
        return dataclasses.replace(empty, met=all(met))
    values, _ = _combined(test, by_seed.numbers)
    met = [
        abs(value) < test.boundary if test.kind == "equivalence" else test.sign * (value - test.boundary) > 0
        for value in values
    ]
    return dataclasses.replace(empty, met=all(met), values=values)


# --- from runs to numbers ---


def _seeds(test: Test, runs: Sequence[Run], spec: Mapping[str, Any], required: Repeats | None) -> _Seeds:
    """The numbers of a test's cells, seed by seed.

    Seeds whose runs used different contents of the data are left out.
    """
    sides: list[dict[tuple, tuple[Run, float | None, str]]] = []
    for cell in test.cells:
        members = [run for run in runs if _in(cell, run) and run.over]
        if problem := _mixed(cell, members):
            return _Seeds([], problem=problem)
        sides.append({seeds_of(run): (run, *_number(cell, run, spec)) for run in members})
    shared = [
        seed
        for seed in sides[0]
        if all(seed in side for side in sides) and (required is None or states(required, seed))
    ]
    without = {side[seed][0].folder: side[seed][2] for seed in shared for side in sides if side[seed][1] is None}
    whole = [seed for seed in shared if all(side[seed][1] is not None for side in sides)]
    sound = [seed for seed in whole if not any(_unlike(sides[0][seed][0], side[seed][0]) for side in sides[1:])]
    numbers = [[value for seed in sound if (value := side[seed][1]) is not None] for side in sides]
    return _Seeds(numbers, frozenset(sound), len(without), next(iter(without.values()), ""))


def _unlike(first: Run, second: Run) -> bool:
    """True for runs that no claim compares: different data contents or code, or another part of the test set.

    A trend over data sets, or over an imbalance that cuts the test set, uses different test images; these do not count.
    """
    parts = first.setting("test.n") != second.setting("test.n") and other_test_images(first, second)
    return made_otherwise(first, second) or parts


def _in(cell: Cell, run: Run) -> bool:
    return all(run.setting(key) == comparable(value) for key, value in cell.conditions.items())


def _mixed(cell: Cell, members: Sequence[Run]) -> str:
    """The problem of a cell whose runs are not one per seed, or are unlike; empty when there is none."""
    several = len({seeds_of(run) for run in members}) < len(members)
    keys = varying(members, (*SAME_RESULT, *SAME, *REPEATS)) or (varying(members, (*SAME, *REPEATS)) if several else [])
    if not (several or keys or unlike(members)):
        return ""
    values = {key: dict.fromkeys(label(lookup(run.config, key)) for run in members) for key in keys[:3]}
    differences = [f"{key} ({', '.join(labels)})" for key, labels in values.items()] or unlike(members)
    return f"the runs with {cell} differ in {', '.join(differences) or 'nothing that their records tell'}"


def _number(cell: Cell, run: Run, spec: Mapping[str, Any]) -> tuple[float | None, str]:
    """A run's number in a cell, or None and the reason."""
    if run.outcome != "finished":
        return None, f"it {run.outcome}"
    measure = cell.measure or {}
    cell_spec = spec_of(spec, measure) if measure else spec
    figures, problem = scored(run, cell_spec, measure.get("where"))
    value = figures.get(cell_spec["rule"])
    if value is None:
        return None, problem or f"it has no number by the rule {cell_spec['rule']}"
    return (value, "") if abs(value) < HUGE else (None, f"{cell_spec['metric']} is {value:g}")


def _spec(experiment: Experiment, claim: Mapping[str, Any]) -> dict[str, Any]:
    """The choice and format of a claim's numbers: by its own keys, else by the experiment's table."""
    problems = table_problems(experiment.table)
    spec = completed({key: value for key, value in experiment.table.items() if key not in problems})
    claim_spec = {key: claim[key] for key in LIKE_THE_TABLE if claim.get(key) is not None}
    metric = claim_spec.get("metric", spec["metric"])
    if metric != spec["metric"]:
        usual = of_metric(metric)
        spec |= {"scale": scale(spec, metric), "better": better(spec, metric), "decimals": usual["decimals"]}
    return {**spec, **claim_spec}


def _shown_as(spec: Mapping[str, Any], test: Test) -> Mapping[str, Any]:
    """The format of a test's numbers: losses have more decimals than the fractions of the table."""
    metrics = {(cell.measure or spec)["metric"] for cell in test.cells}
    if spec["metric"] in metrics or not all(metric.endswith("loss") for metric in metrics):
        return spec
    return {**spec, "decimals": of_metric("loss")["decimals"]}
