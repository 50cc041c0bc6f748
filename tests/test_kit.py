"""The developer's files agree with each other: versions, the Makefile, README, hooks, workflow."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = {"help", "setup", "fast", "test", "lint", "docs", "bench"}
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make on the path")


def make(*words: str) -> str:
    """What make prints; its commands alone with -n, as if the environment were there."""
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def commands(target: str) -> list[str]:
    """A target's own commands."""
    return make("-n", "-o", ".venv/installed", target).splitlines()


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def runs(job: str) -> list[str]:
    """What a job of the workflow types."""
    return [step["run"] for step in read(".github/workflows/ci.yml")["jobs"][job]["steps"] if "run" in step]


def test_one_version_and_one_licence() -> None:
    citation = read("CITATION.cff")
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] and (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert re.search(
        rf"^\[?{re.escape(PROJECT['version'])}\b|\[Unreleased\]", (ROOT / "CHANGELOG.md").read_text(), re.M
    )


def test_the_citation_has_what_its_format_requires() -> None:
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= citation.keys()
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= reference.keys() and isinstance(reference["year"], int)


@needs_make
def test_make_alone_prints_every_target_with_its_line() -> None:
    printed = dict(re.findall(r"^make (\w+) +(\S.*)$", make(), re.M))
    assert printed.keys() == TARGETS == set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))
    assert make("help") == make()


@needs_make
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_command_of_a_target_is_of_the_environment(target: str) -> None:
    for command in commands(target):
        program = shlex.split(command)[0]
        assert program.startswith(".venv/bin/") or target == "help", command
    assert "'.[dev]'" in make("-n", "-W", "pyproject.toml", "lint"), "a target sets the environment up first"


@needs_make
def test_the_readmes_test_command_is_the_makefiles() -> None:
    second = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)[1]
    assert [second.strip().split(" && ")[-1]] == commands("test")


@needs_make
def test_the_hooks_run_what_make_runs() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]]
    assert repository["repo"] == "local", "the tools of the environment, not other versions"
    made = [command.removesuffix(" .").removesuffix(" --check") for command in commands("lint")] + commands("fast")
    assert entries == made


def test_the_workflow_runs_what_ci_runs_on_every_python_that_is_supported() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    stated = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert pythons == stated
    minors = [int(version.removeprefix("3.")) for version in pythons]
    assert PROJECT["requires-python"] == f">=3.{minors[0]},<3.{minors[-1] + 1}"
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert runs("test")[-1] == ".ci/run" and os.access(ROOT / ".ci" / "run", os.X_OK)
    for job in ("lint", "docs"):
        assert runs(job) == [f"make {job}"] and job in TARGETS
    assert "make lint\n" in (ROOT / ".ci" / "run").read_text()


def test_contributors_are_told_of_targets_that_exist_and_of_supported_pythons() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"`make (\w+)`", text)) <= TARGETS and len(text.splitlines()) <= 80
    for line in PROJECT["classifiers"]:
        if "Python :: 3." in line:
            assert line.rsplit(" ", 1)[1] in text
