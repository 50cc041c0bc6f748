"""The runs that an experiment's file asks for, or an edition in it: the settings that they have and their seeds, read without composing anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixexp.files import parse_yaml
from mixexp.report.inference import FEWEST
from mixexp.report.load import ASIDE, DESCRIPTIONS, Run, canonical, flatten, under

ANYTHING = None
"""The values of a setting that are not read here: a reference, or a sweep that only Hydra expands."""
SETTLED = ("alpha", "epochs", "mix_layer")
"""Settings that a run has as null where they would change nothing."""
_RANGE = re.compile(r"range\((\d+),\s*(\d+)\)")
_GROUP = re.compile(r"(?:override )?/?([a-z_]+)")

Block = Mapping[str, frozenset | None]
"""Dotted key → the values that it may have, as they are compared; ANYTHING for those that are not read here."""


@dataclass(frozen=True)
class Stated:
    """What a file says of the runs of an experiment, or of an edition: blocks of settings, of which every run has those of one."""

    blocks: tuple[Block, ...]

    def has(self, run: Run) -> bool:
        """Whether a run has the settings of one of the blocks; its seed counts where the file states seeds enough for a test."""
        return any(all(self._agrees(run, key, values) for key, values in block.items()) for block in self.blocks)

    def seeds(self, conditions: Mapping[str, Any]) -> frozenset:
        """The seeds of the blocks that a cell with these conditions lies in; empty where any seed counts."""
        if not self._counts_seeds:
            return frozenset()
        found = [block["seed"] for block in self.blocks if all(_admits(block, key, value) for key, value in conditions.items())]
        return frozenset().union(*filter(None, found))

    @property
    def _counts_seeds(self) -> bool:
        """Whether the seeds are stated in all blocks, and are enough for a test: an article's own one seed is none to hold a run to."""
        found = [block.get("seed") for block in self.blocks]
        return None not in found and len(frozenset().union(*found)) >= FEWEST

    def _agrees(self, run: Run, key: str, values: frozenset | None) -> bool:
        if values is ANYTHING or (key == "seed" and not self._counts_seeds):
            return True
        value = run.setting(key)
        return value in values or (value is None and key in SETTLED) or (key.startswith("mix_layer.") and run.setting("mix_layer") is None)


def stated(settings: Mapping[str, Any], edition: Mapping[str, Any] | None = None) -> Stated:
    """What an experiment's file says, as parsed, or with an edition's block in it that edition; of nothing one block without settings.

    Where both the file's grid and the params set a key, these narrow the grid if it has their values, and else replace them, as in a sweep.
    """
    sweeper = _inner(_inner(settings, "hydra"), "sweeper")
    params = {**_inner(sweeper, "params"), **_inner(edition or {}, "params")}
    grid = (edition or {}).get("grid") or sweeper.get("grid") or [{}]
    axes = {key.lstrip("+"): _typed(value) for key, value in params.items()}
    blocks = [{str(key).lstrip("+"): _listed(value) for key, value in block.items()} for block in grid if isinstance(block, Mapping)]
    for key, values in axes.items():
        there = [block[key] for block in blocks if block.get(key) is not ANYTHING]
        if values is ANYTHING or not there:
            blocks = [{key: values, **block} for block in blocks]
        elif values <= frozenset().union(*there):
            blocks = [{**block, key: block[key] & values} for block in blocks if key in block and block[key] is not ANYTHING and block[key] & values]
        else:
            blocks = [{**block, key: values} for block in blocks]
    common = dict(_settings(settings))
    return Stated(tuple({key: values for key, values in {**common, **block}.items() if not under(key, ASIDE)} for block in blocks))


def _admits(block: Block, key: str, value: Any) -> bool:
    values = block.get(key, ANYTHING)
    return values is ANYTHING or canonical(value) in values


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, frozenset | None]]:
    """The settings at the root of a file, and the options that it chooses."""
    for entry in settings.get("defaults") or ():
        for words, option in entry.items() if isinstance(entry, Mapping) else ():
            if (group := _GROUP.fullmatch(str(words).strip())) is not None:
                yield group[1], _listed(option)
    own = {key: value for key, value in settings.items() if key not in ("defaults", "hydra", *DESCRIPTIONS)}
    yield from ((key, _listed(value, whole=True)) for key, value in flatten(own).items())


def _listed(value: Any, whole: bool = False) -> frozenset | None:
    """The values of a grid's axis; whole: a list is one value."""
    values = value if isinstance(value, list) and not whole else [value]
    if any("${" in str(one) for one in values):
        return ANYTHING
    # in a grid a text such as "[2,3]" stands for a list, which would be an axis
    return frozenset(canonical(parse_yaml(one) if isinstance(one, str) and one.startswith("[") else one) for one in values)


def _typed(value: Any) -> frozenset | None:
    """The values of a sweep's parameter as Hydra reads it: commas part them, and range counts."""
    if not isinstance(value, str):
        return _listed(value, whole=True)
    if (counted := _RANGE.fullmatch(value.strip())) is not None:
        return frozenset(map(canonical, range(int(counted[1]), int(counted[2]))))
    if re.search(r"[(\[{'\"$\\]", value):
        return ANYTHING
    return frozenset(canonical(None if one in ("null", "") else one) for one in map(str.strip, value.split(",")))


def _inner(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = settings.get(key)
    return found if isinstance(found, Mapping) else {}
