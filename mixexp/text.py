"""Foreign texts made safe to show, and overrides made safe to type."""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LONGEST = 4000
"""Characters of a text that are shown."""
# Control characters, characters without width or that change the writing direction, surrogates, tags: they hide or move
# the characters around them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

_BREAKS = re.compile(r"\s*[\t-\r\x1c-\x1f\x85\u2028\u2029]\s*")

SHOWN = 60
"""Characters of a value that a message shows."""
LISTED, LISTED_OF_MANY = 30, 10
"""Number of names that a message lists in full, and number that it lists of a longer list."""
# words that Hydra's grammar reads as texts without quotes
_PLAIN = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./:-]*")
_NO_TEXT = re.compile(r"true|false|null|nan|inf|[+-](nan|inf)|[+-]?[\d._]+(e[+-]?[\d_]+)?", re.IGNORECASE)


def sanitize(text: str) -> str:
    """Text as a page or a terminal shows it: invisible characters escaped, a long text cut, with a note of its length.

    Tabs and line breaks stay.
    """
    return escaped(f"{text[:LONGEST]} … (cut: {len(text):,} letters)" if len(text) > LONGEST else text)


def escaped(text: str) -> str:
    """Text with invisible characters escaped, at any length."""
    return _UNSEEN.sub(_escape, text)


def one_line(text: str) -> str:
    """Text on one line, safe to show."""
    return printable(sanitize(" ".join(text.split())))


def joined(text: str) -> str:
    """Text without surrounding blanks, and with one blank for each line break and the blanks around it."""
    return _BREAKS.sub(" ", text.strip())


def unbroken(text: str) -> str:
    """Text on one line, safe to show, with its blanks unchanged, so that commands in it can be copied."""
    line = sanitize(joined(text))
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else _escape(letter) for letter in line
    )


def printable(line: str) -> str:
    """Line with everything that moves a terminal's cursor escaped, line breaks and tabs included; blanks unchanged."""
    return (
        line if line.isprintable() else "".join(letter if letter.isprintable() else _escape(letter) for letter in line)
    )


def shorten(text: str, columns: int) -> str:
    """Beginning of a line, at most `columns` terminal columns wide; some characters are two columns wide, some none."""
    ends = list(itertools.accumulate(map(width, text)))
    if not ends or ends[-1] <= columns:
        return text
    return text[: sum(end < columns for end in ends)] + "…"


def width(text: str) -> int:
    """Columns of a text in fixed width: two per Chinese, Japanese or Korean character, none per combining one."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _escape(letter: re.Match[str] | str) -> str:
    return f"\\u{ord(letter[0]):04x}"


def override(key: str, value: Any) -> str:
    """Override that sets a value (None, a boolean, a number, a text, a list or a mapping of these), quoted for a shell.

    Hydra reads exactly this value, except the text "???", which always means a missing value.
    """
    return in_shell(f"{key}={in_hydra(value)}")


def in_hydra(value: Any) -> str:
    """Value in the grammar of Hydra's overrides; a text is quoted unless Hydra reads the same text without quotes."""
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
    # "${" would refer to another setting; a backslash is literal except before a quote or before "${"
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    text = re.sub(r'(\\*)("|\Z)', lambda match: match[1] * 2 + match[2].replace('"', '\\"'), text)
    return f'"{text}"'


def _key(key: Any) -> str:
    """Key of a mapping: the grammar has no quotes there, but a backslash before some characters."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", str(key))


def shown(value: Any) -> str:
    """Value in a message, as typed after "key=", cut if it is long."""
    text = one_line(in_hydra(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def listed(names: Iterable[object], near: object = None) -> str:
    """Names separated by commas; a long list is cut, names that resemble `near` first, with the number left out."""
    texts = [one_line(str(name)) for name in names]
    if len(texts) <= LISTED:
        return ", ".join(texts)
    first = [] if near is None else resembling(near, texts, 3)
    rest = [text for text in texts if text not in first]
    return f"{', '.join([*first, *rest][:LISTED_OF_MANY])} and {len(texts) - LISTED_OF_MANY} more"


def enumerated(texts: Iterable[str], last: str = "and") -> str:
    """Texts with commas, and a word before the last of them: a, b and c."""
    *first, end = list(texts) or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def resembling(value: object, choices: Iterable[object], count: int = 1) -> list[str]:
    """At most `count` choices that resemble a value, the nearest first; case is ignored.

    Behind those of a similar spelling come those that begin with the value, or have it as a word: macro_f1 for f1.
    """
    texts = list(dict.fromkeys(map(str, choices)))
    by_case: dict[str, list[str]] = {}
    for text in texts:
        by_case.setdefault(text.casefold(), []).append(text)
    word = str(value)
    exact = [text for text in by_case.get(word.casefold(), ()) if text != word]
    near = difflib.get_close_matches(word, texts, n=count, cutoff=0.6)
    folded = [
        text
        for key in difflib.get_close_matches(word.casefold(), by_case, n=count, cutoff=0.6)
        for text in by_case[key]
    ]
    word = word.casefold()
    parts = [text for text in texts if len(word) > 2 and text.casefold().startswith(word)]
    parts += [text for text in texts if len(word) > 1 and word in re.split(r"[\W_]+", text.casefold())]
    return list(dict.fromkeys([*exact, *near, *folded, *parts]))[:count]


def in_shell(word: str) -> str:
    """Override quoted for a shell."""
    return shlex.quote(word)


def command(typed: Sequence[str], changes: Mapping[str, str | None], multirun: bool | None = None) -> str:
    """Command line with other values for some keys, quoted for a shell; None removes a key's word.

    typed: the words of a whole command line; if empty, the result is only the changed words. multirun: True, with -m;
    False, without; None, unchanged.
    """
    left = dict(changes)
    words = []
    for word in typed:
        name, _, given = word.partition("=")
        key = name.lstrip("+")
        if key in changes and given.startswith("{"):  # sets values of the group's option, but chooses none
            words.append(word)
        elif key in left:
            value = left.pop(key)
            words += [] if value is None else [f"{key}={value}"]
        elif key in changes or (multirun is not None and word in ("-m", "--multirun", "-r", "--run")):
            continue
        else:
            words.append(word)
    words += [f"{key}={value}" for key, value in left.items() if value is not None]
    start = ["mixexp", *["-m"] * bool(multirun)] if typed else []
    return " ".join([*start, *map(in_shell, words)])
