"""The record that passes from mix to loss: whose labels a batch carries, and with which weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MixedLabels:
    """Labels of a batch: Σ_k weights[k]·onehot(labels[k]).

    labels: one int64 [B] for each part of a blend; weights: as many float32 [B] in [0, 1] that sum to 1, none where
    there is one label.
    """

    labels: tuple[Tensor, ...]
    weights: tuple[Tensor, ...] = ()

    def weighted_loss(self, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Σ_k weights[k]·loss_of(labels[k]), float [B].

        It equals the loss of the soft label where that loss is linear in the target (cross-entropy), not elsewhere
        (focal).
        """
        first, *others = self.labels
        if not self.weights:
            return loss_of(first)
        total = self.weights[0] * loss_of(first)
        for labels, weight in zip(others, self.weights[1:], strict=True):
            total = total + weight * loss_of(labels)
        return total

    def to_one_hot(self, num_classes: int) -> Tensor:
        """The soft labels as a matrix, float32 [B, C] with rows that sum to 1."""
        classes = torch.arange(num_classes, device=self.labels[0].device)
        # torch's own one_hot reads the labels' range back from the device
        columns = MixedLabels(self.labels, tuple(weight.unsqueeze(1) for weight in self.weights))
        return columns.weighted_loss(lambda labels: (labels.unsqueeze(1) == classes).float())
