"""A loss that gives way to another one in the last part of a run."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mixexp.labels import MixedLabels
from mixexp.loss import Loss
from mixexp.phases import change, require_change


class Deferred(Loss):
    """Another loss in the last part of a run, on the same head: deferred re-weighting (Cao et al. 2019, DRW).

    first, then: the two losses, whose outputs have one meaning; after: the fraction of the epochs that the first one
    has, 160 / 200 in the source. The change is at the beginning of an epoch. The head, its penalty and the scores are
    those of the first.
    Both are computed in every step, so that a step stays the same. Raises ValueError for a loss that changes itself.
    Differs from the paper: nothing.
    """

    def __init__(self, first: Loss, then: Loss, after: Annotated[float, Field(gt=0, lt=1)]) -> None:
        super().__init__()
        for name, part in (("first", first), ("then", then)):
            if type(part).phase is not Loss.phase:
                raise ValueError(f"loss.{name}: {type(part).__name__} changes during a run itself; take one that stays")
        self.first, self.then, self.after = first, then, after
        self.linear_in_target = first.linear_in_target and then.linear_in_target
        self.accepts_mixed = first.accepts_mixed and then.accepts_mixed
        self.weighs_classes = first.weighs_classes or then.weighs_classes
        self.changed: Tensor
        self.register_buffer("changed", torch.zeros((), dtype=torch.bool))

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        head = self.first.head(num_features, num_classes)
        other = type(self.then.head(num_features, num_classes))
        if type(head) is not other:
            raise ValueError(
                f"loss.then: {type(self.then).__name__} needs the head {other.__name__}, and"
                f" {type(self.first).__name__} of loss.first has {type(head).__name__}; both losses share one"
            )
        return head

    def scores(self, outputs: Tensor) -> Tensor:
        return self.first.scores(outputs)

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        return torch.where(self.changed, self.then(outputs, labels), self.first(outputs, labels))

    def phase(self, epoch: int, epochs: float) -> int:
        return int(epoch >= change(self.after, epochs))

    def enter(self, phase: int) -> None:
        self.changed.fill_(bool(phase))

    def check_budget(self, epochs: float) -> None:
        require_change("loss.after", self.after, epochs)

    def penalty(self, head: nn.Module) -> Tensor:
        return self.first.penalty(head)
