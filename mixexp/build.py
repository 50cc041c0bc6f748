"""The one place where YAML becomes objects: `_target_` names a class or function, every other key one of its arguments."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from mixexp.errors import UserError, closest

OWN_MODULES = ("mixexp", "torch", "torchvision")

GIVEN: dict[str, tuple[str, ...]] = {
    "model": ("in_channels", "image_size"),
    "loss": ("class_counts",),
    "optimizer": ("parameters",),
}
"""Arguments that the program supplies and no YAML may."""


def locate(target: str, trusted: Iterable[str] = ()) -> Callable[..., Any]:
    """The class or function a `_target_` names; raises UserError where it is not admitted, not there or not callable.

    Admitted are the project's, torch's and torchvision's modules and those the user trusts on purpose (trusted_modules), which may
    also lie in the working directory: a configuration from elsewhere cannot run code that its user has not named.
    """
    module_name, _, name = target.rpartition(".")
    admitted = (*OWN_MODULES, *trusted)
    if not any(module_name == prefix or module_name.startswith(f"{prefix}.") for prefix in admitted):
        raise UserError(
            f"_target_ {target}: its module is not among {', '.join(admitted)}; "
            f"to run code of your own, name it: 'trusted_modules=[{target.split('.')[0]}]'"
        )
    if trusted and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"_target_ {target}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UserError(f"_target_ {target}: {module_name} has no such class or function.{closest(name, names)}")
    return found


def build(node: Mapping[str, Any], trusted: Iterable[str] = (), **given: Any) -> Any:
    """The object a configuration node describes, inner nodes first; of `given`, it gets what its signature asks for."""
    target = locate(node["_target_"], trusted)
    wanted = inspect.signature(target).parameters
    arguments = {
        key: build(value, trusted) if _is_node(value) else value for key, value in node.items() if key != "_target_"
    }
    return target(**arguments, **{key: value for key, value in given.items() if key in wanted})


def check(node: Mapping[str, Any], path: str, trusted: Iterable[str] = ()) -> list[str]:
    """All that is wrong with a node's keys, types and ranges, one line each, judged by the signature of its target."""
    if not _is_node(node):
        return [f"{path}: needs a mapping with a _target_"]
    try:
        target = locate(node["_target_"], trusted)
    except UserError as error:
        return [f"{path}: {error}"]
    errors, values = [], {}
    for key, value in node.items():
        if _is_node(value):
            errors += check(value, f"{path}.{key}", trusted)
        elif key != "_target_":
            values[key] = value
    nodes = {key for key, value in node.items() if _is_node(value)}
    schema = _schema(target, skip=nodes | set(GIVEN.get(path.split(".")[0], ())))
    return errors + schema_errors(schema, values, path)


def schema_errors(schema: type[pydantic.BaseModel], values: Mapping[str, Any], path: str) -> list[str]:
    """What a pydantic schema has against values, a line per key: the key's path, its value, what is allowed, the closest match."""
    try:
        schema.model_validate(values)
    except pydantic.ValidationError as failure:
        lines: dict[str, list[str]] = {}
        for error in failure.errors():
            key = str(error["loc"][0])
            name = f"{path}.{key}" if path else key
            if error["type"] == "extra_forbidden":
                known = list(schema.model_fields)
                out = f" (~{name} takes it out if an experiment set it)" if path else ""
                lines[f"{name}: no such setting; there are {', '.join(known) or 'none'}.{closest(key, known)}{out}"] = []
            elif error["type"] == "missing":
                lines[f"{name}: needs a value"] = []
            else:
                lines.setdefault(f"{name} = {values[key]!r}: ", []).append(_reason(error, values[key]))
        return [head + " or ".join(dict.fromkeys(reasons)) for head, reasons in lines.items()]
    return []


def _reason(error: Mapping[str, Any], value: Any) -> str:
    reason = error["msg"].removeprefix("Input ")
    if error["type"] == "literal_error":
        reason += closest(value, [part.strip("' ") for part in error["ctx"]["expected"].replace(" or ", ",").split(",")])
    return reason


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _schema(target: Callable[..., Any], skip: set[str]) -> type[pydantic.BaseModel]:
    """A pydantic model of a signature; what it does not annotate may be anything."""
    function = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    extra = "forbid"
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = "allow"
        elif name not in skip and parameter.kind is not parameter.VAR_POSITIONAL:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    # nodes were checked on their own and are no longer among the values, so `skip` must not make them "extra"
    config = pydantic.ConfigDict(extra=extra, strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, protected_namespaces=())
    return pydantic.create_model(getattr(target, "__name__", "target"), __config__=config, **fields)
