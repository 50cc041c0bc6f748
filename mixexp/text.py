"""Texts that did not come from the program made fit to be shown, and overrides made fit to be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

LONGEST = 4000
"""Letters of a text that are shown."""
# Controls, marks without width or that turn the direction of writing, halves of letters, tags: they hide or move what is around them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

# Words that Hydra's grammar reads as texts without quotes.
_PLAIN = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./:-]*")
_NO_TEXT = re.compile(r"true|false|null|nan|inf|[+-](nan|inf)|[+-]?[\d._]+(e[+-]?[\d_]+)?", re.IGNORECASE)


def sanitize(text: str) -> str:
    """The text as a page or a terminal shows it: what nobody would see as its escape, and what is too long cut, saying so.

    Tabs and line breaks stay.
    """
    cut = f"{text[:LONGEST]} … (cut: {len(text):,} letters)" if len(text) > LONGEST else text
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)


def one_line(text: str) -> str:
    """The text on one line, fit to be shown."""
    return sanitize(" ".join(text.split()))


def override(key: str, value: Any) -> str:
    """The override that gives a setting a value (None, a boolean, a number, a text, a list or a mapping of these), to be typed in a shell.

    Hydra reads exactly this value, but for the text "???", which means a missing value wherever it stands.
    """
    return in_shell(f"{key}={in_hydra(value)}")


def in_hydra(value: Any) -> str:
    """A value in the grammar of Hydra's overrides: a text is in quotes unless Hydra takes it for this text without."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(key)}:{in_hydra(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(in_hydra, value))}]"
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value) and not _NO_TEXT.fullmatch(value):
        return value
    # "${" would refer to another setting; a backslash is one of the text unless it stands before a quote or before "${"
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    text = re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + found[2].replace('"', '\\"'), text)
    return f'"{text}"'


def _key(key: Any) -> str:
    """The key of a mapping: the grammar has no quotes there, but a backslash before some signs."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", str(key))


def in_shell(word: str) -> str:
    """An override as it must be typed in a shell."""
    return shlex.quote(word)
