"""The cells of a sweep: a grid is a list of blocks, each the product of its axes; the command line narrows it."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from mixexp.errors import UserError

Cell = dict[str, str]

MOST_CELLS = 100_000
"""Maximum cells of one sweep; planning them takes half an hour."""


def as_override(value: Any) -> str:
    """A YAML value as the right-hand side of a Hydra override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(as_override, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}: {as_override(inner)}' for key, inner in value.items())}}}"
    return str(value)


def override_of(key: str, text: str) -> str:
    """The override of a cell's key."""
    return key if key.startswith("~") else f"{key}={text}"


def block_cells(blocks: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """The cells of a grid, block after block, the last axis fastest; a list is an axis, any other value is fixed.

    Raises UserError for a value that is not a grid, and for an axis without values.
    """
    cells: list[Cell] = []
    if not isinstance(blocks, list | tuple) or not all(isinstance(block, Mapping) for block in blocks):
        raise UserError(
            f"hydra.sweeper.grid = {blocks}: a grid is a list of blocks, such as [{{mix: [none, mixup], seed: 0}}]"
        )
    for block in blocks:
        if empty := [key for key, value in block.items() if value == []]:
            raise UserError(
                f"hydra.sweeper.grid: {empty[0]}: [] is empty, so its block has no cells; give it values or take it out"
            )
        axes = [value if isinstance(value, list) else [value] for value in block.values()]
        cells += [dict(zip(block, map(as_override, values), strict=True)) for values in itertools.product(*axes)]
    return cells


def value_of(text: str) -> Any:
    """The value of an override's right-hand side; 1e-3 is a number for Hydra, though not for YAML."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def replace(cells: list[Cell], key: str, texts: Sequence[str], everywhere: bool) -> list[Cell]:
    """The cells with other values for a key, in all cells that have it, or in all where `everywhere`.

    Equal cells become one.
    """
    replaced: dict[tuple[tuple[str, str], ...], Cell] = {}
    for cell in cells:
        options = [{**cell, key: value} for value in texts] if key in cell or everywhere else [cell]
        replaced |= {tuple(sorted(option.items())): option for option in options}
    return list(replaced.values())


def cells(
    blocks: Sequence[Mapping[str, Any]], axes: Mapping[str, Sequence[str]], root: Collection[str]
) -> list[list[str]]:
    """Every cell's overrides: the product of the grid's cells with the axes that the grid does not set.

    axes: those of the command line and the common ones. An axis that the grid sets narrows it to the cells with these
    values. With a value that no cell has, it replaces the key instead: in the cells that have it, or in all of them for
    a key of `root`, which every run has. Raises UserError when no cell is left.
    """
    mappings = combined(blocks, axes, root)
    return [[override_of(key, value) for key, value in cell.items()] for cell in mappings]


def combined(
    blocks: Sequence[Mapping[str, Any]], axes: Mapping[str, Sequence[str]], root: Collection[str]
) -> list[Cell]:
    """The same cells as mappings; raises the errors of `cells`."""
    if len(axes.get("experiment", ())) > 1:
        names = " ".join(axes["experiment"])
        raise UserError(f"one experiment at a time, each has its own grid; for several: mixexp reproduce {names}")
    for key in ("name", "output_dir"):
        if len(axes.get(key, ())) > 1:
            raise UserError(
                f"{key}={','.join(axes[key])}: a sweep has one folder, and its runs have names of their own in it"
            )
    full = block_cells(blocks) or [{}]
    # "++steps=5" sets the grid's steps in the same way as "steps=5"
    bare = {key: key.lstrip("+") for key in axes}
    axes = {bare[key] if any(bare[key] in cell for cell in full) else key: values for key, values in axes.items()}
    grid, new = full, []
    for key in (key for key in axes if any(key in cell for cell in full)):
        have = [value_of(cell[key]) for cell in full if key in cell]
        values_given = [value_of(text) for text in axes[key]]
        if all(value in have for value in values_given):
            grid = [cell for cell in grid if key in cell and value_of(cell[key]) in values_given]
        else:
            new.append(key)
    if not grid:
        words = " ".join(
            f"{key}={','.join(values)}" for key, values in axes.items() if any(key in cell for cell in full)
        )
        raise UserError(f"{words}: no cell of the experiment's grid has all of these values")
    for key in new:
        grid = replace(grid, key, axes[key], everywhere=key in root)
    outer = {key: values for key, values in axes.items() if not any(key in cell for cell in full)}
    if (number := len(grid) * math.prod(map(len, outer.values()))) > MOST_CELLS:
        raise UserError(f"{number:,} cells; a sweep has {MOST_CELLS:,} at most")
    products = [dict(zip(outer, values, strict=True)) for values in itertools.product(*outer.values())]
    return [{**common, **cell} for cell in grid for common in products]
