"""The figure of what a result costs: wall time against the table's metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixexp.errors import UserError
from mixexp.metrics import RULES
from mixexp.reporting.cells import entries_of
from mixexp.reporting.figures.lines import axis_words, number_words, score_of, selected
from mixexp.reporting.figures.style import (
    LETTERS_AN_INCH,
    MOST_LINES,
    SMALL,
    canvas,
    legend,
    named,
    plain_log,
    series,
    text,
)
from mixexp.reporting.tables import Entry, Table, runs_of
from mixexp.spec.table import quantity
from mixexp.training.reader import Run

FILLED = ("full", "none", "left", "right", "top", "bottom")
"""Of markers, by device."""
MOST_LABELS = 60
"""Maximum means with labels; more would overlap."""
WIDE = 20
"""Times that the longest run is as long as the shortest from which x is logarithmic."""


def cost(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """Each run's wall time against its score, by column (or row), and larger the mean of each cell; markers differ by
    device."""
    axes = ("columns", "rows") if spec["by"] == "columns" else ("rows", "columns")
    lines, others = (entries_of(table, axis) for axis in axes)
    points = {run.folder: point for run in runs_of(table, Entry("", {})) if (point := _point(table, run)) is not None}
    if not points:
        raise UserError("no run tells its seconds and has a number")
    lines, others = (
        [entry for entry in entries if any(run.folder in points for run in runs_of(table, entry))]
        for entries in (lines, others)
    )
    named_lines = len(lines) <= MOST_LINES
    hardware = sorted(
        {device_of(run) for run in runs_of(table, Entry("", {}))}
    )  # times on different devices do not compare
    longest, shortest = (pick(x for x, _ in points.values()) for pick in (max, min))
    units = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
    per, unit_of_time = next(pair for pair in units if longest >= 3 * pair[0] or pair[0] == 1)
    figure, ((panel,),) = canvas(1, 1, 2.7)
    clouds: dict[tuple[int, int], tuple[list, list]] = {}
    means: list[tuple[float, float, str]] = []
    for index, line in enumerate(lines):
        for other in others:
            members = [run for run in runs_of(table, line, other) if run.folder in points]
            for place, device in enumerate(hardware):
                dots_of_device = [
                    (points[run.folder][0] / per, points[run.folder][1]) for run in members if device_of(run) == device
                ]
                if dots_of_device:
                    x, y = zip(*dots_of_device, strict=True)
                    middle = fmean(x), table.statistic.centre(y)
                    dots, middles = clouds.setdefault((index if named_lines else 0, place), ([], []))
                    dots += dots_of_device
                    middles.append(middle)
                    words = [
                        entry.label
                        for entry in (*([] if named_lines else [line]), *([other] if len(others) > 1 else []))
                    ]
                    means.append((*middle, text(", ".join(words), 24) if any(words) else ""))
    for (index, place), (dots, middles) in clouds.items():
        style = {**series(index), "linestyle": "none", "fillstyle": FILLED[place % len(FILLED)]}
        name = named(table, axes[0], lines[index]) if named_lines else None
        panel.plot(*zip(*dots, strict=True), markersize=2.5, alpha=0.7, gid="run", **style)
        edge = {"markersize": 6.5, "markeredgecolor": "black", "markeredgewidth": 0.7}
        panel.plot(*zip(*middles, strict=True), gid="mean", label=name, **edge, **style)
    if shortest > 0 and longest > WIDE * shortest:
        plain_log(panel, "x")
    panel.margins(x=0.08)
    panel.set_xlabel(f"wall time ({unit_of_time})")
    panel.set_ylabel(text(selected(quantity(table.spec, table.spec["metric"]), table.rule), 48))
    order = [named(table, axes[0], line) for line in lines] if named_lines else []
    if len(hardware) > 1:
        for place, device in enumerate(hardware):
            handle = Line2D(
                [],
                [],
                color="#555555",
                marker="o",
                linestyle="none",
                fillstyle=FILLED[place % len(FILLED)],
                label=text(device),
            )
            panel.add_line(handle)
        order += [text(device) for device in hardware]
    legend(figure, [panel], order)
    _label(panel, means)
    where = (
        f"on {hardware[0]}"
        if len(hardware) == 1
        else f"on {len(hardware)} devices, whose times do not compare (the markers' filling tells which)"
    )
    by = axis_words(table, spec["by"])
    markers = f", markers by {by}" if by else ""
    return (
        figure,
        (
            f"Wall time of each run {where} against {quantity(table.spec, table.spec['metric'])},"
            f" {RULES[table.rule]}{markers}; small: runs, large: the mean of a cell"
            f" ({number_words(map(len, table.cells.values()))})."
        ),
    )


def _label(panel: Axes, means: list[tuple[float, float, str]]) -> None:
    """Words beside the means, where they cover neither another mean nor other words."""
    if len({words for *_, words in means}) == 1 or len(means) > MOST_LABELS:
        return
    panel.get_xlim(), panel.get_ylim()  # they are found when they are asked for
    width, height = 3.0, 2.3  # inches, about
    places = panel.transAxes.inverted().transform(panel.transData.transform([(x, y) for x, y, _ in means])) * (
        width,
        height,
    )
    taken = [(x - 0.05, x + 0.05, y - 0.05, y + 0.05) for x, y in places]
    for (x, y, words), (left, bottom) in zip(means, places, strict=True):
        long = len(words) / LETTERS_AN_INCH
        for right, up in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            start, low = left + (0.05 if right == 1 else -0.05 - long), bottom + (0.04 if up == 1 else -0.14)
            box = (start, start + long, low, low + 0.1)
            if (
                words
                and box[0] >= 0
                and box[1] <= width
                and not any(box[0] < b and a < box[1] and box[2] < d and c < box[3] for a, b, c, d in taken)
            ):
                ends = {"ha": "left" if right == 1 else "right", "va": "bottom" if up == 1 else "top"}
                panel.annotate(
                    words,
                    (x, y),
                    xytext=(4 * right, 2.5 * up),
                    textcoords="offset points",
                    fontsize=SMALL,
                    color="#555555",
                    **ends,
                )
                taken.append(box)
                break


def device_of(run: Run) -> str:
    """The device of a run, with how many threads."""
    name, threads = run.environment.get("device_name", "unknown device"), run.environment.get("threads")
    on_processor = run.environment.get("device", "cpu") == "cpu" and isinstance(threads, int)
    return f"{name}, {threads} thread{'s' if threads != 1 else ''}" if on_processor else str(name)


def _point(table: Table, run: Run) -> tuple[float, float] | None:
    """Seconds and score."""
    seconds, score = run.result.get("seconds"), score_of(table, run, table.spec["metric"])
    sound = isinstance(seconds, int | float) and math.isfinite(seconds) and score is not None
    return (float(seconds), score) if sound else None
