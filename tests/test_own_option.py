"""Options that build on another one by a defaults list alone, as in the README: the tests that discover options take
them too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DISCOVERING = ("test_build.py", "test_dataset.py", "test_structure.py", "test_mix.py", "test_model.py")
OWN = {
    "dataset/neighbour_moons.yaml": (
        "# Two moons with less noise.\n# Source: scikit-learn.\ndefaults: [two_moons]\nnoise: 0.05\n"
    ),
    "dataset/neighbour_table.yaml": "# A table of ours.\n# Source: ours.\ndefaults: [csv]\nseparator: ';'\n",
    "loss/neighbour_focal.yaml": "# The focal loss, less sharp.\ndefaults: [focal]\ngamma: 1\n",
    "model/neighbour_cnn.yaml": (
        "# The small network, narrower.\n# Stages: layer1, layer2, layer3.\ndefaults: [small_cnn]\nwidth: 8\n"
    ),
}
"""Further options without a _target_ of their own, one of which leaves to its user what the other does."""


def readme_blocks() -> tuple[str, str]:
    """The README's own mix: its Python file and its YAML."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Add your own")[2]
    return tuple(re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ("python", "yaml"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code and its tests, with the README's mix and further own options in it."""
    for name in ("mixexp", "conf", "hydra_plugins", "tests", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "frozen_runs"))
        else:
            shutil.copy(source, tmp_path / name)
    code, option = readme_blocks()
    (tmp_path / "mixexp" / "mix" / "neighbour.py").write_text(code, encoding="utf-8")
    (tmp_path / "conf" / "mix" / "neighbour.yaml").write_text(option, encoding="utf-8")
    for name, text in OWN.items():
        (tmp_path / "conf" / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_readmes_example_and_others_like_it_pass_the_tests_that_discover_options(checkout: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-p",
        "no:cacheprovider",
        "-k",
        "neighbour",
        *(f"tests/{name}" for name in DISCOVERING),
    ]
    done = subprocess.run(
        command,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed > 40 and "failed" not in done.stdout
