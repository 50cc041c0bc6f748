"""The cells of a sweep: an experiment's grid is a list of blocks, each the product of its own axes; the command line narrows it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from mixexp.errors import UserError

Cell = dict[str, str]


def as_override(value: Any) -> str:
    """A YAML value as the right-hand side of a Hydra override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(as_override, value))}]"
    return str(value)


def block_cells(blocks: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """The cells of a grid, block after block, the last axis fastest; a list is an axis, any other value is fixed."""
    cells: list[Cell] = []
    for block in blocks:
        axes = [value if isinstance(value, list) else [value] for value in block.values()]
        cells += [dict(zip(block, map(as_override, values), strict=True)) for values in itertools.product(*axes)]
    return cells


def narrow(cells: list[Cell], key: str, wanted: Sequence[str], everywhere: bool) -> list[Cell]:
    """The cells after the command line has set a key of the grid.

    Values that the grid has keep the cells with them. With any other value the key is replaced: in all cells that have it, and
    in the others too where `everywhere` (a setting that every run has); cells that become equal are one.
    """
    values = [yaml.safe_load(value) for value in wanted]
    have = [yaml.safe_load(cell[key]) for cell in cells if key in cell]
    if all(value in have for value in values):
        return [cell for cell in cells if key in cell and yaml.safe_load(cell[key]) in values]
    replaced: dict[tuple[tuple[str, str], ...], Cell] = {}
    for cell in cells:
        options = [{**cell, key: value} for value in wanted] if key in cell or everywhere else [cell]
        replaced |= {tuple(sorted(option.items())): option for option in options}
    return list(replaced.values())


def cells(
    blocks: Sequence[Mapping[str, Any]], axes: Mapping[str, Sequence[str]], root_settings: Collection[str]
) -> list[list[str]]:
    """Every cell's overrides: the product of the grid's cells with the axes (command line, common axes) that it does not set."""
    if len(axes.get("experiment", ())) > 1:
        names = " ".join(axes["experiment"])
        raise UserError(f"one experiment at a time, each has its own grid; for several: mixexp reproduce {names}")
    grid = block_cells(blocks) or [{}]
    grid_keys = {key for cell in grid for key in cell}
    for key in axes.keys() & grid_keys:
        grid = narrow(grid, key, axes[key], everywhere=key in root_settings)
    outer = {key: values for key, values in axes.items() if key not in grid_keys}
    products = [dict(zip(outer, values, strict=True)) for values in itertools.product(*outer.values())]
    return [[f"{key}={value}" for key, value in {**common, **cell}.items()] for cell in grid for common in products]
