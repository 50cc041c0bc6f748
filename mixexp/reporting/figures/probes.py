"""Figures of probes' results: lines, point clouds, animated clouds, and the images that a network was given."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.animation import Animation, FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from PIL import Image

from mixexp.errors import UserError
from mixexp.reporting.cells import entries_of
from mixexp.reporting.confusion import readable
from mixexp.reporting.figures import style
from mixexp.reporting.figures.classes import spread
from mixexp.reporting.figures.lines import (
    axis_words,
    capitalised,
    draw_line,
    each_words,
    outer_of,
    ruler_of,
    spread_words,
)
from mixexp.reporting.tables import Entry, Table, runs_of, smallest_seed
from mixexp.text import enumerated
from mixexp.training.reader import Run

ABREAST, CLOUDS_ABREAST = 3, 4
"""Panels of lines, and of points, next to each other on a page."""
MOST_NAMED = 12
"""The most values of a colour's column that are classes; more numbers are a scale."""
MOST_VALUES = 5
"""The most panels of an entry next to each other; of more values, such as steps, an even selection is shown."""
MOST_ROWS = 10
"""The most cells with a row of images."""
LARGEST = 1024
"""The most pixels on a side; a probe leaves smaller images."""

Row = Mapping[str, str]


def lines(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """A panel for each row (or column) of the table, and in it a line for each value of the column `lines`, over seeds.

    Without `lines`, a line for each entry of the table's other axis. `steps`: the lines drawn as a histogram's outline.
    """
    entries = [entry for entry in entries_of(table, spec["each"]) if runs_of(table, entry)]
    figure, panels = style.panels_of(len(entries), *style.grid(len(entries), ABREAST), 2.1 if len(entries) > 1 else 2.4)
    names: list[str] = []
    for entry, panel in zip(entries, panels, strict=True):
        for name, runs, where in _lines_of(table, spec, entry):
            names += [name] * (name not in names)
            points = _points(runs, {**spec, "where": where})
            draw_line(
                panel, names.index(name), style.text(name), points, table.statistic, outline=name in spec["steps"]
            )
        if len(entries) > 1:
            style.title(panel, style.of(table, spec["each"], entry))
        panel.set_xlabel(style.text(spec["x_label"] or spec["x"]))
        panel.set_ylabel(style.text(spec["y_label"] or spec["y"].replace("_", " ")))
    for which in ("x", "y"):
        for panel in panels if spec[f"{which}_scale"] == "log" else ():
            style.plain_log(panel, which)
    for panel in panels if spec["x"] in ("epoch", "step") and spec["x_scale"] == "linear" else ():
        style.whole_ticks(panel)
    style.same_limits(panels)
    style.legend(figure, panels, [style.text(name) for name in names])
    each = spec["lines"] or axis_words(table, "rows" if spec["each"] == "columns" else "columns")
    dealt = f"; panels by {axis_words(table, spec['each'])}" if len(entries_of(table, spec["each"])) > 1 else ""
    steps = f"; {enumerated(map(str, spec['steps']))} as a histogram" if spec["steps"] else ""
    y, x = spec["y_label"] or spec["y"].replace("_", " "), spec["x_label"] or spec["x"]
    words = (
        f"{capitalised(y)} against {x}{each_words(each)} (probe {spec['probe']}){dealt}{steps};"
        f" {spread_words(table, 'bands')}."
    )
    return figure, words


def scatter(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """Point clouds: panels for each row (or column) of the table, one run each, a panel for each value of `panels`."""
    clouds = _clouds(table, spec)
    values = shown_values(clouds, spec)
    figure, blocks = _blocks(len(clouds), len(values) + (spec["beside"] is not None))
    paint = _painter(clouds, spec)
    for (entry, run, rows), panels in zip(clouds, blocks, strict=True):
        shown = rows if spec["panels"] == "step" else at_the_end(rows)
        for value, panel in zip(values, panels, strict=False):
            part = [row for row in shown if spec["panels"] is None or row[spec["panels"]] == value]
            paint(panel, part)
            style.title(panel, _title(table, spec, entry, value, first=panel is panels[0]))
            _frame(panel, shown, part, spec)
        if spec["beside"] is not None:
            _beside(panels[-1], run, spec["beside"])
    _key(figure, [panel for panels in blocks for panel in panels], spec)
    return figure, points_words(table, spec, " after the last step")


def animation(table: Table, spec: Mapping[str, Any]) -> tuple[Animation, str]:
    """The same clouds from step to step, within the same limits."""
    clouds = _clouds(table, spec)
    values = shown_values(clouds, spec)
    steps = sorted({int(float(row["step"])) for _, _, rows in clouds for row in rows})
    figure, blocks = _blocks(len(clouds), len(values))
    paint = _painter(clouds, spec)
    when = moments([run for _, run, _ in clouds], steps)
    frames = {
        step: [[row for row in rows if int(float(row["step"])) == step] for _, _, rows in clouds] for step in steps
    }

    def show(step: int) -> list[Any]:
        for (entry, _, all_rows), rows, panels in zip(clouds, frames[step], blocks, strict=True):
            for value, panel in zip(values, panels, strict=True):
                panel.clear()
                part = [row for row in rows if spec["panels"] is None or row[spec["panels"]] == value]
                paint(panel, part)
                style.title(panel, f"{_title(table, spec, entry, value, first=True)}, {when[step]}")
                _frame(panel, all_rows, part, spec)
        return []

    show(steps[-1])
    _key(figure, [panel for panels in blocks for panel in panels], spec)
    # a frame's panels stay in place
    style.freeze(figure)
    return FuncAnimation(figure, show, frames=steps), points_words(
        table, spec, " over training, a frame for each evaluation"
    )


def moments(runs: Sequence[Run], steps: Sequence[int]) -> dict[int, str]:
    """Steps in words, as epochs where possible.

    The runs have to be counted in epochs, the same ones in all runs, and whole at each of the steps.
    """
    epochs: dict[int, set[float]] = {0: {0.0}}
    for run in runs:
        for step, epoch in zip(run.metrics.get("step", ()), run.metrics.get("epoch", ()), strict=False):
            if step is not None and epoch is not None:
                epochs.setdefault(int(step), set()).add(epoch)
    at = {step: epochs.get(step, set()) for step in steps}
    if ruler_of(list(runs)) == "epoch" and all(len(each) == 1 and float(*each).is_integer() for each in at.values()):
        return {step: f"epoch {int(*each):,}" for step, each in at.items()}
    return {step: f"step {step:,}" for step in steps}


def points_words(table: Table, spec: Mapping[str, Any], when: str) -> str:
    """The caption of points; when: their steps, unless the panels show them."""
    when = "" if spec["panels"] == "step" else when
    coloured = f", coloured by {spec['colour']}" if spec["colour"] else ""
    beside = f"; beside them {spec['beside']['y']} against {spec['beside']['x']}" if spec["beside"] else ""
    outside = ", points beyond the limits counted in the corner" if spec["limits"] is not None else ""
    panels = " and ".join(filter(None, (axis_words(table, spec["each"]), spec["panels"])))
    dealt = f"; panels by {panels}" if panels else ""
    return (
        f"Points ({spec['x']}, {spec['y']}) of the probe {spec['probe']}{when}{coloured}{dealt}; one run each, of the"
        f" smallest seed{beside}{outside}."
    )


def _blocks(count: int, wide: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure with `count` blocks of `wide` square panels in a row, with as many blocks per row as fit."""
    rows, abreast = style.grid(count, max(1, CLOUDS_ABREAST // wide))
    columns = abreast * wide
    square = 3.2 if columns == 1 else min(2.6, style.TWO_COLUMNS / columns + 0.1)
    figure, panels = style.panels_of(count * wide, rows, columns, min(square, max(1.4, style.TALLEST / rows)))
    return figure, [panels[place : place + wide] for place in range(0, count * wide, wide)]


def _title(table: Table, spec: Mapping[str, Any], entry: Entry, value: str | None, first: bool) -> str:
    """The title of a panel: the entry, in the first panel of its row, and the panel's value of the column `panels`."""
    number = _float(value)
    what = f"{spec['panels']} {f'{number:,.0f}' if number.is_integer() else value}" if math.isfinite(number) else value
    return ", ".join(word for word in (style.of(table, spec["each"], entry) if first else "", what) if word)


def _lines_of(table: Table, spec: Mapping[str, Any], entry: Entry) -> list[tuple[str, list[Run], Mapping[str, Any]]]:
    """The lines of an entry's panel: a name, the runs, and the conditions on their rows."""
    if spec["lines"] is None:
        others = entries_of(table, "rows" if spec["each"] == "columns" else "columns")
        return [(other.label, runs, spec["where"]) for other in others if (runs := runs_of(table, entry, other))]
    runs = runs_of(table, entry)
    values = dict.fromkeys(
        row[spec["lines"]] for run in runs for row in run.probe(spec["probe"], [spec["lines"]], spec["where"])
    )
    return [(value, runs, {**spec["where"], spec["lines"]: value}) for value in values]


def _points(runs: list[Run], spec: Mapping[str, Any]) -> dict[float, list[float]]:
    """x → a y for each run, the mean of its rows there."""
    points: dict[float, list[float]] = {}
    for run in runs:
        by_x: dict[float, list[float]] = {}
        for row in run.probe(spec["probe"], (spec["x"], spec["y"]), spec["where"]):
            by_x.setdefault(_float(row[spec["x"]]), []).append(_float(row[spec["y"]]))
        for x, values in by_x.items():
            finite = [value for value in values if math.isfinite(value)]
            if finite and math.isfinite(x):
                points.setdefault(x, []).append(sum(finite) / len(finite))
    return points


def _clouds(table: Table, spec: Mapping[str, Any]) -> list[tuple[Entry, Run, list[Row]]]:
    """The table's entries with rows: the entry, its run of the smallest seed, and the rows."""
    needed = [name for name in (spec["x"], spec["y"], spec["colour"], spec["panels"]) if name]
    firsts = [
        (entry, run)
        for entry in entries_of(table, spec["each"])
        if (run := smallest_seed(runs_of(table, entry))) is not None
    ]
    return [
        (*first, rows)
        for first, rows in readable(firsts, lambda first: first[1].probe(spec["probe"], needed, spec["where"]))
    ]


def shown_values(clouds: Sequence[tuple[Entry, Run, list[Row]]], spec: Mapping[str, Any]) -> list[str | None]:
    """The values of the column `panels` that have a panel, in order."""
    if spec["panels"] is None:
        return [None]
    values = dict.fromkeys(row[spec["panels"]] for _, _, rows in clouds for row in rows)
    ordered = sorted(
        values, key=lambda value: (_float(value), value) if math.isfinite(_float(value)) else (math.inf, value)
    )
    return spread(ordered, MOST_VALUES)


def at_the_end(rows: Sequence[Row]) -> list[Row]:
    """The rows of the last step."""
    last = max(_float(row["step"]) for row in rows)
    return [row for row in rows if _float(row["step"]) == last]


def _painter(
    clouds: Sequence[tuple[Entry, Run, list[Row]]], spec: Mapping[str, Any]
) -> Callable[[Axes, Sequence[Row]], None]:
    """A function that draws rows as points: by class where the colour column has few values, else on a colour scale."""
    column = spec["colour"]
    values = dict.fromkeys(row[column] for _, _, rows in clouds for row in rows) if column else {None: None}
    numbers = [_float(value) for value in values] if column else []
    by_scale = len(values) > MOST_NAMED and all(map(math.isfinite, numbers))

    def paint(panel: Axes, rows: Sequence[Row]) -> None:
        points: dict[str, Any] = {"s": 9 if len(rows) < 400 else 4, "linewidths": 0, "rasterized": True}
        if by_scale:
            places = [(_float(row[spec["x"]]), _float(row[spec["y"]]), _float(row[column])) for row in rows]
            x, y, c = zip(*places, strict=True) if places else ((), (), ())
            panel.scatter(x, y, c=c, cmap="cividis", vmin=min(numbers), vmax=max(numbers), **points)
            return
        for index, value in enumerate(sorted(values, key=str)):
            part = [row for row in rows if column is None or row[column] == value]
            x, y = ([_float(row[spec[axis]]) for row in part] for axis in ("x", "y"))
            name = (
                None
                if column is None
                else style.text(f"{column} {value}" if math.isfinite(_float(value)) else str(value))
            )
            look = {
                "color": style.CLOUDS[index % len(style.CLOUDS)],
                "marker": style.MARKERS[index % len(style.MARKERS)],
            }
            panel.scatter(x, y, label=name, **look, **points)
            # a class's name amid its points, for readers who cannot use the colours
            if part and 2 < len(values) <= MOST_NAMED:
                look = {
                    "ha": "center",
                    "va": "center",
                    "path_effects": [withStroke(linewidth=2, foreground="white")],
                    "clip_on": True,
                }
                panel.text(np.nanmedian(x), np.nanmedian(y), style.text(str(value), 10), fontsize=style.SMALL, **look)

    return paint


def _frame(panel: Axes, rows: Sequence[Row], drawn: Sequence[Row], spec: Mapping[str, Any]) -> None:
    """A square with one scale for x and y: the given limits, or those of all the rows that share them."""
    panel.set_aspect("equal", adjustable="box")
    coordinates = [[value for row in rows if math.isfinite(value := _float(row[spec[axis]]))] for axis in ("x", "y")]
    if spec["limits"] is None and all(coordinates):
        half = 0.525 * max(max(values) - min(values) for values in coordinates) or 1.0
        for values, setter in zip(coordinates, (panel.set_xlim, panel.set_ylim), strict=True):
            setter((min(values) + max(values)) / 2 - half, (min(values) + max(values)) / 2 + half)
    elif spec["limits"] is not None:
        panel.set_xlim(*spec["limits"])
        panel.set_ylim(*spec["limits"])
        low, high = spec["limits"]
        outside = sum(not all(low <= _float(row[spec[axis]]) <= high for axis in ("x", "y")) for row in drawn)
        if outside:
            box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.8}
            panel.text(0.03, 0.03, f"{outside:,} outside", transform=panel.transAxes, fontsize=style.SMALL, bbox=box)


def _beside(panel: Axes, run: Run, spec: Mapping[str, Any]) -> None:
    """A line of another file of the same run, such as the density that the points were drawn from."""
    rows = at_the_end(run.probe(spec["probe"], (spec["x"], spec["y"]), spec.get("where")))
    places = sorted((_float(row[spec["x"]]), _float(row[spec["y"]])) for row in rows)
    panel.plot([x for x, _ in places], [y for _, y in places], color=style.colour(0))
    panel.set_xlabel(style.text(spec["x"]))
    panel.set_ylabel(style.text(spec["y"]))
    panel.set_ylim(bottom=0)


def _key(figure: Figure, panels: Sequence[Axes], spec: Mapping[str, Any]) -> None:
    """The key of the colours: a legend for classes, a bar for a scale."""
    names = dict.fromkeys(name for panel in panels for name in panel.get_legend_handles_labels()[1])
    if names:
        style.legend(figure, list(panels), list(names))
        return
    clouds = [cloud for panel in panels for cloud in panel.collections if cloud.get_array() is not None]
    if clouds:
        where = [panel for panel in panels if panel.collections]
        bar = figure.colorbar(
            clouds[0], ax=where, orientation="horizontal", location="top", aspect=50, shrink=0.6, pad=0.02
        )
        bar.set_label(style.text(spec["colour"]))


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


# --- images ---


def images(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """A row of images for each cell whose first run kept them: as the network saw them, with their labels."""
    cells, size = cells_with_images(table, spec), style.TWO_COLUMNS / spec["count"]
    figure = Figure(
        figsize=(style.TWO_COLUMNS, len(cells) * (size + 0.62)), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
    )
    bands = figure.subfigures(len(cells), 1, squeeze=False)[:, 0]
    for band, (outer, inner, rows) in zip(bands, cells, strict=True):
        layers = dict.fromkeys(row["layer"] for row in rows if row["layer"] not in ("", "input"))
        row, column = (outer, inner) if spec["each"] == "rows" else (inner, outer)
        heading = style.place(table, row, column)
        if layers:
            heading += f"; blended at {', '.join(layers)}: these are the first parts, not yet blended"
        heading = style.folded(style.text(heading, 160), int(style.TWO_COLUMNS * style.LETTERS_AN_INCH) - 12)
        band.suptitle(heading, x=0.01, ha="left", fontsize=style.SMALL + 1)
        panels = band.subplots(1, spec["count"], squeeze=False)[0]
        for panel in panels:
            panel.set_axis_off()
        for panel, row in zip(panels, rows, strict=False):
            pixels = decoded(row["image"], spec["probe"])
            panel.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest")
            labels = style.folded(style.text(row["labels"], 44), max(8, int(size * style.LETTERS_AN_INCH)))
            panel.set_title(labels, fontsize=style.SMALL, y=-0.06, va="top")
    layers = {row["layer"] for *_, rows in cells for row in rows} - {"", "input"}
    hidden = (
        "; where they are blended at a hidden layer they are shown as they enter the network, not yet blended"
        if layers
        else ""
    )
    given = "Training samples as the network was given them, augmented and blended, with their label weights"
    return figure, f"{given}, from one run a row{hidden}."


def cells_with_images(table: Table, spec: Mapping[str, Any]) -> list[tuple[Entry, Entry, list[Row]]]:
    """The cells with the rows of their run of the smallest seed in the probe's file."""
    places = [
        (outer, inner)
        for outer in outer_of(table, spec)
        for inner in entries_of(table, spec["by"])
        if runs_of(table, outer, inner)
    ]

    def read(place: tuple[Entry, Entry]) -> list[Row]:
        run = smallest_seed(runs_of(table, *place))
        assert run is not None  # places are those with runs
        return [*run.probe(spec["probe"], ("image", "labels", "layer"))[: spec["count"]]]

    cells = [(*place, rows) for place, rows in readable(places, read)]
    if len(cells) > MOST_ROWS:
        raise UserError(
            f"it would have {len(cells)} rows of images; {MOST_ROWS} are the most, so name some entries with `only`"
        )
    return cells


def decoded(word: str, probe: str) -> np.ndarray:
    """Pixels, uint8 [H, W] or [H, W, 3], of an image in base64; raises UserError where it is invalid."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(word, validate=True)), formats=["PNG"]) as image:
            if max(image.size) > LARGEST:
                raise ValueError(f"{image.size} pixels")
            return np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"probe_{probe}.csv has an image that cannot be read: {error}") from error
