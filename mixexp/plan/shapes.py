"""Lists in place of mappings, and mappings in place of lists, in an experiment's file: the keys and the fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.files import read_yaml
from mixexp.plan.overrides import Groups, root_settings
from mixexp.spec.grid import as_override

_GRID = "hydra: {sweeper: {grid: [{mix: [none, mixup]}]}}"
_SWEEPER = {
    "grid": (list, f"it is a list of blocks of axes, as in {_GRID}"),
    "params": (Mapping, "it has the values of each axis, as in {mix: 'none,mixup', seed: range(3)}"),
    "space": (Mapping, "it has the range of each setting, as in {optimizer.lr: {low: 0.01, high: 1, log: true}}"),
}
"""Keys of hydra.sweeper, the type of each, and its description."""


def misshapen(file: Path, groups: Groups) -> list[str]:
    """A message for each key of an experiment's file with a list in place of a mapping, or the reverse."""
    try:
        settings = read_yaml(file)
    except (OSError, ValueError, UserError):
        return []
    return [
        f"{key}: {as_override(value)} is a {_shape(value)}; {what}" for key, value, what in _wrong(settings, groups)
    ]


def _shape(value: Any) -> str:
    return "list" if isinstance(value, list) else "mapping"


def _wrong(settings: Any, groups: Groups) -> Iterator[tuple[str, Any, str]]:
    """Each such key, its value, and the right form."""
    defaults = root_settings()
    for key, value in settings.items() if isinstance(settings, Mapping) else ():
        if key in groups and isinstance(value, list):
            axis = f"hydra: {{sweeper: {{grid: [{{{key}: [{', '.join(map(as_override, value))}]}}]}}}}"
            what = f"a run has one option of {key}. A sweep's axes belong in hydra.sweeper.grid, {axis}"
            yield key, value, f"{what}; an option is chosen in defaults: [override /{key}: NAME]"
        elif isinstance(value, Mapping) and isinstance(defaults.get(key), list):
            yield key, value, f"it needs a list, as in {key}: [...]"
        elif isinstance(value, list) and isinstance(defaults.get(key), Mapping):
            yield key, value, f"it needs a mapping, as in {key}: {as_override(defaults[key])}"
    sweeper = settings.get("hydra", {}).get("sweeper") if isinstance(settings.get("hydra"), Mapping) else None
    sweeper = sweeper if isinstance(sweeper, Mapping) else {}
    for name, (shape, what) in _SWEEPER.items():
        if isinstance(value := sweeper.get(name), list | Mapping) and not isinstance(value, shape):
            yield f"hydra.sweeper.{name}", value, what
