"""Figures by class: confusion matrices, and each class's accuracy against its number of training images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.errors import UserError, closest
from mixexp.metrics import FEW, MANY
from mixexp.reporting.cells import entries_of
from mixexp.reporting.confusion import Confusion, confusion_of, pooled, readable, training_counts
from mixexp.reporting.entries import among, label
from mixexp.reporting.figures.lines import (
    axis_words,
    draw_line,
    each_words,
    number_words,
    outer_of,
    some_words,
    spread_words,
)
from mixexp.reporting.figures.style import (
    LETTERS_AN_INCH,
    SMALL,
    grid,
    legend,
    named,
    of,
    panels_of,
    place,
    plain_log,
    same_limits,
    series,
    share,
    text,
    title,
)
from mixexp.reporting.runs import ABOUT_ALIKE
from mixexp.reporting.shots import shots, sizes
from mixexp.reporting.stats import Statistic
from mixexp.reporting.tables import Entry, Table, runs_of
from mixexp.spec.figures import MOST_MATRICES
from mixexp.training.reader import Run

MOST_NUMBERED, MOST_NAMED = 12, 20
"""The most classes of a matrix with numbers in its cells, and with names next to it."""
MOST_DOTS = 40
"""The most classes of one size with a place each on the x axis."""

Cell = tuple[Entry, Entry, list[Run]]


def confusion(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """Confusion matrices, one for each cell of the table: per cent of a true class (row) by predicted class."""
    cells = chosen(table, spec)
    matrices = [(row, column, pooled(runs)) for row, column, runs in cells]
    abreast = len({column.label for _, column, _ in matrices})
    rows, columns = grid(len(matrices), abreast if abreast in (2, 3) else 3)
    most = max(len(matrix.classes) for *_, matrix in matrices)
    widest = {1: 3.3, 2: 3.4}.get(columns, 2.5)
    figure, panels = panels_of(len(matrices), rows, columns, min(widest, 1.1 + 0.2 * most))
    alike = len({matrix.classes for *_, matrix in matrices}) == 1
    for k, ((row, column, matrix), panel) in enumerate(zip(matrices, panels, strict=True)):
        _matrix(panel, matrix)
        title(panel, place(table, row, column))
        if k % columns == 0 or not alike:
            panel.set_ylabel("true")
        else:
            panel.set_yticklabels([])
        if k + columns >= len(matrices) or not alike:
            panel.set_xlabel("predicted")
        else:
            panel.set_xticklabels([])
    if any(len(matrix.classes) > MOST_NUMBERED for *_, matrix in matrices):
        bar = figure.colorbar(
            panels[0].collections[0], ax=panels, orientation="horizontal", location="top", aspect=50, shrink=0.6
        )
        bar.set_label("% of the true class")
    everywhere = [
        1 for row in entries_of(table, "rows") for column in entries_of(table, "columns") if runs_of(table, row, column)
    ]
    some = f" in {len(cells)} of the {len(everywhere)} cells with runs" if len(cells) < len(everywhere) else ""
    what = "the per cent of each true class (row) that was predicted as each class (column), blank below a half"
    counts = number_words(matrix.runs for *_, matrix in matrices)
    return figure, f"Confusion matrices of the last evaluation{some}: {what}, from counts summed over runs ({counts})."


def chosen(table: Table, spec: Mapping[str, Any]) -> list[Cell]:
    """The cells with a matrix: those of the rows and columns in `only`, else a selection of at most `most` cells.

    Without `only`, rows are selected evenly from the first to the last.
    """
    axes = {axis: entries_of(table, axis) for axis in ("rows", "columns")}
    if spec["only"] is not None:
        known = [entry.label for entries in axes.values() for entry in entries]
        labels = [among(label(name), known) for name in spec["only"]]
        for name in labels:
            if name not in known:
                raise UserError(f"the table has no row or column {name!r}.{closest(name, known)}")
        axes = {
            axis: [entry for entry in entries if entry.label in labels] or entries for axis, entries in axes.items()
        }
    cells = [
        (row, column, runs)
        for row in axes["rows"]
        for column in axes["columns"]
        if (runs := runs_of(table, row, column))
    ]
    if spec["only"] is None and len(cells) > spec["most"]:
        rows = list(dict.fromkeys(row.label for row, _, _ in cells))
        row_labels = spread(rows, max(1, spec["most"] * len(rows) // len(cells)))
        cells = [cell for cell in cells if cell[0].label in row_labels]
    if not cells:
        raise UserError("there are no runs")
    if len(cells) > MOST_MATRICES:
        raise UserError(
            f"it would have {len(cells)} matrices; {MOST_MATRICES} are the most, so name some rows or columns with"
            " `only`"
        )
    return cells


def spread(things: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the items, evenly from the first to the last."""
    return [things[round(k)] for k in np.linspace(0, len(things) - 1, min(most, len(things)))]


def _matrix(panel: Axes, matrix: Confusion) -> None:
    shares, count = 100 * matrix.shares, len(matrix.classes)
    # a mesh has sharp edges in every viewer, unlike a picture; beyond some classes its squares would fill the file
    panel.pcolormesh(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=100, rasterized=count > MOST_DOTS)
    panel.set_aspect("equal")
    panel.invert_yaxis()
    panel.grid(False)
    panel.tick_params(length=0)
    if count <= MOST_NUMBERED:
        for row, column in np.argwhere(np.round(shares) >= 1):  # zeros would hide the rest
            dark = shares[row, column] > 55
            panel.text(
                column + 0.5, row + 0.5, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=SMALL,
                color="white" if dark else "black",
            )  # fmt: skip
    names = [text(name, 11) for name in matrix.classes] if count <= MOST_NAMED else []
    panel.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90)
    panel.set_yticks(np.arange(len(names)) + 0.5, names)


def per_class(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """The accuracy on each class against its number of training images; by class where all have the same.

    A panel for each row (or column) of the table, in it a line for each column through the means of the classes of
    about one size, with its spread over seeds, and a dot for each class. The groups of classes with many, medium and
    few images are marked.
    """
    inner = entries_of(table, spec["by"])
    groups = [
        (outer, lines)
        for outer in outer_of(table, spec)
        if any(lines := [_recalls(runs_of(table, outer, line)) for line in inner])
    ]
    if not groups:
        readable(runs_of(table, Entry("", {})), confusion_of)  # raises the reason
        raise UserError("there are no runs")
    every = [size for _, lines in groups for recalls in lines for size, _ in recalls.values()]
    even = min(every) == max(every)
    names = list(dict.fromkeys(name for _, lines in groups for recalls in lines for name in recalls))
    if even and len(names) > MOST_DOTS:
        raise UserError(f"all {len(names)} classes have {every[0]:g} training images, which is nothing to draw against")
    figure, panels = panels_of(len(groups), *grid(len(groups), 3), 2.1 if len(groups) > 1 else 2.5)
    for (outer, lines), panel in zip(groups, panels, strict=True):
        for index, (line, recalls) in enumerate(zip(inner, lines, strict=True)):
            if even:
                _dots(panel, index, recalls, names, named(table, spec["by"], line), len(inner))
            else:
                _sizes(panel, index, recalls, named(table, spec["by"], line), table.statistic)
        if len(groups) > 1:
            title(panel, of(table, spec["each"], outer))
        panel.set_ylabel("accuracy of the class (%)")
        if even:
            panel.set_xticks(range(len(names)), [text(name, 11) for name in names], rotation=90)
        else:
            panel.set_xlabel("training images of the class")
            counts = [size for recalls in lines for size, _ in recalls.values()]
            if min(counts) > 0 and max(counts) > 10 * min(counts):
                plain_log(panel, "x")
    same_limits(panels)
    marked = [
        _mark_groups(panel, table, runs_of(table, outer))
        for (outer, _), panel in zip(groups, panels, strict=True)
        if not even
    ]
    legend(figure, panels, [named(table, spec["by"], line) for line in inner])
    dealt = (
        f"; panels by {axis_words(table, spec['each'])}{some_words(table, spec)}"
        if len(entries_of(table, spec["each"])) > 1
        else ""
    )
    found = shots(table)
    marks = f"; {found.words}" if any(marked) and found is not None else ""
    return (
        figure,
        (
            "Accuracy on each class at the last evaluation against its number of training"
            f" images{each_words(axis_words(table, spec['by']))} through the means of the classes of about a size"
            f" (dots: the classes); {spread_words(table, 'bands')}{marks}{dealt}."
        ),
    )


def _mark_groups(panel: Axes, table: Table, runs: list[Run]) -> bool:
    """Lines between the classes with many, medium and few training images, and names above.

    Nothing is drawn where the groups overlap in size.
    """
    grouping, groups = shots(table), [(group, counts) for group, counts in sizes(table, runs).items() if counts]
    if grouping is None or len(groups) < 2 or any(fewer[-1] >= more[0] for (_, more), (_, fewer) in pairwise(groups)):
        return False
    limits = {("many", "medium"): MANY, ("medium", "few"): FEW}
    between = [
        math.sqrt(max(fewer[-1], 1) * more[0])
        if grouping.thirds or (above, below) not in limits
        else limits[above, below]
        for (above, more), (below, fewer) in pairwise(groups)
    ]
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.19 * (high - low))
    panel.set_yticks([tick for tick in panel.get_yticks() if low <= tick <= 100])
    ends = panel.get_xlim()
    inside = panel.transData + panel.transAxes.inverted()
    places = [inside.transform((x, low))[0] for x in (ends[1], *between, ends[0])]
    inches = share(panel) - 0.55
    sides = zip(groups, pairwise(places), strict=True)
    regions = [
        (group, (left + right) / 2, (right - left) * inches * LETTERS_AN_INCH) for (group, _), (right, left) in sides
    ]
    ruled = all(len(grouping.limits.get(group, "")) + 2 < letters for group, _, letters in regions)
    for index, (group, middle, letters) in enumerate(regions):
        look = {"transform": panel.transAxes, "va": "top", "fontsize": SMALL, "color": "#555555"}
        words = f"{group}\n({grouping.limits[group]})" if ruled and group in grouping.limits else group
        if len(group) < letters:
            panel.text(middle, 0.985, words, ha="center", **look)
        # beyond the frame there is room
        elif index == 0:
            panel.text(places[1] + 0.02, 0.985, words, ha="left", **look)
    for x in between:
        panel.axvline(x, color="#8c8c8c", linewidth=0.7, linestyle=(0, (2, 2)), zorder=0.8, gid="between")
    return True


def _recalls(runs: list[Run]) -> dict[str, tuple[float, list[float]]]:
    """Class → its mean number of training images over the runs, and its accuracy in per cent in each run.

    Empty where no run records them.
    """
    try:
        matrices = readable(runs, confusion_of)
    except UserError:
        return {}
    pooled(runs)  # refuses classes that differ
    classes = matrices[0][1].classes
    counts = np.array([training_counts(run, len(classes)) for run, _ in matrices])
    recalls = np.array([100 * matrix.recall for _, matrix in matrices])
    tested = np.all(np.isfinite(recalls), axis=0)
    sizes = counts.mean(0)
    return {name: (sizes[k], recalls[:, k].tolist()) for k, name in enumerate(classes) if tested[k]}


def _sizes(
    panel: Axes, index: int, recalls: Mapping[str, tuple[float, list[float]]], name: str, statistic: Statistic
) -> None:
    ordered = sorted(recalls.values(), key=lambda pair: pair[0])
    groups: list[list[tuple[float, list[float]]]] = []
    for size, values in ordered:
        if not groups or size > ABOUT_ALIKE * groups[-1][0][0]:
            groups.append([])
        groups[-1].append((size, values))
    at = {
        float(np.mean([size for size, _ in group])): np.mean([values for _, values in group], axis=0).tolist()
        for group in groups
    }
    draw_line(panel, index, name, at, statistic)
    dots = [(size, np.mean(values)) for group in groups if len(group) > 1 for size, values in group]
    if dots:
        look = series(index)
        panel.scatter(
            *zip(*dots, strict=True), s=6, marker=look["marker"], color=look["color"], alpha=0.6, linewidths=0
        )


def _dots(
    panel: Axes, index: int, recalls: Mapping[str, tuple[float, list[float]]], names: list[str], name: str, lines: int
) -> None:
    if not recalls:
        return
    # points of one class lie next to each other
    aside = 0.5 * ((index + 0.5) / lines - 0.5)
    x = [names.index(each) + aside for each in recalls]
    values = [values for _, values in recalls.values()]
    spread = [float(np.std(each, ddof=1)) for each in values] if len(values[0]) > 1 else None
    style = {**series(index), "linestyle": "none"}
    panel.errorbar(x, [float(np.mean(each)) for each in values], yerr=spread, capsize=1.5, label=name, **style)
