"""Values in the type of their setting: for a text, a number becomes its typed characters; for an integer, 1e1 is 10."""

from __future__ import annotations

import contextlib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf
from pydantic import BaseModel

from mixexp.build import hints_of, locate
from mixexp.build.wording import arms, split
from mixexp.errors import UserError
from mixexp.plan.composer import Composed
from mixexp.plan.typed import characters, in_files
from mixexp.training.spec import Settings


def _types(schema: type[BaseModel]) -> dict[str, Any]:
    """The type of each key of a schema."""
    return {name: field.annotation for name, field in schema.model_fields.items()}


_SETTINGS = _types(Settings)


def set_texts(cell: Composed, words: Sequence[str]) -> None:
    """Give each text setting of a cell the characters typed, where an override or a file has no quotes around them."""
    config = cell.config
    trusted = OmegaConf.select(config, "trusted_modules")
    typed_here = characters(words)
    hints: dict[str, Mapping[str, Any]] = {}
    holders: dict[str, Any] = {"": config}  # a lookup takes as long as all else, and a group has a dozen keys
    for key, typed in {**in_files(cell.choices, [Path(folder) for folder in cell.folders]), **typed_here}.items():
        parent, _, name = key.rpartition(".")
        if parent not in holders:
            holders[parent] = OmegaConf.select(config, parent)
        holder = holders[parent]
        node: Any = holder._get_node(name, validate_access=False) if isinstance(holder, DictConfig) else None
        if node is None or isinstance(node._value(), str):  # a text already, a reference, or without a value
            continue
        if parent not in hints:
            hints[parent] = _hints(holder, trusted) if parent else _SETTINGS
        hint = hints[parent].get(name, Any)
        value = OmegaConf.to_container(holder[name]) if OmegaConf.is_config(holder[name]) else holder[name]
        settled = settle(hint, value, typed)
        # else another file decides
        if settled is not value and (key in typed_here or _reads(typed, value)):
            OmegaConf.update(config, key, settled, merge=False)


def _reads(text: Any, value: Any) -> bool:
    """True if YAML reads a file's characters as a value that is a number or a boolean, or a list with such."""
    if isinstance(text, list) and isinstance(value, list):
        return len(text) == len(value) and all(
            isinstance(item, str) or _reads(part, item) for part, item in zip(text, value, strict=True)
        )
    if not isinstance(text, str) or not isinstance(value, int | float):
        return False
    return OmegaConf.create(f"read: {text}").read == value


def settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved configuration with each value in its setting's type: numbers as texts, 1e1 as the integer 10."""
    return _settle_all(config, _SETTINGS, config.get("trusted_modules"))


def settle(hint: Any, value: Any, typed: Any = None) -> Any:
    """A value converted to a type, in all or in its items: a number to a text, or to another kind of number.

    Any other value stays. typed: its characters, or those of its items, where they are known.
    """
    base, _ = split(hint)
    for arm in arms(hint):
        if _is(arm, value):
            hint, (base, _) = arm, split(arm)
            break
    else:
        if len(arms(hint)) > 1:
            tries = ((arm, settle(arm, value, typed)) for arm in arms(hint))
            return next((settled for arm, settled in tries if _is(arm, settled)), value)
    origin, inner = typing.get_origin(base) or base, typing.get_args(base)
    if isinstance(value, list) and origin in (list, tuple, Sequence) and inner:
        texts = typed if isinstance(typed, list) and len(typed) == len(value) else [None] * len(value)
        items = [settle(inner[0], item, text) for item, text in zip(value, texts, strict=True)]
        return value if all(item is old for item, old in zip(items, value, strict=True)) else items
    if base is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if base is str or (origin is Literal and not _is(base, value)):
        text = _text(value, typed)
        return text if text is not None and (base is str or text in inner) else value
    return value


def _is(hint: Any, value: Any) -> bool:
    """True if a value is of a type; limits and items are not checked."""
    base, _ = split(hint)
    origin = typing.get_origin(base) or base
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in typing.get_args(base))
    if base in (None, types.NoneType):
        return value is None
    if origin in (list, tuple, Sequence):
        return isinstance(value, list)
    if base is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is base or (origin in (dict, Mapping) and isinstance(value, Mapping)) or base is Any


def _text(value: Any, typed: Any) -> str | None:
    """The characters of a number, a boolean or null; None where they are unknown, or for another value."""
    if not isinstance(value, bool | int | float | None):
        return None
    if isinstance(typed, str):
        return typed
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _settle_all(values: Mapping[str, Any], hints: Mapping[str, Any], trusted: Any) -> dict[str, Any]:
    """Every value of a mapping in its type: a node by its class's arguments, a schema by its fields."""

    def inner(key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = hints.get(key)
        return _types(kind) if isinstance(kind, type) and issubclass(kind, BaseModel) else _hints(value, trusted)

    return {
        key: (
            _settle_all(value, inner(key, value), trusted)
            if isinstance(value, Mapping)
            else settle(hints.get(key, Any), value)
        )
        for key, value in values.items()
    }


def _hints(node: Mapping[str, Any], trusted: Any) -> Mapping[str, Any]:
    """The types of a node's settings; empty where the class is not found, which validate reports."""
    with contextlib.suppress(UserError):
        if "_target_" in node:
            return hints_of(locate(node["_target_"], trusted if isinstance(trusted, list | tuple | ListConfig) else ()))
    return {}
