"""Settings of a run as mappings: those that decide its numbers, dotted keys, and equality of values."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

_PACKAGE = Path(__file__).resolve().parent

CONF = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
"""Folder of the YAML files: inside an installed package, next to it in a checkout."""

REPEATS = ("seed", "data_seed")
"""Settings in which repetitions of a run differ."""
MIN_SEEDS = 3
"""Fewest seeds for an interval or a test."""

# --- settings that are not scientific, from the narrowest set to the widest ---

DESCRIPTIONS = ("table", "claims", "editions", "checks")
"""Root settings that describe the sweep of a run, not the run."""
CIRCUMSTANTIAL = (
    *("name", "edition", "device", "speed", "runs_per_device", "data_dir", "output_dir", "trusted_modules"),
    *("checkpoint_seconds", "keep", "keep_checkpoint", "retry", "fail_fast", "hang_minutes", "logger"),
)
"""Root settings for the place, the label and the speed of a run."""
NOT_SCIENTIFIC = frozenset({"choices", *DESCRIPTIONS, *CIRCUMSTANTIAL})
"""Root settings that a run_id leaves out; probe and threads are part of it.

A class of an option names its own in ``not_scientific``.
"""
CIRCUMSTANCES = ("experiment", *CIRCUMSTANTIAL, "dataset.data_dir", "dataset.download")
"""Dotted keys of a record that a report leaves out, because place and name of a run do not change its results."""
SAME_RESULT = (*CIRCUMSTANCES, "probe", "threads", "channels_last")
"""Dotted keys that leave the result equal: circumstances, probes, and settings that change the last bits of a sum."""

OPTIONAL = frozenset({"probe", "gan", "second_stage", "logger"})
"""Groups left out of the hash when null, so that adding them did not change existing run_ids."""
OPTIONAL_KEYS = (*sorted(OPTIONAL), "edition", "claims", "editions", "checks")
"""Root settings that old records lack; they were null then."""
ADDED: Mapping[str, Any] = MappingProxyType({"test": {"n": None}})
"""Root settings added after the first runs, with those runs' value, at which a run_id leaves them out."""


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """Value at a dotted key, or the chosen option if the key names a group; None if there is neither."""
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
    """Configuration as dotted keys, each group's option under the group's name, without the descriptions."""
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
    """Normal form in which equal values are equal: ``1``, ``1.0`` and ``'1'`` have the same; None stays None."""
    if value is None or isinstance(value, bool):
        return value if value is None else str(value).lower()
    return _comparable(str(value))


@functools.lru_cache(maxsize=65536)  # the runs of a sweep repeat the same few values
def _comparable(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def under(key: str, keys: Iterable[str]) -> bool:
    """True if a dotted key is one of some keys, or below one of them."""
    return key in keys or key.partition(".")[0] in keys
