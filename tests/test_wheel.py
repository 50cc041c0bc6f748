"""The built wheel works alone: YAMLs inside, plugins found, from another folder, without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new virtual environment with the wheel; its dependencies are this one's, whose own editable mixexp it does not
    see."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    site = subprocess.run(
        [str(python), "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    )
    # a path in a .pth file is searched, but .pth files in it, such as that of the editable install, are not read
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_holds_the_yaml_files_and_the_plugins_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "mixexp/conf/config.yaml",
        "mixexp/conf/experiment/small_data.yaml",
        "hydra_plugins/mixexp_plugins.py",
        "mixexp/py.typed",
    } <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"mixexp/{name}" for name in shipped} <= names
    assert {f"mixexp/reporting/page/page.{kind}" for kind in ("html", "css", "js")} <= names
    templates = (ROOT / "mixexp" / "command" / "templates").glob("*.txt")
    assert {f"mixexp/command/templates/{path.name}" for path in templates} <= names
    assert not any(name.split("/")[0] in ("tests", "benchmarks", "scripts", "outputs", "conf") for name in names)


def test_the_installed_command_runs_a_sweep_from_another_folder(environment, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)  # a path to the checkout would come first

    def command(*words: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / "mixexp"), *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [str(environment / "bin" / "python"), "-c", "import mixexp; print(mixexp.__file__)"]
    assert str(environment) in subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "small_data" in command("list", "experiment")
    assert "2 runs, 2 done" in command("-m", "mix=none,mixup", "epochs=1", "model.width=4")
    assert len(list((tmp_path / "outputs" / "runs").glob("*/result.json"))) == 2
