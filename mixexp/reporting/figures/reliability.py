"""Reliability diagrams: accuracy against confidence, before and after temperature scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.errors import UserError
from mixexp.reporting.cells import entries_of
from mixexp.reporting.figures import style
from mixexp.reporting.figures.lines import axis_words, each_words, number_words, outer_of, some_words
from mixexp.reporting.figures.probes import at_the_end
from mixexp.reporting.tables import Table, runs_of
from mixexp.training.reader import Run

SCALINGS = {"none": "before temperature scaling", "fitted": "after temperature scaling"}
"""Values of the column scaling → in words."""
COLUMNS = ("scaling", "lower", "upper", "images", "confidence", "accuracy")
TALL, LOW = 3.0, 1.9
"""Inches of a diagram with its histogram, and the least where there are many."""


class Bins(NamedTuple):
    """Bins of several runs together: number of bins; of those with images, ends, share, confidence and accuracy."""

    count: int
    lower: np.ndarray
    share: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """A diagram for each row (or column) of the table and scaling, a line for each column, above the bins' images."""
    outer = outer_of(table, spec)
    lines = [entry for entry in entries_of(table, spec["by"]) if not entry.label or runs_of(table, entry)]
    if len(lines) > style.MOST_LINES:
        raise UserError(
            f"it would have {len(lines)} lines; {style.MOST_LINES} are the most, so draw fewer {spec['by']}"
        )
    found = {
        scaling: [[pooled(runs_of(table, entry, line), spec["probe"], scaling) for line in lines] for entry in outer]
        for scaling in SCALINGS
    }
    scalings = [scaling for scaling in SCALINGS if any(bins for several in found[scaling] for bins in several)]
    if not scalings:
        raise UserError(f"no run has a probe_{spec['probe']}.csv with {', '.join(COLUMNS)}")
    blocks = [(entry, scaling, found[scaling][k]) for k, entry in enumerate(outer) for scaling in scalings]
    rows, columns = style.grid(len(blocks), 2)
    figure, axes = style.canvas(2 * rows, columns, max(LOW, min(TALL, style.TALLEST / rows)) / 2)
    axes[0, 0].get_gridspec().set_height_ratios([3, 1] * rows)
    diagrams, histograms = axes[::2].ravel(), axes[1::2].ravel()
    for spare in (*diagrams[len(blocks) :], *histograms[len(blocks) :]):
        spare.remove()
    for (entry, scaling, several), diagram, histogram in zip(blocks, diagrams, histograms, strict=False):
        diagram.plot([0, 1], [0, 1], color="#777777", linewidth=0.8, linestyle=":", gid="diagonal")
        for index, (line, bins) in enumerate(zip(lines, several, strict=True)):
            if bins is not None:
                _draw(diagram, histogram, index, bins, style.named(table, spec["by"], line))
        where = style.of(table, spec["each"], entry) if len(outer) > 1 else ""
        style.title(diagram, ", ".join(filter(None, (where, SCALINGS[scaling]))))
        for panel, words in ((diagram, "accuracy"), (histogram, "images")):
            panel.set(xlim=(0, 1), ylim=(0, 1), ylabel=words)
        diagram.tick_params(labelbottom=False)
        histogram.set_xlabel("confidence")
    style.legend(figure, list(diagrams[: len(blocks)]), [style.named(table, spec["by"], line) for line in lines])
    each = each_words(axis_words(table, spec["by"]))
    dealt = f"; panels by {axis_words(table, spec['each'])}{some_words(table, spec)}" if len(outer) > 1 else ""
    counts = sorted({bins.count for *_, several in blocks for bins in several if bins is not None})
    return figure, (
        f"Accuracy against confidence in {' or '.join(map(str, counts))} bins of equal width (probe {spec['probe']}),"
        f" and below, the fraction of the images in each bin{each}{dealt}; the dotted diagonal is perfect calibration;"
        f" bins hold the images of all runs of a line ({number_words(map(len, table.cells.values()))})."
    )


def pooled(runs: Sequence[Run], probe: str, scaling: str) -> Bins | None:
    """The bins of all runs together after their last step; None where no run has any of this scaling.

    A bin's confidence and accuracy are means over its images. Raises UserError where runs have different bins.
    """
    sums: dict[float, np.ndarray] = {}
    widths = set()
    for run in runs:
        try:
            rows = at_the_end(run.probe(probe, COLUMNS, {"scaling": scaling}))
        except UserError:  # a run that was not measured, or not scaled
            continue
        for row in rows:
            try:
                lower, upper, images, confidence, accuracy = (float(row[name]) for name in COLUMNS[1:])
            except ValueError as error:
                raise UserError(f"probe_{probe}.csv has a bin that cannot be read: {error}") from None
            widths.add(round(upper - lower, 9))
            sums[lower] = sums.get(lower, 0) + images * np.array([1, confidence, accuracy])
    if not sums:
        return None
    if len(widths) > 1 or not 0 < min(widths) <= 1:
        raise UserError(f"its runs have bins of different widths in probe_{probe}.csv, which are not one line")
    lower = np.array(sorted(sums))
    images, confidence, accuracy = np.array([sums[place] for place in lower]).T
    return Bins(round(1 / widths.pop()), lower, images / images.sum(), confidence / images, accuracy / images)


def _draw(diagram: Axes, histogram: Axes, index: int, bins: Bins, name: str) -> None:
    look = {"markersize": 3.2, "clip_on": False, **style.series(index)}  # markers at 0 and 1 stay whole
    diagram.plot(bins.confidence, bins.accuracy, label=name or None, **look)
    shares = np.zeros(bins.count)
    shares[np.rint(bins.lower * bins.count).astype(int)] = bins.share
    edges = np.arange(bins.count + 1) / bins.count
    histogram.stairs(shares, edges, color=style.colour(index), linestyle=style.series(index)["linestyle"])
