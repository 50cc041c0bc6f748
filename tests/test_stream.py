"""Runs that share a process and a device: each has the numbers it has alone, and what happens to one happens to no
other.

On the CPU the slots are told to share; on CUDA they do so by themselves.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch

from mixexp.plan.composer import composed
from mixexp.plan.plan import plan
from mixexp.settings import CONF
from mixexp.sweeping import pool
from mixexp.sweeping.estimate import DurationModel
from mixexp.sweeping.one import execute
from mixexp.sweeping.pool import Outcomes
from mixexp.sweeping.slot import Slot, warm_up
from mixexp.training.spec import RunSpec

MY_LOSS = """
import os, signal, time
import torch
from mixexp.loss.cross_entropy import CrossEntropy


class Faulty(CrossEntropy):
    steps = 0

    def __init__(self, class_counts, way: str, slow: float = 0.0):
        super().__init__(class_counts)
        self.way, self.slow = way, slow

    def forward(self, outputs, labels):
        if self.training_now(outputs):
            self.steps += 1
            time.sleep(self.slow)
            print(f"step {self.steps} of {self.way}")
            if self.steps == 3 and self.way == "raise":
                raise ValueError("broken on purpose")
            if self.steps == 3 and self.way == "memory":
                raise torch.OutOfMemoryError("no room")
        return super().forward(outputs, labels)

    @staticmethod
    def training_now(outputs):
        return outputs.requires_grad
"""

WORDS = (
    "mix=mixup",
    "augment=standard",
    "subset=head",
    "subset.n=160",
    "batch_size=32",
    "evaluations=2",
    "model.width=2",
)


@pytest.fixture
def shared(monkeypatch) -> None:
    def slots(configs: Sequence[Any]) -> list[Slot]:
        made = [Slot(device) for device in pool.slots_for(configs)]
        for slot in made:
            slot.together = made
        return made

    monkeypatch.setattr(pool, "_slots", slots)


def runs_of(folder: Path, *cells: Sequence[str]) -> list[RunSpec]:
    words = [(*WORDS, "runs_per_device=3", "device=cpu", f"output_dir={folder}", *cell) for cell in cells]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        made = [composed(hydra.compose("config", overrides=list(w), return_hydra_config=True)) for w in words]
        sweep = plan(made, words)
    sweep.check()
    return sweep.runs


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def process_of(run: RunSpec) -> int:
    return json.loads((run.folder / "environment.json").read_text())["process"]


def sweep(runs: Sequence[RunSpec]) -> Outcomes:
    outcomes = Outcomes()
    warm_up(threads=1)  # as a sweep's launcher does: no slot imports torch for itself
    pool.run_all(runs, outcomes, DurationModel())
    return outcomes


CELLS = [
    ("seed=0", "epochs=6"),
    ("seed=1", "mix_layer=layer2", "epochs=2"),
    ("seed=2", "loss=focal", "model.width=3", "epochs=4"),
]


def test_interleaved_is_alone_bit_for_bit(tmp_path, shared):
    together, alone = (runs_of(tmp_path / name, *CELLS, ("seed=3", "epochs=2")) for name in ("together", "alone"))
    outcomes = sweep(together)
    assert len(outcomes.results) == 4 and not outcomes.failures
    assert len({process_of(run) for run in together}) == 1 and process_of(together[0]) != os.getpid()
    for run, other in zip(together, alone, strict=True):
        execute(other, lambda progress: None, threading.Event())
        assert rows(run.folder) == rows(other.folder)


def test_a_failure_is_one_runs_alone(tmp_path, shared, monkeypatch, capsys):
    (tmp_path / "my_faulty.py").write_text(MY_LOSS)
    monkeypatch.chdir(tmp_path)
    faulty = (
        "trusted_modules=[my_faulty]",
        "loss._target_=my_faulty.Faulty",
        "~loss.label_smoothing",
        "~loss.class_weights",
        "~loss.beta",
    )
    cells = [
        (*faulty, f"+loss.way={way}", f"seed={k}", "epochs=3") for k, way in enumerate(("fine", "raise", "memory"))
    ]
    runs = runs_of(tmp_path / "out", *cells)
    outcomes = sweep(runs)
    fine, raised, memory = runs
    assert set(outcomes.results) == {fine.folder.name}
    assert set(outcomes.failures) == {raised.folder.name, memory.folder.name}
    assert "broken on purpose" in (raised.folder / "error.txt").read_text()
    assert "no room" in (memory.folder / "error.txt").read_text()
    assert "again in a process of its own" in capsys.readouterr().out
    assert process_of(memory) != process_of(fine) == process_of(raised)
    for run, way in zip(runs, ("fine", "raise", "memory"), strict=True):
        printed = (run.folder / "log.txt").read_text().splitlines()
        assert set(printed) >= {f"step {k} of {way}" for k in (1, 2, 3)}
        assert all(line.endswith(way) for line in printed if line.startswith("step")), (
            "each log has its own run's lines"
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_when_the_process_is_killed_all_go_on_in_processes_of_their_own(number, tmp_path, shared, monkeypatch, capsys):
    (tmp_path / "my_faulty.py").write_text(MY_LOSS)
    monkeypatch.chdir(tmp_path)
    faulty = (
        "trusted_modules=[my_faulty]",
        "loss._target_=my_faulty.Faulty",
        "~loss.label_smoothing",
        "~loss.class_weights",
        "~loss.beta",
    )
    words = (*faulty, "+loss.way=fine", "epochs=8", "checkpoint_seconds=0")
    runs = runs_of(tmp_path / "out", *[(*words, "+loss.slow=0.02", f"seed={k}") for k in range(3)])

    def kill_it() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not all((run.folder / "checkpoint.pt").exists() for run in runs):
            time.sleep(0.02)
        os.kill(process_of(runs[0]), number)

    killer = threading.Thread(target=kill_it)
    killer.start()
    outcomes = sweep(runs)
    killer.join()
    assert len(outcomes.results) == 3 and not outcomes.failures
    assert len({process_of(run) for run in runs}) == 3
    printed = capsys.readouterr().out
    assert printed.count(f"was killed by {number.name}") == 3 and printed.count("goes on at step") == 3
    alone = runs_of(tmp_path / "alone", *[(*words, f"seed={k}") for k in range(3)])
    for run, other in zip(runs, alone, strict=True):
        execute(other, lambda progress: None, threading.Event())
        assert rows(run.folder) == rows(other.folder)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("mode", ["speed=eager", "speed=graph speed.compiled=false", "speed=graph"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_interleaved_is_alone_bit_for_bit_on_cuda(precision, mode, tmp_path):
    more = ("device=cuda", f"precision={precision}", *mode.split())
    cells = [(*cell, *more) for cell in CELLS]
    together, alone = (runs_of(tmp_path / name, *cells) for name in ("together", "alone"))
    outcomes = sweep(together)
    assert len(outcomes.results) == 3 and not outcomes.failures
    assert len({process_of(run) for run in together}) == 1
    for run, other in zip(together, alone, strict=True):
        execute(other, lambda progress: None, threading.Event())
        assert rows(run.folder) == rows(other.folder)
