"""The entry point of `mixexp`: sub-commands, and Hydra for everything else. Heavy imports wait for their command."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence

from mixexp.command import extend, look, make, reports, weights
from mixexp.command.tree import WIDTH, Command
from mixexp.errors import UserError, closest, meant, say, warnings_as_notes
from mixexp.plan.options import expand_home, is_multirun, options, user_folders
from mixexp.settings import CONF
from mixexp.text import in_shell

COMMANDS: dict[str, Command] = {
    command.name: command for module in (make, look, reports, weights, extend) for command in module.COMMANDS
}
"""Every sub-command by its name, in the order of `mixexp --help`."""
SWEEP = "mixexp -m mix=none,mixup seed=0,1,2"
USAGE = f"""\
mixexp KEY=VALUE ...         one run, e.g. mixexp dataset=mnist model=mnist_cnn mix=mixup alpha=0.2
mixexp -m KEY=VALUE ...      a sweep, e.g. {SWEEP}
mixexp -m experiment=NAME    an experiment's whole grid; overrides narrow or change it
mixexp COMMAND ...           a command below; mixexp COMMAND --help shows its arguments and examples
"""
CLOSING = (
    "mixexp list settings shows the keys of a run, mixexp list the options of its groups; --config-dir DIR adds"
    " options of your own, a mixexp.yaml here or above saves typing it (docs/own_code.md). mixexp --help-hydra shows"
    " Hydra's own options: --cfg job, shell completion, ..."
)


def main() -> None:
    """Entry point: prints one clear message for what the user can mend and exits with 2, or 1 for runs that failed."""
    warnings_as_notes()
    words = [expand_home(word) for word in sys.argv[1:]]
    try:
        words = _command_first(words)
        _refuse_blanks(words)
        if words and words[0] in COMMANDS:
            COMMANDS[words[0]](words[1:])
        elif not words or "-h" in words or "--help" in words:
            print(overview(), end="")
        elif words == ["--version"]:
            from importlib.metadata import version

            print(f"mixexp {version('mixexp')}")
        elif re.fullmatch(r"[a-z_]+", words[0]):
            _refuse(words)
        elif all(map(is_multirun, words)):
            raise UserError(f"{words[0]}: no settings to sweep, e.g. {SWEEP} or mixexp -m experiment=quickstart")
        else:
            from mixexp.sweeping.application import application

            application(["--help" if word == "--help-hydra" else word for word in words])
    except UserError as error:
        sys.exit(say(str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(say("stopped; finished runs are kept, the same command continues with the rest", code=130))
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a full disk, a folder without permission
        sys.exit(say(f"{error.filename or 'file'}: {error.strerror or error}"))


def overview() -> str:
    """The text of `mixexp --help`: every command in a line, by groups."""
    parts = [USAGE]
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        members = [command for command in COMMANDS.values() if command.group == group]
        parts.append("\n".join([f"{group}:", *(f"  {one.name:<11}  {one.summary}" for one in members)]) + "\n")
    return "\n".join([*parts, textwrap.fill(CLOSING, WIDTH) + "\n"])


def _command_first(words: list[str]) -> list[str]:
    """The words with a command at their beginning where only folders of options stand before it."""
    if not words or words[0] in COMMANDS or not words[0].startswith(("--config-dir", "-cd")):
        return words
    folders, rest = user_folders(words)
    return [*rest, *(f"--config-dir={folder}" for folder in folders)] if rest and rest[0] in COMMANDS else words


def _refuse_blanks(words: Sequence[str]) -> None:
    """Raise UserError for an override in several words: KEY = VALUE, KEY =VALUE or KEY= VALUE."""
    for place, (word, following) in enumerate(itertools.pairwise(words)):
        parts = words[place : place + 2 + (following == "=")]
        # behind an empty value, a command takes a name
        empty = word.endswith("=") and words[0] not in COMMANDS and re.fullmatch(r"[\w.,+-]+", following)
        divided = (following.startswith("=") or (empty and following[:2] != "--")) and parts[-1][:2] != "--"
        if divided and re.fullmatch(r"[+~]*[\w./]+=?", word) and not (place == 0 and word in COMMANDS):
            problem = "an override is KEY=VALUE, without blanks around the ="
            raise UserError(f"{shlex.join(parts)}: {problem}.{meant(in_shell(''.join(parts)))}")


def _refuse(words: Sequence[str]) -> None:
    """Raise UserError for a word that is not a command."""
    chosen = [f"{group}={words[0]}" for group, members in options([CONF]).items() if words[0] in members]
    near = f" Did you mean {' or '.join(map(repr, chosen))}?" if chosen else closest(words[0], COMMANDS)
    raise UserError(f"{words[0]}: no such command.{near} There are {', '.join(COMMANDS)}; mixexp --help says more.")
