"""The `mixexp` command as a user starts it, with and without the seconds that a new interpreter takes to import torch.

A small process, one for each process of the tests, imports what commands may need, composes nothing and is forked for
every command, and for the fork server of a command's sweep. What a test says of the start itself (imports, a signal to
a whole group, a kill, a terminal, what Python or a library reads when it is loaded) is not to be seen so, and needs a
new process.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import gc
import importlib
import json
import multiprocessing.util
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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
    server = _server()
    pipes = [os.pipe() for _ in range(2)]
    request = {
        "words": words,
        "cwd": str(cwd),
        "environment": {**os.environ, **environment},
        "memory": MEMORY,
        "seconds": SECONDS,
    }
    _send(server, request, [theirs for _, theirs in pipes])
    for _, theirs in pipes:
        os.close(theirs)
    pid = json.loads(server.recv(64))
    with ThreadPoolExecutor(len(pipes)) as readers:
        said = [readers.submit(_read, ours) for ours, _ in pipes]
        try:
            output, errors = (reading.result(SECONDS + 10) for reading in said)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            code = json.loads(server.recv(64))
    return subprocess.CompletedProcess(["mixexp", *words], code, output, errors)


def _read(pipe: int) -> str:
    with open(pipe) as file:
        return file.read()


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
    message, files, *_ = socket.recv_fds(way, 2**20, 2)
    if not message:
        os._exit(0)
    return json.loads(message), files


def _serve(client: socket.socket) -> Callable[[], Any]:
    """Fork for every request, and say the child's process number and exit code; returns, in a child, what it is to
    do."""
    while True:
        request, files = _asked(client)
        pid = os.fork()
        if pid == 0:
            client.close()
            _place(files, (1, 2))
            _surround(request)
            return _twin_or(functools.partial(_command, request["words"]))
        for file in files:
            os.close(file)
        for said in (pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])):
            client.send(json.dumps(said).encode())


def _twin_or(command: Callable[[], Any]) -> Callable[[], Any]:
    """Fork once more, while nothing has been done yet: a process that becomes the fork server, as soon as the command
    starts one."""
    ours, theirs = _ways()
    pid = os.fork()
    if pid == 0:
        ours.close()
        request, files = _asked(theirs)
        theirs.close()
        _place(files, request["numbers"])
        _surround(request)
        for number in request["ignored"]:
            signal.signal(number, signal.SIG_IGN)
        return functools.partial(exec, request["code"], {})
    theirs.close()
    start = multiprocessing.util.spawnv_passfds

    def instead(path: str, words: Sequence[str], files: Sequence[int]) -> int:
        if "multiprocessing.forkserver" not in words[-1] or ours.fileno() < 0:
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
