"""A reader's changes to the tables of a report: a file with the keys of a table, overridden by the command line."""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest, closest_path
from mixexp.files import parse_yaml, plain_name, read_text, repeated_key
from mixexp.reporting.entries import axis_of, keys_of, label
from mixexp.reporting.runs import varying
from mixexp.reporting.tables import Table
from mixexp.settings import CIRCUMSTANCES, REPEATS, comparable, lookup
from mixexp.spec.experiments import experiment_file, types_table
from mixexp.spec.figures import KINDS, description_problems, figure_file, figure_problem
from mixexp.spec.keys import SETTING
from mixexp.spec.measured import Measured, measures_of
from mixexp.spec.swap import OTHER
from mixexp.spec.table import AXES, DEFAULTS, FORMAT, of_metric, table_problems
from mixexp.text import in_shell, listed, resembling, shown
from mixexp.training.reader import Run

# Between commas: letters, and text in brackets or quotes.
_OPTION = re.compile(r"""(?:[^,"\[{]|"[^"]*"|\[[^\]]*\]|\{[^}]*\})+""")
_EXPECTED = {
    "metric": "a metric",
    **dict.fromkeys(AXES, "a setting such as mix"),
    "title": "a text",
    "note": "a sentence",
}
"""Options of the command line that hold a text, and a description of it."""


@dataclass(frozen=True)
class Changes:
    """Keys of a table that replace those of the runs' tables, and additions to these.

    where: settings, each with its admitted values. said: the words that gave each key, such as "--metric f1". remark:
    the origin of the description, for the report; empty where it is the experiment's or the runs' alone.
    """

    table: Mapping[str, Any] = field(default_factory=dict)
    figures: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    where: Sequence[tuple[str, Sequence[Any]]] = ()
    said: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    def selected(self, runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
        """The selected runs, and a remark where these are not all; raises UserError where none is left."""
        left = list(runs)
        for key, values in self.where:
            if all(run.setting(key) is None for run in runs):
                raise UserError(_unknown(f"--where {key}", key, runs))
            for value in values:
                if all(run.setting(key) != comparable(value) for run in runs):
                    raise UserError(_no_value(key, value, runs))
            admitted = set(map(comparable, values))
            chosen = [run for run in left if run.setting(key) in admitted]
            if not chosen:
                raise UserError(self._contradiction(key, values, left))
            left = chosen
        conditions = "; ".join(f"{key} = {' or '.join(map(label, values))}" for key, values in self.where)
        return left, [f"Only runs with {conditions}: {len(left)} of {len(runs)}."] if conditions else []

    def _contradiction(self, key: str, values: Sequence[Any], left: Sequence[Run]) -> str:
        """The error of a condition that no run fulfils among those that the earlier conditions have left."""
        said = f"--where {key}={','.join(map(label, values))}"
        earlier = list(
            itertools.takewhile(lambda condition: condition[0] != key or condition[1] is not values, self.where)
        )
        if any(name == key for name, _ in earlier):
            several = ",".join(
                dict.fromkeys(label(value) for name, given in self.where if name == key for value in given)
            )
            either = f"Runs with one or the other are --where {key}={several}."
            return f"{said}: no run has two values of {key}, and all conditions have to hold. {either}"
        conditions = " and ".join(f"{name}={','.join(map(label, given))}" for name, given in earlier)
        values_left = [lookup(run.config, key) for run in left if run.config]
        names = dict.fromkeys("null" if value is None else label(value) for value in values_left)
        return (
            f"{said}: no run has it together with {conditions}. The runs with {conditions} have {key} {listed(names)}."
        )

    def check(self, tables: Sequence[Table]) -> None:
        """Raise UserError for settings, metrics, figures and orders of these changes that no run of the tables has."""
        # without changes, or after the plan's check
        if not self.said and not self.figures:
            return
        runs = list({run.folder: run for table in tables for run in table.runs}.values())
        problems = [*self._no_setting(runs), *self._twice(tables), *self._no_order(tables)]
        # without metrics, the runs' measures are unknown
        if any(run.metrics for run in runs):
            problems += self._not_measured(_measured(runs), [name for table in tables for name in table.measures])
        if problems:
            raise UserError("\n".join(dict.fromkeys(problems)))

    def over(self, run: Run) -> Run:
        """The run with these changes in its table.

        Another metric removes the old one's format and axes of measures; another metric or axis setting removes the
        source's published values.
        """
        if not run.config or not (self.table or self.figures or self.notes):
            return run
        table = {**run.table, **self.table}
        metric = self.table.get("metric")
        if metric is not None and metric != run.table.get("metric"):
            usual = of_metric(metric)
            table |= {key: usual[key] for key in FORMAT if key not in self.table}
        for axis in AXES if metric is not None else ():
            if axis not in self.table and isinstance(run.table.get(axis), Mapping) and "measures" in run.table[axis]:
                table[axis] = {"label": "metric", "values": {metric: {}}}
        if metric not in (None, run.table.get("metric")) or any(
            _key(table, axis) != _key(run.table, axis) for axis in AXES
        ):
            table |= {key: DEFAULTS[key] for key in ("published", "source") if key not in self.table}
        if "order" in self.table and isinstance(order := run.table.get("order"), Mapping):
            table["order"] = {
                **{name: labels for name, labels in order.items() if name not in self.table["order"]},
                **self.table["order"],
            }
        for key, added in (("figures", self.figures), ("notes", self.notes)):
            there = table.get(key)
            table[key] = [*(there if isinstance(there, list) else []), *added]
        return replace(run, config={**run.config, "table": table})

    @property
    def _all_figures(self) -> list[Mapping[str, Any]]:
        return [*(self.table.get("figures") or ()), *self.figures]

    def _no_setting(self, runs: Sequence[Run]) -> Iterator[str]:
        asked = [(self.said[axis], key) for axis in AXES for key in keys_of(self.table.get(axis) or {})]
        for spec in self._all_figures:
            options = KINDS[spec["kind"]].options
            asked += [
                (self._named(spec), spec[name])
                for name, option in options.items()
                if option.values is SETTING and spec.get(name)
            ]
        yield from (_unknown(said, key, runs) for said, key in asked if all(run.setting(key) is None for run in runs))

    def _twice(self, tables: Sequence[Table]) -> Iterator[str]:
        """The error of one setting as both rows and columns: all cells off the diagonal would be empty."""
        given = [self.said[axis] for axis in AXES if axis in self.said]
        for table in tables if given else ():
            rows, columns = (table.spec[axis].get("key") for axis in AXES)
            if rows and rows == columns:
                yield (
                    f"{' '.join(given)}: the rows and the columns would both be {rows}, and each run in one of them has"
                    " no other place."
                )

    def _no_order(self, tables: Sequence[Table]) -> Iterator[str]:
        for name, values in (self.table.get("order") or {}).items():
            said = f"{self.said['order']}: {name}"
            both = [
                (OTHER[axis] if table.spec["swap"] else axis, table.spec[axis], getattr(table, axis))
                for table in tables
                for axis in AXES
            ]
            axes = [((axis, given.get("key"), given.get("label")), entries) for axis, given, entries in both]
            labels = list(dict.fromkeys(entry.label for names, entries in axes if name in names for entry in entries))
            if not labels:
                known = dict.fromkeys(each for names, _ in axes for each in names if each)
                yield f"{said}: it is neither rows nor columns. There are {listed(known)}.{closest(name, known)}"
                continue
            there = set(map(comparable, labels))
            for value in values:
                if comparable(label(value)) not in there:
                    yield (
                        f"{said}: there is no {label(value)!r}.{closest(label(value), labels)} There are"
                        f" {listed(map(in_shell, labels), value)}."
                    )

    def _not_measured(self, there: Measured, labels: Sequence[str]) -> Iterator[str]:
        if "metric" in self.table and (problem := there.metric_problem(self.table["metric"])):
            yield f"{self.said['metric']}: {problem}"
        for place, name, measure in measures_of(self.table):
            if problem := there.metric_problem(measure["metric"], measure.get("where") or ()):
                yield f"{self.said[place.removeprefix('table.')]}: {name}: {measure['metric']}: {problem}"
        for spec in self._all_figures:
            if problem := there.figure_problem(spec, labels):
                yield f"{self._named(spec)}: {problem}"

    def _named(self, spec: Mapping[str, Any]) -> str:
        """The words that gave a figure."""
        return f"--figure {spec['kind']}" if spec in self.figures else f"{self.said['figures']}, {figure_file(spec)}"


NOTHING = Changes()


def typed(table: Any, words: Iterable[str]) -> Changes:
    """A composed table as changes, where an override sets something in it; it passes the plan's checks."""
    return Changes(table) if isinstance(table, Mapping) and any(map(types_table, words)) else NOTHING


def given(table: Mapping[str, Any]) -> Changes:
    """The changes of a mapping with the keys of a table; raises UserError with all its errors."""
    if problems := description_problems(table):
        raise UserError("\n".join(problems))
    return Changes(table, said={key: f"table.{key}" for key in table})


# the default is never written to
def read(file: Path | None, words: Mapping[str, Any] = {}) -> Changes:
    """The changes of a file and of the command line's options; raises UserError with all their errors.

    words: metric, rows, columns, title, baseline, rule: a text or None; swap: true or false; order, where, figure,
    note: lists of texts; a missing option changes nothing. The baseline and the rule are only named in the remark.
    """
    table = {} if file is None else _table_of(file)
    said = {key: f"{file}: table.{key}" for key in table}
    problems = [f"{file}: {problem}" for problem in description_problems(table)]
    typed_keys: dict[str, Any] = {key: words[key] for key in ("metric", "title") if words.get(key) is not None}
    typed_keys |= {axis: axis_of(words[axis]) for axis in AXES if words.get(axis) is not None}
    said |= {key: f"--{key} {words[key]}" for key in typed_keys}
    problems += _empty(words)
    typed_keys = {key: value for key, value in typed_keys.items() if words[key].strip()}
    if words.get("swap"):
        typed_keys, said = {**typed_keys, "swap": True}, {**said, "swap": "--swap"}
    problems += [f"--{problem.removeprefix('table.')}" for problem in table_problems(typed_keys).values()]
    order, where, figures = [], [], []
    for flag, parse, parsed in (("order", _values, order), ("where", _values, where), ("figure", _figure, figures)):
        for text in words.get(flag, ()):
            try:
                parsed.append(parse(text))
            except ValueError as error:
                problems.append(f"--{flag} {text}: {error}")
    if problems:
        raise UserError("\n".join(problems))
    if order:
        typed_keys["order"] = {**(table.get("order") or {}), **dict(order)}
        said["order"] = f"--order {' --order '.join(words['order'])}"
    parts = [f"{file} ({', '.join(table)})"] if table else []
    flags = [
        f"--{key}"
        for key in (*typed_keys, *(name for name in ("figure", "note", "baseline", "rule") if words.get(name)))
    ]
    parts += [f"the command line ({', '.join(flags)})"] if flags else []
    remark = f"Of this table's description, these parts are from {' and '.join(parts)}." if parts else ""
    return Changes({**table, **typed_keys}, figures, words.get("note", ()), where, said, remark)


def _empty(words: Mapping[str, Any]) -> Iterator[str]:
    """The errors of empty options of the command line."""
    for key, expected in _EXPECTED.items():
        given = words.get(key)
        for text in given if isinstance(given, list) else [given]:
            if text is not None and not text.strip():
                yield f"--{key} {in_shell(text)}: it is empty; {expected} was expected"


def _table_of(file: Path) -> dict[str, Any]:
    """The keys of a table in a YAML file, below `table:` or at its root."""
    try:
        content = parse_yaml(text := read_text(file))
        if problem := repeated_key(text):
            raise UserError(f"--table {file}: {problem}")
    except OSError as error:
        beside = [path.name for path in file.parent.glob("*.y*ml")] if file.parent.is_dir() else []
        raise UserError(
            f"--table {file}: cannot be read ({error.strerror or error}).{closest_path(file, beside)}"
        ) from error
    except ValueError as error:
        raise UserError(f"--table {file}: cannot be read ({error})") from error
    table = content.get("table", content) if isinstance(content, dict) else content
    if isinstance(table, dict):
        blocks = [key for key, value in table.items() if key not in DEFAULTS and isinstance(value, dict)]
        if meant := [key for key in blocks if resembling(key, ("table", *DEFAULTS)) == ["table"]]:
            raise UserError(f"{file}: it has no key {meant[0]!r}. Did you mean 'table'?")
    if not isinstance(table, dict):
        raise UserError(
            f"--table {file}: it holds {shown(table)}; a mapping with the keys of a table was expected:"
            f" {', '.join(DEFAULTS)}"
        )
    return table


def _values(text: str) -> tuple[str, list[Any]]:
    """A name and its values, as in mix=none,mixup.

    Quotes keep a value with commas together, and null is None.
    """
    name, equals, values = text.partition("=")
    words = next(csv.reader([values], skipinitialspace=True), [])
    if not (name and equals and words):
        raise ValueError("it needs a name and values, as in mix=none,mixup")
    return name.strip(), [None if word.strip() == "null" else word.strip() for word in words]


def _figure(text: str) -> dict[str, Any]:
    """A figure as in curves:y=train_loss,by=rows; values are YAML.

    A dot leads into a mapping, as in where.size=minority.
    """
    kind, _, options = text.partition(":")
    spec: dict[str, Any] = {"kind": kind}
    parts = _OPTION.findall(options)
    if ",".join(parts) != options:
        raise ValueError("its commas, brackets or quotes do not go together; options are NAME=VALUE,NAME=VALUE")
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} is not an option; options are NAME=VALUE")
        outer, dot, inner = name.strip().partition(".")
        parsed = parse_yaml(value)
        spec[outer] = {**(spec.get(outer) or {}), inner: parsed} if dot else parsed
    if problem := figure_problem(spec):
        raise ValueError(problem.removeprefix(f"figure {kind}: "))
    return spec


def _key(table: Mapping[str, Any], axis: str) -> Any:
    given = table.get(axis)
    return given.get("key") if isinstance(given, Mapping) else None


def _no_value(key: str, value: Any, runs: Iterable[Run]) -> str:
    """The error of a value that none of some runs has."""
    names = list(dict.fromkeys(label(lookup(run.config, key)) for run in runs if run.config))
    return (
        f"--where {key}={label(value)}: no run has this value. There are"
        f" {listed(names, label(value))}.{closest(label(value), names)}"
    )


def _unknown(said: str, key: str, runs: Sequence[Run]) -> str:
    """The error of a setting that no run has a value for, with the settings in which the runs differ."""
    differing = [name for name in varying(runs, (*CIRCUMSTANCES, *REPEATS)) if not name.endswith("_target_")]
    known = dict.fromkeys([*differing, *(name for run in runs for name in run.settings)])
    there = f"The runs differ in {listed(differing, key)}." if differing else f"There are {listed(known, key)}."
    return f"{said}: no run has a value of {key!r}.{closest(key, known)} {there}"


def check_files(tables: Sequence[Table], folders: Sequence[Path], changed: Collection[str]) -> None:
    """Raise UserError where every table has a metric, from an experiment's file, that finished runs do not write.

    Else it is a remark, as is a label of the order that no row or column has: its runs may be yet to come. What a probe
    or a held-out part measures may also be missing from runs that were narrowed. changed: the keys of tables that the
    reader has changed, which count no more.
    """
    wrong: list[list[str]] = []
    for table in tables:
        names = dict.fromkeys(name for run in table.runs if plain_name(name := lookup(run.config, "experiment")))
        files = [name for name in names if experiment_file(name, folders)]
        typed_too = any(types_table(str(run.environment.get("command", ""))) for run in table.runs)
        wrong.append([])
        if not files or typed_too or not any(run.outcome == "finished" and run.metrics for run in table.runs):
            continue
        own = [] if "metric" in changed else ["metric"]
        own += [] if {"rows", "columns", "order"} & set(changed) else ["order"]
        keys = {key: table.spec[key] for key in own if table.spec.get(key)}
        of_file = Changes(keys, said={key: f"experiment {files[0]}: table.{key}" for key in keys})
        if not table.measures and not str(table.spec["metric"]).startswith(("probe.", "val_")):
            wrong[-1] += of_file._not_measured(_measured(table.runs), ())
        table.remarks.extend(of_file._no_order([table]))
    if all(wrong):
        raise UserError("\n".join(dict.fromkeys(problem for problems in wrong for problem in problems)))
    for table, problems in zip(tables, wrong, strict=True):
        table.remarks.extend(problems)


def _measured(runs: Iterable[Run]) -> Measured:
    """The measures that some runs have left."""
    metrics: dict[str, None] = {}
    probes: dict[str, tuple[str, ...]] = {}
    matrices = False
    for run in runs:
        metrics |= dict.fromkeys(run.metrics)
        matrices = matrices or (run.folder / "confusion.csv").exists()
        for path in run.folder.glob("probe_*.csv"):
            if (file := path.stem.removeprefix("probe_")) not in probes:
                # an unreadable file; another run may have a readable one
                with contextlib.suppress(UserError):
                    probes[file] = tuple(run.probe(file, ())[0])
    return Measured(tuple(metrics), probes, matrices)
