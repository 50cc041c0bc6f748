"""A class of the user's own that cannot be in its place is answered with what it has to be, as the contract's class has
it."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from running import errors_of

from mixexp.build import check, locate
from mixexp.build.contracts import abstract, declared
from mixexp.mix import Blend, Label, Pairing, Ratio
from mixexp.plan.compose import compose
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS

ALL = {**GROUPS, **OPTIONAL_GROUPS}
KINDS = {**ALL, "mix.blend": Blend, "mix.label": Label, "mix.pairing": Pairing, "mix.ratio": Ratio}
TEXT = '''
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from torch import nn

from mixexp.augment import Augment
from mixexp.loss import Loss
from mixexp.model import Body
from mixexp.model.mlp import MLP

if TYPE_CHECKING:
    from numpy import ndarray


class Plain(nn.Module):
    pass


class Half(Body):
    """Without forward."""


class Bare(Body):
    def __init__(self, in_channels, image_size):
        super().__init__()
        self.num_features = 64

    def forward(self, x):
        return x.flatten(1)


class Unread(MLP):
    def __init__(self, in_channels: int, image_size: tuple, counts: ndarray) -> None:
        super().__init__(in_channels, image_size, hidden=[4])


class Odd(MLP):
    """Names that a schema's class has for itself."""

    def __init__(self, in_channels, image_size, *, _private: int = 3, copy: str = "a", json: int | None = None) -> None:
        super().__init__(in_channels, image_size, hidden=[4])


class Limited(MLP):
    def __init__(self, in_channels, image_size, *, base, before: Annotated[Augment, "first"] | None = None) -> None:
        super().__init__(in_channels, image_size, hidden=[4])


class Failing(MLP):
    def __init__(self, in_channels, image_size, *, fault: str) -> None:
        super().__init__(in_channels, image_size, hidden=[4])
        {"type": lambda: "a" + 1, "key": lambda: {}["width"], "attribute": lambda: self.nothing, "run": self.run, "check": self.check}[fault]()

    def run(self):
        raise RuntimeError("no luck")

    def check(self):
        assert False, "never"


class Lost(MLP):
    def __init__(self, in_channels, image_size) -> None:
        super().__init__(in_channels, image_size, hidden=[4])

    def forward(self, x):
        return x.nothing


class Silent(Loss):
    def forward(self, outputs, labels):
        return outputs.sum(1)


def unsaid(in_channels, image_size):
    return MLP(in_channels, image_size, hidden=[4])


def otherwise(in_channels, image_size) -> nn.Module:
    return MLP(in_channels, image_size, hidden=[4])


def said(in_channels: int, image_size: tuple[int, int]) -> Body:
    return MLP(in_channels, image_size, hidden=[4])
'''
BODY = (
    "It has to be a class that derives from mixexp.model.Body and defines num_features: int; stages: Mapping[str,"
    " str]; forward(self, x: torch.Tensor) -> torch.Tensor; or a function that says '-> Body'. The program calls it"
    " with in_channels, image_size beside its settings. An example: mixexp.model.mlp.MLP in"
    f" {inspect.getsourcefile(importlib.import_module('mixexp.model.mlp'))}"
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory that no other test has."""
    name = f"own_classes_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return name


def refused(module: str, name: str, place: str = "model", **settings: Any) -> list[str]:
    return check({"_target_": f"{module}.{name}", **settings}, place, KINDS[place], [module])


@pytest.mark.parametrize("place", KINDS)
def test_what_a_class_has_to_be_is_said_for_every_place(place: str, module: str) -> None:
    kind = KINDS[place]
    (line,) = refused(module, "Plain", place)
    assert line.startswith(
        f"{place}: _target_ {module}.Plain makes no {kind.__name__}. It has to be a class that derives from"
        f" {kind.__module__}.{kind.__name__}"
    )
    for name in abstract(kind):
        assert f" {name}(self" in line, "every method that the contract leaves open, with its arguments"
    for name, text in declared(kind).items():
        assert f" {name}: {text}" in line
    example = re.search(r"An example: ([\w.]+)", line)[1]
    made = locate(example)
    assert (
        issubclass(made, kind) and not inspect.isabstract(made)
        if inspect.isclass(made)
        else issubclass(inspect.signature(made, eval_str=True).return_annotation, kind)
    )


def test_a_class_that_derives_from_another_one_is_told_all_of_it(module: str) -> None:
    assert refused(module, "Plain") == [f"model: _target_ {module}.Plain makes no Body. {BODY}"]


@pytest.mark.parametrize("name", ["unsaid", "otherwise"])
def test_a_function_has_to_say_what_it_returns(name: str, module: str) -> None:
    why = "for the function does not say so: it needs '-> Body' behind its arguments"
    assert refused(module, name) == [f"model: _target_ {module}.{name} makes no Body, {why}. {BODY}"]
    assert refused(module, "said") == []


def test_a_class_that_is_not_complete_is_told_what_it_lacks(module: str) -> None:
    (line,) = refused(module, "Half")
    assert line.startswith(
        f"model: _target_ {module}.Half is not complete: it has to define forward(self, x: torch.Tensor) ->"
        " torch.Tensor. An example: "
    )
    (line,) = check({"_target_": "mixexp.sampling.Sampling"}, "sampling", GROUPS["sampling"])
    assert " is not complete: it has to define epoch_size(self, counts: np.ndarray) -> int; order(self, " in line


@pytest.mark.parametrize(
    ("group", "name", "says"),
    [("model", "Bare", "stages: Mapping[str, str]"), ("loss", "Silent", "linear_in_target: bool")],
)
def test_an_attribute_of_the_contract_that_is_never_set_is_named(group: str, name: str, says: str, module: str) -> None:
    config = {**compose([]), group: {"_target_": f"{module}.{name}"}, "trusted_modules": [module], "output_dir": "."}
    assert errors_of(config) == [f"{group}: {module}.{name} has to set {says}"]


def test_type_hints_that_only_a_type_checker_can_read_are_said(module: str) -> None:
    assert refused(module, "Unread", counts=3) == [
        f"model: _target_ {module}.Unread: its type hints cannot be read: NameError: name 'ndarray' is not defined"
    ]


def test_arguments_may_have_any_name(module: str, recwarn: pytest.WarningsRecorder) -> None:
    assert refused(module, "Odd", _private=1, copy="b", json=2) == []
    assert refused(module, "Odd", _private="x", copy=[]) == [
        "model._private = x: needs a whole number",
        "model.copy = []: needs a text",
    ]
    assert not list(recwarn)


def test_what_is_given_for_an_argument_is_of_its_kind(module: str) -> None:
    noise = {"_target_": "mixexp.augment.NoAugment"}
    assert refused(module, "Limited", base=3, before=noise) == []
    (line,) = refused(module, "Limited", base=noise)
    assert (
        line
        == "model.base: _target_ mixexp.augment.NoAugment is given for an argument without a type hint; annotate the"
        " argument with the class that it needs"
    )
    (line,) = refused(module, "Limited", base=3, before={"_target_": "mixexp.mix.mixes.NoMix"})
    assert line.startswith("model.before: _target_ mixexp.mix.mixes.NoMix makes no Augment. It has to be ")


def test_a_module_that_is_here_and_not_trusted_is_named_beside_those_that_are(module: str) -> None:
    (line,) = check({"_target_": f"{module}.said"}, "model", GROUPS["model"], ["json"])
    assert line.endswith(
        "its module is not among mixexp, torch, torchvision, json; to run code of your own, name it:"
        f" 'trusted_modules=[json,{module}]'"
    )
    (line,) = check({"_target_": f"{module}x.said"}, "model", GROUPS["model"])
    assert line.endswith(
        f"there is no module {module}x in the working directory, nor is one installed. Did you mean '{module}.said'?"
    )
    (line,) = refused(module, "Plan")
    assert line.endswith(f"Did you mean '{module}.Plain'?") and "it has Plain, Half, Bare, " in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class Net(:\n", r"SyntaxError: invalid syntax \(\w+\.py, line 1\)"),
        ("import no_such_package\n", r"No module named 'no_such_package' \(.*\.py, line 1\)"),
        ("\nraise RuntimeError('no\\nGPU')\n", r"RuntimeError: no GPU \(.*\.py, line 2\)"),
        ("1 / 0\n", r"ZeroDivisionError: division by zero \(.*\.py, line 1\)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"own_fault_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (line,) = check({"_target_": f"{name}.Net"}, "model", GROUPS["model"], [name])
    assert re.fullmatch(rf"model: _target_ {name}\.Net: {name} cannot be imported: {says}", line), line


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("type", 'TypeError: can only concatenate str (not "int") to str'),
        ("key", "KeyError: 'width'"),
        ("attribute", "AttributeError: 'Failing' object has no attribute 'nothing'"),
        ("run", "RuntimeError: no luck"),
        ("check", "AssertionError: never"),
    ],
)
def test_a_constructor_that_fails_is_one_message_with_its_line(fault: str, says: str, module: str) -> None:
    config = compose(["dataset=iris", "model=mlp", f"trusted_modules=[{module}]"])
    config["model"] = {"_target_": f"{module}.Failing", "fault": fault}
    (line,) = errors_of(config)
    assert re.search(
        rf"_target_ {module}\.Failing: making it raised {re.escape(says)} \(.*{module}\.py, line \d+\)$", line
    ), line


def test_a_network_that_fails_on_a_batch_is_one_message(module: str) -> None:
    config = compose(["dataset=iris", "model=mlp", f"trusted_modules=[{module}]"])
    config["model"] = {"_target_": f"{module}.Lost"}
    (line,) = errors_of(config)
    assert re.search(
        r"model: cannot be trained on batches of shape .*: AttributeError: 'Tensor' object has no attribute 'nothing'$",
        line,
    ), line


def test_a_module_of_a_name_that_python_has_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (line,) = check({"_target_": "random.Plain"}, "model", GROUPS["model"], ["random"])
    assert re.search(
        r"; Python finds \S+random\.py under this name and not random\.py here, which needs another one\.$", line
    )
