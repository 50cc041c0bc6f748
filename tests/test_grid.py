"""The cells of a sweep: blocks, what the command line does to them, their order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hydra.core.override_parser.overrides_parser import OverridesParser

from mixexp.errors import UserError
from mixexp.sweep.grid import as_override, block_cells, cells, replace

EXPERIMENTS = [
    path
    for path in sorted((Path(__file__).resolve().parents[1] / "conf" / "experiment").glob("*.yaml"))
    if "override /hydra/sweeper: search" not in path.read_text(encoding="utf-8")  # a search has no grid
]
FEW = settings(max_examples=50, deadline=None)
LEAVES = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False)
BLOCKS = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "b.c", "d"]), st.integers(0, 3) | st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)
    ),
    max_size=3,
)
VALUES = st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)


def sweep(blocks: Sequence[Mapping[str, object]], root: tuple[str, ...] = (), **axes: str) -> list[str]:
    """Every cell as one line; an axis is given as on the command line, a dot in its name as two underscores."""
    wanted = {key.replace("__", "."): value.split(",") for key, value in axes.items()}
    return [" ".join(cell) for cell in cells(blocks, wanted, root)]


# --- blocks ---


def test_a_block_is_the_product_of_its_axes_the_last_fastest() -> None:
    assert sweep([{"a": [1, 2], "fixed": "x", "b.c": [True, None]}]) == [
        "a=1 fixed=x b.c=true",
        "a=1 fixed=x b.c=null",
        "a=2 fixed=x b.c=true",
        "a=2 fixed=x b.c=null",
    ]


def test_blocks_come_one_after_the_other() -> None:
    assert sweep([{"a": [2, 1]}, {"b": 3}, {"a": 9}]) == ["a=2", "a=1", "b=3", "a=9"]


@FEW
@given(blocks=BLOCKS)
def test_a_grid_has_as_many_cells_as_its_axes_say(blocks: list[dict[str, object]]) -> None:
    sizes = [math.prod(len(value) if isinstance(value, list) else 1 for value in block.values()) for block in blocks]
    assert len(block_cells(blocks)) == sum(sizes)
    assert {tuple(cell) for cell in block_cells(blocks)} == {tuple(block) for block in blocks}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_no_experiment_has_a_cell_twice(path: Path) -> None:
    grid = block_cells(yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["sweeper"]["grid"])
    assert len({tuple(sorted(cell.items())) for cell in grid}) == len(grid) > 0


@settings(max_examples=100, deadline=None)
@given(value=LEAVES | st.lists(LEAVES, max_size=4))
def test_a_yaml_value_is_the_same_value_to_hydra(value: object) -> None:
    (parsed,) = OverridesParser.create().parse_overrides([f"key={as_override(value)}"])
    assert parsed.value() == value
    assert type(parsed.value()) is type(value)


# --- the command line and a key of the grid ---


def test_a_value_of_the_grid_keeps_its_cells() -> None:
    blocks = [{"n": [500, 100], "m": [1, 2]}, {"n": 100, "k": 7}]
    assert sweep(blocks, n="100") == ["n=100 m=1", "n=100 m=2", "n=100 k=7"]
    assert sweep(blocks, m="2") == ["n=500 m=2", "n=100 m=2"]
    assert sweep(blocks, n="100", m="1") == ["n=100 m=1"]


def test_values_of_the_grid_keep_the_grids_order_and_spelling() -> None:
    assert sweep([{"a": [0.2, 1.0, 5.0]}], a="5,1") == ["a=1.0", "a=5.0"]


def test_a_new_value_replaces_the_key_where_it_is() -> None:
    assert sweep([{"m": [1, 2], "n": 3}, {"k": 7}], m="9") == ["m=9 n=3", "k=7"]
    assert sweep([{"m": 1, "n": 3}, {"k": 7}], m="8,9") == ["m=8 n=3", "m=9 n=3", "k=7"]


def test_a_new_value_among_known_ones_replaces_them_all() -> None:
    assert sweep([{"m": [1, 2], "n": [3, 4]}], m="1,9") == ["m=1 n=3", "m=9 n=3", "m=1 n=4", "m=9 n=4"]


def test_a_root_setting_goes_everywhere() -> None:
    blocks = [{"n": [500, 250], "steps": 117000}, {"n": 1000}]
    assert sweep(blocks, root=("steps",), steps="10") == ["n=500 steps=10", "n=250 steps=10", "n=1000 steps=10"]
    assert sweep(blocks, root=("steps",), steps="117000") == ["n=500 steps=117000", "n=250 steps=117000"]
    assert sweep(blocks, steps="10") == ["n=500 steps=10", "n=250 steps=10", "n=1000"]


def test_cells_that_become_equal_are_one() -> None:
    assert sweep([{"m": [1, 2]}, {"m": 3}], m="9") == ["m=9"]
    assert replace([{"a": "1", "b": "2"}, {"b": "2", "a": "5"}], "a", ["7"], everywhere=False) == [{"a": "7", "b": "2"}]


def test_hydras_numbers_are_numbers_here_too() -> None:
    assert sweep([{"lr": 0.001, "a": 1}, {"lr": 0.01, "a": 2}], lr="1e-3") == ["lr=0.001 a=1"]


def test_values_that_no_cell_has_together_are_refused() -> None:
    blocks = [{"loss": "ce"}, {"loss": "aff", "m": [1, 5]}]
    assert sweep(blocks, loss="aff", m="1") == ["loss=aff m=1"]
    for axes in ({"loss": "ce", "m": "1"}, {"m": "1", "loss": "ce"}):
        with pytest.raises(UserError, match="no cell of the experiment's grid has all"):
            sweep(blocks, **axes)


def test_strings_numbers_booleans_and_lists_are_compared_as_values() -> None:
    blocks = [{"milestones": "[0.5,0.8]", "fold": True, "mix": "none", "n": None}, {"fold": False}]
    for axis in ({"milestones": "[0.5, 0.8]"}, {"fold": "True"}, {"mix": "none"}, {"n": "null"}):
        [(key, value)] = axis.items()
        found = cells(blocks, {key: [value]}, ())
        assert len(found) == 1 and f"{key}={as_override(blocks[0][key])}" in found[0]


# --- the command line's own axes ---


def test_other_axes_multiply_the_grid_and_run_fastest() -> None:
    assert sweep([{"a": [1, 2]}], seed="0,1") == ["seed=0 a=1", "seed=1 a=1", "seed=0 a=2", "seed=1 a=2"]


def test_without_a_grid_the_axes_are_the_sweep() -> None:
    assert sweep([], a="1,2", b="3") == ["a=1 b=3", "a=2 b=3"]
    assert sweep([]) == [""]


def test_settings_come_before_the_cell_so_that_the_experiment_is_chosen_first() -> None:
    assert sweep([{"mix": "none"}], experiment="quickstart", seed="3") == ["experiment=quickstart seed=3 mix=none"]


def test_several_experiments_are_refused_with_the_command_that_does_it() -> None:
    with pytest.raises(UserError, match="one experiment at a time.* mixexp reproduce small_data quickstart"):
        sweep([], experiment="small_data,quickstart")


@FEW
@given(blocks=BLOCKS, axes=st.dictionaries(st.sampled_from(["a", "seed"]), VALUES))
def test_every_cell_has_what_the_command_line_asked_for(blocks: list[dict[str, object]], axes: dict[str, list[int]]) -> None:
    wanted = {key: list(map(str, values)) for key, values in axes.items()}
    found = cells(blocks, wanted, {"a", "seed"})
    for cell, (key, values) in itertools.product(found, wanted.items()):
        assert dict(word.split("=") for word in cell)[key] in values
