"""Tiers and markers of the tests.

    pytest -m fast                      a minute: every contract holds (the list of its tests: pytest -m fast --co)
    pytest -m fast -k mixup             seconds: what of it concerns one method, by the name of its option
    pytest -n 2 --dist worksteal        all tests in two processes
    pytest tests/test_mix.py -k mixup --pdb    one process, which a debugger can stop

A test joins the fast tier by its mark: `pytestmark = pytest.mark.fast` says so of a module, `@pytest.mark.fast` of one
test. A mark, not a folder: a test lies with the others of its subject, and changes tier without a move. What pytest
runs with `-m fast` is collected from the modules that name the mark alone, as to import all of them takes longer than
many of their tests. No module composes or builds anything while it is imported: what a list of parameters needs to know
of an option is read off its file (running.raw_option).

Marks of the slow tests, one for each thing that a machine may lack or a developer may wish to leave out: browser,
latex, launchers, kills (pyproject.toml).
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests run two at a time on two cores

gc.disable()  # until all is collected: imports and tests make many objects, none of which is garbage

import torch  # noqa: E402  the lines above are for its import

torch.set_num_threads(1)

# a shell starts so what is to run in the background, and the commands that tests interrupt would inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whether a module is left out: with -m fast, where it does not name the mark."""
    if config.option.markexpr != "fast" or collection_path.suffix != ".py":
        return None
    return True if "pytest.mark.fast" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_finish() -> None:
    """Take all that is there now out of the garbage collector's rounds, which would visit it after every few tests."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def mixexp_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The `mixexp` command, as commands.mixexp gives it, but in this process: for what trains nothing, a third of the time."""
    from running import command_with_streams

    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        code, output, errors = command_with_streams(capsys, *words)
        return subprocess.CompletedProcess(["mixexp", *words], code, output, errors)

    return run


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets, or a skip that says how to have it."""
    folder = Path(os.environ.get("MIXEXP_DATA", "data"))
    if not (folder / "cifar-10-batches-py").is_dir() or not (folder / "MNIST").is_dir():
        pytest.skip("no real CIFAR-10 and MNIST: set MIXEXP_DATA to the folder that has them")
    return folder.absolute()
