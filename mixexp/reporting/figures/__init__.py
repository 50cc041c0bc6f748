"""A table's figures: drawing and saving each kind, and those of every report."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.animation import Animation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mixexp.files import atomically
from mixexp.reporting.cells import entries_of
from mixexp.reporting.figures import classes, cost, lines, probes, reliability, scores
from mixexp.reporting.figures.style import MOST_LINES, STYLE, fonts, freeze
from mixexp.reporting.runs import uneven
from mixexp.reporting.shots import GROUPS, shots
from mixexp.reporting.tables import Entry, Table, runs_of
from mixexp.spec.figures import complete
from mixexp.text import sanitize

SECONDS_A_FRAME = 0.25
DOTS_AN_INCH = 200
MOST_STANDARD = 6
"""The most rows or columns with panels in a standard figure."""

KINDS: dict[str, Callable[[Table, Mapping[str, Any]], tuple[Figure | Animation, str]]] = {
    "scores": scores.scores,
    "against": lines.against,
    "curves": lines.curves,
    "confusion": classes.confusion,
    "per_class": classes.per_class,
    "by_group": scores.by_group,
    "cost": cost.cost,
    "images": probes.images,
    "reliability": reliability.reliability,
    "probe": probes.lines,
    "scatter": probes.scatter,
    "animation": probes.animation,
}
"""The functions that draw each kind of figure; they return the figure and its caption.

A caption states the content, the selection rule, the meaning of bands and the number of runs. The options of a kind are
in mixexp.spec.figures.
"""


def draw(table: Table, spec: Mapping[str, Any]) -> tuple[Figure | Animation, str]:
    """The figure of one valid entry of ``table.figures``, and its caption; raises UserError where it would be empty."""
    with _styled():
        return KINDS[spec["kind"]](table, complete(spec))


def save(figure: Figure | Animation, path: Path, caption: str = "") -> list[Path]:
    """Save a figure as SVG, PDF and PNG, or an animation as GIF, each atomically; the same figure gives the same bytes.

    caption: a sentence on the content, which SVG and PDF carry as their title.
    """
    with _styled():
        if isinstance(figure, Animation):
            # a frame takes longer than a second, of which matplotlib's annotation does not know
            writer = PillowWriter(fps=1 / SECONDS_A_FRAME)  # pyright: ignore[reportArgumentType]
            return [_whole(path, ".gif", functools.partial(figure.save, writer=writer, dpi=100))]
        freeze(figure)
        title = {"Title": sanitize(caption)} if caption else {}
        # savefig would draw everything once more for each format, to find a layout that is known; the fields would
        # record the date and the program
        formats: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
            ".svg": (FigureCanvasSVG(figure).print_svg, ("Date", "Creator")),
            ".pdf": (FigureCanvasPdf(figure).print_pdf, ("CreationDate", "Creator", "Producer")),
            ".png": (FigureCanvasAgg(figure).print_png, ("Software",)),
        }
        written = []
        for ending, (write, fields) in formats.items():
            figure.dpi = DOTS_AN_INCH  # a canvas may change this
            written.append(_whole(path, ending, functools.partial(write, metadata={**dict.fromkeys(fields), **title})))
        return written


def _whole(path: Path, ending: str, write: Callable[[Path], None]) -> Path:
    target = path.with_name(path.name + ending)
    with atomically(target, f".part{ending}") as partial:
        write(partial)
    return target


@contextmanager
def _styled() -> Iterator[None]:
    with mpl.rc_context({**STYLE, "font.family": fonts()}), warnings.catch_warnings():
        # a script without an installed font appears as boxes; the table with the figure has the words
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def standard(table: Table) -> list[dict[str, Any]]:
    """The standard figures of every report: the kinds with data that the table does not list itself.

    They are the scores by setting, learning curves, confusion matrices, the accuracy by class and by group of classes
    where classes differ in size, wall time against the score, the images that a network was given, and reliability
    diagrams.
    """
    asked = {str(spec.get("kind")) for spec in table.spec["figures"] if isinstance(spec, Mapping)}
    runs = runs_of(table, Entry("", {}))
    by, each = ("columns", "rows") if 1 < len(entries_of(table, "columns")) <= MOST_LINES else ("rows", "columns")
    panels = [entry.label for entry in entries_of(table, each) if entry.label and runs_of(table, entry)]
    only = {"only": classes.spread(panels, MOST_STANDARD)} if len(panels) > MOST_STANDARD else {}
    quantities = [
        name for name in ("train_loss", "test_loss", table.spec["metric"]) if any(name in run.metrics for run in runs)
    ]
    matrices = any((run.folder / "confusion.csv").exists() for run in runs)
    evaluated_again = any(len(next(iter(run.metrics.values()), ())) > 1 for run in runs)
    kinds = {
        "scores": scores.only_what_fits(table, max(1, len(table.measures))),
        "curves": {"y": quantities[:2], "by": by, "each": each, **only} if quantities and evaluated_again else None,
        "confusion": {} if matrices else None,
        "per_class": {"by": by, "each": each, **only} if matrices and any(map(uneven, runs)) else None,
        "by_group": scores.only_what_fits(table, len(GROUPS)) if shots(table) is not None else None,
        "cost": {"by": by} if len(runs) > 1 else None,
        "images": (
            {"by": by, "each": each, **only}
            if any((run.folder / "probe_mixed_images.csv").exists() for run in runs)
            else None
        ),
        "reliability": (
            {"by": by, "each": each, **only}
            if any((run.folder / "probe_reliability.csv").exists() for run in runs)
            else None
        ),
    }
    return [
        {"file": kind, "kind": kind, **spec} for kind, spec in kinds.items() if spec is not None and kind not in asked
    ]
