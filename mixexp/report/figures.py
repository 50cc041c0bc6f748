"""A table's figures: scores against a setting, and learning curves; each function returns a matplotlib Figure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # a report is made on machines without a display
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.errors import closest
from mixexp.report.load import Run, canonical, lookup
from mixexp.report.tables import RULES, UNSET, Entry, Table, band, centre, scale, select, unit

# Colours that colour-blind readers tell apart (Okabe and Ito); markers and lines carry the same in black and white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
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
_AGAINST: dict[str, Any] = {
    "x": "",
    "y": "",
    "by": "columns",
    "x_label": "",
    "x_scale": "linear",
    "x_max": None,
    "published": False,
}
_CURVES: dict[str, Any] = {"y": ["train_loss", "test_loss"], "by": "columns", "each": "rows", "y_scale": "linear"}
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6, "legend.frameon": False, "lines.linewidth": 1.4, "lines.markersize": 5,
    "svg.fonttype": "none", "svg.hashsalt": "mixexp", "axes.axisbelow": True,
}  # fmt: skip


def figure_problem(spec: Any) -> str:
    """What is wrong with one entry of ``table.figures``, empty when nothing is."""
    if not isinstance(spec, Mapping) or not spec.get("file"):
        return f"table.figures has {spec!r}; each figure needs a file and a kind."
    kinds, kind = {"against": _AGAINST, "curves": _CURVES}, str(spec.get("kind"))
    if kind not in kinds:
        return f"figure {spec['file']}: kind is {kind!r}; {' and '.join(kinds)} are known.{closest(kind, kinds)}"
    known = kinds[kind]
    strange = [key for key in spec if key not in known and key not in ("file", "kind")]
    if strange:
        return f"figure {spec['file']}: there is no key {strange[0]!r} for kind {spec['kind']}.{closest(strange[0], known)}"
    if known is _AGAINST and not spec.get("x"):
        return f"figure {spec['file']}: kind against needs x, a dotted key."
    wrong = [key for key in ("by", "each") if key in spec and spec[key] not in ("rows", "columns")]
    wrong += [key for key in ("x_scale", "y_scale") if key in spec and spec[key] not in ("linear", "log")]
    allowed = {"by": "rows or columns", "each": "rows or columns", "x_scale": "linear or log", "y_scale": "linear or log"}
    return f"figure {spec['file']}: {wrong[0]} is {spec[wrong[0]]!r}; {allowed[wrong[0]]} was expected." if wrong else ""


def draw(table: Table, spec: Mapping[str, Any]) -> Figure:
    """The figure that one sound entry of ``table.figures`` asks for."""
    with mpl.rc_context({**_STYLE, "font.sans-serif": _fonts()}):
        return against(table, spec) if spec["kind"] == "against" else curves(table, spec)


def save(figure: Figure, path: Path) -> list[Path]:
    """The figure as PNG and SVG beside each other, whole or not at all; the same figure gives the same bytes."""
    written = []
    for ending, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
        target, unfinished = path.with_name(path.name + ending), path.with_name(f".{path.name}.tmp{ending}")
        with mpl.rc_context({**_STYLE, "font.sans-serif": _fonts()}), warnings.catch_warnings():
            # A script without an installed font shows as boxes in the PNG; the SVG keeps the text.
            warnings.filterwarnings("ignore", message="Glyph")
            figure.savefig(unfinished, dpi=200, metadata=metadata)
        unfinished.replace(target)
        written.append(target)
    return written


def against(table: Table, spec: Mapping[str, Any]) -> Figure:
    """The score of the table's rule against a setting, one line for each column (or row) with its spread over seeds."""
    spec = {**_AGAINST, **spec}
    metric = spec["y"] or table.spec["metric"]
    figure, axes = _canvas(1, 1, (5.0, 3.5))
    panel = axes[0][0]
    lines = [(entry, _points(table, entry, spec, metric)) for entry in getattr(table, spec["by"])]
    words = sorted({x for _, points in lines for x in points if isinstance(x, str)})
    for index, (entry, points) in enumerate(lines):
        # A run to which the setting does not apply (no mixing has no alpha) is a level across the figure.
        if None in points:
            level = centre(points[None], table.spec["statistic"])
            below, above = band(points[None], table.spec["statistic"])
            panel.axhspan(level - below, level + above, color=_colour(index), alpha=0.15, linewidth=0)
            panel.axhline(level, color=_colour(index), linestyle=_LINES[index % len(_LINES)], label=_text(entry.label))
        placed = {words.index(x) if isinstance(x, str) else x: values for x, values in points.items() if x is not None}
        _line(panel, index, _within(placed, spec["x_max"]), table.spec["statistic"], "" if None in points else _text(entry.label))
        if spec["published"] and metric == table.spec["metric"]:
            _published(panel, index, _within(_published_points(table, entry, spec, words), spec["x_max"]))
    if words:
        panel.set_xticks(range(len(words)), [_text(word) for word in words])
    else:
        _x_axis(panel, spec, [x for _, points in lines for x in points if isinstance(x, float)])
    panel.set_xlabel(_text(spec["x_label"] or spec["x"]))
    panel.set_ylabel(_text(f"{unit(table.spec, metric)}, {RULES[table.rule]}"))
    _legend(figure, [panel], [entry for entry, _ in lines])
    return figure


def curves(table: Table, spec: Mapping[str, Any]) -> Figure:
    """Learning curves: panels in a row for each row (or column) of the table, one for each quantity, a line for each column."""
    spec = {**_CURVES, **spec}
    quantities = [spec["y"]] if isinstance(spec["y"], str) else list(spec["y"])
    outer = [entry for entry in getattr(table, spec["each"]) if _runs(table, entry, None)]
    inner = list(getattr(table, spec["by"]))
    figure, axes = _canvas(max(len(outer), 1), len(quantities), (max(5.0, 2.6 * len(quantities)), 0.6 + 1.9 * max(len(outer), 1)))
    for entry, panels in zip(outer, axes, strict=False):
        ruler = _ruler(_runs(table, entry, None))
        for quantity, panel in zip(quantities, panels, strict=True):
            for index, line in enumerate(inner):
                _curve(panel, index, _runs(table, entry, line), (ruler, quantity), table, _text(line.label))
            panel.set_yscale(spec["y_scale"])
            panel.set_xlabel(ruler)
            panel.set_ylabel(_text(unit(table.spec, quantity)))
        where = table.spec[spec["each"]].get("label", "")
        if len(outer) > 1:
            panels[0].set_title(_text(f"{where}: {entry.label}" if where else entry.label), loc="left", fontsize=9)
    _legend(figure, [panel for panels in axes for panel in panels], inner)
    return figure


def _canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    # Not pyplot, which keeps every figure alive until it is closed.
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _points(table: Table, entry: Entry, spec: Mapping[str, Any], metric: str) -> dict[Any, list[float]]:
    """The scores of a line's runs at each value of the setting, in the order of that value."""
    points: dict[Any, list[float]] = {}
    for run in _runs(table, entry, None):
        values = [value for value in run.metrics.get(metric, []) if value is not None and math.isfinite(value)]
        held_out = [value for value in run.metrics.get("val_accuracy", []) if value is not None]
        if values and (table.rule != "best_validation" or len(held_out) == len(values)):
            better = table.spec["better"] if metric == table.spec["metric"] else "lower" if metric.endswith("loss") else "higher"
            score = scale(table.spec, metric) * select(values, table.rule, better, held_out)
            points.setdefault(canonical(lookup(run.config, spec["x"])), []).append(score)
    return points


def _published_points(table: Table, entry: Entry, spec: Mapping[str, Any], words: list[str]) -> dict[Any, list[float]]:
    points = {}
    for other in table.rows if spec["by"] == "columns" else table.columns:
        row, column = (other, entry) if spec["by"] == "columns" else (entry, other)
        value, x = table.published(row.label, column.label), canonical(other.conditions.get(spec["x"]))
        if value is not None and ((isinstance(x, float) and not words) or x in words):
            points[words.index(x) if words else x] = [value]
    return points


def _within(points: dict[Any, list[float]], largest: float | None) -> list[tuple[float, list[float]]]:
    return sorted((x, values) for x, values in points.items() if largest is None or x <= largest)


def _line(panel: Axes, index: int, points: list[tuple[float, list[float]]], statistic: str, name: str) -> None:
    if not points:
        return
    reach = list(zip(*(band(values, statistic) for _, values in points), strict=True))
    panel.errorbar(
        [x for x, _ in points],
        [centre(values, statistic) for _, values in points],
        yerr=reach if any(map(any, reach)) else None,
        color=_colour(index),
        marker=_MARKERS[index % len(_MARKERS)],
        linestyle=_LINES[index % len(_LINES)],
        capsize=2.5,
        label=name or None,
    )


def _published(panel: Axes, index: int, points: list[tuple[float, list[float]]]) -> None:
    if points:
        style = {
            "color": _colour(index),
            "marker": _MARKERS[index % len(_MARKERS)],
            "markerfacecolor": "none",
            "linestyle": ":",
            "linewidth": 1,
        }
        # Under the own results, so that a hollow marker never hides a filled one.
        panel.plot(
            [x for x, _ in points], [values[0] for _, values in points], zorder=1.5, markersize=6.5, gid="published", **style
        )


def _curve(panel: Axes, index: int, runs: list[Run], axes: tuple[str, str], table: Table, name: str) -> None:
    ruler, quantity = axes
    at: dict[float, list[float]] = {}
    factor = scale(table.spec, quantity)
    for run in runs:
        for x, y in zip(run.metrics.get(ruler, []), run.metrics.get(quantity, []), strict=False):
            if x is not None and y is not None and math.isfinite(y):
                at.setdefault(x, []).append(factor * y)
    if not at:
        return
    places = sorted(at)
    middle = [centre(at[x], table.spec["statistic"]) for x in places]
    below, above = zip(*(band(at[x], table.spec["statistic"]) for x in places), strict=True)
    few = len(places) <= 12
    panel.plot(
        places, middle, color=_colour(index), linestyle=_LINES[index % len(_LINES)], label=name,
        marker=_MARKERS[index % len(_MARKERS)], markersize=3.5, markevery=1 if few else max(1, len(places) // 6),
    )  # fmt: skip
    if any(below) or any(above):
        low, high = ([m + s * d for m, d in zip(middle, reach, strict=True)] for s, reach in ((-1, below), (1, above)))
        panel.fill_between(places, low, high, color=_colour(index), alpha=0.15, linewidth=0)


def _ruler(runs: list[Run]) -> str:
    """Epochs, or steps where any of the runs was budgeted in steps: an epoch of a hundred images is one step."""
    stepwise = any(lookup(run.config, "steps") is not None and lookup(run.config, "epochs") is None for run in runs)
    return "step" if stepwise or any("epoch" not in run.metrics for run in runs) else "epoch"


def _runs(table: Table, one: Entry, other: Entry | None) -> list[Run]:
    """The runs in the table's cells that meet the conditions of one entry, or of two; each once."""
    placed = {run.folder: run for members in table.cells.values() for run in members}
    return [run for run in placed.values() if one.holds(run) and (other is None or other.holds(run))]


def _x_axis(panel: Axes, spec: Mapping[str, Any], places: list[float]) -> None:
    shown = sorted({x for x in places if spec["x_max"] is None or x <= spec["x_max"]})
    if spec["x_scale"] == "log" and shown:
        positive = [x for x in shown if x > 0]
        # Zero (alpha = 0 is no mixing) has no logarithm; a linear stretch below the smallest value keeps it in sight.
        panel.set_xscale("log") if len(positive) == len(shown) else panel.set_xscale(
            "symlog", linthresh=min(positive, default=1.0)
        )
        if len(shown) <= 10:
            panel.set_xticks(shown)
            panel.minorticks_off()
            panel.tick_params(axis="x", labelsize=7.5)  # 10,000 and 20,000 touch at the size of the rest
    panel.xaxis.set_major_formatter(lambda x, _: f"{x:,g}")
    if spec["x_max"] is not None and spec["x_scale"] == "linear":
        panel.set_xlim(right=spec["x_max"] * 1.03)


def _legend(figure: Figure, panels: list[Axes], order: list[Entry]) -> None:
    """One legend above the panels, where it covers no data, in the table's order; hollow markers are explained once."""
    drawn = {name: handle for panel in panels for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    entries: dict[str, Any] = {name: drawn[name] for name in map(_text, [entry.label for entry in order]) if name in drawn}
    if any(line.get_gid() == "published" for panel in panels for line in panel.get_lines()):
        hollow = mpl.lines.Line2D(
            [], [], color="#555555", marker="o", markerfacecolor="none", markersize=6.5, linestyle=":", linewidth=1
        )
        entries["published (hollow)"] = hollow
    if entries:
        # As many beside each other as five inches hold.
        abreast = max(1, min(len(entries), 70 // (max(map(len, entries)) + 7)))
        width, height = figure.get_size_inches()
        # the first row has its room already; further ones must not come out of the panels
        figure.set_size_inches(width, height + 0.2 * (math.ceil(len(entries) / abreast) - 1))
        figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=abreast, handlelength=3.2)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _text(value: str) -> str:
    # A dollar starts a formula, and legends leave out names that begin with an underscore.
    text = str(value).replace("$", r"\$")
    return " " + text if text.startswith("_") else text or UNSET


def _fonts() -> list[str]:
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in _CJK if name in installed)]
