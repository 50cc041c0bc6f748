"""A table's figures: which kinds there are, what is wrong with a description of one, drawing and saving."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.animation import Animation, PillowWriter
from matplotlib.figure import Figure

from mixexp.errors import closest
from mixexp.report.plots import AGAINST, CURVES, against, curves
from mixexp.report.probed import LINES, SCATTER, animation, lines, scatter
from mixexp.report.style import STYLE, fonts, freeze
from mixexp.report.tables import Table

SECONDS_A_FRAME = 0.25
DOTS_AN_INCH = 200


@dataclass(frozen=True)
class Kind:
    """A kind of figure: its function, its settings with their defaults, and those that a description has to give."""

    draw: Callable[[Table, Mapping[str, Any]], Figure | Animation]
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()


KINDS = {
    "against": Kind(against, AGAINST, ("x",)),
    "curves": Kind(curves, CURVES),
    "probe": Kind(lines, LINES, ("probe", "x", "y")),
    "scatter": Kind(scatter, SCATTER, ("probe", "x", "y")),
    "animation": Kind(animation, SCATTER, ("probe", "x", "y")),
}
ALLOWED = {
    "by": ("rows", "columns"),
    "each": ("rows", "columns"),
    "x_scale": ("linear", "log"),
    "y_scale": ("linear", "log"),
}


def figure_problem(spec: Any) -> str:
    """What is wrong with one entry of ``table.figures``, empty when nothing is."""
    if not isinstance(spec, Mapping) or not spec.get("file"):
        return f"table.figures has {spec!r}; each figure needs a file and a kind."
    name, kind = f"figure {spec['file']}", KINDS.get(str(spec.get("kind")))
    if kind is None:
        return f"{name}: kind is {str(spec.get('kind'))!r}; {', '.join(KINDS)} are known.{closest(str(spec.get('kind')), KINDS)}"
    strange = [key for key in spec if key not in kind.settings and key not in ("file", "kind")]
    if strange:
        return f"{name}: there is no key {strange[0]!r} for kind {spec['kind']}.{closest(strange[0], kind.settings)}"
    for key in kind.needs:
        if not spec.get(key):
            return f"{name}: kind {spec['kind']} needs {key}."
    for key, allowed in ALLOWED.items():
        if key in spec and spec[key] not in allowed:
            return f"{name}: {key} is {spec[key]!r}; {' or '.join(allowed)} was expected."
    return ""


def draw(table: Table, spec: Mapping[str, Any]) -> Figure | Animation:
    """The figure that one sound entry of ``table.figures`` asks for; raises UserError where its runs have nothing to show."""
    kind = KINDS[spec["kind"]]
    with _styled():
        return kind.draw(table, {**kind.settings, **spec})


def save(figure: Figure | Animation, path: Path, caption: str = "") -> list[Path]:
    """A figure as SVG, PDF and PNG beside each other, an animation as GIF, whole or not at all; the same figure gives the same bytes.

    caption: a sentence on what is drawn, which SVG and PDF carry as their title.
    """
    with _styled():
        if isinstance(figure, Animation):
            return [_whole(path, ".gif", functools.partial(figure.save, writer=PillowWriter(fps=1 / SECONDS_A_FRAME), dpi=100))]
        freeze(figure)
        said = {"Title": caption} if caption else {}
        formats: dict[str, dict[str, Any]] = {
            ".svg": {"Date": None, "Creator": None, **said},
            ".pdf": {"CreationDate": None, "Creator": None, "Producer": None, **said},
            ".png": {"Software": None, **said},
        }
        return [_whole(path, ending, functools.partial(figure.savefig, dpi=DOTS_AN_INCH, metadata=formats[ending])) for ending in formats]


def _whole(path: Path, ending: str, write: Callable[[Path], None]) -> Path:
    target, unfinished = path.with_name(path.name + ending), path.with_name(f".{path.name}.tmp{ending}")
    write(unfinished)
    unfinished.replace(target)
    return target


@contextmanager
def _styled() -> Iterator[None]:
    with mpl.rc_context({**STYLE, "font.sans-serif": fonts()}), warnings.catch_warnings():
        # a script without an installed font shows as boxes; the table beside the figure has the words
        warnings.filterwarnings("ignore", message="Glyph")
        yield
