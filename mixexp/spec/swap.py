"""A table's description with its rows as columns and its columns as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixexp.spec.figures import AXIS_OF_A_FIGURE, KINDS, figure_problem
from mixexp.spec.table import AXES

OTHER = dict(zip(AXES, reversed(AXES), strict=True))
"""Each axis, and the one whose place it takes."""


def swapped(table: Mapping[str, Any]) -> dict[str, Any]:
    """The whole description of a table with rows and columns exchanged; its figures show what they showed."""
    published: dict[Any, dict[Any, Any]] = {}
    for column, values in table["published"].items():
        for row, value in values.items():
            published.setdefault(row, {})[column] = value
    return {
        **table,
        **{axis: table[other] for axis, other in OTHER.items()},
        "order": {OTHER.get(name, name): labels for name, labels in table["order"].items()},
        "published": published,
        "figures": [spec if figure_problem(spec) else _turned(spec) for spec in table["figures"]],
    }


def _turned(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A sound figure of the table before, for the one with rows and columns exchanged."""
    options = KINDS[spec["kind"]].options
    given = {
        name: spec.get(name, option.default) for name, option in options.items() if option.values is AXIS_OF_A_FIGURE
    }
    return {**spec, **{name: OTHER[axis] for name, axis in given.items() if axis is not None}}
