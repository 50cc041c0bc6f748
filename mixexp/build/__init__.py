"""The one place where YAML becomes objects: `_target_` names a class or function, the other keys its arguments."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import keyword
import pkgutil
import re
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field
from pydantic.fields import FieldInfo

from mixexp.build.contracts import contract, example, lacking
from mixexp.build.own_code import PROGRAM, extend_path, own_folders, source_of, within
from mixexp.build.wording import STRICT, allowed, arms, complaint, split, typed
from mixexp.class_names import located
from mixexp.errors import UserError, closest
from mixexp.text import in_shell, listed, one_line, override, resembling, shown

GIVEN: dict[str, tuple[str, ...]] = {
    "model": ("in_channels", "image_size"),
    "loss": ("class_counts",),
    "second_stage": ("class_counts",),
    "optimizer": ("parameters", "params"),
}
"""Arguments that the program supplies and YAML may not give."""


def locate(target: Any, trusted: Iterable[str] = ()) -> Callable[..., Any]:
    """The class or function that a `_target_` names, in current or older records.

    Admitted are the modules of mixexp, torch and torchvision and those that the user trusts explicitly
    (trusted_modules), which may also be in the working directory and next to the user's options. `check` admits only
    those that make an object of the kind that their place needs, so that a foreign configuration cannot run code that
    its user has not named. Raises UserError where the target is not admitted, missing or not callable.
    """
    if not isinstance(target, str) or "." not in target or not is_module(target):
        raise UserError(f"_target_ = {shown(target)}: needs the dotted name of a class or function, as in module.Class")
    target = located(target)
    module_name, _, name = target.rpartition(".")
    admitted = (*PROGRAM, *filter(is_module, trusted))
    if not within(module_name, admitted):
        raise UserError(f"_target_ {target}: {_not_admitted(target, admitted)}")
    if trusted:
        extend_path()
    module = _imported(target, module_name)
    if not within(module_name, PROGRAM):
        # hashed now: the file may be edited later
        source_of(module)
    factory = getattr(module, name, None)
    if not callable(factory):
        raise UserError(f"_target_ {target}: {_not_there(module, name)}")
    return factory


def is_module(name: Any) -> bool:
    """True for a text that can be the name of a module in an import."""
    return isinstance(name, str) and all(
        part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")
    )


def _not_admitted(target: str, admitted: Sequence[str]) -> str:
    """The message about a class whose module is not trusted; the module is not imported."""
    top = target.partition(".")[0]
    beside = _modules_beside()
    if top not in beside and importlib.util.find_spec(top) is None:
        rest = target.removeprefix(top)
        near = "".join(f" Did you mean '{name}{rest}'?" for name in resembling(top, [*beside, *admitted]))
        return f"there is no module {top} in {_places()}, nor is one installed.{near}"
    more = override("trusted_modules", [*(name for name in admitted if name not in PROGRAM), top])
    return f"its module is not among {listed(admitted)}; to run code of your own, name it: {more}"


def _places() -> str:
    """The user's own folders in words."""
    return " or ".join(["the working directory", *map(str, own_folders()[1:])])


def _modules_beside() -> list[str]:
    """Modules in the user's own folders."""
    return sorted(
        {module.name for module in pkgutil.iter_modules(list(map(str, own_folders()))) if is_module(module.name)}
    )


def _has(module_name: str, rest: str) -> bool:
    """True if a module of mixexp has the attribute in a dotted rest.

    Any other module counts as having it, since it is not imported for this.
    """
    if module_name.partition(".")[0] != "mixexp":
        return True
    return hasattr(importlib.import_module(module_name), rest.strip(".").partition(".")[0])


def _imported(target: str, module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"_target_ {target}: {module_name} cannot be imported: {one_line(str(error))}{_where(error)}"
            ) from error
        parent, _, _ = error.name.rpartition(".")
        path = getattr(sys.modules.get(parent), "__path__", ()) if parent else ()
        there = [f"{parent}.{beside.name}" for beside in pkgutil.iter_modules(path)] if parent else _modules_beside()
        rest = target.removeprefix(error.name)
        near = [f"{name}{rest}" for name in resembling(error.name, there) if _has(name, rest)]
        known = "" if near else closest(error.name, there).replace("mean", "mean the module", 1)
        where = "" if parent else f" in {_places()}"
        raise UserError(f"_target_ {target}: {error}{where}.{closest(target, near) or known}") from error
    except SystemExit as error:  # it would end the program with success
        raise UserError(f"_target_ {target}: importing it called sys.exit({error.code!r})") from error
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"_target_ {target}: {module_name} cannot be imported: {reason}{_where(error)}") from error


def _where(error: Exception, file: str | None = None) -> str:
    """The line that raised the error, or the line of a given file that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in frames if frame.filename == file] or frames
    if isinstance(error, SyntaxError) or not frames:
        # Python's own message names the line
        return ""
    return f" ({frames[-1].filename}, line {frames[-1].lineno})"


def _not_there(module: Any, name: str) -> str:
    """The message about a class or function that a module lacks."""
    names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    defined = [key for key in names if getattr(vars(module)[key], "__module__", None) == module.__name__]
    has = f"; it has {listed(defined, name)}" if defined else ""
    file = getattr(module, "__file__", None)
    hidden = f"{module.__name__.partition('.')[0]}.py"
    for folder in own_folders():
        if file is not None and (folder / hidden).is_file() and not Path(file).is_relative_to(folder):
            where = "here" if folder == Path.cwd() else f"in {folder}"
            has += f"; Python finds {file} under this name and not {hidden} {where}, which needs another one"
    near = "".join(f" Did you mean '{module.__name__}.{match}'?" for match in resembling(name, names))
    return f"{module.__name__} has no such class or function{has}.{near}"


def build(node: Mapping[str, Any], trusted: Iterable[str] = (), **given: Any) -> Any:
    """The object that a configuration node describes, inner nodes first.

    Of `given`, each object gets what its signature names. Raises UserError where the user's own class fails with
    another error than the ValueError that refuses its arguments.
    """
    target = locate(node["_target_"], trusted)
    parameters = _parameters(target)
    settings = {key: value for key, value in node.items() if key != "_target_"}
    arguments = {key: build(value, trusted, **given) if _is_node(value) else value for key, value in settings.items()}
    try:
        return target(**arguments, **{key: value for key, value in given.items() if key in parameters})
    except SystemExit as error:
        raise UserError(f"_target_ {node['_target_']}: making it called sys.exit({error.code!r})") from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError) as error:
        import torch  # imported here: commands that read types alone, such as `mixexp list`, start without torch

        if node["_target_"].partition(".")[0] in PROGRAM or isinstance(error, torch.OutOfMemoryError):
            raise
        reason = one_line(f"{type(error).__name__}: {error}")
        file = getattr(sys.modules.get(target.__module__ or ""), "__file__", None)
        raise UserError(f"_target_ {node['_target_']}: making it raised {reason}{_where(error, file)}") from error


def telling(node: Mapping[str, Any], trusted: Iterable[str] = ()) -> dict[str, Any]:
    """The settings of a configuration node that can change the behaviour of its object.

    A class lists arguments that cannot in `not_scientific`, such as the place of a data set's files with checksums. It
    lists arguments that are newer than its first runs in `added`: at their default they are left out, so that the ids
    of existing runs stay.
    """
    target = None
    # validate reports a class that is not found
    with contextlib.suppress(UserError):
        target = locate(node["_target_"], trusted)
    idle, added = getattr(target, "not_scientific", ()), getattr(target, "added", ())
    settings = {key: value for key, value in node.items() if key not in idle}
    return {
        key: value for key, value in settings.items() if key not in added or value != _parameters(target)[key].default
    }


def check(node: Any, path: str, kind: Any, trusted: Iterable[str] = ()) -> list[str]:
    """All errors of a node, one line each: it makes no `kind`, or its keys, types and ranges do not fit its signature.

    kind: a class, or the annotation of an argument.
    """
    if not _is_node(node):
        return [f"{path} = {shown(node)}: needs {allowed(kind)}{_how_to_choose(node, path)}"]
    try:
        target = locate(node["_target_"], trusted)
    except UserError as error:
        return [f"{path}: {error}"]
    try:
        hints = hints_of(target)
    except UserError as error:
        return [f"{path}: _target_ {node['_target_']}: {error}"]
    if wrong := _of_another_kind(target, hints, path, kind):
        return [f"{path}: _target_ {node['_target_']} {wrong}"]
    errors = []
    nodes = {key for key, value in node.items() if _is_node(value)}
    parameters = _parameters(target)
    for key in nodes & parameters.keys():
        errors += check(node[key], f"{path}.{key}", hints.get(key), trusted)
    # a target with **arguments of a kind takes any number of such objects by name and nothing else
    for part in (hints.get(name) for name, parameter in parameters.items() if parameter.kind is parameter.VAR_KEYWORD):
        for key in node.keys() - parameters.keys() - {"_target_"} if inspect.isabstract(part) else ():
            errors += check(node[key], f"{path}.{key}", part, trusted)
    try:
        schema = _schema(target, frozenset(nodes), given=_given(path))
    except UserError as error:
        return [*errors, f"{path}: _target_ {node['_target_']}: {error}"]
    return errors + schema_errors(schema, {key: value for key, value in node.items() if key != "_target_"}, path)


def _given(path: str) -> tuple[str, ...]:
    """The arguments that the program passes to the constructor of a node in a group, at whatever depth."""
    return GIVEN.get(path.partition(".")[0], ())


def _how_to_choose(node: Any, path: str) -> str:
    """Advice on choosing an option of a group, where the option's name stands in place of its settings."""
    if "." in path or not isinstance(node, str):
        return ""
    return (
        f'; an option is chosen by {path}=NAME in a command, by "- override /{path}: NAME" among the defaults of a file'
    )


def _of_another_kind(target: Callable[..., Any], hints: Mapping[str, Any], path: str, kind: Any) -> str:
    """The reason why the target's object does not fit its place; empty where it fits."""
    kinds = [
        arm_type
        for arm_type in (split(arm)[0] for arm in arms(kind))
        if inspect.isclass(arm_type) and arm_type is not type(None)
    ]
    if not kinds:
        return "is given for an argument without a type hint; annotate the argument with the class that it needs"
    made = target if inspect.isclass(target) else split(hints.get("return"))[0]
    if not (inspect.isclass(made) and issubclass(made, tuple(kinds))):
        names = " or ".join(arm_type.__name__ for arm_type in kinds)
        says = f"for the function does not say so: it needs '-> {kinds[0].__name__}' behind its arguments"
        function = "" if inspect.isclass(target) else f", {says}"
        return f"makes no {names}{function}. {contract(kinds[0], path, _given(path))}"
    if inspect.isabstract(target) and (missing := lacking(made)):
        return f"is not complete: it has to define {missing}.{example(kinds[0], path)}"
    return ""


def schema_errors(schema: type[pydantic.BaseModel], values: Mapping[str, Any], path: str) -> list[str]:
    """The errors of values under a pydantic schema, a line per key: path, value, allowed values, closest match."""
    try:
        schema.model_validate(values)
    except pydantic.ValidationError as failure:
        fields = {field.alias or name: field for name, field in schema.model_fields.items()}
        errors: dict[str, list[Any]] = {}
        for error in failure.errors():
            errors.setdefault(str(error["loc"][0]), []).append(error)
        lines = []
        for key, complaints in errors.items():
            inner = fields[key].annotation if key in fields else None
            if (
                inspect.isclass(inner)
                and issubclass(inner, pydantic.BaseModel)
                and isinstance(values.get(key), Mapping)
            ):
                lines += schema_errors(inner, values[key], f"{path}.{key}" if path else key)
            else:
                lines.append(_complaint(fields, key, values.get(key), path, complaints))
        return lines
    return []


def _complaint(
    fields: Mapping[str, FieldInfo], key: str, value: Any, path: str, errors: Sequence[Mapping[str, Any]]
) -> str:
    """The error of one key."""
    name = f"{path}.{key}" if path else key
    if key not in fields:
        out = f" ({in_shell(f'~{name}')} removes it where a file or its defaults set it)" if path else ""
        near = next(iter(resembling(key, fields)), None)
        word = typed(f"{path}.{near}" if path else str(near), value) if re.fullmatch(r"[\w.]*", path) else f"'{near}'"
        meant = "" if near is None else f" Did you mean {word}?"
        return f"{one_line(name)}: no such setting; there are {listed(fields, key) or 'none'}.{meant}{out}"
    hint = _hint(fields[key])
    return (
        f"{name}: needs a value, {allowed(hint)}"
        if errors[0]["type"] == "missing"
        else complaint(name, value, hint, errors)
    )


def _hint(field: FieldInfo) -> Any:
    """A field's type with its limits, as it was annotated."""
    notes = [*field.metadata, *([Field(description=field.description)] if field.description else [])]
    return Annotated[field.annotation, *notes] if notes else field.annotation


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


@functools.lru_cache(maxsize=1024)  # a sweep's cells need the same signatures many times
def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(target).parameters


@functools.lru_cache(maxsize=1024)
def hints_of(target: Callable[..., Any]) -> Mapping[str, Any]:
    """The types of a class's or function's arguments, by name; raises UserError where they cannot be read."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except Exception as error:  # names for type checkers alone, objects that are not functions
        raise UserError(f"its type hints cannot be read: {one_line(f'{type(error).__name__}: {error}')}") from error


@functools.lru_cache(maxsize=1024)
def _schema(target: Callable[..., Any], nodes: frozenset[str], given: tuple[str, ...]) -> type[pydantic.BaseModel]:
    """A pydantic model of a signature, without the arguments that the program supplies.

    Inner nodes are checked on their own and may be anything here.
    """
    import torch  # imported here, as in build

    hints = hints_of(target)
    # a class without its own __init__ shows that of object or nn.Module, whose **kwargs would be refused
    bare = inspect.isclass(target) and target.__init__ in (object.__init__, torch.nn.Module.__init__)
    fields: dict[str, Any] = {}
    extra = "forbid"
    for name, parameter in ({} if bare else _parameters(target)).items():
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = "allow"
        elif name not in given and parameter.kind is not parameter.VAR_POSITIONAL:
            default = ... if parameter.default is parameter.empty else parameter.default
            # by an alias, since a field may not be called _x, copy or json
            fields[f"field{len(fields)}"] = (Any if name in nodes else hints.get(name, Any), Field(default, alias=name))
    try:
        return pydantic.create_model(
            getattr(target, "__name__", "target"), __config__={**STRICT, "extra": extra}, **fields
        )
    except Exception as error:  # limits that do not fit their type
        raise UserError(f"its type hints cannot be used: {one_line(str(error))}") from error
