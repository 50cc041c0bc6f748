"""The house's rules, read off the syntax tree."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
import yaml
from running import names, option

from mixexp.build import build, locate
from mixexp.plan.options import header, options
from mixexp.settings import CONF

pytestmark = pytest.mark.fast
PACKAGE = Path(__file__).resolve().parent.parent / "mixexp"
MODULES = sorted(PACKAGE.rglob("*.py"))
OPTION_FILES = sorted(path for path in CONF.glob("*/*.yaml"))

GROUP_PARTS = {
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
}
LEVELS = [
    {
        "text",
        "files",
        "metrics",
        "calibration",
        "corruptions",
        "eager",
        "phases",
        "streams",
        "labels",
        "class_names",
        "settings",
        "training",
    },
    {"errors"},
    {"training.reader", "training.task", "project"},
    {"spec"},
    {"build", "training.folder"},
    {"training.sizes", "training.spec"},
    {"training.checkpoint"},
    {"sampling"},  # a mix's partners can have one
    (GROUP_PARTS - {"sampling"}) | {"optimizer", "schedule", "speed", "logger", "training.device", "training.weights"},
    {"training.data", "training.network", "training.budget", "training.logging", "training.session"},
    {"training.batches", "training.course", "training.loop", "evaluate", "second_stage"},
    {"training.stepper"},
    {"probe"},
    {"training.setup"},
    {"train", "inference"},
    {"gan"},
    {"plan"},
    {"sweeping"},
    {"api"},
    {"command"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def place(path: Path) -> str:
    """The part of the house a module is in: a folder's name, or a file's; every module of training/ is a part of its
    own."""
    return part(path.relative_to(PACKAGE).with_suffix("").parts)


def part(names: Sequence[str]) -> str:
    """The same of a module by its names below the package."""
    return ".".join(names[: 2 if names[0] == "training" and names[-1] != "__init__" else 1])


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """All of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def imports(path: Path) -> set[str]:
    """Modules a file imports, anywhere in it, written in full."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" if node.module == "mixexp" else node.module for alias in node.names}
    return found


def upward(path: Path) -> Iterator[str]:
    """Imports of a file that its part of the house may not have."""
    here = place(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "mixexp" or len(parts) < 2:
            continue
        there = part(parts[1:])
        if here == "reporting":
            ground = {"metrics", "errors", "text", "files", "class_names", "settings", "training.reader", "project"}
            allowed = there in {"reporting", "spec", *ground}
        elif there == "reporting":
            allowed = here in ("api", "command")
        else:
            allowed = here == there or here in ("__init__", "training") or LEVEL[there] < LEVEL[here]
        if not allowed:
            yield f"{path.relative_to(PACKAGE)} imports {name}"


def test_imports_go_one_way():
    assert [line for path in MODULES for line in upward(path)] == []
    assert len(MODULES) > 150, "of all modules"


def test_only_the_games_own_modules_look_at_its_option():
    for path in MODULES:
        for node in nodes(path) if place(path) != "gan" else ():
            assert not (isinstance(node, ast.Attribute) and node.attr == "gan"), f"{path}:{node.lineno}"
            read = (
                node.slice
                if isinstance(node, ast.Subscript)
                else node.args[0]
                if isinstance(node, ast.Call) and node.args
                else None
            )
            assert not (isinstance(read, ast.Constant) and read.value == "gan"), f"{path}:{node.lineno}"


def test_hydra_stays_at_the_door():
    users = [path for path in MODULES if any(name.split(".")[0] in ("hydra", "omegaconf") for name in imports(path))]
    assert users and {place(path) for path in users} <= {"plan", "sweeping"}


def test_no_code_asks_which_option_of_a_group_was_chosen():
    ordinary = {"none", "full", "input", "final", "step", "balanced"}  # words that mean other things as well
    known = options([CONF])
    offenders = []
    for path in MODULES:
        names = {option for group in GROUP_PARTS - {place(path)} for option in known[group]} - ordinary
        for node in nodes(path):
            if isinstance(node, ast.Compare):
                literals = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
                offenders += [f"{path}:{node.lineno} compares with {name}" for name in literals & names]
    assert offenders == []


@pytest.mark.parametrize("path", OPTION_FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_option_says_what_it_is_and_lives_where_its_group_says(path):
    lines = header(path)
    assert lines and len(lines[0]) > 10, f"{path}: opens with no description"
    target = yaml.safe_load(path.read_text()).get("_target_")
    if target is not None:  # an experiment has none, and an option may build on another one
        assert target.startswith(f"mixexp.{path.parent.name}"), target
        assert locate(target).__doc__, f"{target} has no docstring"


@pytest.mark.parametrize("name", names("model"))
def test_a_models_header_names_its_stages(name):
    (line,) = [line for line in header(CONF / "model" / f"{name}.yaml") if line.startswith("Stages: ")]
    with torch.device("meta"):
        body = build(option("model", name), in_channels=3, image_size=(32, 32))
    assert line == f"Stages: {', '.join(body.stages)}."


@pytest.mark.parametrize("group", sorted(GROUP_PARTS))
def test_a_group_has_a_plain_option(group):
    plain = {"none", "full", "natural", "input", "cross_entropy", "digits", "small_cnn"}
    assert plain & set(names(group))


def imported_by(modules: Sequence[str], heavy: set[str]) -> str:
    """What of heavy libraries is there after the import of each of some modules, in a new process, with the first to
    bring it."""
    code = (
        f"import importlib, sys\nfor name in {list(modules)!r}:\n    importlib.import_module(name)\n"
        f"    found = {heavy!r} & sys.modules.keys()\n    if found:\n        sys.exit(f'{{name}}: {{found}}')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


def test_what_must_start_fast_imports_no_torch():
    modules = ["cli", "plan.options", "metrics", "training.reader", "spec.experiments", "sweeping.application"]
    modules += ["reporting.write", "reporting.figures"]
    assert imported_by([f"mixexp.{name}" for name in modules], {"torch"}) == ""


def test_what_answers_at_once_imports_no_heavy_library():
    modules = ["cli", "plan.options", "sweeping.status", "sweeping.records", "sweeping.screen", "command.new"]
    modules += ["training.reader", "spec.experiments"]
    heavy = {"torch", "pandas", "scipy", "matplotlib", "pydantic"}
    assert imported_by([f"mixexp.{name}" for name in modules], heavy) == ""


def test_no_path_of_a_machine_and_no_unfinished_mark_in_the_text():
    root = PACKAGE.parent
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.split()
    texts = [root / name for name in tracked if name.endswith((".py", ".yaml", ".toml", ".md"))]
    for path in texts or MODULES:
        if path.is_file() and path != Path(__file__).resolve():
            assert not re.search(rf"\bTODO\b|\bFIXME\b|{re.escape(str(Path.home()))}/", path.read_text()), path


def test_the_loop_is_short_enough_to_be_read_at_once() -> None:
    source = (PACKAGE / "train.py").read_text()
    (loop,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "train")
    assert source.count("\n") <= 130 and loop.end_lineno - loop.lineno < 85
