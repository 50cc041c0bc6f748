"""What makes two runs the same run, and what a run says of its distance to its experiment."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import hydra
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import resolved

from mixexp.plan.composer import composed
from mixexp.plan.identity import ALIAS, canonical, differences, run_id, scientific
from mixexp.plan.resolved import resolve
from mixexp.settings import CONF, NOT_SCIENTIFIC, OPTIONAL, flatten
from mixexp.training.spec import RunConfig

pytestmark = pytest.mark.fast
ALPHA, NOTHING = True, False
WHERE_AND_HOW_FAST = {
    "name": "other",
    "device": "cuda:1",
    "speed": {"_target_": "mixexp.speed.Eager"},
    "runs_per_device": 3,
    "data_dir": "/elsewhere",
    "output_dir": "/elsewhere",
    "trusted_modules": ["my_own"],
    "table": {"title": "a table"},
    "claims": {"gain": {"says": "it helps"}},
    "editions": {"laptop": {"why": "no GPU"}},
    "edition": "laptop",
    "checks": {"fits": {"says": "it fits"}},
    "checkpoint_seconds": 0,
    "keep": "last",
    "keep_checkpoint": True,
    "retry": "failed",
    "fail_fast": True,
    "hang_minutes": 5,
    "logger": {"_target_": "mixexp.logger.tensorboard.TensorBoard"},
}


@functools.cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    return resolved(*overrides)


def config(*overrides: str) -> dict[str, Any]:
    return copy.deepcopy(_composed(overrides))


def identity(*overrides: str, used: bool = NOTHING) -> str:
    return run_id(canonical(config(*overrides), used))


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def changed(node: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A copy whose leaf at path has another value."""
    node = copy.deepcopy(node)
    inner = node
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = f"not {inner[path[-1]]!r}"
    return node


def shuffled(node: Any, order: Any) -> Any:
    """A copy with the keys of every mapping in another order."""
    if not isinstance(node, Mapping):
        return node
    keys = list(node)
    order.shuffle(keys)
    return {key: shuffled(node[key], order) for key in keys}


MANY = (
    "mix=mixup",
    "mix_layer=random",
    "imbalance=minority",
    "label_noise=uniform",
    "augment=standard",
    "schedule=steps",
)
ALWAYS_TELLING = ("seed", "data_seed", "steps", "mix.ratio.per", "loss.label_smoothing", "optimizer.lr", "imbalance.n")


@functools.cache
def rich() -> dict[str, Any]:
    """The canonical configuration of a run that has something of everything."""
    return canonical(_composed(MANY), ALPHA)


@functools.cache
def silent() -> list[tuple[str, ...]]:
    """The leaves that make no other run."""
    elsewhere = ("dataset", "data_dir"), ("dataset", "download")
    return [path for path in leaves(rich()) if path[0] in NOT_SCIENTIFIC | {ALIAS} or path in elsewhere]


@functools.cache
def telling() -> list[tuple[str, ...]]:
    """The leaves that make another run."""
    return [path for path in leaves(rich()) if path not in silent()]


# --- run_id ---


def test_a_run_id_is_twelve_hexadecimal_digits() -> None:
    assert len(run_id(rich())) == 12
    assert set(run_id(rich())) <= set("0123456789abcdef")


def test_the_leaves_are_shared_out_as_meant() -> None:
    """A new root setting is scientific unless somebody says otherwise, so that two different runs never share a
    folder."""
    roots = {path[0] for path in telling()}
    assert {
        "seed",
        "data_seed",
        "steps",
        "epochs",
        "batch_size",
        "precision",
        "validation",
        "evaluations",
        "drop_last",
    } <= roots
    assert {
        "dataset",
        "subset",
        "imbalance",
        "label_noise",
        "sampling",
        "augment",
        "model",
        "mix",
        "mix_layer",
        "loss",
    } <= roots
    assert {"optimizer", "schedule", "channels_last"} <= roots
    assert {path[0] for path in silent()} == {*WHERE_AND_HOW_FAST, "choices", "alpha"}


def test_every_scientific_leaf_changes_the_run() -> None:
    assert [path for path in telling() if run_id(changed(rich(), path)) == run_id(rich())] == []
    assert {tuple(name.split(".")) for name in ALWAYS_TELLING} <= set(telling())


def test_where_and_how_fast_do_not() -> None:
    assert [path for path in silent() if run_id(changed(rich(), path)) != run_id(rich())] == []


def test_paths_inside_a_data_set_do_not_count_either() -> None:
    here = identity("dataset=cifar10", "data_dir=a", "dataset.download=true")
    assert here == identity("dataset=cifar10", "data_dir=b", "dataset.download=false")
    assert identity("dataset=image_folder", "dataset.folder=a") != identity("dataset=image_folder", "dataset.folder=b")
    folder = ("dataset=image_folder", "dataset.folder=a")
    assert identity(*folder, "data_dir=a") != identity(*folder, "data_dir=b"), "another place, other images"


def test_a_relative_data_folder_means_where_the_command_was_given(tmp_path, monkeypatch) -> None:
    found = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        _composed.cache_clear()
        found.append(identity("dataset=image_folder", "dataset.folder=photos", "data_dir=data"))
    assert found[0] != found[1]


def test_threads_change_the_last_bits_and_so_the_run() -> None:
    assert identity("threads=1") != identity("threads=2")


@settings(max_examples=20, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_the_order_of_keys_is_irrelevant(order: Any) -> None:
    assert run_id(shuffled(rich(), order)) == run_id(rich())


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_several_changes_give_yet_another_run(data: st.DataObject) -> None:
    paths = data.draw(st.sets(st.sampled_from(telling()), min_size=1, max_size=4))
    node = rich()
    seen = {run_id(rich())}
    for path in paths:
        node = changed(node, path)
        seen.add(run_id(node))
    assert len(seen) == len(paths) + 1


def test_the_chosen_options_names_do_not_count_only_what_they_hold() -> None:
    same = {**rich(), "choices": {group: "other" for group in rich()["choices"]}}
    assert run_id(same) == run_id(rich())


# --- canonical ---


def test_alpha_counts_where_a_mix_refers_to_it_and_nowhere_else() -> None:
    assert identity("mix=mixup", "alpha=0.2", used=ALPHA) != identity("mix=mixup", "alpha=0.4", used=ALPHA)
    assert identity("mix=bc", "alpha=0.2") == identity("mix=bc", "alpha=0.4")
    assert canonical(config("mix=bc", "alpha=0.2"), NOTHING)["alpha"] is None
    assert canonical(config("mix=mixup", "alpha=0.2"), ALPHA)["alpha"] == 0.2


@pytest.mark.parametrize(
    ("reference", "used"),
    [
        ("${alpha}", ALPHA),
        ("${ alpha }", ALPHA),
        ("${oc.select:alpha}", ALPHA),
        ("${...alpha}", ALPHA),
        ("${batch_size}", NOTHING),
        ("1.5", NOTHING),
    ],
)
def test_alpha_is_used_however_a_reference_to_it_is_written(reference: str, used: bool) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cell = composed(hydra.compose("config", overrides=["mix=mixup", "alpha=0.2"], return_hydra_config=True))
    cell.config.mix.ratio.alpha = reference
    resolved, uses_alpha = resolve(cell)
    assert uses_alpha == used
    assert (float(resolved["mix"]["ratio"]["alpha"]) == 0.2) == (used == ALPHA)


def test_the_spelling_through_alpha_and_in_place_is_one_run() -> None:
    assert identity("mix=mixup", "alpha=0.2", used=ALPHA) == identity("mix=mixup", "mix.ratio.alpha=0.2")


def test_without_a_blend_layers_and_alphas_are_one_run() -> None:
    cells = [(f"mix_layer={layer}", f"alpha={alpha}") for layer in ("input", "final") for alpha in (0.2, 1.0)]
    assert len({identity("mix=none", *cell) for cell in cells}) == 1
    assert len({identity("mix=mixup", *cell, used=ALPHA) for cell in cells}) == 4
    plain = canonical(config("mix=none", "mix_layer=final"), NOTHING)
    assert plain["mix_layer"]["layers"] == ["input"] and plain["choices"]["mix_layer"] is None
    assert plain["choices"]["mix"] == "none"


def test_steps_rules_epochs() -> None:
    assert (
        identity("steps=100", "epochs=3") == identity("steps=100", "epochs=9") == identity("steps=100", "epochs=null")
    )
    assert identity("epochs=3") != identity("epochs=9")
    assert canonical(config("steps=100"), NOTHING)["epochs"] is None
    assert canonical(config("epochs=9"), NOTHING)["epochs"] == 9


def test_canonical_leaves_what_it_is_given() -> None:
    given = config("mix=none", "mix_layer=final", "steps=5")
    before = copy.deepcopy(given)
    canonical(given, NOTHING)
    assert given == before


def test_canonical_is_idempotent() -> None:
    once = canonical(config("mix=none", "steps=5"), NOTHING)
    assert canonical(once, NOTHING) == once


# --- flatten, scientific ---


def test_flatten_names_every_leaf() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": {}, "f": None}) == {"a.b": 1, "a.c.d": [2], "e": {}, "f": None}


def test_the_scientific_part_is_the_telling_leaves() -> None:
    unsaid = {name for name in OPTIONAL if rich()[name] is None}
    unsaid |= {
        "test.n",
        "model.layer_defaults",
        "model.dropout",
        "imbalance.which",
        "loss.beta",
        "schedule.warmup_by",
    }  # they came when there were runs, and are at their defaults
    assert {".".join(path) for path in telling()} - unsaid == flatten(scientific(rich())).keys()


def test_an_optional_setting_that_is_null_leaves_the_identity_as_it_was_before_there_was_any() -> None:
    assert run_id({key: value for key, value in rich().items() if key not in OPTIONAL}) == run_id(rich())


# --- differences ---


def distance(overrides: tuple[str, ...], reference: tuple[str, ...] = (), used: bool = NOTHING) -> dict[str, list[Any]]:
    return differences(*(canonical(config(*words), used) for words in (overrides, reference)))


def test_a_run_does_not_differ_from_itself() -> None:
    assert distance(()) == {}


def test_changed_values_are_named_with_both_values() -> None:
    assert distance(("batch_size=32", "optimizer.lr=0.5", "epochs=3"), ("optimizer.lr=0.2",)) == {
        "batch_size": [32, 128],
        "epochs": [3, 30],
        "optimizer.lr": [0.5, 0.2],
    }


def test_another_option_counts_once_whatever_its_settings() -> None:
    assert distance(("optimizer=adam", "optimizer.beta1=0.5", "mix=mixup")) == {
        "optimizer": ["adam", "sgd"],
        "mix": ["mixup", "none"],
        "mix_layer": ["input", None],
    }


def test_alpha_is_named_once_and_only_where_it_acts() -> None:
    assert distance(("mix=mixup", "alpha=0.2"), ("mix=mixup", "alpha=1.0"), ALPHA) == {"alpha": [0.2, 1.0]}
    assert distance(("mix=bc", "alpha=0.2"), ("mix=bc", "alpha=1.0")) == {}


def test_a_setting_that_only_one_of_the_two_has_is_named() -> None:
    assert distance(("model=small_cnn", "+model.extra=1")) == {"model.extra": [1, None]}
    assert distance((), ("+model.extra=1",)) == {"model.extra": [None, 1]}


@pytest.mark.parametrize("word", ["seed=5", "data_seed=5", "device=cpu", "name=other", "output_dir=elsewhere"])
def test_repetitions_and_places_are_no_difference(word: str) -> None:
    assert distance((word,)) == {}


def test_where_steps_rules_epochs_is_no_difference_of_its_own() -> None:
    assert distance(("steps=7",)) == {"steps": [7, None]}
    assert distance(("steps=7",), ("steps=7", "epochs=2")) == {}


def test_configurations_are_equal_where_their_values_are_whatever_the_order_and_kind_of_keys():
    values = {
        "table": {"published": {"b": 1, 0.5: 2, 3: [{"z": 1, "a": 2}]}},
        "seed": 1,
        "trusted_modules": [],
        "mix": {"_target_": "m"},
    }
    turned = {key: values[key] for key in reversed(values)} | {
        "table": {"published": {3: [{"a": 2, "z": 1}], 0.5: 2, "b": 1}}
    }
    one, other = RunConfig.of(values), RunConfig.of(turned)
    assert one == other and hash(one) == hash(other) and one != one.replace(seed=2) and one != one.replace(seed=True)
    assert list(one.values) == list(values), "config.yaml keeps the order"
    assert one.part("seed") == one.replace(mix={"_target_": "n"}).part("seed") != one.replace(seed=2).part("seed")
