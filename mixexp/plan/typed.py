"""The characters of typed overrides, for settings that are texts: Hydra reads 007, 1e3 and 1_000 as numbers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from antlr4 import CommonTokenStream, InputStream
from hydra.core.override_parser.types import Override
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser

from mixexp.settings import leaves

_TEXTS = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml reads ten times as fast


def characters(words: Sequence[str]) -> dict[str, Any]:
    """Dotted key → the characters of its value, a list of these for a list, None for a function's value.

    Later words win.
    """
    return {key: text for word in words for key, text in _of_word(word).items()}


@functools.lru_cache(maxsize=4096)  # a sweep's cells have most words in common
def _of_word(word: str) -> dict[str, Any]:
    tree = _parsed(word)
    if tree.key() is None or tree.value() is None or tree.value().element() is None:
        return {}
    return leaves({tree.key().getText(): _characters(tree.value().element(), word)})


def in_files(choices: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """The characters of values in the files of the chosen options.

    An experiment's file overrides an option's, and an earlier folder's overrides a later one's.
    """
    paths = [folder / group / f"{option}.yaml" for group, option in choices.items() for folder in reversed(folders)]
    files = [_in_file(path, path.stat().st_mtime_ns) for path in paths if path.is_file()]
    return {
        key: text
        for everywhere in (False, True)
        for root, texts in files
        if root is everywhere
        for key, text in texts.items()
    }


@functools.lru_cache(maxsize=256)
def _in_file(path: Path, changed: int) -> tuple[bool, dict[str, Any]]:
    """True if a file's settings begin at the root of the configuration, and their characters.

    A broken file has none.
    """
    text = path.read_text(encoding="utf-8")
    root = "@package _global_" in text.partition("\n")[0]
    try:
        # every value stays text
        tree = yaml.load(text, Loader=_TEXTS)
        return root, (leaves(tree if root else {path.parent.name: tree}) if isinstance(tree, dict) else {})
    except (yaml.YAMLError, RecursionError):
        return root, {}


def typed_values(override: Override) -> list[str]:
    """An override's values, several for a sweep, each as it was typed: Hydra writes 0.001 for 1e-3."""
    word = str(override.input_line)
    as_hydra_writes = (
        list(override.sweep_string_iterator())
        if override.is_sweep_override()
        else [override.get_value_element_as_str()]
    )
    value = _parsed(word).value()
    if value is None:
        return as_hydra_writes
    if value.simpleChoiceSweep() is not None:
        elements = value.simpleChoiceSweep().element()
    elif value.element().function() is not None and value.element().function().ID().getText() == "choice":
        elements = value.element().function().element()
    else:
        elements = [value.element()]
    if len(elements) != len(as_hydra_writes) or any(
        "(" in _source(element, word) for element in elements if element.primitive() is None
    ):
        # values of a function
        return as_hydra_writes
    return [_source(element, word) for element in elements]


def _parsed(word: str) -> Any:
    """The parse tree of a word that Hydra has already accepted."""
    lexer = OverrideLexer(InputStream(word))
    lexer.removeErrorListeners()
    parser = OverrideParser(CommonTokenStream(lexer))
    parser.removeErrorListeners()
    return parser.override()


def _source(tree: Any, word: str) -> str:
    return word[tree.start.start : tree.stop.stop + 1].strip()


def _characters(element: Any, word: str) -> Any:
    if element.listContainer() is not None:
        return [_characters(inner, word) for inner in element.listContainer().element()]
    if element.dictContainer() is not None:
        pairs = element.dictContainer().dictKeyValuePair()
        return {_source(pair.dictKey(), word): _characters(pair.element(), word) for pair in pairs}
    return None if element.primitive() is None else _source(element.primitive(), word)
