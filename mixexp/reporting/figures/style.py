"""The style of all figures: widths, colours, markers, fonts, the canvas, titles, axes and the legend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # a report is made on machines without a display
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from mixexp.errors import UserError
from mixexp.reporting.entries import UNSET, WITHOUT
from mixexp.reporting.tables import Entry, Table
from mixexp.settings import comparable
from mixexp.text import sanitize, width

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.1
"""Inches of a paper's column, and of its page between the margins."""
TALLEST = 9.0
"""The height of that page in inches."""
KEY = 2.0
"""The width of a legend next to its panels, in inches."""
MOST_LINES = 10
"""Maximum lines per panel; more are unreadable."""
MOST_PANELS = 60
# Colours for colour-blind readers (Okabe and Ito, then three of Tol's); markers and lines serve black and white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#882255", "#999933", "#8C8C8C")
# For points, whose markers are too small to distinguish: neighbours differ in lightness.
CLOUDS = tuple(COLOURS[k] for k in (0, 5, 4, 3, 2, 6, 1, 8, 7, 9))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)), (0, (3, 1, 3, 1, 1, 1)))
# matplotlib's own font has no Chinese, Japanese or Korean; the first installed one of these provides the glyphs.
_CJK = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "IPAGothic",
    "Hiragino Sans",
    "Yu Gothic",
    "MS Gothic",
    "WenQuanYi Zen Hei",
)
SMALL, MEDIUM = 7.0, 8.0
"""Sizes of type in points: of ticks, legends and numbers in cells, and of the rest."""
STYLE: dict[Any, Any] = {
    "font.size": MEDIUM,
    "axes.labelsize": MEDIUM,
    "axes.titlesize": MEDIUM,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL + 0.5,
    "axes.titlepad": 4,
    "axes.labelpad": 2,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.axisbelow": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "mixexp",
    "pdf.fonttype": 42,
}
LETTERS_AN_INCH = 17
"""The average number of letters per inch in the legend's type."""


def canvas(rows: int, columns: int, height: float, keys: bool = False) -> tuple[Figure, Any]:
    """A figure with panels of that height in inches, [rows, columns]: one column wide with one panel per row, else two.

    keys: a last column of empty panels, for a legend of every row. Raises UserError for more than MOST_PANELS panels.
    """
    if rows * columns > MOST_PANELS:
        raise UserError(
            f"it would have {rows * columns} panels; {MOST_PANELS} are the most, so name some entries of the table with"
            " `only`"
        )
    inches = TWO_COLUMNS if columns > 1 or keys else ONE_COLUMN
    # Not pyplot, which keeps every figure alive until it is closed.
    figure = Figure(figsize=(inches, rows * height + 0.1), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
    panels = figure.subplots(
        rows, columns + keys, squeeze=False, width_ratios=[1.0] * columns + [KEY / (inches - KEY) * columns] * keys
    )
    for panel in panels[:, columns:].flat:
        panel.set_axis_off()
    return figure, panels


def panels_of(count: int, rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """The same figure with the first `count` of its panels, in a list."""
    figure, axes = canvas(rows, columns, height)
    for spare in axes.flat[count:]:
        spare.remove()
    return figure, list(axes.flat[:count])


def grid(count: int, abreast: int) -> tuple[int, int]:
    """Rows and columns for `count` panels with at most `abreast` per row, as even as possible."""
    rows = math.ceil(max(count, 1) / abreast)
    return rows, math.ceil(max(count, 1) / rows)


def parts(things: Sequence[Any]) -> list[Sequence[Any]]:
    """The items in order, in the fewest parts of at most MOST_LINES, as even as possible."""
    count = math.ceil(max(len(things), 1) / MOST_LINES)
    size = math.ceil(len(things) / count)
    return [things[k * size : (k + 1) * size] for k in range(count)]


def series(index: int) -> dict[str, Any]:
    """Colour, marker and style of a line by its index; seventy lines differ in them, ten in each."""
    return {"color": colour(index), "marker": MARKERS[index % len(MARKERS)], "linestyle": LINES[index % len(LINES)]}


def colour(index: int) -> str:
    """The colour of a line by its index."""
    return COLOURS[index % len(COLOURS)]


def legend(figure: Figure, panels: Sequence[Axes], order: Sequence[str]) -> None:
    """One legend above the panels, where it covers no data, of the given names in order.

    Hollow markers are explained once.
    """
    entries = _explained(panels, order)
    if not entries:
        return
    inches, height = figure.get_size_inches()
    room = (inches - 0.2) * LETTERS_AN_INCH
    abreast = next(n for n in range(len(entries), 0, -1) if n == 1 or _length(list(entries), n) <= room)
    high = math.ceil(len(entries) / abreast)
    abreast = math.ceil(len(entries) / high)
    names = [folded(name, int(room) - 9) for name in entries] if abreast == 1 else list(entries)
    # the legend must not reduce the panels
    figure.set_size_inches(inches, height + 0.16 * (high + sum(name.count("\n") for name in names)) + 0.05)
    figure.legend(list(entries.values()), names, loc="outside upper center", ncols=abreast, **_size(entries))


def key_height(names: Sequence[str]) -> float:
    """The height in inches of a legend of these names next to its panels."""
    return 0.145 * sum(1 + _in_key(name).count("\n") for name in names) + 0.1


def _in_key(name: str) -> str:
    return folded(name, int(KEY * LETTERS_AN_INCH) - 9)


def key(place: Axes, panels: Sequence[Axes], order: Sequence[str]) -> None:
    """A legend of some panels in an empty panel next to them."""
    entries = _explained(panels, order)
    if entries:
        place.legend(
            list(entries.values()), list(map(_in_key, entries)), loc="center left", borderaxespad=0, **_size(entries)
        )


def _explained(panels: Sequence[Axes], order: Sequence[str]) -> dict[str, Any]:
    drawn = {name: handle for panel in panels for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    entries: dict[str, Any] = {name: drawn[name] for name in order if name in drawn}
    published = next((line for panel in panels for line in panel.get_lines() if line.get_gid() == "published"), None)
    if published is not None:
        hollow = {
            "marker": "o",
            "markerfacecolor": "none",
            "markersize": 5.5,
            "linestyle": published.get_linestyle(),
            "linewidth": 1,
        }
        entries["published (hollow)"] = Line2D([], [], color="#555555", **hollow)
    return entries


def _size(entries: dict[str, Any]) -> dict[str, Any]:
    # points of a cloud are too small to show their colours, and need no length as lines do
    points = any(isinstance(handle, PathCollection) for handle in entries.values())
    return {"columnspacing": 1.2, "labelspacing": 0.25, "handletextpad": 0.5} | (
        {"markerscale": 2.5, "handlelength": 1.0} if points else {"handlelength": 3.0}
    )


def _length(names: Sequence[str], abreast: int) -> float:
    """The width in letters of a legend with `abreast` columns."""
    high = math.ceil(len(names) / abreast)
    return sum(9 + max(map(width, names[k : k + high])) for k in range(0, len(names), high))


def folded(words: str, most: int) -> str:
    """A text on lines of at most `most` letters, broken between words where possible."""
    lines = [""]
    for word in words.split(" "):
        while width(word) > most:
            head = next(n for n in range(len(word), 0, -1) if width(word[:n]) <= most or n == 1)
            lines, word = [*lines, word[:head]], word[head:]
        fits = width(lines[-1]) + 1 + width(word) <= most
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip(" ")] if fits or not lines[-1] else [*lines, word]
    return "\n".join(line for line in lines if line)


def freeze(figure: Figure) -> None:
    """Fix a figure's layout: each format is then drawn without a new layout."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def share(panel: Axes) -> float:
    """The inches of the figure's width that are a panel's."""
    spec, figure = panel.get_subplotspec(), panel.get_figure(root=True)
    assert spec is not None and figure is not None  # it is one of a figure's subplots
    return figure.get_figwidth() / spec.get_gridspec().ncols


def title(panel: Axes, words: str) -> None:
    """The title of a panel, above its left corner, on as many lines as its width needs."""
    inches = share(panel) - 0.35  # the numbers of the y axis
    panel.set_title(folded(text(words), max(8, int(inches * (LETTERS_AN_INCH - 1)))), loc="left")


def of(table: Table, axis: str, entry: Entry) -> str:
    """A row or a column as a panel's title: its axis and its value."""
    what = " ".join(str(table.spec[axis].get("label", "")).partition("(")[0].split())
    if _needs_words(entry):
        return f"{what} {entry.label}".strip()
    # a label such as "set: pairs" is explained by each of its entries
    return entry.label if not what or not entry.label or ":" in what or len(what) > 20 else f"{what}: {entry.label}"


def place(table: Table, row: Entry, column: Entry) -> str:
    """A cell in words: its row and its column, where there are several."""
    axes = [(axis, entry) for axis, entry in (("rows", row), ("columns", column)) if len(getattr(table, axis)) > 1]
    return ", ".join(filter(None, (named(table, axis, entry) for axis, entry in axes))) or "all runs"


def named(table: Table, axis: str, entry: Entry) -> str:
    """A row or a column in a legend: a word alone, a number with its axis; empty for a single entry for all."""
    words = of(table, axis, entry) if _needs_words(entry) else entry.label
    return text(words) if words else ""


def same_limits(panels: Sequence[Axes]) -> None:
    """Give panels of the same quantity one range of y, for comparison."""
    lows, highs = zip(*(panel.get_ylim() for panel in panels), strict=True)
    low, high = min(lows), max(highs)
    if len(panels) > 1 and panels[0].get_yscale() == "linear":
        # a panel's own margin vanishes where its range is small
        low, high = (low - 0.02 * (high - low), high + 0.02 * (high - low))
    for panel in panels:
        panel.set_ylim(low, high)


def plain_log(panel: Axes, which: str) -> None:
    """Make x or y logarithmic, with its numbers written out: exponents would be too small to read."""
    getattr(panel, f"set_{which}scale")("log")
    axis: Axis = getattr(panel, f"{which}axis")
    low, high = getattr(panel, f"get_{which}lim")()
    wide = low <= 0 or high > 100 * low
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(lambda x, _: f"{x:,g}")
    axis.set_minor_formatter(NullFormatter())


def whole_ticks(panel: Axes) -> None:
    """Ticks of x, epochs or steps, at whole numbers, unless all data are within the first one."""
    low, high = panel.dataLim.intervalx
    if high < 1:
        return
    # all between two whole numbers, which become the ends
    if math.ceil(low) > math.floor(high):
        panel.set_xlim(math.floor(low), math.ceil(high))
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def ticks(panel: Axes, places: Sequence[float], inches: float) -> None:
    """Ticks of x at the places themselves: in full, in thousands where that is too long, or fewer where both are."""
    names = [f"{place:,g}" for place in places]
    # limits are computed on request
    panel.get_xlim()
    x = (
        panel.transData.transform([(place, 1) for place in places])[:, 0] / panel.bbox.width * inches
        if len(places)
        else []
    )

    def clear(names: Sequence[str], x: Iterable[float]) -> bool:
        return all(
            right - left > (len(a) + len(b)) / 2 / LETTERS_AN_INCH + 0.05
            for (left, right), (a, b) in zip(pairwise(x), pairwise(names), strict=True)
        )

    if not clear(names, x):
        names = [f"{place / 1000:g}k" if place >= 1000 and place % 100 == 0 else f"{place:g}" for place in places]
    labelled: list[int] = []
    for k in range(len(places)):
        if not labelled or clear([names[labelled[-1]], names[k]], [x[labelled[-1]], x[k]]):
            labelled.append(k)
    panel.xaxis.set_major_locator(FixedLocator([places[k] for k in labelled]))
    rest = [place for k, place in enumerate(places) if k not in labelled]
    panel.xaxis.set_minor_locator(FixedLocator(rest) if rest else NullLocator())
    panel.xaxis.set_minor_formatter(NullFormatter())
    shown = {float(places[k]): names[k] for k in labelled}
    panel.xaxis.set_major_formatter(lambda place, _: shown.get(float(place), f"{place:g}"))


def text(value: str, most: int = 60) -> str:
    """A label for matplotlib, with its middle left out where it is longer than `most`."""
    words = " ".join(sanitize(str(value)).split())
    words = words if len(words) <= most else f"{words[: most * 2 // 3]}…{words[-(most // 3 - 1) :]}"
    # A dollar starts a formula, and legends leave out names that begin with an underscore.
    escaped = words.replace("$", r"\$")
    return " " + escaped if escaped.startswith("_") else escaped or UNSET


def fonts() -> list[str]:
    """The font families to take glyphs from, in order."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in _CJK if name in installed)]


def _needs_words(entry: Entry) -> bool:
    """True for an entry named by a number, a dash or "all", which is meaningless without its axis."""
    return entry.label in (UNSET, *WITHOUT.values()) or isinstance(comparable(entry.label.replace(",", "")), float)
