"""The one place where YAML becomes objects: `_target_` names a class or function, every other key one of its arguments."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic
import torch

from mixexp.errors import UserError, closest

OWN_MODULES = ("mixexp", "torch", "torchvision")

GIVEN: dict[str, tuple[str, ...]] = {
    "model": ("in_channels", "image_size"),
    "loss": ("class_counts",),
    "optimizer": ("parameters", "params"),
}
"""Arguments that the program supplies and no YAML may."""


def locate(target: Any, trusted: Iterable[str] = ()) -> Callable[..., Any]:
    """The class or function a `_target_` names; raises UserError where it is not admitted, not there or not callable.

    Admitted are the project's, torch's and torchvision's modules and those the user trusts on purpose (trusted_modules), which may
    also lie in the working directory. `check` admits of these what makes an object of the kind that its place needs, so that a
    configuration from elsewhere cannot run code that its user has not named.
    """
    if not isinstance(target, str):
        raise UserError(f"_target_ = {target!r}: needs the dotted name of a class")
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
    except SystemExit as error:  # it would end the program as if all were well
        raise UserError(f"_target_ {target}: importing it called sys.exit({error.code!r})") from error
    found = getattr(module, name, None)
    if not callable(found):
        names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UserError(f"_target_ {target}: {module_name} has no such class or function.{closest(name, names)}")
    return found


def build(node: Mapping[str, Any], trusted: Iterable[str] = (), **given: Any) -> Any:
    """The object a configuration node describes, inner nodes first; of `given`, it gets what its signature asks for."""
    target = locate(node["_target_"], trusted)
    wanted = _parameters(target)
    arguments = {
        key: build(value, trusted) if _is_node(value) else value for key, value in node.items() if key != "_target_"
    }
    try:
        return target(**arguments, **{key: value for key, value in given.items() if key in wanted})
    except SystemExit as error:
        raise UserError(f"_target_ {node['_target_']}: making it called sys.exit({error.code!r})") from error


def telling(node: Mapping[str, Any], trusted: Iterable[str] = ()) -> dict[str, Any]:
    """What of a configuration node can change what its object does.

    A class names arguments that cannot, such as where the files of a data set with checksums lie, in its `not_scientific`, and in
    `added` those that came when there were runs already: at their default they say nothing, so such runs stay the runs they were.
    """
    target = None
    with contextlib.suppress(UserError):  # what cannot be found has nothing to say, and validate refuses it
        target = locate(node["_target_"], trusted)
    idle, added = getattr(target, "not_scientific", ()), getattr(target, "added", ())
    kept = {key: value for key, value in node.items() if key not in idle}
    return {key: value for key, value in kept.items() if key not in added or value != _parameters(target)[key].default}


def check(node: Any, path: str, kind: type, trusted: Iterable[str] = ()) -> list[str]:
    """All that is wrong with a node, one line each: what it makes is no `kind`, or keys, types and ranges against its signature."""
    if not _is_node(node):
        return [f"{path}: needs a mapping with a _target_"]
    try:
        target = locate(node["_target_"], trusted)
    except UserError as error:
        return [f"{path}: {error}"]
    hints = _hints(target)
    made = target if inspect.isclass(target) else hints.get("return")
    if not (inspect.isclass(made) and inspect.isclass(kind) and issubclass(made, kind)):
        return [f"{path}: _target_ {node['_target_']} makes no {getattr(kind, '__name__', kind)}, which is needed here"]
    errors = []
    nodes = {key for key, value in node.items() if _is_node(value)}
    parameters = _parameters(target)
    for key in nodes & parameters.keys():
        errors += check(node[key], f"{path}.{key}", hints.get(key), trusted)
    # whoever takes any number of objects of a kind, under names of their own, takes nothing else
    for part in (hints.get(name) for name, parameter in parameters.items() if parameter.kind is parameter.VAR_KEYWORD):
        for key in node.keys() - parameters.keys() - {"_target_"} if inspect.isabstract(part) else ():
            errors += check(node[key], f"{path}.{key}", part, trusted)
    schema = _schema(target, frozenset(nodes), given=GIVEN.get(path, ()))
    return errors + schema_errors(schema, {key: value for key, value in node.items() if key != "_target_"}, path)


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


@functools.lru_cache(maxsize=1024)  # a sweep's cells ask for the same signatures again and again
def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(target).parameters


@functools.lru_cache(maxsize=1024)
def _hints(target: Callable[..., Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


@functools.lru_cache(maxsize=1024)
def _schema(target: Callable[..., Any], nodes: frozenset[str], given: tuple[str, ...]) -> type[pydantic.BaseModel]:
    """A pydantic model of a signature, without what the program gives; inner nodes are checked on their own and may be anything."""
    hints = _hints(target)
    # a class without an __init__ of its own shows that of object or nn.Module, whose **kwargs it would refuse
    bare = inspect.isclass(target) and target.__init__ in (object.__init__, torch.nn.Module.__init__)
    fields: dict[str, Any] = {}
    extra = "forbid"
    for name, parameter in ({} if bare else _parameters(target)).items():
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = "allow"
        elif name not in given and parameter.kind is not parameter.VAR_POSITIONAL:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (Any if name in nodes else hints.get(name, Any), default)
    config = pydantic.ConfigDict(
        extra=extra, strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, protected_namespaces=()
    )
    return pydantic.create_model(getattr(target, "__name__", "target"), __config__=config, **fields)
