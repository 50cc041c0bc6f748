"""Tiers and marks of the tests.

    pytest -m fast -n 2                 a minute: the contracts of all parts, golden runs, the command
    pytest -m fast -k mixup             ten seconds: the tests of the tier with an option's name in theirs
    pytest -n 2 --dist worksteal        all tests in two processes
    pytest tests/test_mix.py -k mixup --pdb    one process, which a debugger can stop
    python tests/chaos/mutants.py       whether the tests notice each of some eighty faults

A test joins the fast tier by its mark: `pytestmark = pytest.mark.fast` marks a module, `@pytest.mark.fast` a test. The
tier is a mark and no folder, because a test lies beside the others of its subject and changes its tier without a move.
With `-m fast`, pytest imports only the modules whose text has the mark: to import all modules takes longer than the
tests of one method. No module composes or builds anything while pytest collects, which test_tiers.py holds: a list of
parameters reads what it needs off an option's file (running.raw_option).

The other marks are for tests that a machine may lack something for, or that are slow: browser, latex, launchers, kills
(pyproject.toml).
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
    """True for a module that -m fast leaves out, as its text does not have the mark."""
    if config.option.markexpr != "fast" or collection_path.suffix != ".py":
        return None
    return True if "pytest.mark.fast" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_finish() -> None:
    """Take what is there now out of the garbage collector's rounds, which would visit it again and again."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def mixexp_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The `mixexp` command, as commands.mixexp gives it, in this process: for commands that start no sweep."""
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
