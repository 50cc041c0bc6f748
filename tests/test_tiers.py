"""What conftest.py promises of the tiers: collecting composes and builds nothing, and the fast tier imports little."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

MARK = "pytest.mark." + "fast"  # this module names it nowhere in one word, and so is not of the tier
ROOT = Path(__file__).resolve().parents[1]
COLLECT = """
import sys

import hydra
import pytest

import mixexp.build
import mixexp.plan.compose


def refuse(*words, **settings):
    raise AssertionError("nothing is composed or built while pytest collects")


hydra.compose = hydra.initialize_config_dir = mixexp.build.build = mixexp.plan.compose.compose = refuse
code = pytest.main([*sys.argv[1:], "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"])
print("heavy:", sorted({"torchvision", "sklearn", "scipy.stats", "matplotlib", "torch._dynamo"} & sys.modules.keys()))
sys.exit(code)
"""


def collected(*words: str) -> str:
    """What pytest prints as it collects, where to compose or to build anything is an error."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", COLLECT, *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_fast_tier_is_collected_from_its_own_modules_and_imports_nothing_heavy() -> None:
    found = collected("-m", "fast")
    assert found.endswith("heavy: []\n")
    modules = {line.partition(":")[0] for line in found.splitlines() if line.startswith("tests/")}
    assert modules == {
        f"tests/{path.name}" for path in (ROOT / "tests").glob("test_*.py") if MARK in path.read_text(encoding="utf-8")
    }
    assert sum(int(count) for count in re.findall(r"^tests/.*: (\d+)$", found, re.MULTILINE)) > 1000


def test_nothing_is_composed_or_built_while_all_tests_are_collected() -> None:
    assert "tests/test_experiments.py" in collected()
