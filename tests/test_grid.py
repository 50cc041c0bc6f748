"""The cells of a sweep: blocks, what the command line does to them, their order."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from commands import mixexp
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from mixexp.errors import UserError
from mixexp.plan.compose import composing
from mixexp.plan.composer import Composer
from mixexp.plan.editions import Edition
from mixexp.plan.overrides import axes_of, loaded_groups
from mixexp.plan.plan import plan
from mixexp.spec.claims import LIKE_THE_TABLE, RESERVED
from mixexp.spec.grid import as_override, block_cells, cells, replace

EXPERIMENTS = [
    path
    for path in sorted((Path(__file__).resolve().parents[1] / "conf" / "experiment").glob("*.yaml"))
    if "override /hydra/sweeper: search" not in path.read_text(encoding="utf-8")  # a search has no grid
]
FEW = settings(max_examples=50, deadline=None)
LEAVES = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False)
BLOCKS = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "b.c", "d"]),
        st.integers(0, 3) | st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
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
    with pytest.raises(UserError, match=r"one experiment at a time.* mixexp reproduce small_data quickstart"):
        sweep([], experiment="small_data,quickstart")


@FEW
@given(blocks=BLOCKS, axes=st.dictionaries(st.sampled_from(["a", "seed"]), VALUES))
def test_every_cell_has_what_the_command_line_asked_for(
    blocks: list[dict[str, object]], axes: dict[str, list[int]]
) -> None:
    wanted = {key: list(map(str, values)) for key, values in axes.items()}
    found = cells(blocks, wanted, {"a", "seed"})
    for cell, (key, values) in itertools.product(found, wanted.items()):
        assert dict(word.split("=") for word in cell)[key] in values


# --- editions ---

ON_DIGITS = """# @package _global_
# Mixing on the digits.
defaults:
  - override /dataset: digits
  - override /subset: head
  - override /mix: mixup
  - override /probe: training_error

name: on_digits
epochs: 3
data_seed: ${seed}

hydra:
  sweeper:
    params: {seed: "0,1,2"}
    grid:
      - {subset.n: [1000, 500], mix: [none, mixup]}
      - {subset.n: 200, steps: 100, mix: [none, mixup]}

table: {title: mixing, metric: accuracy, rows: {label: images, key: subset.n}, columns: {label: mixing, key: mix}}

claims:
  gain: {source: "zhang2018_mixup, table 2", says: It helps., test: {higher: {mix: mixup}, lower: {mix: none}}}

editions:
  laptop:
    why: Seconds in place of hours.
    params: {seed: "0,1", model.width: 4, epochs: 2}
    grid: [{subset.n: [100, 60], mix: [none, mixup]}]
    checks: {fits: {says: It fits., test: {below: 1.0, of: {mix: none}}}}
  short:
    why: Fewer steps.
    params: {seed: 0, epochs: 1, steps: null, alpha: 0.2}
  wrong:
    param: {seed: "0"}
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    """The word for a folder with an experiment that has editions."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "digits.yaml").write_text(ON_DIGITS)
    return "--config-dir=own"


def edition(params: Mapping[str, Any], grid: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """The cells of an edition of a small experiment, each as one line."""
    blocks = [{"mix": ["none", "mixup"], "epochs": 9}]
    found = Edition(why="Seconds in place of hours.", params=params, grid=grid).cells(
        blocks, {"seed": "0", "batch_size": "64"}, {"seed", "epochs", "alpha"}, {}
    )
    return [" ".join(f"{key}={value}" for key, value in cell.items()) for cell in found]


def test_an_editions_params_win_over_the_experiments_and_narrow_its_grid() -> None:
    assert edition({"seed": "3,4", "epochs": 1}) == [
        f"seed={seed} batch_size=64 mix={mix} epochs=1" for mix in ("none", "mixup") for seed in (3, 4)
    ]
    assert edition({"mix": "mixup"}) == ["seed=0 batch_size=64 mix=mixup epochs=9"]


def test_an_editions_grid_takes_the_place_of_the_experiments() -> None:
    assert edition({"alpha": 1.0}, [{"a": [1, 2]}]) == [
        "seed=0 batch_size=64 alpha=1.0 a=1",
        "seed=0 batch_size=64 alpha=1.0 a=2",
    ]


def test_a_value_of_any_kind_and_a_reference_are_an_editions_params() -> None:
    (cell,) = edition({"data_seed": "${seed}", "schedule.milestones": [0.3, 0.6], "steps": None}, [{"mix": "none"}])
    assert cell == "seed=0 batch_size=64 data_seed=${seed} schedule.milestones=[0.3,0.6] steps=null mix=none"


def test_an_edition_is_trained_recorded_and_reported_beside_the_experiments_own_runs(tmp_path: Path, own: str) -> None:
    done = mixexp("reproduce", "digits", "edition=laptop", "subset.n=60", own, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs").iterdir()
    configs = [yaml.safe_load(path.read_text()) for path in folder.glob("*/config.yaml")]
    assert folder.name == "on_digits_laptop"
    assert sorted((c["choices"]["mix"], c["seed"], c["data_seed"]) for c in configs) == [
        (m, s, s) for m in ("mixup", "none") for s in (0, 1)
    ]
    described = yaml.safe_load(ON_DIGITS)
    for config in configs:
        assert (config["name"], config["subset"]["n"], config["epochs"], config["model"]["width"]) == (
            "on_digits_laptop",
            60,
            2,
            4,
        )
        assert (config["edition"], config["editions"], config["claims"]) == ("laptop", None, described["claims"])
        assert config["checks"] == described["editions"]["laptop"]["checks"]
    for path in folder.glob("*/environment.json"):
        about = json.loads(path.read_text())
        assert (
            set(about["differs_from_experiment"]) == {"epochs", "model.width", "subset.n"}
            and about["differs_from_edition"] == {}
        )
    reduced = (
        "**Reduced: edition laptop: epochs 2 instead of 3; model.width 4 instead of 16; subset.n 60 instead of 1000**"
    )
    assert reduced in (folder / "report" / "table.md").read_text()
    # the same settings by hand are the same runs, of no edition
    by_hand = mixexp(
        "plan",
        "digits",
        "seed=0,1",
        "subset.n=60",
        "model.width=4",
        "epochs=2",
        "steps=null",
        "name=on_digits_laptop",
        own,
        cwd=tmp_path,
    )
    assert "4 done" in by_hand.stdout
    assert mixexp("plan", "digits", "edition=laptop", own, cwd=tmp_path).stdout.count("missing  ") == 4


AXES = """# @package _global_
# Axes beside the grid, or in it.
name: axes
epochs: 1
model: {{width: 4}}
subset: {{n: 200}}
defaults: [override /subset: head]
hydra: {{sweeper: {sweeper}}}
table: {{title: axes}}
"""
BESIDE = '{params: {mix: "none,mixup", mix_layer: "input,layer2", alpha: "0.2,1", subset.n: "100,60", seed: range(2)}}'
INSIDE = (
    "{grid: [{mix: [none, mixup], mix_layer: [input, layer2], alpha: [0.2, 1], subset.n: [100, 60], seed: [0, 1]}]}"
)
BOTH = (
    '{params: {mix: "none,mixup", alpha: "0.2,1", seed: "0,1"}, grid: [{mix: mixup, mix_layer: [input, layer2],'
    " subset.n: [100, 60]}]}"
)


def departures(folder: Path, sweeper: str, *words: str) -> list[dict[str, list[Any]]]:
    """Those of each run of an experiment with such a sweep, as they are planned."""
    (folder / "own" / "experiment").mkdir(parents=True, exist_ok=True)
    (folder / "own" / "experiment" / "axes.yaml").write_text(AXES.format(sweeper=sweeper))
    chosen = ["experiment=axes", *words]
    with composing(chosen, [folder / "own"]) as first:
        axes = {
            key: texts
            for key, texts in axes_of(first.params, loaded_groups()).items()
            if f"{key}=" not in " ".join(words)
        }
        jobs = [[*chosen, *cell] for cell in cells(first.grid, axes, set(first.config))]
        compose = Composer(
            lambda words: hydra.compose("config", overrides=words, return_hydra_config=True), loaded_groups()
        )
        return [run.differs_from_experiment for run in plan([compose(job) for job in jobs], jobs).runs]


@pytest.mark.parametrize("sweeper", [BESIDE, INSIDE, BOTH])
def test_no_value_of_an_experiments_own_axes_departs_from_it_wherever_they_stand(tmp_path: Path, sweeper: str) -> None:
    found = departures(tmp_path, sweeper)
    assert len(found) >= 16 and not any(found)


def test_what_is_no_value_of_an_axis_departs_from_its_first(tmp_path: Path) -> None:
    found = departures(tmp_path, BESIDE, "subset.n=30", "epochs=2")
    assert len(found) == 10 and all(departure == {"epochs": [2, 1], "subset.n": [30, 100]} for departure in found)


def test_a_metric_that_a_narrowed_sweep_lacks_may_be_of_the_experiments_own_axes(tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    text = AXES.format(sweeper='{params: {validation: "0,0.1", seed: "0,1"}}').replace(
        "axes}", "axes, metric: val_accuracy}"
    )
    (tmp_path / "own" / "experiment" / "axes.yaml").write_text(text)
    done = mixexp("plan", "axes", "validation=0", "--config-dir=own", cwd=tmp_path)
    assert "2 runs" in done.stdout and done.returncode == 0, done.stderr


def test_what_is_changed_by_hand_beside_an_edition_is_recorded_and_reported(tmp_path: Path, own: str) -> None:
    words = (
        "-m",
        "experiment=digits",
        "edition=laptop",
        "subset.n=60",
        "mix=none",
        "seed=0,7",
        "epochs=1",
        "name=mine",
        own,
    )
    assert mixexp(*words, cwd=tmp_path).returncode == 0
    folder = tmp_path / "outputs" / "mine"
    found = [json.loads(path.read_text())["differs_from_edition"] for path in folder.glob("*/environment.json")]
    assert found == [{"epochs": [1, 2]}] * 2, "another seed is another repetition"
    assert mixexp("report", "outputs/mine", cwd=tmp_path).returncode == 0
    assert "; not as the edition has it: epochs 1 instead of 2**" in (folder / "report" / "table.md").read_text()


def test_an_edition_without_a_grid_has_the_experiments_and_the_command_line_narrows_it(
    tmp_path: Path, own: str
) -> None:
    done = mixexp("plan", "digits", "edition=short", own, cwd=tmp_path)
    assert "on_digits_short: 6 runs: 6 missing" in done.stdout
    assert (
        "on_digits_short: 1 run: 1 missing"
        in mixexp("plan", "digits", "edition=short", "subset.n=500", "mix=none", own, cwd=tmp_path).stdout
    )
    shown = mixexp("experiment=digits", "edition=laptop", "--cfg", "job", own, cwd=tmp_path).stdout
    assert "name: on_digits_laptop\n" in shown and "edition: laptop\n" in shown


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ("plan", "digits", "edition=lapto"),
            (
                "edition=lapto: experiment=digits has no such edition; there are laptop, short, wrong. Did you mean"
                " 'edition=laptop'?"
            ),
        ),
        (
            ("plan", "edition=laptop"),
            (
                "edition=laptop: it is one of an experiment's, and no experiment is chosen; these have: .*digits"
                " (laptop, short, wrong)"
            ),
        ),
        (
            ("plan", "quickstart", "edition=laptop"),
            "edition=laptop: experiment=quickstart has no editions; these have: .*digits (laptop, short, wrong)",
        ),
        (
            ("experiment=digits", "edition=laptop"),
            (
                "edition=laptop: an edition is a sweep, and this is one run: mixexp -m --config-dir=own"
                " experiment=digits edition=laptop"
            ),
        ),
        (
            ("-m", "experiment=digits", "edition=laptop,short"),
            "edition=laptop,short: one edition at a time, each has its own grid",
        ),
        (
            ("plan", "digits", "edition=wrong"),
            (
                "editions.wrong.why: needs a value, .*editions.wrong.param: no such setting; there are why, params,"
                " grid, checks. Did you mean"
            ),
        ),
    ],
)
def test_an_edition_that_cannot_be_meant_is_one_message_with_what_there_is(
    tmp_path: Path, own: str, words: tuple[str, ...], message: str
) -> None:
    done = mixexp(*words, own, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    beginning, _, end = message.partition(".*")
    assert done.stderr.startswith(f"mixexp: {beginning}") and end in done.stderr and not (tmp_path / "outputs").exists()


def test_an_edition_cannot_have_the_name_of_a_claims_key(tmp_path: Path) -> None:
    assert set(RESERVED) == {"full", "source", "says", "test", "cannot", *LIKE_THE_TABLE}
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "taken.yaml").write_text(
        "# @package _global_\neditions: {full: {why: Seconds in place of hours.}}\n", encoding="utf-8"
    )
    done = mixexp("plan", "taken", "edition=full", "--config-dir=own", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "mixexp: editions.full: a claim has the key 'full' for something else; the edition needs another name.\n",
    )


def test_the_list_of_experiments_names_their_editions(tmp_path: Path, own: str) -> None:
    listed = mixexp("list", "experiments", own, cwd=tmp_path).stdout
    assert (
        "digits\n  Mixing on the digits.\n  Edition laptop: Seconds in place of hours. mixexp reproduce digits"
        " edition=laptop\n" in listed
    )
