"""Texts that did not come from the program made fit to be shown, and overrides made fit to be typed."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Sequence
import unicodedata

LONGEST = 4000
"""Letters of a text that are shown."""
# Controls, marks without width or that turn the direction of writing, halves of letters, tags: they hide or move what is around them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*|0|[1-9][0-9]*|[A-Za-z0-9_.-]*/[A-Za-z0-9_./-]*")
_NO_TEXTS = ("null", "true", "false", "nan", "inf")


def sanitize(text: str) -> str:
    """The text as a page or a terminal shows it: what nobody would see as its escape, and what is too long cut, saying so.

    Tabs and line breaks stay.
    """
    return escaped(f"{text[:LONGEST]} … (cut: {len(text):,} letters)" if len(text) > LONGEST else text)


def escaped(text: str) -> str:
    """The text with what nobody would see as its escape, however long it is."""
    return _UNSEEN.sub(_escape, text)


def one_line(text: str) -> str:
    """The text on one line, fit to be shown."""
    return printable(sanitize(" ".join(text.split())))


def printable(line: str) -> str:
    """A line without anything that moves a terminal's cursor, line breaks and tabs included, its blanks as they are."""
    return line if line.isprintable() else "".join(letter if letter.isprintable() else _escape(letter) for letter in line)


def shorten(text: str, columns: int) -> str:
    """A line's beginning that takes at most so many columns of a terminal; some letters take two, and some none."""
    ends = list(itertools.accumulate(_columns(letter) for letter in text))
    if not ends or ends[-1] <= columns:
        return text
    return text[: sum(end < columns for end in ends)] + "…"


def _columns(letter: str) -> int:
    return 0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _escape(letter: re.Match[str] | str) -> str:
    return f"\\u{ord(letter[0]):04x}"


def override(key: str, value: str | Sequence[str]) -> str:
    """An override that sets a text or a list of texts, as it must be typed in a shell."""
    texts = [in_hydra(value)] if isinstance(value, str) else [in_hydra(text) for text in value]
    return in_shell(f"{key}={texts[0]}" if isinstance(value, str) else f"{key}=[{','.join(texts)}]")


def in_hydra(text: str) -> str:
    """A text as the grammar of overrides has it: in quotes unless it is a plain word or whole number."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXTS:
        return text
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', text).replace("${", "\\${")  # a backslash means itself except before a quote
    doubled = re.search(r"\\*$", escaped)[0]
    return f'"{escaped}{doubled}"'


def in_shell(word: str) -> str:
    """An override as it must be typed in a shell."""
    return shlex.quote(word)
