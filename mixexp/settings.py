"""A run's settings as mappings: which of them decide its numbers, their dotted keys, and when two values are the
same."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

_PACKAGE = Path(__file__).resolve().parent

CONF = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
"""The folder of the YAML files: inside an installed package, beside it in a checkout."""

REPEATS = ("seed", "data_seed")
"""Settings in which repetitions of a run differ."""
MIN_SEEDS = 3
"""Seeds without which there is neither interval nor test."""

# --- the one table of settings that are no science, from the narrowest set to the widest ---

DESCRIPTIONS = ("table", "claims", "editions", "checks")
"""Root settings that describe the sweep that a run is of, and not the run."""
CIRCUMSTANTIAL = (
    *("name", "edition", "device", "speed", "runs_per_device", "data_dir", "output_dir", "trusted_modules"),
    *("checkpoint_seconds", "keep", "keep_checkpoint", "retry", "fail_fast", "hang_minutes", "logger"),
)
"""Root settings that say where, how labelled or how fast a run is made."""
NOT_SCIENTIFIC = frozenset({"choices", *DESCRIPTIONS, *CIRCUMSTANTIAL})
"""Root settings that a run_id leaves out; a class of an option names its own in ``not_scientific``. probe and threads
do count."""
CIRCUMSTANCES = ("experiment", *CIRCUMSTANTIAL, "dataset.data_dir", "dataset.download")
"""Dotted keys of a record that a report leaves out: where and under which name a run was made does not change what it
measured."""
SAME_RESULT = (*CIRCUMSTANCES, "probe", "threads", "channels_last")
"""Dotted keys that make no other result: circumstances, measurements beside the run, and what changes the last bits of
a sum."""

OPTIONAL = frozenset({"probe", "gan", "logger"})
"""Groups that say nothing where they are null: a run without has the identity it had before there were any."""
OPTIONAL_KEYS = (*sorted(OPTIONAL), "edition", "claims", "editions", "checks")
"""Root settings that old records lack, and that were null then."""
ADDED: Mapping[str, Any] = MappingProxyType({"test": {"n": None}})
"""Root settings that came when there were runs already, as those runs had them: with this value, a run_id leaves them
out."""


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, or the chosen option where the key names a group; None where there is neither."""
    choices = config.get("choices")
    if isinstance(choices, Mapping) and key in choices:
        return choices[key]
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as dotted keys, the chosen option of a group under the group's name, without the
    descriptions."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if key == "choices" and isinstance(value, Mapping):
            flat.update({str(group): option for group, option in value.items()})
        elif key not in DESCRIPTIONS:
            _add_leaves(flat, key, value)
    return flat


def leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every value of a mapping of mappings by its dotted key; an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        _add_leaves(flat, key, value)
    return flat


def _add_leaves(flat: dict[str, Any], path: Any, node: Any) -> None:
    """Add a node's leaves to ``flat``; thousands of configurations are flattened, so one mapping takes them all."""
    if node and (type(node) is dict or isinstance(node, Mapping)):
        for key, value in node.items():
            _add_leaves(flat, f"{path}.{key}", value)
    else:
        flat[path if isinstance(path, str) else str(path)] = node


def comparable(value: Any) -> Any:
    """What is equal for two values that are the same: ``1``, ``1.0`` and ``'1'`` are; None stays None."""
    if value is None or isinstance(value, bool):
        return value if value is None else str(value).lower()
    return _comparable(str(value))


@functools.lru_cache(maxsize=65536)  # a sweep's runs have the same few values again and again
def _comparable(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def under(key: str, keys: Iterable[str]) -> bool:
    """Whether a dotted key is one of some keys, or below one of them."""
    return key in keys or key.partition(".")[0] in keys
