"""A run's number of a metric by each selection rule, by the table's metric or at the evaluation that this chose."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from mixexp.errors import UserError
from mixexp.metrics import RULES, select
from mixexp.spec.table import scale
from mixexp.training.reader import Run

LARGEST = 1e150
"""The magnitude from which a figure counts as infinite, since its square would overflow."""


def scored(run: Run, spec: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> tuple[dict[str, float], str]:
    """A run's number by each selection rule, in displayed units, or the reason for none.

    where: as for ``Run.series``.
    """
    metric = spec["metric"]
    series, problem = _sound(run, metric, where)
    if problem:
        return {}, problem
    measured, held_out = _numbers(series), _numbers(run.metrics.get("val_accuracy", []))
    rules = [rule for rule in RULES if rule != "best_validation" or len(held_out) == len(measured)]
    factor = scale(spec, metric)
    return {rule: factor * select(measured, rule, spec["better"], held_out) for rule in rules}, ""


def scored_beside(run: Run, spec: Mapping[str, Any], rule: str, table: Mapping[str, Any]) -> float | None:
    """A run's number of a metric at the evaluation that a rule chooses by the table's metric, in displayed units.

    table: the description with that metric, of which the run has a number by the rule. A median is of the last
    evaluations of each.
    """
    series, problem = _sound(run, spec["metric"])
    if problem:
        return None
    factor = scale(spec, spec["metric"])
    if rule not in ("best", "best_validation"):
        return factor * select(_numbers(series), rule, spec["better"])
    leading = run.series(table["metric"])
    if len(series) != len(leading):  # a probe's metric, which is not measured at every evaluation
        return None
    value = series[_chosen(run, leading, rule, table["better"])]
    return None if value is None else factor * value


def _chosen(run: Run, series: Sequence[float | None], rule: str, better: str) -> int:
    """The index of the evaluation that a rule chooses, the first among equal ones."""
    places = [place for place, value in enumerate(series) if value is not None]
    by = [value for value in (series if rule == "best" else run.metrics["val_accuracy"]) if value is not None]
    return places[by.index(select(by, "best", better if rule == "best" else "higher"))]


def _sound(run: Run, metric: str, where: Mapping[str, Any] | None = None) -> tuple[Sequence[float | None], str]:
    """A metric's values by evaluation, or the reason why they give no number."""
    try:
        series = run.series(metric, where)
    except UserError as error:
        return [], str(error)
    measured = _numbers(series)
    if not measured:
        return [], f"metrics.csv has no value of {metric}"
    if series[-1] is None:  # an earlier evaluation is not the last
        return [], f"{metric} has no value at the last evaluation"
    wild = [value for value in measured if not -LARGEST < value < LARGEST]
    if wild:
        return [], f"{metric} is not a finite number in {len(wild)} evaluations"
    return series, ""


def _numbers(series: Sequence[float | None]) -> Sequence[float]:
    """The values without the gaps."""
    return series if isinstance(series, array) else [value for value in series if value is not None]
