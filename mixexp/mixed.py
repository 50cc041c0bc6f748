"""The record that passes from mix to loss: whose labels a batch carries, and with which weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixed:
    """Labels of a batch: weight·onehot(first) + (1 − weight)·onehot(second).

    first: int64 [B]; second: int64 [B] or None where labels are not mixed; weight: float32 [B] in [0, 1], None with second.
    """

    first: Tensor
    second: Tensor | None = None
    weight: Tensor | None = None

    def average(self, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """weight·loss_of(first) + (1 − weight)·loss_of(second), float [B].

        It equals the loss of the soft label where that loss is linear in the target (cross-entropy), not elsewhere (focal).
        """
        loss = loss_of(self.first)
        if self.second is None:
            return loss
        return self.weight * loss + (1 - self.weight) * loss_of(self.second)

    def soft(self, num_classes: int) -> Tensor:
        """The soft labels as a matrix, float32 [B, C] with rows that sum to 1."""
        classes = torch.arange(num_classes, device=self.first.device)

        def one_hot(labels: Tensor) -> Tensor:
            return (labels.unsqueeze(1) == classes).float()  # torch's own reads the labels' range back from the device

        if self.second is None:
            return one_hot(self.first)
        weight = self.weight.unsqueeze(1)
        return weight * one_hot(self.first) + (1 - weight) * one_hot(self.second)
