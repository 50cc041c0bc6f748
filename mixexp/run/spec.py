"""A run as a plan has it: its configuration, its folder and what it has to compute, fixed before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mixexp.files import quantity

MOST_FLOPS = 1e30
"""What no run needs: centuries."""


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
