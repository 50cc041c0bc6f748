"""`mixexp new`: what it writes runs, is tested, and never takes the place of a file."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import mixexp
from test_own_option import DISCOVERING, ROOT

from mixexp.cli import COMMANDS
from mixexp.command.extend import KINDS
from mixexp.command.new import Extension
from mixexp.errors import UserError
from mixexp.settings import CONF


def new(*words: str) -> None:
    COMMANDS["new"](words)


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, tuple[Path, list[str]]]:
    """A folder with the files of each kind, and what was printed."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
            patch.chdir(folder)
            new(kind, "first_try", "--dir", "my_conf")
        found[kind] = folder, printed.getvalue().splitlines()
    return found


def shown(kind: str, printed: list[str]) -> tuple[list[str], dict[str, str]]:
    """The names of the files and the commands that were printed."""
    count = 2 if kind == "experiment" else 3
    return printed[:count], dict(re.split(r": +", line, maxsplit=1) for line in printed[count:])


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_a_folder_of_ones_own_train(kind, made):
    folder, printed = made[kind]
    module = [] if kind == "experiment" else [f"first_try_{kind}.py"]
    names = [f"{kind}/first_try.yaml", *module, f"test_first_try_{kind}.py"]
    assert written(folder / "my_conf") == sorted(names)
    files, commands = shown(kind, printed)
    assert files == [f"my_conf/{name}" for name in names]
    program, *words = shlex.split(commands["run it"])
    assert program == "mixexp" and "--config-dir" in words
    done = mixexp(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert ("18 runs: 18 missing" if kind == "experiment" else "finished, accuracy") in done.stdout
    _, *words = shlex.split(commands["or"])
    if kind != "experiment":
        listed = mixexp(*words, cwd=folder)
        assert listed.returncode == 0 and "first_try" in listed.stdout


def test_the_files_of_a_folder_of_ones_own_pass_their_test(made, tmp_path):
    tests = []
    for kind, (folder, printed) in made.items():
        program, test = shlex.split(shown(kind, printed)[1]["test it"])
        assert program == "pytest" and test == f"my_conf/test_first_try_{kind}.py"
        tests.append(str(folder / test))
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    stated = sum(Path(test).read_text(encoding="utf-8").count("\ndef test_") for test in tests)
    assert int(re.search(r"(\d+) passed", tested.stdout)[1]) >= stated > len(tests)


def test_a_project_file_makes_the_commands_shorter_and_names_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "mixexp.yaml").write_text("config_dirs: [own]\n")
    new("loss", "sharp")
    assert "run it:  mixexp loss=sharp steps=2 'trusted_modules=[sharp_loss]'\n" in capsys.readouterr().out
    (tmp_path / "mixexp.yaml").write_text("config_dirs: [own]\ntrusted_modules: [sharp_loss, flat_loss]\n")
    with pytest.raises(UserError, match="there is no module flat_loss"):
        new("loss", "flat")
    (tmp_path / "own" / "flat_loss.py").touch()
    with pytest.raises(UserError, match=r"flat_loss\.py is there already"):
        new("loss", "flat")
    assert not (tmp_path / "own" / "loss" / "flat.yaml").exists(), "all files or none"
    (tmp_path / "mixexp.yaml").write_text("config_dirs: [own]\ntrusted_modules: [sharp_loss]\n")
    new("loss", "keen", "--dir", "other")
    saves = "config_dirs: [own, other]; trusted_modules: [sharp_loss, keen_loss]\n"
    assert capsys.readouterr().out.endswith(saves), "the whole lists, to be pasted"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code and its tests, with a new option of every kind in it."""
    for name in ("mixexp", "conf", "hydra_plugins", "tests", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "frozen_runs"))
        else:
            shutil.copy(source, tmp_path / name)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from mixexp.cli import COMMANDS\nfor kind in {KINDS}: COMMANDS['new']([kind, 'first_try'])",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / "conf" / kind / "first_try.yaml").is_file() for kind in KINDS)
    assert "--config-dir" not in done.stdout
    return tmp_path


def test_the_files_in_a_checkout_pass_the_tests_that_discover_options(checkout: Path) -> None:
    files = [f"tests/{name}" for name in (*DISCOVERING, "test_loss.py", "test_experiments.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", "-k", "first_try", *files],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 40


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MyMix", "my_mix"),
        ("my-mix", "my_mix"),
        ("2fast", "my_2fast"),
        ("lambda", "my_lambda"),
        ("", "my_mix"),
        ("../x", "x"),
        ("null", "my_null"),
        ("a" * 41, "a" * 40),
        ("mix.py", "mix_py"),
        ("Mixup", "my_mixup"),
        ("né", "n"),
    ],
)
def test_a_bad_name_is_refused_with_a_good_one(name, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="small letters, digits and _") as caught:
        new("mix", name, "--dir", "conf")
    assert f"Did you mean '{meant}'?" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("mixx", "a", "--dir", "c"), "no such kind. Did you mean 'mix'?"),
        (("mix", "mixup", "--dir", "c"), "there is an option mix=mixup already"),
        (("mix", "a"), "say where, --dir FOLDER"),
        (("mix", "a", "--dir", "afile"), "is a file"),
        (("mix", "a", "--dir="), "the value is left empty"),
        (("mix", "a", "--dir", str(CONF)), "is the program's own folder"),
        (("mix",), "the following arguments are required: NAME"),
    ],
)
def test_other_words_are_refused_and_nothing_is_written(words, expected, tmp_path, monkeypatch):
    (tmp_path / "afile").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        new(*words)
    assert expected in str(caught.value) and written(tmp_path) == ["afile"]


def test_a_link_that_leads_nowhere_is_a_file_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "mix").mkdir(parents=True)
    (tmp_path / "conf" / "mix" / "a.yaml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="already"):
        new("mix", "a", "--dir", "conf")


@pytest.mark.parametrize("kind", KINDS)
def test_written_lines_are_no_longer_than_the_project_allows(kind):
    for folder in (None, Path("own")):
        for path, text in Extension(kind, "a_name_of_mine", folder).files().items():
            assert max(map(len, text.splitlines())) <= 120 and "$name" not in text, path


def test_the_example_of_the_page_works_as_written(tmp_path):
    page = (ROOT / "docs" / "own_code.md").read_text(encoding="utf-8").partition("## The first files")[2]
    first, second, _ = re.search(r"```bash\n(.*?)```", page, re.DOTALL)[1].splitlines()
    assert mixexp(*shlex.split(first)[1:], cwd=tmp_path).returncode == 0
    assert written(tmp_path) == sorted(re.findall(r"^\| `(my_conf/\S+)` \|", page, re.MULTILINE))
    done = mixexp(*shlex.split(second)[1:], cwd=tmp_path)
    assert done.returncode == 0 and "finished, accuracy" in done.stdout, done.stderr
