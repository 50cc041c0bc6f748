"""Every option of every group with its opening comment, read from the YAML files alone."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest, refusal
from mixexp.project import no_folder, project
from mixexp.settings import CONF, leaves
from mixexp.text import in_hydra

SEARCHED: list[Path] = []
"""The user's folders in which Hydra finds options in this process; mixexp's search-path plugin passes them on."""


def header(path: Path) -> list[str]:
    """The lines of a YAML file's opening comment, without their #; Hydra's own "@package" line is left out."""
    lines = []
    # an unreadable file is refused only by a run that uses it
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


def options(folders: Iterable[Path]) -> dict[str, dict[str, list[str]]]:
    """Group → option → header lines, over the program's folder and the user's; groups in alphabetical order."""
    by_group: dict[str, dict[str, list[str]]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*/*.yaml")):
            by_group.setdefault(path.parent.name, {})[path.stem] = header(path)
    return dict(sorted(by_group.items()))


def _of_a_table(name: str) -> str:
    """The advice for a word that is a key of a table; empty for any other."""
    from mixexp.spec import reference  # mixexp list starts without it

    keys = {key for section in reference.table() for key, *_ in section.keys}
    return f" Did you mean 'table'? {name} is a key of a table." if name in keys else ""


def describe(folders: Iterable[Path], group: str | None) -> str:
    """All groups with one line per option, or one group with its options' whole headers.

    "table" and "figures" are the keys of a table and the kinds of figures. Raises UserError for an unknown group.
    """
    groups = options(folders)
    if group is None:
        blocks = []
        for name, members in groups.items():
            width = max(map(len, members))
            lines = [f"  {option:<{width}}  {(lines or ['(no description)'])[0]}" for option, lines in members.items()]
            blocks.append("\n".join([name, *lines]))
        shown = (
            "mixexp list GROUP shows a group in full, list GROUP=OPTION the settings of one, list settings those of"
            " a run"
        )
        return "\n\n".join([*blocks, f"{shown}, list table and list figures what a report can show."])
    name = group if group in groups else group.removesuffix("s")
    if name in ("table", "figure"):
        from mixexp.spec import reference  # mixexp list starts without it

        return reference.as_text(reference.table() if name == "table" else reference.figures())
    if name not in groups:
        names = [*groups, "settings", "table", "figures"]
        near = closest(group, names) or _of_a_table(name)
        raise UserError(refusal(f"list {group}: no such group", near, f"there are {', '.join(names)}"))
    more = {
        option: [
            f"Edition {edition}: {why} mixexp reproduce {option} edition={edition}" for edition, why in reasons.items()
        ]
        for option, reasons in (editions(folders).items() if name == "experiment" else ())
    }
    return "\n\n".join("\n  ".join([option, *lines, *more.get(option, ())]) for option, lines in groups[name].items())


def editions(folders: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Experiment → its editions → the reason for each.

    Experiments without editions and unreadable files are left out.
    """
    from mixexp.spec.experiments import experiment  # mixexp list starts without it

    reasons = {}
    for path in (path for folder in folders for path in sorted(folder.glob("experiment/*.yaml"))):
        # most have none, and parsing YAML is slow
        if re.search(r"^editions:", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE):
            with contextlib.suppress(UserError):
                reasons[path.stem] = {
                    name: str(block.get("why", "")) for name, block in experiment(path).editions.items()
                }
    return {experiment: names for experiment, names in reasons.items() if names}


def expand_home(word: str) -> str:
    """An override with every path that begins with ~ written in full, since Hydra cannot read a ~."""
    key, equals, value = word.partition("=")
    return (
        key
        + equals
        + re.sub(r"(?:^|(?<=[,\[]))~[^,\[\]'\"]*", lambda path: in_hydra(os.path.expanduser(path[0])), value)
    )


def settings(folders: Iterable[Path], group: str) -> dict[str, list[str]]:
    """Option → the dotted settings of its file and of the options that it builds on; for suggestions."""
    files = {path.stem: path for folder in folders for path in sorted(folder.glob(f"{group}/*.yaml"))}
    return {
        option: [name for name in leaves(_merged(files, option, ())) if not name.endswith("_target_")]
        for option in files
    }


def _merged(files: Mapping[str, Path], option: str, above: tuple[str, ...]) -> dict[str, Any]:
    """An option's file over the options of its defaults list; empty where it cannot be read."""
    from mixexp.files import parse_yaml  # mixexp list starts without it

    try:
        parsed = parse_yaml(files[option].read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError):
        return {}
    if not isinstance(parsed, dict) or option in above:
        return {}
    defaults = parsed.pop("defaults", None)
    merged: dict[str, Any] = {}
    for entry in defaults if isinstance(defaults, list) else ():
        if isinstance(entry, str) and entry != "_self_":
            name, _, place = entry.partition("@")
            inner = _merged(files, name, (*above, option))
            merged |= {place: inner} if place else inner
    return merged | parsed


def commented(folders: Iterable[Path], group: str, word: str) -> list[tuple[str, str]]:
    """(option, setting) of every setting of a group's files whose comment opens with the word."""
    pairs: list[tuple[str, str]] = []
    for folder in folders if len(word) >= 3 else ():  # not for a short word such as "a"
        for path in sorted(folder.glob(f"{group}/*.yaml")):
            text = path.read_text(encoding="utf-8", errors="replace")
            pairs += [
                (path.stem, key) for key in re.findall(rf"^(\w+):[^#\n]*# *{re.escape(word)}\b", text, re.MULTILINE)
            ]
    return pairs


def is_multirun(word: str) -> bool:
    """True for -m, --multirun or an abbreviation of it, which Hydra accepts too."""
    return word == "-m" or (word.startswith("--m") and "--multirun".startswith(word))


def user_folders(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """The user's own folders of options, named by --config-dir, and the other words.

    Raises UserError for a folder that cannot hold options.
    """
    folders, rest, waiting = [], [], list(words)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        # abbreviated as Hydra allows
        if name != "-cd" and not (name.startswith("--config-d") and "--config-dir".startswith(name)):
            rest.append(word)
        elif equals or waiting:
            folders.append(_user_folder(value if equals else waiting.pop(0)))
        else:
            raise UserError(f"{word}: needs the folder with your options, such as {word} my_conf")
    return folders, rest


def _user_folder(name: str) -> Path:
    if problem := no_folder(name, Path.cwd()):
        raise UserError(f"--config-dir {problem}")
    return Path(name)


def config_dirs(typed: Iterable[Path]) -> list[Path]:
    """All folders of the user's options, each once: first those typed, then those that mixexp.yaml names.

    Raises UserError where two of them, or one and the program, have different options of the same name.
    """
    folders: dict[Path, Path] = {}
    for folder in (*typed, *project().config_dirs):
        folders.setdefault(folder.resolve(), folder)
    first = {f"{path.parent.name}={path.stem}": path for path in CONF.glob("*/*.yaml")} if folders else {}
    for path in (path for folder in folders.values() for path in sorted(folder.glob("*/*.yaml"))):
        option = f"{path.parent.name}={path.stem}"
        other = first.setdefault(option, path)
        if not other.samefile(path) and other.read_bytes() != path.read_bytes():
            whose = "the program has" if CONF in other.parents else f"{other.parent.parent} has"
            raise UserError(f"{path}: {whose} an option {option} and would use that one; give yours another name")
    return list(folders.values())


def code_now(folders: Sequence[Path]) -> Callable[[str], str | None]:
    """A function that gives the hash which a module of the user's own has now, by its name; None where it is not found.

    folders: the user's folders of options, beside which modules lie.
    """

    def digest(module: str) -> str | None:
        from mixexp.build.own_code import digest_now, extend_path, look_in  # which runs without own code need not pay

        here = project().path
        look_in(folders, *([] if here is None else [here.parent]))
        extend_path()
        return digest_now(module)

    return functools.cache(digest)


def known(folders: Sequence[Path], of: Collection[str]) -> dict[str, list[str] | None]:
    """The settings that a run can have, by dotted key: a group's options, None for any other setting.

    of: the groups whose own settings are included.
    """
    from mixexp.files import read_yaml  # mixexp list starts without it

    root, groups = read_yaml(CONF / "config.yaml"), options(folders)
    below = {
        f"{group}.{name}": None
        for group in groups
        if group in of
        for names in settings(folders, group).values()
        for name in names
    }
    return {
        **{key: None for key in root if key not in ("defaults", "hydra")},
        **below,
        **{group: list(members) for group, members in groups.items()},
    }
