"""The `table:` block of a configuration: its keys, and the errors of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixexp.metrics import FRACTIONS, NAMES, RULES
from mixexp.spec.keys import (
    CONDITIONS,
    ENTRIES,
    FACTOR,
    FLAG,
    LIST,
    LISTS,
    MAPPING,
    METRIC,
    SETTING,
    TEXT,
    Key,
    number,
    one_of,
    unknown,
    whole,
)

STATISTICS = ("mean", "median")
HIGHER = one_of("higher", "lower")
LOWER = ("loss", "error", ".ece", "_ece", ".nll", ".brier", ".aurc", ".fpr95")
"""Endings of the metrics of which a lower number is better."""
PARTS = {"train": "training", "val": "validation"}
"""The parts of the data that columns of metrics.csv refer to, in words; a column without a part is of the test set."""

KEYS = {
    "title": Key("", TEXT, "what the table is called; runs of the same title are in one table"),
    "source": Key("", TEXT, "what it is compared with, as a citation key and a place"),
    "metric": Key("accuracy", METRIC, "what is shown of each run"),
    "scale": Key(
        None,
        FACTOR,
        "the factor for display; without it, 100 for fractions, which are then in per cent, and 1 for others",
    ),
    "decimals": Key(None, whole(0, 12), "the digits behind the point; without it, 2 for fractions and 4 for others"),
    "better": Key(
        None,
        HIGHER,
        "the direction of a better number; lower for losses, errors, ece, nll, brier, aurc and fpr95 without it",
    ),
    "rule": Key("last", one_of(*RULES), f"the evaluation that counts for a run: {', '.join(RULES.values())}"),
    "statistic": Key(
        "mean", one_of(*STATISTICS), "what is shown of a cell's runs: mean ± sd, or median [smallest–largest]"
    ),
    "rows": Key({}, MAPPING, "the rows: a key, values or measures"),
    "columns": Key({}, MAPPING, "the columns, in the same way"),
    "order": Key(
        {},
        LISTS,
        "the order of rows and columns: rows, columns, or an axis's key or label, to its labels, of which others"
        " follow",
    ),
    "swap": Key(
        False,
        FLAG,
        "whether rows and columns change places, with their order, published numbers and figures; other keys call them"
        " as without it",
    ),
    "published": Key(
        {}, ENTRIES, "the source's numbers in displayed units: a column's label to a mapping of rows' labels to numbers"
    ),
    "baseline": Key(
        None,
        TEXT,
        "the label of the row or column that the others are compared with, or all for all pairs; without one, the"
        " setting without mixing that is else alike, and without that all pairs",
    ),
    "notes": Key([], LIST, "sentences below the table"),
    "figures": Key([], LIST, "figures beside those of every report; mixexp list figures names their kinds"),
}
"""The keys of a `table:` block."""
AXIS = {
    "label": Key(
        "",
        TEXT,
        "what the entries are values of, as headings and axes print it; without it, the key in words, such as training"
        " images for subset.n",
    ),
    "key": Key(
        None,
        SETTING,
        "a setting, such as mix or subset.n: an entry for each of its values among the runs, in their order",
    ),
    "values": Key(
        None,
        ENTRIES,
        "an entry's label to the settings that its runs have, such as {label-mix: {mix: mixup, alpha: 1}}",
    ),
    "measures": Key(
        None, ENTRIES, "an entry's label to what it shows of the same runs, such as {error: {metric: error}}"
    ),
}
"""The keys of rows and of columns, which have exactly one of key, values and measures."""
MEASURE = {
    "metric": Key("", METRIC, "what is shown", needed=True),
    "rule": Key(None, one_of(*RULES), "as of the table, whose rule stands without it"),
    "where": Key(None, CONDITIONS, "the rows of the probe's file that count, such as {layer: final}"),
    "better": Key(
        None,
        HIGHER,
        "the direction of a better number; lower for losses, errors, ece, nll, brier, aurc and fpr95 without it",
    ),
    "scale": Key(
        None, FACTOR, "the factor for display; that of the table for its own metric and for probes' measures without it"
    ),
    "compared": Key(
        True, FLAG, "whether settings are compared by it; one that is only shown takes no part in the tests"
    ),
}
"""The keys of one of an axis's measures."""
DEFAULTS: dict[str, Any] = {name: key.default for name, key in KEYS.items()}
FORMAT = ("scale", "decimals", "better")
"""The keys of a table whose defaults are the metric's."""
AXES = ("rows", "columns")
"""The keys of a table's axes."""


def completed(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table's description with the defaults of the keys that it leaves out or sets to null."""
    given = {name: value for name, value in table.items() if value is not None}
    metric = given.get("metric") or DEFAULTS["metric"]
    fraction, lower = metric in FRACTIONS, metric.endswith(LOWER)
    scale, decimals = (100, 2) if fraction else (1, 4)
    usual = dict(zip(FORMAT, (scale, decimals, "lower" if lower else "higher"), strict=True))
    return {**DEFAULTS, **usual, **given}


def of_metric(metric: str) -> dict[str, Any]:
    """The description of a table of a single metric: fractions in per cent; losses and errors are better lower."""
    return completed({"metric": metric})


def unusual(table: Mapping[str, Any]) -> str:
    """The format in which a table departs from its metric's, in a sentence; empty where numbers are as usual.

    A file that is edited for another metric may keep the format of the old one.
    """
    usual = of_metric(completed(table)["metric"])
    kept = {
        name: table[name]
        for name in ("scale", "better")
        if table.get(name) not in (None, usual[name]) and not usual["metric"].startswith("probe.")
    }
    if not kept:
        return ""
    has = " and ".join(f"table.{name} is {value}" for name, value in kept.items())
    other = ", ".join(f"{name}: {usual[name]}" for name in kept)
    return f"{has}, and for {usual['metric']} it is {other} as a rule; without these keys the rule holds."


def unit(spec: Mapping[str, Any], metric: str) -> str:
    """The metric with its unit, for headings of tables: fractions are in per cent where the table's scale is 100."""
    return _scaled(_words(metric), scale(spec, metric))


def quantity(spec: Mapping[str, Any], metric: str) -> str:
    """The metric with its unit and its part of the data, for axes of figures and captions, which stand alone."""
    return _scaled(of_part(metric), scale(spec, metric))


def of_part(metric: str) -> str:
    """A metric in words, with its part of the data: test accuracy, training loss, validation accuracy."""
    words = _words(metric)
    if metric in NAMES or metric == "error":
        return f"test {words}"
    part, _, rest = words.partition(" ")
    return f"{PARTS[part]} {rest}" if part in PARTS and rest and not metric.startswith("probe.") else words


def _words(metric: str) -> str:
    return metric.rpartition(".")[2].replace("_", " ").replace("f1", "F1")


def _scaled(words: str, factor: float) -> str:
    return words if factor == 1 else f"{words} (%)" if factor == 100 else f"{words} (× {factor:g})"


def scale(spec: Mapping[str, Any], metric: str) -> float:
    """The factor for display: the table's for its own metric and for probes' measures, else by the kind of metric.

    Fractions have the factor 100; losses, including those of probes, have 1.
    """
    if metric == spec["metric"] or metric.startswith("probe."):
        return spec["scale"] if metric == spec["metric"] or not metric.endswith("loss") else 1
    return 100 if metric in FRACTIONS else 1 if metric.endswith("loss") else spec["scale"]


def better(spec: Mapping[str, Any], metric: str) -> str:
    """The better direction of a metric, "higher" or "lower": the table's, else lower for those that LOWER names."""
    if metric == spec["metric"]:
        return spec["better"]
    return "lower" if metric.endswith(LOWER) else "higher"


def table_problems(spec: Mapping[str, Any]) -> dict[str, str]:
    """The errors of a ``table:`` block, a sentence for each key with one.

    Missing rows and columns come from the runs.
    """
    problems = {str(key): f"table {unknown(key, KEYS)}" for key in spec if key not in KEYS}
    for name, key in KEYS.items():
        if name in spec and (problem := key.values.problem(spec[name])):
            problems[name] = f"table.{name} is {spec[name]!r}{problem}"
    for axis in AXES:
        if spec.get(axis) and axis not in problems and (problem := _axis_problem(axis, spec[axis])):
            problems[axis] = problem
    if all(isinstance(spec.get(axis), Mapping) and "measures" in spec[axis] for axis in AXES):
        problems["columns"] = "table.rows and table.columns both have measures; one of them can."
    published = {} if "published" in problems else spec.get("published") or {}
    if not all(value is None or number(value) for column in published.values() for value in column.values()):
        problems["published"] = "table.published has a value that is not a number."
    return problems


def _axis_problem(axis: str, given: Mapping[str, Any]) -> str:
    """The error of rows or columns; empty when there is none."""
    for name, value in given.items():
        if name not in AXIS:
            return f"table.{axis} {unknown(name, AXIS)}"
        if problem := AXIS[name].values.problem(value):
            return f"table.{axis}.{name} is {value!r}{problem}"
    if sum(given.get(name) is not None for name in ("key", "values", "measures")) != 1:
        return (
            f"table.{axis} needs either a key (a dotted key), values (a label and its conditions each) or measures (a"
            " label and its metric each)."
        )
    return next(filter(None, map(measure_problem, (given.get("measures") or {}).values())), "")


def measure_problem(measure: Mapping[str, Any]) -> str:
    """The error of one of an axis's measures or of a cell's; empty when there is none."""
    for name, value in measure.items():
        if name not in MEASURE:
            return f"a measure {unknown(name, MEASURE)}"
        if problem := MEASURE[name].values.problem(value):
            return f"a measure's {name} is {value!r}{problem}"
    if not measure.get("metric"):
        return f"a measure needs a metric: {METRIC.words}."
    if measure.get("where") and not measure["metric"].startswith("probe."):
        return (
            f"a measure's where chooses among a probe's rows, and {measure['metric']} is a column of metrics.csv, which"
            " has none to choose."
        )
    return ""
