"""Sweeps killed with SIGKILL at random moments, rerun until they are finished, and compared with one that nothing
disturbed.

A round is one sweep in a folder of its own, started again and again. Every attempt is killed at moments drawn over its
whole life, by the measure of the undisturbed sweep: while it starts, while runs load, and while they train, keep
checkpoints and finish. The victim is the parent, one of its descendants (a slot, the fork server, multiprocessing's
resource tracker), or all of them at once. A sweep survives its descendants, so one attempt can be hit several times;
what failed so is tried again with retry=failed. A round that is finished before the kills are used up is followed by
another.

In the end every run must be there once and equal that of the undisturbed sweep in all that is not a clock: every figure
of its CSVs and its result, bit for bit, and its weights. A run that has finished must never change again.

    python tests/chaos/kill_sweeps.py                      100 kills, about a quarter of an hour on two busy cores
    python tests/chaos/kill_sweeps.py --kills 10 --seed 1 --keep kills

Linux alone: processes are found in /proc, and elsewhere there is no fork server to kill.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mixexp.training.reader import load_state, read_environment, run_folders

SWEEP = (
    "mix=none,mixup,bc",
    "seed=0,1",
    "epochs=15,30",
)  # of two lengths: a longer run may start where a shorter one ended
SETTING = (
    *("dataset=digits", "augment=standard", "validation=0.1", "model=small_cnn", "model.width=4"),
    *("device=cpu", "runs_per_device=2", "keep_checkpoint=true"),
)
NAME = "runs"
CHECKPOINT_SECONDS = (0, 0.2, 60)  # after every step, now and then, never: it is not a part of what a run is
FINAL = (
    "result.json",
    "metrics.csv",
    "confusion.csv",
    "checkpoint.pt",
    "environment.json",
)  # all there when result.json is

# weights to draw by; an attempt costs seconds, and the death of a descendant does not end it
VICTIMS = {"parent": 1, "descendant": 6, "whole tree": 1}
DESCENDANTS = {"slot": 4, "fork server": 1, "resource tracker": 1}
PHASES = {"start-up": 2, "loading": 2, "training": 9, "finishing": 3}  # of an attempt, that its first kill waits for
LATER = {
    "training": 3,
    "finishing": 1,
}  # that a further one waits for, while slots that take the place of dead ones load

LIMIT_SECONDS = 300.0  # a sweep of seconds that lasts so long hangs
LEAVING_SECONDS = 30.0  # for processes to notice that their parent is dead
FINISHING_SECONDS = 0.1  # the last files of a run are written in less
LOOK_SECONDS = 0.02

START_UP, LOADING, AFRESH, KEPT, CHECKPOINT, OTHER_FILE, FINISHING = STATES = (
    *("start-up", "loading or idle", "training, nothing kept", "training, checkpoint kept"),
    *("writing a checkpoint", "writing another file", "finishing"),
)


# -- sweeps and their processes


@dataclass
class Attempt:
    """One start of a sweep, in a session of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float

    def over(self) -> bool:
        """Whether the parent has ended."""
        return self.process.poll() is not None


@contextlib.contextmanager
def started(
    folder: Path, sweep: Sequence[str], log: Path, checkpoint_seconds: float = 60, again: bool = False
) -> Iterator[Attempt]:
    """Start a sweep whose runs go to `folder`; what is left of it in the end is killed. again: what failed before is
    tried again."""
    words = [
        *SETTING,
        *sweep,
        f"output_dir={folder.parent}",
        f"name={folder.name}",
        f"checkpoint_seconds={checkpoint_seconds}",
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "mixexp", "-m", *words, *(["retry=failed"] if again else [])],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Attempt(process, log, time.monotonic())
    finally:
        for pid in alive(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def alive(session: int) -> dict[int, str]:
    """The kind of every live process of a session, orphans too."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            state, parent, _, its_session, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(its_session) == session and state not in "ZX":
                found[int(folder.name)] = _kind(
                    int(folder.name), int(parent), session, (folder / "cmdline").read_text()
                )
    return found


def _kind(pid: int, parent: int, session: int, command: str) -> str:
    if pid == session:
        return "parent"
    if "multiprocessing.resource_tracker" in command:
        return "resource tracker"
    if "multiprocessing.forkserver" in command:  # a slot is its fork and has its command line
        return "fork server" if parent == session else "slot"
    return "helper"


def phase(attempt: Attempt, folder: Path) -> str:
    """How far an attempt is: one of PHASES."""
    slots = [pid for pid, kind in alive(attempt.process.pid).items() if kind == "slot"]
    if not slots:
        return "start-up"
    runs = [run for run in run_folders(folder) if read_environment(run).get("process") in slots]
    if any((run / "confusion.csv").exists() and not (run / "result.json").exists() for run in runs):
        return "finishing"
    return "training" if runs else "loading"


def reach(wanted: str, attempt: Attempt, folder: Path) -> float:
    """Wait until an attempt is so far or over; returns how long it lives by then."""
    order = list(PHASES)
    while not attempt.over() and order.index(phase(attempt, folder)) < order.index(wanted):
        if time.monotonic() > attempt.started + LIMIT_SECONDS:
            break
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - attempt.started


def end(attempt: Attempt, problems: list[str]) -> int | None:
    """Wait until a sweep and all that it started have ended; returns the parent's exit code, None where it hangs."""
    try:
        code = attempt.process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        problems.append(f"{attempt.log.name}: the sweep hangs")
        return None
    until = time.monotonic() + LEAVING_SECONDS
    while (left := alive(attempt.process.pid)) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    problems += [f"{attempt.log.name}: a process outlives the sweep: {kind}" for kind in left.values()]
    if code not in (0, 1, -signal.SIGKILL) or b"Traceback" in attempt.log.read_bytes():
        problems.append(f"{attempt.log.name}: the sweep broke, exit code {code}: {_last_line(attempt.log)}")
    return code


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


# -- what is seen of a sweep while it is disturbed


@dataclass
class Watch:
    """A sweep's folder under observation: finished runs must stay as they are."""

    folder: Path
    problems: list[str] = field(default_factory=list)
    begun: dict[tuple[str, int, str], int] = field(default_factory=dict)
    """The step that each training of a run began at, by run, process and time."""
    finished: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    """What tells the files of each finished run from any written later."""

    def look(self) -> None:
        """Take down what is there now; what has changed in a finished run is a problem."""
        for name, before in self.finished.items():
            now = _stamps(self.folder / name)
            for changed in [file for file in FINAL if before[file] != now[file]]:
                self.problems.append(
                    f"{name}: {changed} of the finished run {'has changed' if now[changed] else 'is gone'}"
                )
            before.update(now)
        for run in run_folders(self.folder):
            environment = read_environment(run)
            if environment:
                self.begun[run.name, environment["process"], environment["started"]] = environment["continued_at_step"]
            if run.name not in self.finished and (run / "result.json").exists():
                self.finished[run.name] = _stamps(run)


def _stamps(run: Path) -> dict[str, tuple[int, ...]]:
    return {name: _stamp(run / name) for name in FINAL}


def _stamp(path: Path) -> tuple[int, ...]:
    with contextlib.suppress(OSError):
        about = path.stat()
        return (about.st_ino, about.st_mtime_ns, about.st_size)
    return ()


def state_of(pid: int, folder: Path) -> str:
    """What a slot does, or did when it was killed: one of STATES, read off the files of the run it is at."""
    for run in run_folders(folder):
        if (run / "result.json").exists():
            continue
        writing = [path.name.removesuffix(f".{pid}.part") for path in run.glob(f"*.{pid}.part")]
        if writing:
            return CHECKPOINT if writing == ["checkpoint.pt"] else OTHER_FILE
        if read_environment(run).get("process") == pid:
            if (run / "confusion.csv").exists():
                return FINISHING
            return KEPT if (run / "checkpoint.pt").exists() else AFRESH
    return LOADING


# -- killing


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, or one to a whole tree: who was hit, and what the runs that died of it did."""

    victim: str
    states: tuple[str, ...]


@dataclass(frozen=True)
class Clock:
    """How long an undisturbed sweep takes here until its first slot, from there until a run trains, and for a run."""

    start_up: float
    loading: float
    run: float

    def span(self, phase: str) -> float:
        """The seconds after a phase has been reached in which a kill may fall."""
        spans = {
            "start-up": self.start_up,
            "loading": self.loading,
            "training": self.run,
            "finishing": FINISHING_SECONDS,
        }
        return spans[phase]


def draw(rng: random.Random, weights: Mapping[str, int]) -> str:
    """A key, by weight."""
    return rng.choices(list(weights), list(weights.values()))[0]


def strike(attempt: Attempt, folder: Path, rng: random.Random) -> Kill | None:
    """Kill somebody alive; None where the parent has ended by itself."""
    victim = draw(rng, VICTIMS)
    kind = draw(rng, DESCENDANTS)
    there = alive(attempt.process.pid)
    session, at_work = attempt.process.pid, [pid for pid, kind in there.items() if kind == "slot"]
    if session not in there:
        return None
    if victim == "descendant":
        others = sorted({other for other in there.values() if other in DESCENDANTS})
        victim = kind if kind in others else rng.choice(others or ["parent"])  # in its first moments it has none
    if victim == "whole tree":
        os.killpg(session, signal.SIGKILL)
        hit = at_work
    else:
        pid = rng.choice(sorted(pid for pid, kind in there.items() if kind == victim))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        hit = {"parent": at_work, "slot": [pid]}.get(victim, [])
    if victim in ("whole tree", "parent") and attempt.process.wait() != -signal.SIGKILL:
        return None  # it had just ended by itself
    states = [state_of(pid, folder) for pid in hit]
    return Kill(victim, tuple(states) if at_work else (START_UP,))


def disturb(attempt: Attempt, watch: Watch, rng: random.Random, clock: Clock, wanted: int) -> list[Kill]:
    """Kill up to so many times, until the sweep's parent is dead or has ended by itself."""
    kills: list[Kill] = []
    while len(kills) < wanted:
        wanted_phase = draw(rng, LATER if kills else PHASES)
        reach(wanted_phase, attempt, watch.folder)
        until = time.monotonic() + rng.uniform(0, clock.span(wanted_phase))
        while time.monotonic() < until and not attempt.over():
            time.sleep(LOOK_SECONDS)
        kill = None if attempt.over() else strike(attempt, watch.folder, rng)
        if kill is None:
            break
        kills.append(kill)
        watch.look()
    return kills


@dataclass
class Round:
    """One sweep, from its first start to its end: the kills it took and how its attempts ended."""

    watch: Watch
    kills: list[Kill] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


def undisturbed(folder: Path, sweep: Sequence[str]) -> tuple[Clock, list[str]]:
    """Run the sweep that the others are compared with; returns its pace and what went wrong."""
    problems: list[str] = []
    with started(folder, sweep, folder.with_name(f"{folder.name}.log")) as attempt:
        start_up, begun = reach("loading", attempt, folder), reach("training", attempt, folder)
        if end(attempt, problems) != 0:
            problems.append(f"{attempt.log.name}: the undisturbed sweep failed: {_last_line(attempt.log)}")
    seconds = [load_state(run).result.get("seconds", 0.0) for run in run_folders(folder)]
    return Clock(start_up, begun - start_up, statistics.mean(seconds or [0.0])), problems


def one_round(folder: Path, sweep: Sequence[str], rng: random.Random, clock: Clock, wanted: int) -> Round:
    """Start a sweep and kill it, again and again, until it is finished; when it has been killed so often, leave it in
    peace."""
    found = Round(Watch(folder))
    for number in range(wanted + 1):  # every attempt but the last is hit at least once
        log = folder.with_name(f"{folder.name}.attempt_{number:03d}.log")
        with started(folder, sweep, log, rng.choice(CHECKPOINT_SECONDS), again=number > 0) as attempt:
            kills = disturb(attempt, found.watch, rng, clock, wanted - len(found.kills))
            code = end(attempt, found.watch.problems)
        found.watch.look()
        found.kills += kills
        found.ends["done" if code == 0 else "some runs failed" if code == 1 else "killed"] += 1
        if code == 1 and not any(kill.victim == "slot" for kill in kills):
            found.watch.problems.append(f"{log.name}: runs failed although none was killed: {_last_line(log)}")
        if code in (0, None) or not kills:
            break
    return found


# -- comparing


def compare(reference: Path, folder: Path) -> list[str]:
    """All in which a sweep differs from the undisturbed one, clocks apart, and what should not have been left
    behind."""
    expected, there = ({run.name for run in run_folders(each)} for each in (reference, folder))
    problems = [f"{name}: the run is lost" for name in sorted(expected - there)]
    problems += [f"{name}: no such run in the undisturbed sweep" for name in sorted(there - expected)]
    for name in sorted(expected & there):
        problems += [f"{name}: {problem}" for problem in _compare_runs(reference / name, folder / name)]
    return problems


def _compare_runs(reference: Path, run: Path) -> Iterator[str]:
    for each in (reference, run):
        state = load_state(each)
        if state.outcome != "finished":
            yield f"{state.outcome}: {state.problem}"
            return
    for name, read in (
        ("metrics.csv", _rows),
        ("confusion.csv", _rows),
        ("result.json", lambda path: _without_clocks(json.loads(path.read_text()))),
        ("checkpoint.pt", lambda path: _without_clocks(torch.load(path, weights_only=True))),
    ):
        try:
            expected, found = read(reference / name), read(run / name)
        except Exception as error:  # whatever a missing, cut or damaged file makes its reader raise
            yield f"{name} cannot be read: {error}"
        else:
            places = list(_differences(expected, found))
            if places:
                yield f"{name} differs: {places[0]}" + (f", and in {len(places) - 1} more places" if places[1:] else "")
    left = [path.name for path in run.iterdir() if path.suffix in (".part", ".damaged") or path.name == "error.txt"]
    yield from (f"{name} is left behind" for name in sorted(left))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return _without_clocks(list(csv.DictReader(file)))


def _without_clocks(value: Any) -> Any:
    """The same without what tells time or, in a checkpoint, by what it was made."""
    if isinstance(value, Mapping):
        return {key: _without_clocks(inner) for key, inner in value.items() if key not in ("seconds", "made_by")}
    return [_without_clocks(inner) for inner in value] if isinstance(value, list) else value


def _differences(expected: Any, found: Any, where: str = "") -> Iterator[str]:
    """Every place in which two nested values are not the same to the bit."""
    if type(expected) is not type(found):
        yield f"{where}: {type(expected).__name__}, now {type(found).__name__}"
    elif isinstance(expected, torch.Tensor):
        if expected.dtype != found.dtype or not torch.equal(expected, found):
            yield where
    elif isinstance(expected, (Mapping, list)):
        keys = (
            expected.keys() | found.keys() if isinstance(expected, Mapping) else range(max(len(expected), len(found)))
        )
        for key in sorted(keys, key=str):
            try:
                pair = expected[key], found[key]
            except (KeyError, IndexError):
                yield f"{where} {key}: there in one of them alone".strip()
            else:
                yield from _differences(*pair, f"{where} {key}".strip())
    elif expected != found:
        yield f"{where}: {expected}, now {found}"


# -- telling


def as_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell."""
    texts = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in texts)


def kills_table(kills: Sequence[Kill]) -> str:
    """Who was killed how often, and in which state the runs were that died of it."""
    found = {
        victim: [kill for kill in kills if kill.victim == victim] for victim in ("parent", *DESCENDANTS, "whole tree")
    }
    rows = []
    for victim, its in {**found, "all": kills}.items():
        states = Counter(state for kill in its for state in kill.states)
        rows.append([victim, len(its), *(states[state] or "-" for state in STATES)])
    return as_table(["victim", "kills", *STATES], rows)


def rounds_table(rounds: Sequence[Round]) -> str:
    """What each round's sweep went through until it was finished."""
    rows = []
    for number, one in enumerate(rounds, start=1):
        last = {run: step for (run, _, started), step in sorted(one.watch.begun.items(), key=lambda item: item[0][2])}
        continued = sum(step > 0 for step in one.watch.begun.values())
        counts = [one.ends[word] for word in ("killed", "some runs failed", "done")]
        begun = [len(one.watch.begun) - continued, continued]
        ended = [len(one.watch.finished), sum(last[run] > 0 for run in one.watch.finished)]
        rows.append([number, len(one.kills), one.ends.total(), *counts, *begun, *ended])
    attempts = ["attempts", "killed", "some runs failed", "done"]
    return as_table(["round", "kills", *attempts, "begun afresh", "continued", "finished", "of them continued"], rows)


def kill_sweeps(
    folder: Path, sweep: Sequence[str], kills: int, seed: int, say: Callable[[str], object] = print
) -> tuple[list[Round], list[str]]:
    """The whole test in an empty folder: rounds until there have been so many kills or one has gone wrong, and all that
    is wrong."""
    rng = random.Random(seed)
    clock, problems = undisturbed(folder / "undisturbed" / NAME, sweep)
    say(f"undisturbed: {clock.start_up:.1f} s start-up, {clock.loading:.1f} s loading, {clock.run:.1f} s a run")
    rounds: list[Round] = []
    while not problems and (left := kills - sum(len(one.kills) for one in rounds)) > 0:
        name = f"round_{len(rounds) + 1:02d}"
        rounds.append(one_round(folder / name / NAME, sweep, rng, clock, left))
        found = [*rounds[-1].watch.problems, *compare(folder / "undisturbed" / NAME, folder / name / NAME)]
        problems += [f"{name}: {problem}" for problem in found]
        say(f"{name}: {len(rounds[-1].kills)} kills, {rounds[-1].ends.total()} attempts, {len(found)} problems")
    return rounds, problems


def main(words: Sequence[str] | None = None) -> int:
    """Kill, compare and tell; the exit code is 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and victims (default 0)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all folders and logs in this new folder")
    arguments = parser.parse_args(words)
    if not Path("/proc/self/stat").exists():
        parser.error("no /proc here to find processes in")
    if arguments.keep is not None and arguments.keep.exists():
        parser.error(f"--keep: {arguments.keep} is there already")
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rounds, problems = kill_sweeps(
            folder.absolute(), SWEEP, arguments.kills, arguments.seed, lambda text: print(text, flush=True)
        )
    kills = [kill for one in rounds for kill in one.kills]
    print(
        f"\n{len(kills)} kills in {(time.monotonic() - began) / 60:.1f} min; the columns count the runs that a kill cut"
        " short\n"
    )
    print(f"{kills_table(kills)}\n\n{rounds_table(rounds)}\n")
    print("\n".join(problems) or f"no difference from the undisturbed sweep in {len(rounds)} rounds")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
