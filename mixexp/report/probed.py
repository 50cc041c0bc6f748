"""Figures of what probes measured: lines, clouds of points, and clouds that move with training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.animation import Animation, FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.errors import UserError, closest
from mixexp.report.load import Run, canonical
from mixexp.report.style import LINES as STROKES
from mixexp.report.style import MARKERS, canvas, colour, legend, text
from mixexp.report.tables import Entry, Table, band, centre, runs_of

LINES: dict[str, Any] = {
    "probe": "", "x": "step", "y": "", "lines": None, "each": "columns", "where": {}, "x_label": "", "y_label": "", "x_scale": "linear",
    "y_scale": "linear",
}  # fmt: skip
SCATTER: dict[str, Any] = {
    "probe": "", "x": "", "y": "", "colour": None, "each": "columns", "panels": None, "where": {}, "beside": None, "limits": None,
}  # fmt: skip
ABREAST = 3
"""Panels of lines beside each other on a page."""

Row = Mapping[str, str]


def lines(table: Table, spec: Mapping[str, Any]) -> Figure:
    """A panel for each row (or column) of the table, and in it a line for each value of the column `lines`, over seeds.

    Without `lines`, a line for each entry of the table's other axis.
    """
    entries = [entry for entry in getattr(table, spec["each"]) if runs_of(table, entry)]
    columns = min(ABREAST, len(entries))
    height = math.ceil(len(entries) / columns)
    figure, axes = canvas(height, columns, (max(4.6, 2.7 * columns), 0.6 + 2.3 * height))
    panels = list(axes.flat)
    names: list[str] = []
    for entry, panel in zip(entries, panels, strict=False):
        for name, runs, where in _lines_of(table, spec, entry):
            names += [name] * (name not in names)
            _line(panel, names.index(name), name, _points(runs, {**spec, "where": where}), table.spec["statistic"])
        panel.set_title(text(_name(table, spec, entry)), loc="left", fontsize=9)
        panel.set_xlabel(text(spec["x_label"] or spec["x"]))
        panel.set_ylabel(text(spec["y_label"] or spec["y"].replace("_", " ")))
        panel.set_xscale(spec["x_scale"])
        panel.set_yscale(spec["y_scale"])
    for panel in panels[len(entries) :]:
        panel.remove()
    ends = [panel.get_ylim() for panel in panels[: len(entries)]]
    for panel in panels[: len(entries)]:  # to be compared at a glance
        panel.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    legend(figure, panels[: len(entries)], [Entry(name, {}) for name in names])
    return figure


def scatter(table: Table, spec: Mapping[str, Any]) -> Figure:
    """Clouds of points: a row of panels for each row (or column) of the table, one run each, a panel for each value of `panels`."""
    clouds = _clouds(table, spec)
    values = _panel_values(clouds, spec)
    wide = len(values) + (spec["beside"] is not None)
    figure, axes = canvas(len(clouds), wide, (max(4.0, 2.1 * wide + 0.9), 0.5 + 2.1 * len(clouds)))
    paint = _painter(clouds, spec)
    for (entry, run, rows), panels in zip(clouds, axes, strict=True):
        shown = rows if spec["panels"] == "step" else _at_the_end(rows)
        for value, panel in zip(values, panels, strict=False):
            part = [row for row in shown if spec["panels"] is None or row[spec["panels"]] == value]
            paint(panel, part)
            name = _name(table, spec, entry)
            title = name if value is None else f"{name}, {spec['panels']} {value}" if panel is panels[0] else str(value)
            panel.set_title(text(title), loc="left", fontsize=8)
            _frame(panel, shown, spec)
        if spec["beside"] is not None:
            _beside(panels[-1], run, spec["beside"])
    _key(figure, list(axes.flat), spec)
    return figure


def animation(table: Table, spec: Mapping[str, Any]) -> Animation:
    """The same clouds as they move from step to step."""
    clouds = _clouds(table, spec)
    values = _panel_values(clouds, spec)
    steps = sorted({int(float(row["step"])) for _, _, rows in clouds for row in rows})
    figure, axes = canvas(len(clouds), len(values), (max(4.0, 2.4 * len(values) + 0.9), 0.7 + 2.3 * len(clouds)))
    paint = _painter(clouds, spec)
    frames = {step: [[row for row in rows if int(float(row["step"])) == step] for _, _, rows in clouds] for step in steps}

    def show(step: int) -> list[Any]:
        for (entry, _, _), rows, panels in zip(clouds, frames[step], axes, strict=True):
            for value, panel in zip(values, panels, strict=True):
                panel.clear()
                paint(panel, [row for row in rows if spec["panels"] is None or row[spec["panels"]] == value])
                name = _name(table, spec, entry)
                title = name if value is None else f"{name}, {value}"
                panel.set_title(text(f"{title}, step {step:,}"), loc="left", fontsize=8)
                _frame(panel, rows, spec)
        return []

    show(steps[-1])
    _key(figure, list(axes.flat), spec)
    return FuncAnimation(figure, show, frames=steps)


def _name(table: Table, spec: Mapping[str, Any], entry: Entry) -> str:
    """An entry as a panel's title: a bare number says what it is of."""
    what = table.spec[spec["each"]].get("label", "")
    return f"{what} {entry.label}" if what and math.isfinite(_float(entry.label)) else entry.label


def _lines_of(table: Table, spec: Mapping[str, Any], entry: Entry) -> list[tuple[str, list[Run], Mapping[str, Any]]]:
    """The lines of an entry's panel: a name, the runs, and what their rows have to fulfil."""
    if spec["lines"] is None:
        others = table.rows if spec["each"] == "columns" else table.columns
        return [(other.label, runs, spec["where"]) for other in others if (runs := runs_of(table, entry, other))]
    runs = runs_of(table, entry)
    values = dict.fromkeys(row[spec["lines"]] for run in runs for row in _rows(run, spec, spec["lines"]))
    return [(value, runs, {**spec["where"], spec["lines"]: value}) for value in values]


def _points(runs: list[Run], spec: Mapping[str, Any]) -> dict[float, list[float]]:
    """x → a y for each run, the mean of its rows there."""
    found: dict[float, list[float]] = {}
    for run in runs:
        own: dict[float, list[float]] = {}
        for row in _rows(run, spec, spec["x"], spec["y"]):
            own.setdefault(_float(row[spec["x"]]), []).append(_float(row[spec["y"]]))
        for x, values in own.items():
            finite = [value for value in values if math.isfinite(value)]
            if finite and math.isfinite(x):
                found.setdefault(x, []).append(sum(finite) / len(finite))
    return found


def _line(panel: Axes, index: int, name: str, points: Mapping[float, list[float]], statistic: str) -> None:
    places = sorted(points)
    if not places:
        return
    middle = [centre(points[x], statistic) for x in places]
    below, above = zip(*(band(points[x], statistic) for x in places), strict=True)
    every = max(1, len(places) // 6)
    panel.plot(
        places, middle, color=colour(index), linestyle=STROKES[index % len(STROKES)], marker=MARKERS[index % len(MARKERS)],
        markersize=3.5, markevery=every, label=text(name),
    )  # fmt: skip
    if any(below) or any(above):
        low, high = ([m + s * d for m, d in zip(middle, reach, strict=True)] for s, reach in ((-1, below), (1, above)))
        panel.fill_between(places, low, high, color=colour(index), alpha=0.15, linewidth=0)


def _clouds(table: Table, spec: Mapping[str, Any]) -> list[tuple[Entry, Run, list[Row]]]:
    """An entry of the table, one of its runs (that of the smallest seed) and its rows, for all entries that have any."""
    needed = [name for name in (spec["x"], spec["y"], spec["colour"], spec["panels"]) if name]
    found, problem = [], "there are no runs"
    for entry in getattr(table, spec["each"]):
        for run in sorted(runs_of(table, entry), key=lambda run: str(run.config.get("seed")))[:1]:
            try:
                found.append((entry, run, _rows(run, spec, *needed)))
            except UserError as error:
                problem = str(error)
    if not found:
        raise UserError(problem)
    return found


def _rows(run: Run, spec: Mapping[str, Any], *needed: str) -> list[Row]:
    """The rows of the run's file that fulfil `where`; raises UserError where one of the columns is not there, or no row."""
    rows = run.probe(spec["probe"])
    for name in (*needed, *spec["where"]):
        if name not in rows[0]:
            raise UserError(f"probe_{spec['probe']}.csv has no column {name!r}.{closest(name, rows[0])}")
    wanted = {name: canonical(value) for name, value in spec["where"].items()}
    found = [row for row in rows if all(canonical(row[name]) == value for name, value in wanted.items())]
    if not found:
        raise UserError(f"probe_{spec['probe']}.csv has no row with {', '.join(f'{k} {v}' for k, v in spec['where'].items())}")
    return found


def _panel_values(clouds: Sequence[tuple[Entry, Run, list[Row]]], spec: Mapping[str, Any]) -> list[str | None]:
    if spec["panels"] is None:
        return [None]
    values = dict.fromkeys(row[spec["panels"]] for _, _, rows in clouds for row in rows)
    return sorted(values, key=lambda value: (_float(value), value) if math.isfinite(_float(value)) else (math.inf, value))


def _at_the_end(rows: Sequence[Row]) -> list[Row]:
    last = max(_float(row["step"]) for row in rows)
    return [row for row in rows if _float(row["step"]) == last]


def _painter(clouds: Sequence[tuple[Entry, Run, list[Row]]], spec: Mapping[str, Any]) -> Callable[[Axes, Sequence[Row]], None]:
    """A function that draws rows as points: by class where the colour column names few, else on a scale from blue to yellow."""
    column = spec["colour"]
    values = dict.fromkeys(row[column] for _, _, rows in clouds for row in rows) if column else {None: None}
    numbers = [_float(value) for value in values] if column else []
    by_scale = len(values) > 12 and all(map(math.isfinite, numbers))

    def paint(panel: Axes, rows: Sequence[Row]) -> None:
        style: dict[str, Any] = {"s": 9 if len(rows) < 400 else 4, "linewidths": 0, "rasterized": True}
        if by_scale:
            points = [(_float(row[spec["x"]]), _float(row[spec["y"]]), _float(row[column])) for row in rows]
            x, y, c = zip(*points, strict=True) if points else ((), (), ())
            panel.scatter(x, y, c=c, cmap="cividis", vmin=min(numbers), vmax=max(numbers), **style)
            return
        for index, value in enumerate(sorted(values, key=str)):
            part = [row for row in rows if column is None or row[column] == value]
            x, y = ([_float(row[spec[axis]]) for row in part] for axis in ("x", "y"))
            name = None if column is None else text(f"{column} {value}" if math.isfinite(_float(value)) else value)
            panel.scatter(x, y, color=colour(index), marker=MARKERS[index % len(MARKERS)], label=name, **style)

    return paint


def _frame(panel: Axes, rows: Sequence[Row], spec: Mapping[str, Any]) -> None:
    """A square with one scale for x and y: the limits given, or those of all the rows that share them."""
    panel.set_aspect("equal", adjustable="box")
    panel.tick_params(labelsize=7)
    found = [[value for row in rows if math.isfinite(value := _float(row[spec[axis]]))] for axis in ("x", "y")]
    if spec["limits"] is None and all(found):
        half = 0.525 * max(max(values) - min(values) for values in found) or 1.0
        for values, setter in zip(found, (panel.set_xlim, panel.set_ylim), strict=True):
            setter((min(values) + max(values)) / 2 - half, (min(values) + max(values)) / 2 + half)
    elif spec["limits"] is not None:
        panel.set_xlim(*spec["limits"])
        panel.set_ylim(*spec["limits"])


def _beside(panel: Axes, run: Run, spec: Mapping[str, Any]) -> None:
    """A line of another file of the same run, such as the density that the points were drawn from."""
    rows = _at_the_end(_rows(run, {"probe": spec["probe"], "where": spec.get("where", {})}, spec["x"], spec["y"]))
    places = sorted((_float(row[spec["x"]]), _float(row[spec["y"]])) for row in rows)
    panel.plot([x for x, _ in places], [y for _, y in places], color=colour(0))
    panel.set_xlabel(text(spec["x"]), fontsize=8)
    panel.set_ylabel(text(spec["y"]), fontsize=8)
    panel.set_ylim(bottom=0)
    panel.tick_params(labelsize=7)


def _key(figure: Figure, panels: Sequence[Axes], spec: Mapping[str, Any]) -> None:
    """What the colours mean: a legend for classes, a bar for a scale."""
    names = dict.fromkeys(name for panel in panels for name in panel.get_legend_handles_labels()[1])
    if names:
        legend(figure, list(panels), [Entry(name, {}) for name in names])
        return
    clouds = [cloud for panel in panels for cloud in panel.collections if cloud.get_array() is not None]
    if clouds:
        where = [panel for panel in panels if panel.collections]
        bar = figure.colorbar(clouds[0], ax=where, orientation="horizontal", location="top", aspect=40, pad=0.02)
        bar.set_label(text(spec["colour"]), fontsize=8)
        bar.ax.tick_params(labelsize=7)


def _float(value: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
