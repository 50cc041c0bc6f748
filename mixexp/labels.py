"""The record that a mix passes to the loss: the labels of a batch and their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MixedLabels:
    """Labels of a batch: Σ_k weights[k]·onehot(labels[k]).

    labels: int64 [B] for each part of a blend; weights: float32 [B] in [0, 1] for each part, sum 1; empty for a single
    label.
    """

    labels: tuple[Tensor, ...]
    weights: tuple[Tensor, ...] = ()

    def weighted_loss(self, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Σ_k weights[k]·loss_of(labels[k]), float [B].

        It equals the loss of the soft label if the loss is linear in the target (cross-entropy), not otherwise (focal).
        """
        first, *others = self.labels
        if not self.weights:
            return loss_of(first)
        total = self.weights[0] * loss_of(first)
        for labels, weight in zip(others, self.weights[1:], strict=True):
            total = total + weight * loss_of(labels)
        return total

    def to_one_hot(self, num_classes: int) -> Tensor:
        """The soft labels as a matrix, float32 [B, C], with rows that sum to 1."""
        classes = torch.arange(num_classes, device=self.labels[0].device)
        # torch's one_hot would read the range of the labels back from the device
        columns = MixedLabels(self.labels, tuple(weight.unsqueeze(1) for weight in self.weights))
        return columns.weighted_loss(lambda labels: (labels.unsqueeze(1) == classes).float())
