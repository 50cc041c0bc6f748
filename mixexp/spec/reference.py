"""The keys of a table and the kinds of figures in words, made from the data that checks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mixexp.spec.figures import COMMON, KINDS
from mixexp.spec.keys import Key
from mixexp.spec.table import AXIS, KEYS, MEASURE
from mixexp.text import in_hydra

NEEDED = "needed"
"""The text in place of the default of a required key."""


class Section(NamedTuple):
    """Keys of one kind: their name and meaning, and each key with its default, values and meaning."""

    name: str
    meaning: str
    keys: list[tuple[str, str, str, str]]


def table() -> list[Section]:
    """The keys of a `table:` block and of its parts."""
    return [
        _section(
            "table",
            "what a report shows: in an experiment's file under `table:`, or in a file for mixexp report --table",
            KEYS,
        ),
        _section("table.rows, table.columns", "one of key, values and measures, and perhaps a label", AXIS),
        _section("a measure", "one of measures: what an entry shows in place of the table's metric", MEASURE),
    ]


def figures() -> list[Section]:
    """The kinds of figures with their options."""
    where = "a list, each with kind and the options of its kind; or mixexp report --figure KIND:OPTION=VALUE,..."
    return [
        _section("table.figures", where, COMMON),
        *(_section(name, kind.meaning, kind.options) for name, kind in KINDS.items()),
    ]


def as_text(sections: list[Section]) -> str:
    """Sections as a terminal shows them: a line for each key."""
    blocks = []
    for section in sections:
        width = max(len(name) for name, *_ in section.keys)
        lines = [
            f"  {name:<{width}}  {meaning} ({values}; {'default ' * (default != NEEDED)}{default})"
            for name, default, values, meaning in section.keys
        ]
        blocks.append("\n".join([f"{section.name}: {section.meaning}", *lines]))
    return "\n\n".join(blocks)


def _section(name: str, meaning: str, keys: Mapping[str, Key]) -> Section:
    rows = [
        (name, NEEDED if key.needed else in_hydra(key.default), key.values.words, key.meaning)
        for name, key in keys.items()
    ]
    return Section(name, meaning, rows)
