"""What a run is: its settings, where it goes and what it costs, fixed before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from mixexp.files import quantity

MOST_FLOPS = 1e30
"""What no run needs: centuries."""

Positive = Annotated[int, Field(gt=0, lt=2**63)]
Natural = Annotated[int, Field(ge=0, lt=2**63)]
Auto = Literal["auto"]


Text = Annotated[str, Field(min_length=1)]
Module = Annotated[
    str,
    Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$", description="the name of a module as an import has it, such as own.nets"),
]


class Settings(BaseModel):
    """The run's scalars: every key of config.yaml that is not a group."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[
        str,
        Field(
            pattern=r"^[^./\\][^/\\]*$",
            max_length=100,
            description="the name of a folder: a text of 1 to 100 letters without / and \\ that does not begin with a point",
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
    evaluations: Positive
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    channels_last: Auto | bool
    threads: Positive
    runs_per_device: Auto | Positive
    checkpoint_seconds: Annotated[float, Field(ge=0)]
    keep_checkpoint: bool
    retry: Literal["failed"] | None
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


class Task(NamedTuple):
    """What a run computes, as far as its duration depends on it: runs of one cost class and device need time in proportion to flops."""

    cost_class: str
    device: str
    flops: float

    def record(self) -> dict[str, Any]:
        """The task as records of runs and sweeps hold it."""
        return {"kind": self.cost_class, "device": self.device, "flops": self.flops}

    @classmethod
    def of_record(cls, record: Any) -> Task | None:
        """The task that a record holds; None where this version has not written it."""
        if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("kind", "device")):
            return None
        return cls(record["kind"], record["device"], quantity(record.get("flops"), MOST_FLOPS))


@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run: what it is, where it goes, where it departs from its experiment, a few words to call it, and what it costs.

    differs_from_edition: the same of the chosen edition, None without one. family: the same in all runs that differ in their budget
    alone. words: the overrides of the first of its cells.
    """

    config: dict[str, Any]
    folder: Path
    differs_from_experiment: dict[str, list[Any]]
    differs_from_edition: dict[str, list[Any]] | None
    label: str
    task: Task
    family: str
    words: tuple[str, ...]
