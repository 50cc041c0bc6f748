"""`mixexp new`: the files of an extension, inside the checkout or in a folder of the user's own, ready to run."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mixexp.errors import UserError, show
from mixexp.files import write_atomically
from mixexp.plan.options import config_dirs, options
from mixexp.project import project
from mixexp.settings import CONF
from mixexp.text import in_shell

TEMPLATES = Path(__file__).parent / "templates"
CHECKOUT = CONF.parent
TESTS = {
    "mix": "test_mix.py",
    "loss": "test_loss.py",
    "model": "test_model.py",
    "dataset": "test_dataset.py",
    "experiment": "test_experiments.py",
}
"""The test file of the checkout that finds the options of a kind by itself."""


@dataclass(frozen=True)
class Extension:
    """An option to be written; folder: of options of the user's own, None for the checkout."""

    kind: str
    name: str
    folder: Path | None

    @property
    def class_name(self) -> str:
        return "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))

    @property
    def module(self) -> str:
        """Its module as an import has it; a folder's modules of all kinds lie beside each other."""
        return f"mixexp.{self.kind}.{self.name}" if self.folder is None else f"{self.name}_{self.kind}"

    def files(self) -> dict[Path, str]:
        """The path of each file and its text."""
        places = {"yaml": (self.folder or CONF) / self.kind / f"{self.name}.yaml"}
        if self.kind != "experiment":
            home = CHECKOUT / "mixexp" / self.kind if self.folder is None else self.folder
            places["py"] = home / f"{self.module.rpartition('.')[2]}.py"
        if self.folder is not None:
            places["test"] = self.folder / f"test_{self.module}.py"
        names = {"yaml": f"{self.kind}.yaml.txt", "py": f"{self.kind}.py.txt", "test": f"{self.kind}_test.py.txt"}
        values = {
            "name": self.name,
            "class_name": self.class_name,
            "module": self.module,
            "target": f"{self.module}.{self.class_name}",
        }
        return {
            place: Template((TEMPLATES / names[what]).read_text(encoding="utf-8")).substitute(values)
            for what, place in places.items()
        }

    def commands(self) -> list[str]:
        """The commands that come next, with what makes them shorter."""
        here, extra, lines = project(), [], []
        if self.folder is not None:
            if self.folder.resolve() not in [folder.resolve() for folder in here.config_dirs]:
                extra += ["--config-dir", str(self.folder)]
                lines.append(
                    f"config_dirs: [{', '.join(str(_near(each)) for each in (*here.config_dirs, self.folder))}]"
                )
            if self.kind != "experiment" and self.module not in here.trusted_modules:
                extra.append(f"trusted_modules=[{self.module}]")
                lines.append(f"trusted_modules: [{', '.join([*here.trusted_modules, self.module])}]")
        if self.kind == "experiment":
            first = [["plan", self.name], ["reproduce", self.name]]
        else:
            first = [[f"{self.kind}={self.name}", "steps=2"], ["list", f"{self.kind}={self.name}"]]
        runs = [" ".join(["mixexp", *map(in_shell, [*words, *extra])]) for words in first]
        tests = "tests/test_build.py tests/test_structure.py tests/" + TESTS[self.kind]
        place = f"{tests} -k {self.name}" if self.folder is None else in_shell(f"{self.folder}/test_{self.module}.py")
        saves = [f"a mixexp.yaml saves the last words (docs/own_code.md): {'; '.join(lines)}"] if lines else []
        return [f"run it:  {runs[0]}", f"or:      {runs[1]}", f"test it: pytest {place}", *saves]


def new(arguments: argparse.Namespace) -> None:
    """Write the files of an extension and print what comes next; raises UserError, and writes nothing, for a bad name
    and where a file is there already."""
    folder = _folder(arguments.dir)
    check_name(arguments.kind, arguments.name, arguments.folders)
    extension = Extension(arguments.kind, arguments.name, folder)
    if folder is not None and importlib.util.find_spec(extension.module) is not None:
        raise UserError(
            f"new {arguments.kind} {arguments.name}: a module {extension.module} is there; choose another name"
        )
    files = extension.files()
    if there := [str(path) for path in files if path.exists() or path.is_symlink()]:
        verb = "is" if len(there) == 1 else "are"
        raise UserError(
            f"new {arguments.kind} {arguments.name}: {', '.join(there)} {verb} there already; choose another name"
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
        show(str(_near(path)))
    show("\n".join(extension.commands()))


def check_name(kind: str, name: str, typed: list[Path]) -> None:
    """Raise UserError for a name that no option of a kind can have, with one that it can."""
    taken = options([CONF, *config_dirs(typed)]).get(kind, ())
    if not _is_name(name):
        meant = re.sub(r"[^a-zA-Z0-9]", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()
        meant = re.sub(r"_+", "_", meant).strip("_")[:40]
        meant = meant if _is_name(meant) and meant not in taken else f"my_{meant or kind}"[:40]
        raise UserError(
            f"new {kind} {name}: a name has small letters, digits and _, begins with a letter, and is not a word of"
            f" Python's or YAML's. Did you mean '{meant}'?"
        )
    if name in taken:
        raise UserError(f"new {kind} {name}: there is an option {kind}={name} already; choose another name")


def _is_name(text: str) -> bool:
    reserved = keyword.iskeyword(text) or text in ("null", "true", "false", "yes", "no", "on", "off", "nan", "inf")
    return bool(re.fullmatch(r"[a-z][a-z0-9_]{0,39}", text)) and not reserved


def _folder(named: str | None) -> Path | None:
    """The folder of options for the files: the one that is named, or the first of a mixexp.yaml, or None for the
    checkout that we are in."""
    if named is not None:
        if not named:
            raise UserError("new --dir=: the value is left empty; it needs a folder, such as --dir my_conf")
        folder = Path(named)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"new --dir {named}: is a file, and a folder is needed")
        if folder.resolve() == CONF.resolve():
            raise UserError(f"new --dir {named}: is the program's own folder; leave --dir out in its checkout")
        return folder
    if own := project().config_dirs:
        return _near(own[0])
    if (CHECKOUT / "pyproject.toml").is_file() and Path.cwd().resolve().is_relative_to(CHECKOUT.resolve()):
        return None
    raise UserError("new: say where, --dir FOLDER, such as --dir my_conf; a mixexp.yaml that names the folder does too")


def _near(path: Path) -> Path:
    """The path from the working directory, where it lies below that."""
    with contextlib.suppress(ValueError):
        return path.resolve().relative_to(Path.cwd().resolve())
    return path
