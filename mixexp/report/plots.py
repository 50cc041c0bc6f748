"""Figures of runs' metrics: scores against a setting, and learning curves; each function returns a matplotlib Figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.errors import UserError
from mixexp.report.load import Run, canonical, lookup
from mixexp.report.style import LINES, MARKERS, canvas, colour, legend, text
from mixexp.report.tables import RULES, Entry, Table, band, better, centre, label, runs_of, scale, select, unit

AGAINST: dict[str, Any] = {
    "x": "",
    "y": "",
    "by": "columns",
    "x_label": "",
    "x_scale": "linear",
    "x_max": None,
    "published": False,
}
CURVES: dict[str, Any] = {"y": ["train_loss", "test_loss"], "by": "columns", "each": "rows", "only": None, "y_scale": "linear"}


def against(table: Table, spec: Mapping[str, Any]) -> Figure:
    """The score of the table's rule against a setting, one line for each column (or row) with its spread over seeds."""
    metric = spec["y"] or table.spec["metric"]
    figure, axes = canvas(1, 1, (5.0, 3.5))
    panel = axes[0][0]
    lines = [(entry, _points(table, entry, spec, metric)) for entry in _entries(table, spec["by"])]
    words = sorted({x for _, points in lines for x in points if isinstance(x, str)})
    for index, (entry, points) in enumerate(lines):
        # A run to which the setting does not apply (no mixing has no alpha) is a level across the figure.
        if None in points:
            level = centre(points[None], table.spec["statistic"])
            below, above = band(points[None], table.spec["statistic"])
            panel.axhspan(level - below, level + above, color=colour(index), alpha=0.15, linewidth=0)
            panel.axhline(level, color=colour(index), linestyle=LINES[index % len(LINES)], label=text(entry.label))
        placed = {words.index(x) if isinstance(x, str) else x: values for x, values in points.items() if x is not None}
        _line(panel, index, _within(placed, spec["x_max"]), table.spec["statistic"], "" if None in points else text(entry.label))
        if spec["published"] and metric == table.spec["metric"]:
            _published(panel, index, _within(_published_points(table, entry, spec, words), spec["x_max"]))
    if words:
        panel.set_xticks(range(len(words)), [text(word) for word in words])
    else:
        _x_axis(panel, spec, [x for _, points in lines for x in points if isinstance(x, float)])
    panel.set_xlabel(text(spec["x_label"] or spec["x"]))
    panel.set_ylabel(text(f"{unit(table.spec, metric)}, {RULES[table.rule]}"))
    legend(figure, [panel], [entry for entry, _ in lines])
    return figure


def curves(table: Table, spec: Mapping[str, Any]) -> Figure:
    """Learning curves: panels in a row for each row (or column) of the table, one for each quantity, a line for each column."""
    quantities = [spec["y"]] if isinstance(spec["y"], str) else list(spec["y"])
    only = None if spec["only"] is None else {label(name) for name in spec["only"]}
    outer = [entry for entry in _entries(table, spec["each"]) if runs_of(table, entry) and (only is None or entry.label in only)]
    inner = _entries(table, spec["by"])
    figure, axes = canvas(max(len(outer), 1), len(quantities), (max(5.0, 2.6 * len(quantities)), 0.6 + 1.9 * max(len(outer), 1)))
    for entry, panels in zip(outer, axes, strict=False):
        ruler = _ruler(runs_of(table, entry))
        for quantity, panel in zip(quantities, panels, strict=True):
            for index, line in enumerate(inner):
                _curve(panel, index, runs_of(table, entry, line), (ruler, quantity), table, text(line.label))
            panel.set_yscale(spec["y_scale"])
            panel.set_xlabel(ruler)
            panel.set_ylabel(text(unit(table.spec, quantity)))
        where = table.spec[spec["each"]].get("label", "")
        if len(outer) > 1:
            panels[0].set_title(text(f"{where}: {entry.label}" if where else entry.label), loc="left", fontsize=9)
    legend(figure, [panel for panels in axes for panel in panels], inner)
    return figure


def _entries(table: Table, axis: str) -> list[Entry]:
    """The rows or columns that are different runs; where they are different measures of the same runs, one for all."""
    entries = getattr(table, axis)
    return [Entry("", {})] if any(entry.measure is not None for entry in entries) else list(entries)


def _points(table: Table, entry: Entry, spec: Mapping[str, Any], metric: str) -> dict[Any, list[float]]:
    """The scores of a line's runs at each value of the setting, in the order of that value."""
    points: dict[Any, list[float]] = {}
    for run in runs_of(table, entry):
        values = [value for value in _series(run, metric) if value is not None and math.isfinite(value)]
        held_out = [value for value in run.metrics.get("val_accuracy", []) if value is not None]
        if values and (table.rule != "best_validation" or len(held_out) == len(values)):
            score = scale(table.spec, metric) * select(values, table.rule, better(table.spec, metric), held_out)
            points.setdefault(canonical(lookup(run.config, spec["x"])), []).append(score)
    return points


def _published_points(table: Table, entry: Entry, spec: Mapping[str, Any], words: list[str]) -> dict[Any, list[float]]:
    points = {}
    for other in table.rows if spec["by"] == "columns" else table.columns:
        row, column = (other, entry) if spec["by"] == "columns" else (entry, other)
        value, x = table.published(row.label, column.label), canonical(other.conditions.get(spec["x"]))
        if value is not None and ((isinstance(x, float) and not words) or x in words):
            points[words.index(x) if words else x] = [value]
    return points


def _within(points: dict[Any, list[float]], largest: float | None) -> list[tuple[float, list[float]]]:
    return sorted((x, values) for x, values in points.items() if largest is None or x <= largest)


def _line(panel: Axes, index: int, points: list[tuple[float, list[float]]], statistic: str, name: str) -> None:
    if not points:
        return
    reach = list(zip(*(band(values, statistic) for _, values in points), strict=True))
    panel.errorbar(
        [x for x, _ in points],
        [centre(values, statistic) for _, values in points],
        yerr=reach if any(map(any, reach)) else None,
        color=colour(index),
        marker=MARKERS[index % len(MARKERS)],
        linestyle=LINES[index % len(LINES)],
        capsize=2.5,
        label=name or None,
    )


def _published(panel: Axes, index: int, points: list[tuple[float, list[float]]]) -> None:
    if points:
        style = {
            "color": colour(index),
            "marker": MARKERS[index % len(MARKERS)],
            "markerfacecolor": "none",
            "linestyle": ":",
            "linewidth": 1,
        }
        # Under the own results, so that a hollow marker never hides a filled one.
        panel.plot(
            [x for x, _ in points], [values[0] for _, values in points], zorder=1.5, markersize=6.5, gid="published", **style
        )


def _curve(panel: Axes, index: int, runs: list[Run], axes: tuple[str, str], table: Table, name: str) -> None:
    ruler, quantity = axes
    at: dict[float, list[float]] = {}
    factor = scale(table.spec, quantity)
    for run in runs:
        for x, y in zip(run.metrics.get(ruler, []), _series(run, quantity), strict=False):
            if x is not None and y is not None and math.isfinite(y):
                at.setdefault(x, []).append(factor * y)
    if not at:
        return
    places = sorted(at)
    middle = [centre(at[x], table.spec["statistic"]) for x in places]
    below, above = zip(*(band(at[x], table.spec["statistic"]) for x in places), strict=True)
    few = len(places) <= 12
    panel.plot(
        places, middle, color=colour(index), linestyle=LINES[index % len(LINES)], label=name,
        marker=MARKERS[index % len(MARKERS)], markersize=3.5, markevery=1 if few else max(1, len(places) // 6),
    )  # fmt: skip
    if any(below) or any(above):
        low, high = ([m + s * d for m, d in zip(middle, reach, strict=True)] for s, reach in ((-1, below), (1, above)))
        panel.fill_between(places, low, high, color=colour(index), alpha=0.15, linewidth=0)


def _ruler(runs: list[Run]) -> str:
    """Epochs, or steps where any of the runs was budgeted in steps: an epoch of a hundred images is one step."""
    stepwise = any(lookup(run.config, "steps") is not None and lookup(run.config, "epochs") is None for run in runs)
    return "step" if stepwise or any("epoch" not in run.metrics for run in runs) else "epoch"


def _x_axis(panel: Axes, spec: Mapping[str, Any], places: list[float]) -> None:
    shown = sorted({x for x in places if spec["x_max"] is None or x <= spec["x_max"]})
    if spec["x_scale"] == "log" and shown:
        positive = [x for x in shown if x > 0]
        # Zero (alpha = 0 is no mixing) has no logarithm; a linear stretch below the smallest value keeps it in sight.
        panel.set_xscale("log") if len(positive) == len(shown) else panel.set_xscale(
            "symlog", linthresh=min(positive, default=1.0)
        )
        if len(shown) <= 10:
            panel.set_xticks(shown)
            panel.minorticks_off()
            panel.tick_params(axis="x", labelsize=7.5)  # 10,000 and 20,000 touch at the size of the rest
    panel.xaxis.set_major_formatter(lambda x, _: f"{x:,g}")
    if spec["x_max"] is not None and spec["x_scale"] == "linear":
        panel.set_xlim(right=spec["x_max"] * 1.03)


def _series(run: Run, metric: str) -> list[float | None]:
    """A metric's values, none where the run has no such metric."""
    try:
        return run.series(metric)
    except UserError:
        return []
