"""The measures of runs, with which a table's metrics and figures are compared, before and after training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixexp.errors import closest
from mixexp.spec.figures import KINDS, complete
from mixexp.spec.keys import COLUMN, METRIC, METRICS
from mixexp.spec.table import AXES
from mixexp.text import listed

NO_METRICS = ("step", "epoch", "lr", "seconds")
"""Columns of metrics.csv about the time and manner of a row."""


@dataclass(frozen=True)
class Measured:
    """The measures that some of the runs leave: columns of metrics.csv, and of each probe's file, empty where unknown.

    matrices: whether there are confusion matrices. open: whether files of other probes may exist, now or later.
    """

    metrics: tuple[str, ...]
    probes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    matrices: bool = True
    open: bool = False

    @property
    def names(self) -> list[str]:
        """The metrics that a table can show."""
        error = ["error"] if "accuracy" in self.metrics else []
        probes = [
            f"probe.{file}.{column}" for file, columns in self.probes.items() for column in columns if column != "step"
        ]
        return [*(name for name in self.metrics if name not in NO_METRICS), *error, *probes]

    def metric_problem(self, metric: str, where: Iterable[str] = (), curve: bool = False) -> str:
        """The reason why a metric cannot be shown; where: the columns of the probe's file that choose its rows.

        curve: whether it is drawn over the steps, as any column of metrics.csv can be.
        """
        if metric.startswith("probe."):
            _, file, column = metric.split(".", 2)
            return self.probe_problem(file, [column, *where])
        if metric in self.names or (curve and metric in self.metrics):
            return ""
        about_rows = metric in NO_METRICS and metric in self.metrics
        what = (
            "it says when or how a row of metrics.csv was made, and is not a metric" if about_rows else "no run has it"
        )
        return f"{what}.{closest(metric, self.names)} There are {listed(self.names, metric)}."

    def probe_problem(self, file: str, columns: Iterable[str]) -> str:
        """The reason why no run has some columns of a probe's file."""
        there = self.probes.get(file)
        if there is None:
            files = f"there are {listed(self.probes, file)}" if self.probes else "no run has a probe"
            return "" if self.open else f"no run has the file probe_{file}.csv; {files}.{closest(file, self.probes)}"
        strange = next((column for column in columns if there and column not in ("step", *there)), None)
        if strange is None:
            return ""
        return f"probe_{file}.csv has no column {strange!r}; there are {', '.join(there)}.{closest(strange, there)}"

    def figure_problem(self, spec: Mapping[str, Any], labels: Iterable[str] = ()) -> str:
        """The reason why no run has the data of a valid figure.

        labels: of the table's measures, which can be its metrics.
        """
        options, values = KINDS[spec["kind"]].options, complete(spec)
        asked = [
            (name, option.values is METRICS) for name, option in options.items() if option.values in (METRIC, METRICS)
        ]
        metrics = [(metric, curve) for name, curve in asked for metric in _listed(values[name]) if metric not in labels]
        problems = [
            f"{metric}: {problem}" for metric, curve in metrics if (problem := self.metric_problem(metric, curve=curve))
        ]
        if "probe" in options:
            columns = [values[name] for name, option in options.items() if option.values is COLUMN and values[name]]
            problems.append(self.probe_problem(values["probe"], [*columns, *values.get("where", {})]))
        if values.get("beside"):
            beside = values["beside"]
            problems.append(self.probe_problem(beside["probe"], [beside["x"], beside["y"], *beside.get("where", {})]))
        if spec["kind"] in ("confusion", "per_class", "by_group") and not self.matrices:
            problems.append(f"kind {spec['kind']} shows confusion matrices, and no run has one.")
        return next(filter(None, problems), "")


def together(parts: Iterable[Measured]) -> Measured:
    """The measures that any of the runs has."""
    metrics: dict[str, None] = {}
    probes: dict[str, dict[str, None]] = {}
    matrices = is_open = False
    for part in parts:
        metrics |= dict.fromkeys(part.metrics)
        for file, columns in part.probes.items():
            probes.setdefault(file, {}).update(dict.fromkeys(columns))
        matrices, is_open = matrices or part.matrices, is_open or part.open
    return Measured(tuple(metrics), {file: tuple(columns) for file, columns in probes.items()}, matrices, is_open)


def measures_of(table: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The measures of a table's axes: the key of each, its label, and its description."""
    for axis in AXES:
        measures = (table.get(axis) or {}).get("measures")
        yield from ((f"table.{axis}", str(label), measure) for label, measure in (measures or {}).items())


def _listed(value: str | list[str]) -> list[str]:
    return [name for name in ([value] if isinstance(value, str) else value) if name]
