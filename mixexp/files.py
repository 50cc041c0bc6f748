"""Record files, read whatever they contain and written whole or not at all; without torch or the rest of mixexp."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LARGEST = {".json": 2**24, ".yaml": 2**21}
"""Largest size in bytes of a file that is read, by suffix; YAML takes a second per megabyte."""
LARGEST_OTHER = 2**28
DEEPEST = 100
"""Levels of nesting of a record; a thousand crash Python's readers, and ten thousand the process with libyaml."""
MOST_VALUES = 100_000
"""Values of a record; an alias counts each time it is used."""
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads a hundred configurations ten times as fast
_NAME = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]+")

Stamp = tuple[int, ...]


# --- reading ---


def opened(path: Path) -> BinaryIO:
    """Regular file opened for reading; raises OSError for anything else, and never blocks on a pipe or a device."""
    if not stat.S_ISREG(path.stat().st_mode):  # before opening, because opening a device can have effects
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise OSError(f"it is {kinds.get(stat.S_IFMT(path.stat().st_mode), 'a device')}, not a file")
    number = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
    )
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError("it is not a file any more")
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_bytes(path: Path, most: int = LARGEST_OTHER) -> bytes:
    """Content of a regular file; raises OSError, and ValueError for a file of more than ``most`` bytes."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"it has {size:,} bytes, and at most {most:,} are read")
        return file.read(size)


def read_text(path: Path) -> str:
    """Text of a regular file, in UTF-8; raises OSError and ValueError."""
    return read_bytes(path, LARGEST.get(path.suffix, LARGEST_OTHER)).decode("utf-8")


def read_ends(path: Path, head: int, tail: int) -> str:
    """First and last bytes of a text, with a line between them that counts the omitted bytes; raises OSError."""
    with opened(path) as file:
        text = file.read(head + tail)
        cut = os.fstat(file.fileno()).st_size - head - tail
        if cut > 0:
            file.seek(-tail, os.SEEK_END)
            text = text[:head] + f"\n[… {cut:,} bytes left out …]\n".encode() + file.read(tail)
    return text.decode("utf-8", errors="replace")


def read_json(path: Path) -> dict[str, Any]:
    """JSON mapping in a file; raises OSError, and ValueError for any other content or an excessive size."""
    try:
        return _mapping(json.loads(read_text(path), parse_int=_whole, object_pairs_hook=_unique))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json_or_nothing(path: Path) -> dict[str, Any]:
    """JSON mapping in a file; empty if it cannot be read."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


def read_yaml(path: Path) -> dict[str, Any]:
    """YAML mapping in a file; raises OSError and ValueError as ``read_json`` does."""
    return _mapping(parse_yaml(read_text(path)))


def parse_yaml(text: str) -> Any:
    """Content of a YAML text; raises ValueError for invalid YAML, too deep nesting, or too many aliased values."""
    if _depth(text) > DEEPEST or re.search(rf"^ {{{4 * DEEPEST}}}|(- ){{{DEEPEST}}}", text, re.MULTILINE):
        raise ValueError("it is nested too deeply")
    try:
        content = yaml.load(text, Loader=_YAML)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if "*" in text and _size(content, {}) > MOST_VALUES:
        raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
    return content


def repeated_key(text: str) -> str:
    """First duplicate key of a mapping in a YAML text, as a message with both lines; empty without one.

    YAML itself takes the last of duplicate keys.
    """
    nodes, seen = [yaml.compose(text, Loader=_YAML)], set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        lines: dict[tuple[str, str], int] = {}
        for pair in node.value if isinstance(node, yaml.MappingNode) else ():
            key, line = pair[0], pair[0].start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and lines.setdefault((key.tag, key.value), line) != line:
                return f"line {line}: the key {key.value} is there already, in line {lines[key.tag, key.value]}"
        nodes += [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    return ""


def stamp(path: Path) -> Stamp:
    """Identity of a file's current version, independent of clocks of different machines; empty if there is no file.

    The first number is the time of its last change, in nanoseconds since 1970.
    """
    with contextlib.suppress(OSError):
        about = path.stat()
        return (about.st_mtime_ns, about.st_size, about.st_ino)
    return ()


def plain_name(name: Any) -> bool:
    """True if a text from a record is a valid name within a folder, and no path that leads elsewhere."""
    return (
        isinstance(name, str)
        and _NAME.fullmatch(name) is not None
        and len(name.encode("utf-8", "surrogatepass")) <= 255
    )


def quantity(value: Any, most: float = 1e15) -> float:
    """Number from a record if it is above 0 and at most ``most``; otherwise 0."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
    return value if sound else 0.0


def timestamp(value: Any) -> float | None:
    """Seconds since 1970 of a time in ISO 8601, in UTC if it names no zone; None if it is not a time."""
    try:
        moment = datetime.datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a mapping was expected, found {type(value).__name__}")
    return value


def _whole(digits: str) -> int | float:
    """Whole number of JSON; 20 digits or more become a float, because Python refuses to print long integers."""
    return int(digits) if len(digits) < 20 else float(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # interned, because thousands of records are read at once and share their keys and many of their texts
    values = {sys.intern(key): sys.intern(value) if type(value) is str else value for key, value in pairs}
    if len(values) < len(pairs):
        raise ValueError("it has a key twice")
    return values


def _depth(text: str) -> int:
    """Nesting depth of the brackets in a text."""
    brackets = re.findall(r"[\[\]{}]", text)
    return max(
        itertools.accumulate(
            brackets, lambda depth, bracket: depth + 1 if bracket in "[{" else max(depth - 1, 0), initial=0
        )
    )


def _size(value: Any, known: dict[int, float]) -> float:
    """Number of values with aliases expanded; infinite for a value that contains itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf  # until it is counted, it can be met only within itself
        known[id(value)] = 1 + sum(
            _size(part, known) for part in (value.values() if isinstance(value, dict) else value)
        )
    return known[id(value)]


# --- writing ---


@contextlib.contextmanager
def atomically(path: Path, ending: str = ".part") -> Iterator[Path]:
    """Temporary path to write to, which then replaces `path`: it is the old file or the whole new one at any time.

    ending: suffix of the temporary name. An OSError names `path`, even for a full disk, where the system names no file.
    """
    # a token, because processes of two machines can have one number; short, because a name has at most 255 bytes
    partial = path.with_name(f"{path.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}{ending}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:  # on a full disk, half a file would take the space of the next one
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(partial)):
            raise type(error)(error.errno, error.strerror or "cannot be written", str(path)) from error
        raise


def write_atomically(path: Path, text: str, errors: str = "strict") -> None:
    """Write a text to `path` as ``atomically`` does."""
    with atomically(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="", errors=errors)


def put_aside(path: Path, note: Callable[[str], None], links: bool = True) -> None:
    """Rename whatever takes a file's place and is not a file; links: accept a link to a file."""
    try:
        sound = stat.S_ISREG((path.stat() if links else path.lstat()).st_mode)
    except OSError:  # nothing, or a link to nothing or to itself
        sound = False
    if not sound and os.path.lexists(path):
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.damaged")
        path.rename(aside)
        note(f"{path.name} is not a file; it is kept as {aside.name}")


# --- locks ---


def held(path: Path) -> bool:
    """True if a live process holds a lock file; nothing is written, and another process waits only a moment.

    False if the file system does not support the query.
    """
    from filelock import FileLock, Timeout  # for Windows

    with contextlib.suppress(OSError):
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        try:
            if fcntl is None:
                with FileLock(path, timeout=0):
                    return False
            with opened(path) as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)  # several may ask at once
        except (BlockingIOError, Timeout):
            return True
    return False
