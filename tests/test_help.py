"""Every command answers --help at once, in one form; the overview names them all."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mixexp.cli import COMMANDS, overview
from mixexp.command import reports, tree, weights
from mixexp.errors import UserError
from mixexp.inference.export import FORMATS
from mixexp.metrics import RULES
from mixexp.plan.options import options
from mixexp.settings import CONF

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "hydra", "omegaconf", "pandas", "numpy", "scipy", "matplotlib", "pydantic", "yaml", "rich")
"""Libraries that take longer to import than a help text may take."""


def test_help_and_list_import_no_heavy_library():
    code = (
        "import sys, mixexp.cli as c\n"
        f"for words in (['--help'], ['list'], *([name, '--help'] for name in c.COMMANDS)):\n"
        f"    sys.argv[1:] = words; c.main()\n    heavy = {{*{HEAVY!r}}} & sys.modules.keys()\n"
        "    assert not heavy, (words, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert all(f"usage: mixexp {name}" in done.stdout for name in COMMANDS)


def test_the_overview_is_one_screen_with_every_command():
    lines = overview().splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 100
    assert [line[:-1] for line in lines if re.fullmatch(r"[A-Z][a-z ]+:", line)] == [
        "Run",
        "Look",
        "Report",
        "Use weights",
        "Extend",
    ]
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_arguments_two_examples_and_where_more_is_said(name, capsys):
    for word in ("-h", "--help"):
        COMMANDS[name]([word, "anything"])
    text, again = capsys.readouterr().out.split("usage: ")[1:]
    assert text == again and max(map(len, text.splitlines())) <= tree.WIDTH
    command = COMMANDS[name]
    for positional, _, meaning in command.positionals:
        assert re.search(rf"^  {re.escape(positional)}\b", text, re.MULTILINE), positional
        assert " ".join(meaning.split())[:20] in " ".join(text.split())
    assert len(command.examples) == 2
    for line, meaning in command.examples:
        assert shlex.split(line)[:2] == ["mixexp", name] and f"  {line}\n      {meaning}\n" in text
    assert text.endswith(f"more: {', '.join(command.more)}\n")
    for page in command.more:
        assert (ROOT / page).is_file(), page


@pytest.mark.parametrize("name", COMMANDS)
def test_the_words_of_an_example_are_words_of_the_command(name):
    """Options, options of groups and experiments are there; folders of runs and files need not be."""
    command = COMMANDS[name]
    groups = options([CONF])
    for line, _ in command.examples:
        words = shlex.split(line)[2:]
        _, rest = command.prepare(words)
        if command.overrides:
            _, left = command.parser(whole=False).parse_known_args(rest)
            assert not [word for word in left if word.startswith("-")]
        else:
            command.parser(whole=False).parse_intermixed_args(rest)
        for word in words:
            group, equals, value = word.partition("=")
            for option in value.split(",") if equals and group in groups else ():
                assert option in groups[group], word
        if name in ("reproduce", "plan") and "=" not in words[0]:
            assert words[0] in groups["experiment"]


def test_the_choices_of_help_are_those_of_the_program():
    assert tuple(RULES) == reports.RULES and tuple(FORMATS) == weights.FORMATS


@pytest.mark.parametrize(
    "words, expected",
    [
        (["report", "x", "--metrc", "error"], "Did you mean '--metric'?"),
        (["runs", "x", "--jsn"], "Did you mean '--json'?"),
        (["leaderboard", "--rule", "bset"], "Did you mean 'best'?"),
        (["export", "x"], "required: --to"),
        (["status", "x", "--json", "--watch"], "goes without --watch"),
        (["runs", "x", "a=1", "--json", "--remove"], "goes without --remove"),
        (["probe", "x", "probe=fgsm", "--agin"], "Did you mean '--again'?"),
        (["list", "--jsn"], "Did you mean '--json'?"),
        (["data", "digits", "--out", "x"], "data: unrecognized arguments: --out"),
        (["log", "x", "logger=tensorboard", "--json"], "log: unrecognized arguments: --json"),
        (["reproduce", "quickstart", "-m", "--rule"], "reproduce: unrecognized arguments: --rule"),
    ],
)
def test_a_wrong_option_is_refused_with_the_nearest_one(words, expected):
    with pytest.raises(UserError) as caught:
        COMMANDS[words[0]](words[1:])
    assert expected in str(caught.value)


def test_two_dashes_before_the_words_change_nothing(capsys):
    for words in (["mix"], ["--", "mix"]):
        COMMANDS["list"](words)
    text = capsys.readouterr().out
    assert text[: len(text) // 2] == text[len(text) // 2 :]
