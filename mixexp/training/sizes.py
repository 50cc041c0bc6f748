"""The memory and processor needs of a run, estimated before allocation, and the resources of the machine."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mixexp.errors import UserError

with contextlib.suppress(ImportError):  # Windows has no such limits
    import resource

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Linux's files with a container's memory limit, in the second and the first version of control groups."""
CGROUP_QUOTAS = (
    (Path("/sys/fs/cgroup/cpu.max"), None),
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
)
"""Linux's files with a container's processor time and its period, in both versions."""
LARGE = 10_000
"""The least number that can be the cause of a size that is too large."""
_OVERFLOW = re.compile(
    "overflow|alloc|too large|too big|storage size|exceed|out of (?:range|memory|bounds)|negative", re.IGNORECASE
)
"""The words of Python, numpy and torch about a size that they cannot allocate."""


class TooLarge(UserError):
    """A valid configuration that this machine cannot hold."""


class TooLargeLine(str):
    """A line about a valid configuration that this machine cannot hold."""


def line(error: Exception) -> str:
    """The line about an error; a TooLargeLine where a larger machine would not raise it."""
    return TooLargeLine(error) if isinstance(error, TooLarge) else str(error)


def problems(action: Callable[[], object]) -> list[str]:
    """The UserError or ValueError that an action raises, as a line; empty where it raises none."""
    try:
        action()
    except (UserError, ValueError) as error:
        return [line(error)]
    return []


def processors() -> int:
    """Processors of this machine, including those that a container or a batch system withholds from this process."""
    return os.cpu_count() or 1


def usable_processors() -> int:
    """Processors that this process may use, at least 1; a container or a batch system may reduce their number."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else processors()
    for quota, period in CGROUP_QUOTAS:
        with contextlib.suppress(OSError, ValueError, IndexError, ZeroDivisionError):  # "max" and -1 mean no limit
            words = [
                *quota.read_text(encoding="ascii").split(),
                *(period.read_text(encoding="ascii").split() if period else ()),
            ]
            if int(words[0]) > 0:
                allowed = min(allowed, -(-int(words[0]) // int(words[1])))
    return max(1, allowed)


def memory(device: torch.device | None = None) -> int:
    """The most bytes of memory that this process can have: a GPU's, or the machine's within the process's limits."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    sizes = [2**63]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is not a number
            sizes.append(int(path.read_text(encoding="ascii")))
    with contextlib.suppress(NameError, AttributeError):
        limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
        sizes += [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min(size for size in sizes if size > 0)


def require_memory(what: str, needed: float, device: torch.device | None = None) -> None:
    """Raise TooLarge where `what`, settings with their values, needs more bytes than the device has."""
    there = memory(device)
    if needed > there:
        where = "this machine" if device is None or device.type != "cuda" else "the GPU"
        raise TooLarge(
            f"{what}: too large; it needs {in_words(needed)} of memory at least, and {where} has {in_words(there)}"
        )


def in_words(size: float) -> str:
    """Bytes in the largest unit that leaves a number of one or more: 1.5 GiB."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    power = next((i for i in range(len(units)) if size < 1024 ** (i + 1)), len(units) - 1)
    number = size / 1024**power
    return (
        f"{number:.0f} {units[power]}"
        if power == 0
        else f"{number:,.1f} {units[power]}"
        if number < 1e6
        else f"{number:.1e} {units[power]}"
    )


def largest(settings: Mapping[str, Any], path: str) -> str:
    """The setting with the largest integer, as `path.key = number`: the cause of a size; empty where none is large."""
    numbers: list[tuple[int, str]] = []

    def look(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                look(inner, f"{name}.{key}" if name else str(key))
        elif isinstance(value, list):
            for inner in value:
                look(inner, name)
        elif isinstance(value, int) and abs(value) >= LARGE:
            numbers.append((abs(value), name))

    look({key: value for key, value in settings.items() if "seed" not in key}, path)
    number, name = max(numbers, default=(0, ""))
    return f"{name} = {number}" if name else ""


@contextlib.contextmanager
def bounded(settings: Mapping[str, Any], path: str) -> Iterator[None]:
    """Context in which a failure due to a large number raises TooLarge with its setting, not the library's error."""
    setting = largest(settings, path)
    try:
        yield
    except MemoryError as error:
        raise TooLarge(f"{setting or path}: too large; this machine has {in_words(memory())} of memory") from error
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        if not setting or not _OVERFLOW.search(str(error)):
            raise
        raise TooLarge(f"{setting}: too large; no memory can hold it") from error


class SavedTensors:
    """Counter of the bytes that a pass keeps for its gradient, without the parameters.

    The tensors may be on the meta device.
    """

    def __init__(self, parameters: Iterator[torch.nn.Parameter]) -> None:
        self._seen = {parameter.untyped_storage()._cdata for parameter in parameters}
        # kept alive so that no other tensor gets the address of a counted one
        self._alive: list[torch.Tensor] = []

    @property
    def bytes(self) -> int:
        """The number of bytes kept so far."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self._alive)

    def counting(self) -> Any:
        """The context of the counted pass."""
        return torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in self._seen:
            self._seen.add(place)
            self._alive.append(tensor)
        return tensor
