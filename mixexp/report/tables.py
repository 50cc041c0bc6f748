"""Runs to a table: which cell a run belongs to, its score by each selection rule, and the table as Markdown and rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest
from mixexp.report.load import CIRCUMSTANCES, REPEATS, Run, canonical, flatten, lookup, varying

RULES = {
    "last": "last evaluation",
    "median_last_10": "median of the last 10 evaluations",
    "best": "best on test",
    "best_validation": "at the best validation accuracy",
}
STATISTICS = {"mean": "mean ± sd over seeds (number of runs)", "median": "median [min–max] over seeds (number of runs)"}
UNSET = "–"
_DEFAULTS: dict[str, Any] = {
    "title": "", "source": "", "metric": "accuracy", "scale": 100, "decimals": 2, "better": "higher", "rule": "last",
    "statistic": "mean", "rows": {}, "columns": {}, "published": {}, "notes": [], "figures": [],
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One row or one column: its label and the conditions, dotted key to value, that a run meets to be in it.

    measure: what is shown of the runs where that is not the table's metric: metric, and perhaps rule, where and better.
    """

    label: str
    conditions: dict[str, Any]
    measure: Mapping[str, Any] | None = None

    def holds(self, run: Run) -> bool:
        """Whether the run meets every condition."""
        return all(run.setting(key) == value for key, value in self._wanted.items())

    @cached_property
    def _wanted(self) -> dict[str, Any]:
        return {key: canonical(value) for key, value in self.conditions.items()}


@dataclass(frozen=True)
class Table:
    """Runs sorted into rows × columns; ``cells`` holds only runs with a result, ``scores`` their numbers in displayed units."""

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

    def values(self, row: str, column: str, rule: str | None = None) -> list[float]:
        """The scores of a cell, one a run, in displayed units."""
        name = row if row in self.measures else column
        if name in self.measures:
            rule = self.measures[name].get("rule") or rule
        scores = [self._scores_of(run, name).get(rule or self.rule) for run in self.cells.get((row, column), [])]
        return [score for score in scores if score is not None]

    def _scores_of(self, run: Run, name: str) -> dict[str, float]:
        return self.measured[run.folder].get(name, {}) if name in self.measures else self.scores[run.folder]

    @cached_property
    def measures(self) -> dict[str, Mapping[str, Any]]:
        """The rows or columns that show another quantity than the table's metric, by their labels."""
        return {entry.label: entry.measure for entry in (*self.rows, *self.columns) if entry.measure is not None}

    @cached_property
    def rules(self) -> list[str]:
        """The selection rules for which there is a number: best_validation only where a part was held out."""
        return [rule for rule in RULES if any(rule in scores for scores in self.scores.values()) or rule != "best_validation"]

    @cached_property
    def unlike(self) -> set[tuple[str, str]]:
        """The cells whose runs differ in more than their seed."""
        return {place for place, members in self.cells.items() if varying(members, (*CIRCUMSTANCES, *REPEATS))}

    def published(self, row: str, column: str) -> float | None:
        """The value the source gives for a cell, in displayed units."""
        return _find(_find(self.spec["published"], column, {}), row)

    @property
    def unit(self) -> str:
        """The metric with its unit, as headings and axes print it."""
        return "as labelled" if self.measures else unit(self.spec, self.spec["metric"])


def build_tables(runs: list[Run], rule: str | None = None, name: str = "runs") -> list[Table]:
    """One table for each title and protocol among the runs; runs without a table form one of their own, headed ``name``.

    Runs that departed from their experiment in different ways are unlike, so each protocol has its own table, the full-size one
    first. Runs whose configuration or environment cannot be read may belong to any table and are listed in all of them.
    """
    if rule is not None and rule not in RULES:
        raise UserError(f"rule is {rule!r}; {', '.join(RULES)} are known.{closest(rule, RULES)}")
    groups: dict[str, dict[str, list[Run]]] = {}
    known = [run for run in runs if run.config and run.environment]
    for run in known:
        groups.setdefault(str(run.table.get("title") or ""), {}).setdefault(_protocol(run), []).append(run)
    lost = [run for run in runs if not (run.config and run.environment)]
    if not groups:
        return [build_table(lost, rule, name)]
    tables = []
    for title, protocols in groups.items():
        for protocol in sorted(protocols):
            suffix = f" (reduced: {protocol})" if protocol and len(protocols) > 1 else ""
            tables.append(build_table(protocols[protocol] + lost, rule, f"{title or name}{suffix}"))
    return tables


def _protocol(run: Run) -> str:
    """What a run used instead of its experiment's values, apart from the keys that the table's own rows and columns show."""
    shown: set[str] = set()
    for axis in (run.table.get("rows"), run.table.get("columns")):
        if isinstance(axis, Mapping):
            shown.add(str(axis.get("key")))
            values = axis.get("values")
            conditions = values.values() if isinstance(values, Mapping) else ()
            shown |= {str(key) for one in conditions if isinstance(one, Mapping) for key in one}
    differences = run.environment.get("differs_from_experiment")
    pairs = differences.items() if isinstance(differences, Mapping) else ()
    return ", ".join(
        f"{key} {label(pair[0] if isinstance(pair, list) and pair else pair)}" for key, pair in pairs if key not in shown
    )


def build_table(runs: list[Run], rule: str | None = None, title: str = "runs") -> Table:
    """The table that these runs describe, or one of the configurations that differ where they describe none."""
    spec, remarks = _complete(runs, title)
    rows, columns = (_entries(spec, axis, runs) for axis in ("rows", "columns"))
    measures = {entry.label: entry.measure for entry in (*rows, *columns) if entry.measure is not None}
    scores: dict[Path, dict[str, float]] = {}
    measured: dict[Path, dict[str, dict[str, float]]] = {}
    without_result: list[tuple[Run, str, str]] = []
    for run in runs:
        found, problem = _score(run, spec) if run.outcome == "finished" else ({}, run.problem)
        if found and measures:
            pairs = {name: _score(run, _spec_of(spec, measure), measure.get("where")) for name, measure in measures.items()}
            measured[run.folder] = {name: figures for name, (figures, _) in pairs.items()}
            if not any(measured[run.folder].values()):
                problem = next(text for _, text in pairs.values())
        if problem or not found:
            without_result.append((run, run.outcome if run.outcome != "finished" else "no number", problem))
        else:
            scores[run.folder] = found
    order = ["failed", "diverged", "no number", "damaged", "unfinished"]
    without_result.sort(key=lambda entry: order.index(entry[1]))
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in (run for run in runs if run.folder in scores):
        for place in ((row.label, column.label) for row in rows for column in columns if row.holds(run) and column.holds(run)):
            cells.setdefault(place, []).append(run)
    placed = {run.folder for members in cells.values() for run in members}
    unmatched = [run for run in runs if run.folder in scores and run.folder not in placed]
    chosen = rule or spec["rule"]
    remarks = remarks + _pooled(cells)
    return Table(spec, chosen, rows, columns, runs, cells, scores, without_result, unmatched, remarks, measured)


def _spec_of(spec: Mapping[str, Any], measure: Mapping[str, Any]) -> dict[str, Any]:
    """The table's description for one of its measures: each has its own metric, and losses are shown as they are."""
    metric = measure["metric"]
    return {**spec, "metric": metric, "better": measure.get("better") or better(spec, metric), "scale": measure.get("scale", scale(spec, metric))}


def table_problems(spec: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a ``table:`` block, a sentence for each key of it that is; empty when nothing is."""
    problems = {str(key): f"table has no key {key!r}.{closest(key, _DEFAULTS)}" for key in spec if key not in _DEFAULTS}
    for key, allowed in (("rule", RULES), ("statistic", STATISTICS), ("better", ("higher", "lower"))):
        if key in spec and spec[key] not in allowed:
            problems[key] = f"table.{key} is {spec[key]!r}; {', '.join(allowed)} are known.{closest(spec[key], allowed)}"
    for axis in ("rows", "columns"):
        given = spec.get(axis) if isinstance(spec.get(axis), Mapping) else {}
        keyed = isinstance(given.get("key"), str)
        explicit = [name for name in ("values", "measures") if _mapping_of_mappings(given.get(name))]
        if keyed + len(explicit) != 1:
            problems[axis] = (
                f"table.{axis} needs either a key (a dotted key), values (a label and its conditions each) or measures (a label and "
                "its metric each)."
            )
        elif explicit == ["measures"]:
            problems |= {axis: problem for problem in map(_measure_problem, given["measures"].values()) if problem}
    if all("measures" in (spec.get(axis) or {}) for axis in ("rows", "columns")):
        problems["columns"] = "table.rows and table.columns both have measures; one of them can."
    published = spec.get("published") or {}
    if not isinstance(published, Mapping) or not all(isinstance(column, Mapping) for column in published.values()):
        problems["published"] = "table.published needs, for each column, the rows and their values."
    elif not all(isinstance(value, int | float | None) for column in published.values() for value in column.values()):
        problems["published"] = "table.published has a value that is not a number."
    kinds: list[tuple[Any, str, list[str]]] = [(int | float, "a number", ["scale"]), (int, "a whole number", ["decimals"])]
    kinds += [(str, "text", ["metric"]), (list, "a list", ["notes", "figures"])]
    for kind, words, keys in kinds:
        for key in keys:
            if spec.get(key) is not None and not isinstance(spec[key], kind):
                problems[key] = f"table.{key} is {spec[key]!r}, which is not {words}."
    return problems


def _mapping_of_mappings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(inner, Mapping) for inner in value.values())


def _measure_problem(measure: Mapping[str, Any]) -> str:
    """What is wrong with one of an axis's measures, empty when nothing is."""
    known = ("metric", "rule", "where", "better", "scale")
    strange = [key for key in measure if key not in known]
    if strange:
        return f"a measure has no key {strange[0]!r}.{closest(strange[0], known)}"
    if not isinstance(measure.get("metric"), str):
        return "a measure needs a metric: a column of metrics.csv, error, or probe.<file>.<column>."
    for key, allowed in (("rule", RULES), ("better", ("higher", "lower"))):
        if key in measure and measure[key] not in allowed:
            return f"a measure's {key} is {measure[key]!r}; {', '.join(allowed)} are known.{closest(measure[key], allowed)}"
    return ""


def select(values: list[float], rule: str, better: str, held_out: Sequence[float] = ()) -> float:
    """The one number of a run, from its evaluations in order, by a selection rule; held_out: their validation accuracies."""
    if rule == "best_validation":
        return values[held_out.index(max(held_out))]
    if rule == "last":
        return values[-1]
    if rule == "median_last_10":
        return statistics.median(values[-10:])
    return max(values) if better == "higher" else min(values)


def centre(values: list[float], statistic: str) -> float:
    """The mean or the median of the runs of a cell."""
    return statistics.fmean(values) if statistic == "mean" else statistics.median(values)


def band(values: list[float], statistic: str) -> tuple[float, float]:
    """How far the spread reaches below and above the centre: the sample standard deviation, or the smallest and largest."""
    if len(values) < 2:
        return 0.0, 0.0
    if statistic == "mean":
        deviation = statistics.stdev(values)
        return deviation, deviation
    middle = statistics.median(values)
    return middle - min(values), max(values) - middle


def unit(spec: Mapping[str, Any], metric: str) -> str:
    """The metric with its unit: fractions are shown in per cent where the table's scale is 100."""
    factor = scale(spec, metric)
    name = metric.rpartition(".")[2].replace("_", " ").replace("f1", "F1")
    return name if factor == 1 else f"{name} (%)" if factor == 100 else f"{name} (× {factor:g})"


def scale(spec: Mapping[str, Any], metric: str) -> float:
    """The factor for display; losses other than the table's own metric are shown as they are."""
    return spec["scale"] if metric == spec["metric"] or not metric.endswith("loss") else 1


def markdown(table: Table) -> str:
    """The report as Markdown: what is reduced or missing first, then the headline table, then all three rules."""
    spec = table.spec
    parts = [f"# {_plain(spec['title'])}"]
    if spec["source"]:
        parts.append(f"Compared with: {_plain(spec['source'])}")
    parts += [f"**Reduced: {_plain(reduced)}**"] if (reduced := reductions(table.runs)) else []
    parts += [_census(table), *_missing(table), *_stray(table)]
    parts += [f"## {table.unit}, {RULES[table.rule]}, {STATISTICS[spec['statistic']]}", _headline(table)]
    if table.rule != spec["rule"]:
        parts.append(f"The comparison selects by {RULES[spec['rule']]}; the numbers above are by {RULES[table.rule]}.")
    if table.rule == "best":
        parts.append(
            "Best on test chooses the evaluation by the test set itself and so flatters every run; compare the rules below."
        )
    parts += [f"## The selection rules side by side: {table.unit}, {STATISTICS[spec['statistic']]}", _three_rules(table)]
    notes = [*spec["notes"], *table.remarks]
    if notes:
        parts += ["## Notes", "\n".join(f"- {_plain(note)}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def tidy(table: Table) -> list[dict[str, Any]]:
    """One record for each cell and rule, in displayed units; ``spread`` is the sd, or max − min beside a median."""
    records = []
    for row, column in ((row.label, column.label) for row in table.rows for column in table.columns):
        published = table.published(row, column)
        for rule in table.rules:
            values = table.values(row, column, rule)
            measure = table.measures.get(row) or table.measures.get(column) or {}
            if measure.get("rule", rule) != rule:  # it has one rule, and no other number
                continue
            record: dict[str, Any] = {"row": row, "column": column, "rule": rule, "metric": measure.get("metric", table.spec["metric"])}
            ours = centre(values, table.spec["statistic"]) if values else None
            below, above = band(values, table.spec["statistic"])
            spread = None if len(values) < 2 else below if table.spec["statistic"] == "mean" else below + above
            difference = None if ours is None or published is None else ours - published
            record |= {"ours": ours, "spread": spread, "n": len(values), "published": published, "difference": difference}
            record |= {"statistic": table.spec["statistic"], "min": min(values, default=None), "max": max(values, default=None)}
            if values or published is not None:
                records.append({key: _rounded(value, table.spec) for key, value in record.items()})
    return records


def run_records(table: Table) -> list[dict[str, Any]]:
    """One record for each run: the keys that vary, how it ended, its score by each rule, its seconds and its folder."""
    keys = [key for key in varying(table.runs, (*CIRCUMSTANCES, *REPEATS)) if not _told_by_group(key, table.runs)] + list(REPEATS)
    reasons = {run.folder: (outcome, problem) for run, outcome, problem in table.without_result}
    records = []
    for run in table.runs:
        outcome, problem = reasons.get(run.folder, (run.outcome, ""))
        scores = {
            f"{table.spec['metric']}_{rule}": _rounded(table.scores.get(run.folder, {}).get(rule), table.spec)
            for rule in table.rules
        }
        settings = {key: lookup(run.config, key) for key in keys}
        measured = table.measured.get(run.folder, {})
        scores |= {
            name: _rounded(measured.get(name, {}).get(measure.get("rule") or table.rule), table.spec)
            for name, measure in table.measures.items()
        }
        ending = {"seconds": run.result.get("seconds"), "folder": run.folder.name, "problem": problem}
        records.append(settings | {"outcome": outcome} | scores | ending)
    return records


def reductions(runs: Iterable[Run]) -> str:
    """What the runs used instead of their experiment's own values, empty when all are full size."""
    known = [run for run in runs if run.environment]
    used: dict[tuple[str, str], dict[str, int]] = {}
    for run in known:
        differences = run.environment.get("differs_from_experiment")
        for key, pair in differences.items() if isinstance(differences, Mapping) else ():
            value, full = pair if isinstance(pair, list) and len(pair) == 2 else (pair, "the experiment's")
            counts = used.setdefault((key, label(full)), {})
            counts[label(value)] = counts.get(label(value), 0) + 1
    texts = []
    for (key, full), counts in used.items():
        touched = sum(counts.values())
        part = "" if touched == len(known) else f" (in {touched} of {len(known)} runs)"
        texts.append(f"{key} {' or '.join(counts)} instead of {full}{part}")
    return "; ".join(texts)


def label(value: Any) -> str:
    """A configuration value as the tables print it."""
    return UNSET if value is None else str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())


def _complete(runs: list[Run], title: str) -> tuple[dict[str, Any], list[str]]:
    """The runs' table with defaults for what it leaves out or has wrong, and a remark for each such repair."""
    described = [run for run in runs if run.table]
    if not described:
        return {**_DEFAULTS, **_of_differences(runs), "title": title}, []
    # The experiment file may have been edited between two sweeps; its latest state counts.
    newest = max(described, key=lambda run: (run.folder / "config.yaml").stat().st_mtime)
    problems = table_problems(newest.table)
    remarks = [
        f"{problem} {'The default stands in.' if key in _DEFAULTS else 'It is ignored.'}" for key, problem in problems.items()
    ]
    if any(run.table != newest.table for run in described):
        remarks.append("The runs carry different versions of this table's description; the newest is used.")
    sound = {key: value for key, value in newest.table.items() if key not in problems and value is not None}
    fallback = _of_differences(runs) if {"rows", "columns"} & set(problems) else {}
    spec = {**_DEFAULTS, **fallback, "figures": [], **sound, "title": title}
    for axis in ("rows", "columns"):
        key = spec[axis].get("key")
        if key and all(lookup(run.config, key) is None for run in described):
            known = [name for run in described for name in flatten(run.config)]
            remarks.append(f"table.{axis}.key is {key!r}, which no run has a value for.{closest(key, known)}")
    return spec, remarks


def _of_differences(runs: list[Run]) -> dict[str, Any]:
    """Rows for runs of no table: every distinct setting, named by the fewest keys that tell them all apart."""
    known = [run for run in runs if run.config]
    keys: list[str] = []
    distinct = 1
    for key in varying(known, (*CIRCUMSTANCES, *REPEATS)):
        # A key that the earlier ones determine (an option's own parameters) would only repeat them.
        count = len({tuple(canonical(lookup(run.config, kept)) for kept in (*keys, key)) for run in known})
        if count > distinct:
            keys, distinct = [*keys, key], count
    settings = [{key: lookup(run.config, key) for key in keys} for run in known]
    named = {", ".join(f"{key}={label(value)}" for key, value in one.items()) or "all runs": one for one in settings}
    rows = {"label": keys[0], "key": keys[0]} if len(keys) == 1 else {"label": "setting", "values": dict(sorted(named.items()))}
    metric = _usual_metric(known)
    curves = {"file": "curves", "kind": "curves", "y": ["train_loss", metric], "by": "rows", "each": "columns"}
    scale = 100 if metric == "accuracy" else 1
    return {"metric": metric, "scale": scale, "rows": rows, "columns": {"label": "metric", "values": {metric: {}}}, "figures": [curves]}


def _usual_metric(runs: Iterable[Run]) -> str:
    """Accuracy, or where runs measure none, the first figure that is no loss."""
    columns = dict.fromkeys(name for run in runs for name in run.metrics)
    others = [name for name in columns if name not in ("step", "epoch", "lr", "seconds") and not name.endswith("loss")]
    return "accuracy" if "accuracy" in columns or not others else others[0]


def _entries(spec: Mapping[str, Any], axis: str, runs: list[Run]) -> list[Entry]:
    if "measures" in spec[axis]:
        return [Entry(label(name), {}, measure) for name, measure in spec[axis]["measures"].items()]
    if "values" in spec[axis]:
        return [Entry(label(name), dict(conditions)) for name, conditions in spec[axis]["values"].items()]
    key = spec[axis]["key"]
    published = spec["published"]
    named = list(published) if axis == "columns" else [row for column in published.values() for row in column]
    # What the source reports and no run has yet is a gap to be seen; runs come first, so that their spelling is the label.
    values = [lookup(run.config, key) for run in runs if run.config] + [None if name == UNSET else name for name in named]
    distinct: dict[Any, Any] = {}
    for value in values:
        distinct.setdefault(canonical(value), value)
    return [Entry(label(distinct[value]), {key: distinct[value]}) for value in sorted(distinct, key=_order)]


def _told_by_group(key: str, runs: Iterable[Run]) -> bool:
    """Whether a group's chosen option alone tells what the key, a setting of that group, is."""
    group = key.split(".")[0]
    pairs = {(canonical(lookup(run.config, group)), canonical(lookup(run.config, key))) for run in runs if run.config}
    return key != group and len(pairs) == len({option for option, _ in pairs})


def _order(value: Any) -> tuple[int, float, str]:
    return (2, 0.0, "") if value is None else (0, value, "") if isinstance(value, float) else (1, 0.0, value)


def runs_of(table: Table, one: Entry, other: Entry | None = None) -> list[Run]:
    """The runs in the table's cells that meet the conditions of one entry, or of two; each once."""
    placed = {run.folder: run for members in table.cells.values() for run in members}
    return [run for run in placed.values() if one.holds(run) and (other is None or other.holds(run))]


def better(spec: Mapping[str, Any], metric: str) -> str:
    """Which of two values of a metric is better, where the table does not say it: the smaller loss or error."""
    if metric == spec["metric"]:
        return spec["better"]
    return "lower" if metric.endswith(("loss", "error")) else "higher"


def _score(run: Run, spec: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> tuple[dict[str, float], str]:
    metric = spec["metric"]
    try:
        measured = [value for value in run.series(metric, where) if value is not None]
    except UserError as error:
        return {}, str(error)
    if not measured:
        return {}, f"metrics.csv has no value of {metric}"
    if not all(map(math.isfinite, measured)):
        return {}, f"{metric} is not a finite number in {sum(not math.isfinite(value) for value in measured)} evaluations"
    held_out = [value for value in run.metrics.get("val_accuracy", []) if value is not None]
    rules = [rule for rule in RULES if rule != "best_validation" or len(held_out) == len(measured)]
    factor = scale(spec, metric)
    return {rule: factor * select(measured, rule, spec["better"], held_out) for rule in rules}, ""


def _pooled(cells: Mapping[tuple[str, str], list[Run]]) -> list[str]:
    """A warning where runs that differ in more than their seed share a cell: their mean is of unlike things."""
    mixed: dict[tuple[str, ...], list[str]] = {}
    for (row, column), members in cells.items():
        differing = tuple(varying(members, (*CIRCUMSTANCES, *REPEATS)))
        if differing:
            mixed.setdefault(differing, []).append(f"{row} / {column}")
    return [f"Unlike runs share a cell: they differ in {', '.join(keys)} ({'; '.join(where)})." for keys, where in mixed.items()]


def _find(mapping: Mapping[Any, Any], name: str, default: Any = None) -> Any:
    wanted = canonical(name)
    return next((value for key, value in mapping.items() if canonical(label(key)) == wanted), default)


def _rounded(value: Any, spec: Mapping[str, Any]) -> Any:
    # Binary fractions times 100 leave digits that mean nothing; four beyond the displayed ones are kept.
    return round(value, spec["decimals"] + 4) if isinstance(value, float) else value


def _cell(values: list[float], spec: Mapping[str, Any]) -> str:
    if not values:
        return ""
    middle = _shown(centre(values, spec["statistic"]), spec)
    if len(values) == 1:
        return f"{middle} (1)"
    if spec["statistic"] == "mean":
        return f"{middle} ± {_shown(statistics.stdev(values), spec)} ({len(values)})"
    return f"{middle} [{_shown(min(values), spec)}–{_shown(max(values), spec)}] ({len(values)})"


def _place_cell(table: Table, row: str, column: str, rule: str) -> str:
    """A cell's text; runs that differ in more than their seed have no common mean."""
    if (row, column) in table.unlike:
        return f"unlike runs ({len(table.cells[row, column])})"
    return _cell(table.values(row, column, rule), table.spec)


def _shown(value: float, spec: Mapping[str, Any]) -> str:
    return f"{value:.{spec['decimals']}f}"


def _plain(text: Any) -> str:
    """Text that can be neither markup nor a column break."""
    return escape(label(text), quote=False).replace("|", "\\|")


def _grid(header: list[str], rows: list[list[str]], left: int) -> str:
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _headline(table: Table) -> str:
    spec = table.spec
    compared = [any(table.published(row.label, column.label) is not None for row in table.rows) for column in table.columns]
    header = [_plain(spec["rows"].get("label", ""))]
    for column, has in zip(table.columns, compared, strict=True):
        header += [_plain(column.label)] + [f"{_plain(column.label)}, published"] * has
    rows = []
    for row in table.rows:
        cells = [_plain(row.label)]
        for column, has in zip(table.columns, compared, strict=True):
            published = table.published(row.label, column.label)
            cells += [_place_cell(table, row.label, column.label, table.rule)]
            cells += ["" if published is None else _shown(published, spec)] * has
        rows.append(cells)
    return _grid(header, rows, 1)


def _three_rules(table: Table) -> str:
    header = [_plain(table.spec[axis].get("label", "")) for axis in ("rows", "columns")] + [RULES[rule] for rule in table.rules]
    places = [(row.label, column.label) for row in table.rows for column in table.columns]
    rows = [
        [_plain(row), _plain(column), *(_place_cell(table, row, column, rule) for rule in table.rules)]
        for row, column in places
        if table.values(row, column)
    ]
    return _grid(header, rows, 2)


def _census(table: Table) -> str:
    devices = sorted({str(run.environment["device_name"]) for run in table.runs if run.environment.get("device_name")})
    on = f", on {_plain(', '.join(devices))}" if devices else ""
    return f"{len(table.scores)} of {len(table.runs)} runs have a result{on}."


def _missing(table: Table) -> list[str]:
    if not table.without_result:
        return []
    rows = [
        [outcome, _plain(run.folder.name), _place(table, run), _plain(problem)] for run, outcome, problem in table.without_result
    ]
    heading = f"## Without a result: {len(rows)} of {len(table.runs)} runs"
    return [heading, _grid(["outcome", "run", "belongs to", "why"], rows, 4)]


def _place(table: Table, run: Run) -> str:
    if not run.config:
        return ""
    places = [
        f"{row.label} / {column.label}" for row in table.rows for column in table.columns if row.holds(run) and column.holds(run)
    ]
    return _plain(f"{'; '.join(places) or 'no cell'}, seed {label(run.config.get('seed'))}")


def _stray(table: Table) -> list[str]:
    if not table.unmatched:
        return []
    keys = {key for axis in (table.rows, table.columns) for entry in axis for key in entry.conditions}
    named = [
        f"- {_plain(run.folder.name)} ({_plain(', '.join(f'{key}={label(lookup(run.config, key))}' for key in sorted(keys)))})"
        for run in table.unmatched
    ]
    return [f"## In no row or column: {len(named)} of {len(table.runs)} runs", "\n".join(named)]
