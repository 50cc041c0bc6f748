"""YAML becomes objects: every key of every option is an argument, and what is not is refused with what there is."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from pydantic import Field
from running import composed as shared_composed

from mixexp.build import GIVEN, build, locate
from mixexp.build import check as check_node
from mixexp.build.contracts import undefined
from mixexp.errors import UserError
from mixexp.mix.mixes import Pairs
from mixexp.mix.ratio import Beta
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS
from mixexp.schedule import Constant, Cosine
from mixexp.text import in_hydra, shown

pytestmark = pytest.mark.fast

CONF = Path(__file__).resolve().parents[1] / "conf"
OPTIONS = sorted(path for path in CONF.glob("*/*.yaml") if path.parent.name != "experiment")
SUPPLIED = {
    "model": {"in_channels": 3, "image_size": (32, 32)},
    "loss": {"class_counts": np.full(10, 5)},
    "second_stage": {"class_counts": np.full(10, 5)},
    "optimizer": {"parameters": [torch.nn.Parameter(torch.ones(1))]},
}
MANDATORY = {
    "image_folder": {"folder": "photos"},
    "sound_folder": {"folder": "birds"},
    "csv": {"file": "flowers.csv", "label": "species"},
}
"""What the user has to give on purpose: settings that are ??? in their option."""
UNSAID = {
    "mixexp.loss.cross_entropy.CrossEntropy": {"beta"},
    "mixexp.mix.mixes.Pairs": {"only_repeats", "from_epoch"},
    "mixexp.model.mnist_cnn.MnistCNN": {"embedding"},
}
"""Arguments that options older than they are leave out, as another key would make another run."""


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def mandatory_of(path: Path) -> dict[str, str]:
    """What has to be given for an option, or for one that it builds on and does not give it for."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = dict(MANDATORY.get(path.stem, {}))
    for base in raw.get("defaults", ()):
        found |= mandatory_of(path.with_name(f"{base}.yaml")) if "@" not in base else {}
    return {key: value for key, value in found.items() if raw.get(key, "???") == "???"}


@functools.cache
def composed(group: str, name: str) -> dict[str, Any]:
    config = shared_composed(group, name)
    for key, value in mandatory_of(CONF / group / f"{name}.yaml").items():
        config[group][key] = value
    return OmegaConf.to_container(config[group], resolve=True)


def node(path: Path) -> dict[str, Any]:
    """An option as the program sees it: references resolved, what is mandatory given."""
    return copy.deepcopy(composed(path.parent.name, path.stem))


def check(node: Any, path: str, trusted: tuple[str, ...] = ()) -> list[str]:
    """All that is wrong with a node in the place that a path names."""
    return check_node(node, path, {**GROUPS, **OPTIONAL_GROUPS}[path], trusted)


def option(name: str, **changed: Any) -> dict[str, Any]:
    return {**node(CONF / f"{name}.yaml"), **changed}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """A node and all nodes inside it."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        for inner in value.values():
            yield from nodes(inner)


def takes_anything(target: str) -> bool:
    """Whether a signature has **keywords, so that no key can be wrong."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(locate(target)).parameters.values())


def own_module(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that the working directory has, and no other test."""
    name = f"own_{abs(hash(folder))}"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return name


# --- every option as shipped ---


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_every_option_passes_the_check(path: Path) -> None:
    assert check(node(path), path.parent.name) == []


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_every_key_of_an_option_is_an_argument_and_every_argument_a_key(path: Path) -> None:
    given = {name for names in GIVEN.values() for name in names}
    for inner in nodes(node(path)):
        arguments = inspect.signature(locate(inner["_target_"])).parameters
        keys = set(inner) - {"_target_"}
        assert not keys & given
        if not takes_anything(inner["_target_"]):
            assert keys <= set(arguments)
            assert set(arguments) - given - keys <= UNSAID.get(inner["_target_"], set()), (
                "an argument that its YAML does not show"
            )


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_every_option_can_be_built(path: Path) -> None:
    group = path.parent.name
    with torch.device("meta"):
        built = build(node(path), **SUPPLIED.get(group, {}))
    target = locate(node(path)["_target_"])
    assert isinstance(built, target if inspect.isclass(target) else torch.optim.Optimizer)
    assert undefined(built, {**GROUPS, **OPTIONAL_GROUPS}[group]) == []


def test_what_is_mandatory_is_known() -> None:
    unset = {
        path.stem: [key for key, value in yaml.safe_load(path.read_text()).items() if value == "???"]
        for path in OPTIONS
    }
    assert {name: keys for name, keys in unset.items() if keys} == {
        name: list(keys) for name, keys in MANDATORY.items()
    }


# --- what is refused, and how ---


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_a_misspelt_key_is_refused_in_every_option(path: Path) -> None:
    if takes_anything(node(path)["_target_"]):
        pytest.skip("takes keys of any name")
    (line,) = check({**node(path), "no_such_key": 1}, path.parent.name)
    assert f"{path.parent.name}.no_such_key: no such setting; there are " in line


def test_a_misspelt_key_is_answered_with_the_closest_and_all_there_are() -> None:
    line, missing = sorted(check({"_target_": "mixexp.optimizer.sgd", "lr_": 0.1}, "optimizer"), key=len, reverse=True)
    for part in (
        "optimizer.lr_: no such setting",
        "lr, momentum, nesterov, weight_decay",
        "Did you mean 'optimizer.lr=0.1'?",
    ):
        assert part in line
    assert missing == "optimizer.lr: needs a value, a number above 0"


@pytest.mark.parametrize("group", GIVEN)
def test_what_the_program_supplies_cannot_be_configured(group: str) -> None:
    path = next(path for path in OPTIONS if path.parent.name == group)
    wanted = inspect.signature(locate(node(path)["_target_"])).parameters
    for name in GIVEN[group]:
        if name in wanted:
            (line,) = check({**node(path), name: 1}, group)
            assert f"{group}.{name}: no such setting" in line and name not in line.split("there are ")[1].split(".")[0]


@pytest.mark.parametrize(
    ("name", "key", "value", "says"),
    [
        ("optimizer/sgd", "lr", "fast", "fast: needs a number above 0"),
        ("optimizer/sgd", "lr", True, "true: needs a number above 0"),
        ("optimizer/sgd", "lr", None, "null: needs a number above 0"),
        ("optimizer/sgd", "lr", [0.1], "[0.1]: needs a number above 0. Did you mean 'optimizer.lr=0.1'?"),
        ("optimizer/sgd", "lr", "0.1", "\"0.1\": needs a number above 0. Did you mean 'optimizer.lr=0.1'?"),
        ("optimizer/sgd", "lr", math.inf, "inf: needs a number above 0, and a finite one"),
        ("optimizer/sgd", "lr", 0, "0: needs a number above 0"),
        ("optimizer/sgd", "momentum", 1.0, "1.0: needs a number of 0 or more and below 1"),
        ("optimizer/sgd", "nesterov", 1, "1: needs true or false. Did you mean 'optimizer.nesterov=true'?"),
        ("optimizer/sgd", "nesterov", "off", "off: needs true or false. Did you mean 'optimizer.nesterov=false'?"),
        ("subset/head", "n", 0, "0: needs a whole number of 1 or more"),
        ("subset/head", "n", 1.5, "1.5: needs a whole number of 1 or more"),
        ("imbalance/step", "ratio", 0.5, "0.5: needs a number of 1 or more"),
        ("imbalance/step", "shape", "stp", "stp: needs exponential or step. Did you mean 'imbalance.shape=step'?"),
        (
            "imbalance/minority",
            "classes",
            [0, -2],
            "[0,-2]: needs a list of whole numbers of 0 or more, or null; item 2 is -2",
        ),
        (
            "imbalance/minority",
            "classes",
            [[1]],
            "[[1]]: needs a list of whole numbers of 0 or more, or null; item 1 is [1]",
        ),
        ("label_noise/uniform", "rate", 1.2, "1.2: needs a number above 0 and of at most 1"),
        ("dataset/cifar10", "mean", [2, 0, 0], "[2,0,0]: needs a list of numbers from 0 to 1, or null; item 1 is 2"),
        ("schedule/steps", "milestones", [], "[]: needs a list, not empty, of numbers above 0"),
        ("schedule/cosine", "warmup_epochs", -1, "-1: needs a number of 0 or more"),
        (
            "mix_layer/input",
            "layers",
            "final",
            "final: needs a list, not empty, of texts. Did you mean 'mix_layer.layers=[final]'?",
        ),
        ("model/lenet", "channels", [20], "[20]: needs a list of exactly 2 whole numbers of 1 or more"),
        ("model/torchvision_model", "arguments", 3, "3: needs a mapping, as in {name: value}"),
        ("dataset/digits", "split_seed", "", "the value is left empty; it needs a whole number from 0 to 2**63-1"),
        (
            "probe/entanglement",
            "temperature",
            "min",
            "min: needs a number above 0, or minimum. Did you mean 'probe.temperature=minimum'?",
        ),
        (
            *("loss/cross_entropy", "class_weights", "balancd"),
            (
                "balancd: needs none, balanced, effective_number, or a list of numbers of 0 or more. Did you mean"
                " 'loss.class_weights=balanced'?"
            ),
        ),
    ],
)
def test_a_wrong_type_or_range_is_one_line_with_the_value_and_what_is_allowed(
    name: str, key: str, value: Any, says: str
) -> None:
    assert check(option(name, **{key: value}), name.split("/")[0]) == [
        f"{name.split('/')[0]}.{key}{' = ' if value != '' else '=: '}{says}"
    ]


@pytest.mark.parametrize("name", ["optimizer/sgd", "schedule/steps"])
def test_whole_numbers_are_fine_where_numbers_are_wanted(name: str) -> None:
    changed = {"optimizer/sgd": {"lr": 1}, "schedule/steps": {"milestones": [100, 150], "milestones_in": "epochs"}}[
        name
    ]
    assert check(option(name, **changed), name.split("/")[0]) == []


def test_all_that_is_wrong_is_said_at_once() -> None:
    lines = check(option("optimizer/adam", lr=-1, beta1=2, epsilon=1), "optimizer")
    assert len(lines) == 3
    assert {line.split()[0].rstrip(":") for line in lines} == {"optimizer.lr", "optimizer.beta1", "optimizer.epsilon"}


@pytest.mark.parametrize("value", [None, 3, ["mixup"], {}, {"alpha": 1}], ids=str)
def test_a_group_has_to_be_a_node(value: Any) -> None:
    assert check(value, "mix") == [
        f"mix = {in_hydra(value)}: needs a Mix: a mapping with the _target_ of a class and its settings"
    ]


def test_an_options_name_where_its_settings_have_to_be_is_answered_with_how_one_is_chosen() -> None:
    (line,) = check("mixup", "mix")
    assert line.endswith(
        '; an option is chosen by mix=NAME in a command, by "- override /mix: NAME" among the defaults of a file'
    )


# --- targets ---


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.run", "builtins.eval", "json.decoder.JSONDecoder", "torchgen.model.Argument"]
)
def test_code_that_nobody_named_is_refused(target: str) -> None:
    (line,) = check({"_target_": target, "command": "true"}, "mix")
    assert line.startswith(f"mix: _target_ {target}: its module is not among mixexp, torch, torchvision")
    assert f"trusted_modules=[{target.split('.')[0]}]" in line


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("mixexp.mixx.mixes.NoMix", "No module named 'mixexp.mixx'. Did you mean 'mixexp.mix.mixes.NoMix'?"),
        ("mixexp.mix.mixess.NoMix", "No module named 'mixexp.mix.mixess'. Did you mean 'mixexp.mix.mixes.NoMix'?"),
        (
            "mixexp.mix.mixes.NoMx",
            (
                "mixexp.mix.mixes has no such class or function; it has NoMix, Pairs, DirichletMix. Did you mean"
                " 'mixexp.mix.mixes.NoMix'?"
            ),
        ),
        (
            "mixexp.mix.mixes.nomix",
            (
                "mixexp.mix.mixes has no such class or function; it has NoMix, Pairs, DirichletMix. Did you mean"
                " 'mixexp.mix.mixes.NoMix'?"
            ),
        ),
        (
            "mixexp.mix.mixes.zzzzzzzz",
            "mixexp.mix.mixes has no such class or function; it has NoMix, Pairs, DirichletMix.",
        ),
        (
            "mixexpert.mix.NoMix",
            (
                "there is no module mixexpert in the working directory, nor is one installed. Did you mean"
                " 'mixexp.mix.NoMix'?"
            ),
        ),
        (
            "torchx.load",
            "there is no module torchx in the working directory, nor is one installed. Did you mean 'torch.load'?",
        ),
    ],
)
def test_a_target_that_is_not_there_is_refused(target: str, says: str) -> None:
    assert check({"_target_": target}, "mix") == [f"mix: _target_ {target}: {says}"]
    with pytest.raises(UserError, match=r"no such|No module|no module"):
        build({"_target_": target})


def test_a_trusted_module_of_the_working_directory_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "from mixexp.mix.mixes import NoMix\n\n\nclass Own(NoMix):\n    def __init__(self, size: int) -> None:\n       "
        " self.size = size\n"
    )
    module = own_module(tmp_path, text, monkeypatch)
    wanted = {"_target_": f"{module}.Own", "size": 3}
    assert "trusted_modules" in check(wanted, "mix")[0]
    assert module not in sys.modules, "what is refused is not even imported"
    assert check(wanted, "mix", [module]) == []
    assert build(wanted, [module]).size == 3
    assert check({**wanted, "size": "3"}, "mix", [module]) == [
        "mix.size = \"3\": needs a whole number. Did you mean 'mix.size=3'?"
    ]
    assert check({"_target_": "os.system"}, "mix", [module])[0].startswith(
        "mix: _target_ os.system: its module is not among"
    )


def test_trusting_a_module_trusts_what_is_below_it_and_not_what_begins_alike() -> None:
    assert locate("json.decoder.JSONDecoder", ["json"]).__name__ == "JSONDecoder"
    with pytest.raises(UserError, match="its module is not among"):
        locate("json.decoder.JSONDecoder", ["js"])


# --- nested nodes, supplied arguments ---


def test_inner_nodes_are_built_first() -> None:
    mix = build(option("mix/mixup"))
    assert isinstance(mix, Pairs) and isinstance(mix.ratio, Beta)
    assert (mix.ratio.alpha, mix.ratio.per) == (1.0, "batch")


def test_inner_nodes_are_checked_with_their_whole_path() -> None:
    mix = option("mix/mixup")
    mix["ratio"] = {**mix["ratio"], "per": "bacth", "alpha": 0}
    mix["blend"] = {"_target_": "mixexp.mix.blend.Lineer"}
    lines = sorted(check(mix, "mix"))
    assert [line.split(" ")[0] for line in lines] == ["mix.blend:", "mix.ratio.alpha", "mix.ratio.per"]
    assert "Did you mean 'mixexp.mix.blend.Linear'?" in lines[0] and "Did you mean 'mix.ratio.per=batch'?" in lines[2]


def test_an_inner_node_that_is_left_out_is_needed() -> None:
    mix = option("mix/mixup")
    del mix["pairing"]
    kind = "a Pairing: a mapping with the _target_ of a class and its settings"
    assert check(mix, "mix") == [f"mix.pairing: needs a value, {kind}"]
    for value in (None, "nearest", [], {}):
        assert check({**mix, "pairing": value}, "mix") == [f"mix.pairing = {in_hydra(value)}: needs {kind}"]


def test_a_mapping_without_a_target_is_a_plain_value() -> None:
    model = build(
        option("model/torchvision_model", arguments={"zero_init_residual": True}), in_channels=3, image_size=(32, 32)
    )
    assert sum(not p.any() for name, p in model.named_parameters() if name.endswith("bn2.weight")) == 8


def test_supplied_arguments_go_only_where_they_are_asked_for() -> None:
    assert isinstance(build({"_target_": "mixexp.schedule.Constant"}, class_counts=3), Constant)
    assert (
        build({"_target_": "mixexp.loss.cross_entropy.CrossEntropy"}, class_counts=np.ones(2), parameters=()).weights
        is None
    )


def test_keywords_of_any_name_are_allowed_where_the_signature_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Free(Constant):
        """Takes anything."""

        def __init__(self, size: Annotated[int, Field(gt=0)], *more: int, **rest: object) -> None:
            super().__init__()

    monkeypatch.setattr("mixexp.schedule.Free", Free, raising=False)
    assert check({"_target_": "mixexp.schedule.Free", "size": 1, "anything": object}, "schedule") == []
    (line,) = check({"_target_": "mixexp.schedule.Free", "size": 0}, "schedule")
    assert "schedule.size = 0" in line


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("dataset", "torch.load"),
        ("dataset", "torch.hub.load"),
        ("sampling", "torch.nn.Identity"),
        ("mix", "mixexp.training.folder.Path"),
        ("model", "mixexp.loss.cross_entropy.KL"),
        ("optimizer", "mixexp.build.build"),
    ],
)
def test_a_target_of_another_kind_is_refused(place: str, target: str) -> None:
    (line,) = check({"_target_": target}, place)
    assert f"{place}: _target_ {target} makes no {GROUPS[place].__name__}" in line


def test_inner_nodes_must_be_of_the_kind_their_place_needs() -> None:
    mix = option("mix/mixup")
    mix["pairing"] = {"_target_": "mixexp.mix.blend.Linear"}
    (line,) = check(mix, "mix")
    assert line.startswith(
        "mix.pairing: _target_ mixexp.mix.blend.Linear makes no Pairing. It has to be a class that derives from"
        " mixexp.mix.Pairing"
    )
    mix["extra"] = mix["pairing"] = {"_target_": "mixexp.mix.pairing.Permutation"}
    (line,) = check(mix, "mix")
    assert line.startswith("mix.extra: no such setting")


@pytest.mark.parametrize(
    "target",
    [
        5,
        None,
        ["a"],
        "",
        "system",
        "mixexp..NoMix",
        ".NoMix",
        "mixexp.mix.",
        "my nets.Net",
        "nets.class",
        "a-b.C",
        "\0.C",
    ],
)
def test_a_target_that_is_no_name_is_refused(target: object) -> None:
    says = f"_target_ = {shown(target)}: needs the dotted name of a class or function, as in module.Class"
    assert check({"_target_": target}, "mix") == [f"mix: {says}"]


def test_torchs_own_optimizers_can_be_named() -> None:
    node = {"_target_": "torch.optim.AdamW", "lr": 0.1}
    assert check(node, "optimizer") == []
    assert isinstance(build(node, params=[torch.nn.Parameter(torch.ones(1))]), torch.optim.AdamW)


def test_building_leaves_the_node_alone() -> None:
    before = option("mix/mixup")
    given = option("mix/mixup")
    build(given)
    assert given == before
    assert isinstance(build({"_target_": "mixexp.schedule.Cosine"}), Cosine)
