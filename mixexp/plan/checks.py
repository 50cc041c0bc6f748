"""All errors of a configuration at once, before anything starts."""

from __future__ import annotations

import functools
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mixexp.build import check, is_module, schema_errors
from mixexp.errors import UserError, closest
from mixexp.plan.groups import CONTRACTS, GROUPS
from mixexp.plan.loops import conflicts, loop_of
from mixexp.training import sizes
from mixexp.training.device import NAMES, execution, unknown_device
from mixexp.training.setup import another
from mixexp.training.spec import RunConfig, Settings


class Refused(UserError):
    """A configuration that cannot run; lines: one for each error."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


def validate(values: Mapping[str, Any], here: bool = True) -> RunConfig:
    """The resolved configuration, typed; raises Refused with all its errors where it cannot run on this machine.

    The first checks need the configuration alone; if it passes, further ones need the data, the network's shape and the
    device. here: whether this machine is to train it, and has to be large enough.
    """
    if errors := _schema_errors(values):
        raise Refused(errors)
    config = RunConfig.of(values)
    errors = sizes.problems(lambda: config.build("speed").mode(execution(config).device, config.threads, None))
    errors += conflicts(config)
    if config.logger is not None:
        errors += sizes.problems(lambda: config.build("logger").check())
    errors += sizes.problems(lambda: _writable(f"{config.output_dir}/{config.name}"))
    # a far too large number ends the process without a message
    if here and config.threads > sizes.processors():
        errors.append(
            sizes.TooLargeLine(
                f"threads = {config.threads}: too large; this machine has {sizes.processors()} processors"
            )
        )
    if errors := loop_of(config).check(config, errors, here) or _others(config):
        raise Refused(errors)
    return config


def _schema_errors(values: Mapping[str, Any]) -> list[str]:
    """The errors of each setting and option, and of required settings that are missing."""
    scalars = {key: value for key, value in values.items() if key not in CONTRACTS and "." not in str(key)}
    errors = schema_errors(Settings, scalars, "")
    errors += [_dotted(key, value) for key, value in values.items() if "." in str(key)]
    if isinstance(device := values.get("device"), str) and not re.fullmatch(NAMES, device):
        errors.append(unknown_device(device))
    trusted = values.get("trusted_modules")
    trusted = tuple(filter(is_module, trusted)) if isinstance(trusted, list) else ()
    for group, kind in CONTRACTS.items():
        if values.get(group) is not None:
            errors += check(values[group], group, kind, trusted)
        elif group in GROUPS:
            errors.append(f"{group}: an option of this group is needed; mixexp list {group} names them")
    if not errors and "lr" not in values["optimizer"]:
        errors.append("optimizer.lr: needs a value, which the schedule multiplies")
    if not errors and values["epochs"] is None and values["steps"] is None:
        errors.append("epochs, steps: one of them must be given")
    return errors


def _dotted(key: str, value: Any) -> str:
    """The message about a dotted key at the root of a file, which Hydra treats as a plain name."""
    first, *names = key.split(".")
    for name in reversed(names):
        value = {name: value}
    block = yaml.safe_dump({first: value}, default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]
    there = {*CONTRACTS, *Settings.model_fields, "hydra"}
    return (
        f"{key}: keys with dots are for commands and grids; in a file write"
        f" `{block}`.{'' if first in there else closest(first, there)}"
    )


def _others(config: RunConfig) -> list[str]:
    """The errors of the finished runs whose networks a probe needs in addition to its own."""
    errors = []
    for source in () if config.probe is None else config.build("probe").others:
        try:
            validate(another(source, config).values)
        except Refused as refused:
            errors += [f"{source}: {line}" for line in refused.lines]
        except UserError as error:
            errors.append(str(error))
    return errors


@functools.lru_cache(maxsize=64)
def _writable(name: str) -> None:
    """Raise UserError unless a file can be written there, or in the nearest existing folder above; leaves no trace."""
    folder = Path(name).absolute()
    try:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"output_dir/name = {name}: cannot write there ({error.strerror})") from error
