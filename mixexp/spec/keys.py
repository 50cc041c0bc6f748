"""A key of a description: its default, its values and its meaning, from which checks and references are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mixexp.errors import closest

LARGEST = 1e12
"""The magnitude from which numbers are refused in a description, since their sums and squares could overflow."""


@dataclass(frozen=True)
class Values:
    """The values that a key may have, in words.

    problem: the end of the error "KEY is VALUE…" for any other value, else an empty text.
    """

    words: str
    problem: Callable[[Any], str]


@dataclass(frozen=True)
class Key:
    """A key; needed: True for a key without a useful default."""

    default: Any
    values: Values
    meaning: str
    needed: bool = False


def one_of(*names: str) -> Values:
    """One of a few words; null is not allowed."""
    words = " or ".join(names) if len(names) == 2 else ", ".join(names)

    def problem(value: Any) -> str:
        known = isinstance(value, str) and value in names
        return (
            "" if known else f"; {words} {'was expected' if len(names) == 2 else 'are known'}.{closest(value, names)}"
        )

    return Values(words, problem)


def of_type(words: str, *types: type, among: Callable[[Any], bool] = lambda value: True) -> Values:
    """Values of some types, or null; among: a further condition on a value."""

    def problem(value: Any) -> str:
        fits = value is None or (
            isinstance(value, types) and (bool in types or not isinstance(value, bool)) and among(value)
        )
        return "" if fits else f"; {words} was expected."

    return Values(words, problem)


def number(value: Any) -> bool:
    """True for a number whose sums and squares do not overflow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def whole(low: int, high: int) -> Values:
    """A whole number within bounds."""
    return of_type(f"a whole number from {low} to {high}", int, among=lambda value: low <= value <= high)


def _no_metric(value: Any) -> str:
    if isinstance(value, str) and value.startswith("probe.") and value.count(".") < 2:
        return "; a probe's measure is probe.<file>.<column>."
    return TEXT.problem(value)


def _no_metrics(value: Any) -> str:
    if not isinstance(value, list):
        return _no_metric(value)
    return next(filter(None, map(_no_metric, value)), "") or (
        "" if None not in value else "; a list of texts was expected."
    )


def mapping_of_mappings(value: Any) -> bool:
    """True for a mapping whose values are mappings."""
    return isinstance(value, Mapping) and all(isinstance(inner, Mapping) for inner in value.values())


TEXT = of_type("a text", str)
NUMBER = of_type("a number", int, float, among=number)
FACTOR = of_type("a number other than 0", int, float, among=lambda value: number(value) and bool(value))
FLAG = of_type("true or false", bool)
LIST = of_type("a list", list)
MAPPING = of_type("a mapping", dict)
LISTS = of_type(
    "a mapping of names to lists", dict, among=lambda value: all(isinstance(inner, list) for inner in value.values())
)
ENTRIES = of_type("a mapping of labels to mappings", dict, among=mapping_of_mappings)

# Names of data of runs, which are also compared with the runs' own.
METRIC = Values("a column of metrics.csv, error, or probe.<file>.<column>", _no_metric)
METRICS = Values("a metric, or a list of some", _no_metrics)
SETTING = of_type("a dotted key of a setting", str)
PROBE = of_type("the file of a probe, without probe_ and .csv", str)
COLUMN = of_type("a column of the probe's file", str)
CONDITIONS = of_type("a mapping of the probe's columns to a value each", dict)


def unknown(key: Any, known: Mapping[str, Any]) -> str:
    """The end of the error about an unknown key, after its place."""
    return f"has no key {key!r}.{closest(key, known)} There are {', '.join(known)}."
