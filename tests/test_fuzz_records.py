"""Records that anything may have happened to: every command that reads them answers, executes nothing and writes
nothing elsewhere."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import IMPORTED, mixexp

from mixexp import cli

ROOT = Path(__file__).resolve().parent.parent
SECONDS, WAITING = 10, 180
"""Of this process's own time that a command may take, and of anybody's, on a machine however busy."""
RUNS = 2
TRAINED = ("seed=0,1", "model.width=2", "epochs=1", "subset=head", "subset.n=100", "keep_checkpoint=true")
ESCAPES = "\x1b[2J\x1b]0;title\x07\u202e"
DEEP = "[" * 100_000


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path) -> None:
    path.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")  # since a socket's path is short
    os.close(folder)


def _linked_to(target: str) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return replace


def _link_of_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(2**40)  # which takes no room


def _deep(path: Path) -> None:
    path.write_text({".json": DEEP, ".yaml": f"a: {DEEP}\n"}.get(path.suffix, DEEP))


def _extreme(path: Path) -> None:
    """The same keys or columns, with values that nobody has measured."""
    if path.suffix == ".json":
        values = [
            "1" * 5000,
            "-1e308",
            "1e400",
            "NaN",
            json.dumps("../../victim"),
            json.dumps(ESCAPES),
            '["/etc/passwd"]',
            "true",
            '{"a": {}}',
        ]
        keys = [*json.loads(path.read_text()), "task", "label", "runs", "last", "last"]
        path.write_text(
            "{" + ", ".join(f"{json.dumps(key)}: {values[place % len(values)]}" for place, key in enumerate(keys)) + "}"
        )
    elif path.suffix == ".yaml":
        values = [
            "9" * 5000,
            "!!python/object/apply:os.system ['touch victim']",
            json.dumps(ESCAPES),
            ".nan",
            "[1, [2]]",
            "{a: ../../victim}",
            "~",
        ]
        keys = [line.partition(":")[0] for line in path.read_text().splitlines() if line[:1].isalpha()]
        path.write_text("".join(f"{key}: {values[place % len(values)]}\n" for place, key in enumerate(keys)))
    elif path.suffix == ".csv":
        header = path.read_text().splitlines()[0]
        values = ["1e308", "-inf", "nan", "9" * 5000, "", "1e-320"]
        rows = [
            ",".join(values[(row + place) % len(values)] for place in range(header.count(",") + 1)) for row in range(4)
        ]
        path.write_text("\n".join([header, *rows]) + "\n")
    else:
        path.write_text(ESCAPES + "9" * 100_000 + "\n=cmd|' /C calc'!A0")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "emptied": _emptied, "cut": _cut, "a folder": _folder, "a pipe": _pipe, "a socket": _socket, "a link of itself": _link_of_itself,
    "a link to zeros": _linked_to("/dev/zero"), "a link outside": _linked_to("../../../victim"), "huge": _huge, "deep": _deep, "extreme": _extreme,
}  # fmt: skip
FILES = (
    "config.yaml",
    "environment.json",
    "metrics.csv",
    "confusion.csv",
    "result.json",
    "checkpoint.pt",
    ".lock",
    "error.txt",
    "log.txt",
)
SWEEP = (
    "config.yaml",
    "sweeps/plan.json",
    "report/table.md",
    "report/report.html",
    "report/curves.png",
    "report/.lock",
)
"""Files beside the runs; the first stands where no file of a record belongs."""
LOOKS = (
    ("status", "outputs/runs"),
    ("status", "outputs/runs", "--watch", "0.1"),
    ("leaderboard", "outputs"),
    ("compare", "outputs/runs", "outputs/whole"),
)
"""Commands that every damage meets; the others meet a share, each another one."""
OTHERS = (
    ("report", "outputs/runs"), ("plan", *TRAINED), ("log", "outputs/runs", "logger=tensorboard"), ("probe", "outputs/runs", "probe=training_error"),
    TRAINED[1:], ("plot",),
)  # fmt: skip
SHARE = int(os.environ.get("MIXEXP_FUZZ_SHARE", "12"))
"""One in so many damages meets one of OTHERS; with 1 all meet all of them, which takes ten minutes."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of two finished runs, its report, and the same sweep once more beside it."""
    for module in (*IMPORTED, "tensorboard"):  # which no command's time shall count
        importlib.import_module(module)
    place = tmp_path_factory.mktemp("made")
    done = mixexp("-m", *TRAINED, cwd=place)
    assert done.returncode == 0, done.stderr
    assert mixexp("report", "outputs/runs", cwd=place).returncode == 0
    for run in (place / "outputs" / "runs").glob("*/config.yaml"):
        for name in ("error.txt", "log.txt", ".lock"):
            (run.parent / name).touch()
    (place / "victim").write_text("untouched")
    (plan,) = (place / "outputs" / "runs" / "sweeps").glob("*.json")
    plan.rename(plan.with_name("plan.json"))
    shutil.copytree(place / "outputs" / "runs", place / "outputs" / "whole")
    return place


class TooLong(BaseException):
    """A command that does not answer in time."""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """A function that gives a command, in this process, to a folder, and sees that it answers in time, in words, and
    not to a terminal."""

    def late(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, late)

    def ask(place: Path, *words: str) -> str:
        monkeypatch.chdir(place)
        script = words == ("plot",)
        monkeypatch.setattr(
            sys, "argv", ["plot.py", "outputs/runs", "--out", "figures"] if script else ["mixexp", *words]
        )
        code: Any = 0
        capfd.readouterr()
        began = time.process_time()
        signal.alarm(WAITING)
        try:
            runpy.run_path(str(ROOT / "scripts" / "plot.py"), run_name="__main__") if script else cli.main()
        except SystemExit as end:
            code = end.code
        finally:
            signal.alarm(0)
        assert time.process_time() - began < SECONDS, words
        told = "".join(capfd.readouterr())
        assert code in (0, None, 1, 2), (words, code, told[-2000:])
        assert "Traceback" not in told, (words, told[-3000:])
        assert not set("\x1b\x07\u202e") & set(told), (words, told[-2000:])
        assert "9" * 500 not in told and "1" * 500 not in told, words
        return told

    yield ask
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("count", [1, RUNS], ids=["in one run", "in all"])
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_record_gets_an_answer(what, count, made, tmp_path, answers):
    for number, name in enumerate(FILES):
        if (
            SHARE > 1 and (number + list(DAMAGES).index(what) + count) % 2
        ):  # the other half is damaged in one run, or in all
            continue
        place = shutil.copytree(made, tmp_path / str(number) / "work")
        runs = sorted(path.parent for path in (place / "outputs" / "runs").glob("*/config.yaml"))
        for run in runs[:count]:
            if name in ("error.txt", "log.txt"):
                (run / "result.json").unlink()
            DAMAGES[what](run / name)
        _meets_everything(place, list(DAMAGES).index(what) * len(FILES) + number, answers)
        shutil.rmtree(place.parent)


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_plan_or_report_gets_an_answer(what, made, tmp_path, answers):
    for number, name in enumerate(SWEEP):
        place = shutil.copytree(made, tmp_path / str(number) / "work")
        path = place / "outputs" / "runs" / name
        if not path.exists():
            path.write_bytes(b"something")
        DAMAGES[what](path)
        _meets_everything(place, list(DAMAGES).index(what) * len(SWEEP) + number, answers)
        shutil.rmtree(place.parent)


def _meets_everything(place: Path, turn: int, answers: Callable[..., str]) -> None:
    """The commands that look, and a share of the others; nothing outside the folder of outputs is another than
    before."""
    before = _outside(place)
    names = [path.parent.name for path in (place / "outputs" / "whole").glob("*/config.yaml")]
    seen = answers(place, *LOOKS[0])
    assert all(name in seen for name in names) and f"{RUNS} runs: " in seen, seen
    for words in LOOKS[1:]:
        answers(place, *words)
    for number, words in enumerate(OTHERS):
        if SHARE == 1 or (turn % SHARE == 0 and turn // SHARE % len(OTHERS) == number):
            answers(place, *words)
    shutil.rmtree(place / "figures", ignore_errors=True)
    assert _outside(place) == before


def _outside(place: Path) -> dict[str, str]:
    found = [path for folder in (place, place.parent) for path in folder.iterdir()]
    return {path.name: path.read_text() if path.is_file() else "" for path in found}


MENDED = {
    "emptied": "result.json",
    "a pipe": "metrics.csv",
    "a folder": "config.yaml",
    "extreme": "environment.json",
    "deep": "result.json",
}
"""Damages that the same sweep meets, each in another file of a run."""


def test_the_same_sweep_again_makes_what_is_damaged(made, tmp_path):
    for what, name in MENDED.items():
        place = shutil.copytree(made, tmp_path / what / "work")
        run = sorted(path.parent for path in (place / "outputs" / "runs").glob("*/config.yaml"))[0]
        DAMAGES[what](run / name)
        before = _outside(place)
        done = mixexp("-m", *TRAINED, "model.width=2", cwd=place)
        assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr, (what, done.stdout, done.stderr)
        assert f"{RUNS} runs, {RUNS} done" in done.stdout, (what, done.stdout)
        assert _outside(place) == before


def test_an_experiment_is_reproduced_again_over_damaged_records(tmp_path):
    words = ("reproduce", "quickstart", "mix=none", "seed=0,1", "epochs=1", "model.width=2")
    assert mixexp(*words, cwd=tmp_path).returncode == 0
    first, second = sorted(path.parent for path in (tmp_path / "outputs" / "quickstart").glob("*/config.yaml"))
    _pipe(first / "metrics.csv")
    _extreme(second / "result.json")
    _folder(tmp_path / "outputs" / "quickstart" / "report" / "table.md")
    done = mixexp(*words, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr == "mixexp: outputs/quickstart/report/table.md: Is a directory\n"
    for run in (first, second):
        assert json.loads((run / "result.json").read_text())["outcome"] == "finished"
