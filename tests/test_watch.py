"""`mixexp status --watch`, on a terminal and off it, beside a sweep that runs."""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import begin
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from test_status import begun, ended, held, one_of_each, planned, row

from mixexp.cli import COMMANDS
from mixexp.errors import UserError
from mixexp.sweeping import watch as watching
from mixexp.sweeping.screen import URGENCY, frame
from mixexp.sweeping.status import RunStatus, State, at_work, keep_plan, status
from mixexp.sweeping.watch import Watched, block, seconds_between, watch

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def drawn(watched: Sequence[Watched], width: int, height: int) -> list[str]:
    """The lines that folders have on a terminal of so many columns and lines."""
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    lines = console.render_lines(frame([block(folder) for folder in watched], height), pad=False)
    return ["".join(part.text for part in line).rstrip() for line in lines]


def looked(watched: Watched, width: int, height: int) -> list[str]:
    """The same of one folder, after another look at it."""
    watched.scan()
    return drawn([watched], width, height)


def watching_of(folder: Path | str, runs: Sequence[RunStatus]) -> Watched:
    """A folder in which these runs have been seen."""
    watched = Watched(Path(folder))
    watched.runs = list(runs)
    return watched


def states(folder: Path) -> dict[str, str]:
    return {one.run.name: one.state for one in Watched(folder).scan()}


class Terminal:
    """A command on a terminal of its own, with all that it wrote there."""

    def __init__(
        self, folder: Path, *words: str, command: Sequence[str] = ("status", "--watch"), rows: int = 20, width: int = 80
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, width)
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")} | {
            "TERM": "xterm"
        }
        command = [sys.executable, "-m", "mixexp", *command, *words]
        self.process = subprocess.Popen(  # the terminal is its own, so that Ctrl-C on it reaches it
            command,
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.text = ""

    def resize(self, rows: int, width: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, width, 0, 0))

    def until(self, pattern: str, since: int = 0, seconds: float = 60.0) -> int:
        """Read until what was written after a place holds a pattern; the place where the text ends."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text[since:], re.DOTALL):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.text[since:]!r}"
            self._read()
        return len(self.text)

    def ended(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + 240  # a sweep on a machine with other work takes minutes to import torch
        with contextlib.suppress(OSError):
            while True:
                assert time.monotonic() < deadline, f"it does not end after {self.text[-500:]!r}"
                self._read()
        return self.process.wait(timeout=30)

    def _read(self) -> None:
        if select.select([self.master], [], [], 0.1)[0]:
            if not (found := os.read(self.master, 65536)):
                raise OSError("the terminal is closed")
            self.text = re.sub(r"\x1b\[[\d;]*m", "", self.text + found.decode())  # colours say nothing more
        elif self.process.poll() is not None:
            raise OSError("the process has ended")

    @property
    def pictures(self) -> list[list[str]]:
        """Every whole picture drawn, as lines."""
        pictures = self.text.partition(ENTER)[2].partition(LEAVE)[0].split("\x1b[H")
        pictures = [re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", picture).split("\r\n") for picture in pictures]
        return [[line.rstrip() for line in picture] for picture in pictures if picture != [""]]


@pytest.fixture
def terminal(tmp_path) -> Iterator[Any]:
    begun_ones = []

    def begin(*words: str, **size: Any) -> Terminal:
        begun_ones.append(Terminal(tmp_path, *words, **size))
        return begun_ones[-1]

    yield begin
    for one in begun_ones:
        with contextlib.suppress(ProcessLookupError):
            one.process.kill()
        one.process.wait()
        os.close(one.master)


@pytest.fixture
def sweep_at_work(tmp_path) -> Iterator[None]:
    """A sweep in the folder "sweep" whose process lives."""
    with at_work(tmp_path / "sweep", "sweep"):
        yield


def test_a_plan_made_later_names_a_run_that_is_over(tmp_path):
    ended(tmp_path / "old")
    about = tmp_path / "old" / "environment.json"
    about.write_text(json.dumps({key: value for key, value in json.loads(about.read_text()).items() if key != "label"}))
    watched = Watched(tmp_path)
    assert [one.run.label for one in watched.scan()] == [""]
    keep_plan(tmp_path, 1, [planned("old", label="mix=mixup")], 1)
    assert [one.run.label for one in watched.scan()] == ["mix=mixup"]


# --- what is drawn ---

labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
seens = st.lists(
    st.builds(lambda state, label, part: (state, label, part), st.sampled_from(State), labels, st.floats(0, 1)),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(found=st.lists(seens, min_size=1, max_size=4), width=st.integers(1, 120), height=st.integers(1, 40))
def test_a_picture_fits_its_screen_and_counts_everybody(found, width, height):
    seen = [
        [RunStatus(planned(f"{n:012d}", label), state, "why", part) for n, (state, label, part) in enumerate(one)]
        for one in found
    ]
    watched = [watching_of(f"nowhere{place}", one) for place, one in enumerate(seen)]
    lines = drawn(watched, width, height)
    assert 1 <= len(lines) <= height
    assert all(cell_len(line) <= width and line.isprintable() for line in lines)
    if height >= len(found):
        wide = drawn(watched, 1000, height)
        assert [line.partition(":")[0] for line in wide if line.startswith("nowhere")] == [
            f"nowhere{place}" for place in range(len(found))
        ]


@settings(max_examples=100, deadline=None)
@given(found=seens.filter(len), height=st.integers(3, 40))
def test_what_runs_and_what_failed_stays_in_sight(found, height):
    seen = [RunStatus(planned(f"{n:012d}"), state, "why", part) for n, (state, _, part) in enumerate(found)]
    total, *lines = drawn([watching_of("nowhere", seen)], 1000, height)
    counts = Counter(one.state for one in seen)
    assert all(f"{count} {state}" in total for state, count in counts.items())
    rest = lines.pop() if lines[-1].startswith("... and ") else ""
    shown = [line.split()[1] for line in lines]
    assert shown == sorted((one.state for one in seen), key=URGENCY.index)[: len(shown)]
    left = Counter({state: int(count) for count, state in re.findall(r"(\d+) (\w+)", rest)})
    assert Counter(shown) + left == counts
    assert not rest or len(lines) == height - 2


def test_a_running_run_has_a_bar_its_accuracy_and_the_age_of_its_last_row(tmp_path):
    begun(tmp_path / "a", rows=(20,)).append(row(40, accuracy=0.8125))
    begun(tmp_path / "b")
    with held(tmp_path / "a"), held(tmp_path / "b"):
        watched = Watched(tmp_path)
        os.utime(tmp_path / "a" / "metrics.csv", (time.time() - 30,) * 2)
        _, first, second = looked(watched, 200, 10)
        assert re.search(r"^a  running  seed=a  \[######\.{10}\]  40%  accuracy 0\.8125, 3\d s ago$", first)
        assert second.endswith("[................]   0%  no evaluation yet")
    keep_plan(tmp_path / "sweep", 1, [planned("a", "mix=mixup alpha=0.2 imbalance.n=100 seed=17")], slots=1)
    (tmp_path / "a").rename(tmp_path / "sweep" / "a")
    with held(tmp_path / "sweep" / "a"):
        watched = Watched(tmp_path / "sweep")
        os.utime(tmp_path / "sweep" / "a" / "metrics.csv", (time.time() - 30,) * 2)
        assert re.search(
            r"^a  running  mix=mixup .{5,10}…  \[.*accuracy 0\.8125, 3\d s ago$", looked(watched, 80, 10)[1]
        )


def test_a_bar_of_a_game_shows_what_it_has(tmp_path):
    columns_of_a_game = {"step": 50, "epoch": 1.0, "lr": 0.1, "modes": 7, "high_quality": 0.5, "seconds": 1.0}
    run = begun(tmp_path / "a")
    (tmp_path / "a" / "metrics.csv").write_text(
        ",".join(columns_of_a_game) + "\n" + ",".join(map(str, columns_of_a_game.values())) + "\n"
    )
    with held(run.path):
        watched = Watched(tmp_path)
        assert "modes 7.0000, high quality 0.5000" in looked(watched, 200, 10)[1]


def test_escapes_in_a_runs_words_do_not_reach_the_terminal(tmp_path):
    begun(tmp_path / "a", label="\x1b[2J\x07evil").fail("RuntimeError: \x1b]0;title\x07\n")
    watched = Watched(tmp_path)
    assert all(line.isprintable() for line in looked(watched, 200, 10))


def test_letters_of_two_columns_and_of_none_take_the_columns_that_a_terminal_gives_them():
    for label in ("研究" * 30, "e\u0301" * 60):
        runs = [RunStatus(planned("a", label), State.FAILED, "why"), RunStatus(planned("b", "x"), State.DONE, "well")]
        _, first, second = drawn([watching_of("nowhere", runs)], 40, 10)
        letters = [letter for letter in first if not unicodedata.combining(letter)]
        width = sum(2 if unicodedata.east_asian_width(letter) == "W" else 1 for letter in letters)
        assert first.endswith("why") and "…" in first and 38 <= width <= 40
        assert width - len("why") == len(second) - len("well"), "what is said of them stands in one column"


# --- what is read ---


def test_every_state_is_the_one_that_status_tells(tmp_path):
    names = one_of_each(tmp_path)
    keep_plan(tmp_path, len(names), [planned(name) for name in names], slots=1)
    with held(tmp_path / "running"):
        told = {line.split()[0]: line.split()[1] for line in status(tmp_path).splitlines() if line.split()[0] in names}
        assert states(tmp_path) == told


def test_what_is_over_is_not_read_again(tmp_path, monkeypatch):
    read: list[str] = []
    real = watching.scan
    monkeypatch.setattr(watching, "scan", lambda folder, runs: read.append(runs[0].name) or real(folder, runs))
    names = one_of_each(tmp_path)
    watched = Watched(tmp_path)
    first = watched.scan()
    assert sorted(read) == sorted(names.keys() - {"missing"})
    read.clear()
    assert watched.scan() == first
    assert not {"done", "diverged", "failed"} & set(read)


def test_a_thousand_finished_runs_cost_no_core(tmp_path):
    """A twentieth of a core at a look every two seconds, on a machine however busy: its own processor time counts."""
    for n in range(1000):
        folder = tmp_path / f"{n:012d}"
        folder.mkdir()
        for name, text in (
            ("config.yaml", "seed: 1\n"),
            ("environment.json", "{}"),
            ("metrics.csv", "step,accuracy\n1,0.5\n"),
        ):
            (folder / name).write_text(text)
        (folder / "result.json").write_text(
            '{"outcome": "finished", "seconds": 1.0, "steps": 1, "last": {"accuracy": 0.5}}'
        )
    watched = Watched(tmp_path)
    assert Counter(one.state for one in watched.scan()) == {"done": 1000}
    began = time.process_time()
    for _ in range(10):
        looked(watched, 100, 40)
    assert (time.process_time() - began) / 10 < 0.1


def test_a_failed_run_that_is_tried_again_is_seen(tmp_path):
    begun(tmp_path / "a", rows=(20,)).fail("RuntimeError: it broke\n")
    watched = Watched(tmp_path)
    assert [one.state for one in watched.scan()] == ["failed"]
    run = begun(tmp_path / "a", rows=(20,))
    with held(tmp_path / "a"):
        assert [one.state for one in watched.scan()] == ["running"]
    run.append(row(100))
    run.finish("finished", 10.0, steps=100)
    assert [one.state for one in watched.scan()] == ["done"]


def test_runs_and_plans_that_come_later_are_seen_and_those_that_go_are_missing(tmp_path):
    watched = Watched(tmp_path / "sweep")
    assert watched.scan() == []
    ended(tmp_path / "sweep" / "a")
    assert [one.state for one in watched.scan()] == ["done"]
    keep_plan(tmp_path / "sweep", 2, [planned("a"), planned("b")], slots=3)
    assert {one.run.name: one.state for one in watched.scan()} == {
        "a": "done",
        "b": "missing",
    } and watched.plans.slots == 3
    (tmp_path / "sweep" / "a").rename(tmp_path / "a")
    assert [one.state for one in watched.scan()] == ["missing", "missing"]


def test_the_time_left_is_judged_by_the_runs_that_finish_meanwhile(tmp_path):
    keep_plan(tmp_path, 2, [planned("a"), planned("b")], slots=1)
    watched = Watched(tmp_path)
    assert "no finished run to judge the time by" in looked(watched, 200, 10)[0]
    ended(tmp_path / "a", seconds=40.0)
    assert "about 40 s left" in looked(watched, 200, 10)[0]


# --- on a terminal ---


def test_a_sweep_is_watched_from_before_it_begins_to_its_end(terminal, tmp_path):
    screen = terminal("0.2", "outputs/runs", rows=8, width=90)
    screen.until("no run yet, waiting for one")
    words = ("-m", "seed=0,1", "model.width=2", "epochs=300", "subset=head", "subset.n=200", "runs_per_device=1")
    with (tmp_path / "said").open("w") as said:
        sweep = begin(*words, cwd=tmp_path, output=said)
    screen.until(r"running  seed=0  \[#+\.+\] +\d+%  accuracy 0\.\d{4}, \d+ s ago")
    place = screen.until("1 running, 1 missing")
    screen.resize(30, 120)
    screen.until(r"seed=1", since=place)
    assert screen.ended() == 0
    assert sweep.wait(60) == 0
    left = screen.text.partition(LEAVE)[2]
    assert re.search(
        r"outputs/runs: 2 runs: 2 done\r\n.*done  seed=0  accuracy.*done  seed=1  accuracy 0\.\d{4}\r\n$",
        left,
        re.DOTALL,
    )
    assert len(screen.pictures) > 3 and all(
        len(one) <= 30 and all(cell_len(line) <= 120 for line in one) for one in screen.pictures
    )


def test_another_size_is_drawn_at_once_and_ctrl_c_ends_it_quietly(terminal, tmp_path, sweep_at_work):
    for n in range(30):
        begun(tmp_path / "sweep" / f"{n:012d}", rows=(20,))
    screen = terminal("60", "sweep", rows=10, width=50)
    place = screen.until(r"\.\.\. and 22 interrupted")
    assert all(len(one) == 10 and all(cell_len(line) <= 50 for line in one) for one in screen.pictures)
    screen.resize(6, 30)
    screen.until(r"\.\.\. and 26 interrupted", since=place, seconds=20)
    assert all(len(screen.pictures[-1]) == 6 and cell_len(line) <= 30 for line in screen.pictures[-1])
    assert any("…" in line for line in screen.pictures[-1])
    os.write(screen.master, b"\x03")
    assert screen.ended() == 0
    assert "Traceback" not in screen.text and "stopped" not in screen.text
    assert screen.text.count(ENTER) == screen.text.count(LEAVE) == 1 and "\x1b[?25h" in screen.text


def test_a_terminal_is_left_as_it_was_when_the_process_is_told_to_end(terminal, tmp_path, sweep_at_work):
    begun(tmp_path / "sweep" / "a")
    screen = terminal("sweep")
    screen.until("1 interrupted")
    screen.process.send_signal(signal.SIGTERM)
    assert screen.ended() == 128 + signal.SIGTERM
    assert screen.text.count(LEAVE) == 1 and "Traceback" not in screen.text


# --- elsewhere ---


def test_a_file_gets_lines_only_when_something_has_changed(tmp_path, monkeypatch, capsys):
    keep_plan(tmp_path, 2, [planned("a"), planned("b")], slots=1)
    looks = iter(
        [
            lambda: None,
            lambda: begun(tmp_path / "a", rows=(20,)),
            lambda: None,
            lambda: ended(tmp_path / "a"),
            lambda: ended(tmp_path / "b"),
        ]
    )
    printed = []

    def sleep(seconds: float) -> None:
        printed.append(capsys.readouterr().out.splitlines())
        next(looks)()

    monkeypatch.setattr(watching, "sleep", sleep)
    with contextlib.ExitStack() as sweep:
        sweep.enter_context(at_work(tmp_path, "sweep"))
        looks = itertools.chain(looks, [sweep.close])
        watch([tmp_path], 2.0)
    printed.append(capsys.readouterr().out.splitlines())
    first, nothing, started, again, one, both, closed = printed
    assert first == [
        "a  missing  seed=a",
        "b  missing  seed=b",
        f"{tmp_path}: 2 runs: 2 missing; no finished run to judge the time by",
    ]
    assert nothing == again == closed == []
    assert started[0].startswith("a  interrupted  seed=a  evaluated last at step 20") and len(started) == 2
    assert one == [
        "a  done  seed=a  accuracy 0.8750",
        f"{tmp_path}: 2 runs: 1 done, 1 missing; about 10 s left with 1 at once",
    ]
    assert both == ["b  done  seed=b  accuracy 0.8750", f"{tmp_path}: 2 runs: 2 done"]


def test_a_pipe_gets_no_escapes_and_neither_torch_nor_rich_is_imported(tmp_path):
    ended(tmp_path / "sweep" / "a")
    code = (
        "import sys, mixexp.cli as c; sys.argv = ['mixexp', 'status', 'sweep', '--watch']; c.main();"
        " sys.exit(bool({'torch', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a  done  seed=a  accuracy 0.8750\nsweep: 1 run: 1 done\n")


# --- words ---


def test_what_follows_watch_is_a_number_of_seconds_or_a_folder():
    assert seconds_between(["a"]) == (None, ["a"])
    assert seconds_between(["--watch", "a"]) == (2.0, ["a"])
    assert seconds_between(["b", "--watch", "outputs/a"]) == (2.0, ["b", "outputs/a"]), (
        "a folder that is yet to be made"
    )
    for words in (["a", "--watch", "2s"], ["--watch", "1m", "a"], ["a", "--watch", "abc"]):
        with pytest.raises(UserError, match=r"status: --watch \w+: needs a number of seconds from 0.1 to 86400"):
            seconds_between(words)
    assert seconds_between(["a", "--watch"]) == (2.0, ["a"])
    assert seconds_between(["--watch", "5", "a", "7"]) == (5.0, ["a", "7"])
    assert seconds_between(["a", "--watch=.5", "b"]) == (0.5, ["a", "b"])


@pytest.mark.parametrize("words", [["--watch", "0"], ["--watch=-1"], ["--watch=soon"], ["--watch", "100000"]])
def test_other_numbers_are_refused(words):
    with pytest.raises(UserError, match=r"seconds from 0\.1 to 86400"):
        seconds_between([*words, "a"])


def test_another_option_of_status_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"unrecognized arguments: --wach; .* Did you mean '--watch'"):
        COMMANDS["status"](["--wach", "a"])


def test_without_watch_a_folder_that_is_not_there_is_an_error_as_before(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        status(tmp_path / "nowhere")


def test_a_name_that_resembles_another_is_hinted_at_while_waiting(tmp_path):
    (tmp_path / "small_data").mkdir()
    watched = Watched(tmp_path / "smal_data")
    (line,) = looked(watched, 500, 10)
    assert line.endswith(f"no run yet, waiting for one. Did you mean '{tmp_path / 'small_data'}'?")


# --- a status and the end of a sweep ---


def test_a_status_is_drawn_in_colours_on_a_terminal_and_not_cut(terminal, tmp_path):
    ended(tmp_path / "sweep" / "a")
    failed = begun(tmp_path / "sweep" / "b", rows=(20,))
    (failed.path / "error.txt").write_text("RuntimeError: " + "word " * 30 + "end\n")
    screen = terminal("sweep", command=("status",), width=60)
    assert screen.ended() == 0
    text = " ".join(screen.text.split())
    assert "a done" in text and "accuracy 0.8750" in text and text.count("word") == 30
    assert "sweep: 2 runs: 1 done, 1 failed" in text and "retry=failed" in text
    assert ENTER not in screen.text


def test_a_sweep_ends_with_its_runs_on_a_terminal(terminal, tmp_path):
    words = ("mix=none,mixup", "seed=0,1", "model.width=2", "epochs=1", "subset=head", "subset.n=100", "name=few")
    screen = terminal(*words, command=("-m",), rows=5, width=90)
    assert screen.ended() == 0
    closing = screen.text[screen.text.index("4 runs, 4 done (0 of them before), 0 diverged, 0 failed") :]
    assert re.search(r"[0-9a-f]{12}  done  mix=none seed=0  accuracy 0\.\d{4}\r\n\.\.\. and 3 done\r\n", closing)
