"""From a run's evaluations to its one number, and from the numbers of several runs to what a cell shows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from mixexp.metrics import FRACTIONS


def centre(values: list[float], statistic: str) -> float:
    """The mean or the median of the runs of a cell."""
    return statistics.fmean(values) if statistic == "mean" else statistics.median(values)


def band(values: list[float], statistic: str) -> tuple[float, float]:
    """How far the spread reaches below and above the centre: the sample standard deviation, or the smallest and largest."""
    if len(values) < 2:
        return 0.0, 0.0
    if statistic == "mean":
        return deviation(values), deviation(values)
    middle = statistics.median(values)
    return middle - min(values), max(values) - middle


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation of at least two values; the standard library's counts in fractions, which takes ten times as long."""
    centre = statistics.fmean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


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
    """Which of two values of a metric is better, where the table does not say it: the smaller loss or error."""
    if metric == spec["metric"]:
        return spec["better"]
    return "lower" if metric.endswith(("loss", "error")) else "higher"
