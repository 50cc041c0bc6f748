"""The house's rules, read off the syntax tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

from mixexp.build import build, locate
from mixexp.plan.compose import compose
from mixexp.plan.options import header, options
from mixexp.settings import CONF

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
    {"text", "files", "metrics", "streams", "labels", "class_names", "settings", "training"},
    {"errors"},
    {"training.reader", "training.task", "project"},
    {"spec"},
    {"build", "training.folder"},
    {"training.sizes", "training.spec"},
    {"training.checkpoint"},
    GROUP_PARTS | {"optimizer", "schedule", "speed", "logger", "training.device", "training.weights"},
    {"training.data", "training.network", "training.budget", "training.logging", "training.session"},
    {"training.batches", "training.loop", "evaluate"},
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


def imports(path: Path) -> set[str]:
    """Modules a file imports, anywhere in it, written in full."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" if node.module == "mixexp" else node.module for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    here = place(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "mixexp" or len(parts) < 2:
            continue
        there = part(parts[1:])
        if here == "reporting":
            ground = {"metrics", "errors", "text", "files", "class_names", "settings", "training.reader", "project"}
            assert there in {"reporting", "spec", *ground}, f"reporting imports {name}"
        elif here != there and here not in ("__init__", "training") and there != "reporting":
            assert LEVEL[there] < LEVEL[here], f"{here} imports {name}"
        elif there == "reporting":
            assert here in ("api", "command"), f"{here} imports {name}"


def test_only_the_games_own_modules_look_at_its_option():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())) if place(path) != "gan" else ():
            assert not (isinstance(node, ast.Attribute) and node.attr == "gan"), f"{path}:{node.lineno}"
            read = (
                node.slice
                if isinstance(node, ast.Subscript)
                else node.args[0]
                if isinstance(node, ast.Call) and node.args
                else None
            )
            assert not (isinstance(read, ast.Constant) and read.value == "gan"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_hydra_stays_at_the_door(path):
    if any(name.split(".")[0] in ("hydra", "omegaconf") for name in imports(path)):
        assert place(path) in {"plan", "sweeping"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_code_asks_which_option_of_a_group_was_chosen(path):
    ordinary = {"none", "full", "input", "final", "step", "balanced"}  # words that mean other things as well
    others = GROUP_PARTS - {place(path)}
    names = {option for group in others for option in options([CONF])[group]} - ordinary
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            literals = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
            assert not literals & names, f"{path}:{node.lineno} compares with {literals & names}"


@pytest.mark.parametrize("path", OPTION_FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_option_says_what_it_is_and_lives_where_its_group_says(path):
    lines = header(path)
    assert lines and len(lines[0]) > 10, f"{path}: opens with no description"
    target = yaml.safe_load(path.read_text()).get("_target_")
    if target is not None:  # an experiment has none, and an option may build on another one
        assert target.startswith(f"mixexp.{path.parent.name}"), target
        assert locate(target).__doc__, f"{target} has no docstring"


@pytest.mark.parametrize("name", sorted(options([CONF])["model"]))
def test_a_models_header_names_its_stages(name):
    (line,) = [line for line in options([CONF])["model"][name] if line.startswith("Stages: ")]
    with torch.device("meta"):
        body = build(compose([f"model={name}"])["model"], in_channels=3, image_size=(32, 32))
    assert line == f"Stages: {', '.join(body.stages)}."


@pytest.mark.parametrize("group", sorted(GROUP_PARTS))
def test_a_group_has_a_plain_option(group):
    plain = {"none", "full", "natural", "input", "cross_entropy", "digits", "small_cnn"}
    assert plain & set(options([CONF])[group])


@pytest.mark.parametrize(
    "module",
    [
        "mixexp.cli",
        "mixexp.plan.options",
        "mixexp.reporting.write",
        "mixexp.reporting.figures",
        "mixexp.metrics",
        "mixexp.training.reader",
        "mixexp.spec.experiments",
        "mixexp.sweeping.application",
    ],
)
def test_what_must_start_fast_imports_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "module",
    [
        "mixexp.cli",
        "mixexp.plan.options",
        "mixexp.sweeping.status",
        "mixexp.sweeping.records",
        "mixexp.sweeping.screen",
        "mixexp.command.new",
        "mixexp.training.reader",
        "mixexp.spec.experiments",
    ],
)
def test_what_answers_at_once_imports_no_heavy_library(module):
    code = (
        f"import sys, {module}; sys.exit(bool({{'torch', 'pandas', 'scipy', 'matplotlib', 'pydantic'}} &"
        " sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
