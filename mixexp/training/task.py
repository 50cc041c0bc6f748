"""The work of a run, for estimates of its duration."""

from __future__ import annotations

from typing import Any, NamedTuple

from mixexp.files import quantity

MOST_FLOPS = 1e30
"""More operations than any run needs: centuries."""


class Work(NamedTuple):
    """The work of a run: operations in training and in evaluations, and numbers of steps, evaluations and images.

    tested, held_out: images of an evaluation, 0 where it uses none; trained: training images.
    """

    training: float
    evaluation: float
    steps: int
    evaluations: int
    tested: int
    held_out: int
    trained: int

    @property
    def flops(self) -> float:
        """Operations of the whole run."""
        return self.training + self.evaluation


class Task(NamedTuple):
    """The computation of a run, as far as its duration depends on it.

    Runs of one cost class and device need time in proportion to flops.
    """

    cost_class: str
    device: str
    flops: float

    def record(self) -> dict[str, Any]:
        """The task as it is stored in records of runs and sweeps."""
        return {"kind": self.cost_class, "device": self.device, "flops": self.flops}

    @classmethod
    def of_record(cls, record: Any) -> Task | None:
        """The task in a record; None where this version has not written it."""
        if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("kind", "device")):
            return None
        return cls(record["kind"], record["device"], quantity(record.get("flops"), MOST_FLOPS))
