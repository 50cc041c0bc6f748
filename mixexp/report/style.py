"""What all figures share: colours, markers, fonts, the canvas and the legend above it."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # a report is made on machines without a display
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from mixexp.report.tables import UNSET, Entry

# Colours that colour-blind readers tell apart (Okabe and Ito); markers and lines carry the same in black and white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
# matplotlib's own font has no Chinese, Japanese or Korean; the first of these that is installed lends its glyphs.
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
STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6, "legend.frameon": False, "lines.linewidth": 1.4, "lines.markersize": 5,
    "svg.fonttype": "none", "svg.hashsalt": "mixexp", "axes.axisbelow": True,
}  # fmt: skip


def canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure of that size in inches with panels, [rows, columns]."""
    # Not pyplot, which keeps every figure alive until it is closed.
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def legend(figure: Figure, panels: list[Axes], order: list[Entry]) -> None:
    """One legend above the panels, where it covers no data, in the table's order; hollow markers are explained once."""
    drawn = {name: handle for panel in panels for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    entries: dict[str, Any] = {name: drawn[name] for name in map(text, [entry.label for entry in order if entry.label]) if name in drawn}
    if any(line.get_gid() == "published" for panel in panels for line in panel.get_lines()):
        hollow = mpl.lines.Line2D(
            [], [], color="#555555", marker="o", markerfacecolor="none", markersize=6.5, linestyle=":", linewidth=1
        )
        entries["published (hollow)"] = hollow
    if entries:
        width, height = figure.get_size_inches()
        # as many beside each other as there is room for, at fourteen letters an inch
        abreast = max(1, min(len(entries), int(14 * width) // (max(map(len, entries)) + 7)))
        # the first row has its room already; further ones must not come out of the panels
        figure.set_size_inches(width, height + 0.2 * (math.ceil(len(entries) / abreast) - 1))
        # points of a cloud are too small to tell their colours by, and need no length as lines do
        points = any(isinstance(handle, PathCollection) for handle in entries.values())
        size = {"markerscale": 3.0, "handlelength": 1.2} if points else {"handlelength": 3.2}
        figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=abreast, **size)


def colour(index: int) -> str:
    """The colour of a line by its place among its like."""
    return COLOURS[index % len(COLOURS)]


def text(value: str) -> str:
    """A label as matplotlib shall print it."""
    # A dollar starts a formula, and legends leave out names that begin with an underscore.
    escaped = str(value).replace("$", r"\$")
    return " " + escaped if escaped.startswith("_") else escaped or UNSET


def fonts() -> list[str]:
    """The families to take glyphs from, in this order."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in _CJK if name in installed)]
