"""The identity of a run: its resolved scientific configuration, without settings that cannot change its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mixexp.build import telling
from mixexp.class_names import stable
from mixexp.plan.loops import loop_of
from mixexp.second_stage import effective
from mixexp.settings import ADDED, NOT_SCIENTIFIC, OPTIONAL, REPEATS, flatten
from mixexp.training.spec import RunConfig

ALIAS = "alpha"
"""The root setting that acts only where other settings refer to it, and is hashed there."""

UNCOUNTED = (*REPEATS, "threads")
"""Settings that never count as a departure from an experiment."""

_AT_INPUT = {"_target_": "mixexp.mix_layer.RandomLayer", "layers": ["input"]}


def canonical(config: Mapping[str, Any], uses_alpha: bool) -> dict[str, Any]:
    """The configuration with one spelling for equivalent settings, so that runs with the same numbers are one run.

    epochs is null where steps decides; alpha is null where nothing refers to it; the mix layer is the input, and its
    choice null, where nothing is blended; settings that the loop fixes have its values. config has passed validate.
    """
    typed = RunConfig.of(config)
    config = {**config, **loop_of(typed).fixed}
    if config["steps"] is not None:
        config["epochs"] = None
    if not uses_alpha:
        config[ALIAS] = None
    if all(each.build("mix").blend is None for each in (typed, effective(typed))):
        config["mix_layer"] = _AT_INPUT
        config["choices"] = {**config["choices"], "mix_layer": None}
    return config


def scientific(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that can change a run's numbers; 1.0 becomes 1, since either spelling may occur."""
    trusted = config["trusted_modules"]

    def prune(value: Any) -> Any:
        if isinstance(value, Mapping):
            node = {**telling(value, trusted), "_target_": stable(value["_target_"])} if "_target_" in value else value
            return {key: prune(inner) for key, inner in node.items()}
        if isinstance(value, list):
            return [prune(inner) for inner in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    silent = {**dict.fromkeys(OPTIONAL), **ADDED}
    settings = {key: value for key, value in config.items() if key not in silent or value != silent[key]}
    return {key: prune(value) for key, value in settings.items() if key not in {*NOT_SCIENTIFIC, ALIAS}}


def run_id(config: Mapping[str, Any]) -> str:
    """The first twelve hexadecimal digits of the SHA-256 of a canonical configuration's scientific part.

    The part is hashed as JSON with sorted keys.
    """
    return hashlib.sha256(json.dumps(scientific(config), sort_keys=True).encode()).hexdigest()[:12]


def differences(config: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The departures of a run from its experiment: key → [value here, value there]; a changed option counts once.

    Seeds do not count: they are repetitions, and a report states their number. Nor does threads, which changes only the
    last bits of sums, nor epochs where steps decides.
    """
    silent = {*UNCOUNTED, *(["epochs"] if config["steps"] is not None else [])}
    departures: dict[str, list[Any]] = {}
    for group, option in config["choices"].items():
        if group not in NOT_SCIENTIFIC and option != reference["choices"].get(group):
            departures[group] = [option, reference["choices"].get(group)]
    ours, theirs = (flatten(scientific(c)) for c in (config, reference))
    pair = [config[ALIAS], reference[ALIAS]]
    if None not in pair and pair[0] != pair[1]:
        departures[ALIAS] = pair
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key) and key.split(".")[0] not in {*departures, *silent}:
            pair = [ours.get(key), theirs.get(key)]
            # where a setting refers to the alias, it differs in the same way
            if pair != departures.get(ALIAS):
                departures[key] = pair
    return departures
