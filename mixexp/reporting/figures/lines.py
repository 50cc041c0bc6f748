"""Figures of runs' metrics: scores against a setting, and learning curves; each function returns a Figure."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.errors import UserError, closest
from mixexp.metrics import RULES
from mixexp.reporting.cells import entries_of
from mixexp.reporting.entries import among, label
from mixexp.reporting.figures import style
from mixexp.reporting.scoring import scored
from mixexp.reporting.stats import Statistic
from mixexp.reporting.tables import Entry, Table, runs_of, spec_of
from mixexp.settings import comparable, lookup
from mixexp.spec.table import quantity, scale
from mixexp.text import enumerated
from mixexp.training.reader import Run

Points = dict[Any, list[float]]
"""A setting's value → a score for each run."""


def against(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """The score of the table's rule against a setting, one line for each column (or row) with its spread over seeds.

    `y` is a metric, or the label of one of the table's measures; lines that are too many for one panel are distributed
    over several.
    """
    runs = runs_of(table, Entry("", {}))
    if all(run.setting(spec["x"]) is None for run in runs):
        known = dict.fromkeys(name for run in runs for name in run.settings)
        raise UserError(f"no run has a value of x = {spec['x']}.{closest(spec['x'], known)}")
    lines = [(entry, _points(table, entry, spec)) for entry in entries_of(table, spec["by"])]
    words = sorted({x for _, points in lines for x in points if isinstance(x, str)})
    source = {
        entry.label: _published_points(table, entry, spec, words) if spec["published"] else {} for entry, _ in lines
    }
    lines = [(entry, points) for entry, points in lines if points or source[entry.label]]
    if not any(points for _, points in lines):
        raise UserError(f"no run has a value of {spec['y'] or table.spec['metric']} at a value of {spec['x']}")
    groups = style.parts(lines)
    without = _without(table, spec)
    measured = spec["y"] if spec["y"] in table.measures else quantity(table.spec, spec["y"] or table.spec["metric"])
    rule = (table.measures.get(spec["y"]) or {}).get("rule") or table.rule
    figure, axes = style.canvas(len(groups), 1, 2.6, keys=len(groups) > 1)
    shown = [
        x
        for entry, points in lines
        for x in (*points, *(() if words else source[entry.label]))
        if isinstance(x, float) and _in(x, spec)
    ]
    for group, (panel, *place) in zip(groups, axes, strict=True):
        for index, (entry, points) in enumerate(group):
            name = style.named(table, spec["by"], entry)
            # a level in a panel with a single nameless line belongs to other entries, and needs another style
            _level(panel, index if name else len(group), points.get(None, []), table.statistic, name or without)
            placed = {
                words.index(x) if isinstance(x, str) else x: values for x, values in points.items() if x is not None
            }
            _line(panel, index, _within(placed, spec), table.statistic, "" if None in points else name)
            _published(panel, index, _within(source[entry.label], spec))
        if words:
            panel.set_xticks(
                range(len(words)),
                [style.text(word, 20) for word in words],
                rotation=0 if sum(map(len, words)) < 45 else 30,
            )
        else:
            _x_axis(panel, spec, shown)
        panel.set_xlabel(style.text(spec["x_label"] or spec["x"]))
        panel.set_ylabel(style.text(selected(measured, rule), 48))
        if place:
            style.key(place[0], [panel], [style.named(table, spec["by"], entry) for entry, _ in group])
    style.same_limits(axes[:, 0])
    if len(groups) == 1:
        style.legend(figure, list(axes.flat), [*(style.named(table, spec["by"], entry) for entry, _ in lines), without])
    what = f"{capitalised(measured)}, {RULES[rule]}, against {spec['x_label'] or spec['x']}"
    hollow = "; hollow markers are the published values" if spec["published"] else ""
    within = f" up to {spec['x_max']:,g}" if spec["x_max"] is not None else ""
    scaled = ", logarithmic" if spec["x_scale"] == "log" else ""
    each = each_words(axis_words(table, spec["by"]))
    return figure, f"{what}{within}{scaled}{each}; {spread_words(table, 'bars')}{hollow}."


def curves(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """Learning curves: panels for each row (or column) of the table, one for each metric, a line for each column.

    Lines that are too many for one panel are distributed over several rows of panels, each with its own legend.
    """
    metrics = [spec["y"]] if isinstance(spec["y"], str) else list(spec["y"])
    outer = outer_of(table, spec)
    inner = [entry for entry in entries_of(table, spec["by"]) if not entry.label or runs_of(table, entry)]
    groups = style.parts(inner)
    blocks = [(entry, group) for entry in outer for group in groups]
    if not blocks:
        raise UserError("no run is in the rows or columns asked for")
    split = len(groups) > 1
    abreast = 1 if split else _abreast(len(blocks), len(metrics))
    rows = math.ceil(len(blocks) / abreast)
    height = 1.75 if abreast * len(metrics) > 1 else 2.4
    if split:
        height = max(
            height, *(style.key_height([style.named(table, spec["by"], line) for line in group]) for group in groups)
        )
    figure, axes = style.canvas(rows, abreast * len(metrics), height, keys=split)
    by_metric: dict[str, list[Axes]] = {metric: [] for metric in metrics}
    of_blocks = axes[:, : abreast * len(metrics)].reshape(-1, len(metrics))
    for panel in of_blocks[len(blocks) :].flat:
        panel.remove()
    for place, ((entry, group), panels) in enumerate(zip(blocks, of_blocks, strict=False)):
        ruler = ruler_of(runs_of(table, entry))
        for metric, panel in zip(metrics, panels, strict=True):
            for index, line in enumerate(group):
                _curve(
                    panel,
                    index,
                    runs_of(table, entry, line),
                    (ruler, metric),
                    table,
                    style.named(table, spec["by"], line),
                )
            if panel.get_lines():
                by_metric[metric].append(panel)
            panel.set_xlabel(ruler)
            style.whole_ticks(panel)
            panel.set_ylabel(style.text(quantity(table.spec, metric)))
        if len(outer) > 1 and group is groups[0]:
            style.title(panels[0], style.of(table, spec["each"], entry))
        if split:
            style.key(axes[place][-1], list(panels), [style.named(table, spec["by"], line) for line in group])
    for panels in filter(None, by_metric.values()):
        for panel in panels if spec["y_scale"] == "log" else ():
            style.plain_log(panel, "y")
        style.same_limits(panels)
    if not any(by_metric.values()):
        raise UserError(f"no run has {' or '.join(metrics)}")
    if not split:
        panels = [panel for panels in by_metric.values() for panel in panels]
        style.legend(figure, panels, [style.named(table, spec["by"], line) for line in inner])
    what = enumerated(quantity(table.spec, metric) for metric in metrics)
    dealt = (
        f"panels by {axis_words(table, spec['each'])}{some_words(table, spec)}; "
        if len(entries_of(table, spec["each"])) > 1
        else ""
    )
    each = each_words(axis_words(table, spec["by"]))
    return figure, f"{capitalised(what)} at every evaluation{each}; {dealt}{spread_words(table, 'bands')}."


def outer_of(table: Table, spec: Mapping[str, Any]) -> list[Entry]:
    """The rows or columns with panels: those with runs, among those that the figure names."""
    entries = entries_of(table, spec["each"])
    known = [entry.label for entry in entries]
    only = None if spec["only"] is None else {among(label(name), known) for name in spec["only"]}
    return [entry for entry in entries if runs_of(table, entry) and (only is None or entry.label in {"", *only})]


def _abreast(blocks: int, quantities: int) -> int:
    """The number of blocks of panels next to each other: one, as far as the page is long enough."""
    widest = max(1, 4 // quantities)
    fitting = (n for n in range(1, widest) if math.ceil(blocks / n) * 1.75 <= style.TALLEST * 0.8)
    columns = next(fitting, widest)
    return style.grid(blocks, 3)[1] if quantities == 1 else min(columns, blocks)


def _without(table: Table, spec: Mapping[str, Any]) -> str:
    """The entries of the other axis whose runs have no value of the setting."""
    others = [entry for entry in entries_of(table, "rows" if spec["by"] == "columns" else "columns") if entry.label]
    without = [
        entry.label for entry in others if any(lookup(run.config, spec["x"]) is None for run in runs_of(table, entry))
    ]
    return style.text(", ".join(without))


def _points(table: Table, entry: Entry, spec: Mapping[str, Any]) -> Points:
    """The scores of a line's runs at each value of the setting."""
    points: Points = {}
    for run in runs_of(table, entry):
        score = score_of(table, run, spec["y"] or table.spec["metric"])
        if score is not None:
            points.setdefault(comparable(lookup(run.config, spec["x"])), []).append(score)
    return points


def score_of(table: Table, run: Run, y: str) -> float | None:
    """A run's number by the table's rule, of one of the table's measures or of a metric."""
    if y in table.measures or y == table.spec["metric"]:
        return table.number(run, y if y in table.measures else None)
    return scored(run, spec_of(table.spec, {"metric": y}))[0].get(table.rule)


def _published_points(table: Table, entry: Entry, spec: Mapping[str, Any], words: list[str]) -> Points:
    """The source's values of a line; it has values of the table's metric and of its measures alone."""
    y = spec["y"] or table.spec["metric"]
    name = entry.label or y  # one line for all is that of a measure
    if (table.measures and name not in table.measures) or (not table.measures and y != table.spec["metric"]):
        return {}
    points = {}
    for other in table.rows if spec["by"] == "columns" else table.columns:
        value = table.published(other.label, name) if spec["by"] == "columns" else table.published(name, other.label)
        x = comparable(other.conditions.get(spec["x"]))
        if value is not None and ((isinstance(x, float) and not words) or x in words):
            points[words.index(str(x)) if words else x] = [value]
    return points


def _in(x: float, spec: Mapping[str, Any]) -> bool:
    return spec["x_max"] is None or x <= spec["x_max"]


def _within(points: Points, spec: Mapping[str, Any]) -> list[tuple[float, list[float]]]:
    return sorted((x, values) for x, values in points.items() if _in(x, spec))


def _level(panel: Axes, index: int, values: list[float], statistic: Statistic, name: str) -> None:
    """A level across the figure for runs to which the setting does not apply (no mixing has no alpha)."""
    if values:
        level = statistic.centre(values)
        below, above = statistic.band(values)
        panel.axhspan(level - below, level + above, color=style.colour(index), alpha=0.15, linewidth=0)
        panel.axhline(level, color=style.colour(index), linestyle=style.series(index)["linestyle"], label=name)


def _line(panel: Axes, index: int, points: list[tuple[float, list[float]]], statistic: Statistic, name: str) -> None:
    if not points:
        return
    reach = list(zip(*(statistic.band(values) for _, values in points), strict=True))
    x, y = [x for x, _ in points], [statistic.centre(values) for _, values in points]
    panel.errorbar(
        x, y, yerr=reach if any(map(any, reach)) else None, capsize=2.5, label=name or None, **style.series(index)
    )


def _published(panel: Axes, index: int, points: list[tuple[float, list[float]]]) -> None:
    if points:
        look = {**style.series(index), "markerfacecolor": "none", "linestyle": ":", "linewidth": 1, "markersize": 5.5}
        # Below the runs' results, so that a hollow marker never hides a filled one.
        panel.plot([x for x, _ in points], [values[0] for _, values in points], zorder=1.5, gid="published", **look)


def _curve(panel: Axes, index: int, runs: list[Run], axes: tuple[str, str], table: Table, name: str) -> None:
    ruler, metric = axes
    at: dict[float, list[float]] = defaultdict(list)
    factor = scale(table.spec, metric)
    for run in runs:
        with contextlib.suppress(UserError):  # a run without the metric has no curve
            for x, y in zip(run.metrics.get(ruler, []), run.series(metric), strict=False):
                if x is not None and y is not None and math.isfinite(y):
                    at[x].append(factor * y)
    draw_line(panel, index, name, at, table.statistic)


def draw_line(
    panel: Axes, index: int, name: str, at: Mapping[float, list[float]], statistic: Statistic, outline: bool = False
) -> None:
    """A line through the centres of the values at each x, with a band over their spread and markers at intervals.

    outline: the x are the centres of a histogram's bins, and the line is its outline.
    """
    if not at:
        return
    places = sorted(at)
    middle = [statistic.centre(at[x]) for x in places]
    below, above = zip(*(statistic.band(at[x]) for x in places), strict=True)
    if outline:
        panel.step(places, middle, where="mid", label=name, color=style.colour(index))
        panel.fill_between(places, middle, step="mid", color=style.colour(index), alpha=0.15, linewidth=0)
        return
    # markers of neighbouring lines lie next to each other, not on top of each other
    every = 1 if len(places) <= 12 else max(1, len(places) // 6)
    panel.plot(places, middle, label=name, markersize=3.2, markevery=(index % every, every), **style.series(index))
    if any(below) or any(above):
        low, high = ([m + s * d for m, d in zip(middle, reach, strict=True)] for s, reach in ((-1, below), (1, above)))
        panel.fill_between(places, low, high, color=style.colour(index), alpha=0.15, linewidth=0)


def ruler_of(runs: list[Run]) -> str:
    """The unit of the x axis: epochs, or steps where any run was budgeted in steps.

    An epoch of a hundred images is one step.
    """
    stepwise = any(lookup(run.config, "steps") is not None and lookup(run.config, "epochs") is None for run in runs)
    return "step" if stepwise or any("epoch" not in run.metrics for run in runs) else "epoch"


def _x_axis(panel: Axes, spec: Mapping[str, Any], places: list[float]) -> None:
    shown = sorted(set(places))
    if spec["x_scale"] == "log" and shown:
        positive = [x for x in shown if x > 0]
        # Zero (alpha = 0 is not mixing) has no logarithm; a linear stretch below the smallest value keeps it visible.
        if len(positive) == len(shown):
            panel.set_xscale("log")
        else:
            panel.set_xscale("symlog", linthresh=min(positive, default=1.0), linscale=0.3)
    if spec["x_max"] is not None and spec["x_scale"] == "linear":
        panel.set_xlim(right=spec["x_max"] * 1.03)
    if 0 < len(shown) <= style.MOST_LINES:
        style.ticks(panel, shown, 2.9)
    else:
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:,g}")
        if spec["x"] in ("epochs", "steps") and spec["x_scale"] == "linear":
            style.whole_ticks(panel)


# --- words of captions ---


def selected(measured: str, rule: str) -> str:
    """A quantity for an axis: with the selection rule unless that is the last evaluation."""
    return measured if rule == "last" else f"{measured}, {RULES[rule]}"


def axis_words(table: Table, axis: str) -> str:
    """The setting of the rows or columns, in words; empty where there is a single entry."""
    return str(table.spec[axis].get("label") or axis).partition(" (")[0] if len(entries_of(table, axis)) > 1 else ""


def each_words(what: str) -> str:
    """The words for a line per entry; empty where lines are not distinguished."""
    return f", a line for each {what}" if what else ""


def some_words(table: Table, spec: Mapping[str, Any]) -> str:
    """The number of panels that are drawn, where it is not all."""
    drawn, every = len(outer_of(table, spec)), len(outer_of(table, {**spec, "only": None}))
    return f" ({drawn} of {every})" if drawn < every else ""


def spread_words(table: Table, name: str) -> str:
    """The meaning of lines and their bands or bars, with the number of runs."""
    sizes = list(map(len, table.cells.values()))
    if max(sizes, default=0) < 2:
        return f"single runs (n = 1), no {name}"
    return f"{table.statistic.centres}, {name} {table.statistic.reach} ({number_words(sizes)})"


def number_words(sizes: Iterable[int]) -> str:
    """Numbers of runs, in words."""
    ordered = sorted(sizes)
    return f"n = {ordered[0]}" if ordered[0] == ordered[-1] else f"n = {ordered[0]} to {ordered[-1]}"


def capitalised(words: str) -> str:
    """The words with a capital first letter."""
    return words[:1].upper() + words[1:]
