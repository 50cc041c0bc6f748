"""The entries of `table.figures`: the kinds of figures, the options of each, and the errors of a description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixexp.errors import closest
from mixexp.files import plain_name
from mixexp.spec.keys import (
    COLUMN,
    CONDITIONS,
    FLAG,
    LIST,
    METRIC,
    METRICS,
    NUMBER,
    PROBE,
    SETTING,
    TEXT,
    Key,
    number,
    of_type,
    one_of,
    whole,
)
from mixexp.spec.table import AXES, table_problems
from mixexp.text import shown

MOST_MATRICES = 12
"""The most confusion matrices of a figure, and the most images of a row."""


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure: its meaning, and its options."""

    meaning: str
    options: Mapping[str, Key]

    @property
    def defaults(self) -> dict[str, Any]:
        """The options' defaults by their names."""
        return {name: option.default for name, option in self.options.items()}


AXIS_OF_A_FIGURE = one_of(*AXES)
_SCALE, _MOST = one_of("linear", "log"), whole(1, MOST_MATRICES)
_LIMITS = of_type("a list of two numbers", list, among=lambda value: len(value) == 2 and all(map(number, value)))
_OTHER_FILE = of_type("a mapping with probe, x and y", dict, among={"probe", "x", "y"}.issubset)
_BY = Key("columns", AXIS_OF_A_FIGURE, "the axis whose entries have a line each")
_EACH = Key("rows", AXIS_OF_A_FIGURE, "the axis whose entries have a panel each")
_PANELS_EACH = Key("columns", AXIS_OF_A_FIGURE, "the axis whose entries have a panel each")
_ONLY = Key(None, LIST, "labels of the panels that are drawn; without it all are")
_WHERE = Key({}, CONDITIONS, "the rows of the probe's file that count")
_POINTS = {
    "probe": Key("", PROBE, "where the points are", needed=True),
    "x": Key("", COLUMN, "a point's place", needed=True),
    "y": Key("", COLUMN, "a point's place", needed=True),
    "colour": Key(None, COLUMN, "what points are coloured by: classes, or numbers on a scale"),
    "each": _PANELS_EACH,
    "panels": Key(None, COLUMN, "a column that has a panel for each of its values, such as step or part"),
    "where": _WHERE,
    "beside": Key(None, _OTHER_FILE, "a line of another file of the same run"),
    "limits": Key(None, _LIMITS, "the ends of both axes; without them, those of the points"),
}

_BESIDE = Key(
    None,
    AXIS_OF_A_FIGURE,
    "the axis whose entries are beside each other, in colours; without it, that of the baseline where there is room",
)
_SOME = Key(None, LIST, "labels of the rows and columns that are drawn; without it all are")

KINDS = {
    "scores": FigureKind(
        "the score by the table's rule by setting: points with their intervals and runs, the baseline as a band",
        {"by": _BESIDE, "only": _SOME, "published": Key(True, FLAG, "whether the source's numbers are drawn, hollow")},
    ),
    "against": FigureKind(
        "the score by the table's rule against a setting",
        {
            "x": Key("", SETTING, "the setting", needed=True),
            "y": Key("", METRIC, "a metric or the label of one of the table's measures; the table's metric without it"),
            "by": _BY,
            "x_label": Key("", TEXT, "what is written at the x axis; x without it"),
            "x_scale": Key("linear", _SCALE, "the x axis"),
            "x_max": Key(None, NUMBER, "where the x axis ends"),
            "published": Key(False, FLAG, "whether the source's numbers are drawn, hollow"),
        },
    ),
    "curves": FigureKind(
        "learning curves: metrics at every evaluation",
        {
            "y": Key(["train_loss", "test_loss"], METRICS, "the metrics, with panels of their own"),
            "by": _BY,
            "each": _EACH,
            "only": _ONLY,
            "y_scale": Key("linear", _SCALE, "the y axis"),
        },
    ),
    "confusion": FigureKind(
        "confusion matrices of the last evaluation, one for each cell",
        {
            "only": Key(None, LIST, "labels of the rows and columns whose cells are drawn"),
            "most": Key(6, _MOST, "how many matrices are drawn at most, where only says nothing"),
        },
    ),
    "per_class": FigureKind(
        "each class's accuracy against its number of training images, with the groups many, medium and few",
        {"by": _BY, "each": _EACH, "only": _ONLY},
    ),
    "by_group": FigureKind(
        "the recall of the classes with many, medium and few training images, by setting",
        {"by": _BESIDE, "only": _SOME},
    ),
    "cost": FigureKind("each run's wall time against its score", {"by": _BY}),
    "images": FigureKind(
        "images as the network was given them, with their labels: a row for each cell",
        {
            "probe": Key("mixed_images", PROBE, "where the images are"),
            "by": Key("columns", AXIS_OF_A_FIGURE, "the inner axis"),
            "each": Key("rows", AXIS_OF_A_FIGURE, "the outer axis"),
            "only": Key(None, LIST, "labels of the outer axis that are drawn; without it all are"),
            "count": Key(6, _MOST, "images of a row"),
        },
    ),
    "reliability": FigureKind(
        "reliability diagrams: accuracy against confidence, before and after temperature scaling",
        {"probe": Key("reliability", PROBE, "where the bins are"), "by": _BY, "each": _EACH, "only": _ONLY},
    ),
    "probe": FigureKind(
        "what a probe measured, as lines",
        {
            "probe": Key("", PROBE, "where the numbers are", needed=True),
            "x": Key("step", COLUMN, "the x axis"),
            "y": Key("", COLUMN, "the y axis", needed=True),
            "lines": Key(
                None,
                COLUMN,
                "a column that has a line for each of its values; without it, the other axis of the table has",
            ),
            "steps": Key([], LIST, "those of the lines that are drawn as a histogram's outline"),
            "each": _PANELS_EACH,
            "where": _WHERE,
            "x_label": Key("", TEXT, "what is written at the x axis; x without it"),
            "y_label": Key("", TEXT, "what is written at the y axis; y without it"),
            "x_scale": Key("linear", _SCALE, "the x axis"),
            "y_scale": Key("linear", _SCALE, "the y axis"),
        },
    ),
    "scatter": FigureKind("points that a probe left after the last step, of one run each", _POINTS),
    "animation": FigureKind("the same points at every evaluation, as a GIF", _POINTS),
}
COMMON = {
    "file": Key("", TEXT, "the name of the figure's files, without an ending; the kind without it"),
    "kind": Key("", one_of(*KINDS), "the kind of figure", needed=True),
}
"""The keys of a figure of any kind, besides its options."""
RESERVED = ("table", "runs", "differences", "claims", "report")
"""The names of a report's own files, without suffix."""


def description_problems(table: Mapping[str, Any]) -> list[str]:
    """The errors of a table's description and of the figures in it, a sentence each."""
    problems = table_problems(table)
    figures = [] if "figures" in problems else table.get("figures") or ()
    return [*problems.values(), *filter(None, map(figure_problem, figures))]


def figure_problem(spec: Any) -> str:
    """The error of one entry of ``table.figures``; empty when there is none."""
    if not isinstance(spec, Mapping) or not spec.get("kind"):
        return f"table.figures has {spec!r}; each figure needs a kind: {', '.join(KINDS)}."
    file = figure_file(spec)
    if not plain_name(file):
        return (
            f"table.figures has the file {shown(file)}; a name without a folder, / and : is needed, and no point in"
            " front."
        )
    if file in RESERVED:
        return f"table.figures has the file {file}, which a report has for something else; another name is needed."
    name, kind = f"figure {file}", KINDS.get(str(spec["kind"]))
    if kind is None:
        return (
            f"{name}: kind is {str(spec['kind'])!r}; {', '.join(KINDS)} are known.{closest(str(spec['kind']), KINDS)}"
        )
    for key, value in spec.items():
        if key in COMMON:
            continue
        if key not in kind.options:
            near = closest(key, kind.options)
            return (
                f"{name}: there is no key {key!r} for kind {spec['kind']}.{near} There are {', '.join(kind.options)}."
            )
        if problem := kind.options[key].values.problem(value):
            return f"{name}: {key} is {value!r}{problem}"
    missing = [key for key, option in kind.options.items() if option.needed and not spec.get(key)]
    return f"{name}: kind {spec['kind']} needs {missing[0]}." if missing else ""


def figure_file(spec: Mapping[str, Any]) -> str:
    """The name of an entry's files: its kind where it names none."""
    return spec.get("file") or str(spec["kind"])


def complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A valid entry with the defaults of the options that it leaves out or sets to null."""
    return {**KINDS[spec["kind"]].defaults, **{name: value for name, value in spec.items() if value is not None}}
