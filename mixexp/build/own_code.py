"""The user's own code: the folders where its modules are found, and the source of a run's own classes."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mixexp.settings import NOT_SCIENTIFIC

PROGRAM = ("mixexp", "torch", "torchvision")
"""Packages whose classes any configuration may name."""
_NEVER_OWN = {*PROGRAM, "hydra_plugins", *sys.stdlib_module_names}
_INSTALLED = {"site-packages", "dist-packages"}
_FOLDERS: list[Path] = []


class Source(NamedTuple):
    """The source of a module and of its imports from the user's own folders: hash and files."""

    digest: str
    files: tuple[Path, ...]


# --- folders of own modules ---


def look_in(config_dirs: Iterable[Path], *others: Path) -> None:
    """Find modules of the user's own next to and in these folders of options from now on, and in the other folders."""
    places = [Path(os.path.abspath(folder)) for folder in config_dirs]
    _FOLDERS[:] = dict.fromkeys([*others, *(folder for place in places for folder in (place.parent, place))])


def own_folders() -> list[Path]:
    """The folders where the user's own modules are found, the working directory first."""
    return list(dict.fromkeys([Path.cwd(), *_FOLDERS]))


def extend_path() -> None:
    """Add these folders to the end of Python's search path."""
    sys.path.extend(str(folder) for folder in own_folders() if str(folder) not in sys.path)


def within(module: str, packages: Iterable[str]) -> bool:
    """True if a module, by its dotted name, is one of some packages or in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


# --- sources of a run ---


def sources(config: Mapping[str, Any], trusted: Iterable[str]) -> dict[str, Source]:
    """The source of every imported, trusted module that a `_target_` names, by the module's name.

    A logger's module does not count, nor does one of any other setting that changes no numbers.
    """
    counting = {key: value for key, value in config.items() if key not in NOT_SCIENTIFIC}
    modules = {target.rpartition(".")[0] for target in _targets(counting)}
    names = sorted(name for name in modules if within(name, trusted) and not within(name, PROGRAM))
    return {name: source_of(sys.modules[name]) for name in names if name in sys.modules}


def _targets(value: Any) -> Iterator[str]:
    """Every `_target_` of a configuration."""
    if isinstance(value, Mapping):
        if isinstance(target := value.get("_target_"), str):
            yield target
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _targets(inner)


# Cached: a process's imports do not change with the files, which matters in a sweep of days.
@functools.cache
def source_of(module: ModuleType) -> Source:
    """The source of a module and of everything it imports, directly or not, from the user's own folders.

    These are the folder of the module, or of its topmost package, and those of ``own_folders``. Installed packages
    never count. The hash covers the text, comments included. Imports are read from the text: an import by a computed
    name is missed.
    """
    return _source(module.__name__, Path(getattr(module, "__file__", None) or ""))


def digest_now(name: str) -> str | None:
    """The hash of a module's source as its files are now, found without importing it; None where it is not found."""
    importlib.invalidate_caches()  # a file may be newer than what a long process has seen of its folder
    file = _file_of(name)
    return None if file is None else _source(name, file).digest


def _source(module: str, file: Path) -> Source:
    files = _files(module, file)
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return Source(digest.hexdigest()[:16], tuple(files.values()))


def _files(module: str, file: Path) -> dict[str, Path]:
    """The files of a module and of what it imports, by the modules' names."""
    if not file.is_file():  # built in, or from an archive
        return {}
    depth = module.count(".") + (file.name == "__init__.py")
    folders = [file.absolute().parents[depth], *own_folders()]
    files, waiting = {module: file}, [*_prefixes(module), *_imported(module, file)]
    while waiting:
        name = waiting.pop()
        if name not in files and (path := _own_file(name, folders)) is not None:
            files[name] = path
            waiting += _imported(name, path)
    return files


def _imported(name: str, path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere, with the packages around them; some names may be no modules."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # its import reports the error
        return
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _prefixes(alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from _prefixes(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _prefixes(name: str) -> Iterator[str]:
    """The packages around a module, topmost first, and the module itself."""
    return itertools.accumulate(name.split("."), "{}.{}".format)


def _own_file(name: str, folders: Iterable[Path]) -> Path | None:
    """The file of a module; None where it lies in none of the folders, or is installed there."""
    path = _file_of(name)
    own = (
        path is not None and not _INSTALLED & set(path.parts) and any(path.is_relative_to(folder) for folder in folders)
    )
    return path if own else None


def _file_of(name: str) -> Path | None:
    """The Python file of a module, found without importing anything; None where there is none or it is never the
    user's own."""
    top, *rest = name.split(".")
    if not top or top in _NEVER_OWN:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # such as that of a running script
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        # by the bare name: of a package without __init__.py, the dotted one would need its parent to be imported
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations))
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).absolute()
    return path if path.suffix == ".py" else None
