"""The form of a sub-command: its arguments, its help, and how its words are read. Without torch, Hydra and pandas."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mixexp.errors import Parser, UserError, closest
from mixexp.plan.options import user_folders

WIDTH = 100
"""Columns that help takes at most."""
CONFIG_DIR = "a folder of your own options; may be given again; a mixexp.yaml saves it (docs/own_code.md)"
JSON = "print JSON (docs/json.md)"

Positional = tuple[str, str | int | None, str]
"""A positional argument: its name in help, its number (argparse's nargs) and its meaning."""


def no_options(parser: argparse.ArgumentParser) -> None:
    """Add no option: the command has positional arguments alone."""


@dataclass(frozen=True)
class Command:
    """A sub-command; `run` gets its arguments, with the user's folders of options as `folders`.

    examples: pairs of a command line and its meaning. more: the pages that say more. options: adds its options to a
    parser. overrides: whether words go on to Hydra: `run` then gets all words that are not options of the command as
    `words`. hydra_options: the options of Hydra that the command takes besides; None: Hydra reads and refuses them
    itself. own_options: whether --config-dir has a meaning for it. prepare: takes the words that argparse cannot read,
    and gives the values that they mean and the others.
    """

    name: str
    group: str
    summary: str
    description: str
    examples: tuple[tuple[str, str], tuple[str, str]]
    more: tuple[str, ...]
    run: Callable[[argparse.Namespace], None]
    positionals: tuple[Positional, ...] = ()
    options: Callable[[argparse.ArgumentParser], Any] = no_options
    overrides: bool = False
    hydra_options: Collection[str] | None = ()
    own_options: bool = False
    prepare: Callable[[Sequence[str]], tuple[dict[str, Any], list[str]]] = lambda words: ({}, [*words])

    def parser(self, whole: bool = True) -> Parser:
        """The parser of its words; whole: with its positional arguments and --config-dir, as help shows them."""
        examples = "".join(f"  {line}\n      {meaning}\n" for line, meaning in self.examples)
        parser = Parser(
            prog=f"mixexp {self.name}",
            description=textwrap.fill(self.description, WIDTH),
            epilog=f"examples:\n{examples}\nmore: {', '.join(self.more)}",
            formatter_class=_Formatter,
            allow_abbrev=False,  # an unknown option gets the nearest one
        )
        for name, number, meaning in self.positionals if whole or not self.overrides else ():
            parser.add_argument(re.split(r"\W", name)[0].lower(), nargs=number, metavar=name, help=meaning)
        self.options(parser)
        if whole and self.own_options:
            parser.add_argument("--config-dir", metavar="DIR", action="append", help=CONFIG_DIR)
        return parser

    def __call__(self, words: Sequence[str]) -> None:
        """Do it, or print its help; raises UserError for words that it does not take."""
        if "-h" in words or "--help" in words:
            print(self.parser().format_help(), end="")
            return
        folders: list[Path] = []
        if self.own_options:
            folders, words = user_folders(words)
        values, words = self.prepare(words)
        parser = self.parser(whole=False)
        if self.overrides:
            arguments, rest = parser.parse_known_args(words)
            arguments.words = [word for word in rest if word != "--"]
            taken = self.hydra_options
            for word in arguments.words if taken is None else ():  # before Hydra looks for the nearest of its own
                if word.startswith("--") and get_close_matches(word, own := parser.flags(), n=1, cutoff=0.8):
                    raise UserError(f"{self.name}: {word}: no such option.{closest(word, own)}")
            if taken is not None and (
                strange := [word for word in arguments.words if word.startswith("-") and word not in taken]
            ):
                self.parser().error(f"unrecognized arguments: {' '.join(strange)}")
        else:
            arguments = parser.parse_intermixed_args(words)
        for name, value in {**values, "folders": folders}.items():
            setattr(arguments, name, value)
        self.run(arguments)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help of WIDTH columns, however wide the terminal is."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=WIDTH)


def names_and_overrides(words: Sequence[str], needed: str) -> tuple[list[str], list[str]]:
    """The names that a command is given and the overrides beside them; raises UserError, which says what is needed,
    where there is no name."""
    names = [word for word in words if "=" not in word and not word.startswith(("-", "+", "~"))]
    if not names:
        raise UserError(needed)
    return names, [word for word in words if word not in names]
