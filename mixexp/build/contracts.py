"""The requirements on a class of the user's own, read from the contract's class, with a short class as an example."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from mixexp.files import read_yaml
from mixexp.settings import CONF


def contract(kind: type, path: str, given: Sequence[str] = ()) -> str:
    """The base class and the members to define, in sentences.

    path: the place in a configuration; given: the arguments that the program passes to the constructor.
    """
    parts = [
        *(f"{name}: {text}" for name, text in declared(kind).items()),
        *(signature(kind, name) for name in abstract(kind)),
    ]
    defines = f" and defines {'; '.join(parts)}" if parts else ""
    gets = f". The program calls it with {', '.join(given)} beside its settings" if given else ""
    function = f"or a function that says '-> {kind.__name__}'"
    return f"It has to be a class that derives from {dotted(kind)}{defines}; {function}{gets}.{example(kind, path)}"


def lacking(made: type) -> str:
    """The methods that a class leaves undefined, in words; empty where there are none."""
    return "; ".join(signature(made, name) for name in abstract(made))


def undefined(made: Any, kind: type) -> list[str]:
    """The attributes that the contract requires and an object lacks."""
    return [f"{name}: {text}" for name, text in declared(kind).items() if not hasattr(made, name)]


def dotted(kind: type) -> str:
    """The dotted name of a class, as in an import."""
    return f"{kind.__module__}.{kind.__qualname__}"


def abstract(kind: type) -> list[str]:
    """The methods to define, in the order of the contract."""
    names = getattr(kind, "__abstractmethods__", frozenset())
    return list(dict.fromkeys(name for base in kind.__mro__ for name in base.__dict__ if name in names))


def declared(kind: type) -> dict[str, str]:
    """The required attributes without a default, and their types."""
    bases = [base for base in kind.__mro__ if base.__module__.split(".")[0] == __name__.split(".")[0]]
    types = {
        name: text for base in bases for name, text in inspect.get_annotations(base).items() if not hasattr(kind, name)
    }
    return {
        name: text if isinstance(text, str) else getattr(text, "__name__", str(text)) for name, text in types.items()
    }


def signature(kind: type, name: str) -> str:
    """A method's signature, as a class has to define it."""
    method = inspect.getattr_static(kind, name)
    if isinstance(method, property):
        return f"{name} (a property)"
    # annotations are texts
    return f"{name}{inspect.signature(getattr(kind, name))}".replace("'", "")


@functools.cache
def example(kind: type, path: str) -> str:
    """An example class of a kind and its file, in a sentence; path: the place in a configuration."""
    examples = [
        made for module in _modules(kind) for made in vars(module).values() if _is_example(made, kind, module.__name__)
    ]
    if examples:  # the shortest with settings, or without where no such class has any
        shortest = min(
            examples, key=lambda made: ("__init__" not in vars(made), len(inspect.getsource(made)), made.__name__)
        )
        return f" An example: {dotted(shortest)} in {inspect.getsourcefile(shortest)}"
    options = sorted((CONF / path.split(".")[0]).glob("*.yaml"))
    targets = (read_yaml(option).get("_target_") for option in options)
    first = next((target for target in targets if target), None)
    return f" An example: {first}" if first else ""


def _is_example(made: Any, kind: type, module: str) -> bool:
    if not (inspect.isclass(made) and issubclass(made, kind) and made.__module__ == module) or inspect.isabstract(made):
        return False
    # a class composed of others of its kind is a poor example
    return not any(
        kind.__name__ in str(parameter.annotation) for parameter in inspect.signature(made).parameters.values()
    )


def _modules(kind: type) -> Iterator[Any]:
    """The module of a contract, and the modules of its package."""
    if kind.__module__.split(".")[0] != __name__.split(".")[0]:
        return
    module = sys.modules[kind.__module__]
    yield module
    for submodule in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if not submodule.name.startswith("_"):
            yield importlib.import_module(f"{module.__name__}.{submodule.name}")
