"""The fault table: what can go wrong with a run while it trains, with the disk it writes to, with files that lie there
and with the processes around it. Each fault is a real one, in sweeps run as a user runs them, and must cost no more
than the run it hits.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
import torch

from mixexp.training.checkpoint import Checkpoint

FAULT_STEP = 15  # in the third of four epochs: two evaluations are kept, and a checkpoint where they are asked for

# A data set that costs no import of scikit-learn in every process, and a loss whose `way` is its fault. Only where the
# environment
# has FAULTS does it break: a fault that is gone leaves the same code and the same run. What `way` says never changes a
# number, so every run that nothing disturbed is the measure of all others with its seed.
MY_FAULTS = f"""
import ctypes, os, resource, signal, sys, time
from pathlib import Path

import torch

from mixexp.dataset import Dataset, Splits
from mixexp.loss.cross_entropy import CrossEntropy


class Patches(Dataset):
    mean = std = None

    def load(self):
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(256) % 4
        images = torch.randint(0, 128, (256, 1, 8, 8), generator=generator) + 20 * labels.view(-1, 1, 1, 1)
        images = images.to(torch.uint8)
        return Splits(images[:192], labels[:192], images[192:], labels[192:], ("a", "b", "c", "d"))


class NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(context, losses):
        return losses.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("nan")


def leave_little_memory():
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))


def wait_for_go():
    end = time.monotonic() + 300
    while not Path("go").exists() and time.monotonic() < end:
        time.sleep(0.01)


class Fragile(CrossEntropy):
    def __init__(self, class_counts, way: str):
        super().__init__(class_counts)
        self.way, self.step = way, 0
        if way == "constructor" and "FAULTS" in os.environ:
            sys.exit(0)

    def forward(self, outputs, labels):
        losses = super().forward(outputs, labels)
        if not outputs.requires_grad:  # an evaluation
            return losses
        self.step += 1
        with open(f"steps.{{self.way}}", "ab") as file:
            file.write(b".")
        return self.fault(losses) if "FAULTS" in os.environ else losses

    def fault(self, losses):
        way = self.way.split("_")[0]
        if way == "slow":
            time.sleep(0.1)
        if way == "late" and self.step == 24:
            return NoGradient.apply(losses)
        if self.step != {FAULT_STEP}:
            return losses
        if way == "raise":
            raise RuntimeError("it broke")
        if way == "exit":
            sys.exit("enough")
        if way == "exit0":
            sys.exit(0)
        if way == "exit3":
            os._exit(3)
        if way == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "abort":
            os.abort()
        if way == "segfault":
            ctypes.string_at(0)
        if way == "memory":
            leave_little_memory()
            bytearray(2**40)
        if way == "tensor":
            leave_little_memory()
            torch.ones(2**30)
        if way == "hang":
            time.sleep(3600)
        if way == "diverge":
            return losses * float("nan")
        if way == "gate":
            Path(f"gate.{{os.getpid()}}").touch()
            wait_for_go()
        if way == "orphan":
            if os.fork() == 0:
                wait_for_go()
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        return losses
"""
BASE = (
    "--config-dir",
    "conf",
    "dataset=patches",
    "loss=fragile",
    "trusted_modules=[my_faults]",
    "model.width=4",
    "batch_size=32",
)
WORDS = (*BASE, "epochs=4")  # 24 steps
STOPPED = "mixexp: stopped; finished runs are kept, the same command continues with the rest\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with the user's own data set and loss."""
    (tmp_path / "my_faults.py").write_text(MY_FAULTS)
    for name, text in {
        "dataset/patches.yaml": "# Small.\n_target_: my_faults.Patches\n",
        "loss/fragile.yaml": "# Breaks.\n_target_: my_faults.Fragile\nway: fine\n",
    }.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True)
        (tmp_path / "conf" / name).write_text(text)
    return tmp_path


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A file system in memory, where this machine lets us have one, and whether it does."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    made = (
        shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[bool]:
    """A folder that nobody can write to in the place of another one, where this machine lets us have one, and whether
    it does."""
    kept = folder.rename(folder.parent.parent / "aside")
    folder.mkdir(0o555)  # which root does not heed
    with mounted(folder, "ro") if os.geteuid() == 0 else contextlib.nullcontext(True) as made:
        if made:
            yield True
    folder.rmdir()
    kept.rename(folder)
    if not made:
        yield False


def begin(place: Path, *words: str, faults: bool = False, path: str = "", output: Any = None) -> commands.Started:
    """The command, started in a process group of its own; path: a folder with modules that Python shall find first,
    which takes a new process.

    output: a file for all that it says, instead of pipes.
    """
    environment = {key: value for key, value in os.environ.items() if key != "FAULTS"} | (
        {"FAULTS": "on"} if faults else {}
    )
    if path:
        environment["PYTHONPATH"] = os.pathsep.join([path, *filter(None, [os.environ.get("PYTHONPATH")])])
    start = commands.new_command if path else commands.begin
    return start(*words, cwd=place, environment=environment, output=output)


def end(process: commands.Started) -> tuple[int, str, str]:
    """Its exit code, and what it said on standard output and standard error."""
    try:
        output, errors = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.wait(), output, errors


def mixexp(place: Path, *words: str, faults: bool = False, path: str = "") -> tuple[int, str, str]:
    """The command from its start to its end, in a new process only where Python has to find modules elsewhere."""
    if path:
        return end(begin(place, *words, faults=faults, path=path))
    done = commands.mixexp(*words, cwd=place, **({"FAULTS": "on"} if faults else {}))
    return done.returncode, done.stdout, done.stderr


def until(condition: Callable[[], Any], process: commands.Started) -> None:
    """Wait for something that the process is to bring about."""
    deadline = time.monotonic() + 240
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"it never came to that: {process.communicate()}")
        time.sleep(0.02)


def ways(*names: str) -> str:
    return f"loss.way={','.join(names)}"


def folders(sweep: Path) -> dict[str, Path]:
    """Every planned run's folder by its label, without the words loss.way=."""
    plans = [json.loads(path.read_text()) for path in (sweep / "sweeps").glob("*.json")]
    return {run["label"].replace("loss.way=", ""): sweep / run["name"] for found in plans for run in found["runs"]}


def table(folder: Path) -> list[list[str]]:
    """The CSV as written, without the column that a clock fills."""
    with (folder / "metrics.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[-1] == "seconds"
    return [row[:-1] for row in (header, *rows)]


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "environment.json").read_text())


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def stamps(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """What changes when anything in a folder is written again, even with the same content."""
    files = [path for path in folder.iterdir() if path.name != ".lock"]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in files}


# --- a run that fails ---


FAILURES = {
    "hang": ["made no step for 0.1 min (hang_minutes)"],
    "raise": ["RuntimeError: it broke"],
    "exit": ["sys.exit('enough')"],
    "exit0": ["sys.exit(0)"],
    "exit3": ["exited with code 3"],
    "terminate": ["the run's process was ended by SIGTERM"],
    "kill": ["killed by SIGKILL", "lack of memory"],
    "abort": ["killed by SIGABRT"],
    "segfault": ["killed by SIGSEGV"],
    "memory": ["MemoryError"],
    "tensor": ["can't allocate memory"],
}
"""What the sweep says of each way to fail."""


@pytest.mark.kills
def test_each_failure_costs_its_own_run_and_is_mended_by_retry(place):
    names = [*FAILURES, "diverge", "late", "fine"]
    words = ("-m", *WORDS, ways(*names), "checkpoint_seconds=0", "hang_minutes=0.1")
    sweep = place / "outputs" / "runs"

    code, output, errors = mixexp(place, *words, faults=True)
    assert code == 1 and f"{len(FAILURES)} of {len(names)} runs failed" in errors and "Traceback" not in errors
    assert f"3 done (0 of them before), 2 diverged, {len(FAILURES)} failed" in output
    runs = folders(sweep)
    for way, reasons in FAILURES.items():
        (row,) = [line for line in errors.splitlines() if f"loss.way={way} " in line]
        for reason in reasons:
            assert reason in row and reason in output, "it is said at once and in the closing table"
        assert len(table(runs[way])) == 3, "the evaluations until then"
        assert not (runs[way] / "result.json").exists()
        for reason in reasons:
            assert (
                reason.replace("sys.exit('enough')", "SystemExit: enough").replace("sys.exit(0)", "SystemExit: 0")
                in (runs[way] / "error.txt").read_text()
            )
    for way in ("abort", "segfault"):
        for name in ("log.txt", "error.txt"):
            assert "my_faults.py" in (runs[way] / name).read_text(), f"the stack of {way} is kept in {name}"

    code, output, _ = mixexp(place, "status", str(sweep))
    states = {
        line.split()[2].removeprefix("loss.way="): line.split()[1]
        for line in output.splitlines()
        if "loss.way=" in line
    }
    assert states == {**dict.fromkeys(FAILURES, "failed"), "diverge": "diverged", "late": "diverged", "fine": "done"}
    assert code == 0 and "retry=failed tries them again" in output

    # the same command leaves alone what has failed; meanwhile the disk gets in the way of two of them
    before = {way: stamps(runs[way]) for way in names}
    runs["raise"].rename(place / "kept")
    runs["raise"].touch()
    with unwritable(runs["exit"]) as made:
        code, output, errors = mixexp(place, *words)
    assert code == 1 and f"{len(FAILURES)} of {len(names)} runs failed" in errors
    assert f"3 done (3 of them before), 2 diverged, {len(FAILURES)} failed" in output
    assert (
        f"{len(FAILURES) - 1 - made} of them had failed before and were left so; retry=failed tries them again"
        in errors
    )
    assert "File exists" in errors
    assert not made or "Read-only file system" in errors or "Permission denied" in errors
    runs["raise"].unlink()
    (place / "kept").rename(runs["raise"])
    assert {way: stamps(runs[way]) for way in names} == before

    code, output, errors = mixexp(place, *words, "retry=failed")
    assert code == 0 and f"{len(names)} done (3 of them before), 2 diverged, 0 failed" in output, errors
    over = [way for way in names if way not in FAILURES]
    assert {way: stamps(runs[way]) for way in over} == {way: before[way] for way in over}
    good = table(runs["fine"])
    assert len(good) == 5
    assert {way: table(runs[way]) for way in FAILURES} == dict.fromkeys(FAILURES, good)
    assert not [path for way in names for path in runs[way].iterdir() if path.name in ("error.txt", "checkpoint.pt")]
    went_on = {way: facts(runs[way])["continued_at_step"] for way in FAILURES}
    assert went_on == {**dict.fromkeys(FAILURES, FAULT_STEP - 1), "terminate": FAULT_STEP}

    # what diverged keeps its figures, and no table takes them for a result
    assert len(table(runs["diverge"])) == 4 and table(runs["diverge"])[:3] == good[:3]
    assert table(runs["late"])[:4] == good[:4] and math.isnan(float(table(runs["late"])[4][4]))
    code, output, errors = mixexp(place, "report", str(sweep))
    assert code == 0 and f"{len(names) - 2} of {len(names)} runs have a result" in output, errors
    assert f"Without a result: 2 of {len(names)} runs" in output
    with (sweep / "report" / "runs.csv").open(newline="") as file:
        told = {row["loss.way"]: (row["outcome"], row["accuracy_last"] != "") for row in csv.DictReader(file)}
    good_ones = dict.fromkeys([*FAILURES, "fine"], ("finished", True))
    assert told == {**good_ones, **dict.fromkeys(["diverge", "late"], ("diverged", False))}


# --- a clock that jumps, and a stop at the first failure ---


def test_fail_fast_leaves_the_rest_to_be_gone_on_with_whatever_the_clock_says(place):
    words = (
        "-m",
        *BASE,
        "epochs=40",
        ways("slow", "fine", "raise", "never"),
        "runs_per_device=2",
        "checkpoint_seconds=1000",
    )
    code, output, errors = mixexp(place, *words, "fail_fast=true", faults=True)
    assert (
        code == 1 and "1 of 4 runs failed" in errors and "the sweep stopped at the first failure (fail_fast)" in errors
    )
    assert "1 done (0 of them before), 0 diverged, 1 failed, 2 not finished" in output
    runs = folders(place / "outputs" / "runs")
    assert (runs["slow"] / "checkpoint.pt").exists() and not (runs["slow"] / "error.txt").exists()
    assert not runs["never"].exists()

    # from here on the clock jumps back and forth by days and years
    (place / "clock").mkdir()
    (place / "clock" / "sitecustomize.py").write_text(
        "import itertools, time\n"
        "real, days = time.time, itertools.cycle([0, 3, -400, 20000, -1])\n"
        "time.time = lambda: real() + 86400 * next(days)\n"
        "time.time_ns = lambda: int(1e9 * time.time())\n"
    )
    for number, path in enumerate(sorted((place / "outputs").rglob("*"))):
        os.utime(path, (0, 0) if number % 2 else (4102444800, 4102444800))  # 1970 and 2100
    before = stamps(runs["fine"])
    code, output, errors = mixexp(place, *words, "retry=failed", path=str(place / "clock"))
    assert code == 0 and "4 runs, 4 done (1 of them before), 0 diverged, 0 failed" in output, errors
    assert stamps(runs["fine"]) == before
    assert {way: table(folder) for way, folder in runs.items()} == dict.fromkeys(runs, table(runs["fine"]))
    assert facts(runs["slow"])["continued_at_step"] > 0
    for folder in runs.values():
        with (folder / "metrics.csv").open(newline="") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        assert seconds[0] > 0 and seconds == sorted(seconds) and seconds[-1] <= result(folder)["seconds"] < 3600


# --- what runs and their code do to the sweep itself ---


def test_a_process_that_a_dead_run_leaves_behind_holds_nobody_up(place):
    words = ("-m", *WORDS, ways("orphan", "fine"), "runs_per_device=1")
    with (place / "said").open("w") as said:  # a pipe would stay open as long as the process left behind
        process = begin(place, *words, faults=True, output=said)
        until(lambda: process.poll() is not None, process)
    (place / "go").touch()
    text = (place / "said").read_text()
    assert (
        process.returncode == 1
        and "killed by SIGKILL" in text
        and "2 runs, 1 done (0 of them before), 0 diverged, 1 failed" in text
    )


def test_code_that_exits_while_a_sweep_is_planned_is_a_refusal(place):
    code, _, errors = mixexp(place, "-m", *WORDS, ways("constructor", "fine"), faults=True)
    assert code == 2 and errors.startswith("mixexp: _target_ my_faults.Fragile: ") and "sys.exit(0)" in errors
    assert not (place / "outputs").exists()


@pytest.mark.kills
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no fork server")
def test_ctrl_c_while_the_slots_are_not_there_yet_is_as_quiet_as_later(place):
    (place / "first").mkdir()
    (place / "first" / "sitecustomize.py").write_text(  # the fork server takes its time
        "import os, sys, time\nfrom pathlib import Path\n"
        "if 'multiprocessing.forkserver' in ' '.join(sys.orig_argv):\n"
        "    parent = os.getppid()\n"
        "    Path('serving').touch()\n"
        "    while os.getppid() == parent:\n"
        "        time.sleep(0.01)\n"
        "    os._exit(0)\n"
    )
    process = begin(place, "-m", *WORDS, "seed=0,1", path=str(place / "first"))
    until(lambda: (place / "serving").exists() and folders(place / "outputs" / "runs"), process)
    time.sleep(0.5)  # by now it waits for its first slot; if not, what follows holds as well
    os.killpg(process.pid, signal.SIGINT)
    code, _, errors = end(process)
    assert code == 130 and errors == STOPPED


# --- stops from outside ---


@pytest.mark.kills
def test_what_is_stopped_in_any_way_goes_on_from_its_checkpoint(place):
    words = (*BASE, "epochs=40", "checkpoint_seconds=1000")  # so that it is a stop that leaves one
    both = ("-m", *words, ways("slow_1", "slow_2"), "runs_per_device=2")
    sweep = place / "outputs" / "runs"

    def evaluations(way: str) -> int:
        folder = folders(sweep).get(way, sweep)
        return len(table(folder)) - 1 if (folder / "metrics.csv").exists() else 0

    def stopped(stop: Callable[[int, int], None], number: int, *words: str) -> tuple[int, str, str]:
        """Stop a command by a signal once its runs have come further than before."""
        names = [way for way in ("slow_1", "slow_2") if way in words[-2] + words[-1]]
        known = {way: evaluations(way) for way in names}
        process = begin(place, *words, faults=True)
        until(lambda: all(evaluations(way) > known[way] for way in names), process)
        stop(process.pid, number)
        return end(process)

    measured: dict[str, list[list[str]]] = {"slow_1": [], "slow_2": []}
    # Ctrl-C and batch systems signal every process, `kill` one; a closed terminal sends SIGHUP
    for stop, number in ((os.killpg, signal.SIGINT), (os.killpg, signal.SIGTERM), (os.kill, signal.SIGHUP)):
        code, output, errors = stopped(stop, number, *both)
        assert code == 130 and errors == STOPPED
        assert "the runs in progress save their checkpoints" in output
        runs = folders(sweep)
        for way, folder in runs.items():
            assert (folder / "checkpoint.pt").exists() and not (folder / "error.txt").exists()
            assert table(folder)[: len(measured[way])] == measured[way] != table(folder), "what was measured stays"
            measured[way] = table(folder)
        code, output, _ = mixexp(place, "status", str(sweep))
        assert code == 0 and output.count(" interrupted ") == 2 and output.count("continues from its checkpoint") == 2
    first = {way: facts(folder)["continued_at_step"] for way, folder in runs.items()}
    assert min(first.values()) >= 6, "the second sweep went on from the first one's checkpoints"

    # killed without a word, it leaves its claim, which nobody must wait for
    code, output, errors = stopped(os.kill, signal.SIGKILL, *words, "loss.way=slow_1")
    assert code == -signal.SIGKILL
    second = facts(runs["slow_1"])["continued_at_step"]
    assert second > first["slow_1"]

    code, output, errors = mixexp(place, "-m", *words, ways("slow_1", "slow_2", "undisturbed"), "runs_per_device=2")
    assert code == 0 and errors == "" and "3 runs, 3 done (0 of them before), 0 diverged, 0 failed" in output
    runs = folders(sweep)
    continued = {way: facts(folder)["continued_at_step"] for way, folder in runs.items()}
    assert continued["slow_1"] == second and continued["slow_2"] > first["slow_2"] and continued["undisturbed"] == 0
    assert all(f"goes on at step {step} of 240" in output for step in continued.values() if step)
    assert {way: table(folder) for way, folder in runs.items()} == dict.fromkeys(runs, table(runs["undisturbed"]))
    assert len(table(runs["undisturbed"])) == 41
    assert not [*sweep.rglob("*.part"), *sweep.rglob("checkpoint.pt")]


# --- files that lie there ---


class Refused:
    """What reads it with an ordinary unpickler makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def cut(length: float) -> Callable[[Path], object]:
    """Leaves so many bytes of a file, that fraction of it, or all but so many."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(length * len(content)) if 0 < length < 1 else int(length)])

    return damage


def instead(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def remade(changed: dict[str, str], **more: Any) -> Callable[[Path], object]:
    """Writes a checkpoint again as whole as it was, with another origin or with other content."""

    def damage(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        made_by = state.pop("made_by")
        Checkpoint(path, {**made_by, **changed}, 0).save({**state, **more})

    return damage


def flipped(path: Path) -> None:
    """One bit of one weight is another."""
    weights = max(torch.load(path, weights_only=True)["network"].values(), key=torch.numel)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(weights.untyped_storage())) + 3] ^= 0x01
    path.write_bytes(content)


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "whole": (lambda path: None, f"goes on at step {FAULT_STEP - 1} of 24"),
    "empty": (cut(0), "cannot be read"),
    "byte": (cut(1), "cannot be read"),
    "half": (cut(0.5), "cannot be read"),
    "tail": (cut(-1), "cannot be read"),
    "text": (instead(b"not a checkpoint\n"), "cannot be read"),
    "zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "cannot be read"),
    "weight": (flipped, "cannot be read"),
    "code": (remade({"code": "other"}), "was made with code other instead of"),
    "torch": (remade({"torch": "1.0"}), "was made with torch 1.0 instead of"),
    "gone": (Path.unlink, ""),
}
"""What happens to a checkpoint, and what is said of it."""

FINISHED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "half": ("result.json", cut(0.5), "result.json cannot be read"),
    "empty": ("result.json", cut(0), "result.json cannot be read"),
    "list": ("result.json", instead(b"[1, 2]"), "result.json cannot be read"),
    "other": ("result.json", instead(b'{"outcome": "won"}'), "result.json has the outcome 'won'"),
    "word": (
        "result.json",
        lambda path: path.write_text(path.read_text().replace("finished", "won")),
        "result.json has the outcome 'won'",
    ),
    "line": (
        "metrics.csv",
        lambda path: path.write_text("".join(path.open().readlines()[:-1])),
        "metrics.csv has 3 of 4 evaluations",
    ),
    "tail": ("metrics.csv", cut(-3), "metrics.csv cannot be read"),
    "head": ("metrics.csv", cut(10), "metrics.csv cannot be read"),
    "none": ("metrics.csv", cut(0), "metrics.csv cannot be read"),
    "gone": ("metrics.csv", Path.unlink, "metrics.csv is missing"),
}
"""What happens to which file of a finished run, and what is said of it."""


def test_damaged_files_never_give_a_wrong_result(place):
    began = [f"raise_{name}" for name in (*CHECKPOINTS, "refused", "csv", "nocsv")]
    over = [f"ok_{name}" for name in (*FINISHED, "result", "whole")]
    words = ("-m", *WORDS, ways(*began, *over), "checkpoint_seconds=0")
    sweep = place / "outputs" / "runs"
    code, output, errors = mixexp(place, *words, faults=True)
    assert code == 1 and f"{len(over)} done" in output, errors
    runs = folders(sweep)
    good = table(runs["ok_whole"])
    assert len(good) == 5 and all(table(runs[way]) == good for way in over)

    expected: dict[str, str] = {}
    for name, (damage, said) in CHECKPOINTS.items():
        damage(runs[f"raise_{name}"] / "checkpoint.pt")
        expected[f"raise_{name}"] = said
    remade({}, rows=Refused(place / "made"))(runs["raise_refused"] / "checkpoint.pt")
    expected["raise_refused"] = "cannot be read"
    cut(-3)(runs["raise_csv"] / "metrics.csv")
    (runs["raise_nocsv"] / "metrics.csv").unlink()
    for way in began:  # as if they had been interrupted by a power failure and not by an error
        (runs[way] / "error.txt").unlink()
    for name, (file, damage, said) in FINISHED.items():
        damage(runs[f"ok_{name}"] / file)
        expected[f"ok_{name}"] = f"damaged: {said}"
    (runs["ok_result"] / "result.json").unlink()
    damaged = {
        (way, file): runs[way] / file for way, file in ((f"ok_{name}", file) for name, (file, *_) in FINISHED.items())
    }
    content = {key: path.read_bytes() if path.exists() else None for key, path in damaged.items()}
    _, output, _ = mixexp(place, "status", str(sweep))
    assert output.count(" damaged ") == len(FINISHED) and output.count(" interrupted ") == len(began) + 1

    before = stamps(runs["ok_whole"])
    code, output, errors = mixexp(place, *words)
    assert code == 0 and f"{len(runs)} runs, {len(runs)} done (1 of them before), 0 diverged, 0 failed" in output, (
        errors
    )
    unlike = [way for way in runs if table(runs[way]) != good]
    unsaid = [
        way
        for way, said in expected.items()
        if not any(f"{way}: " in line and said in line for line in output.splitlines())
    ]
    assert (unlike, unsaid) == ([], []), output
    assert stamps(runs["ok_whole"]) == before
    afresh = {way for way in began if facts(runs[way])["continued_at_step"] == 0}
    assert set(began) - afresh == {"raise_whole", "raise_csv", "raise_nocsv"}
    assert not (place / "made").exists(), "a checkpoint must not run code"
    for (way, file), path in damaged.items():
        kept = path.with_name(f"{file}.damaged")
        assert (kept.read_bytes() if kept.exists() else None) == content[way, file]


# --- two writers ---


def test_two_sweeps_share_a_folder_and_do_nothing_twice(place):
    words = ("-m", *WORDS, ways("gate", "a", "b", "c", "d"), "seed=0,1")
    both = [begin(place, *words, faults=True) for _ in range(2)]
    until(
        lambda: len(list(place.glob("gate.*"))) == 2, both[0]
    )  # the two runs at the gate are being trained, by whichever sweep

    sweep = place / "outputs" / "runs"
    (gate,) = [folder for label, folder in folders(sweep).items() if label == "gate seed=0"]
    before = stamps(gate)
    code, output, errors = mixexp(place, *WORDS, "loss.way=gate", "seed=0")
    assert code == 1 and errors == f"mixexp: {gate}: another process is working on this run\n"
    assert stamps(gate) == before
    _, output, _ = mixexp(place, "status", str(sweep))
    assert output.count(" running ") >= 2

    (place / "go").touch()
    for code, output, errors in map(end, both):
        assert code == 0 and errors == "" and "10 runs, 10 done" in output and " 0 failed" in output
    runs = folders(sweep)
    for seed in (0, 1):
        of_seed = {label: table(folder) for label, folder in runs.items() if label.endswith(f"seed={seed}")}
        assert len(of_seed) == 5 and of_seed == dict.fromkeys(of_seed, of_seed[f"a seed={seed}"])
    assert table(runs["a seed=0"]) != table(runs["a seed=1"]) and len(table(runs["a seed=0"])) == 5
    assert {path.name: path.stat().st_size for path in place.glob("steps.*")} == {
        f"steps.{way}": 2 * 24 for way in ("gate", *"abcd")
    }


# --- the disk ---


@pytest.mark.kills
def test_a_full_disk_costs_the_runs_that_it_stops(place):
    (place / "small").mkdir()
    with mounted(place / "small", "size=160k") as made:
        if not made:
            pytest.skip("mounting a small file system is not permitted here")
        names = [f"w{number}" for number in range(8)]
        words = ("-m", *WORDS, ways(*names), "output_dir=small", "checkpoint_seconds=0", "runs_per_device=1")
        sweep = place / "small" / "runs"

        # the disk fills as the runs come: first there is no room for a checkpoint any more, at last none for any file
        code, output, errors = mixexp(place, *words)
        runs = folders(sweep)
        done = [way for way in names if (runs[way] / "result.json").exists()]
        failed = [way for way in names if way not in done]
        assert code == 1 and done == names[: len(done)] and done and failed
        assert f"{len(failed)} of 8 runs failed" in errors and "Traceback" not in errors
        rows = [line for line in errors.splitlines() if "loss.way=" in line]
        assert len(rows) == len(failed) and all("No space left on device" in row for row in rows)
        assert not list(sweep.rglob("*.part")), "half a file takes the room that the next one needs"
        before = {way: stamps(runs[way]) for way in done}

        with contextlib.suppress(OSError), (place / "small" / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))
        code, output, errors = mixexp(place, *words, "seed=1")
        assert code != 0 and "No space left on device" in errors and "Traceback" not in errors

        subprocess.run(["mount", "-o", "remount,size=10m", str(place / "small")], check=True)
        code, output, errors = mixexp(place, *words, "retry=failed")
        assert code == 0 and f"8 runs, 8 done ({len(done)} of them before), 0 diverged, 0 failed" in output, errors
        assert {way: stamps(runs[way]) for way in done} == before
        assert {way: table(runs[way]) for way in names} == dict.fromkeys(names, table(runs[done[0]]))
        assert len(table(runs[done[0]])) == 5
