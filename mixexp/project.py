"""mixexp.yaml: settings for every command in its folder and below. Without torch."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest
from mixexp.text import in_hydra, listed, shown

NAME = "mixexp.yaml"


@dataclass(frozen=True)
class Project:
    """Content of a mixexp.yaml, with absolute paths; path: the file itself, None if there is none."""

    path: Path | None = None
    config_dirs: tuple[Path, ...] = ()
    trusted_modules: tuple[str, ...] = ()
    data_dir: Path | None = None
    output_dir: Path | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a run that it gives; the environment variable MIXEXP_DATA overrides its data folder."""
        given = {
            "trusted_modules": list(self.trusted_modules),
            "data_dir": self.data_dir,
            "output_dir": self.output_dir,
        }
        if os.environ.get("MIXEXP_DATA") is not None:
            del given["data_dir"]
        return {key: str(value) if isinstance(value, Path) else value for key, value in given.items() if value}


def project_file() -> Path | None:
    """The nearest mixexp.yaml, in the working directory or above."""
    here = Path.cwd()
    return next((folder / NAME for folder in (here, *here.parents) if os.path.lexists(folder / NAME)), None)


def project() -> Project:
    """Project of the working directory; raises UserError with all errors of its file."""
    path = project_file()
    return Project() if path is None else _read(path)


def outputs() -> Path:
    """Folder of outputs that commands use if none is named."""
    folder = project().output_dir
    if folder is None:
        return Path("outputs")
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def no_folder(name: str, base: Path) -> str:
    """Error message for a name, relative to base, that is not a folder, with the nearest; empty for a folder."""
    folder = _place(base, name)
    if name and folder.is_dir():
        return ""
    beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if name and folder.parent.is_dir() else []
    what = "is a file, and a folder of options is needed" if name and folder.is_file() else f"no such folder in {base}"
    return f"{name or repr(name)}: {what}.{closest(folder.name, beside)}"


def _read(path: Path) -> Project:
    from mixexp.files import parse_yaml, read_text, repeated_key  # imported here so that mixexp list starts faster

    if not path.exists():
        raise UserError(f"{path}: it is a link to {os.readlink(path)}, which is not there")
    try:
        said = parse_yaml(text := read_text(path))
        if problem := repeated_key(text):
            raise UserError(f"{path}: {problem}")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    said = {} if said is None else said
    if not isinstance(said, dict):
        raise UserError(f"{path}: a mapping is needed, such as config_dirs: [my_conf]; its keys are {', '.join(_KEYS)}")
    values, wrong = {}, []
    for key, value in said.items():
        try:
            if key not in _KEYS:
                raise UserError(f"{key}: no such key; there are {', '.join(_KEYS)}.{closest(key, _KEYS)}")
            values[key] = _KEYS[key](path.parent, value)
        except UserError as error:
            wrong.append(f"{path}: {error}")
    if not wrong and "trusted_modules" in values:
        beside = [place for folder in values.get("config_dirs", ()) for place in (folder.parent, folder)]
        wrong = [
            f"{path}: {error}" for error in _missing(values["trusted_modules"], dict.fromkeys([path.parent, *beside]))
        ]
    if wrong:
        raise UserError("\n".join(wrong))
    return Project(path, **values)


def _texts(key: str, what: str, value: Any) -> list[str]:
    if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
        return value
    meant = f" Did you mean '{key}: [{value}]'?" if isinstance(value, str) and value else ""
    raise UserError(f"{key} = {shown(value)}: needs a list of {what}.{meant}")


def _config_dirs(base: Path, value: Any) -> tuple[Path, ...]:
    names = _texts("config_dirs", "folders of options", value)
    if wrong := list(filter(None, (no_folder(name, base) for name in names))):
        raise UserError(f"config_dirs: {' '.join(wrong)}")
    return tuple(dict.fromkeys(_place(base, name) for name in names))


def _trusted_modules(base: Path, value: Any) -> tuple[str, ...]:
    names = _texts("trusted_modules", "names of modules, each as an import has it, such as own.nets", value)
    for name in names:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
            near = closest(name.removesuffix(".py").replace("-", "_").replace("/", "."), _modules([base]))
            raise UserError(
                f"trusted_modules: {shown(name)} is not a name of a module as an import has it, such as own.nets.{near}"
            )
    return tuple(dict.fromkeys(names))


def _missing(names: Iterable[str], folders: Iterable[Path]) -> list[str]:
    """Errors of trusted modules that are not installed and not in these folders or the working directory."""
    places = list(dict.fromkeys([Path.cwd(), *folders]))
    there = _modules(places)
    tops = {name: name.partition(".")[0] for name in names}
    absent = [name for name, top in tops.items() if top not in there and not _installed(top)]
    where = listed(places)
    return [
        f"trusted_modules: there is no module {name} in {where}, nor is one installed.{closest(tops[name], there)}"
        for name in absent
    ]


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # raised for a running module that was never imported
        return True


def _modules(folders: Iterable[Path]) -> list[str]:
    """Modules and packages in folders."""
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    return [path.stem for path in paths if path.suffix == ".py" or (path.is_dir() and not path.name.startswith("."))]


def _folder(key: str) -> Callable[[Path, Any], Path]:
    """Reader of a key that names one folder, which need not exist."""

    def read(base: Path, value: Any) -> Path:
        if not isinstance(value, str) or not value:
            meant = f" Did you mean '{key}: {in_hydra(str(value))}'?" if isinstance(value, int | float) else ""
            raise UserError(f"{key} = {shown(value)}: needs a folder.{meant}")
        if (folder := _place(base, value)).is_file():
            raise UserError(f"{key} = {shown(value)}: is a file, and a folder is needed")
        return folder

    return read


def _place(base: Path, name: str) -> Path:
    """Absolute path of a path in a mixexp.yaml, which is relative to the file's folder."""
    return Path(os.path.normpath(base / os.path.expanduser(name)))


_KEYS: dict[str, Callable[[Path, Any], Any]] = {
    "config_dirs": _config_dirs,
    "trusted_modules": _trusted_modules,
    "data_dir": _folder("data_dir"),
    "output_dir": _folder("output_dir"),
}
"""The keys of a mixexp.yaml, and the functions that read their values."""
