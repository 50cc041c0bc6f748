"""Runs and sweeps started from Python."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import mixexp
from mixexp.api.runs import Runs, runs
from mixexp.errors import RunsFailed, UserError
from mixexp.text import in_hydra
from mixexp.training.reader import SWEEPS, Run, load_run

Folder = str | Path
F = TypeVar("F", bound=Callable[..., Any])
STOP_SECONDS = 60
"""Seconds for the checkpoints of a stopped sweep."""


def plain_errors(function: F) -> F:
    """The function with its UserErrors alone, without the library errors that they explain."""

    @functools.wraps(function)
    def called(*arguments: Any, **keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        except UserError as error:
            raise error from None

    return cast(F, called)


@plain_errors
def run(*overrides: str, config_dir: Folder | None = None, **settings: Any) -> Run:
    """One run in this process, as `mixexp OVERRIDES` makes it: trained, or read from its folder if it is over.

    overrides: as the command takes them, "mix=mixup". settings: the same as keywords, dotted ones as
    ``**{"mix.ratio.alpha": 0.2}``; None is null, a list one value. config_dir: a folder of the user's own options.
    Raises UserError for a configuration that cannot run, before anything starts; RunsFailed where another process works
    on the run; and the errors of training. Ctrl-C leaves a checkpoint, from which the same call continues.

    >>> import mixexp
    >>> done = mixexp.run(mix="mixup", alpha=0.2, epochs=2)
    >>> done.outcome, 0 < done.last["accuracy"] < 1
    ('finished', True)
    """
    words = [*_words("run", overrides), *(f"{key}={in_hydra(value)}" for key, value in settings.items())]
    from mixexp.plan.compose import composing
    from mixexp.sweeping.one import make, planned_run

    with _state_of_torch(), composing(words, folders_of(config_dir)) as cell:
        planned = planned_run(cell, words)
        make(planned, alone=True)
    return load_run(planned.folder)


@plain_errors
def sweep(*overrides: str, config_dir: Folder | None = None, **settings: Any) -> Runs:
    """A sweep in processes of its own, as `mixexp -m OVERRIDES` makes it, and its runs; finished runs are not repeated.

    overrides and settings: as those of `run`, but a list, tuple or range is an axis with a run for each of its values,
    as is "mix=none,mixup"; a list as one value is put in a list. experiment="small_data" is that experiment's
    grid. The sweep's lines are printed as they come. It works in a notebook, from standard input and in a script, which
    needs no ``if __name__ == "__main__"``. Raises UserError for cells that cannot run, before anything starts, and
    RunsFailed where runs failed; the others are finished and `runs` reads them. Ctrl-C stops it with checkpoints, from
    which the same call continues.

    >>> import mixexp
    >>> mixexp.sweep(mix=["none", "mixup"], seed=range(2), epochs=1)
    <Runs: 4 finished; differ in mix, seed>
    """
    words = [*_words("sweep", overrides), *(f"{key}={_axis(value)}" for key, value in settings.items())]
    from mixexp.plan.compose import compose, is_sweep

    folders = folders_of(config_dir)
    config = compose([word for word in words if not is_sweep(word)], folders)
    folder = Path(config["output_dir"]).absolute() / config["name"]
    began = time.time()
    _command(["-m", *(f"--config-dir={place}" for place in folders), *words])
    return _of_last_plan(folder, began)


def _words(name: str, overrides: Sequence[Any]) -> Sequence[str]:
    """The overrides; raises UserError for an item that is none."""
    for word in overrides:
        if not isinstance(word, str) or word.startswith("-"):
            raise UserError(
                f'{name}({word!r}): overrides are texts such as "mix=mixup"; a folder of options is config_dir=, and a'
                " sweep mixexp.sweep"
            )
    return overrides


def _axis(value: Any) -> str:
    """A keyword's value in a sweep: a list, tuple or range is an axis."""
    if hasattr(value, "tolist"):  # an array of numpy or torch
        value = value.tolist()
    if isinstance(value, set | frozenset | Iterator):
        raise UserError(
            f"sweep: an axis is a list, a tuple, a range or an array, not a {type(value).__name__}, which has no"
            " fixed order or length"
        )
    if not isinstance(value, list | tuple | range):
        return in_hydra(value)
    if not len(value):
        raise UserError("sweep: an empty list is an axis without values; leave the setting out")
    return ",".join(map(in_hydra, value))


def folders_of(config_dir: Folder | None) -> list[Path]:
    """The folder of the user's own options, as a list; empty where none is named.

    Raises UserError where it is missing.
    """
    if config_dir is None:
        return []
    folder = Path(config_dir).expanduser()
    if not folder.is_dir():
        raise UserError(f"config_dir = {folder}: there is no such folder")
    return [folder]


def folder_of(name: str, run: Any) -> Path:
    """The folder of a run, or the named folder; raises UserError for anything else."""
    if isinstance(run, Run):
        return run.folder
    if not isinstance(run, str | Path):
        raise UserError(f"{name}({run!r}): a run or the name of a folder is needed")
    return Path(run).expanduser()


@contextlib.contextmanager
def _state_of_torch() -> Iterator[None]:
    """Context that restores the settings of torch that a run changes in this process."""
    import torch

    threads, backend, shown = torch.get_num_threads(), torch.backends.cudnn.deterministic, warnings.showwarning
    mode, deterministic = torch.get_deterministic_debug_mode(), cast("Any", torch.utils.deterministic)
    filled = deterministic.fill_uninitialized_memory  # torch gives this module its class at run time
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = backend
        torch.set_deterministic_debug_mode(mode)
        deterministic.fill_uninitialized_memory = filled
        warnings.showwarning = shown


def _command(words: Sequence[str]) -> None:
    """Run the command in a process of its own, pass on its output, and raise its message where it fails."""
    package = str(Path(mixexp.__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    environment: Mapping[str, str] = {
        **os.environ,
        "PYTHONPATH": paths,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    process = subprocess.Popen(  # a session of its own: Ctrl-C reaches it once, from here
        [sys.executable, "-P", "-m", "mixexp", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
        encoding="utf-8",
        errors="replace",
    )
    errors: list[str] = []
    assert process.stdout is not None and process.stderr is not None
    reading = threading.Thread(target=_pass_on, args=(process.stderr, errors), daemon=True)
    reading.start()
    try:
        for line in process.stdout:
            sys.stdout.write(line)
        code = process.wait()
    except BaseException:
        process.terminate()  # stops it as Ctrl-C does, with checkpoints
        try:
            for line in process.stdout:
                sys.stdout.write(line)
            process.wait(STOP_SECONDS)
        except BaseException:  # a second Ctrl-C, or the process hangs
            process.kill()
        reading.join(1)
        sys.stderr.write("".join(errors))
        raise
    reading.join(1)
    if code:
        kind = RunsFailed if code == RunsFailed.exit_code else UserError
        raise kind("".join(errors).strip().removeprefix("mixexp: ") or f"the sweep's process ended with {code}")


def _pass_on(stream: IO[str], message: list[str]) -> None:
    """Print lines as they come; from the program's closing message on, keep them."""
    for line in stream:
        if message or line.startswith("mixexp: "):
            message.append(line)
        else:
            sys.stderr.write(line)


def _of_last_plan(folder: Path, began: float) -> Runs:
    """The runs of the sweep that began in a folder after a moment, in the order of its grid.

    All runs there where it kept no plan, as a search does.
    """
    from mixexp.files import read_json_or_nothing

    plans = [path for path in (folder / SWEEPS).glob("*.json") if path.stat().st_mtime >= began - 1]
    about = read_json_or_nothing(max(plans, key=lambda path: path.stat().st_mtime)) if plans else {}
    names = [entry.get("name") for entry in about.get("runs", ()) if isinstance(entry, Mapping)]
    all_runs = runs(folder)
    by_name = {run.folder.name: run for run in all_runs}
    return Runs([by_name[name] for name in names if name in by_name]) if names else all_runs
