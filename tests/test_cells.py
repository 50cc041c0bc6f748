"""Cells composed fast are what Hydra composes; a plan says which runs they are, which are refused and what each
costs."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from running import config_of, raw_option
from torch import nn

from mixexp import train as training
from mixexp.build import build
from mixexp.errors import UserError
from mixexp.plan import plan as planning
from mixexp.plan.composer import Composed, Composer, composed
from mixexp.plan.loops import loop_of
from mixexp.plan.options import options
from mixexp.plan.overrides import loaded_groups
from mixexp.plan.plan import Plan, plan
from mixexp.plan.resolved import resolve
from mixexp.settings import CONF
from mixexp.spec.grid import block_cells
from mixexp.sweeping.launch import partition_runs
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.network import Network
from mixexp.training.setup import setup
from mixexp.training.spec import RunConfig
from mixexp.training.task import Task

OPTIONS = options([CONF])
COMPARED = sorted(OPTIONS["experiment"])[::8]
"""Experiments that are composed by Hydra too, seconds each; tests/test_experiments.py composes them all."""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextlib.contextmanager
def hydra_on() -> Iterator[None]:
    """Hydra knows our options inside, also where it knew them already."""
    with contextlib.ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():
            stack.enter_context(hydra.initialize_config_dir(str(CONF), version_base="1.3"))
        yield


@functools.cache
def _loaded(words: tuple[str, ...]) -> Any:
    with hydra_on():
        return hydra.compose("config", overrides=list(words), return_hydra_config=True)


def load(words: Sequence[str]) -> Any:
    """Hydra's own composition."""
    return copy.deepcopy(_loaded(tuple(words)))


def by_hydra(words: Sequence[str]) -> Composed:
    return composed(load(words))


def new_composer(loading: Any = load, *further_groups: str) -> Composer:
    with hydra_on():
        return Composer(loading, {**loaded_groups(), **dict.fromkeys(further_groups, ())})


@functools.cache
def shared_composer() -> Composer:
    """One for all tests of a process, which so are tests too of what its cells do to one another."""
    return new_composer()


def outcome(compose: Any, words: Sequence[str]) -> tuple[Any, ...]:
    """All there is to see of a cell: its values with and without references, options, grid and flags; or the error it
    ends in."""
    try:
        cell = compose(words)
        raw, flags = (
            OmegaConf.to_container(cell.config, resolve=False),
            (OmegaConf.is_struct(cell.config), list(cell.config)),
        )
        return "cell", raw, flags, dict(cell.choices), list(cell.grid), *resolve(cell)
    except Exception as error:
        return "error", type(error).__name__, str(error)


def same(*words: str) -> tuple[Any, ...]:
    """The outcome of composing words, after seeing that it is Hydra's."""
    ours = outcome(shared_composer(), words)
    assert ours == outcome(by_hydra, words)
    return ours


# --- what Hydra composes ---


ALONE = ("dataset", "experiment")
"""Groups some of whose options end in an error, or change what other groups' settings are."""


@functools.cache
def with_and_without_its_keys_set(*chosen: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The outcomes of options, each of another group, and of the same with a 7 for every key inside them."""
    raw = load(chosen)
    keys = [f"{group}.{key}=7" for group in (word.partition("=")[0] for word in chosen) for key in raw.get(group, {})]
    return same(*chosen), same(*chosen, *keys, "seed=3")


@pytest.mark.parametrize(
    "group, option",
    [
        (group, option)
        for group, members in OPTIONS.items()
        for option in (COMPARED if group == "experiment" else members)
    ],
)
def test_every_option_of_every_group_and_every_key_inside_it(group, option):
    chosen = [f"{group}={option}"]
    if group not in ALONE:  # with those of the same number in other groups: one composition sees a dozen options
        number = list(OPTIONS[group]).index(option)
        chosen = [
            f"{name}={list(members)[number % len(members)]}" for name, members in OPTIONS.items() if name not in ALONE
        ]
    found, changed = with_and_without_its_keys_set(*chosen)
    own = ("dataset.folder", "dataset.file")
    assert found[0] == "cell" or any(key in found[2] for key in own), (
        "only a user's own data has a value that nobody can choose for its user"
    )
    assert changed[0] == "cell" and changed[3].get(group) == option
    assert group == "experiment" or set(changed[1][group].values()) == {7}


PLAIN = {group: list(members) for group, members in OPTIONS.items() if group != "experiment"}


@pytest.mark.parametrize("number", range(max(map(len, PLAIN.values()))))
def test_an_option_read_off_its_files_is_what_hydra_makes_of_it(number):
    """For tests that need an option and nothing composed."""
    chosen = {group: names[number % len(names)] for group, names in PLAIN.items()}
    made = load([f"{group}={name}" for group, name in chosen.items()])
    for group, name in chosen.items():
        assert OmegaConf.to_container(made[group], resolve=False) == raw_option(group, name), group


@pytest.mark.parametrize("name", COMPARED)
def test_the_first_and_last_cells_of_an_experiments_grid(name):
    grid = block_cells(by_hydra([f"experiment={name}"]).grid) or [{}]  # a search has none
    for cell in (grid[0], grid[-1]):
        found = same(f"experiment={name}", "seed=1", *(f"{key}={value}" for key, value in cell.items()))
        assert found[0] == "cell" and found[3]["experiment"] == name and len(block_cells(found[4]) or [{}]) == len(grid)


@pytest.mark.parametrize(
    "words",
    [
        (),
        # numbers, strings, null, lists, mappings
        ("alpha=0.5", "seed=7", "batch_size=64"),
        ("alpha=1e-3", "optimizer.lr=.5", "validation=0"),
        ("name=a_b-c", "output_dir=some/where"),
        ("name='a, b = c'",),
        ('name="it\'s"',),
        ("name=", "output_dir=''"),
        ("drop_last=true", "fail_fast=True"),
        ("steps=5", "epochs=null"),
        ("trusted_modules=[a,b.c]", "loss.class_weights=[1,2.5,null]"),
        ("table={title: x, rows: {key: mix}, n: [1, {a: null}]}",),
        # nested keys, in options and beside them
        ("optimizer.lr=0.5", "model.width=3"),
        ("mix=mixup", "mix.ratio.alpha=3", "mix.ratio.per=epoch"),
        ("mix=bc", "mix.pairing={_target_: mixexp.mix.pairing.Permutation}"),
        ("mix=bc", "mix.ratio=null"),
        ("experiment=quickstart", "optimizer.lr=0.5", "table.title=x", "table.figures=[]"),
        # in any order: what Hydra applies later wins
        ("mix.ratio.fold=true", "mix=bc"),
        ("seed=1", "mix=mixup", "seed=2", "mix=bc"),
        ("optimizer.lr=0.5", "experiment=quickstart"),
        ("mix=none", "experiment=quickstart", "mix=data_mix", "loss=kl", "epochs=3"),
        # a mapping for a group is not an option, but values
        ("optimizer={lr: 0.5}",),
        ("optimizer={lr: 0.5}", "optimizer.lr=0.25"),
        ("optimizer.lr=0.25", "optimizer={lr: 0.5}"),
        ("optimizer.lr=0.25", "optimizer={lr: 0.5}", "optimizer=adam"),
        ("~model.width", "+model={width: 5}"),
        ("+model={extra: 3}", "~model.extra"),
        # what is new, forced, taken out
        ("+new=1",),
        ("+new.deep=[1,{a: null}]", "new.deep=2"),
        ("+optimizer.extra=0.1",),
        ("++alpha=3", "++new.deep=x", "++model.width=5"),
        ("~optimizer.momentum",),
        ("+new=1", "~new"),
        # references
        ("alpha=${seed}",),
        ("mix=mixup", "alpha=${optimizer.lr}"),
        ("mix=mixup", "mix.ratio.alpha=${optimizer.lr}"),
        ("mix=data_mix", "optimizer.lr=${alpha}", "alpha=0.3"),
        ("name=run_${seed}_${model.width}", "seed=4"),
        ("data_dir=${oc.env:HOME}/data",),
        # Hydra's own part
        ("hydra.job.name=x", "seed=1"),
        ("hydra/launcher=basic", "seed=1"),
        ("hydra.sweeper.grid=[{mix: none}]", "experiment=quickstart", "seed=1"),
        ("experiment=quickstart", "hydra.sweeper.grid=[{mix: [none,bc]}]"),
        ("+mix@second=bc", "second.step_size=8"),
    ],
    ids=" ".join,
)
def test_values_of_every_form(words):
    assert same(*words)[0] == "cell"


@pytest.mark.parametrize(
    "words",
    [
        ("alhpa=1",),
        ("mix=mixpu",),
        ("mix.ratio.alpha=1",),
        ("optimizer.lrr=1", "alhpa=1"),
        ("alhpa=1", "mix=mixpu"),
        ("optimizer=adam", "optimizer.momentum=0"),
        ("optimizer={nesterov: true}", "optimizer=adam"),
        ("+alpha=2",),
        ("+optimizer.lr=2",),
        ("~nothing",),
        ("+mix=bc",),
        ("mix@elsewhere=bc",),
        ("seed@elsewhere=1",),
        ("mix/inner=bc",),
        ("trusted_modules.0=a",),
        ("alpha.x=1",),
        ("alpha=${nowhere}",),
        ("alpha=${alpha}",),
        ("name=${oc.env:NO_SUCH_VARIABLE_HERE}",),
    ],
    ids=" ".join,
)
def test_what_hydra_refuses_is_refused_in_the_same_words(words):
    assert same(*words)[0] == "error"


@pytest.mark.parametrize(
    "words, reason",
    [
        # what every run has
        (("~alpha", "+alpha=${seed}"), "~alpha: every run has this setting; its default is alpha=1.0"),
        (("~alpha=2",), "~alpha=2: every run has this setting; its default is alpha=1.0"),
        (("~steps",), "~steps: every run has this setting; its default is steps=null"),
        (
            ("~mix", "~optimizer"),
            "~mix: every run has an option of mix; mix=none is the default, 'mixexp list mix' names the others",
        ),
        (
            ("~model={width: 3}",),
            (
                "~model={width: 3}: every run has an option of model; model=small_cnn is the default, 'mixexp list"
                " model' names the others"
            ),
        ),
        # what is not an option
        (("mix=[mixup,bc]",), "mix=[mixup,bc]: a run has one option of mix"),
        (("mix=null",), "mix=null: an option is needed"),
        (("optimizer=3",), "optimizer=3: an option of optimizer is a name; there are adam, sgd"),
        (("++mix=bc",), "++mix=bc: leave the ++ out, mix=bc"),
        # several values are a sweep's, and a cell has one
        (("seed=1,2",), "seed=1,2: a cell has one value"),
        (("+new=1,2",), "+new=1,2: a cell has one value"),
        (("schedule=steps", "schedule.milestones=0.4,0.6"), "schedule.milestones=0.4,0.6: a cell has one value"),
        (("mix=bc,mixup",), "mix=bc,mixup: a cell has one value"),
        (("seed=range(3)",), "seed=range(3): a cell has one value"),
        (("seed=choice(1,2)",), "seed=choice(1,2): a cell has one value"),
        (("alpha=interval(0,1)",), "alpha=interval(0,1): a cell has one value"),
        # no overrides at all
        (("seed",), "seed: an override is KEY=VALUE"),
        (("name=~/x",), "name=~/x: cannot be read"),
        (("name=a b=c",), "name=a b=c: cannot be read"),
        (("name='a",), "name='a: cannot be read"),
    ],
    ids=str,
)
def test_what_no_run_can_mean_is_refused_before_hydra_composes(words, reason):
    kind, name, text = outcome(shared_composer(), words)
    assert (kind, name) == ("error", "UserError") and text.startswith(reason)


EXAMPLES = int(os.environ.get("MIXEXP_EXAMPLES", "8"))
"""Of words in any order, half a second each."""
CHOICES = (
    *("mix=mixup", "mix=bc", "loss=kl", "loss=focal", "optimizer=adam", "schedule=steps"),
    *("experiment=quickstart", "+experiment=quickstart"),
)
VALUES = (
    *(
        "alpha=0.5",
        "alpha=${seed}",
        "++alpha=null",
        "+alpha=2",
        "seed=3",
        "seed=4",
        "name='a b'",
        "steps=3",
        "epochs=null",
    ),
    *(
        "mix.ratio.fold=true",
        "mix.ratio={alpha: 2}",
        "optimizer.lr=0.3",
        "optimizer={lr: 0.7}",
        "~optimizer.lr",
        "optimizer.beta1=0.5",
    ),
    *("loss.class_weights=[1,2]", "loss.gamma=1", "schedule.milestones=[0.1]", "table=null"),
    *("+new.a=1", "new.a=2", "++new={b: [1]}", "~new"),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(CHOICES), max_size=2),
    given_words=st.lists(st.sampled_from(VALUES), max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_any_words_in_any_order(chosen, given_words, order):
    words = [*chosen, *given_words]
    order.shuffle(words)
    same(*words)


def test_options_in_folders_of_folders_and_groups_of_the_users_own(tmp_path):
    for name, text in {
        "mix/own/wide.yaml": "# @package mix\n# Wide.\nstep_size: 8\n",
        "preset/small.yaml": "# @package _global_\n# Small.\nbatch_size: 16\noptimizer: {lr: 0.5}\n",
    }.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)
    search = f"hydra.searchpath=['file://{tmp_path}/conf']"
    compose = new_composer(lambda words: load([search, *words]), "preset")
    for words in (
        ["mix=bc", "+mix/own=wide"],
        ["+preset=small", "seed=3"],
        ["seed=3", "mix=bc", "+mix/own=wide", "mix.step_size=4"],
    ):
        found = outcome(compose, words)
        assert found[0] == "cell" and found == outcome(lambda w: by_hydra([search, *w]), words)


# --- cells beside one another ---


def test_a_cell_can_be_changed_and_the_next_one_is_as_if_it_had_not():
    compose = new_composer()
    words = ["experiment=quickstart", "mix=mixup", "alpha=0.5", "trusted_modules=[a]"]
    before = outcome(compose, words)
    for cell in (compose(words), compose(["experiment=quickstart", "mix=mixup"])):
        OmegaConf.set_struct(cell.config, False)
        cell.config.optimizer.lr = 99
        cell.config.table.figures.append({"kind": "other"})
        cell.config.trusted_modules.append("b")
        cell.config.another = 1
        del cell.config["mix"]
    assert outcome(compose, words) == before == outcome(by_hydra, words)


def test_an_error_in_one_cell_leaves_the_others_alone():
    compose = new_composer()
    assert outcome(compose, ["mix=bc", "alpha=2", "mix.nothing=1"])[0] == "error"
    assert outcome(compose, ["mix=bc", "+alpha=2"])[0] == "error"
    assert outcome(compose, ["mix=bc"]) == outcome(by_hydra, ["mix=bc"])


def test_resolving_a_cell_changes_no_other(monkeypatch, tmp_path):
    compose = new_composer()
    first = resolve(compose(["data_dir=data"]))[0]["data_dir"]
    assert first == str(tmp_path / "data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resolve(compose(["data_dir=data"]))[0]["data_dir"] == str(tmp_path / "elsewhere" / "data")


def test_options_are_composed_once_for_each_choice_of_them():
    calls = []

    def counted(words):
        calls.append(tuple(words))
        return load(words)

    compose = new_composer(counted)
    grid = block_cells(by_hydra(["experiment=quickstart"]).grid)
    cells = [
        [
            f"seed={seed}",
            "experiment=quickstart",
            *(f"{key}={value}" for key, value in cell.items()),
            f"optimizer.lr={lr}",
        ]
        for cell in grid
        for seed in range(5)
        for lr in (0.1, 0.2)
    ]
    found = {OmegaConf.to_yaml(compose(cell).config) for cell in cells}
    assert len(cells) == 90 and len(found) == 90
    chosen = {
        ("experiment=quickstart", *(f"{k}={cell[k]}" for k in ("mix", "mix_layer") if k in cell)) for cell in grid
    }
    assert sorted(calls) == sorted(chosen) and len(chosen) == 3


# --- a plan ---


def plan_of(*cells: str, compose: Any = None) -> Plan:
    words = [cell.split() for cell in cells]
    with hydra_on():
        return plan([(compose or shared_composer())(cell) for cell in words], words)


def test_cells_that_act_alike_are_one_run_called_by_what_it_uses():
    found = plan_of(
        *(
            f"mix={m} alpha={a} mix_layer={x} epochs=1"
            for m in ("none", "mixup")
            for a in (0.2, 1)
            for x in ("input", "final")
        )
    )
    assert found.cells == 8 and found.refusals == []
    assert [run.label for run in found.runs] == [
        "mix=none",
        *(f"mix=mixup alpha={alpha} mix_layer={layer}" for alpha in (0.2, 1) for layer in ("input", "final")),
    ]
    assert len({run.folder for run in found.runs}) == 5 and {run.folder.parent for run in found.runs} == {found.folder}


def test_a_run_alone_is_called_by_what_decides_its_numbers():
    about = "name=tried output_dir=here data_dir=there runs_per_device=2 retry=failed keep=last ++fail_fast=true"
    (run,) = plan_of(f"mix=mixup {about} seed=1 loss.label_smoothing=0.1").runs
    assert run.label == "mix=mixup seed=1 loss.label_smoothing=0.1"
    (bare,) = plan_of("mix=mixup seed=1 loss.label_smoothing=0.1").runs
    assert run.folder.name == bare.folder.name
    assert [run.label for run in plan_of(about).runs] == ["tried"]


def test_the_same_run_spelt_in_several_ways_is_one():
    assert (
        len(
            plan_of(
                "alpha=0.5 mix=mixup", "mix=mixup mix.ratio.alpha=0.5", "mix=mixup alpha=5e-1 device=cpu retry=failed"
            ).runs
        )
        == 1
    )
    assert len(plan_of("optimizer.lr=1", "optimizer.lr=1.0", "optimizer={lr: 1}".replace(" ", "")).runs) == 1
    assert len(plan_of("seed=0", "seed=1").runs) == 2


def test_a_plan_touches_nothing(tmp_path):
    found = plan_of("seed=0", "seed=1", "mix_layer=layer4 mix=mixup")
    assert len(found.runs) == 2 and len(found.refusals) == 1
    assert list(tmp_path.iterdir()) == []


def test_refusals_name_the_cells_they_concern_and_the_good_cells_are_planned():
    cells = (
        "mix=mixup alpha=1",
        "mix=mixup alpha=-1",
        "mix=mixup alpha=-1 seed=1",
        "mix=mixup mix_layer=layer4",
        "mix=none alpha=-1",
    )
    found = plan_of(*cells)
    reasons = {refusal.reason.split(":")[0]: refusal.cells for refusal in found.refusals}
    assert reasons == {
        "alpha = -1": ["mix=mixup alpha=-1", "mix=mixup alpha=-1 seed=1", "mix=none alpha=-1"],
        "mix_layer": ["mix=mixup mix_layer=layer4"],
    }
    assert [run.label for run in found.runs] == ["mix=mixup alpha=1"] and found.cells == 5
    with pytest.raises(UserError) as raised:
        found.check()
    assert raised.value.exit_code == 2
    assert "in 3 of 5 cells, first: mix=mixup alpha=-1\n" in str(raised.value)
    plan_of("seed=0").check()


@pytest.mark.parametrize("word", ["name=run_${seed}", "output_dir=out/${seed}"])
def test_a_sweep_whose_cells_have_folders_of_their_own_is_refused(word):
    """Its plan, its status and its report would look for all runs in the first cell's."""
    (refusal,) = plan_of(f"{word} seed=0", f"{word} seed=1").refusals
    assert "a sweep has one folder" in refusal.reason and len(refusal.cells) == 2
    assert plan_of(f"{word} seed=3").refusals == []
    assert plan_of("name=run_${batch_size} seed=0", "name=run_${batch_size} seed=1").refusals == []


def test_a_single_cell_is_refused_without_counting_it():
    with pytest.raises(UserError) as raised:
        plan_of("mix=mixup mix_layer=layer4").check()
    assert "model has no layer 'layer4'" in str(raised.value) and "cells" not in str(raised.value)


def test_a_bad_table_concerns_every_cell():
    table = "table={metrc:accuracy,rows:{key:alpah},columns:{key:mix}}"
    found = plan_of(f"{table} seed=0", f"{table} seed=1")
    assert {len(refusal.cells) for refusal in found.refusals} == {2}
    assert any("alpah" in refusal.reason and "Did you mean" in refusal.reason for refusal in found.refusals)


def test_epochs_beside_steps_is_refused_where_it_is_asked_for():
    found = plan_of("steps=5 epochs=3", "steps=5 epochs=null", "steps=5")
    (refusal,) = found.refusals
    assert refusal.cells == ["steps=5 epochs=3"] and "steps = 5" in refusal.reason and len(found.runs) == 1


def test_a_budget_or_a_place_alone_makes_no_other_kind_of_task():
    found = plan_of("epochs=1", "epochs=2 name=other seed=5")
    assert len({(run.task.cost_class, run.task.device) for run in found.runs}) == 1
    assert found.runs[1].task.flops == pytest.approx(2 * found.runs[0].task.flops)
    others = plan_of("model.width=4", "batch_size=64", "threads=2", "model=cnn10")
    assert len({run.task.cost_class for run in others.runs}) == 4, (
        "whatever changes the pace, but not the width, which the operations count"
    )


# --- what it costs ---


def naive_flops(config: dict[str, Any], channels: int = 1, side: int = 8, classes: int = 10) -> int:
    """Operations of one image's forward pass: two for each weight at each place of a convolution's or a linear layer's
    output."""
    total = 0

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        assert output.shape[0] == 2
        if isinstance(module, nn.Conv2d):
            total += 2 * output[0].numel() * (module.in_channels // module.groups) * math.prod(module.kernel_size)
        if isinstance(module, nn.Linear):
            total += 2 * module.in_features * module.out_features

    with torch.device("meta"):
        body = build(config["model"], in_channels=channels, image_size=(side, side))
        head = build(config["loss"], class_counts=np.full(classes, 10)).head(body.num_features, classes)
        network = Network(body, head)
        for module in network.modules():
            module.register_forward_hook(count)
        network(torch.zeros(2, channels, side, side))
    return total


def test_the_naive_count_of_a_small_network_is_the_one_by_hand():
    by_hand = 2 * 9 * (64 * 1 * 4 + 16 * 4 * 8 + 4 * 8 * 16) + 2 * 16 * 10
    assert naive_flops(config_of("model.width=4")) == by_hand


def counted(config: dict[str, Any], record: RunFolder, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Steps, and operations counted where they are done, in a run's forward passes: three times in training."""
    total = 0

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        weights = module.weight[0].numel()
        total += 2 * output.numel() * weights * (3 if module.training else 1)

    def prepare_with_counters(config: RunConfig, first: Path | None) -> Any:
        parts = setup(config, first)
        for module in parts.network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count)
        return parts

    monkeypatch.setattr(training, "setup", prepare_with_counters)
    return len(list(train(RunConfig.of(config), record, {}))), total


@pytest.mark.parametrize(
    "words",
    [
        ("epochs=2",),
        ("steps=30",),
        ("steps=5", "batch_size=7"),
        ("epochs=2", "drop_last=true", "batch_size=100"),
        ("epochs=5", "evaluations=2", "batch_size=300"),
        ("epochs=2", "validation=0.25"),
        ("epochs=1", "subset=head", "subset.n=129"),
        ("epochs=1", "mix=bc", "batch_size=256", "mix.step_size=32"),
        ("epochs=2", "imbalance=minority", "imbalance.n=5", "sampling=oversample"),
        ("epochs=3", "imbalance=minority", "imbalance.n=5", "sampling=undersample"),
        # batches larger than the data, last ones that are smaller, budgets that end within an epoch
        ("epochs=3", "batch_size=20000"),
        ("epochs=3", "subset=head", "subset.n=50", "batch_size=128", "evaluations=1"),
        ("steps=7", "subset=head", "subset.n=50", "batch_size=20"),
        ("steps=5", "subset=head", "subset.n=41", "batch_size=20"),
        ("epochs=2", "mix=bc", "batch_size=4096", "mix.step_size=2048"),
        # images up to the layer that is mixed at, and from there on samples
        ("epochs=1", "mix=bc", "batch_size=256", "mix.step_size=32", "mix_layer=layer2"),
        ("epochs=1", "mix=bc", "batch_size=256", "mix.step_size=32", "mix_layer=final"),
        ("epochs=1", "mix=mixup_two_loaders", "mix_layer=layer1"),
        ("epochs=1", "mix=mixup_two_loaders"),
        ("epochs=1", "mix=mixup", "mix_layer=layer1"),
    ],
    ids=" ".join,
)
def test_steps_and_evaluations_are_counted_as_training_makes_them(words, tmp_path, monkeypatch):
    config = config_of(*words, "model.width=2")
    typed = RunConfig.of(config)
    assert (setup(typed).budget.steps, loop_of(typed).work(typed).flops) == counted(
        config, RunFolder(tmp_path / "run"), monkeypatch
    )


@pytest.mark.parametrize("model", sorted(OPTIONS["model"]))
def test_a_models_operations_are_those_of_its_convolutions_and_linear_layers(model):
    config = config_of(f"model={model}", "steps=10", "batch_size=10", "epochs=null")
    images = 3 * 10 * 10 + 1 * 359
    assert loop_of(RunConfig.of(config)).work(RunConfig.of(config)).flops == pytest.approx(naive_flops(config) * images)


def test_the_longest_runs_come_first():
    cells = {
        "small": "mix=bc loss=kl batch_size=128 epochs=2",
        "many partners": "mix=bc loss=kl batch_size=1024 mix.step_size=128 epochs=2",
        "large batches": "mix=bc loss=kl batch_size=1024 mix.step_size=1024 epochs=2",
        "short": "mix=bc loss=kl batch_size=128 epochs=1",
        "wide": "mix=bc loss=kl batch_size=128 epochs=2 model.width=64",
        "deep": "mix=bc loss=kl batch_size=128 epochs=2 model=resnet18",
    }
    runs = dict(zip(cells, plan_of(*cells.values()).runs, strict=True))
    flops = {name: run.task.flops for name, run in runs.items()}
    assert flops["deep"] > flops["wide"] > flops["many partners"] > flops["large batches"] > flops["short"]
    assert flops["many partners"] == pytest.approx(8 * flops["small"], rel=0.3), "eight blends of every image"
    _, waiting = partition_runs(list(runs.values()))
    assert [run.task.flops for run in waiting] == sorted(flops.values(), reverse=True)
    assert waiting[0] is runs["deep"] and waiting[-1] is runs["short"]


# --- where runs depart from their experiment ---


class SlowComposer(Composer):
    """Hydra's own composition of every cell."""

    def __call__(self, words: Sequence[str]) -> Composed:
        return by_hydra(words)


CHANGES = (
    "model=cnn11 model.dropout=0.1 epochs=3 batch_size=32",
    "optimizer=adam optimizer.beta1=0.5 mix=bc alpha=0.7 +model.extra=1",
)


@pytest.mark.parametrize("name", COMPARED)
def test_the_distance_to_an_experiment_is_the_same_as_with_hydras_own_composition(name, monkeypatch):
    """Without data: a plan that refuses nothing and costs nothing."""
    monkeypatch.setattr(planning, "validate", lambda config, here: [])
    monkeypatch.setattr(planning, "task", lambda config: Task("any", "cpu", 1.0))
    by_hand = SimpleNamespace(compose=lambda _, overrides, return_hydra_config: load(overrides))
    monkeypatch.setattr("mixexp.plan.references.hydra", by_hand)
    grid = block_cells(by_hydra([f"experiment={name}"]).grid) or [{}]
    cells = [
        f"experiment={name} {' '.join(f'{key}={value}' for key, value in cell.items())} {change}"
        for cell, change in ((grid[0], ""), (grid[0], CHANGES[0]), (grid[-1], CHANGES[1]))
    ]
    # what an option of the grid's cell sets, another one may not have
    cells = [cell for cell in cells if outcome(shared_composer(), cell.split())[0] == "cell"]
    fast = plan_of(*cells)
    monkeypatch.setattr("mixexp.plan.references.Composer", SlowComposer)
    slow = plan_of(*cells, compose=by_hydra)
    assert [vars(run) for run in fast.runs] == [vars(run) for run in slow.runs]
    assert fast.runs[0].differs_from_experiment == {}
    assert all(run.differs_from_experiment for run in fast.runs[1:])


def test_the_distance_names_what_was_changed():
    (run,) = plan_of(
        "experiment=quickstart mix=mixup mix_layer=final alpha=0.2 epochs=3 optimizer=adam optimizer.beta1=0.5"
    ).runs
    assert run.differs_from_experiment == {
        "optimizer": ["adam", "sgd"],
        "epochs": [3, 30],
        "optimizer.beta1": [0.5, 0.9],
    }


def test_a_setting_that_is_searched_for_departs_from_its_experiment_where_it_is_outside_the_space(monkeypatch):
    monkeypatch.setattr(planning, "validate", lambda config, here: [])
    monkeypatch.setattr(planning, "task", lambda config: Task("any", "cpu", 1.0))
    search = "experiment=affinity_search"
    inside, outside = plan_of(
        f"{search} loss.margin=0.2 loss.centres=7", f"{search} loss.margin=1.2 loss.sigma=20 epochs=3"
    ).runs
    assert inside.differs_from_experiment == {}
    assert outside.differs_from_experiment == {"epochs": [3, 100], "loss.margin": [1.2, 0.43]}


def test_planning_leaves_the_cells_it_is_given():
    words = [["experiment=quickstart", "mix=none"], ["experiment=quickstart", "alpha=1"]]
    given_cells = [shared_composer()(cell) for cell in words]
    before = copy.deepcopy(
        [(OmegaConf.to_container(cell.config, resolve=True), dict(cell.choices), cell.grid) for cell in given_cells]
    )
    with hydra_on():
        first, again = plan(given_cells, words), plan(given_cells, words)
    assert [vars(run) for run in first.runs] == [vars(run) for run in again.runs]
    for cell, (config, choices, grid) in zip(given_cells, before, strict=True):
        found = OmegaConf.to_container(cell.config, resolve=True)
        assert found["data_dir"] == str(Path(config["data_dir"]).absolute()), "the same folder"
        assert (found | {"data_dir": config["data_dir"]}, dict(cell.choices), cell.grid) == (config, choices, grid)
