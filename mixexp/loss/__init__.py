"""Contract of the loss group: a value per sample from the network's outputs and the mixed labels; a loss may bring its
head."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from mixexp.labels import MixedLabels


class Loss(nn.Module, abc.ABC):
    """One value per sample; the loop takes the mean and adds the penalty.

    A constructor may take class_counts, int64 [C]: the training images of each class, after imbalance and label noise,
    before over- or undersampling. No YAML has it.
    """

    linear_in_target: bool
    """Whether the loss of a soft label is the average of its labels' losses; where not, the loss says which of the two
    it takes."""
    accepts_mixed: bool = True
    """Whether blended labels have a meaning for it; where not, it goes with mixes that keep one label only."""
    weighs_classes: bool = False
    """Whether it corrects for class sizes, which oversampling and undersampling do too."""

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        """The classifier, from features, float [B, num_features], to outputs, float [B, C] for most losses."""
        return nn.Linear(num_features, num_classes)

    def scores(self, outputs: Tensor) -> Tensor:
        """What tells how likely each class is, float [B, C], larger for likelier, as logits do; the outputs themselves
        by default."""
        return outputs

    def predict(self, outputs: Tensor) -> Tensor:
        """The predicted class of every sample, int64 [B], from outputs: that of the largest score."""
        return self.scores(outputs).argmax(1)

    @abc.abstractmethod
    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        """Loss of every sample, float32 [B], from outputs, float32 [B, C]."""

    def penalty(self, head: nn.Module) -> Tensor:
        """What the loop adds once a batch, a scalar: a regulariser of the head; 0 by default."""
        return torch.zeros(())
