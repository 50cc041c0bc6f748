"""Text and paths from runs made fit for a page: nothing invisible, nothing endless, no link but a file's."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

LONGEST = 4000
"""Letters of a text that are shown."""
# Controls, marks without width or that turn the direction of writing, halves of letters, tags: they hide or move what is around them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    """The text as a page shows it: what nobody would see as its escape, and what is too long cut, saying so."""
    cut = f"{text[:LONGEST]} … (cut: {len(text):,} letters)" if len(text) > LONGEST else text
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)


def link(path: Path, home: Path) -> str:
    """The address of a file, or of a folder with a slash at its end, relative to the folder that the page is in."""
    return encoded(Path(os.path.relpath(path.absolute(), home.resolve())).as_posix()) + "/" * path.is_dir()


def encoded(path: str) -> str:
    """A path as an address has it: no first part can be taken for a scheme, since a colon is encoded too."""
    return quote(os.fsencode(path), safe="/")
