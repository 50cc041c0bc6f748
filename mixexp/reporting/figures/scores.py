"""Figures of results by setting, as points with intervals: the table's number, or the recall of groups of classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mixexp.errors import UserError, closest
from mixexp.metrics import FRACTIONS, RULES
from mixexp.reporting.cells import entries_of
from mixexp.reporting.entries import UNSET, among, label
from mixexp.reporting.figures import style
from mixexp.reporting.figures.classes import spread
from mixexp.reporting.figures.lines import axis_words, capitalised, number_words, selected
from mixexp.reporting.figures.style import LETTERS_AN_INCH, MOST_LINES, ONE_COLUMN, TWO_COLUMNS
from mixexp.reporting.shots import GROUPS, shots
from mixexp.reporting.summary import CellSummary, cell_summary
from mixexp.reporting.tables import Entry, Table
from mixexp.spec.table import quantity
from mixexp.text import enumerated, width

MOST_POINTS = 400
"""The most points of a figure."""
STANDARD_POINTS, STANDARD_ENTRIES = 160, 40
"""The most points, and entries along the axis, of a standard figure."""
MOST_DOTS = 10
"""The most runs of a cell that are drawn one by one."""
MOST_BANDS = 3
"""The most baselines with a band over the whole panel; more have lines alone."""
ABREAST = 3
"""Panels next to each other on a page."""
SPREAD = 0.8
"""The part of an entry's room that neighbouring points take."""
ROOM, MOST_ROOM, DOT, LINE = 0.09, 0.34, 0.1, 0.13
"""Inches between neighbouring points, least and most, from a point to its runs, and of a label's line in height."""
MARGIN, GAP = 0.6, 0.05
"""Inches of a panel that its axis takes, and between two labels."""
HIGH = 2.4
"""The height in inches of a panel with its entries along x."""
LETTERS = {ONE_COLUMN: 20, TWO_COLUMNS: 36}
"""Letters of a label on one line next to a panel with its entries along y, by the figure's width."""
GREY = "#8c8c8c"
LOST = "no result"
"""The legend's name for the cross of a cell whose runs all have no result."""

Pairs = list[tuple[float, float]]
"""Places and numbers."""


@dataclass(frozen=True)
class Shown:
    """The content of a panel: its title, its axis label, and functions of a row and a column.

    cell: the number; lost: whether runs have none. fraction: whether the number is a share in per cent.
    """

    title: str
    axis: str
    fraction: bool
    cell: Callable[[str, str], CellSummary]
    lost: Callable[[str, str], bool]


@dataclass(frozen=True)
class Layout:
    """Entries along an axis (main) and those next to each other at each of them (beside).

    axes: rows or columns for each.

    upright: whether the axis is x; along y there is room for long labels. abreast: panels per row. labels: of the main
    entries.
    """

    table: Table
    axes: tuple[str, str]
    main: list[Entry]
    beside: list[Entry]
    upright: bool = True
    abreast: int = 1
    inches: float = ONE_COLUMN
    labels: tuple[str, ...] = ()

    @property
    def deep(self) -> int:
        """The number of points next to each other at each of the main entries, in one panel."""
        return max(map(len, style.parts(self.beside)))

    @property
    def pitch(self) -> float:
        """Inches from one of the main entries to the next."""
        if self.upright:
            return ((self.inches - style.KEY * (len(self.beside) > MOST_LINES)) / self.abreast - MARGIN) / len(
                self.main
            )
        lines = max((1 + name.count("\n") for name in self.labels), default=1)
        return max(ROOM * self.deep / SPREAD, LINE * lines + 0.03, 0.24 if len(self.main) < 10 else 0.0)

    def place(self, main: Entry, beside: Entry) -> tuple[str, str]:
        """The labels of the row and the column of a cell."""
        return (main.label, beside.label) if self.axes[0] == "rows" else (beside.label, main.label)

    def name(self, beside: Entry) -> str:
        """The legend's name for an entry; empty for a single one."""
        return style.named(self.table, self.axes[1], beside) if len(self.beside) > 1 else ""

    def turned(self, pairs: Pairs) -> tuple[list[float], list[float]]:
        """The x and the y of places and numbers."""
        places, numbers = [place for place, _ in pairs], [number for _, number in pairs]
        return (places, numbers) if self.upright else (numbers, places)


def scores(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """The number of each cell with its interval and its runs, by setting; a panel for each of the table's measures."""
    if not table.measures:
        words, fraction = (
            quantity(table.spec, table.spec["metric"]),
            table.spec["metric"] in FRACTIONS and table.spec["scale"] == 100,
        )
        shown = [_shown(table, "", selected(words, table.rule), fraction, lambda row, column: (row, column))]
        return _drawn(table, spec, shown, f"{words}, {RULES[table.rule]}")
    rules = {measure.get("rule") or table.rule for measure in table.measures.values()}
    selection = RULES[next(iter(rules))] if len(rules) == 1 else "each by its own selection rule"
    shown = [_measure(table, name, len(rules) > 1) for name in table.measures]
    if all(each.axis.partition(" (")[0] in (each.title, f"test {each.title}") for each in shown):
        # the axes have the same titles
        shown = [replace(each, title="") for each in shown]
    return _drawn(table, spec, shown, f"{enumerated(table.measures)}, {selection}")


def by_group(table: Table, spec: Mapping[str, Any]) -> tuple[Figure, str]:
    """The recall of the classes with many, medium and few training images, by setting: a panel for each group."""
    found = shots(table)
    if found is None:
        raise UserError("no run has classes of unequal sizes and a confusion matrix")
    none = CellSummary([], None, None, None, None, None, None)

    def of(group: str) -> Shown:
        def cell(row: str, column: str) -> CellSummary:
            return found.cells.get((row, column), {}).get(group, none)

        return Shown(f"{group} ({found.limits[group]})", "test recall (%)", True, cell, lambda row, column: False)

    words = f"mean recall of the classes with many, medium and few training images ({found.words}), last evaluation"
    return _drawn(table, {**spec, "published": False}, [of(group) for group in GROUPS if group in found.limits], words)


def only_what_fits(table: Table, panels: int = 1) -> dict[str, Any]:
    """The option ``only`` for as many rows and columns as fit a figure, evenly selected; empty where all fit."""
    entries = {axis: entries_of(table, axis) for axis in ("rows", "columns")}
    labels = {
        axis: [entry.label for entry in members if not entry.label or table.members_of(entry)]
        for axis, members in entries.items()
    }
    longest, other = sorted(labels, key=lambda axis: -len(labels[axis]))
    # the baseline is drawn, too
    room = MOST_POINTS // panels - 1
    kept = {longest: spread(labels[longest], max(1, min(STANDARD_ENTRIES, room)))}
    kept[other] = spread(labels[other], max(1, min(STANDARD_POINTS, room) // max(1, len(kept[longest]))))
    if kept == labels:
        return {}
    base = [name for members in labels.values() for name in members if name == table.spec["baseline"]]
    return {"only": list(dict.fromkeys([*kept["rows"], *kept["columns"], *base]))}


def _shown(table: Table, title: str, axis: str, fraction: bool, place: Callable[[str, str], tuple[str, str]]) -> Shown:
    def cell(row: str, column: str) -> CellSummary:
        return cell_summary(table, *place(row, column))

    return Shown(title, axis, fraction, cell, lambda row, column: place(row, column) in table.lost)


def _measure(table: Table, name: str, several_rules: bool) -> Shown:
    """A panel of one of the table's measures, each with its own unit."""
    measure = table.measures[name]
    metric, rule = measure["metric"], measure.get("rule") or table.rule
    own = {**table.spec, "metric": metric, "scale": measure["scale"]} if measure.get("scale") else table.spec
    words = quantity(own, metric)
    axis = f"{words}, {RULES[rule]}" if several_rules else selected(words, rule)
    rows = table.rows[0].measure is not None

    def place(row: str, column: str) -> tuple[str, str]:
        return (name, column) if rows else (row, name)

    return _shown(table, name, axis, metric in FRACTIONS and words.endswith("(%)"), place)


def _drawn(table: Table, spec: Mapping[str, Any], shown: Sequence[Shown], what: str) -> tuple[Figure, str]:
    """The figure, and its caption, which begins with the content."""
    entries = _entries(table, spec, shown)
    beside = spec["by"] or _beside(table, entries)
    main = "columns" if beside == "rows" else "rows"
    count = len(entries[main]) * len(entries[beside]) * len(shown)
    if count > MOST_POINTS:
        raise UserError(
            f"it would have {count} points; {MOST_POINTS} are the most, so name some entries of the table with `only`"
        )
    layout = _layout(Layout(table, (main, beside), entries[main], entries[beside]), len(shown))
    parts = style.parts(layout.beside)
    rows, keys = math.ceil(len(shown) / layout.abreast), len(parts) > 1
    high = HIGH if layout.upright else 0.6 + layout.pitch * len(layout.main)
    figure, panels = style.canvas(rows * len(parts), layout.abreast, high, keys=keys)
    figure.set_figwidth(layout.inches)
    of_parts = panels[:, : layout.abreast].reshape(len(parts), -1)
    for spare in of_parts[:, len(shown) :].flat:
        spare.remove()
    extra = [*dict.fromkeys(filter(None, (_baseline_name(table, band) for band in (True, False)))), LOST]
    for part, of_part, row in zip(parts, of_parts, panels[::rows], strict=True):
        within = [layout.beside.index(entry) for entry in part]
        for index, (each, panel) in enumerate(zip(shown, of_part, strict=False)):
            _panel(panel, layout, within, each, spec["published"])
            _label(panel, layout, each, first=index % layout.abreast == 0)
        if keys:
            style.key(row[-1], list(of_part[: len(shown)]), [*map(layout.name, part), *extra])
    for words, fraction in {each.axis: each.fraction for each in shown}.items():
        same = [
            panel for of_part in of_parts for each, panel in zip(shown, of_part, strict=False) if each.axis == words
        ]
        _same_range(same, layout, fraction)
    if not keys:
        style.legend(figure, list(of_parts[0][: len(shown)]), [*map(layout.name, layout.beside), *extra])
    return figure, f"{capitalised(what)}{_words(table, spec, layout, shown)}."


# --- which entries are drawn, and where ---


def _entries(table: Table, spec: Mapping[str, Any], shown: Sequence[Shown]) -> dict[str, list[Entry]]:
    """The rows and columns that have a number, or runs without one, among those that the figure names."""
    entries = {axis: entries_of(table, axis) for axis in ("rows", "columns")}
    known = [entry.label for members in entries.values() for entry in members]
    only = known if spec["only"] is None else [among(label(name), known) for name in spec["only"]]
    for name in only:
        if name not in known:
            raise UserError(f"the table has no row or column {name!r}.{closest(name, known)}")
    entries = {
        axis: [entry for entry in members if entry.label in only] or members for axis, members in entries.items()
    }
    places = [(row.label, column.label) for row in entries["rows"] for column in entries["columns"]]
    numbers = {place for place in places if any(each.cell(*place).values for each in shown)}
    if not numbers:
        raise UserError("no cell has a number")
    there = numbers | {place for place in places if any(each.lost(*place) for each in shown)}
    return {
        axis: [entry for entry in members if any(place[side] == entry.label for place in there)]
        for side, (axis, members) in enumerate(entries.items())
    }


def _beside(table: Table, entries: Mapping[str, Sequence[Entry]]) -> str:
    """The axis whose entries are next to each other: the baseline's where possible, since these are compared."""
    rows, columns = len(entries["rows"]), len(entries["columns"])
    if rows == 1 or columns == 1:
        return "columns" if columns == 1 else "rows"
    if rows <= MOST_LINES and (_baseline_axis(table) == "rows" or columns > MOST_LINES):
        return "rows"
    return "columns"


def _baseline_axis(table: Table) -> str:
    """The axis that has the table's baseline; empty where none has."""
    name = table.spec["baseline"]
    return next(
        (axis for axis in ("columns", "rows") if name and name in [entry.label for entry in entries_of(table, axis)]),
        "",
    )


def _layout(layout: Layout, panels: int) -> Layout:
    """The size and direction that fit: along x if labels and points have room, in one column before two, or along y."""
    names = [style.text(entry.label) for entry in layout.main]
    most = min(panels, ABREAST)
    small = [(ONE_COLUMN, 1)] if panels == 1 and len(layout.beside) <= MOST_LINES else []
    for inches, abreast in [*small, *((TWO_COLUMNS, columns) for columns in range(most, 0, -1))]:
        sized = replace(layout, abreast=abreast, inches=inches)
        labels = _on_lines(names, sized.pitch)
        if labels and sized.pitch * SPREAD >= ROOM * layout.deep:
            return replace(sized, labels=labels)
    inches = ONE_COLUMN if small and max(map(width, names)) <= LETTERS[ONE_COLUMN] else TWO_COLUMNS
    labels = tuple(style.folded(name, LETTERS[inches]) for name in names)
    return replace(layout, upright=False, abreast=most, inches=inches, labels=labels)


def _on_lines(names: Sequence[str], inches: float) -> tuple[str, ...]:
    """The labels on at most two lines, broken between words alone; empty where one does not fit."""
    # ticks have a smaller type
    letters = int((inches - GAP) * (LETTERS_AN_INCH + 1))
    if any(width(word) > letters for name in names for word in name.split(" ")):
        return ()
    labels = tuple(style.folded(name, letters) for name in names)
    return labels if max(each.count("\n") for each in labels) < 2 else ()


# --- a panel ---


def _panel(panel: Axes, layout: Layout, within: Sequence[int], shown: Shown, published: bool) -> None:
    """Draw the points of the entries at the places `within`, with their intervals, runs and published values."""
    room = min(SPREAD / len(within), MOST_ROOM / layout.pitch)
    _baseline(panel, layout, within, shown)
    for turn, index in enumerate(within):
        beside, aside = layout.beside[index], room * (turn - (len(within) - 1) / 2)
        cells = [(place + aside, layout.place(main, beside)) for place, main in enumerate(layout.main)]
        known = [(at, summary) for at, place in cells if (summary := shown.cell(*place)).ours is not None]
        look = {**style.series(turn), "linestyle": "none"}
        for at, summary in known:
            if summary.interval is not None:
                ends = [(at, summary.interval.low), (at, summary.interval.high)]
                panel.plot(
                    *layout.turned(ends), color=look["color"], linewidth=1.1, solid_capstyle="butt", gid="interval"
                )
        dotted = [
            (at + min(0.35 * room, DOT / layout.pitch), summary.values)
            for at, summary in known
            if 1 < len(summary.values) <= MOST_DOTS
        ]
        if dotted:
            dots = layout.turned([(at, value) for at, values in dotted for value in values])
            panel.plot(
                *dots,
                color=look["color"],
                linestyle="none",
                marker="o",
                markersize=2.4,
                markeredgewidth=0,
                alpha=0.45,
                gid="run",
            )
        source = [(at, summary.published) for at, summary in known if published and summary.published is not None]
        # below the runs' results, so that a hollow marker never hides a filled one
        if source:
            panel.plot(
                *layout.turned(source),
                **{**look, "markerfacecolor": "none", "markersize": 5.5},
                zorder=1.5,
                gid="published",
            )
        if known:
            points = [(at, summary.ours) for at, summary in known if summary.ours is not None]
            panel.plot(
                *layout.turned(points),
                **look,
                markersize=4.5,
                zorder=2.5,
                label=layout.name(beside) or None,
                gid="score",
            )
        lost = [(at, 0.02) for at, place in cells if shown.cell(*place).ours is None and shown.lost(*place)]
        if lost:
            edge = panel.get_xaxis_transform() if layout.upright else panel.get_yaxis_transform()
            panel.plot(
                *layout.turned(lost),
                linestyle="none",
                marker="x",
                markersize=4,
                color=GREY,
                transform=edge,
                label=LOST,
                gid="lost",
            )


def _baseline(panel: Axes, layout: Layout, within: Sequence[int], shown: Shown) -> None:
    """Draw the baseline's interval as a band behind the points compared with it, or a line where it has none.

    A baseline next to other entries is as wide as these, unless it has no value of the other axis's setting; one along
    the axis is as wide as the panel.
    """
    axis, name = _baseline_axis(layout.table), layout.table.spec["baseline"]
    if not axis or len(layout.main) * len(layout.beside) < 2:
        return
    everywhere = (-0.5, len(layout.main) - 0.5)
    if axis == layout.axes[0]:
        bases = [entry for entry in layout.main if entry.label == name]
        bands = [
            (layout.place(base, layout.beside[k]), everywhere, turn) for base in bases for turn, k in enumerate(within)
        ]
    else:
        bases = [entry for entry in layout.beside if entry.label == name]
        bands = [
            (layout.place(main, base), (k - 0.5, k + 0.5), 0) for base in bases for k, main in enumerate(layout.main)
        ]
        bands = [band for band in bands if shown.cell(*band[0]).ours is not None]
        if [main.label for main in layout.main for base in bases if shown.cell(*layout.place(main, base)).values] == [
            UNSET
        ]:
            bands = [(place, everywhere, turn) for place, _, turn in bands]
    coloured = axis == layout.axes[0] and len(within) > 1
    for place, reach, turn in bands:
        summary = shown.cell(*place)
        if summary.ours is not None:
            banded = not coloured or len(within) <= MOST_BANDS
            _band(panel, layout, summary, reach, style.colour(turn) if coloured else GREY, banded)


def _band(
    panel: Axes, layout: Layout, summary: CellSummary, reach: tuple[float, float], colour: str, banded: bool
) -> None:
    interval = summary.interval if banded else None
    if interval is not None:
        x, y = layout.turned([(reach[0], interval.low), (reach[1], interval.high)])
        look = {"color": colour, "alpha": 0.18, "linewidth": 0, "zorder": 0.9}
        panel.add_patch(
            Rectangle(
                (x[0], y[0]), x[1] - x[0], y[1] - y[0], label=_baseline_name(layout.table, True), gid="band", **look
            )
        )
    name = None if interval is not None else _baseline_name(layout.table, False)
    ends = layout.turned([(place, summary.ours) for place in reach if summary.ours is not None])
    panel.plot(*ends, color=colour, linewidth=0.9, zorder=1, label=name, gid="baseline")


def _baseline_name(table: Table, band: bool) -> str:
    """The legend's name for the band, or the line, of the baseline."""
    axis = _baseline_axis(table)
    if not axis:
        return ""
    name = style.named(
        table, axis, next(entry for entry in entries_of(table, axis) if entry.label == table.spec["baseline"])
    )
    return f"95 % interval of {name}" if band else f"{table.statistic.name} of {name}"


def _label(panel: Axes, layout: Layout, shown: Shown, first: bool) -> None:
    """Set the labels of entries, axes and panel; first: whether the panel is the leftmost."""
    along, across = (panel.xaxis, panel.yaxis) if layout.upright else (panel.yaxis, panel.xaxis)
    named = layout.upright or first
    along.set_ticks(range(len(layout.labels)), layout.labels if named else [""] * len(layout.labels))
    panel.tick_params(axis="x" if layout.upright else "y", length=0)
    along.grid(len(layout.beside) == 1)
    for place in range(1, len(layout.labels)) if len(layout.beside) > 1 else ():
        (panel.axvline if layout.upright else panel.axhline)(
            place - 0.5, color="#e4e4e4", linewidth=0.5, zorder=0.5, gid="between"
        )
    if layout.upright:
        panel.set_xlim(-0.5, len(layout.labels) - 0.5)
    else:
        panel.set_ylim(len(layout.labels) - 0.5, -0.5)
    what = str(layout.table.spec[layout.axes[0]].get("label") or "")
    # each label says it
    if named and len(layout.main) > 1 and what != "setting":
        along.set_label_text(style.text(what))
    across.set_label_text(style.text(shown.axis, 48))
    if shown.title:
        style.title(panel, shown.title)


def _same_range(panels: Sequence[Axes], layout: Layout, fraction: bool) -> None:
    """Give panels of the same quantity one range of numbers, for comparison; shares stay within 0 and 100 per cent.

    Intervals of few seeds extend beyond possible values.
    """
    limits = [panel.get_ylim() if layout.upright else panel.get_xlim() for panel in panels]
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    margin = 0.03 * (high - low)
    # a panel's own margin vanishes where its range is small
    if len(panels) > 1:
        low, high = low - margin, high + margin
    if fraction:
        margin = 0.03 * (min(high, 100) - max(low, 0))
        low, high = max(low, -margin), min(high, 100 + margin)
    for panel in panels:
        (panel.set_ylim if layout.upright else panel.set_xlim)(low, high)


# --- the caption ---


def _words(table: Table, spec: Mapping[str, Any], layout: Layout, shown: Sequence[Shown]) -> str:
    """The settings, the meaning of points, intervals and bands, and the number of runs."""
    settings = [words for axis in layout.axes if (words := axis_words(table, axis))]
    by = f", by {enumerated(settings)}" if settings else ""
    places = [layout.place(main, beside) for main in layout.main for beside in layout.beside]
    cells = [cell for each in shown for place in places if (cell := each.cell(*place)).ours is not None]
    drawn = len({place for place in places if any(each.cell(*place).values for each in shown)})
    every = len(table.cells) if not table.measures else drawn
    some = f" ({drawn} of {every} cells)" if spec["only"] is not None and drawn < every else ""
    sizes, intervals = (
        [len(cell.values) for cell in cells],
        [cell.interval for cell in cells if cell.interval is not None],
    )
    statistic = table.statistic
    if max(sizes) < 2:
        points = "single runs (n = 1)"
    elif not intervals:
        points = (
            f"{statistic.centres} ({number_words(sizes)}), without intervals, which need {statistic.least} seeds that"
            " differ"
        )
    else:
        lacking = f", where {statistic.least} seeds differ" if len(intervals) < len(cells) else ""
        points = f"{statistic.centres} with 95 % intervals ({intervals[0].method}{lacking}; {number_words(sizes)})"
    dots = "small dots: runs" if any(1 < size <= MOST_DOTS for size in sizes) else ""
    base = f"band or line: the baseline, {table.spec['baseline']}" if _baseline_axis(table) and len(places) > 1 else ""
    hollow = (
        "hollow: published values" if spec["published"] and any(cell.published is not None for cell in cells) else ""
    )
    crossed = any(each.lost(*place) and each.cell(*place).ours is None for each in shown for place in places)
    lost = "×: no run has a result" if crossed else ""
    return f"{by}{some}: " + "; ".join(filter(None, (points, dots, base, hollow, lost)))
