"""The values that a setting's type and limits allow, in plain words, and the errors of other values."""

from __future__ import annotations

import contextlib
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from mixexp.text import in_hydra, in_shell, listed, override, resembling, shown

STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
LARGEST = 2**63 - 1
"""The largest integer of a setting, which messages write as this power."""
_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "description")
TRUE, FALSE = ("true", "yes", "on", "y", "1"), ("false", "no", "off", "n", "0")


def split(hint: Any) -> tuple[Any, dict[str, Any]]:
    """A type without its annotations, and its limits by name (_LIMITS: gt, ge, lt, le, …)."""
    limits: dict[str, Any] = {}
    while typing.get_origin(hint) is Annotated:
        hint, *notes = typing.get_args(hint)
        for note in notes:
            inner = (*note.metadata, note) if isinstance(note, FieldInfo) else (note,)
            limits |= {
                name: getattr(limit, name)
                for limit in inner
                for name in _LIMITS
                if getattr(limit, name, None) is not None
            }
    return hint, limits


def arms(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself."""
    base, _ = split(hint)
    return typing.get_args(base) if typing.get_origin(base) in (typing.Union, types.UnionType) else (hint,)


def allowed(hint: Any, many: bool = False) -> str:
    """The values of a type in words, as in "a number above 0"; many: the values of a list, as in "numbers above 0"."""
    base, limits = split(hint)
    if "description" in limits:
        return f"values, each {limits['description']}" if many else limits["description"]
    origin, inner = typing.get_origin(base), typing.get_args(base)
    if len(arms(hint)) > 1 or origin is Literal:
        words = list(_choices(hint))
        # "a number of 1 or more, or null", but "auto, true or false"
        comma = "," if any(" " in word for word in words) else ""
        joined = f"{', '.join(words[:-1])}{comma} or {words[-1]}" if len(words) > 1 else words[0]
        return f"values, each {joined}" if many else joined
    plural = "s" if many else ""
    if base in (int, float):
        noun = f"whole number{plural}" if base is int else f"number{plural}"
        return _one(noun + _range(base, limits), many)
    if base is str:
        return _one(f"text{plural}{_length(limits)}", many)
    if base is bool:
        return "values, each true or false" if many else "true or false"
    if base in (None, type(None)):
        return "null"
    if (origin or base) in (tuple, set, frozenset):  # an error of the constructor itself
        return _one(
            f"{(origin or base).__name__}{plural}, which no configuration can give: its class has to ask for a list",
            many,
        )
    if (origin or base) in (list, Sequence):
        item = inner[0] if inner else Any
        least, most = limits.get("min_length", 0), limits.get("max_length")
        few = ["", ", not empty,"][least] if least < 2 else f", of at least {least} items,"
        limited = few + (f", of at most {most} items," if most is not None else "")
        words = f" of exactly {most} " if least == most else f"{limited} of "
        return _one(f"list{plural}{words}{allowed(item, many=True)}", many)
    if (origin or base) in (dict, Mapping):
        return _one(f"mapping{plural}, as in {{name: value}}", many)
    if base is Any:
        return "values of any kind" if many else "any value"
    return _one(f"{getattr(base, '__name__', base)}: a mapping with the _target_ of a class and its settings", many)


def _choices(hint: Any) -> Iterator[str]:
    """The choices of a union or Literal, each in words, null last."""
    for arm in sorted(arms(hint), key=lambda arm: arm is type(None)):
        base, _ = split(arm)
        if typing.get_origin(base) is Literal:
            yield from map(in_hydra, typing.get_args(base))
        elif base is bool:
            yield from ("true", "false")
        else:
            yield allowed(arm)


def _one(words: str, many: bool) -> str:
    return words if many else f"a{'n' if words[0] in 'AEIOUaeiou' else ''} {words}"


def _range(base: type, limits: Mapping[str, Any]) -> str:
    """The limits of a number, in words."""
    low, high = limits.get("ge"), limits.get("le")
    above, below = limits.get("gt"), limits.get("lt")
    if base is int:
        low, above = (math.floor(above) + 1, None) if above is not None else (low, None)
        high, below = (math.ceil(below) - 1, None) if below is not None else (high, None)
    words = ""
    if low is not None and high is not None:
        words = (
            f" from {low:g} to {high:g}"
            if base is float
            else f" from {low} to {'2**63-1' if high == LARGEST else high}"
        )
    else:
        ends = [f"above {above}"] * (above is not None) + [f"of {low} or more"] * (low is not None)
        ends += [f"below {below}"] * (below is not None) + [f"of at most {high}"] * (high is not None)
        words = f" {' and '.join(ends)}" if ends else ""
    return words + (f" that can be divided by {limits['multiple_of']}" if "multiple_of" in limits else "")


def _length(limits: Mapping[str, Any]) -> str:
    """The limits of a text, in words."""
    least, most = limits.get("min_length", 0), limits.get("max_length")
    if "pattern" in limits:
        return f" of the form {limits['pattern']}"
    if least == most:
        return f" of exactly {most} letter{'s' if most != 1 else ''}"
    parts = ["that is not empty"] * (least == 1) + [f"of at least {least} letters"] * (least > 1)
    parts += [f"of at most {most} letters"] * (most is not None)
    return f" {' and '.join(parts)}" if parts else ""


def head(name: str, value: Any) -> str:
    """The beginning of a message about a setting's value, as it is typed."""
    return f"{name} = {shown(value)}: " if value != "" else f"{name}=: the value is left empty; it "


def complaint(name: str, value: Any, hint: Any, errors: Sequence[Mapping[str, Any]]) -> str:
    """The error of a setting's value in a line: the value as it is typed, the allowed values, the likely meaning.

    errors: those of pydantic.
    """
    reasons = [str(error["ctx"]["error"]) for error in errors if error["type"] in ("value_error", "assertion_error")]
    if reasons:  # raised by a check of the class itself
        return head(name, value) + listed(dict.fromkeys(reasons))
    needs = f"needs {allowed(hint)}"
    if isinstance(value, float) and not math.isfinite(value):
        needs += ", and a finite one"
    items = list(dict.fromkeys(item for error in errors for item in _items(value, error["loc"][1:])))
    needs += f"; {listed(items)}" if items else ""
    return head(name, value) + needs + _meant(name, value, hint)


def _items(value: Any, where: Sequence[Any]) -> Iterator[str]:
    """The wrong value in a list or mapping; the other parts of pydantic's location are names of types."""
    names = []
    for part in where:
        if isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            names.append(f"item {part + 1}")
            value = value[part]
        elif isinstance(value, Mapping) and part in value:
            names.append(str(part))
            value = value[part]
    if names:
        yield f"{' of '.join(reversed(names))} is {shown(value)}"


def _meant(name: str, value: Any, hint: Any) -> str:
    """The likely meaning of a value, as it has to be typed; empty where no allowed value resembles it."""
    base, _ = split(hint)
    # a mapping of settings is needed; the value of one of them is given
    if isinstance(base, type) and issubclass(base, pydantic.BaseModel):
        fitting = [f"{name}.{key}" for key in base.model_fields if value is not None and _allows(base, {key: value})]
        return f". Did you mean {typed(fitting[0], value)}?" if fitting else ""
    for guess in _guesses(value, hint):
        with contextlib.suppress(pydantic.ValidationError):
            pydantic.TypeAdapter(hint, config=STRICT).validate_python(guess)
            return f". Did you mean {typed(name, guess)}?"
    if isinstance(value, str) and (ends := re.fullmatch(r"(\d{1,9})(?:-|\.\.|:)(\d{1,9})", value)):
        first, last = map(int, ends.groups())
        with contextlib.suppress(pydantic.ValidationError):
            pydantic.TypeAdapter(hint, config=STRICT).validate_python(last)
            return f". A sweep of {first} to {last} is {in_shell(f'{name}=range({first},{last + 1})')}, with mixexp -m"
    return ""


def _allows(schema: type[pydantic.BaseModel], values: Mapping[str, Any]) -> bool:
    try:
        schema.model_validate(values)
    except pydantic.ValidationError:
        return False
    return True


def typed(name: str, value: Any) -> str:
    """An override in quotes, as typed in a shell.

    The value alone where the setting's name is not one of an override.
    """
    word = override(name, value) if re.fullmatch(r"[\w./]+", name) else in_shell(in_hydra(value))
    return word if word.startswith("'") else f"'{word}'"


def _guesses(value: Any, hint: Any) -> Iterator[Any]:
    """Values of other types with a similar spelling."""
    if isinstance(value, list):
        if len(value) == 1 and not isinstance(value[0], list | Mapping):
            yield value[0]
        return
    if value is None or isinstance(value, Mapping):
        return
    choices = [
        choice
        for arm in arms(hint)
        if typing.get_origin(split(arm)[0]) is Literal
        for choice in typing.get_args(split(arm)[0])
    ]
    if isinstance(value, str):
        yield from resembling(value, choices)
        yield value.strip()
        word = value.strip().lower()
        for convert in (int, float):
            with contextlib.suppress(ValueError):
                yield convert(word)
        yield from [True] * (word in TRUE) + [False] * (word in FALSE) + [None] * (word in ("none", "null"))
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    if not isinstance(value, bool | str):
        yield from [True] * (value == 1) + [False] * (value == 0) + [str(value)]
    if value != "":
        yield [value]
