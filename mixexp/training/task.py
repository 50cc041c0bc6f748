"""The work of a run, by which durations are estimated."""

from __future__ import annotations

from typing import Any, NamedTuple

from mixexp.files import quantity

MOST_FLOPS = 1e30
"""What no run needs: centuries."""


class Work(NamedTuple):
    """What a run does: its operations in training and in evaluations, how many steps and evaluations, and of how many
    images these are.

    tested, held_out: images of an evaluation, none where it is of no images; trained: training images.
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
    """What a run computes, as far as its duration depends on it: runs of one cost class and device need time in
    proportion to flops."""

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
