"""Texts that did not come from the program made fit to be shown, and overrides made fit to be typed."""

from __future__ import annotations

import itertools
import re
import shlex
import unicodedata

LONGEST = 4000
"""Letters of a text that are shown."""
# Controls, marks without width or that turn the direction of writing, halves of letters, tags: they hide or move what is around them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


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


def in_shell(word: str) -> str:
    """An override as it must be typed in a shell."""
    return shlex.quote(word)
