"""The space of a search: a range or some choices for each of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mixexp.build import schema_errors
from mixexp.errors import UserError, closest
from mixexp.settings import NOT_SCIENTIFIC
from mixexp.spec.search import Choices, Range
from mixexp.text import in_shell

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PARTS = (*Range.model_fields, *Choices.model_fields)
"""The parts of a setting's space: a range has all but the last, choices only the last."""

PREFIX = "hydra.sweeper.space."


def rewritten(override: Override) -> str:
    """An override of a space in a form that Hydra can set: a setting's name has dots, which are levels to Hydra.

    `hydra.sweeper.space.loss.margin.low=0.1` becomes `++hydra.sweeper.space={loss.margin:{low:0.1,choices:null}}`; any
    other override stays as it is. Raises UserError for a part that neither a range nor choices have.
    """
    word, key = str(override.input_line), override.key_or_group.removeprefix(PREFIX)
    if override.key_or_group == PREFIX[:-1] and isinstance(override.value(), dict):
        return f"++{word.lstrip('+')}"
    if not override.key_or_group.startswith(PREFIX):
        return word
    if override.is_delete():
        raise UserError(f"{word}: a setting that is given is not searched for; type {key}=VALUE instead")
    setting, _, part = key.rpartition(".")
    text = override.get_value_string()
    if override.is_interval_sweep():
        return _entry(key, ",".join(f"{name}:{str(value).lower()}" for name, value in interval(override).items()))
    if part not in PARTS and text.startswith("{"):
        return _entry(key, text.strip("{} "))
    if override.is_sweep_override():
        setting = setting if part in PARTS else key
        raise UserError(f"{word}: choices are a list, {in_shell(f'{PREFIX}{setting}.choices=[{text}]')}")
    if part not in PARTS:
        example = in_shell(f"{PREFIX}{key}={{low:...,high:...}}")
        near = closest(part, PARTS)
        raise UserError(
            f"{word}: a setting's space has {', '.join(PARTS)}{f'.{near}' if near else f', such as {example}'}"
        )
    return _entry(setting, f"{part}:{text}")


def _entry(setting: str, parts: str) -> str:
    """The override of one setting; a range replaces a file's choices, and choices replace a file's range."""
    given = {part.partition(":")[0].strip() for part in parts.split(",")}
    gone = [part for part in PARTS if ("choices" in given) == (part != "choices")]
    return f"++hydra.sweeper.space={{{setting}:{{{','.join([parts, *(f'{part}:null' for part in gone)])}}}}}"


def interval(override: Override) -> dict[str, Any]:
    """The range of a Hydra interval: `interval(0.1,1)`, `tag(log,interval(0.1,1))`, `int(interval(1,10))`."""
    ends: Any = override.value()
    whole = (
        {"step": 1}
        if isinstance(ends.start, int) and isinstance(ends.end, int) and "int(" in str(override.input_line)
        else {}
    )
    return {"low": ends.start, "high": ends.end, **({"log": True} if "log" in ends.tags else {}), **whole}


def space_of(spec: Mapping[str, Any]) -> dict[str, Range | Choices]:
    """Each setting's range or choices, as in an experiment's file; raises one UserError with all errors."""
    space: dict[str, Range | Choices] = {}
    errors: list[str] = []
    for key, given in spec.items():
        name = f"hydra.sweeper.space: {key}"
        if not isinstance(given, Mapping):
            errors.append(f"{name} = {given!r}: needs low and high, and perhaps log or step, or else choices")
            continue
        if key.partition(".")[0] in NOT_SCIENTIFIC:
            errors.append(f"{name}: it changes no number of a run, so there is nothing to search for")
            continue
        given = {part: value for part, value in given.items() if value is not None}
        kind = Choices if "choices" in given else Range
        wrong = schema_errors(kind, given, name)
        if not wrong:
            space[key] = kind.model_validate(dict(given))
            wrong = [f"{name}: {problem}"] if (problem := space[key].problem()) else []
        errors += wrong
    if errors:
        raise UserError("\n".join(errors))
    return space
