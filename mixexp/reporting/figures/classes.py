"""Figures by class: confusion matrices, and each class's accuracy against its number of training images."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.errors import UserError, closest
from mixexp.files import read_text
from mixexp.reporting.entries import label
from mixexp.reporting.figures.lines import axis_words, draw_line, each_words, entries_of, number_words, outer_of, some_words, spread_words
from mixexp.reporting.figures.style import SMALL, grid, legend, named, of, panels_of, place, plain_log, same_limits, series, text, title
from mixexp.reporting.stats import Statistic
from mixexp.reporting.tables import Entry, Table, runs_of
from mixexp.spec.figures import MOST_MATRICES
from mixexp.training.reader import Run

ABOUT_ALIKE = 1.25
"""Times that a class may have the training images of another one to count as one of its size."""
MOST_NUMBERED, MOST_NAMED = 12, 20
"""Classes up to which a matrix has numbers in its cells, and names beside them."""
MOST_DOTS = 40
"""Classes of one size that have a place each on the x axis."""

Cell = tuple[Entry, Entry, list[Run]]


def confusion(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """Confusion matrices, one for each cell of the table: per cent of a true class (row) that was predicted as which (column)."""
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
        bar = figure.colorbar(panels[0].collections[0], ax=panels, orientation="horizontal", location="top", aspect=50, shrink=0.6)
        bar.set_label("% of the true class")
    everywhere = [1 for row in entries_of(table, "rows") for column in entries_of(table, "columns") if runs_of(table, row, column)]
    some = f" in {len(cells)} of the {len(everywhere)} cells with runs" if len(cells) < len(everywhere) else ""
    what = "the per cent of each true class (row) that was predicted as each class (column), blank below a half"
    counts = number_words(matrix.runs for *_, matrix in matrices)
    return figure, f"Confusion matrices of the last evaluation{some}: {what}, from counts summed over runs ({counts})."


def chosen(table: Table, spec: Mapping[str, Any]) -> list[Cell]:
    """The cells that have a matrix: those of the rows and columns in `only`; without it, of as many rows from the first to the last as
    give no more than `most`.
    """
    axes = {axis: entries_of(table, axis) for axis in ("rows", "columns")}
    if spec["only"] is not None:
        labels, known = [label(name) for name in spec["only"]], [entry.label for entries in axes.values() for entry in entries]
        for name in labels:
            if name not in known:
                raise UserError(f"the table has no row or column {name!r}.{closest(name, known)}")
        axes = {axis: [entry for entry in entries if entry.label in labels] or entries for axis, entries in axes.items()}
    cells = [(row, column, runs) for row in axes["rows"] for column in axes["columns"] if (runs := runs_of(table, row, column))]
    if spec["only"] is None and len(cells) > spec["most"]:
        rows = list(dict.fromkeys(row.label for row, _, _ in cells))
        row_labels = spread(rows, max(1, spec["most"] * len(rows) // len(cells)))
        cells = [cell for cell in cells if cell[0].label in row_labels]
    if not cells:
        raise UserError("there are no runs")
    if len(cells) > MOST_MATRICES:
        raise UserError(f"it would have {len(cells)} matrices; {MOST_MATRICES} are the most, so name some rows or columns with `only`")
    return cells


def spread(things: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the things, evenly from the first to the last."""
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
        for row, column in np.argwhere(np.round(shares) >= 1):  # noughts would hide the rest
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

    A panel for each row (or column) of the table, in it a line for each column through the means of the classes of about a size, with
    its spread over seeds, and a dot for each class.
    """
    inner = entries_of(table, spec["by"])
    groups = [(outer, lines) for outer in outer_of(table, spec) if any(lines := [_recalls(runs_of(table, outer, line)) for line in inner])]
    if not groups:
        readable(runs_of(table, Entry("", {})), confusion_of)  # says why
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
            sizes = [size for recalls in lines for size, _ in recalls.values()]
            if min(sizes) > 0 and max(sizes) > 10 * min(sizes):
                plain_log(panel, "x")
    same_limits(panels)
    legend(figure, panels, [named(table, spec["by"], line) for line in inner])
    dealt = f"; panels by {axis_words(table, spec['each'])}{some_words(table, spec)}" if len(entries_of(table, spec["each"])) > 1 else ""
    return figure, (
        f"Accuracy on each class at the last evaluation against its number of training images{each_words(axis_words(table, spec['by']))} through the "
        f"means of the classes of about a size (dots: the classes); {spread_words(table, 'bands')}{dealt}."
    )


def _recalls(runs: list[Run]) -> dict[str, tuple[float, list[float]]]:
    """Class → its number of training images, the mean over the runs, and its accuracy in per cent in each; empty where no run tells them."""
    try:
        matrices = readable(runs, confusion_of)
    except UserError:
        return {}
    pooled(runs)  # refuses classes that differ
    classes = matrices[0][1].classes
    counts = np.array([training_counts(run, len(classes)) for run, _ in matrices])
    recalls = np.array([100 * matrix.recall for _, matrix in matrices])
    tested = np.isfinite(recalls).all(0)
    sizes = counts.mean(0)
    return {name: (sizes[k], recalls[:, k].tolist()) for k, name in enumerate(classes) if tested[k]}


def _sizes(panel: Axes, index: int, recalls: Mapping[str, tuple[float, list[float]]], name: str, statistic: Statistic) -> None:
    ordered = sorted(recalls.values(), key=lambda pair: pair[0])
    groups: list[list[tuple[float, list[float]]]] = []
    for size, values in ordered:
        if not groups or size > ABOUT_ALIKE * groups[-1][0][0]:
            groups.append([])
        groups[-1].append((size, values))
    at = {float(np.mean([size for size, _ in group])): np.mean([values for _, values in group], axis=0).tolist() for group in groups}
    draw_line(panel, index, name, at, statistic)
    dots = [(size, np.mean(values)) for group in groups if len(group) > 1 for size, values in group]
    if dots:
        look = series(index)
        panel.scatter(*zip(*dots, strict=True), s=6, marker=look["marker"], color=look["color"], alpha=0.6, linewidths=0)


def _dots(panel: Axes, index: int, recalls: Mapping[str, tuple[float, list[float]]], names: list[str], name: str, lines: int) -> None:
    if not recalls:
        return
    aside = 0.5 * ((index + 0.5) / lines - 0.5)  # points of one class lie beside each other
    x = [names.index(each) + aside for each in recalls]
    values = [values for _, values in recalls.values()]
    spread = [np.std(each, ddof=1) for each in values] if len(values[0]) > 1 else None
    style = {**series(index), "linestyle": "none"}
    panel.errorbar(x, [np.mean(each) for each in values], yerr=spread, capsize=1.5, label=name, **style)


# --- confusion.csv ---


@dataclass(frozen=True)
class Confusion:
    """Test images by true class (rows) and predicted class (columns), int64 [C, C], with the number of runs."""

    classes: tuple[str, ...]
    counts: np.ndarray
    runs: int = 1

    @property
    def shares(self) -> np.ndarray:
        """The share of each class that is predicted as each, float64 [C, C] of rows that sum to 1; nan for a class without test images."""
        total = self.counts.sum(1, keepdims=True)
        return np.divide(self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0)

    @property
    def recall(self) -> np.ndarray:
        """The accuracy on each class, float64 [C]."""
        return np.diag(self.shares)


def confusion_of(run: Run) -> Confusion:
    """The confusion.csv of a run's last evaluation; raises UserError where there is none that can be read."""
    try:
        (_, *classes), *rows = csv.reader(io.StringIO(read_text(run.folder / "confusion.csv"), newline=""))
        counts = np.array([[int(value) for value in values] for _, *values in rows], dtype=np.int64)
    except FileNotFoundError:
        raise UserError("there is no confusion.csv") from None
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise UserError(f"confusion.csv cannot be read: {error}") from error
    if counts.shape != (len(classes), len(classes)) or (counts < 0).any() or [name for name, *_ in rows] != classes:
        raise UserError("confusion.csv is no square of counts with the same classes in its rows and columns")
    return Confusion(tuple(classes), counts)


def pooled(runs: Iterable[Run]) -> Confusion:
    """The sum over the runs that have a matrix; raises UserError where none has, or where their classes differ."""
    counted = readable(runs, confusion_of)
    if len({each.classes for _, each in counted}) > 1:
        raise UserError("runs of one cell have different classes, so their confusion matrices have no sum")
    return Confusion(counted[0][1].classes, sum(each.counts for _, each in counted), len(counted))


def readable(things: Iterable[Any], read: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    """The things that can be read, each with what is read of it; raises UserError with the first reason where none can."""
    readings, problems = [], []
    for thing in things:
        try:
            readings.append((thing, read(thing)))
        except UserError as error:
            problems.append(str(error))
    if not readings:
        raise UserError(problems[0] if problems else "there are no runs")
    return readings


def training_counts(run: Run, classes: int) -> list[int]:
    """Training images of each class, as the run's environment tells them; raises UserError where it does not."""
    counts = run.environment.get("train_counts")
    if not isinstance(counts, list) or len(counts) != classes or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise UserError("environment.json does not tell how many training images each class has")
    return counts
