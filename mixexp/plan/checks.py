"""All errors of a configuration at once, before anything starts."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixexp.build import build, check, is_module, schema_errors
from mixexp.errors import UserError
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS
from mixexp.plan.loops import loop_of
from mixexp.plan.settings import Settings
from mixexp.run import sizes
from mixexp.run.device import NAMES, execution, unknown_device
from mixexp.run.setup import another


def validate(config: Mapping[str, Any], here: bool = True) -> list[str]:
    """The errors of a resolved configuration, one line each; empty when it can run on this machine.

    First what can be seen in the configuration alone; when that is well, what needs the data, the network's shape and the device.
    here: whether this machine is to train it, and has to be large enough.
    """
    scalars = {key: value for key, value in config.items() if key not in {**GROUPS, **OPTIONAL_GROUPS}}
    errors = schema_errors(Settings, scalars, "")
    if isinstance(device := config.get("device"), str) and not re.fullmatch(NAMES, device):
        errors.append(unknown_device(device))
    trusted = config.get("trusted_modules")
    trusted = tuple(filter(is_module, trusted)) if isinstance(trusted, list) else ()
    for group, kind in {**GROUPS, **OPTIONAL_GROUPS}.items():
        if config.get(group) is None and group in OPTIONAL_GROUPS:
            continue
        if config.get(group) is None:
            errors.append(f"{group}: an option of this group is needed; mixexp list {group} names them")
        else:
            errors += check(config[group], group, kind, trusted)
    if not errors and "lr" not in config["optimizer"]:
        errors.append("optimizer.lr: needs a value, which the schedule multiplies")
    if not errors and config["epochs"] is None and config["steps"] is None:
        errors.append("epochs, steps: one of them must be given")
    if errors:
        return errors
    errors += sizes.problems(lambda: build(config["speed"], trusted).mode(execution(config).device, config["threads"], None))
    if config["logger"] is not None:
        errors += sizes.problems(lambda: build(config["logger"], trusted).check())
    errors += sizes.problems(lambda: _writable(f"{config['output_dir']}/{config['name']}"))
    if here and config["threads"] > sizes.processors():  # far too many end the process without a message
        reason = f"threads = {config['threads']}: too large; this machine has {sizes.processors()} processors"
        errors.append(sizes.line(sizes.TooLarge(reason)))
    return loop_of(config).check(config, errors, here) or _others(config, trusted)


def _others(config: Mapping[str, Any], trusted: tuple[str, ...]) -> list[str]:
    """The errors of the finished runs whose networks a probe needs beside the one it measures."""
    probe = None if config["probe"] is None else build(config["probe"], trusted)
    errors = []
    for source in () if probe is None else probe.others:
        try:
            errors += [f"{source}: {error}" for error in validate(another(source, config))]
        except UserError as error:
            errors.append(str(error))
    return errors


@functools.lru_cache(maxsize=64)
def _writable(name: str) -> None:
    """Raise UserError unless a file can be made there, or in the nearest folder above that exists; leaves no trace, at no moment."""
    folder = Path(name).absolute()
    try:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"output_dir/name = {name}: cannot write there ({error.strerror})") from error
