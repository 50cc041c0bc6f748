"""The `mixexp` command as a user starts it, with and without the seconds that a new interpreter takes to import torch.

A small process, one for each process of the tests, imports what commands may need, composes nothing and is forked for
every command, and for the fork server of a command's sweep. What a test says of the start itself (imports, a signal or
a kill while it lasts, a terminal, what Python or a library reads when it is loaded) is not to be seen so, and needs a new
process.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import io
import json
import multiprocessing.util
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

SECONDS = 300  # that a command may take
MEMORY: int | None = None  # bytes that a command and each of its processes may allocate
IMPORTED = (
    *(
        "torch._dynamo",
        "torchvision",
        "sklearn.datasets",
        "scipy.io",
        "scipy.stats",
        "pandas",
        "matplotlib.backends.backend_agg",
    ),
    *(
        "mixexp.sweeping.application",
        "mixexp.sweeping.launch",
        "mixexp.sweeping.one",
        "mixexp.sweeping.worker",
        "mixexp.sweeping.watch",
    ),
    *("mixexp.sweeping.relog", "mixexp.sweeping.reprobe", "mixexp.reporting.commands", "mixexp.reporting.figures"),
)


def new_mixexp(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m mixexp` in a new process; environment: variables beside the test's own."""
    command, surroundings = [sys.executable, "-m", "mixexp", *words], {**os.environ, **environment}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=surroundings, timeout=SECONDS, check=False
    )


def mixexp(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a process that is forked from one which has imported torch."""
    if sys.platform != "linux":  # elsewhere the system's libraries may not survive a fork
        return new_mixexp(*words, cwd=cwd, **environment)
    command = Command(words, cwd, {**os.environ, **environment}, session=False)
    output, errors = command.communicate(SECONDS + 10)
    return subprocess.CompletedProcess(["mixexp", *words], command.wait(), output, errors)


def begin(
    *words: str, cwd: Path, environment: Mapping[str, str] | None = None, output: IO[str] | None = None
) -> Started:
    """The same in a session of its own, and not waited for; output: a file for all that it says, instead of pipes."""
    if sys.platform != "linux":
        return new_command(*words, cwd=cwd, environment=environment, output=output)
    return Command(words, cwd, environment or os.environ, session=True, output=output)


def new_command(
    *words: str, cwd: Path, environment: Mapping[str, str] | None = None, output: IO[str] | None = None
) -> subprocess.Popen[str]:
    """What `begin` gives, in a new process."""
    pipe = output or subprocess.PIPE
    command = [sys.executable, "-m", "mixexp", *words]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


class Command:
    """A command that has begun in a forked process, with what subprocess.Popen has of it."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        session: bool,
        output: IO[str] | None = None,
    ) -> None:
        ours, theirs = _ways()
        ends = [] if output else [os.pipe() for _ in range(2)]
        places = [output.fileno()] * 2 if output else [written for _, written in ends]
        request = {
            "words": words,
            "cwd": str(cwd),
            "environment": dict(environment),
            "memory": MEMORY,
            "seconds": SECONDS,
            "session": session,
        }
        _send(_server(), request, [*places, theirs.fileno()])
        theirs.close()
        for _, written in ends:
            os.close(written)
        self.stdout, self.stderr = [os.fdopen(read) for read, _ in ends] or [io.StringIO(), io.StringIO()]
        self.pid: int = json.loads(ours.recv(64))
        self.returncode: int | None = None
        self._way = ours

    def poll(self) -> int | None:
        """The exit code; None before the end."""
        if self.returncode is None and select.select([self._way], [], [], 0)[0]:
            self.returncode = json.loads(self._way.recv(64))
            self._way.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, at the end."""
        if self.returncode is None and not select.select([self._way], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("mixexp", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it says, and its end."""
        with ThreadPoolExecutor(2) as readers:
            said = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                output, errors = (reading.result(timeout) for reading in said)
            except TimeoutError:
                self.kill()  # or the readers would not end
                raise subprocess.TimeoutExpired("mixexp", timeout or 0) from None
        self.stdout.close()
        self.stderr.close()
        self.wait(timeout)
        return output, errors

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Started = Command | subprocess.Popen[str]


@functools.cache
def _server() -> socket.socket:
    """The way to this process's server, which ends when this end of it closes."""
    ours, theirs = _ways()
    with theirs:
        command, surroundings = [sys.executable, __file__, str(theirs.fileno())], {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=surroundings)
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


# --- the server's side ---


def _ways() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _send(way: socket.socket, request: dict[str, Any], files: Sequence[int]) -> None:
    socket.send_fds(way, [json.dumps(request).encode()], files)


def _asked(way: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next request and its open files; ends the process when nobody can ask any more."""
    message, files, *_ = socket.recv_fds(way, 2**20, 3)
    if not message:
        os._exit(0)
    return json.loads(message), files


def _serve(client: socket.socket) -> Callable[[], Any]:
    """Fork for every request, and say a child's exit code at its end; returns, in a child that has said its process
    number, what it is to do."""
    children: dict[int, tuple[int, socket.socket]] = {}  # process and way, by the file that is readable at its end
    while True:
        for file in select.select([client.fileno(), *children], [], [])[0]:
            if file != client.fileno():
                pid, way = children.pop(file)
                os.close(file)
                _say(way, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                way.close()
                continue
            request, files = _asked(client)
            pid = os.fork()
            if pid == 0:
                client.close()
                for file, (_, way) in children.items():
                    os.close(file)
                    way.close()
                if request["session"]:
                    os.setsid()
                with socket.socket(fileno=files.pop()) as way:
                    _say(way, os.getpid())
                _place(files, (1, 2))
                _surround(request)
                return _twin_or(functools.partial(_command, request["words"]))
            way = socket.socket(fileno=files.pop())
            for file in files:
                os.close(file)
            children[os.pidfd_open(pid)] = pid, way


def _say(way: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody asks any more
        way.send(json.dumps(number).encode())


def _twin_or(command: Callable[[], Any]) -> Callable[[], Any]:
    """Fork once more, while nothing has been done yet: a process that becomes the fork server, as soon as the command
    starts one."""
    ours, theirs = _ways()
    pid = os.fork()
    if pid == 0:
        ours.close()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # to the group, which has no such process yet
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
        request, files = _asked(theirs)
        theirs.close()
        _place(files, request["numbers"])
        _surround(request)
        for number, handler in {**handlers, **dict.fromkeys(request["ignored"], signal.SIG_IGN)}.items():
            signal.signal(number, handler)
        return functools.partial(exec, request["code"], {})
    theirs.close()
    start = multiprocessing.util.spawnv_passfds

    def instead(path: str, words: Sequence[str], files: Sequence[int]) -> int:
        if "multiprocessing.forkserver" not in str(words[-1]) or ours.fileno() < 0:  # bytes, for others
            return start(path, words, files)
        ignored = [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN]
        about = {
            "cwd": os.getcwd(),
            "environment": dict(os.environ),
            "ignored": ignored,
            "numbers": files,
            "code": words[-1],
        }
        _send(ours, about, files)
        ours.close()
        return pid

    multiprocessing.util.spawnv_passfds = instead
    return command


def _place(files: Sequence[int], numbers: Sequence[int]) -> None:
    """Give open files the numbers that they have elsewhere."""
    aside = [fcntl.fcntl(file, fcntl.F_DUPFD, 1 + max(*files, *numbers)) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(aside, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def _surround(request: dict[str, Any]) -> None:
    if request.get("memory") is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (request["memory"],) * 2)
    signal.alarm(
        request.get("seconds", 0)
    )  # it ends by itself: whoever waits for it also waits for those that have its pipes
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])


def _command(words: Sequence[str]) -> None:
    sys.path.insert(0, os.getcwd())
    sys.argv[1:] = words
    runpy.run_module("mixexp", run_name="__main__", alter_sys=True)


def _end(task: Callable[[], Any]) -> None:
    """Do it and exit as the interpreter would, but for the second that it takes to give every module's memory back."""
    code: Any = None
    try:
        task()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code or 0)


if __name__ == "__main__":
    del sys.path[0]  # the tests' folder, which commands do not see
    for module in IMPORTED:
        importlib.import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would not survive the fork"
    gc.freeze()  # the collector would write to all of it in every process, and so copy it
    _end(_serve(socket.socket(fileno=int(sys.argv[1]))))
