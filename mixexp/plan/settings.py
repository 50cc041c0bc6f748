"""The types and ranges of a run's settings that are no group."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
