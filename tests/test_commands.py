"""A command in a forked process is what it is in a new one: what it finds around itself, how it ends, and in a sweep
its slots too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import begin, mixexp, new_mixexp

TELLING = """
import json, multiprocessing, os, signal, sys, threading
from pathlib import Path

from mixexp.loss.cross_entropy import CrossEntropy

umask = os.umask(0)
os.umask(umask)
main = sys.modules["__main__"]
found = {
    "directory": os.getcwd(), "environment": dict(os.environ), "words": sys.argv, "path": sys.path, "flags": str(sys.flags),
    "main": main.__spec__ and main.__spec__.name, "process": type(multiprocessing.current_process()).__name__,
    "umask": umask,
    "signals": {one.name: getattr(signal.getsignal(one), "__name__", str(signal.getsignal(one))) for one in signal.Signals},
    "terminal": [os.isatty(number) for number in range(3)], "encoding": [sys.stdout.encoding, sys.stderr.errors],
    "threads": threading.active_count(), "session": os.getsid(0) == os.getsid(os.getppid()),
}
with open("found." + ("slot" if multiprocessing.parent_process() else "main"), "w") as file:
    json.dump(found, file)


class Telling(CrossEntropy):
    def __init__(self, class_counts, way: str):
        super().__init__(class_counts)
        self.way = way

    def forward(self, outputs, labels):
        if outputs.device.type != "meta":
            if self.way == "raise":
                raise RuntimeError("it broke")
            if self.way == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.way == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
        return super().forward(outputs, labels)
"""
WORDS = ("--config-dir", "conf", "loss=telling", "trusted_modules=[telling]", "model.width=2", "epochs=1")

BY_LIBRARIES = ("KMP_", "TORCHINDUCTOR_")
"""Variables that libraries set when they are imported, which a forked process has had behind it."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "telling.py").write_text(TELLING)
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "telling.yaml").write_text("# Tells.\n_target_: telling.Telling\nway: fine\n")
    return tmp_path


def test_a_sweep_and_its_slots_find_what_they_find_in_new_processes(place, monkeypatch):
    monkeypatch.setenv("OURS", "here")

    def begun(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        process = begin(*words, cwd=cwd, environment={**os.environ, **environment})
        assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
        output, errors = process.communicate()
        return subprocess.CompletedProcess(words, process.wait(), output, errors)

    def found(start: Callable[..., Any]) -> dict[str, Any]:
        done = start("-m", *WORDS, "seed=0,1", f"output_dir={start.__name__}", cwd=place, THEIRS="there")
        assert (done.returncode, done.stderr) == (0, "") and "2 runs, 2 done" in done.stdout
        told = {who: json.loads((place / f"found.{who}").read_text()) for who in ("main", "slot")}
        assert told["main"]["environment"]["THEIRS"] == "there" and told["slot"]["environment"]["OURS"] == "here"
        for facts in told.values():
            facts["words"] = [word for word in facts["words"] if not word.startswith("output_dir")]
            facts["environment"] = {
                name: value for name, value in facts["environment"].items() if not name.startswith(BY_LIBRARIES)
            }
        return told

    forked = found(mixexp)
    assert forked == found(new_mixexp) and forked["main"]["session"]
    forked["main"]["session"] = False
    assert forked == found(begun), "a session of its own is all the difference"


@pytest.mark.parametrize(
    "way, code, last", [("raise", 1, "RuntimeError: it broke"), ("kill", -signal.SIGKILL, ""), ("fine", 0, "")]
)
def test_a_command_ends_as_in_a_process_of_its_own(way, code, last, place):
    done = mixexp(*WORDS, f"loss.way={way}", cwd=place)
    assert done.returncode == code and done.stderr.splitlines()[-1:] == ([last] if last else [])
    assert ("finished, accuracy" in done.stdout) == (way == "fine")


def test_a_command_that_is_interrupted_says_so(place):
    done = mixexp(*WORDS, "loss.way=interrupt", cwd=place)
    assert done.returncode == 130 and done.stderr.startswith("mixexp: stopped; ")


def test_no_command_sees_what_another_one_did(place):
    first = mixexp(*WORDS, cwd=place)
    (place / "telling.py").write_text(TELLING.replace("it broke", "it broke again"))
    again = mixexp(*WORDS, "loss.way=raise", cwd=place)
    assert first.returncode == 0 and again.stderr.splitlines()[-1] == "RuntimeError: it broke again"
