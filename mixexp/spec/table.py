"""The `table:` block of a configuration: its keys, and the errors of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixexp.errors import closest
from mixexp.metrics import FRACTIONS, RULES

STATISTICS = ("mean", "median")

DEFAULTS: dict[str, Any] = {
    "title": "", "source": "", "metric": "accuracy", "scale": 100, "decimals": 2, "better": "higher", "rule": "last",
    "statistic": "mean", "rows": {}, "columns": {}, "published": {}, "baseline": None, "notes": [], "figures": [],
}  # fmt: skip


def of_metric(metric: str) -> dict[str, Any]:
    """The description of a table of one metric and nothing else: fractions in per cent, losses and errors the lower the better."""
    fraction = metric in FRACTIONS
    lower = metric.endswith(("loss", "error"))
    scale, decimals = (100, 2) if fraction else (1, 4)
    return {**DEFAULTS, "metric": metric, "scale": scale, "decimals": decimals, "better": "lower" if lower else "higher"}


def unit(spec: Mapping[str, Any], metric: str) -> str:
    """The metric with its unit: fractions are shown in per cent where the table's scale is 100."""
    factor = scale(spec, metric)
    name = metric.rpartition(".")[2].replace("_", " ").replace("f1", "F1")
    return name if factor == 1 else f"{name} (%)" if factor == 100 else f"{name} (× {factor:g})"


def scale(spec: Mapping[str, Any], metric: str) -> float:
    """The factor for display: the table's for its own metric and for probes' measures, per cent for fractions, none for losses."""
    if metric == spec["metric"] or metric.startswith("probe."):
        return spec["scale"] if metric == spec["metric"] or not metric.endswith("loss") else 1
    return 100 if metric in FRACTIONS else 1 if metric.endswith("loss") else spec["scale"]


def better(spec: Mapping[str, Any], metric: str) -> str:
    """The better direction of a metric, "higher" or "lower": the table's, else lower for losses and errors."""
    if metric == spec["metric"]:
        return spec["better"]
    return "lower" if metric.endswith(("loss", "error")) else "higher"


def table_problems(spec: Mapping[str, Any], axes: bool = True) -> dict[str, str]:
    """The errors of a ``table:`` block, a sentence for each key with one.

    axes: whether it has to have rows and columns, as all but the part of it that a claim has do.
    """
    problems = {str(key): f"table has no key {key!r}.{closest(key, DEFAULTS)}" for key in spec if key not in DEFAULTS}
    for key, allowed in (("rule", RULES), ("statistic", STATISTICS), ("better", ("higher", "lower"))):
        if key in spec and (not isinstance(spec[key], str) or spec[key] not in allowed):
            problems[key] = f"table.{key} is {spec[key]!r}; {', '.join(allowed)} are known.{closest(spec[key], allowed)}"
    for axis in ("rows", "columns") if axes else ():
        given = spec.get(axis) if isinstance(spec.get(axis), Mapping) else {}
        keyed = isinstance(given.get("key"), str)
        explicit = [name for name in ("values", "measures") if _mapping_of_mappings(given.get(name))]
        if keyed + len(explicit) != 1:
            problems[axis] = (
                f"table.{axis} needs either a key (a dotted key), values (a label and its conditions each) or measures (a label and "
                "its metric each)."
            )
        elif explicit == ["measures"]:
            problems |= {axis: problem for problem in map(measure_problem, given["measures"].values()) if problem}
    if all("measures" in (spec.get(axis) or {}) for axis in ("rows", "columns")):
        problems["columns"] = "table.rows and table.columns both have measures; one of them can."
    published = spec.get("published") or {}
    if not isinstance(published, Mapping) or not all(isinstance(column, Mapping) for column in published.values()):
        problems["published"] = "table.published needs, for each column, the rows and their values."
    elif not all(value is None or number(value) for column in published.values() for value in column.values()):
        problems["published"] = "table.published has a value that is not a number."
    kinds: list[tuple[Any, str, list[str]]] = [(int | float, "a number", ["scale"]), (int, "a whole number", ["decimals"])]
    kinds += [(str, "text", ["metric", "baseline"]), (list, "a list", ["notes", "figures"])]
    for kind, words, keys in kinds:
        for key in keys:
            if spec.get(key) is not None and (not isinstance(spec[key], kind) or isinstance(spec[key], bool)):
                problems[key] = f"table.{key} is {spec[key]!r}, which is not {words}."
    if "decimals" not in problems and not 0 <= (spec.get("decimals") or 0) <= 12:
        problems["decimals"] = f"table.decimals is {spec['decimals']}; 0 to 12 can be shown."
    if "scale" not in problems and spec.get("scale") is not None and not (number(spec["scale"]) and spec["scale"]):
        problems["scale"] = f"table.scale is {spec['scale']!r}, by which no number can be multiplied."
    if "metric" not in problems and (problem := _metric_problem(spec.get("metric"))):
        problems["metric"] = problem
    return problems


def number(value: Any) -> bool:
    """True for a number whose sums and squares do not overflow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _metric_problem(metric: Any) -> str:
    incomplete = isinstance(metric, str) and metric.startswith("probe.") and metric.count(".") < 2
    return f"{metric}: a probe's measure is probe.<file>.<column>." if incomplete else ""


def _mapping_of_mappings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(inner, Mapping) for inner in value.values())


def measure_problem(measure: Mapping[str, Any]) -> str:
    """The error of one of an axis's measures or of a cell's; empty when there is none."""
    known = ("metric", "rule", "where", "better", "scale")
    strange = [key for key in measure if key not in known]
    if strange:
        return f"a measure has no key {strange[0]!r}.{closest(strange[0], known)}"
    if not isinstance(measure.get("metric"), str):
        return "a measure needs a metric: a column of metrics.csv, error, or probe.<file>.<column>."
    if problem := _metric_problem(measure["metric"]):
        return problem
    if measure.get("where") and not measure["metric"].startswith("probe."):
        return f"a measure's where chooses among a probe's rows, and {measure['metric']} is a column of metrics.csv, which has none to choose."
    if "scale" in measure and not (number(measure["scale"]) and measure["scale"]):
        return f"a measure's scale is {measure['scale']!r}, by which no number can be multiplied."
    for key, allowed in (("rule", RULES), ("better", ("higher", "lower"))):
        if key in measure and (not isinstance(measure[key], str) or measure[key] not in allowed):
            return f"a measure's {key} is {measure[key]!r}; {', '.join(allowed)} are known.{closest(measure[key], allowed)}"
    return ""
