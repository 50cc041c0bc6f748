"""Runs to a table: the cell of each run, and its score by each selection rule."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest
from mixexp.files import stamp
from mixexp.metrics import RULES
from mixexp.reporting.entries import (
    UNSET,
    WITHOUT,
    among,
    described_by_differences,
    label,
    label_at,
    sort_key,
    value_ranks,
    with_label,
    written,
)
from mixexp.reporting.runs import data_contents, edited_modules, parts_of_test, uneven, unlike, varying
from mixexp.reporting.scoring import scored
from mixexp.reporting.stats import STATISTICS, Statistic
from mixexp.settings import CIRCUMSTANCES, REPEATS, comparable, flatten, lookup, under
from mixexp.spec.swap import swapped
from mixexp.spec.table import AXES, DEFAULTS, better, completed, scale, table_problems, unit, unusual
from mixexp.text import enumerated
from mixexp.training.reader import Run, plans

LABELLED = "as labelled"
"""The unit of several measures, each of which has its own in its label."""
REDUCED = {"test.n": "tested on {values} examples"}
"""Settings whose reduction a sentence says, and the words for a value; any other is named by its key."""


@dataclass(frozen=True)
class Entry:
    """One row or one column: its label, and the conditions, dotted key to value, that its runs meet.

    measure: the quantity in place of the table's metric: metric, and perhaps rule, where and better.
    """

    label: str
    conditions: dict[str, Any]
    measure: Mapping[str, Any] | None = None

    def holds(self, run: Run) -> bool:
        """True for a run that meets every condition."""
        return all(run.setting(key) == value for key, value in self.compared.items())

    @cached_property
    def compared(self) -> dict[str, Any]:
        """The conditions with values in comparable form."""
        return {key: comparable(value) for key, value in self.conditions.items()}


@dataclass(frozen=True)
class Table:
    """Runs sorted into rows × columns.

    ``cells`` holds only runs with a result, ``scores`` their numbers in displayed units.
    """

    spec: dict[str, Any]
    rule: str
    rows: list[Entry]
    columns: list[Entry]
    runs: list[Run]
    cells: dict[tuple[str, str], list[Run]]
    scores: dict[Path, dict[str, float]]
    without_result: list[tuple[Run, str, str]]
    unmatched: list[Run]
    remarks: list[str]
    measured: dict[Path, dict[str, dict[str, float]]] = field(default_factory=dict)
    statistics: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """Results of summary.py, so that every writer shares them."""

    @property
    def statistic(self) -> Statistic:
        """The statistic of a cell's runs."""
        return STATISTICS[self.spec["statistic"]]

    def values(self, row: str, column: str, rule: str | None = None) -> list[float]:
        """The scores of a cell, one a run, in displayed units."""
        scores = [self.score(run, row, column, rule) for run in self.cells.get((row, column), [])]
        return [score for score in scores if score is not None]

    def score(self, run: Run, row: str, column: str, rule: str | None = None) -> float | None:
        """A run's number in a cell, in displayed units, by a rule or the table's; a measure may have a fixed rule."""
        return self.number(run, self.measure_of(row, column), rule)

    def number(self, run: Run, measure: str | None, rule: str | None = None) -> float | None:
        """A run's number by one of the measures, or by the table's metric."""
        if measure is None:
            return self.scores.get(run.folder, {}).get(rule or self.rule)
        return (
            self.measured.get(run.folder, {})
            .get(measure, {})
            .get(self.measures[measure].get("rule") or rule or self.rule)
        )

    def measure_of(self, row: str, column: str) -> str | None:
        """The label of the row or column that replaces the table's metric in this cell; None where none does."""
        return next((name for name in (row, column) if name in self.measures), None)

    @cached_property
    def measures(self) -> dict[str, Mapping[str, Any]]:
        """The rows or columns that show another quantity than the table's metric, by their labels."""
        return {entry.label: entry.measure for entry in (*self.rows, *self.columns) if entry.measure is not None}

    def places(self, run: Run) -> list[tuple[str, str]]:
        """The cells of a run, with or without a number, as labels of a row and a column."""
        return [(row.label, column.label) for row, column in itertools.product(*(find(run) for find in self._finders))]

    @cached_property
    def _finders(self) -> tuple[Callable[[Run], list[Entry]], ...]:
        return _finder(self.rows), _finder(self.columns)

    def members_of(self, entry: Entry) -> dict[Path, Run]:
        """The runs in the cells of a row or a column, by folder.

        For any other entry, they are the runs in cells that meet its conditions.
        """
        if id(entry) in self._members:
            return self._members[id(entry)]
        return {run.folder: run for members in self.cells.values() for run in members if entry.holds(run)}

    @cached_property
    def _members(self) -> dict[int, dict[Path, Run]]:
        by_entry: dict[tuple[str, str], dict[Path, Run]] = {}
        for (row, column), members in self.cells.items():
            for place in (("rows", row), ("columns", column)):
                by_entry.setdefault(place, {}).update({run.folder: run for run in members})
        return {
            id(entry): by_entry.get((axis, entry.label), {})
            for axis in ("rows", "columns")
            for entry in getattr(self, axis)
        }

    @cached_property
    def rules(self) -> list[str]:
        """The selection rules that are meaningful for these runs, and the table's own.

        best_validation needs a held-out part, best a second evaluation, and the median of the last ten evaluations ten.
        """
        counts = [len(run.metrics.get("step", ())) for run in self.runs if run.folder in self.scores]
        there = {rule for scores in self.scores.values() for rule in scores}
        meaning = {
            "best_validation": "best_validation" in there,
            "best": max(counts, default=2) > 1,
            "median_last_10": min(counts, default=10) >= 10,
        }
        return [rule for rule in RULES if rule == self.rule or meaning.get(rule, True)]

    @cached_property
    def unlike(self) -> dict[tuple[str, str], list[str]]:
        """The cells whose runs differ in more than their seed, with the differences in words."""
        differing = {
            place: [*varying(members, (*CIRCUMSTANCES, *REPEATS)), *unlike(members)]
            for place, members in self.cells.items()
        }
        return {place: words for place, words in differing.items() if words}

    @cached_property
    def lost(self) -> dict[tuple[str, str], Counter[str]]:
        """The runs of a cell that give no number: outcome → count."""
        endings: dict[tuple[str, str], Counter[str]] = {}
        for run, outcome, _ in self.without_result:
            for place in self.places(run) if run.config else ():
                endings.setdefault(place, Counter())[outcome] += 1
        return endings

    @cached_property
    def reduced(self) -> str:
        """The values that the runs used instead of their experiment's own; empty where all are full size."""
        return reductions(self.runs)

    def published(self, row: str, column: str) -> float | None:
        """The source's value for a cell, in displayed units."""
        return _find(_find(self.spec["published"], column, {}), row)

    @property
    def unit(self) -> str:
        """The metric with its unit, as headings and axes print it; those of all measures where their labels do too."""
        if not self.measures:
            return unit(self.spec, self.spec["metric"])
        units = [unit(spec_of(self.spec, measure), measure["metric"]) for measure in self.measures.values()]
        if units != [f"{name} (%)" for name in self.measures]:
            return LABELLED
        return f"{enumerated(self.measures)} (%)"


def build_tables(
    runs: list[Run], rule: str | None = None, name: str = "runs", baseline: str | None = None
) -> list[Table]:
    """One table for each title and protocol among the runs; runs without a table form one for each data set.

    name: the title of the latter. Runs with different departures from their experiment are unlike, so each protocol has
    its own table, the full-size one first. Runs whose configuration or environment cannot be read may belong to any
    table and are listed in all of them.
    """
    if rule is not None and rule not in RULES:
        raise UserError(f"rule is {rule!r}; {', '.join(RULES)} are known.{closest(rule, RULES)}")
    titled: dict[tuple[str, str], list[Run]] = {}
    for run in (run for run in runs if run.config and run.environment):
        title = str(run.table.get("title") or "")
        titled.setdefault((title, "" if title else label(lookup(run.config, "dataset"))), []).append(run)
    without = sum(not title for title, _ in titled)
    groups = {
        title or (f"{name}, {data}" if without > 1 else name): _protocols(members)
        for (title, data), members in titled.items()
    }
    lost = [run for run in runs if not (run.config and run.environment)]
    if not groups:
        return [build_table(lost, rule, name, baseline)]
    tables = []
    for title, protocols in groups.items():
        for protocol in sorted(protocols):
            suffix = f" (reduced: {protocol})" if protocol and len(protocols) > 1 else ""
            tables.append(build_table(protocols[protocol] + lost, rule, f"{title}{suffix}", baseline))
    return tables


def _protocols(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs by the values that replaced their experiment's own.

    A setting that a run lacks (an option of another mix or model) does not separate it from runs that have it.
    """
    groups: list[tuple[dict[str, str | None], list[Run]]] = []
    departing = [(run, _departures(run)) for run in runs]
    keys = {key for _, departures in departing for key in departures}
    for run, departures in departing:
        differing = {key: departures.get(key) for key in keys if key in departures or run.setting(key) is not None}
        for together, members in groups:
            if all(together.get(key, value) == value for key, value in differing.items()):
                together.update(differing)
                members.append(run)
                break
        else:
            groups.append((differing, [run]))
    named: dict[str, list[Run]] = {}
    for together, members in groups:
        named.setdefault(
            ", ".join(f"{key} {value}" for key, value in sorted(together.items()) if value is not None), []
        ).extend(members)
    return named


def _departures(run: Run) -> dict[str, str]:
    """The departures of a run from its experiment's values, without the keys of the table's rows and columns.

    For a run of an edition, they are the edition and the departures from the edition's values, which differ from cell
    to cell as a grid's do.
    """
    shown: set[str] = set()
    for axis in (run.table.get("rows"), run.table.get("columns")):
        if isinstance(axis, Mapping):
            shown.add(str(axis.get("key")))
            values = axis.get("values")
            conditions = values.values() if isinstance(values, Mapping) else ()
            shown |= {str(key) for settings in conditions if isinstance(settings, Mapping) for key in settings}
    of_edition = "differs_from_edition" in run.environment
    differences = run.environment.get("differs_from_edition" if of_edition else "differs_from_experiment")
    pairs = [
        *([("edition", run.config.get("edition"))] if of_edition else []),
        *(differences.items() if isinstance(differences, Mapping) else ()),
    ]
    return {
        str(key): label(pair[0] if isinstance(pair, list) and pair else pair)
        for key, pair in pairs
        if not under(str(key), shown)
    }


def build_table(runs: list[Run], rule: str | None = None, title: str = "runs", baseline: str | None = None) -> Table:
    """The table that these runs describe, or one of the configurations that differ where they describe none.

    rule and baseline replace those of the description.
    """
    spec, remarks = _complete(runs, title)
    named = spec["baseline"] = baseline or spec["baseline"]
    rows, columns = (_entries(spec, axis, runs) for axis in ("rows", "columns"))
    labels = [entry.label for entry in (*columns, *rows)]
    spec["baseline"] = among(named, labels) if named else _no_mixing(columns) or _no_mixing(rows)
    measures = {entry.label: entry.measure for entry in (*rows, *columns) if entry.measure is not None}
    scores: dict[Path, dict[str, float]] = {}
    measured: dict[Path, dict[str, dict[str, float]]] = {}
    without_result: list[tuple[Run, str, str]] = []
    for run in runs:
        numbers, problem = scored(run, spec) if run.outcome == "finished" else ({}, run.problem)
        if numbers and measures:
            pairs = {
                name: scored(run, spec_of(spec, measure), measure.get("where")) for name, measure in measures.items()
            }
            measured[run.folder] = {name: figures for name, (figures, _) in pairs.items()}
            if not any(measured[run.folder].values()):
                problem = next(text for _, text in pairs.values())
        if problem or not numbers:
            without_result.append((run, run.outcome if run.outcome != "finished" else "no number", problem))
        else:
            scores[run.folder] = numbers
    order = ["failed", "diverged", "no number", "damaged", "unfinished"]
    without_result.sort(key=lambda entry: order.index(entry[1]))
    table = Table(spec, rule or spec["rule"], rows, columns, runs, {}, scores, without_result, [], remarks, measured)
    for run in (run for run in runs if run.folder in scores):
        places = table.places(run)
        for place in places:
            table.cells.setdefault(place, []).append(run)
        table.unmatched.extend([] if places else [run])
    table.remarks.extend(_not_begun(runs))
    table.remarks.extend(parts_of_test(runs))
    table.remarks.extend(_pooled(table))
    table.remarks.extend(_edited(runs))
    table.remarks.extend(_without_matrix([run for run in runs if run.folder in scores]))
    if table.rule == "median_last_10":
        table.remarks.extend(_short(runs, scores))
    return table


def _no_mixing(entries: Sequence[Entry]) -> str | None:
    """The row or column without mixing that all with mixing are compared with, where a table names no baseline.

    None unless there is exactly one.
    """
    mixing = [entry for entry in entries if entry.compared.get("mix") not in (None, "none")]
    bases = [entry for entry in entries if entry.compared.get("mix") == "none"]
    alike = len(bases) == 1 and len(with_no_mixing(entries)) == len(mixing)
    return bases[0].label if alike and mixing and all(entry.measure is None for entry in entries) else None


def with_no_mixing(entries: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """Each row or column with mixing and the one without mixing that has the same other settings; empty without any."""
    bases = [entry for entry in entries if entry.compared.get("mix") == "none"]
    others = [entry for entry in entries if entry.compared.get("mix") not in (None, "none")]
    settings = [
        {key: value for key, value in base.compared.items() if key != "mix" and value is not None} for base in bases
    ]
    alike = zip(bases, settings, strict=True)
    return [
        (entry, base)
        for base, same in alike
        for entry in others
        if all(entry.compared.get(key) == value for key, value in same.items())
    ]


def _finder(entries: list[Entry]) -> Callable[[Run], list[Entry]]:
    """A function that finds a run's entries by looking up its values, which is fast with thousands of entries."""
    by_keys: dict[tuple[str, ...], dict[tuple, list[int]]] = {}
    for index, entry in enumerate(entries):
        keys = tuple(sorted(entry.compared))
        by_keys.setdefault(keys, {}).setdefault(tuple(entry.compared[key] for key in keys), []).append(index)

    def find(run: Run) -> list[Entry]:
        held = [index for keys, places in by_keys.items() for index in places.get(tuple(map(run.setting, keys)), ())]
        return [entries[index] for index in sorted(held)]

    return find


def spec_of(spec: Mapping[str, Any], measure: Mapping[str, Any]) -> dict[str, Any]:
    """The table's description for one of its measures: each has its own metric, and losses are not scaled."""
    metric = measure["metric"]
    choices = {"rule": measure.get("rule", spec["rule"]), "better": measure.get("better") or better(spec, metric)}
    return {**spec, **choices, "metric": metric, "scale": measure.get("scale", scale(spec, metric))}


def reductions(runs: Iterable[Run]) -> str:
    """The values that the runs used instead of their experiment's own, with the name of an edition.

    Empty when all runs are full size.
    """
    known = [run for run in runs if run.environment]
    text = _differing(known, "differs_from_experiment")
    of_edition = [run for run in known if "differs_from_edition" in run.environment]
    if not of_edition:
        return text
    names = " or ".join(dict.fromkeys(label(run.config.get("edition")) for run in of_edition))
    part = "" if len(of_edition) == len(known) else f" (in {len(of_edition)} of {len(known)} runs)"
    by_hand = _differing(of_edition, "differs_from_edition")
    return (
        "edition"
        f" {names}{part}{f': {text}' if text else ''}{f'; not as the edition has it: {by_hand}' if by_hand else ''}"
    )


def _differing(runs: Sequence[Run], record: str) -> str:
    """The values that runs used instead of others, from one of the records in their environment.json."""
    used: dict[tuple[str, str], Counter[str]] = {}
    for run in runs:
        differences = run.environment.get(record)
        differences = differences if isinstance(differences, Mapping) else {}
        for key, pair in differences.items():
            value, full = pair if isinstance(pair, list) and len(pair) == 2 else (pair, "the experiment's")
            # for another option, the experiment has no such setting; the option's default is not the experiment's
            group = str(key).partition(".")[0]
            instead = (
                ""
                if group in differences and group != key
                else f" instead of {label_at(key, full)}"
                if full is not None or key in WITHOUT
                else ", which the experiment leaves open"
            )
            used.setdefault((key, instead), Counter())[label_at(key, value)] += 1
    texts = []
    for (key, instead), counts in used.items():
        part = "" if counts.total() == len(runs) else f" (in {counts.total()} of {len(runs)} runs)"
        words = REDUCED.get(key, "{key} {values}").format(key=key, values=" or ".join(counts))
        texts.append(f"{words}{instead}{part}")
    return "; ".join(texts)


def _complete(runs: list[Run], title: str) -> tuple[dict[str, Any], list[str]]:
    """The runs' table with defaults for missing or invalid keys, and a remark for each such repair.

    Missing rows and columns become the settings in which the runs differ.
    """
    described = [run for run in runs if run.table]
    if not described:
        return completed({**described_by_differences(runs, {}), "title": title}), []
    # The experiment file may have been edited between two sweeps; its latest state counts.
    newest = max(described, key=lambda run: stamp(run.folder / "config.yaml"))
    problems = table_problems(newest.table)
    remarks = [
        f"{problem} {'The default stands in.' if key in DEFAULTS else 'It is ignored.'}"
        for key, problem in problems.items()
    ]
    if any(run.table != newest.table for run in described):
        remarks.append("The runs carry different versions of this table's description; the newest is used.")
    sound = {
        key: value
        for key, value in newest.table.items()
        if key not in problems and value is not None and (value or key not in AXES)
    }
    fallback = {} if all(axis in sound for axis in AXES) else described_by_differences(runs, sound)
    spec = completed({**fallback, **sound, "title": title})
    remarks += [problem for problem in [unusual(sound)] if problem]
    for axis in AXES:
        key = spec[axis].get("key")
        spec[axis] = with_label(spec[axis])
        if key and all(lookup(run.config, key) is None for run in described):
            known = [name for run in described for name in flatten(run.config)]
            remarks.append(f"table.{axis}.key is {key!r}, which no run has a value for.{closest(key, known)}")
    return swapped(spec) if spec["swap"] else spec, remarks


def _entries(spec: Mapping[str, Any], axis: str, runs: list[Run]) -> list[Entry]:
    """The rows or columns: first those that the table orders, then the others."""
    order = {comparable(label(name)): place for place, name in enumerate(order_of(spec, axis))}
    return sorted(_unordered(spec, axis, runs), key=lambda entry: order.get(comparable(entry.label), len(order)))


def order_of(spec: Mapping[str, Any], axis: str) -> list[Any]:
    """The labels of rows or columns in the order that a table states, the last one where it has several.

    It is empty where the table states no order.
    """
    names = (axis, spec[axis].get("key"), spec[axis].get("label"))
    return next((labels for name, labels in reversed(spec["order"].items()) if name in names), [])


def _unordered(spec: Mapping[str, Any], axis: str, runs: list[Run]) -> list[Entry]:
    if spec[axis].get("measures") is not None:
        return [Entry(written(name), {}, measure) for name, measure in spec[axis]["measures"].items()]
    if spec[axis].get("values") is not None:
        return [Entry(written(name), dict(conditions)) for name, conditions in spec[axis]["values"].items()]
    key = spec[axis]["key"]
    published = spec["published"]
    named = list(published) if axis == "columns" else [row for column in published.values() for row in column]
    # A source's value without a run is a visible gap; runs come first, so that their spelling is the label.
    values = [lookup(run.config, key) for run in runs if run.config] + [
        None if name in (UNSET, WITHOUT.get(key)) else name for name in named
    ]
    distinct: dict[Any, Any] = {}
    for value in values:
        distinct.setdefault(comparable(value), value)
    places = value_ranks([run for run in runs if run.config], key, spec["baseline"])
    of_layers = key.startswith("mix_layer")
    ordered = sorted(distinct, key=lambda value: sort_key(value, of_layers, places.get(value, len(places))))
    return [Entry(label_at(key, distinct[value]), {key: distinct[value]}) for value in ordered]


def runs_of(table: Table, entry: Entry, other: Entry | None = None) -> list[Run]:
    """The runs in the table's cells that meet the conditions of one entry, or of two; each once."""
    first, second = table.members_of(entry), None if other is None else table.members_of(other)
    if second is None:
        return list(first.values())
    fewer, more = (first, second) if len(first) <= len(second) else (second, first)
    return [run for folder, run in fewer.items() if folder in more]


def numbers(runs: Iterable[Run], spec: Mapping[str, Any], rule: str) -> dict[Path, float]:
    """The numbers of finished runs by a rule, by the runs' folders, in displayed units.

    Runs without one are left out.
    """
    by_folder = {run.folder: scored(run, spec)[0].get(rule) for run in runs if run.outcome == "finished"}
    return {folder: number for folder, number in by_folder.items() if number is not None}


def why_no_number(runs: Sequence[Run], spec: Mapping[str, Any], rule: str) -> str:
    """The reason why none of some runs has a number of a metric by a selection rule."""
    finished = [run for run in runs if run.outcome == "finished"]
    if not finished:
        counts = Counter(run.outcome for run in runs)
        ended = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        first = next(run for run in runs)
        reason = (
            f"the run is {ended.partition(' ')[2]}"
            if len(runs) == 1
            else f"none of the {len(runs)} runs is finished: {ended}"
        )
        return f"{reason}; {first.folder.name}: {first.problem}" if first.problem else reason
    results = [scored(run, spec) for run in finished]
    metric = spec["metric"]
    if any(scores for scores, _ in results):
        return (
            f"no finished run has a number for {metric!r} by {RULES[rule]}, since none held a part of its training set"
            " out (validation=0.1)"
        )
    known = dict.fromkeys(
        name for run in finished for name in run.metrics if name not in ("step", "epoch", "lr", "seconds")
    )
    if metric in known or metric == "error" or metric.startswith("probe."):
        return (
            f"no finished run has a number for {metric!r} by {RULES[rule]}; {finished[0].folder.name}: {results[0][1]}"
        )
    return (
        f"no finished run has a number for {metric!r} by {RULES[rule]}.{closest(metric, known)} There are"
        f" {', '.join(known)}."
    )


def smallest_seed(runs: Iterable[Run]) -> Run | None:
    """The run of the smallest seed, numbers before words; None without any."""
    return min(runs, key=lambda run: [sort_key(run.setting(key)) for key in REPEATS], default=None)


def _pooled(table: Table) -> list[str]:
    """A warning where runs that differ in more than their seed share a cell: their mean mixes unlike runs."""
    mixed: dict[tuple[str, ...], list[str]] = {}
    for (row, column), differing in table.unlike.items():
        mixed.setdefault(tuple(differing), []).append(f"{row} / {column}")
    return [
        f"Unlike runs share a cell: they differ in {', '.join(keys)} ({'; '.join(where)})."
        for keys, where in mixed.items()
    ]


def _not_begun(runs: Sequence[Run]) -> list[str]:
    """A remark for each folder whose last sweep has planned runs that have no folder yet."""
    remarks = []
    for folder in dict.fromkeys(run.folder.parent for run in runs):
        names = planned[-1][1] if (planned := plans(folder)) else []
        missing = sum(not os.path.exists(folder / name) for name in names)  # of any text, as a plan may have
        if missing:
            have = "has" if missing == 1 else "have"
            remarks.append(f"{missing} of the {len(names)} runs of the last sweep in {folder.name} {have} not begun.")
    return remarks


def _edited(runs: Sequence[Run]) -> list[str]:
    """A warning where a data set's files, or the user's own modules, changed between the runs.

    No setting records these.
    """
    several = [len(digests) for digests in data_contents(runs).values() if len(digests) > 1]
    data = [f"The runs were made with {count} different contents of the same data set's files." for count in several]
    return [
        *data,
        *(f"The runs were made with {count} versions of {name}." for name, count in edited_modules(runs).items()),
    ]


def _without_matrix(runs: Sequence[Run]) -> list[str]:
    """The remark on runs with unequal classes whose recall by group is missing, since they have no confusion.csv."""
    unequal = [run for run in runs if uneven(run)]
    without = sum(not (run.folder / "confusion.csv").exists() for run in unequal)
    if not without:
        return []
    if without == len(unequal):
        return [f"The recall by group is missing: {without} run{'s have' if without > 1 else ' has'} no confusion.csv."]
    which = "which have" if without > 1 else "which has"
    return [
        f"The recall by group is missing in {without} of {len(unequal)} runs with unequal classes, {which} no"
        " confusion.csv."
    ]


def _short(runs: list[Run], scores: Mapping[Path, Any]) -> list[str]:
    """The remark on a median of ten evaluations where there are fewer."""
    counts = [len(run.metrics.get("step", ())) for run in runs if run.folder in scores]
    few = [count for count in counts if count < 10]
    if not few:
        return []
    there = f"{min(few)}" if min(few) == max(few) else f"{min(few)} to {max(few)}"
    return [
        f"The median of the last 10 evaluations is of all there are in {len(few)} of {len(counts)} runs, which have"
        f" {there}."
    ]


def _find(mapping: Mapping[Any, Any], name: str, default: Any = None) -> Any:
    comparable_name = comparable(name)
    return next((value for key, value in mapping.items() if comparable(label(key)) == comparable_name), default)
