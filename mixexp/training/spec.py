"""The specification of a run, typed and frozen: settings with ranges, options of its groups, place in a plan."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from mixexp.build import build
from mixexp.build.own_code import Source, sources
from mixexp.training.task import Task

Positive = Annotated[int, Field(gt=0, lt=2**63)]
Natural = Annotated[int, Field(ge=0, lt=2**63)]
Auto = Literal["auto"]
Text = Annotated[str, Field(min_length=1)]
Module = Annotated[
    str,
    Field(
        pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$", description="the name of a module as an import has it, such as own.nets"
    ),
]


_CHECKED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Evaluated(BaseModel):
    """The test images that evaluations use; n: their number, null for all."""

    model_config = _CHECKED

    n: Positive | None


class Settings(BaseModel):
    """The run's own settings: every key of config.yaml that is not a group."""

    model_config = _CHECKED

    name: Annotated[
        str,
        Field(
            pattern=r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$",
            max_length=100,
            description=(
                "the name of a folder: a text of 1 to 100 letters without / and \\ that does not begin with a point"
            ),
        ),
    ]
    alpha: Annotated[float, Field(gt=0)]
    seed: Natural
    data_seed: Natural
    epochs: Positive | None
    steps: Positive | None
    batch_size: Positive
    drop_last: bool
    validation: Annotated[float, Field(ge=0, lt=1)]
    test: Annotated[Evaluated, Field(description="a mapping with the number of test images, as in {n: 1000}")]
    evaluations: Positive
    device: Annotated[str, Field(description="auto, cpu, mps, cuda or cuda:N")]
    precision: Literal["auto", "float32", "bfloat16"]
    channels_last: Auto | bool
    threads: Positive
    runs_per_device: Auto | Positive
    checkpoint_seconds: Annotated[float, Field(ge=0)]
    keep: Literal["none", "last", "best"]
    keep_checkpoint: bool
    retry: Literal["failed", "changed"] | None
    fail_fast: bool
    hang_minutes: Annotated[float, Field(gt=0)] | None
    data_dir: Text
    output_dir: Text
    trusted_modules: list[Module]
    table: dict[str, Any] | None
    claims: dict[str, Any] | None
    editions: dict[str, Any] | None
    edition: Text | None
    checks: dict[str, Any] | None
    choices: dict[str, Any]


def hints_of_settings(schema: type[BaseModel] = Settings, prefix: str = "") -> dict[str, Any]:
    """The type, with its limits, of every setting of a run outside the groups, by its dotted key."""
    hints: dict[str, Any] = {}
    for name, hint in get_type_hints(schema, include_extras=True).items():
        inner = schema.model_fields[name].annotation if name in schema.model_fields else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            hints |= hints_of_settings(inner, f"{prefix}{name}.")
        else:
            hints[f"{prefix}{name}"] = hint
    return hints


Node = Mapping[str, Any]
"""The node of a group's option: the class by its dotted name, `_target_`, and its arguments."""


class RunConfig(Settings):
    """A resolved configuration that validate has passed; equal ones are one key of a cache.

    Nothing is checked again here: alpha is None where nothing refers to it.
    """

    dataset: Node
    subset: Node
    imbalance: Node
    label_noise: Node
    sampling: Node
    augment: Node
    model: Node
    mix: Node
    mix_layer: Node
    loss: Node
    optimizer: Node
    schedule: Node
    speed: Node
    probe: Node | None
    gan: Node | None
    second_stage: Node | None
    logger: Node | None
    _values: dict[str, Any] = PrivateAttr()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The configuration with these values."""
        config = cls.model_construct(**values)
        config._values = dict(values)
        return config

    @property
    def values(self) -> dict[str, Any]:
        """The values as config.yaml has them."""
        return dict(self._values)

    @property
    def test_n(self) -> int | None:
        """The number of test images that evaluations use, None for all."""
        return self._values["test"]["n"]

    @property
    def trusted(self) -> tuple[str, ...]:
        """The user's own modules that a `_target_` may name."""
        return tuple(self.trusted_modules)

    @property
    def own_sources(self) -> dict[str, Source]:
        """The source of every own module that a class of the configuration is from, as this process imported it."""
        return sources(self._values, self.trusted)

    @property
    def own_code(self) -> dict[str, str]:
        """The hashes of the own sources, by the modules' names."""
        return {name: source.digest for name, source in self.own_sources.items()}

    def replace(self, **values: Any) -> Self:
        """This configuration with other values."""
        return self.of({**self._values, **values})

    def part(self, *names: str) -> Self:
        """The named values and the modules that build their objects: the inputs of a result, as a cache key."""
        return self.of({name: self._values[name] for name in (*names, "trusted_modules")})

    def build(self, group: str, **given: Any) -> Any:
        """The object that the option of a group makes; given: arguments that the program supplies."""
        return build(self._values[group], self.trusted, **given)

    def build_optimizer(self, parameters: list[Any]) -> Any:
        """The optimizer of these parameters; an own class names them `parameters`, torch's classes `params`."""
        return self.build("optimizer", parameters=parameters, params=parameters)

    @functools.cached_property
    def _key(self) -> str:
        return json.dumps(_sorted(self._values))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunConfig) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _sorted(value: Any) -> Any:
    """The value with its mappings sorted by their keys' texts.

    The keys of a table's published numbers may be numbers and texts.
    """
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def depends_on(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Restrict a function of a RunConfig to these of its values, and cache its results.

    Further arguments have to be hashable.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        cached = functools.lru_cache(maxsize=1024)(function)
        return functools.wraps(function)(lambda config, *arguments: cached(config.part(*names), *arguments))

    return decorate


@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run: its configuration, folder, departures from its experiment, label and cost.

    differs_from_edition: departures from the chosen edition, None without one. family: the same in all runs that differ
    in their budget alone. words: the overrides of the first of its cells. first: the run whose weights it starts from,
    None for a run of one stage.
    """

    config: RunConfig
    folder: Path
    differs_from_experiment: dict[str, list[Any]]
    differs_from_edition: dict[str, list[Any]] | None
    label: str
    task: Task
    family: str
    words: tuple[str, ...]
    first: RunSpec | None = None
