"""The runs that an experiment's file asks for, or an edition in it: the settings that they have and their seeds, read without composing anything."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixexp.files import parse_yaml
from mixexp.run.reader import Run
from mixexp.settings import DESCRIPTIONS, MIN_SEEDS, REPEATS, SAME_RESULT, comparable, flatten, under

ANYTHING = None
"""The values of a setting that are not read here: a reference, or a sweep that only Hydra expands."""
SETTLED = ("alpha", "mix_layer")
"""Settings that a run has as null where they would change nothing."""
_RANGE = re.compile(r"range\((-?\d+)(?:,\s*(-?\d+))?(?:,\s*(\d+))?\)")
_AROUND = re.compile(r"(?:choice|shuffle|sort)\((.*)\)")
_GROUP = re.compile(r"(?:override )?/?([a-z_]+)")

Block = Mapping[str, frozenset | None]
"""Dotted key → the values that it may have, as they are compared; ANYTHING for those that are not read here."""
Repeats = frozenset[tuple]
"""Seeds with data_seeds, ANYTHING in place of a data_seed that the file does not state."""


@dataclass(frozen=True)
class Stated:
    """The runs that a file states for an experiment or an edition: blocks of settings; every run has the settings of one block."""

    blocks: tuple[Block, ...]

    def has(self, run: Run) -> bool:
        """True for a run with the settings of one of the blocks; its seeds count where the file states enough of them for a test."""
        return any(all(self._agrees(run, key, values) for key, values in block.items()) for block in self.blocks)

    def repeats(self, conditions: Mapping[str, Any]) -> Repeats | None:
        """The seeds of the blocks that a cell with these conditions lies in; None where any seed counts."""
        if not self._counts_seeds:
            return None
        lain_in = [block for block in self.blocks if all(_admits(block, key, value) for key, value in conditions.items())]
        return frozenset().union(*map(_repeats, lain_in))

    @property
    def _counts_seeds(self) -> bool:
        """True where all blocks state seeds, enough for a test: no run is held to an article's own single seed."""
        if any(block.get("seed") is ANYTHING for block in self.blocks):
            return False
        return len(frozenset().union(*map(_repeats, self.blocks))) >= MIN_SEEDS

    def _agrees(self, run: Run, key: str, values: frozenset | None) -> bool:
        if values is ANYTHING or (key in REPEATS and not self._counts_seeds):
            return True
        value = run.setting(key)
        return value in values or (value is None and key in SETTLED) or (key.startswith("mix_layer.") and run.setting("mix_layer") is None)


def states(repeats: Repeats, repeat: tuple) -> bool:
    """True if a run's seed and data_seed are among those that are stated."""
    return any(repeat[0] == seed and data in (ANYTHING, repeat[1]) for seed, data in repeats)


def missing(repeats: Repeats, there: frozenset[tuple]) -> int:
    """The number of stated repeats that have no run among those that are there, each a seed with its data_seed."""
    return sum(not any(states(frozenset({stated_repeat}), repeat) for repeat in there) for stated_repeat in repeats)


def stated(settings: Mapping[str, Any], edition: Mapping[str, Any] | None = None) -> Stated:
    """The statement of an experiment's parsed file, or of an edition with its block; without settings, one empty block.

    Where both the grid and the params set a key, these narrow the grid if it has their values, and else replace them, as in a sweep.
    """
    sweeper = _inner(_inner(settings, "hydra"), "sweeper")
    params = {**_inner(sweeper, "params"), **_inner(edition or {}, "params")}
    edition_grid = (edition or {}).get("grid")
    grid = sweeper.get("grid") if edition_grid is None else edition_grid
    blocks: list[Block] = [{str(key).lstrip("+"): _listed(value) for key, value in block.items()} for block in grid or () if isinstance(block, Mapping)]
    blocks = blocks or [{}]
    for key, values in {str(key).lstrip("+"): _typed(value) for key, value in params.items()}.items():
        there = [block[key] for block in blocks if key in block]
        if not there:
            blocks = [{key: values, **block} for block in blocks]
        elif ANYTHING not in (values, *there) and values <= frozenset().union(*there):
            blocks = [{**block, key: block[key] & values} for block in blocks if key in block and block[key] & values]
        else:  # a setting of a group's option belongs to the blocks that have it; any other one to all
            blocks = [{**block, key: values} if key in block or "." not in key else block for block in blocks]
    common = dict(_settings(settings))
    return Stated(tuple(_whole({**common, **block}) for block in blocks))


def _whole(block: Block) -> Block:
    """A block without what makes no other result, and with one budget: beside steps, epochs says nothing."""
    unread = [f"{key}." for key, values in block.items() if values is ANYTHING]
    settings = {key: values for key, values in block.items() if not under(key, SAME_RESULT) and not key.startswith(tuple(unread))}
    if settings.get("steps", frozenset({None})) != {None}:
        settings.pop("epochs", None)
    elif "epochs" in settings:
        settings.setdefault("steps", frozenset({None}))
    return settings


def _repeats(block: Block) -> Repeats:
    """The seeds of a block with its data_seeds."""
    return frozenset(itertools.product(block.get("seed") or (), block.get("data_seed") or (ANYTHING,)))


def _admits(block: Block, key: str, value: Any) -> bool:
    values = block.get(key, ANYTHING)
    return values is ANYTHING or comparable(value) in values or (value is None and key in SETTLED)


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, frozenset | None]]:
    """The settings at the root of a file, and the options that it chooses."""
    for entry in settings.get("defaults") or ():
        for words, option in entry.items() if isinstance(entry, Mapping) else ():
            if (group := _GROUP.fullmatch(str(words).strip())) is not None:
                yield group[1], _listed(option)
    run_settings = {key: value for key, value in settings.items() if key not in ("defaults", "hydra", *DESCRIPTIONS)}
    yield from ((key, _listed(value, whole=True)) for key, value in flatten(run_settings).items())


def _listed(value: Any, whole: bool = False) -> frozenset | None:
    """The values of a grid's axis; whole: a list is one value."""
    values = value if isinstance(value, list) and not whole else [value]
    if any("${" in str(item) for item in values):
        return ANYTHING
    # in a grid a text such as "[2,3]" stands for a list, which would be an axis
    return frozenset(comparable(parse_yaml(item) if isinstance(item, str) and item.startswith("[") else item) for item in values)


def _typed(value: Any) -> frozenset | None:
    """The values of a sweep's parameter as Hydra reads it: commas part them, choice, shuffle and sort stand around them, and range counts."""
    if not isinstance(value, str):
        return _listed(value, whole=True)
    text = value.strip()
    while (inside := _AROUND.fullmatch(text)) is not None:
        text = inside[1].strip()
    if (counted := _RANGE.fullmatch(text)) is not None:
        first, last, step = counted.groups()
        return frozenset(map(comparable, range(0 if last is None else int(first), int(first if last is None else last), int(step or 1))))
    if re.search(r"[(\[{'\"$\\=]", text):
        return ANYTHING
    words = [word.lower() if word.lower() in ("null", "true", "false") else word for word in map(str.strip, text.split(","))]
    return frozenset(comparable(None if word == "null" else word) for word in words)


def _inner(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = settings.get(key)
    return inner if isinstance(inner, Mapping) else {}
